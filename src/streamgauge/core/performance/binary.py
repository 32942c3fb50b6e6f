"""Performance of binary classifiers."""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.layout import score_bins
from streamgauge.core.performance.calibration import (
    GROUPS,
    Calibration,
    calibration,
    expected_calibration_error,
)
from streamgauge.core.performance.counting import confusion_counts, counts_by_row, sums_by_row
from streamgauge.core.performance.decisions import DecisionFigures, decision_figures
from streamgauge.core.performance.intervals import Estimate, mean
from streamgauge.core.performance.ranking import Bounded, area_under_roc, average_precision

SCORE_BINS: Final = 100
"""Equal bins of the score over [0, 1], those of the layout."""
_BINS: Final = score_bins(count=SCORE_BINS)
_EPSILON: Final = float(np.finfo(np.float64).eps)
_LARGEST_LOG_LOSS: Final = -float(np.log(_EPSILON))


class BinarySums(NamedTuple):
    """Additive sums of labelled events; rows are slices.

    `confusion (rows, 2, 2) int64`, [label, prediction]; of events with a score `histogram
    (rows, 2, SCORE_BINS) int64`, [label, score bin]; `score_sums (rows, GROUPS) float64`, Σ score
    by tenth of its range; `losses (rows, 4) float64`, Σ and Σ² of the log-loss, then those of
    (y − score)².
    """

    confusion: IntArray
    histogram: IntArray
    score_sums: FloatArray
    losses: FloatArray


class BinaryFigures(NamedTuple):
    """Figures `(rows,)` of a binary classifier.

    `events` and `scored (rows,) int64` are how many events the decisions and the scores had.
    `log_loss` is the mean of −ln(probability given to the truth) in nats, scores held within
    [ε, 1 − ε] with ε = 2⁻⁵²; `brier` the mean of (y − score)². What decisions are worth is
    `decisions.business_value` of the confusion counts.
    """

    events: IntArray
    scored: IntArray
    decisions: DecisionFigures
    auc: Bounded
    average_precision: Bounded
    calibration: Calibration
    ece: Estimate
    log_loss: Estimate
    brier: Estimate


def count_binary(
    rows: IntArray, size: int, *, truth: BoolArray, predicted: BoolArray, score: FloatArray
) -> BinarySums:
    """Return the sums of n labelled events over `size` rows.

    All arrays are `(n,)`: `rows` the row of each event, `truth` and `predicted` True for positive
    (`predicted` is score ≥ threshold, or the model's own word). A `score` that is not within [0, 1]
    is no probability: such an event, like one with NaN, counts in the confusion alone. Raises
    `ValueError` for a row out of range.
    """
    confusion = confusion_counts(rows, size, 2, truth.astype(np.int64), predicted.astype(np.int64))
    scored = (score >= 0.0) & (score <= 1.0)
    rows, truth, score = rows[scored], truth[scored], score[scored]
    bins = score_bin(score)
    groups = rows * GROUPS + bins // (SCORE_BINS // GROUPS)
    log, square = log_loss(truth, score), (truth - score) ** 2
    return BinarySums(
        confusion,
        counts_by_row(rows * 2 + truth, size * 2, bins, SCORE_BINS).reshape(size, 2, SCORE_BINS),
        sums_by_row(groups, size * GROUPS, score).reshape(size, GROUPS),
        sums_by_row(rows, size, log, log**2, square, square**2),
    )


def score_bin(score: FloatArray) -> IntArray:
    """Return the bin in [0, SCORE_BINS) of scores in [0, 1] `(n,) int64`."""
    # The first of the assigned bins is for what lies below 0.
    bins: IntArray = _BINS.assign(score).astype(np.int64, copy=False) - 1
    return bins


def log_loss(truth: BoolArray, score: FloatArray) -> FloatArray:
    """Return −ln of the probability that scores `(n,)` give to the truth `(n,)`, in nats."""
    held = np.clip(score, _EPSILON, 1.0 - _EPSILON)
    loss: FloatArray = -np.where(truth, np.log(held), np.log1p(-held))
    return loss


def binary_figures(sums: BinarySums) -> BinaryFigures:
    """Return the figures of every row, with 95 % intervals; NaN where undefined."""
    scored = sums.histogram.sum(axis=(1, 2))
    log, log_squares, square, square_squares = sums.losses.T
    found = calibration(sums.histogram, sums.score_sums)
    return BinaryFigures(
        events=sums.confusion.sum(axis=(1, 2)),
        scored=scored,
        decisions=decision_figures(sums.confusion),
        auc=area_under_roc(sums.histogram),
        average_precision=average_precision(sums.histogram),
        calibration=found,
        ece=expected_calibration_error(found, sums.score_sums, square),
        log_loss=mean(log, log_squares, scored, low=0.0, high=_LARGEST_LOG_LOSS),
        brier=mean(square, square_squares, scored, low=0.0, high=1.0),
    )
