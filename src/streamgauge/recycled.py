"""Recycled memory: that of large arrays, of which every poll has others as large."""

import math
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LEAST_BYTES: Final = 1 << 20
"""Smaller arrays are the allocator's, whose heap is kept from poll to poll."""
MOST_BYTES: Final = 24 << 20
"""Larger arrays are let go of: a poll holds some 16 MB, a few of them much more."""
PATIENCE: Final = 1_000
"""After so many arrays in a row that were smaller or larger, nothing is kept any more."""


def _references(objects: Sequence[object]) -> list[int]:
    """Return how often each is referred to."""
    return [sys.getrefcount(each) for each in objects]


(_UNSHARED,) = _references([object()])
"""References to what nobody else looks at."""


class Recycled:
    """Gives arrays the memory of earlier ones that nobody looks at any more, for one thread.

    Pages that are new each time cost half as much as to read what is on them.
    """

    def __init__(self, least: int = LEAST_BYTES, most: int = MOST_BYTES, pieces: int = 2) -> None:
        self._least = least
        self._most = most
        self._pieces = pieces
        """What is kept of memory that is free."""
        self._memory: list[npt.NDArray[np.uint8]] = []
        self._others = 0
        """Arrays since the last that is kept."""

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array that is not set to anything."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._least <= size <= self._most:
            self._others = 0
            return self._room(size)[:size].view(dtype).reshape(shape)
        self._others += 1
        if self._others > PATIENCE:
            self._memory.clear()
        return np.empty(shape, dtype)

    def _room(self, size: int) -> npt.NDArray[np.uint8]:
        """Return memory of at least so many bytes, the smallest that there is."""
        shared = [count > _UNSHARED for count in _references(self._memory)]
        free = [m for m, is_shared in zip(self._memory, shared, strict=True) if not is_shared]
        kept = [m for m, is_shared in zip(self._memory, shared, strict=True) if is_shared]
        found = min((memory for memory in free if len(memory) >= size), key=len, default=None)
        if found is None:
            # With room for the next one, which may be a little larger.
            found = np.empty(min(size + size // 4, self._most), np.uint8)
        self._memory = [*kept, found, *(other for other in free if other is not found)][
            : len(kept) + self._pieces
        ]
        return found


_mine = threading.local()


def recycled_here() -> Recycled:
    """Return what all in this thread share who need large arrays now and then, for a moment."""
    found: Recycled | None = getattr(_mine, "recycled", None)
    if found is None:
        found = _mine.recycled = Recycled(pieces=4)
    return found
