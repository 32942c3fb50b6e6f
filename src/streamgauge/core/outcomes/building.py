"""Building: the outcomes of training data, counted as production's will be."""

import numpy as np

from streamgauge.core.batch import EventBatch, IntArray
from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.outcomes.counting import OutcomeCounter, Outcomes
from streamgauge.core.outcomes.events import PredictionTap, true_classes
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.timeline import HOURS_OF_WEEK, Timeline
from streamgauge.core.zone import UTC_ZONE, Zone


class OutcomeBuilder:
    """Counts the labelled events of batches, by slice and over time.

    Time is when a label became known. Where the data do not say, it is when the event happened,
    and the hours of the week are not told apart: labels come later by nobody knows how much.
    """

    def __init__(self, layout: OutcomeLayout, zone: Zone = UTC_ZONE) -> None:
        self.layout = layout
        self.timeline = Timeline(layout.watched, zone)
        self._counter = OutcomeCounter(layout)
        self._block = BlockSum(layout.width, layout.sums, 0)
        self._label_times = True

    def __len__(self) -> int:
        """Return the number of rows with labelled events."""
        return len(self._block)

    def tap(self, batch: EventBatch) -> PredictionTap | None:
        """Return what has to see the batch's aggregation, None where there is nothing to see."""
        return None if batch.label is None else PredictionTap(self.layout, batch)

    def add(self, batch: EventBatch, tap: PredictionTap, *, timed: bool) -> None:
        """Count a batch's labelled events after its aggregation."""
        assert batch.label is not None
        found = tap.predicted()
        labels, known = true_classes(self.layout, batch.label)
        chosen = known[found.at]
        if not chosen.any():
            return
        at = found.at[chosen]
        events = Outcomes(
            found.rows[chosen],
            found.bins[chosen],
            found.predicted[chosen],
            found.score[chosen],
            labels[at],
        )
        for _, block in self._counter.blocks(events, np.zeros(len(at), np.int64)):
            self._block.add(block)
        if not timed:
            return
        if batch.label_time is None:
            self._label_times = False
            times = batch.timestamp[at]
        else:
            times = np.maximum(batch.label_time[at], batch.timestamp[at])
        self.timeline.begin(times, np.ones(len(at), bool))
        for column in self._counter.columns(events):
            self.timeline.add(slice(0, len(at)), column)

    def block(self, rows: IntArray) -> Block:
        """Return the counts and sums of these rows, in their order; zeros where there are none."""
        found = self._block.block().of_rows(np.asarray(rows, np.int64))
        return found._replace(rows=np.arange(len(rows)))

    def hour_of_week(self) -> IntArray:
        """Return the folded counts by hour of the week `(168, G)`, the same where not known."""
        hours = self.timeline.hour_of_week
        if self._label_times:
            return hours.copy()
        return np.tile(hours.sum(axis=0), (HOURS_OF_WEEK, 1))
