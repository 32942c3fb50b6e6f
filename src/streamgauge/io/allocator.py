"""Allocator: large arrays go back to the system when they are let go of."""

import ctypes
from typing import Final

LARGE_BYTES: Final = 1 << 20
_M_MMAP_THRESHOLD: Final = -3


def return_large_blocks(least: int = LARGE_BYTES) -> bool:
    """Have blocks of at least so many bytes mapped by themselves; return whether that was heard.

    The C library of GNU raises this threshold to the size of what it frees, up to 32 MB: from then
    on counts, windows and their copies of many sizes share one heap, whose holes stay resident.
    Where there is no `mallopt` (musl, macOS, Windows) nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, least))


def return_free_pages() -> bool:
    """Give the system back the pages that hold nothing but holes; return whether that was heard.

    Blocks of middling size, such as those that snapshots and pages are made from, leave holes
    between small ones that stay. Takes some milliseconds. Where there is no `malloc_trim` nothing
    happens.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return False
    trim.argtypes = [ctypes.c_size_t]
    return bool(trim(0))
