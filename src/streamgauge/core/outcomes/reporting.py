"""Reporting: an outcome stream as the figures that metrics and pages show."""

from dataclasses import replace

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.blocks import SUM
from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.outcomes.figures import Figures, labelled, performance
from streamgauge.core.outcomes.stream import MS, OutcomeStream
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import OutcomeStats, PerformanceStats
from streamgauge.core.windows import WindowState


class OutcomeReporter:
    """Draws the figures of one stream; those of windows that did not change are kept."""

    def __init__(self, stream: OutcomeStream, reference: Reference | None) -> None:
        self._stream = stream
        self._reference = reference
        self._values = stream.layout.worth(stream.spec.labels.values)
        self._known: dict[tuple[str, str], tuple[int, IntArray, PerformanceStats]] = {}
        self._reference_figures: tuple[tuple[RowKey, ...], Figures] = ((), {})

    def stats(
        self,
        rows: IntArray,
        whole: IntArray,
        keys: tuple[RowKey, ...],
        now: int | None,
        join: JoinCounts,
    ) -> OutcomeStats:
        """Return the figures of these rows, named by `keys`; `now` is the watermark (ms).

        `whole` are those of the rows that are whole versions.
        """
        stream = self._stream
        delays = stream.delays.block().of_rows(rows)
        total = stream.track.counted()
        realised = [
            self._window("realised", window, rows, keys)
            for window in stream.track.windows
            if window.end is not None
        ]
        estimated = [
            self._window("estimated", window, rows, keys)
            for window in stream.estimates.windows
            if window.end is not None and stream.estimator is not None
        ]
        return OutcomeStats(
            rows=keys,
            realised=tuple(realised),
            estimated=tuple(estimated),
            cohorts=() if now is None else stream.cohorts.stats(now, rows, whole),
            labelled=labelled(stream.layout, total.of_rows(rows)),
            delay_edges=stream.cohorts.delay_edges_ms / MS,
            delays=delays.counts.astype(np.int64, copy=False),
            delay_sums=delays.sums[:, 0, SUM],
            join=join,
            detectors=None if stream.detection is None else stream.detection.stats(rows),
            coverage_detectors=(
                None if stream.coverage is None else stream.coverage.detection.stats(rows)
            ),
            reference=self._of_reference(keys),
        )

    def projected(self, keys: tuple[RowKey, ...], join: JoinCounts) -> OutcomeStats:
        """Return what there would be of these rows, with the reference's figures for all clocks."""
        stream, rows = self._stream, len(keys)
        none = np.zeros(rows, np.int64)
        figures = self._of_reference(keys)
        if not figures:
            zeros = stream.track.empty().block().of_rows(np.arange(rows))
            figures = performance(stream.layout, zeros, self._values)
        realised = tuple(
            PerformanceStats(window.name, 0, 0, keys, none, figures)
            for window in stream.spec.windows
        )
        estimated: tuple[PerformanceStats, ...] = ()
        if stream.estimator is not None:
            expected = stream.estimator.figures(np.zeros((rows, stream.estimator.width), np.int64))
            estimated = tuple(replace(each, figures=expected) for each in realised)
        edges = stream.cohorts.delay_edges_ms / MS
        return OutcomeStats(
            rows=keys,
            realised=realised,
            estimated=estimated,
            cohorts=stream.cohorts.projected(figures),
            labelled=none,
            delay_edges=edges,
            delays=np.zeros((rows, len(edges) - 1), np.int64),
            delay_sums=np.zeros(rows),
            join=join,
            detectors=None if stream.detection is None else stream.detection.stats(none[:0]),
            coverage_detectors=(
                None if stream.coverage is None else stream.coverage.detection.stats(none[:0])
            ),
            reference=self._of_reference(keys),
        )

    def _window(
        self, clock: str, window: WindowState, rows: IntArray, keys: tuple[RowKey, ...]
    ) -> PerformanceStats:
        place = (clock, window.spec.name)
        known = self._known.get(place)
        if known is not None and known[0] == window.revision and np.array_equal(known[1], rows):
            return known[2]
        assert window.end is not None
        block = window.totals().of_rows(rows)
        if clock == "realised":
            samples = labelled(self._stream.layout, block)
            figures = performance(self._stream.layout, block, self._values)
        else:
            counts = block.counts.astype(np.int64, copy=False)
            samples = counts.sum(axis=1)
            assert self._stream.estimator is not None
            figures = self._stream.estimator.figures(counts)
        start = window.end - window.spec.length_ms
        found = PerformanceStats(window.spec.name, start, window.end, keys, samples, figures)
        self._known[place] = (window.revision, rows, found)
        return found

    def _of_reference(self, keys: tuple[RowKey, ...]) -> Figures:
        """Return the figures of each row's slice in the reference, NaN where it has none."""
        reference = self._reference
        if reference is None:
            return {}
        if self._reference_figures[0] != keys:
            places = [reference.counterpart(key.slice) for key in keys]
            at = np.array([-1 if place is None else place for place in places], np.int64)
            figures = performance(
                self._stream.layout, reference.block.take(np.maximum(at, 0)), self._values
            )
            known = at >= 0
            masked = {
                name: Estimate(*(np.where(known, part, np.nan) for part in estimate))
                for name, estimate in figures.items()
            }
            self._reference_figures = (keys, masked)
        return self._reference_figures[1]
