"""Coverage: whether predictions get their labels at all.

A prediction is looked at once it is as old as the largest delay: then it has its label or never
will. The share without one is held against what the configuration allows.
"""

from collections.abc import Iterator

import numpy as np

from streamgauge.core.batch import IntArray, ModelSchema
from streamgauge.core.bins import CategoricalBins
from streamgauge.core.blocks import Block
from streamgauge.core.detection import Detection, DetectionSpec
from streamgauge.core.detectors.series import Kind, Series, SeriesTable
from streamgauge.core.layout import Field, Layout, Subject, SubjectKind
from streamgauge.core.outcomes.cohorts import Cohorts
from streamgauge.core.reference import Reference
from streamgauge.core.slices import SliceRegistry
from streamgauge.core.state import (
    Kept,
    Part,
    below,
    needed,
    reading,
    restore_below,
    value_part,
)
from streamgauge.core.track import Track, TrackSpec

COVERAGE = Subject(SubjectKind.PERFORMANCE, "label_coverage")
"""The share of predictions that never got a label."""
COVERAGE_PART = 0.05
"""Part of what a model may spend on shares that goes to coverage, where that is watched."""
_BINS = CategoricalBins(("labelled", "unlabelled"))
_EVENTS = 1_000_000
"""Events of the reference that stands for the configuration's word, which is exact."""


class CoverageWatch:
    """Follows the share of aged predictions without a label in every row.

    `coverage` is the share that should have one; `shape` is that of the outcomes' track.
    """

    def __init__(
        self,
        schema: ModelSchema,
        shape: TrackSpec,
        coverage: float,
        detection: DetectionSpec,
        registry: SliceRegistry,
    ) -> None:
        layout = Layout(schema, (Field(COVERAGE, _BINS),))
        self.track = Track(
            TrackSpec(layout.width, 0, 0, shape.windows, shape.pane_ms, shape.measured_apart)
        )
        self._width = layout.width
        self._aged: int | None = None
        """The first cohort that has not been looked at."""
        counts = np.zeros((1, layout.width), np.int64)
        labelled = round(coverage * _EVENTS)
        counts[0, :2] = labelled, _EVENTS - labelled
        empty = np.zeros((1, 0, 2))
        reference = Reference(
            layout, (), ((),), Block(np.zeros(1, np.int64), counts, empty, empty), None, None, None
        )
        share = Series(COVERAGE, Kind.UNLABELLED, 1, 2, 0, 2)
        self.detection = Detection(detection, reference, registry, SeriesTable((share,)))

    def take(self, cohorts: Cohorts, end: int) -> None:
        """Take in the cohorts that are past the largest delay at `end` (ms)."""
        aged = (end - cohorts.max_delay_ms) // cohorts.step_ms
        for block in cohorts.between(self._aged, aged):
            predicted = block.counts[:, : cohorts.groups].sum(axis=1)
            labelled = block.counts[:, cohorts.groups :].sum(axis=1)
            counts = np.zeros((len(block.rows), self._width), np.int64)
            counts[:, 0] = labelled
            counts[:, 1] = np.maximum(predicted - labelled, 0)
            empty = np.zeros((len(block.rows), 0, 2))
            pane = end // self.track.spec.pane_ms - 1
            self.track.add(pane, Block(block.rows, counts, empty, empty))
        self._aged = aged if self._aged is None else max(self._aged, aged)

    def close(self, end: int) -> IntArray:
        """Close the pane that ends at `end` (ms); return rows that the detector has looked at."""
        closed = self.track.close(end)
        if closed is None:
            return np.empty(0, np.int64)
        self.detection.feed_pane(closed, end - self.track.spec.pane_ms)
        return self.detection.close(closed.block().rows, end)

    def parts(self) -> Iterator[Part]:
        """Yield how far cohorts have been looked at, the track, and the detectors."""
        yield value_part("place", {"aged": self._aged})
        yield from below("track", self.track.parts())
        yield from below("detection", self.detection.parts())

    def restore(self, kept: Kept) -> None:
        """Take back the parts."""
        place = needed(kept, "place")
        with reading("place"):
            self._aged = place["aged"]
        restore_below("track", self.track, kept)
        restore_below("detection", self.detection, kept)
