"""Aggregate: columnar events to partials, with no Python loop over events.

A field gives each event one bin, and a slice specification one place. Compiled code counts all
fields of some events in one call (`one_pass`); where it was not built, numpy does it field by field
(`by_column`), with the same counts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import EventBatch, IntArray
from streamgauge.core.bins import CategoricalBins
from streamgauge.core.blocks import Block
from streamgauge.core.by_column import ByColumn
from streamgauge.core.cells import Also, Crossed, Wanted, Where, crossed
from streamgauge.core.counting import library
from streamgauge.core.grouping import Known, Places, compact, slice_rows, version_groups
from streamgauge.core.layout import Grouped, Layout, SubjectKind
from streamgauge.core.one_pass import OnePass
from streamgauge.core.partial import Partial
from streamgauge.core.remembered import Remembered
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
    grows; of threads one at a time may count.
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
        self._grouped = grouped
        self._groups = Grouped.of(layout)
        compiled = library()
        self._counter: OnePass | ByColumn
        if compiled is not None and OnePass.can(layout):
            self._counter = OnePass(compiled, layout, self._groups)
        else:
            self._counter = ByColumn(layout, self._groups)
        self.slices = slices
        self.registry = registry
        self.pane_ms = pane_ms
        self._known = [Known() for _ in range(len(slices) + 1)]
        self._unseen_codes = {
            item.subject.name: Remembered(item.bins.unseen_codes)
            for item in layout.fields
            if item.subject.kind is SubjectKind.FEATURE and isinstance(item.bins, CategoricalBins)
        }

    def aggregate(
        self,
        batch: EventBatch,
        also: Also = (),
        rows_also: Callable[[IntArray], None] | None = None,
    ) -> Partial:
        """Return the statistics of a batch.

        `also` are called with every part of the batch and each of its columns, for what else is to
        be counted of the same bins, and may find no numbers in them; `rows_also` with every event's
        row, for the whole version and then for each slice specification.
        """
        if not len(batch):
            return Partial(())
        panes, codes = self._panes(batch.timestamp)
        specs = (SliceSpec(()), *self.slices)
        versions = version_groups(batch)
        groupings = [
            slice_rows(batch, spec, self.registry, known, versions)
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
            if codes is None:
                whole = len(batch) <= chunk
                where = [Where(rows, at[part], dense=whole) for rows, at in groupings]
            else:
                where = [Where(rows, codes[part] * len(rows) + at[part]) for rows, at in groupings]
            found.append(self._part(batch, part, where, also))
        pieces, fine = (
            tuple((int(panes[code]), block) for counted in found for code, block in counted[kind])
            for kind in (0, 1)
        )
        return Partial(pieces, self._unseen(batch), fine)

    def _panes(self, timestamp: IntArray) -> tuple[IntArray, Places | None]:
        """Return the panes of events and the code of each event's, None where all are in one."""
        first, last = (int(time) // self.pane_ms for time in (timestamp.min(), timestamp.max()))
        if first == last:
            return np.array([first], np.int64), None
        return compact(timestamp // self.pane_ms)

    def _part(
        self, batch: EventBatch, part: slice, places: Sequence[Where], also: Also
    ) -> "_Counted":
        """Count a part of a batch."""
        if not self._grouped:
            wanted = [Wanted(Crossed.of(where), fewer=False) for where in places]
            blocks = self._counter.count(batch, part, wanted, also)
            return _Counted([piece for some in blocks for piece in some], [])
        wanted = [Wanted(Crossed.of(places[0]), fewer=False)]
        wanted += [Wanted(each, fewer=True) for each in crossed(places[1:])]
        fine, *slices = self._counter.count(batch, part, wanted, also)
        pieces = [(code, block.grouped(self._groups.starts)) for code, block in fine]
        pieces += [piece for some in slices for piece in some]
        return _Counted(pieces, fine)

    def _unseen(self, batch: EventBatch) -> dict[str, dict[str, int]]:
        """Count the values of each feature that the reference never held."""
        schema = batch.schema
        found = {}
        for name, column in zip(
            (*schema.categorical, *schema.boolean), batch.categorical, strict=True
        ):
            codes = self._unseen_codes[name](column.values)
            if not codes:
                continue
            counts = np.bincount(
                column.codes[batch.ok & (column.codes >= 0)], minlength=len(column.values)
            )
            values = {column.values[code]: int(counts[code]) for code in codes if counts[code]}
            if values:
                found[name] = values
        return found


class _Counted(NamedTuple):
    """Blocks with the codes of their panes, as in `Partial`."""

    pieces: list[tuple[int, Block]]
    fine: list[tuple[int, Block]]
