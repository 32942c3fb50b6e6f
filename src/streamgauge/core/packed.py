"""Packed counts: those of a closed step, at the few bits that most of a row's cells need.

A step is written once, and read once more when it leaves its window, or for a single row; so it is
kept small instead, and can be spilled. Most cells of most rows hold 0, 1 or a few; the low bits of
a row's cells stand side by side, deflated, and the cells that need more have the rest in a list.
Nothing is rounded.

    row      0  1  0  2  0  17  0  1       two bits a cell: 17 is 1 + 4·4
    low      0  1  0  2  0   1  0  1
    more                   (5, 4)
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import IntArray
from streamgauge.core.spill import Spill, SpillableArray
from streamgauge.core.squeezed import SqueezedRows

BITS: Final = (0, 1, 2, 4, 8, 16)
"""How many bits a cell may have in a row. A cell that needs more costs `_MORE_BYTES` besides."""
_MORE_BYTES: Final = 8
_TOP: Final = 255
_MOST: Final = int(np.iinfo(np.int32).max)
_Bytes = npt.NDArray[np.uint8]
_WHOLE: Final[dict[int, type[np.int32 | np.int64]]] = {4: np.int32, 8: np.int64}
"""What counts come back in, by its bytes."""


def _unpacked(bits: int) -> npt.NDArray[np.unsignedinteger]:
    """Return the cells that each byte holds, the first in its lowest bits: `(256,)`.

    A byte's 8 / `bits` cells, of a byte each, are one number: so they are copied at once.
    """
    shifts = np.arange(0, 8, bits)
    cells = ((np.arange(256)[:, None] >> shifts) & ((1 << bits) - 1)).astype(np.uint8)
    return cells.view(f"u{len(shifts)}").reshape(-1)


_CELLS: Final = {bits: _unpacked(bits) for bits in (1, 2, 4)}


class _Group(NamedTuple):
    """The g rows that have so many bits a cell.

    `low (g, B)` are the low bits; `at (m,)` are the flat places of the cells that need more,
    ascending, and `more (m,)` what is above their low bits.
    """

    bits: int
    low: SqueezedRows
    at: SpillableArray
    more: SpillableArray

    @property
    def nbytes(self) -> int:
        return self.low.nbytes + self.at.nbytes + self.more.nbytes

    def spill(self, to: Spill) -> None:
        """Put the cells there."""
        for each in (self.low, self.at, self.more):
            each.spill(to)

    def check(self, size: int, width: int) -> None:
        """Raise ValueError where these are not `size` rows of `width` cells."""
        due = size, -(-width * self.bits // 8)
        at = self.at.whole()
        inside = at.max(initial=0) < max(size * width, 1) and at.min(initial=0) >= 0
        if self.bits not in BITS or self.low.shape != due:
            raise ValueError(f"{self.bits} bits a cell are {self.low.shape} bytes, not {due}")
        if not inside or at.ndim != 1 or self.at.shape != self.more.shape:
            raise ValueError(f"{self.bits} bits a cell have more where no cell is")

    def data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        cells = {"low": self.low.data(), "at": self.at.whole(), "more": self.more.whole()}
        return {"bits": self.bits, **cells}

    @classmethod
    def restored(cls, data: dict[str, Any]) -> "_Group":
        """Return what `data` was taken of. Raises ValueError where it does not fit."""
        at, more = (SpillableArray(np.array(data[name])) for name in ("at", "more"))
        return cls(int(data["bits"]), SqueezedRows.restored(data["low"]), at, more)

    def lows(self, low: _Bytes, width: int) -> npt.NDArray[np.integer]:
        """Return the cells `(k, width)` whose low bits are these of some of its rows."""
        if self.bits == 16:
            return low.view(np.uint16)
        if self.bits == 8:
            return low
        if not self.bits:
            return np.zeros((len(low), width), np.uint8)
        return _CELLS[self.bits].take(low).view(np.uint8)[:, :width]


class PackedCounts:
    """Counts of k rows and W cells, any integers; `shape` is (k, W)."""

    __slots__ = ("_group_of", "_groups", "_used", "dtype", "shape")

    def __init__(self, counts: npt.NDArray[np.integer]) -> None:
        self.shape: tuple[int, int] = (counts.shape[0], counts.shape[1])
        low = counts.astype(np.uint8)
        tall = np.flatnonzero((counts > _TOP) | (counts < 0))
        need = low
        if len(tall):
            need = low.copy()
            need.reshape(-1)[tall] = _TOP
        used = np.flatnonzero(np.bitwise_or.reduce(need, axis=0))
        self._used = used.astype(np.min_scalar_type(max(counts.shape[1], 1)))
        low, need = low.take(used, axis=1), need.take(used, axis=1)
        bits = _bits(need, counts, used)
        self._group_of = bits.astype(np.uint8)
        self._groups: dict[int, _Group] = {}
        for each in np.unique(bits).tolist():
            rows = np.flatnonzero(bits == each)
            self._groups[each] = _pack(each, rows, low, need, counts, used)
        self.dtype: type[np.int32 | np.int64] = np.int32
        """What the counts fit into, and come back in."""
        if len(tall):
            some = counts.reshape(-1)[tall]
            if max(int(some.max()), -int(some.min())) > _MOST:
                self.dtype = np.int64

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, wherever they are."""
        arrays = self._used.nbytes + self._group_of.nbytes
        return arrays + sum(group.nbytes for group in self._groups.values())

    def spill(self, to: Spill) -> None:
        """Put the cells there; what they come back as is the same."""
        for group in self._groups.values():
            group.spill(to)

    def take(self, rows: npt.NDArray[np.intp]) -> IntArray:
        """Return the counts of the rows at these places `(n, W) int64`."""
        result = np.zeros((len(rows), self.shape[1]), np.int64)
        width = len(self._used)
        of = self._group_of[rows]
        for bits, group in self._groups.items():
            at = np.flatnonzero(of == bits)
            if not len(at):
                continue
            place = np.cumsum(self._group_of == bits) - 1
            chosen = place[rows[at]]
            result[at[:, None], self._used] = group.lows(group.low.take(chosen), width)
            over, more = group.at.whole(), group.more.whole()
            starts = np.searchsorted(over, chosen * width)
            lengths = np.searchsorted(over, (chosen + 1) * width) - starts
            row = np.repeat(np.arange(len(chosen)), lengths)
            within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            found = np.repeat(starts, lengths) + within
            cell = self._used[over[found].astype(np.int64) - chosen[row] * width]
            result[at[row], cell] += more[found].astype(np.int64) << bits
        return result

    def whole(self) -> npt.NDArray[np.signedinteger]:
        """Return all counts `(k, W)`, of `dtype`."""
        result = np.zeros(self.shape, self.dtype)
        width = len(self._used)
        # Unused cells are taken from one more, which is empty.
        origin = np.full(self.shape[1], width, np.intp)
        origin[self._used] = np.arange(width)
        for bits, group in self._groups.items():
            rows = np.flatnonzero(self._group_of == bits)
            low = group.lows(group.low.whole(), width)
            wider = np.zeros((len(rows), width + 1), low.dtype)
            wider[:, :width] = low
            counts = wider.take(origin, axis=1).astype(self.dtype)
            at, more = group.at.whole(), group.more.whole()
            if len(at):
                row, cell = np.divmod(at, width)
                counts[row, self._used[cell]] += np.left_shift(more, bits, dtype=self.dtype)
            result[rows] = counts
        return result

    def data(self) -> dict[str, Any]:
        """Return everything as plain data, whose arrays are shared."""
        groups = [group.data() for group in self._groups.values()]
        bits = {"used": self._used, "bits": self._group_of, "groups": groups}
        return {"shape": [*self.shape], "bytes": np.dtype(self.dtype).itemsize, **bits}

    @classmethod
    def restored(cls, data: dict[str, Any]) -> "PackedCounts":
        """Return a copy of what `data` was taken of. Raises ValueError where it does not fit."""
        found = cls(np.empty((0, 0), np.int64))
        size, width = data["shape"]
        found.shape, found.dtype = (int(size), int(width)), _WHOLE[data["bytes"]]
        found._used, found._group_of = np.array(data["used"]), np.array(data["bits"])
        if found._group_of.shape != (size,) or found._used.max(initial=0) >= max(width, 1):
            raise ValueError(f"counts of {size} rows and {width} cells are packed otherwise")
        found._groups = {}
        for each in data["groups"]:
            group = _Group.restored(each)
            rows = int(np.count_nonzero(found._group_of == group.bits))
            group.check(rows, len(found._used))
            found._groups[group.bits] = group
        if not {*found._groups} >= {*np.unique(found._group_of).tolist()}:
            raise ValueError("rows are packed with bits that nothing is there of")
        return found


def _bits(
    need: _Bytes, counts: npt.NDArray[np.integer], used: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return how many bits a cell each row has best `(k,)`.

    `need (k, U)` are the used cells' counts, and 255 of all that are no less.
    """
    size, width = need.shape
    best = np.full(size, np.iinfo(np.int64).max)
    bits = np.zeros(size, np.intp)
    over = np.zeros(size, np.int64)
    for each in BITS:
        if each <= 8:
            # Those of 255 itself are few.
            above = need > min((1 << each) - 1, _TOP - 1)
            over = np.add.reduce(above, axis=1, dtype=np.uint16 if width < 2**16 else np.int64)
        else:
            some = np.flatnonzero(over)
            over[some] = np.count_nonzero(counts[some[:, None], used] >> each, axis=1)
        cost = -(-width * each // 8) + _MORE_BYTES * over.astype(np.int64)
        bits[cost < best] = each
        np.minimum(best, cost, out=best)
    return bits


def _pack(
    bits: int,
    rows: npt.NDArray[np.intp],
    low: _Bytes,
    need: _Bytes,
    counts: npt.NDArray[np.integer],
    used: npt.NDArray[np.intp],
) -> _Group:
    """Return the rows at these places with so many bits a cell."""
    size, width = len(rows), low.shape[1]
    if size < len(low):
        low, need = low[rows], need[rows]
    packed = np.empty((size, 0), np.uint8)
    if bits == 16:
        packed = counts[rows[:, None], used].astype(np.uint16).view(np.uint8)
    elif bits == 8:
        packed = low
    elif bits:
        each = 8 // bits
        cells = np.zeros((size, -(-width // each) * each), np.uint8)
        np.bitwise_and(low, np.uint8((1 << bits) - 1), out=cells[:, :width])
        packed = cells[:, 0::each].copy()
        for i in range(1, each):
            packed |= cells[:, i::each] << np.uint8(i * bits)
    at = np.flatnonzero(need > min((1 << bits) - 1, _TOP - 1))
    row, cell = np.divmod(at, max(width, 1))
    more = counts[rows[row], used[cell]] >> bits
    kept = more != 0
    at, more = at[kept], more[kept]
    if more.min(initial=0) >= 0:
        more = more.astype(np.min_scalar_type(int(more.max(initial=0))))
    at = at.astype(np.uint32 if size * width < 2**32 else np.int64)
    return _Group(bits, SqueezedRows(packed), SpillableArray(at), SpillableArray(more))
