"""Reference: what a model was trained or validated on, in the very counts that production fills."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import Categories, EventBatch, FloatArray, IntArray
from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.blocks import SUM, Block, BlockSum
from streamgauge.core.layout import Layout, folded_widths
from streamgauge.core.outcomes.building import OutcomeBuilder
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.overdispersion import PaneTable, dispersion_for
from streamgauge.core.slices import OVERFLOW_VALUE, SliceRegistry, SliceSpec
from streamgauge.core.state import (
    Kept,
    Part,
    below,
    needed,
    placed,
    reading,
    refill_parts,
    restore_below,
    sum_parts,
    within,
)
from streamgauge.core.timeline import Timeline, pane_length
from streamgauge.core.zone import UTC_ZONE, Zone

SliceKey = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Data that a reference was made from: its name without the folder, digest, rows, bytes."""

    name: str
    sha256: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A frozen profile of a model's training or validation data.

    `rows` names the slices (the whole, `()`, first) over which `block` holds the statistics;
    `hour_of_week (168, G) int64` and `panes` hold the whole's folded counts over time (both None
    without timestamps); `span` is the first and last event time in ms; `meta` is free text of the
    user's, `sources` what it was made from; `zone` is what the hours of the week are in (UTC
    without timestamps).
    """

    layout: Layout
    slices: tuple[SliceSpec, ...]
    rows: tuple[SliceKey, ...]
    block: Block
    hour_of_week: IntArray | None
    panes: PaneTable | None
    span: tuple[int, int] | None
    meta: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    zone: Zone = UTC_ZONE
    outcomes: "Reference | None" = None
    """Of the labelled events: the same slices in rows of an `OutcomeLayout`, whose watched fields
    are `layout`. Its block is wider than that."""
    positive: str = ""
    """The positive class of a binary model, the last in order where it is empty."""
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

    def counterpart(self, key: SliceKey) -> int | None:
        """Return the row that a slice of production is compared with, None where there is none.

        What was past the cap in the reference are other values than those past the cap in
        production, so these compare with nothing.
        """
        overflown = any(value == OVERFLOW_VALUE for _, value in key)
        return None if overflown else self.row(key)

    def grouped(self) -> "Reference":
        """Return the same reference in the layout in which slices are counted, made small."""
        block = self.block.grouped(self.layout.grouping()).compact()
        return replace(self, layout=self.layout.grouped(), block=block)

    def compact(self) -> "Reference":
        """Return the same reference with counts in the smallest dtype."""
        return replace(self, block=self.block.compact())

    def group_counts(self, position: int) -> IntArray:
        """Return the distance-group counts `(rows, groups)` of the field at a position."""
        cells = self.block.counts[:, self.layout.cells(position)].astype(np.int64)
        return fold(cells, self.layout.fields[position].bins)

    def means(self, position: int) -> FloatArray:
        """Return the mean `(rows,)` of the numeric field at a position; NaN without values."""
        bins = self.layout.fields[position].bins
        assert isinstance(bins, NumericBins)
        sums = self.block.sums[:, self.layout.numeric.index(position), SUM]
        count = self.group_counts(position).sum(axis=1)
        return np.where(count > 0, bins.center + sums / np.maximum(count, 1), np.nan)

    def overdispersion(self, window_ms: int) -> FloatArray:
        """Return φ per field `(fields,)` for windows of a length; 1 where it cannot be known."""
        if self.panes is None:
            return np.ones(len(self.layout.fields))
        cells = [
            slice(start, start + len(item.bins.groups))
            for start, item in zip(self._folded_starts(), self.layout.fields, strict=True)
        ]
        return np.array(
            [dispersion_for(self.panes.only(self.panes.counts[:, c]), window_ms) for c in cells]
        )

    def _folded_starts(self) -> tuple[int, ...]:
        return (0, *accumulate(folded_widths(self.layout)[:-1]))


class ReferenceBuilder:
    """Counts batches into a reference."""

    def __init__(
        self,
        layout: Layout,
        slices: tuple[SliceSpec, ...],
        *,
        zone: Zone = UTC_ZONE,
        max_slices: int = 1_000,
        positive: str = "",
    ) -> None:
        self.layout = layout
        self.slices = slices
        self._zone = zone
        self._registry = SliceRegistry(max_slices=max_slices)
        self._aggregator = Aggregator(layout, slices, self._registry, pane_ms=1)
        self._block = BlockSum(layout.width, len(layout.numeric))
        self._timeline = Timeline(layout, zone)
        self._positive = positive
        self._outcomes = OutcomeBuilder(OutcomeLayout(layout, positive), zone)
        self._batches = 0

    def add(self, batch: EventBatch, *, timed: bool = True) -> None:
        """Count a batch; versions are not told apart. `timed` is False without real timestamps."""
        if not len(batch):
            return
        self._batches += 1
        if timed:
            self._timeline.begin(batch.timestamp, batch.ok)
        whole = replace(batch, timestamp=np.zeros(len(batch), np.int64), version=_no_version(batch))
        tap = self._outcomes.tap(batch)
        also = [self._timeline.add] if timed else []
        if tap is not None:
            also.append(tap.add)
        partial = self._aggregator.aggregate(whole, also, None if tap is None else tap.rows)
        for _, block in partial.pieces:
            self._block.add(block)
        if tap is not None:
            self._outcomes.add(batch, tap, timed=timed)

    def parts(self) -> Iterator[Part]:
        """Yield everything counted so far; there must be no labels in it."""
        assert not len(self._outcomes), "events of a stream come without their labels"
        yield Part("timeline", self._batches, self._timeline.data)
        yield from below("rows", self._registry.parts())
        yield from below("block", sum_parts(self._block))

    def restore(self, kept: Kept) -> None:
        """Take back the parts."""
        data = needed(kept, "timeline")
        with reading("timeline"):
            self._timeline.restore(data)
        restore_below("rows", self._registry, kept)
        with placed("block"):
            refill_parts(self._block, within("block", kept))

    def finish(
        self, *, meta: Mapping[str, str] | None = None, sources: tuple[Source, ...] = ()
    ) -> Reference:
        """Return the reference of everything added. Raises ValueError if that is nothing."""
        if not len(self._block):
            msg = "no events: a reference needs at least one"
            raise ValueError(msg)
        block = self._block.copy()
        keys = [self._registry.keys[row].slice for row in block.rows.tolist()]
        order = sorted(range(len(keys)), key=lambda i: (len(keys[i]), keys[i]))
        times = self._timeline
        rows = tuple(keys[i] for i in order)
        return Reference(
            self.layout,
            self.slices,
            rows,
            block.take(np.array(order))._replace(rows=np.arange(len(order))),
            times.hour_of_week.copy() if times.span else None,
            times.panes.copy() if times.span else None,
            times.span,
            dict(meta or {}),
            sources,
            self._zone if times.span else UTC_ZONE,
            self._finish_outcomes(rows, block.rows[np.array(order)]),
            self._positive,
        )

    def _finish_outcomes(self, keys: tuple[SliceKey, ...], rows: IntArray) -> Reference | None:
        """Return the reference of the labelled events, None where there are none."""
        outcomes = self._outcomes
        if not len(outcomes):
            return None
        times = outcomes.timeline
        return Reference(
            outcomes.layout.watched,
            self.slices,
            keys,
            outcomes.block(rows),
            outcomes.hour_of_week() if times.span else None,
            times.panes.copy() if times.span else None,
            times.span,
            zone=self._zone if times.span else UTC_ZONE,
        )


def merge_references(first: Reference, second: Reference) -> Reference:
    """Return the reference of both references' events: exact in every count.

    Counts over time are kept where both have them; where both name the same metadata, the first
    one's stands. Raises ValueError where their bins, positive classes,
    slices or time zones differ.
    """
    if first.layout != second.layout:
        msg = "the bins differ: profile one of them with --edges-from the other"
        raise ValueError(msg)
    if first.positive != second.positive:
        said = " and ".join(part.positive or "not said" for part in (first, second))
        msg = f"the positive classes differ ({said}): profile both with the same --positive"
        raise ValueError(msg)
    if first.slices != second.slices:
        msg = "the slices differ: profile both with the same slices"
        raise ValueError(msg)
    layout = first.layout
    keys = tuple(sorted({*first.rows, *second.rows}, key=lambda key: (len(key), key)))
    block = _merged_blocks(first, second, keys)
    hours, panes, span, zone = None, None, None, UTC_ZONE
    if first.span and second.span and first.panes and second.panes:
        if first.zone != second.zone:
            msg = (
                f"the time zones differ ({first.zone.name} and {second.zone.name}): profile both"
                " with the same --timezone"
            )
            raise ValueError(msg)
        zone = first.zone
        assert first.hour_of_week is not None
        assert second.hour_of_week is not None
        hours = first.hour_of_week + second.hour_of_week
        span = (min(first.span[0], second.span[0]), max(first.span[1], second.span[1]))
        length = pane_length(span)
        panes = first.panes.coarsen(length).plus(second.panes.coarsen(length))
    return Reference(
        layout,
        first.slices,
        keys,
        block,
        hours,
        panes,
        span,
        {**second.meta, **first.meta},
        (*first.sources, *second.sources),
        zone,
        _merged_outcomes(first, second, keys),
        first.positive,
    )


def _merged_blocks(first: Reference, second: Reference, keys: tuple[SliceKey, ...]) -> Block:
    """Return the sum of two blocks over the rows of these keys."""
    index = {key: i for i, key in enumerate(keys)}
    width = first.block.counts.shape[1]
    merged = BlockSum(width, first.block.sums.shape[1], first.block.extremes.shape[1])
    for part in (first, second):
        rows = np.array([index[key] for key in part.rows], np.int64)
        merged.add(part.block._replace(rows=rows))
    block = merged.copy()
    return block.take(np.argsort(block.rows))


def _merged_outcomes(
    first: Reference, second: Reference, keys: tuple[SliceKey, ...]
) -> Reference | None:
    """Return both sides' labelled events over all rows of the whole, None where neither has any."""
    parts = [part.outcomes for part in (first, second) if part.outcomes is not None]
    if not parts:
        return None
    merged = parts[0] if len(parts) == 1 else merge_references(*parts)
    index = {key: i for i, key in enumerate(merged.rows)}
    at = np.array([index.get(key, -1) for key in keys], np.int64)
    block = merged.block.of_rows(at)._replace(rows=np.arange(len(keys)))
    return replace(merged, rows=keys, block=block)


def _no_version(batch: EventBatch) -> Categories:
    return Categories(np.zeros(len(batch), np.int32), ("",))


def reference_keys(reference: Reference) -> frozenset[SliceKey]:
    """Return the slices that a reference has statistics for."""
    return frozenset(key for key in reference.rows if key)
