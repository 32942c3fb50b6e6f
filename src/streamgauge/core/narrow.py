"""Narrow counts: a growing table of sums at two bytes a cell, for rows that mostly stay small.

Of many slices few have counts that two bytes cannot hold; of these the table keeps the low part,
and the rest stands beside it. So it does of few columns whose counts are large in many rows. Sums
are exact.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import IntArray

Places = npt.NDArray[np.intp]
_MOST: Final = int(np.iinfo(np.int16).max)
_TALL: Final = _MOST // 8
"""What goes over to the rest, when there is no more room for an addition: rows with this much."""
_FEW: Final = 8
"""Rows of an addition, or else columns of all, that are handled one by one where they are tall."""


class NarrowCounts:
    """Sums of n rows and W cells, any integers."""

    __slots__ = ("_bound", "_low", "_rest", "_size", "_wide")

    def __init__(self, width: int) -> None:
        self._low = np.empty((0, width), np.int16)
        self._size = 0
        self._rest: dict[int, IntArray] = {}
        """What is to be added to the low part of some rows `(W,)`."""
        self._wide: dict[int, IntArray] = {}
        """What is to be added to that of some columns, with room for as many rows."""
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
            for column, sums in self._wide.items():
                self._wide[column] = np.concatenate([sums, np.zeros(room - len(sums), np.int64)])
        self._size = size

    def add(self, places: Places, at: Places | slice, counts: npt.NDArray[np.integer]) -> None:
        """Add counts `(k, W)` to the rows at `places (k,)`, which are distinct; `at` are the same.

        `at` may be a slice, which is faster.
        """
        size = farthest(counts)
        if size > _TALL:
            # What is tall would use up everybody's room with every addition: rows of much traffic,
            # or columns that count in small units.
            counts = counts.copy()
            self._move(counts, places, at, columns=[*self._wide])
            self._move(counts, places, at, *self._tall(counts))
            size = farthest(counts)
        if self._bound + size > _MOST:
            low = self._low[: self._size]
            self._move(low, np.arange(self._size), slice(0, self._size), *self._tall(low))
            self._bound = _TALL
        self._bound += size
        self._low[at] += counts.astype(np.int16, copy=False)

    def _tall(self, counts: npt.NDArray[np.integer]) -> tuple[list[int], list[int]]:
        """Return which rows, or else which columns, are to stand apart, so that no cell is tall."""
        rows = np.flatnonzero(_sizes(counts, axis=1) > _TALL).tolist()
        if len(rows) > _FEW:
            columns = np.flatnonzero(_sizes(counts, axis=0) > _TALL).tolist()
            if len(self._wide.keys() | {*columns}) <= _FEW:
                return [], columns
        return rows, []

    def _move(
        self,
        counts: npt.NDArray[np.integer],
        places: Places,
        at: Places | slice,
        rows: Sequence[int] = (),
        columns: Sequence[int] = (),
    ) -> None:
        """Move some rows and columns of counts, which are at places, to what stands apart."""
        for column in columns:
            self._widened(column)[at] += counts[:, column]
            counts[:, column] = 0
        for row in rows:
            self._put(int(places[row]), counts[row])
            counts[row] = 0

    def add_all(self, places: Places, at: Places | slice, other: "NarrowCounts") -> None:
        """Add the rows of another table to those at `places (k,)`, as `add` does."""
        for row, counts in other.rows_apart.items():
            self._put(int(places[row]), counts)
        for column, sums in other.columns_apart.items():
            self._widened(column)[at] += sums[: len(other)]
        self.add(places, at, other.low)

    @property
    def low(self) -> npt.NDArray[np.int16]:
        """The low part of all rows `(n, W)`, a view."""
        return self._low[: self._size]

    @property
    def rows_apart(self) -> Mapping[int, IntArray]:
        """What is to be added to the low part of some rows `(W,)`."""
        return self._rest

    @property
    def columns_apart(self) -> Mapping[int, IntArray]:
        """What is to be added to the low part of some columns, of at least `n` rows."""
        return self._wide

    def _widened(self, column: int) -> IntArray:
        if column not in self._wide:
            self._wide[column] = np.zeros(len(self._low), np.int64)
        return self._wide[column]

    def _put(self, place: int, counts: npt.NDArray[np.integer]) -> None:
        if place not in self._rest:
            self._rest[place] = np.zeros(self._low.shape[1], np.int64)
        self._rest[place] += counts

    def rows(self, at: Places | slice) -> npt.NDArray[np.signedinteger]:
        """Return the counts of some rows: a view for a slice without any large ones."""
        if isinstance(at, slice):
            first, end, _ = at.indices(self._size)
            at = slice(first, end)
            found = [(place - first, place) for place in self._rest if first <= place < end]
        else:
            found = [(i, p) for i, p in enumerate(at.tolist()) if p in self._rest]
        low, columns = self._low[at], {column: sums[at] for column, sums in self._wide.items()}
        if not (found or columns):
            return low
        most = _MOST + max((farthest(self._rest[place]) for _, place in found), default=0)
        most += max(map(farthest, columns.values()), default=0)
        wide: type[np.int32 | np.int64] = np.int64
        if most <= np.iinfo(np.int32).max:
            wide = np.int32
        whole: npt.NDArray[np.signedinteger] = low.astype(wide)
        for i, place in found:
            whole[i] += self._rest[place].astype(whole.dtype)
        for column, sums in columns.items():
            whole[:, column] += sums.astype(whole.dtype)
        return whole


def farthest(counts: npt.NDArray[np.integer]) -> int:
    """Return the largest distance from 0."""
    return max(int(counts.max(initial=0)), -int(counts.min(initial=0)))


def _sizes(counts: npt.NDArray[np.integer], axis: int) -> IntArray:
    """Return the largest distance from 0 along an axis: that of each column, or of each row."""
    top = counts.max(axis=axis, initial=0).astype(np.int64)
    bottom = counts.min(axis=axis, initial=0).astype(np.int64)
    sizes: IntArray = np.maximum(top, -bottom)
    return sizes
