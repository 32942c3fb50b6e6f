"""Stream: what a model's labels say, from pairs to windows, cohorts, estimates and detectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, CodeArray, IntArray, Task
from streamgauge.core.blocks import SUM, Block, BlockSum
from streamgauge.core.detection import Detection, DetectionSpec
from streamgauge.core.detectors.specs import Exclusion
from streamgauge.core.grouping import by_value
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.outcomes.cohorts import Cohorts
from streamgauge.core.outcomes.counting import OutcomeCounter, Outcomes
from streamgauge.core.outcomes.coverage import CoverageWatch
from streamgauge.core.outcomes.estimates import Estimator, learn_estimator
from streamgauge.core.outcomes.gathering import Gathered
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.row_counts import count_by_row
from streamgauge.core.outcomes.series import outcome_series
from streamgauge.core.reference import Reference
from streamgauge.core.slices import SliceRegistry
from streamgauge.core.spill import Spill
from streamgauge.core.state import (
    Kept,
    Lasting,
    Part,
    below,
    placed,
    refill_parts,
    restore_below,
    sum_parts,
    within,
)
from streamgauge.core.track import Track, TrackSpec
from streamgauge.core.windows import WindowSpec

MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """How a model's labels are used.

    Labels are joined up to `max_delay_ms` after their prediction; predictions that wait for one
    take at most `max_bytes`, labels that wait for theirs `max_waiting_bytes`. A binary model's
    prediction is positive from a score of `threshold` on, where it is not None. `values` are
    (label, prediction, worth): what such events of a classifier are worth, others nothing.
    `coverage` is the share of predictions that should have a label in time, None for no watch.
    """

    max_delay_ms: int
    max_bytes: int
    max_waiting_bytes: int
    threshold: float | None = None
    values: tuple[tuple[str, str, float], ...] = ()
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What an outcome stream is to do; see `ModelSpec`."""

    labels: LabelSpec
    windows: tuple[WindowSpec, ...]
    pane_ms: int
    grace_ms: int
    exclusions: tuple[Exclusion, ...] = ()


class Looked(NamedTuple):
    """Rows that detectors have just looked at, and where their changes are measured."""

    detection: Detection
    track: Track
    rows: IntArray


class OutcomeStream:
    """Everything that is kept of one model's outcomes.

    A pair counts when its label came: in the pane of its label time or, where that is closed, in
    the first open one, so that no label comes too late. What a correction takes away and adds is
    changed where the first label was counted: in windows, since detectors saw the first one.
    """

    def __init__(
        self,
        spec: StreamSpec,
        layout: OutcomeLayout,
        reference: Reference | None,
        registry: SliceRegistry,
        detection: DetectionSpec,
        coverage: DetectionSpec,
        spill: Spill,
    ) -> None:
        self.spec = spec
        self.layout = layout
        self.estimator: Estimator | None = None
        self.detection: Detection | None = None
        if reference is not None:
            self.estimator = learn_estimator(layout, reference)
            calibrated = self.estimator is not None and layout.task is not Task.REGRESSION
            table = outcome_series(layout, reference, calibrated=calibrated)
            self.detection = Detection(detection, reference, registry, table)
        rates = None if self.estimator is None else self.estimator.rates()
        self._counter = OutcomeCounter(layout, rates)
        self._track = Track(self._shape(layout.width, layout.sums), spill)
        self.estimates = Track(
            self._shape(0 if self.estimator is None else self.estimator.width, 0), spill
        )
        self._cohorts = Cohorts(layout, spec.windows, spec.pane_ms, spec.labels.max_delay_ms)
        self.coverage: CoverageWatch | None = None
        if spec.labels.coverage is not None:
            self.coverage = CoverageWatch(
                layout.base.schema, self._track.spec, spec.labels.coverage, coverage, registry
            )
        self._delays = BlockSum(len(self._cohorts.delay_edges_ms) - 1, 1, 0)
        self._gathered = Gathered()

    def predict(self, events: Pending, closed: int | None, hidden: BoolArray) -> None:
        """Count predictions that may get a label."""
        time = events.time
        self._cohorts.add_predictions(time, events.rows, np.asarray(events.predicted))
        if self.estimator is None:
            return
        cells = self.estimator.cells(events)
        known = cells >= 0
        panes = time // self.spec.pane_ms
        for secret in _present(hidden):
            chosen = _places(known & (hidden == secret))
            blocks = _cell_blocks(
                panes[chosen], events.rows[chosen], cells[chosen], self.estimator.width
            )
            for pane, block in blocks:
                start = pane * self.spec.pane_ms
                if closed is None or start >= closed:
                    self.estimates.add(pane, block, hidden=secret)
                elif start >= closed - self.spec.grace_ms:
                    self.estimates.add_late(start, block, closed, hidden=secret)

    def join(self, joined: Joined, closed: int | None, hidden: BoolArray) -> None:
        """Count pairs, and what corrections take away and add.

        `closed` is up to when panes are closed (ms); `hidden (n,)` are the pairs that detectors
        must not see. A pair that is new is in an open pane. Pairs that are all new and seen may
        be counted later, but before anybody looks.
        """
        if not len(joined.sign):
            return
        whole = joined.sign.min() > 0 and not hidden.any()
        if whole and (closed is None or joined.label_time.min() >= closed):
            self._gathered.add(joined)
            if self._gathered.full:
                self.settle()
            return
        for sign in (1, -1):
            for secret in _present(hidden):
                chosen = _places((joined.sign == sign) & (hidden == secret))
                mine = joined if isinstance(chosen, slice) else joined.take(chosen)
                self._count(mine, sign, closed, hidden=secret)

    @property
    def track(self) -> Track:
        """Outcomes by the time when they became known."""
        self.settle()
        return self._track

    @property
    def cohorts(self) -> Cohorts:
        """Predictions and outcomes by the time of the prediction."""
        self.settle()
        return self._cohorts

    @property
    def delays(self) -> BlockSum:
        """Labels by how late they came, and the sum of that in seconds, since the start."""
        self.settle()
        return self._delays

    def settle(self) -> None:
        """Count what is still to be counted; what is looked at from outside has it."""
        joined = self._gathered.take()
        if joined is not None:
            self._count(joined, 1, None, hidden=False)

    def forget(self, watermark: int) -> None:
        """Drop what no label comes for any more."""
        self._cohorts.forget(watermark)

    def _count(self, joined: Joined, sign: int, closed: int | None, *, hidden: bool) -> None:
        """Count pairs of one sign, all hidden or all not."""
        if not len(joined.sign):
            return
        self._count_cohorts(joined)
        panes = joined.label_time // self.spec.pane_ms
        steps = joined.time // self._cohorts.step_ms
        by_spec = self._counter.blocks_by_spec(_outcomes(joined), panes)
        for blocks in by_spec:
            for pane, block in blocks:
                signed = block if sign > 0 else block.negated()
                start = pane * self.spec.pane_ms
                if closed is None or start >= closed:
                    self._track.add(pane, signed, hidden=hidden)
                else:
                    self._track.add_late(start, signed, closed, hidden=hidden)
        if steps.min() == steps.max():
            whole = [(int(steps[0]), block) for _, block in by_spec[0]]
        else:
            # Cohorts keep nothing by feature.
            events = _outcomes(joined)._replace(rows=joined.rows[:, :1], bins=joined.bins[:, :0])
            whole = self._counter.blocks(events, steps)
        for step, block in whole:
            self._cohorts.add_block(step, block if sign > 0 else block.negated())

    def parts(self) -> Iterator[Part]:
        """Yield everything that lasts."""
        self.settle()
        for name, owner in self._lasting():
            yield from below(name, owner.parts())
        yield from below("delays", sum_parts(self._delays))

    def restore(self, kept: Kept) -> None:
        """Take back the parts."""
        for name, owner in self._lasting():
            restore_below(name, owner, kept)
        with placed("delays"):
            refill_parts(self._delays, within("delays", kept))

    def _lasting(self) -> Iterator[tuple[str, Lasting]]:
        yield "track", self._track
        yield "estimates", self.estimates
        yield "cohorts", self._cohorts
        if self.detection is not None:
            yield "detection", self.detection
        if self.coverage is not None:
            yield "coverage", self.coverage

    @property
    def detections(self) -> tuple[tuple[Detection, Track], ...]:
        """The detections there are, each with the track that its changes are measured in."""
        found = [] if self.detection is None else [(self.detection, self._track)]
        if self.coverage is not None:
            found.append((self.coverage.detection, self.coverage.track))
        return tuple(found)

    def close(self, end: int) -> tuple[Looked, ...]:
        """Close the panes that end at `end` (ms); return what detectors have looked at."""
        self.settle()
        self.estimates.close(end)
        rows = [] if self.detection is None else [self._close_outcomes(end)]
        if self.detection is None:
            self._track.close(end)
        if self.coverage is not None:
            self.coverage.take(self._cohorts, end)
            rows.append(self.coverage.close(end))
        return tuple(
            Looked(detection, track, found)
            for (detection, track), found in zip(self.detections, rows, strict=True)
        )

    def _close_outcomes(self, end: int) -> IntArray:
        assert self.detection is not None
        closed = self._track.close(end)
        if closed is None:
            return np.empty(0, np.int64)
        self.detection.feed_pane(closed, end - self.spec.pane_ms)
        return self.detection.close(closed.block().rows, end)

    @property
    def next_end(self) -> int | None:
        """Return when there is next something to close or to advance (ms), None if there is not."""
        ends = [self._track.next_end, self.estimates.next_end]
        if self.coverage is not None:
            ends.append(self.coverage.track.next_end)
        first = self._gathered.first_time
        if first is not None:
            ends.append((first // self.spec.pane_ms + 1) * self.spec.pane_ms)
        return min((end for end in ends if end is not None), default=None)

    def advance(self, now: int) -> bool:
        """Advance the windows whose step ends now (ms); say whether there are any of labels."""
        self.estimates.advance(now)
        due = self._track.advance(now)
        if self.coverage is not None:
            due |= self.coverage.track.advance(now)
        return due

    def _shape(self, width: int, sums: int) -> TrackSpec:
        spec = self.spec
        return TrackSpec(width, sums, 0, spec.windows, spec.pane_ms, bool(spec.exclusions))

    def _count_cohorts(self, joined: Joined) -> None:
        delay = joined.label_time - joined.time
        bins = self._cohorts.delay_bins(delay)
        error = None
        if self.layout.task is Task.REGRESSION:
            error = np.asarray(joined.predicted - joined.label, np.float64)
        self._cohorts.add_labels(
            joined.time,
            joined.rows,
            self._strata(joined),
            bins,
            joined.sign,
            error,
        )
        self._count_delays(joined, delay, bins)

    def _strata(self, joined: Joined) -> IntArray:
        label, predicted = joined.label, joined.predicted
        if self.layout.task is Task.BINARY:
            return np.asarray(2 * (label == 1) + (predicted == 1), np.int64)
        if self.layout.task is Task.MULTICLASS:
            return np.asarray(label == predicted, np.int64)
        return np.zeros(len(label), np.int64)

    def _count_delays(self, joined: Joined, delay: IntArray, bins: IntArray) -> None:
        width = self._delays.width
        found = count_by_row(joined.rows, bins, width, joined.sign, (delay / MS,))
        sums = np.zeros((len(found.rows), 1, 2))
        sums[:, :, SUM] = found.sums
        block = Block(found.rows, found.counts, sums, np.empty((len(sums), 0, 2)))
        self._delays.add(block)


def _outcomes(joined: Joined) -> Outcomes:
    return Outcomes(joined.rows, joined.bins, joined.predicted, joined.score, joined.label)


def _present(hidden: BoolArray) -> tuple[bool, ...]:
    """Return which of hidden and not there are."""
    return (False, True) if hidden.any() else (False,)


def _places(chosen: BoolArray) -> npt.NDArray[np.intp] | slice:
    """Return the chosen places, all of them as a slice: nothing is copied then."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _cell_blocks(
    panes: IntArray, rows: CodeArray, cells: IntArray, width: int
) -> Sequence[tuple[int, Block]]:
    """Return counts by pane of events with rows `(n, S)` and cells `(n,)` below `width`."""
    found: list[tuple[int, Block]] = []
    for pane, mine in by_value(panes):
        counted = count_by_row(rows[mine], cells[mine], width)
        empty = np.zeros((len(counted.rows), 0, 2))
        found.append((pane, Block(counted.rows, counted.counts, empty, empty)))
    return found
