"""Shown: the rows and figures of one model that metrics and pages see."""

import numpy as np

from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.bins import NumericBins
from streamgauge.core.blocks import SUM
from streamgauge.core.layout import Layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.null_laws import MOST_LAWS, NullLaws
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey, SliceRegistry
from streamgauge.core.snapshot import Counters, WindowStats
from streamgauge.core.summary import Summarizer
from streamgauge.core.track import Track
from streamgauge.core.windows import WindowState


class Shown:
    """What is shown of an engine, whose state it reads and never changes.

    `grouped` is its track of every row, in the grouped layout; `fine` that of whole versions, in
    the layout itself. Windows are compared with the reference.
    """

    def __init__(
        self,
        spec: ModelSpec,
        layout: Layout,
        registry: SliceRegistry,
        book: AlertBook,
        grouped: Track,
        fine: Track,
        reference: Reference | None,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._registry = registry
        self._book = book
        self._grouped = grouped
        self._fine = fine
        self._events = layout.grouped().cells(0)
        """Cells that count each event once."""
        self._grouping = layout.grouping()
        self._summarizer = Summarizer(self._layout, reference, NullLaws(self._fields()))
        self._summaries: dict[str, tuple[int, list[int], WindowStats]] = {}

    def _fields(self) -> int:
        """Return how many fields are compared with the reference, at most, up to a cap.

        Rows and windows that do not change are compared with the same laws in each of them.
        """
        spec = self._spec
        rows = spec.exported_slices + spec.max_versions
        return min(rows * len(spec.windows) * len(self._layout.fields), MOST_LAWS)

    def rows(self) -> tuple[list[int], list[int]]:
        """Return the whole versions' rows, and those of the slices with most events.

        Slices that have had none for the whole of the longest window, such as those of a version
        that serves no more, come last.
        """
        keys = self._registry.keys
        whole = [row for row, key in enumerate(keys) if not key.slice]
        sliced = [row for row, key in enumerate(keys) if key.slice]
        if len(sliced) <= self._spec.exported_slices:
            return whole, sliced
        kept = self._grouped.totals.block()
        traffic = np.zeros(len(keys), np.int64)
        traffic[kept.rows] = kept.counts[:, self._events].sum(axis=1)
        firing = {RowKey(a.model_version, a.slice) for a in self._book.active()}
        windows = self._grouped.windows
        lately = {*windows[-1].counts()[0].tolist(), *self._grouped.open_rows()}
        sliced.sort(
            key=lambda row: (
                keys[row] not in firing,
                row not in lately,
                -traffic[row],
                keys[row],
            )
        )
        return whole, sorted(sliced[: self._spec.exported_slices])

    def counters(self, shown: list[int]) -> Counters:
        """Return the counters of whole versions, and of the slices that are shown.

        Those of slices stand in the first of the cells that they count as one.
        """
        whole, sliced = self._fine.counted(), self._grouped.counted()
        sliced = sliced.take(np.flatnonzero(np.isin(sliced.rows, shown)))
        rows = [*whole.rows.tolist(), *sliced.rows.tolist()]
        numbers = np.zeros((len(rows), self._layout.width), np.int64)
        numbers[: len(whole.rows)] = whole.counts
        numbers[len(whole.rows) :, self._grouping] = sliced.counts
        sums = np.concatenate([whole.sums, sliced.sums])[..., SUM]
        for at, position in enumerate(self._layout.numeric):
            bins = self._layout.fields[position].bins
            assert isinstance(bins, NumericBins)
            start = self._layout.starts[position]
            finite = numbers[:, start : start + bins.value_bins].sum(axis=1)
            sums[:, at] += bins.center * finite
        return Counters(tuple(self._registry.keys[row] for row in rows), numbers, sums)

    def windows(self, shown: list[int]) -> tuple[WindowStats, ...]:
        """Return the statistics of each window that has any.

        `shown` are the slices among its rows; of whole versions there are all.
        """
        both = zip(self._fine.windows, self._grouped.windows, strict=True)
        return tuple(self._stats(*each, shown) for each in both if each[0].end is not None)

    def _stats(self, fine: WindowState, grouped: WindowState, shown: list[int]) -> WindowStats:
        """Return a window's statistics, those of last time where nothing has changed."""
        known = self._summaries.get(fine.spec.name)
        if known is not None and known[:2] == (grouped.revision, shown):
            return known[2]
        assert fine.end is not None
        block, sliced = fine.totals(), grouped.totals(shown)
        rows = [*block.rows.tolist(), *sliced.rows.tolist()]
        keys = tuple(self._registry.keys[row] for row in rows)
        stats = self._summarizer.summarize(fine.spec, fine.end, block, keys, sliced)
        self._summaries[fine.spec.name] = (grouped.revision, shown, stats)
        return stats
