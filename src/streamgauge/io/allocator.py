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
