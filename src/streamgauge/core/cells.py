"""Cells: the statistics of some events by pane and row, field by field."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, CodeArray, FloatArray, IntArray
from streamgauge.core.bins import NumericBins
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.columns import Bins, Column, Numbers
from streamgauge.core.grouping import Places, compact, parted
from streamgauge.core.layout import Layout

Number = TypeVar("Number", bound="np.number[Any]")

MOST_CELLS: Final = 1
"""Cells for each event up to which all of them are counted anew and copied. With more, each event
is added where it belongs, which takes longer by event and nothing by cell."""
LARGEST: Final = 1e150
"""Values are clipped to ± this in sums, so that one absurd value cannot make them infinite."""


class Where(NamedTuple):
    """Where each of some events falls under one slice specification.

    `keys (n,)` are a pane's code times `len(rows)`, plus the index of the event's row in `rows`.
    There is an event with each key from 0 on if they are `dense`.
    """

    rows: IntArray
    keys: IntArray | CodeArray
    dense: bool = False

    @classmethod
    def of(cls, rows: IntArray | CodeArray, panes: Places | None) -> "Where":
        """Return where events fall, each of a row `(n,)` and with its pane's code `(n,)`.

        Without codes all are in one pane.
        """
        known, at = compact(rows)
        if panes is None:
            return cls(known, at, dense=True)
        return cls(known, panes * len(known) + at)

    def by_pane(
        self,
        keys: IntArray,
        counts: npt.NDArray[np.signedinteger],
        sums: FloatArray,
        extremes: FloatArray,
    ) -> Iterator[tuple[int, Block]]:
        """Yield a block for each pane with its code, out of what was counted by distinct `keys`."""
        panes, at = np.divmod(keys, len(self.rows))
        block = Block(self.rows[at], counts, sums, extremes)
        bounds = [*np.flatnonzero(np.diff(panes, prepend=-1)).tolist(), len(panes)]
        for low, high in pairwise(bounds):
            yield int(panes[low]), block.take(slice(low, high))


def counts_dtype(events: int) -> type[np.int16] | type[np.int32]:
    """Return what so many events are counted in: of many rows most of the time goes into memory."""
    return np.int16 if events <= np.iinfo(np.int16).max else np.int32


class Counted:
    """Counts and sums of some events by place and cell, and which `ok (n,)` of them were served.

    `places (n,)` tell where each event falls, each below `size`.
    """

    def __init__(
        self, layout: Layout, places: Places | CodeArray, size: int, ok: BoolArray
    ) -> None:
        self._layout = layout
        self._counts: npt.NDArray[Any] = np.zeros((size, layout.width), counts_dtype(len(places)))
        self._moment = {position: i for i, position in enumerate(layout.numeric)}
        self._sums = np.zeros((size, len(layout.numeric), 2))
        self._all = _Places(places, size)
        self._served = self._all if ok.all() else _Places(places[ok], size)

    def add(self, column: Column, powers: "Powers | None") -> None:
        """Count one field of the events, and of a numeric one sum its `powers`."""
        places = self._places_of(column)
        places.count(column.bins, self._layout.cells(column.position), self._counts)
        if powers is not None:
            places.add_up(powers, self._sums[:, self._moment[column.position]])

    def _places_of(self, column: Column) -> "_Places":
        """Return where the events fall that have a field."""
        return self._served if column.served else self._all


class RowTally(Counted):
    """Counts, sums and extremes, best of few rows."""

    def __init__(self, layout: Layout, crossed: "Crossed", ok: BoolArray) -> None:
        super().__init__(layout, crossed.places, crossed.size, ok)
        (self._member,) = crossed.members
        self._extremes = np.empty(self._sums.shape)
        self._extremes[..., MINIMUM] = np.inf
        self._extremes[..., MAXIMUM] = -np.inf

    def add(self, column: Column, powers: "Powers | None") -> None:
        """Count one field of the events."""
        super().add(column, powers)
        if column.numbers is not None:
            extremes = self._extremes[:, self._moment[column.position]]
            self._places_of(column).extremes(column.numbers, extremes)

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        member = self._member
        return member.where.by_pane(member.keys, self._counts, self._sums, self._extremes)


class SliceTally(Counted):
    """Counts and sums of many rows under one or more slice specifications; no extremes.

    Events are counted by where they fall under all of the specifications at once. What each of
    them is given is added up from that, which costs nothing by event.
    """

    def __init__(self, layout: Layout, crossed: "Crossed", ok: BoolArray) -> None:
        super().__init__(layout, crossed.places, crossed.size, ok)
        self._crossed = crossed

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        for member in self._crossed.members:
            yield from member.blocks(self._counts, self._sums)


class Member(NamedTuple):
    """One specification: its distinct `keys`, and whose place each crossed one `(K,)` is."""

    where: Where
    keys: IntArray
    places: Places

    def blocks(
        self, counts: npt.NDArray[np.signedinteger], sums: FloatArray
    ) -> Iterator[tuple[int, Block]]:
        """Yield its statistics by pane, with the pane's code, out of those of the crossed places.

        Those are `counts (K, W)` and `sums (K, M, 2)`; there are no extremes.
        """
        size = len(self.keys)
        return self.where.by_pane(
            self.keys,
            _added(counts, self.places, size),
            _added(sums, self.places, size),
            np.empty((size, 0, 2)),
        )


class Crossed(NamedTuple):
    """Events by where they fall under several specifications: `places (n,)`, below `size` (K)."""

    places: Places | CodeArray
    size: int
    members: tuple[Member, ...]

    @classmethod
    def of(cls, where: Where) -> "Crossed":
        """Return one specification alone."""
        if where.dense:
            keys = np.arange(len(where.rows))
            return cls(where.keys, len(keys), (Member(where, keys, keys),))
        keys, places = compact(where.keys)
        return cls(places, len(keys), (Member(where, keys, np.arange(len(keys))),))


EVENTS_A_PLACE: Final = 16
"""Specifications are crossed as long as there are this many events for each place, or more.

Counting once more costs time by event, adding a place up by place; with compiled code there was no
difference between 4 and 32, with numpy 200 ns an event with 20 numbers stand against 1 µs a place.
"""


def crossed(wheres: Sequence[Where]) -> list[Crossed]:
    """Cross specifications, the small ones first, as far as that is cheaper than counting each."""
    found: list[Crossed] = []
    for each in sorted(map(Crossed.of, wheres), key=lambda each: each.size):
        if found and found[-1].size * each.size * EVENTS_A_PLACE <= len(each.places):
            found.append(_cross(found.pop(), each))
        else:
            found.append(each)
    return found


def _cross(one: Crossed, other: Crossed) -> Crossed:
    places, last = parted(one.places, one.size, other.places, other.size)
    members = [
        member._replace(places=member.places[each.places[last]])
        for each in (one, other)
        for member in each.members
    ]
    return Crossed(places, len(last), tuple(members))


def _added(values: npt.NDArray[Number], places: Places, size: int) -> npt.NDArray[Number]:
    """Return the sums of `values (K, ...)` over each place `(size, ...)`; all of them occur."""
    if size == len(values) and (np.diff(places) > 0).all():
        return values
    order = np.argsort(places, kind="stable")
    held = np.bincount(places, minlength=size)
    added: npt.NDArray[Number] = np.add.reduceat(
        values.take(order, axis=0), np.cumsum(held) - held, axis=0, dtype=values.dtype
    )
    return added


class Powers(NamedTuple):
    """x − c and (x − c)² of a column's numbers `(n,) float64`, 0 where there is no finite x."""

    first: FloatArray
    second: FloatArray


def powers_of(layout: Layout, column: Column) -> Powers | None:
    """Return what the sums of a numeric column are made of, None of another one."""
    if column.numbers is None:
        return None
    bins = layout.fields[column.position].bins
    assert isinstance(bins, NumericBins)
    values, extremes = column.numbers
    shifted = values - bins.center
    if extremes is None:
        shifted[~np.isfinite(values)] = 0.0
        low, high = shifted.min(initial=0.0), shifted.max(initial=0.0)
    else:
        low, high = extremes[0] - bins.center, extremes[1] - bins.center
    if low < -LARGEST or high > LARGEST:
        np.clip(shifted, -LARGEST, LARGEST, out=shifted)
    return Powers(shifted, shifted * shifted)


class Wanted(NamedTuple):
    """What is counted: `fewer` says whether in the bins for slices, else with extremes.

    Extremes are of one specification alone.
    """

    crossed: Crossed
    fewer: bool


Also = Sequence[Callable[[slice, Column], None]]
"""What is called with every part of a batch and each of its columns; these may lack numbers."""


class _Sorted(NamedTuple):
    """Events by place: their `order (n,)`, the places that have any, where each begins in it."""

    order: Places
    filled: Places
    starts: Places


class _Places:
    """Where some events go: `places (n,)`, each below `size`."""

    def __init__(self, places: Places | CodeArray, size: int) -> None:
        # Times the width of a row they may need more than four bytes.
        self._places = places.astype(np.intp, copy=False)
        self._size = size
        self._known: _Sorted | None = None
        self._begun: tuple[int, Places] | None = None

    def count(
        self,
        bins: Bins,
        cells: slice,
        counts: npt.NDArray[np.signedinteger],
    ) -> None:
        """Set the cells of each place's counts `(size, W)`, 0 so far, to the events in each bin."""
        width = cells.stop - cells.start
        if self._size * width > MOST_CELLS * len(bins):
            at = self._starts(counts.shape[1]) + bins
            np.add.at(counts.reshape(-1)[cells.start :], at, counts.dtype.type(1))
            return
        at = bins if self._size == 1 else self._starts(width) + bins
        found = np.bincount(at, minlength=self._size * width)
        counts[:, cells] = found.reshape(self._size, width)

    def add_up(self, powers: "Powers", sums: FloatArray) -> None:
        """Set the sums `(size, 2)` of each place, 0 so far."""
        for which, values in ((SUM, powers.first), (SUM_SQUARES, powers.second)):
            if self._size == 1:
                sums[0, which] = values.sum()
            else:
                sums[:, which] = np.bincount(self._places, values, minlength=self._size)

    def _starts(self, width: int) -> Places:
        """Return the first cell of each place; most fields are as wide as the one before."""
        if self._begun is None or self._begun[0] != width:
            self._begun = width, self._places * width
        return self._begun[1]

    def _sorted(self) -> "_Sorted":
        """Return the events in the order of their places, found when it is first asked for."""
        if self._known is None:
            # Sorted by radix up to 16 bits.
            narrow = self._places.astype(np.min_scalar_type(self._size))
            held = np.bincount(self._places, minlength=self._size)
            filled = np.flatnonzero(held)
            order = np.argsort(narrow, kind="stable")
            self._known = _Sorted(order, filled, (np.cumsum(held) - held)[filled])
        return self._known

    def extremes(self, numbers: Numbers, extremes: FloatArray) -> None:
        """Set the extremes `(size, 2)` of the places with finite numbers."""
        values = numbers.values
        finite = None if numbers.whole else np.isfinite(values)
        if finite is not None and not finite.any():
            return
        if self._size == 1:
            if finite is not None:
                numbers = Numbers.of(values[finite])
            extremes[0] = numbers.extremes
            return
        order, at, starts = self._sorted()
        values = values.take(order)
        absent = None if finite is None else ~finite.take(order)
        for which, reduce, nothing in _EXTREMES:
            if absent is not None:
                values[absent] = nothing
            extremes[at, which] = reduce.reduceat(values, starts)


_EXTREMES: Final = ((MINIMUM, np.minimum, np.inf), (MAXIMUM, np.maximum, -np.inf))
