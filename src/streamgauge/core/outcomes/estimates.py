"""Estimates: what performance is to be expected of predictions whose labels are not known.

Classifications are counted by predicted class and score bin, and their figures follow from how
often scores of the reference came true (see `cbpe`). Regressions are counted by the bin of the
prediction, and the reference teaches the loss of each bin (see `dle`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import IntArray, Task
from streamgauge.core.blocks import SUM, SUM_SQUARES
from streamgauge.core.estimation.calibration import Calibration, learn, split
from streamgauge.core.estimation.cbpe import Metric, estimated_metrics
from streamgauge.core.estimation.dle import ExpectedLoss, estimated_losses, learn_loss
from streamgauge.core.joining.records import Pending
from streamgauge.core.outcomes.counting import ScoreRates
from streamgauge.core.outcomes.figures import Figures
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.performance.binary import SCORE_BINS, score_bin
from streamgauge.core.reference import Reference

FEWEST: Final = 100
"""Labelled events of a reference from which on it teaches anything."""
_MIDDLES = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
_BINARY = tuple(metric for metric in Metric if metric is not Metric.LOG_LOSS)


@dataclass(frozen=True, slots=True)
class Estimator:
    """What a reference's labelled events teach of events without labels.

    `width` cells are counted per row: see `cells`.
    """

    layout: OutcomeLayout
    calibration: Calibration | None
    losses: ExpectedLoss | None
    width: int

    def cells(self, events: Pending) -> IntArray:
        """Return the cell `(n,) int64` of every event, −1 of those that nothing can be said of."""
        if self.calibration is None:
            bins = events.bins[:, -1].astype(np.int64)
            return np.where(bins < self.width, bins, -1)
        scored = (events.score >= 0.0) & (events.score <= 1.0)
        cells = score_bin(np.where(scored, events.score, 0.0))
        if self.layout.task is Task.BINARY:
            cells = cells + SCORE_BINS * (events.predicted == 1)
        return np.where(scored, cells, -1)

    def figures(self, counts: IntArray) -> Figures:
        """Return the estimated figures of rows with counts by cell `(rows, width) int64`."""
        if self.losses is not None:
            found = estimated_losses(counts, self.losses)
            return {metric.value: estimate for metric, estimate in found.items()}
        assert self.calibration is not None
        if self.layout.task is Task.BINARY:
            current = counts.reshape(len(counts), 2, SCORE_BINS)
            estimated = estimated_metrics(current, self.calibration)
            return {metric.value: estimated[metric] for metric in _BINARY}
        # A prediction is right as often as its score comes true.
        current = np.stack([np.zeros_like(counts), counts], axis=1)
        return {"accuracy": estimated_metrics(current, self.calibration)[Metric.ACCURACY]}

    def rates(self) -> ScoreRates | None:
        """Return how often a prediction is wrong, by what its score says."""
        if self.calibration is None:
            return None
        true = self.calibration.rates
        if self.layout.task is Task.BINARY:
            return ScoreRates(np.stack([true, 1.0 - true]))
        return ScoreRates((1.0 - true)[None, :])


def learn_estimator(layout: OutcomeLayout, reference: Reference) -> Estimator | None:
    """Return what the labelled events of a reference teach, None where they are too few.

    `reference` is `Reference.outcomes`.
    """
    block = reference.block
    if layout.task is not Task.REGRESSION:
        counts = block.counts[0, layout.histogram].astype(np.int64).reshape(2, SCORE_BINS)
        if counts.sum() < FEWEST:
            return None
        width = SCORE_BINS * (2 if layout.task is Task.BINARY else 1)
        return Estimator(layout, learn(split(counts), _MIDDLES), None, width)
    first, end = layout.feature_starts[-2:]
    groups = layout.prediction_groups
    cells = slice(layout.feature_counts.start + first, layout.feature_counts.start + first + groups)
    sums = slice(layout.feature_sums.start + first, layout.feature_sums.start + first + groups)
    counts = block.counts[0, cells].astype(np.int64)
    if counts.sum() < FEWEST or first == end:
        return None
    losses = learn_loss(counts, block.sums[0, sums, SUM], block.sums[0, sums, SUM_SQUARES])
    return Estimator(layout, None, losses, groups)
