"""Reference: what a model was trained or validated on, in the very counts that production fills."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

import numpy as np

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import Categories, EventBatch, FloatArray, IntArray
from streamgauge.core.bins import fold
from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.layout import Layout, fold_counts, folded_widths
from streamgauge.core.overdispersion import PaneTable, dispersion_for
from streamgauge.core.slices import SliceRegistry, SliceSpec

HOUR_MS: Final = 3_600_000
HOURS_OF_WEEK: Final = 168
_MONDAY_SHIFT: Final = 72
"""Hours from Monday 00:00 to the epoch's Thursday 00:00."""
PANE_HOURS: Final = (1, 2, 6, 12, 24, 168)
"""Lengths of the reference's panes; each divides the next, so coarser tables add up exactly."""
MOST_PANES: Final = 512
_ALL_TIME: Final = 1 << 62

SliceKey = tuple[tuple[str, str], ...]


def hour_of_week(timestamp: IntArray) -> IntArray:
    """Return the hour of the week (0 is Monday 00:00 UTC) of times in milliseconds."""
    hours: IntArray = (timestamp // HOUR_MS + _MONDAY_SHIFT) % HOURS_OF_WEEK
    return hours


@dataclass(frozen=True, slots=True)
class Reference:
    """A frozen profile of a model's training or validation data.

    `rows` names the slices (the whole, `()`, first) over which `block` holds the statistics;
    `hour_of_week (168, G) int64` and `panes` hold the whole's folded counts over time (both None
    without timestamps); `span` is the first and last event time in ms; `meta` is free text of the
    user's.
    """

    layout: Layout
    slices: tuple[SliceSpec, ...]
    rows: tuple[SliceKey, ...]
    block: Block
    hour_of_week: IntArray | None
    panes: PaneTable | None
    span: tuple[int, int] | None
    meta: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, str | int] = field(default_factory=dict)
    _index: dict[SliceKey, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {key: i for i, key in enumerate(self.rows)})

    @property
    def events(self) -> int:
        """Number of events in the reference."""
        status = self.layout.cells(0)
        return int(self.block.counts[0, status].sum())

    def row(self, key: SliceKey) -> int | None:
        """Return the index of a slice's row."""
        return self._index.get(key)

    def group_counts(self, position: int) -> IntArray:
        """Return the distance-group counts `(rows, groups)` of the field at a position."""
        cells = self.block.counts[:, self.layout.cells(position)].astype(np.int64)
        return fold(cells, self.layout.fields[position].bins)

    def overdispersion(self, window_ms: int) -> FloatArray:
        """Return φ per field `(fields,)` for windows of a length; 1 where it cannot be known."""
        if self.panes is None:
            return np.ones(len(self.layout.fields))
        widths = folded_widths(self.layout)
        starts = (0, *accumulate(widths))
        return np.array(
            [
                dispersion_for(self.panes, slice(start, start + len(item.bins.groups)), window_ms)
                for start, item in zip(starts, self.layout.fields, strict=False)
            ]
        )


class ReferenceBuilder:
    """Counts batches into a reference."""

    def __init__(
        self, layout: Layout, slices: tuple[SliceSpec, ...], *, max_slices: int = 1_000
    ) -> None:
        self.layout = layout
        self.slices = slices
        self._registry = SliceRegistry(max_slices=max_slices)
        self._slices = Aggregator(layout, slices, self._registry, _ALL_TIME)
        self._hours = Aggregator(layout, (), SliceRegistry(), HOUR_MS)
        self._block = BlockSum(layout.width, len(layout.numeric))
        self._by_hour: dict[int, IntArray] = {}
        self._span: tuple[int, int] | None = None

    def add(self, batch: EventBatch, *, timed: bool = True) -> None:
        """Count a batch; versions are not told apart. `timed` is False without real timestamps."""
        if not len(batch):
            return
        whole = replace(batch, version=_no_version(batch))
        for _, block in self._slices.aggregate(whole).pieces:
            self._block.add(block)
        if not timed:
            return
        for hour, block in self._hours.aggregate(whole).pieces:
            folded = fold_counts(self.layout, block.counts[0].astype(np.int64))
            known = self._by_hour.get(hour)
            self._by_hour[hour] = folded if known is None else known + folded
        first, last = int(batch.timestamp.min()), int(batch.timestamp.max())
        if self._span:
            first, last = min(first, self._span[0]), max(last, self._span[1])
        self._span = (first, last)

    def finish(
        self,
        *,
        meta: Mapping[str, str] | None = None,
        source: Mapping[str, str | int] | None = None,
    ) -> Reference:
        """Return the reference of everything added. Raises ValueError if that is nothing."""
        if not len(self._block):
            msg = "no events: a reference needs at least one"
            raise ValueError(msg)
        block = self._block.copy()
        keys = [self._registry.keys[row].slice for row in block.rows.tolist()]
        order = sorted(range(len(keys)), key=lambda i: (len(keys[i]), keys[i]))
        block = block.take(np.array(order))._replace(rows=np.arange(len(order)))
        hours, panes = None, None
        if self._span:
            numbers = np.array(sorted(self._by_hour), np.int64)
            counts = np.array([self._by_hour[hour] for hour in numbers.tolist()], np.int64)
            hours = np.zeros((HOURS_OF_WEEK, counts.shape[1]), np.int64)
            np.add.at(hours, hour_of_week(numbers * HOUR_MS), counts)
            panes = _bounded(PaneTable(HOUR_MS, numbers, counts), self._span)
        return Reference(
            self.layout,
            self.slices,
            tuple(keys[i] for i in order),
            block,
            hours,
            panes,
            self._span,
            dict(meta or {}),
            dict(source or {}),
        )


def merge_references(first: Reference, second: Reference) -> Reference:
    """Return the reference of both references' events: exact in every count.

    Raises ValueError where their bins or slices differ.
    """
    if first.layout != second.layout:
        msg = "the bins differ: profile one of them with --edges-from the other"
        raise ValueError(msg)
    if first.slices != second.slices:
        msg = "the slices differ: profile both with the same slices"
        raise ValueError(msg)
    layout = first.layout
    keys = sorted({*first.rows, *second.rows}, key=lambda key: (len(key), key))
    index = {key: i for i, key in enumerate(keys)}
    merged = BlockSum(layout.width, len(layout.numeric))
    for part in (first, second):
        rows = np.array([index[key] for key in part.rows], np.int64)
        merged.add(part.block._replace(rows=rows))
    block = merged.copy()
    block = block.take(np.argsort(block.rows))
    hours, panes, span = None, None, None
    if first.span and second.span and first.panes and second.panes:
        assert first.hour_of_week is not None
        assert second.hour_of_week is not None
        hours = first.hour_of_week + second.hour_of_week
        span = (min(first.span[0], second.span[0]), max(first.span[1], second.span[1]))
        length = max(first.panes.length_ms, second.panes.length_ms)
        one, two = first.panes.coarsen(length), second.panes.coarsen(length)
        panes = PaneTable(
            length, np.concatenate([one.panes, two.panes]), np.concatenate([one.counts, two.counts])
        )
        panes = _bounded(panes.coarsen(length), span)
    return Reference(
        layout, first.slices, tuple(keys), block, hours, panes, span, {**second.meta, **first.meta}
    )


def _bounded(table: PaneTable, span: tuple[int, int]) -> PaneTable:
    """Coarsen a table to the shortest length at which its span has few enough panes."""
    for hours in PANE_HOURS:
        length = hours * HOUR_MS
        if length >= table.length_ms and span[1] // length - span[0] // length < MOST_PANES:
            return table.coarsen(length)
    return table.coarsen(PANE_HOURS[-1] * HOUR_MS)


def _no_version(batch: EventBatch) -> Categories:
    return Categories(np.zeros(len(batch), np.int32), ("",))


def reference_keys(reference: Reference) -> frozenset[SliceKey]:
    """Return the slices that a reference has statistics for."""
    return frozenset(key for key in reference.rows if key)
