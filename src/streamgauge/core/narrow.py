"""Narrow counts: a growing table of sums at two bytes a cell, for rows that mostly stay small.

Of many slices few have counts that two bytes cannot hold; of these the table keeps the low part,
and the rest stands beside it. Sums are exact.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import IntArray

Places = npt.NDArray[np.intp]
_MOST: Final = int(np.iinfo(np.int16).max)
_TALL: Final = _MOST // 8
"""What goes over to the rest, when there is no more room for an addition: rows with this much."""


class NarrowCounts:
    """Sums of n rows and W cells, any integers."""

    __slots__ = ("_bound", "_low", "_rest", "_size")

    def __init__(self, width: int) -> None:
        self._low = np.empty((0, width), np.int16)
        self._size = 0
        self._rest: dict[int, IntArray] = {}
        """What is to be added to the low part of some rows `(W,)`."""
        self._bound = 0
        """No cell of the low part is farther from 0."""

    def __len__(self) -> int:
        return self._size

    def grow(self, size: int, room: int) -> None:
        """Have `size` rows, new ones with zeros, and memory for `room`."""
        if room > len(self._low):
            # Of zeros that nobody has written to yet the system gives no memory.
            low = np.zeros((room, self._low.shape[1]), np.int16)
            low[: self._size] = self._low[: self._size]
            self._low = low
        self._size = size

    def add(self, places: Places, at: Places | slice, counts: npt.NDArray[np.integer]) -> None:
        """Add counts `(k, W)` to the rows at `places (k,)`, which are distinct; `at` are the same.

        `at` may be a slice, which is faster.
        """
        size = farthest(counts)
        narrow = counts.astype(np.int16, copy=False)
        if size > _TALL:
            # Rows of much traffic would use up everybody's room with every addition.
            sizes = _row_sizes(counts)
            high = np.flatnonzero(sizes > _TALL)
            for place, row in zip(places[high].tolist(), high.tolist(), strict=True):
                self._put(place, counts[row])
            narrow = narrow.copy() if narrow is counts else narrow
            narrow[high] = 0
            sizes[high] = 0
            size = int(sizes.max())
        if self._bound + size > _MOST:
            low = self._low[: self._size]
            for place in np.flatnonzero(_row_sizes(low) > _TALL).tolist():
                self._put(place, low[place])
                low[place] = 0
            self._bound = _TALL
        self._bound += size
        self._low[at] += narrow

    def add_all(self, places: Places, at: Places | slice, other: "NarrowCounts") -> None:
        """Add the rows of another table to those at `places (k,)`, as `add` does."""
        for row, counts in other.rest.items():
            self._put(int(places[row]), counts)
        self.add(places, at, other.low)

    @property
    def low(self) -> npt.NDArray[np.int16]:
        """The low part of all rows `(n, W)`, a view."""
        return self._low[: self._size]

    @property
    def rest(self) -> Mapping[int, IntArray]:
        """What is to be added to the low part of some rows `(W,)`."""
        return self._rest

    def _put(self, place: int, counts: npt.NDArray[np.integer]) -> None:
        if place not in self._rest:
            self._rest[place] = np.zeros(self._low.shape[1], np.int64)
        self._rest[place] += counts

    def rows(self, at: Places | slice) -> npt.NDArray[np.signedinteger]:
        """Return the counts of some rows: a view for a slice without any large ones."""
        if isinstance(at, slice):
            first, end, _ = at.indices(self._size)
            low = self._low[first:end]
            found = [(place - first, place) for place in self._rest if first <= place < end]
        else:
            low = self._low[at]
            found = [(i, p) for i, p in enumerate(at.tolist()) if p in self._rest]
        if not found:
            return low
        most = max(farthest(self._rest[place]) for _, place in found) + _MOST
        wide: type[np.int32 | np.int64] = np.int64
        if most <= np.iinfo(np.int32).max:
            wide = np.int32
        whole: npt.NDArray[np.signedinteger] = low.astype(wide)
        for i, place in found:
            whole[i] += self._rest[place].astype(whole.dtype)
        return whole


def farthest(counts: npt.NDArray[np.integer]) -> int:
    """Return the largest distance from 0."""
    return max(int(counts.max(initial=0)), -int(counts.min(initial=0)))


def _row_sizes(counts: npt.NDArray[np.integer]) -> IntArray:
    """Return each row's largest distance from 0 `(k,)`."""
    top = counts.max(axis=1, initial=0).astype(np.int64)
    bottom = counts.min(axis=1, initial=0).astype(np.int64)
    sizes: IntArray = np.maximum(top, -bottom)
    return sizes
