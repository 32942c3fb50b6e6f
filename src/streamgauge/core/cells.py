"""Cells: the statistics of some events by pane and row, field by field."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.bins import NumericBins
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.columns import Column
from streamgauge.core.grouping import Places, compact
from streamgauge.core.layout import Layout

LARGEST: Final = 1e150
"""Values are clipped to ± this in sums, so that one absurd value cannot make them infinite."""


class Counted:
    """Counts of some events by pane, row and cell.

    `keys (n,)` tell where each event falls: pane code times `len(rows)`, plus the index of its row
    in `rows`; `ok (n,)` which events were served.
    """

    def __init__(self, layout: Layout, rows: IntArray, keys: IntArray, ok: BoolArray) -> None:
        self._rows = rows
        self._keys, places = compact(keys)
        self._layout = layout
        size = len(self._keys)
        self._counts = np.zeros((size, layout.width), np.int32)
        self._all = _Places(places, size)
        self._served = self._all if ok.all() else _Places(places[ok], size)

    def add(self, column: Column) -> None:
        """Count one field of the events."""
        places = self._served if column.served else self._all
        cells = self._layout.cells(column.position)
        self._counts[:, cells] = places.count(column.bins, cells.stop - cells.start)

    def _by_pane(self, sums: FloatArray, extremes: FloatArray) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        panes, at = np.divmod(self._keys, len(self._rows))
        block = Block(self._rows[at], self._counts, sums, extremes)
        bounds = [*np.flatnonzero(np.diff(panes, prepend=-1)).tolist(), len(panes)]
        for low, high in pairwise(bounds):
            yield int(panes[low]), block.take(slice(low, high))


class RowTally(Counted):
    """Counts, sums and extremes, best of few rows."""

    def __init__(self, layout: Layout, rows: IntArray, keys: IntArray, ok: BoolArray) -> None:
        super().__init__(layout, rows, keys, ok)
        self._moment = {position: i for i, position in enumerate(layout.numeric)}
        shape = (len(self._keys), len(layout.numeric), 2)
        self._sums = np.zeros(shape)
        self._extremes = np.empty(shape)
        self._extremes[..., MINIMUM] = np.inf
        self._extremes[..., MAXIMUM] = -np.inf

    def add(self, column: Column) -> None:
        """Count one field of the events."""
        super().add(column)
        if column.numbers is not None:
            places = self._served if column.served else self._all
            at = self._moment[column.position]
            bins = self._layout.fields[column.position].bins
            assert isinstance(bins, NumericBins)
            places.moments(column.numbers, bins.center, self._sums[:, at], self._extremes[:, at])

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        return self._by_pane(self._sums, self._extremes)


class SliceTally(Counted):
    """Counts and sums of many rows; extremes are not kept."""

    def __init__(self, layout: Layout, rows: IntArray, keys: IntArray, ok: BoolArray) -> None:
        super().__init__(layout, rows, keys, ok)
        self._moment = {position: i for i, position in enumerate(layout.numeric)}
        self._sums = np.zeros((len(self._keys), len(layout.numeric), 2))

    def add(self, column: Column, powers: "Powers | None" = None) -> None:
        """Count one field of the events, and of a numeric one sum what `powers_of` gives."""
        super().add(column)
        if powers is not None:
            places = self._served if column.served else self._all
            at = self._moment[column.position]
            self._sums[:, at, SUM] = places.sum(powers.first)
            self._sums[:, at, SUM_SQUARES] = places.sum(powers.second)

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        return self._by_pane(self._sums, np.empty((len(self._sums), 0, 2)))


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
    shifted = column.numbers - bins.center
    finite = np.isfinite(column.numbers)
    if not finite.all():
        shifted[~finite] = 0.0
    np.clip(shifted, -LARGEST, LARGEST, out=shifted)
    return Powers(shifted, shifted * shifted)


class _Sorted(NamedTuple):
    """Events by place: their `order (n,)`, the places that have any, where each begins in it."""

    order: Places
    filled: Places
    starts: Places


class _Places:
    """Where some events go: `places (n,)`, each below `size`."""

    def __init__(self, places: Places, size: int) -> None:
        self._places = places
        self._size = size
        self._known: _Sorted | None = None

    def count(self, bins: npt.NDArray[np.intp], width: int) -> IntArray:
        """Return how many events of each place are in each bin `(size, width) int64`."""
        at = bins if self._size == 1 else self._places * width + bins
        return np.bincount(at, minlength=self._size * width).reshape(self._size, width)

    def sum(self, values: FloatArray) -> FloatArray:
        """Return the sum of values `(n,)` over each place `(size,)`."""
        summed = np.bincount(self._places, values, minlength=self._size)
        return np.asarray(summed, np.float64)

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

    def moments(
        self, numbers: FloatArray, center: float, sums: FloatArray, extremes: FloatArray
    ) -> None:
        """Set sums about the centre and extremes `(size, 2)` of the places with finite numbers."""
        finite = np.isfinite(numbers)
        whole = bool(finite.all())
        if not finite.any():
            return
        if self._size == 1:
            values = numbers if whole else numbers[finite]
            extremes[0] = low, high = values.min(), values.max()
            shifted = _shifted(values, center, low, high)
            sums[0] = shifted.sum(), (shifted * shifted).sum()
            return
        order, at, starts = self._sorted()
        values = numbers.take(order)
        if whole:
            extremes[at, MINIMUM] = np.minimum.reduceat(values, starts)
            extremes[at, MAXIMUM] = np.maximum.reduceat(values, starts)
        else:
            absent = ~finite.take(order)
            values[absent] = np.inf
            extremes[at, MINIMUM] = np.minimum.reduceat(values, starts)
            values[absent] = -np.inf
            extremes[at, MAXIMUM] = np.maximum.reduceat(values, starts)
            values[absent] = center
        shifted = _shifted(values, center, extremes[at, MINIMUM].min(), extremes[at, MAXIMUM].max())
        sums[at, SUM] = np.add.reduceat(shifted, starts)
        sums[at, SUM_SQUARES] = np.add.reduceat(shifted * shifted, starts)


def _shifted(values: FloatArray, center: float, low: float, high: float) -> FloatArray:
    """Return finite values less their centre, clipped if their extremes call for it."""
    if low < -LARGEST or high > LARGEST:
        values = np.clip(values, -LARGEST, LARGEST)
    return values - center
