"""Blocks: additive statistics of some events, one row per slice row that they touch.

Everything that is counted anywhere (a poll's partial, an open pane, a window's step, a reference)
is a block, and blocks add up. Counts are integers, so their sums are exact and the same bits in any
order; sums of values are float64 and equal up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.narrow import NarrowCounts
from streamgauge.core.packed import PackedCounts

SUM, SUM_SQUARES = 0, 1
MINIMUM, MAXIMUM = 0, 1
GROUP: Final = 64
"""Rows of a sum whose changes are noted together."""


class Block(NamedTuple):
    """Statistics over k rows of a layout with W cells and M numeric fields.

    `rows (k,) int64`, distinct row numbers; `counts (k, W)`, an integer dtype; `sums (k, M, 2)
    float64`, Σ(x−c) and Σ(x−c)² about each field's centre c over its finite values; `extremes
    (k, E, 2) float64`, their minimum and maximum (+inf and −inf where there are none), E = M or,
    where none are kept, 0.
    """

    rows: IntArray
    counts: npt.NDArray[np.integer]
    sums: FloatArray
    extremes: FloatArray

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        return sum(array.nbytes for array in self)

    def take(self, at: npt.NDArray[np.intp] | slice) -> "Block":
        """Return the rows at these places."""
        return Block(self.rows[at], self.counts[at], self.sums[at], self.extremes[at])

    def of_rows(self, rows: IntArray) -> "Block":
        """Return the counts and sums of these rows, in their order; zeros where it has none."""
        place = {row: i for i, row in enumerate(self.rows.tolist())}
        at = np.array([place.get(row, -1) for row in rows.tolist()], np.int64)
        known = at >= 0
        counts = np.zeros((len(rows), self.counts.shape[1]), np.int64)
        sums: FloatArray = np.zeros((len(rows), *self.sums.shape[1:]))
        counts[known] = self.counts[at[known]]
        sums[known] = self.sums[at[known]]
        return Block(rows, counts, sums, np.zeros((len(rows), 0, 2)))

    def grouped(self, starts: npt.NDArray[np.intp]) -> "Block":
        """Return the block with runs of cells, which begin at `starts`, counted as one.

        It has no extremes.
        """
        counts = np.add.reduceat(self.counts, starts, axis=1, dtype=np.int64)
        return Block(self.rows, counts, self.sums, self.extremes[:, :0])

    def compact(self) -> "Block":
        """Return the same block with counts in the smallest dtype that holds them."""
        return self._replace(counts=small(self.counts))

    def negated(self) -> "Block":
        """Return what takes this block's counts and sums away; it has no extremes to take away."""
        return Block(self.rows, -self.counts.astype(np.int64), -self.sums, self.extremes[:, :0])


@dataclass(slots=True)
class BlockSum:
    """A growing sum of blocks: rows are added as they come, counts never overflow.

    Arrays are over-allocated; only the first `_size` rows are in use. `version` grows with every
    change.
    """

    width: int
    numeric: int
    extremes: int
    _local: npt.NDArray[np.intp]
    _rows: IntArray
    _counts: NarrowCounts
    _sums: FloatArray
    _extremes: FloatArray
    _size: int
    version: int
    _touched: IntArray
    """The version of the last change in each `GROUP` of rows."""
    _packed: PackedCounts | None
    """The counts, once somebody has asked for them so, until they change."""

    def __init__(self, width: int, numeric: int, extremes: int | None = None) -> None:
        self.width = width
        self.numeric = numeric
        self.extremes = numeric if extremes is None else extremes
        self._size = 0
        self.version = 0
        self._touched = np.zeros(0, np.int64)
        self._packed = None
        self._local = np.empty(0, np.intp)
        self._rows = np.empty(0, np.int64)
        self._counts = NarrowCounts(width)
        self._sums = np.empty((0, numeric, 2))
        self._extremes = np.empty((0, self.extremes, 2))

    def __len__(self) -> int:
        return self._size

    def add(self, block: Block) -> None:
        """Add a block; its rows are distinct."""
        at = self._add_counts(self._places(block.rows), block.counts)
        self._add_values(at, block.sums, block.extremes)

    def add_all(self, other: "BlockSum") -> None:
        """Add another sum, which takes less time than to add its block."""
        at = self._add_all_counts(other)
        _, _, sums, extremes = other.without_counts()
        self._add_values(at, sums, extremes)

    def _add_values(
        self, at: npt.NDArray[np.intp] | slice, sums: FloatArray, others: FloatArray
    ) -> None:
        self._sums[at] += sums
        if not self.extremes:
            return
        extremes = self._extremes
        extremes[at, :, MINIMUM] = np.minimum(extremes[at, :, MINIMUM], others[..., MINIMUM])
        extremes[at, :, MAXIMUM] = np.maximum(extremes[at, :, MAXIMUM], others[..., MAXIMUM])

    def add_counts(self, block: Block) -> None:
        """Add a block's counts and nothing else of it."""
        self._add_counts(self._places(block.rows), block.counts)

    def add_all_counts(self, other: "BlockSum") -> None:
        """Add the counts of another sum and nothing else of it."""
        self._add_all_counts(other)

    def subtract_counts(self, block: Block) -> None:
        """Take a block's counts away again. Sums and extremes cannot be taken away exactly."""
        counts = block.counts
        if counts.dtype.kind == "u" or counts.min(initial=0) == np.iinfo(counts.dtype).min:
            counts = counts.astype(np.int64)
        self._add_counts(self._places(block.rows), -counts)

    def packed(self) -> PackedCounts:
        """Return the counts packed, the same object as long as they do not change."""
        if self._packed is None:
            self._packed = PackedCounts(self.block().counts)
        return self._packed

    def place(self, row: int) -> int | None:
        """Return a row's place in the block, None where nothing of it was added."""
        place = int(self._local[row]) if row < len(self._local) else -1
        return None if place < 0 else place

    def counts_of(self, rows: IntArray) -> IntArray:
        """Return the counts of these rows `(k, W) int64`, as a copy; 0 of rows never added."""
        counts = np.zeros((len(rows), self.width), np.int64)
        inside = rows < len(self._local)
        places = np.full(len(rows), -1, np.intp)
        places[inside] = self._local[rows[inside]]
        known = places >= 0
        counts[known] = self._counts.rows(places[known])
        return counts

    def block(self) -> Block:
        """Return the sum as a block, of views where that can be: valid until the next addition."""
        size = self._size
        return self._part(slice(0, size))

    def without_counts(self) -> Block:
        """Return the sum as `block` does, but for its counts: there are no cells."""
        at = slice(0, self._size)
        none = np.empty((self._size, 0), np.int16)
        return Block(self._rows[at], none, self._sums[at], self._extremes[at])

    @property
    def counts(self) -> NarrowCounts:
        """The counts of all rows."""
        return self._counts

    def sums_of(self, row: int) -> FloatArray | None:
        """Return a row's sums `(M, 2)`, None where nothing of it was added."""
        place = self.place(row)
        return None if place is None else self._sums[place]

    def _part(self, at: slice) -> Block:
        return Block(self._rows[at], self._counts.rows(at), self._sums[at], self._extremes[at])

    def groups(self) -> list[tuple[int, Callable[[], Block]]]:
        """Return the sum in blocks of `GROUP` rows, each with the version of its last change."""
        starts = range(0, self._size, GROUP)
        return [
            (
                int(self._touched[start // GROUP]),
                partial(self._part, slice(start, min(start + GROUP, self._size))),
            )
            for start in starts
        ]

    def copy(self) -> Block:
        """Return the sum as a block of its own."""
        return self.block().take(np.arange(self._size))

    def _add_counts(
        self, places: npt.NDArray[np.intp], counts: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.intp] | slice:
        self._note(places)
        at = _as_slice(places)
        self._counts.add(places, at, counts)
        return at

    def _add_all_counts(self, other: "BlockSum") -> npt.NDArray[np.intp] | slice:
        places = self._places(other.without_counts().rows)
        self._note(places)
        at = _as_slice(places)
        self._counts.add_all(places, at, other.counts)
        return at

    def _note(self, places: npt.NDArray[np.intp]) -> None:
        self._packed = None
        self.version += 1
        self._touched[places // GROUP] = self.version

    def _places(self, rows: IntArray) -> npt.NDArray[np.intp]:
        top = int(rows.max(initial=-1)) + 1
        if top > len(self._local):
            grown = np.full(max(top, 2 * len(self._local)), -1, np.intp)
            grown[: len(self._local)] = self._local
            self._local = grown
        at = self._local[rows]
        new = at < 0
        if new.any():
            added = rows[new]
            self._grow(self._size + len(added))
            places = np.arange(self._size, self._size + len(added))
            self._rows[places] = added
            self._local[added] = places
            self._size += len(added)
            self._counts.grow(self._size, len(self._rows))
            at = self._local[rows]
        return at

    def _grow(self, size: int) -> None:
        room = len(self._rows)
        if size <= room:
            return
        more = max(size, room + room // 2 + 4) - room
        self._rows = np.concatenate([self._rows, np.zeros(more, np.int64)])
        groups = -(-len(self._rows) // GROUP)
        fresh = np.zeros(groups - len(self._touched), np.int64)
        self._touched = np.concatenate([self._touched, fresh])
        sums = np.zeros((len(self._rows), self.numeric, 2))
        sums[: self._size] = self._sums[: self._size]
        self._sums = sums
        empty = np.empty((more, self.extremes, 2))
        empty[..., MINIMUM] = np.inf
        empty[..., MAXIMUM] = -np.inf
        self._extremes = np.concatenate([self._extremes, empty])


def small(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Return counts in the smallest dtype that holds them."""
    top = int(counts.max(initial=0))
    # uint64 is never needed, and would turn sums with int64 into floating-point numbers.
    fits = top < 2**32 and counts.min(initial=0) >= 0
    dtype = np.min_scalar_type(top) if fits else np.dtype(np.int64)
    return counts.astype(dtype, copy=False)


def _as_slice(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp] | slice:
    """Return places that follow one another, as they mostly do, as a slice: added in place."""
    n = len(places)
    if not n or places[-1] - places[0] != n - 1:
        return places
    first = int(places[0])
    return slice(first, first + n) if (places == np.arange(first, first + n)).all() else places


def total(blocks: list[Block], width: int, numeric: int, extremes: int | None = None) -> Block:
    """Return the sum of blocks."""
    result = BlockSum(width, numeric, extremes)
    for block in blocks:
        result.add(block)
    return result.block()
