"""By column: events counted by numpy, one column after the other, where nothing is compiled."""

from collections.abc import Sequence

from streamgauge.core.batch import EventBatch
from streamgauge.core.blocks import Block
from streamgauge.core.cells import Also, RowTally, SliceTally, Wanted, powers_of
from streamgauge.core.columns import Column, columns
from streamgauge.core.layout import Grouped, Layout


class ByColumn:
    """Counts events in the cells of a layout, and of one that has fewer bins for slices."""

    def __init__(self, layout: Layout, grouped: Grouped) -> None:
        self._layout = layout
        self._grouped = grouped

    def count(
        self, batch: EventBatch, part: slice, wanted: Sequence[Wanted], also: Also
    ) -> list[list[tuple[int, Block]]]:
        """Return the blocks of all that is wanted of a part of a batch, with their panes' codes."""
        ok = batch.ok[part]
        tallies = [
            SliceTally(self._grouped.layout, crossed, ok)
            if fewer
            else RowTally(self._layout, crossed, ok)
            for crossed, fewer in wanted
        ]
        for column in columns(self._layout, batch, part):
            powers = powers_of(self._layout, column)
            grouped = self._in_groups(column)
            for (_, fewer), tally in zip(wanted, tallies, strict=True):
                tally.add(grouped if fewer else column, powers)
            for call in also:
                call(part, column)
        return [[*tally.blocks()] for tally in tallies]

    def _in_groups(self, column: Column) -> Column:
        table = self._grouped.tables[column.position]
        return column if table is None else column._replace(bins=table.take(column.bins))
