"""Aggregate: columnar events to partials, with no Python loop over events.

A field gives each event one bin. Adding the event's row times the field's width turns counting into
one `bincount` per field and slice specification, over arrays small enough for the processor's
cache.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import EventBatch, IntArray
from streamgauge.core.bins import CategoricalBins
from streamgauge.core.blocks import Block
from streamgauge.core.cells import RowTally, SliceTally, Where, crossed, powers_of
from streamgauge.core.columns import Column, columns
from streamgauge.core.grouping import Known, compact, slice_rows
from streamgauge.core.layout import Layout, Subject, SubjectKind
from streamgauge.core.partial import Partial
from streamgauge.core.slices import SliceRegistry, SliceSpec

CHUNK = 65_536
"""Events aggregated at once."""
MANY_ROWS = 4_096
"""With more rows of counts than this, fewer events are aggregated at once."""
SMALL_CHUNK = 8_192
"""Events aggregated at once then: bounds the working memory whatever the batch."""


class Aggregator:
    """Counts batches of one model into partials.

    `slices` are counted besides the whole of each version; where they are `grouped`, in the cells
    of `layout.grouped()`, and whole versions in both. The registry is the only state, and it only
    grows.
    """

    def __init__(
        self,
        layout: Layout,
        slices: tuple[SliceSpec, ...],
        registry: SliceRegistry,
        pane_ms: int,
        *,
        grouped: bool = False,
    ) -> None:
        self.layout = layout
        self._grouping = _Grouping(layout) if grouped else None
        self._of_slices = layout if self._grouping is None else self._grouping.layout
        self.slices = slices
        self.registry = registry
        self.pane_ms = pane_ms
        self._known: list[Known] = [{} for _ in range(len(slices) + 1)]

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
        groupings = [
            slice_rows(batch, spec, self.registry, known)
            for spec, known in zip(specs, self._known, strict=True)
        ]
        if rows_also is not None:
            for rows, places in groupings:
                rows_also(rows[places])
        most = max(len(rows) for rows, _ in groupings) * len(panes)
        chunk = CHUNK if most <= MANY_ROWS else SMALL_CHUNK
        found: list[_Counted] = []
        for first in range(0, len(batch), chunk):
            part = slice(first, min(first + chunk, len(batch)))
            where = [Where(rows, pane_codes[part] * len(rows) + at[part]) for rows, at in groupings]
            found.append(self._part(batch, part, where, also))
        pieces, fine = (
            tuple((int(panes[code]), block) for counted in found for code, block in counted[kind])
            for kind in (0, 1)
        )
        return Partial(pieces, self._unseen(batch), fine)

    def _part(
        self,
        batch: EventBatch,
        part: slice,
        places: Sequence[Where],
        also: Sequence[Callable[[slice, Column], None]],
    ) -> "_Counted":
        """Count a part of a batch."""
        ok, grouping = batch.ok[part], self._grouping
        alike = places if grouping is None else places[:1]
        tallies = [RowTally(self.layout, where, ok) for where in alike]
        sliced = () if grouping is None else places[1:]
        slices = [SliceTally(self._of_slices, each, ok) for each in crossed(sliced)]
        for column in columns(self.layout, batch, part):
            powers = powers_of(self.layout, column)
            for tally in tallies:
                tally.add(column, powers)
            for call in also:
                call(part, column)
            if grouping is None or not slices:
                continue
            fewer = grouping.of(column)
            for each in slices:
                each.add(fewer, powers)
        fine = [piece for tally in tallies for piece in tally.blocks()]
        if grouping is None:
            return _Counted(fine, [])
        pieces = [(code, block.grouped(grouping.starts)) for code, block in fine]
        pieces += [piece for each in slices for piece in each.blocks()]
        return _Counted(pieces, fine)

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


class _Counted(NamedTuple):
    """Blocks with the codes of their panes, as in `Partial`."""

    pieces: list[tuple[int, Block]]
    fine: list[tuple[int, Block]]


class _Grouping:
    """A layout's cells in those of its grouped one."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout.grouped()
        self.starts = layout.grouping()
        """The first cell of the layout in each of the grouped one's cells."""
        cells = np.searchsorted(self.starts, np.arange(layout.width), side="right") - 1
        self._tables = [
            cells[layout.cells(position)] - start
            for position, start in enumerate(self.layout.starts)
        ]

    def of(self, column: Column) -> Column:
        """Return a column in the grouped layout's bins."""
        table = self._tables[column.position]
        if len(table) == self.layout.fields[column.position].bins.width:
            return column
        return column._replace(bins=table.take(column.bins))
