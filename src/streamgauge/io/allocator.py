"""Allocator: large arrays go back to the system when they are let go of."""

import ctypes
from typing import Any, Final

LARGE_BYTES: Final = 4 << 20
"""Below are what the Kafka client receives and unpacks, and parts of a pane: with new pages for
each of these, a quarter of the processor time of Arrow batches went into pages."""
KEPT_BYTES: Final = 32 << 20
"""What is free at the end of the heap is kept up to here, for the next poll."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def return_large_blocks(least: int = LARGE_BYTES) -> bool:
    """Have blocks of at least so many bytes mapped by themselves; return whether that was heard.

    The C library of GNU raises this threshold to the size of what it frees, up to 32 MB: from then
    on counts, windows and their copies of many sizes share one heap, whose holes stay resident.
    Told so, it gives back the end of its heap whenever 128 kB of it are free, and a poll's objects
    would have new pages each time: that end is kept, until `return_free_pages`. Where there is no
    `mallopt` (musl, macOS, Windows) nothing happens.
    """
    mallopt = _of_c_library("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, least) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))


def return_free_pages() -> bool:
    """Give the system back the pages that hold nothing but holes; return whether that was heard.

    Blocks of middling size, such as those that snapshots and pages are made from, leave holes
    between small ones that stay. Takes some milliseconds. Where there is no `malloc_trim` nothing
    happens.
    """
    trim = _of_c_library("malloc_trim")
    if trim is None:
        return False
    trim.argtypes = [ctypes.c_size_t]
    return bool(trim(0))


def _of_c_library(name: str) -> Any:
    """Return a function of the C library, None where it has none of this name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
