"""Aggregate: columnar events to partials, with no Python loop over events.

A field gives each event one bin. Adding the event's row times the field's width turns counting into
one `bincount` per field and slice specification, over arrays small enough for the processor's
cache.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, EventBatch, FloatArray, IntArray
from streamgauge.core.bins import CategoricalBins, NumericBins
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.columns import Column, columns
from streamgauge.core.grouping import Places, compact, slice_rows
from streamgauge.core.layout import Layout, Subject, SubjectKind
from streamgauge.core.partial import Partial
from streamgauge.core.slices import SliceRegistry, SliceSpec

CHUNK = 65_536
"""Events aggregated at once."""
MANY_ROWS = 4_096
"""With more rows of counts than this, fewer events are aggregated at once."""
SMALL_CHUNK = 8_192
"""Events aggregated at once then: bounds the working memory whatever the batch."""
LARGEST = 1e150
"""Values are clipped to ± this in sums, so that one absurd value cannot make them infinite."""


class Aggregator:
    """Counts batches of one model into partials.

    `slices` are counted besides the whole of each version. The registry is the only state, and it
    only grows.
    """

    def __init__(
        self,
        layout: Layout,
        slices: tuple[SliceSpec, ...],
        registry: SliceRegistry,
        pane_ms: int,
    ) -> None:
        self.layout = layout
        self.slices = slices
        self.registry = registry
        self.pane_ms = pane_ms

    def aggregate(
        self,
        batch: EventBatch,
        also: Sequence[Callable[[slice, Column], None]] = (),
        rows_also: Callable[[IntArray], None] | None = None,
    ) -> Partial:
        """Return the statistics of a batch.

        `also` are called with every part of the batch and each of its columns, for what else is to
        be counted of the same bins; `rows_also` with every event's row, for the whole version and
        then for each slice specification.
        """
        panes, pane_codes = compact(batch.timestamp // self.pane_ms)
        specs = (SliceSpec(()), *self.slices)
        groupings = [compact(slice_rows(batch, spec, self.registry)) for spec in specs]
        if rows_also is not None:
            for rows, places in groupings:
                rows_also(rows[places])
        most = max(len(rows) for rows, _ in groupings) * len(panes)
        chunk = CHUNK if most <= MANY_ROWS else SMALL_CHUNK
        pieces: list[tuple[int, Block]] = []
        for first in range(0, len(batch), chunk):
            part = slice(first, min(first + chunk, len(batch)))
            ok = batch.ok[part]
            tallies = [
                _Tally(self.layout, rows, pane_codes[part] * len(rows) + places[part], ok)
                for rows, places in groupings
            ]
            for column in columns(self.layout, batch, part):
                for tally in tallies:
                    tally.add(column)
                for call in also:
                    call(part, column)
            for tally in tallies:
                pieces += [(int(panes[code]), block) for code, block in tally.blocks()]
        return Partial(tuple(pieces), self._unseen(batch))

    def _unseen(self, batch: EventBatch) -> dict[str, dict[str, int]]:
        schema = batch.schema
        found = {}
        for name, column in zip(
            (*schema.categorical, *schema.boolean), batch.categorical, strict=True
        ):
            position = self.layout.position(Subject(SubjectKind.FEATURE, name))
            assert position is not None
            bins = self.layout.fields[position].bins
            assert isinstance(bins, CategoricalBins)
            values = bins.unseen_values(column, batch.ok)
            if values:
                found[name] = values
        return found


class _Tally:
    """The statistics of some events by pane and row.

    `keys (n,)` tell where each event falls: pane code times `len(rows)`, plus the index of its row
    in `rows`.
    """

    def __init__(self, layout: Layout, rows: IntArray, keys: IntArray, ok: BoolArray) -> None:
        self._rows = rows
        self._keys, places = compact(keys)
        self._layout = layout
        self._moment = {position: i for i, position in enumerate(layout.numeric)}
        size, numeric = len(self._keys), len(layout.numeric)
        self._counts = np.zeros((size, layout.width), np.int64)
        self._sums = np.zeros((size, numeric, 2))
        self._extremes = np.empty((size, numeric, 2))
        self._extremes[..., MINIMUM] = np.inf
        self._extremes[..., MAXIMUM] = -np.inf
        self._all = _Places(places, size)
        self._served = self._all if ok.all() else _Places(places[ok], size)

    def add(self, column: Column) -> None:
        """Count one field of the events."""
        places = self._served if column.served else self._all
        cells = self._layout.cells(column.position)
        width = cells.stop - cells.start
        self._counts[:, cells] = places.count(column.bins, width)
        if column.numbers is not None:
            at = self._moment[column.position]
            bins = self._layout.fields[column.position].bins
            assert isinstance(bins, NumericBins)
            places.moments(column.numbers, bins.center, self._sums[:, at], self._extremes[:, at])

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        panes, at = np.divmod(self._keys, len(self._rows))
        block = Block(self._rows[at], self._counts, self._sums, self._extremes)
        bounds = [*np.flatnonzero(np.diff(panes, prepend=-1)).tolist(), len(panes)]
        for low, high in pairwise(bounds):
            yield int(panes[low]), block.take(slice(low, high))


class _Places:
    """Where some events go: `places (n,)`, each below `size`."""

    def __init__(self, places: Places, size: int) -> None:
        self._places = places
        self._size = size
        self._filled: Places | slice = slice(None)
        self._order: Places | None = None
        if size > 1 and len(places):
            narrow = places.astype(np.min_scalar_type(size))  # sorted by radix up to 16 bits
            self._order = np.argsort(narrow, kind="stable")
            held = np.bincount(places, minlength=size)
            self._filled = np.flatnonzero(held)
            self._starts = (np.cumsum(held) - held)[self._filled]

    def count(self, bins: npt.NDArray[np.intp], width: int) -> IntArray:
        """Return how many events of each place are in each bin `(size, width) int64`."""
        at = bins if self._size == 1 else self._places * width + bins
        return np.bincount(at, minlength=self._size * width).reshape(self._size, width)

    def moments(
        self, numbers: FloatArray, center: float, sums: FloatArray, extremes: FloatArray
    ) -> None:
        """Set sums about the centre and extremes `(size, 2)` of the places with finite numbers."""
        finite = np.isfinite(numbers)
        whole = bool(finite.all())
        if not finite.any():
            return
        if self._order is None:
            values = numbers if whole else numbers[finite]
            extremes[0] = low, high = values.min(), values.max()
            shifted = _shifted(values, center, low, high)
            sums[0] = shifted.sum(), (shifted * shifted).sum()
            return
        at, starts = self._filled, self._starts
        values = numbers.take(self._order)
        if whole:
            extremes[at, MINIMUM] = np.minimum.reduceat(values, starts)
            extremes[at, MAXIMUM] = np.maximum.reduceat(values, starts)
        else:
            absent = ~finite.take(self._order)
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
