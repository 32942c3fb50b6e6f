"""Confidence-based performance estimation: what a binary classifier's scores say of its figures.

With n events of predicted class ŷ in score bin b and calibrated rates c_b, labels are drawn with
these rates: E[TP] = Σ_{ŷ=1} n·c, E[FP] = Σ_{ŷ=1} n·(1 − c), E[FN] = Σ_{ŷ=0} n·c,
E[TN] = Σ_{ŷ=0} n·(1 − c). Figures follow from these as from counts. Intervals hold the figure that
the labels will show: they have the labels' own variance and that of the calibration,
Σ n·g²·c(1 − c) + Σ_runs (Σ_{b in run} n·g)²·Var c, with g the figure's derivative by a label in
(ŷ, b), the first-order law of a Poisson-binomial count.

The estimate follows a change of the scores' distribution (covariate shift). It cannot see a change
of P(label | score) (concept shift); the gap to matured figures shows that.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.estimation.calibration import Calibration
from streamgauge.core.estimation.interval import normal_interval
from streamgauge.core.performance.intervals import Estimate, ratio

TINY: Final = float(np.finfo(np.float64).eps)
"""Log-loss takes scores to lie at least this far from 0 and 1."""


class Metric(StrEnum):
    """A figure of a binary classifier that is estimated without labels."""

    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    SPECIFICITY = "specificity"
    F1 = "f1"
    AUC = "auc"
    BRIER = "brier"
    LOG_LOSS = "log_loss"


class Outcomes(NamedTuple):
    """Expected confusion counts, each `(rows,) float64`; they add over panes and slices."""

    tp: FloatArray
    fp: FloatArray
    fn: FloatArray
    tn: FloatArray


class _Figure(NamedTuple):
    """A metric and its derivative by one label of each predicted class and score bin."""

    metric: Metric
    value: FloatArray
    """`(rows,)`"""
    derivative: FloatArray
    """`(rows, 2 or 1, bins or 1)`"""


def expected_outcomes(current: IntArray, calibration: Calibration) -> Outcomes:
    """Return the confusion counts that events `(rows, 2, bins) int64` are expected to have.

    The events are counted by predicted class, 0 and 1, and score bin. Raises `ValueError` where the
    shape does not fit the calibration.
    """
    _check(current, calibration)
    positive, negative = current @ calibration.rates, current @ (1 - calibration.rates)
    return Outcomes(tp=positive[:, 1], fp=negative[:, 1], fn=positive[:, 0], tn=negative[:, 0])


def estimated_metrics(
    current: IntArray, calibration: Calibration, *, level: float = 0.95
) -> dict[Metric, Estimate]:
    """Return every metric with its interval, from events by predicted class and score bin.

    `current` is `(rows, 2, bins) int64`; a realised figure lies in its interval with probability
    `level`. A metric is NaN in rows where its denominator is 0: no events, none predicted positive
    (precision), no expected positives or negatives (recall, specificity, AUC). Events of one bin
    are ties to AUC; Brier and log-loss (in nats) take the bin's score for theirs. Where scores near
    0 and 1 turn out wrong, log-loss depends on how near: `dle.learn_loss` learns it by bin.
    Raises `ValueError` for a shape that does not fit and a level outside (0, 1).
    """
    _check(current, calibration)
    labels = current * (calibration.rates * (1 - calibration.rates))
    found = {}
    for metric, value, derivative in _figures(current, calibration):
        moved = (current * derivative).sum(axis=1)
        by_run = np.add.reduceat(moved, calibration.starts, axis=1)
        variance = (labels * derivative**2).sum(axis=(1, 2)) + by_run**2 @ calibration.variances
        top = np.inf if metric is Metric.LOG_LOSS else 1.0
        found[metric] = normal_interval(value, variance, level=level, top=top)
    return found


def _figures(current: IntArray, calibration: Calibration) -> Iterator[_Figure]:
    tp, fp, fn, tn = expected_outcomes(current, calibration)
    one = np.array([[0.0], [1.0]])  # the predicted class
    events, positives, negatives = tp + fp + fn + tn, tp + fn, fp + tn
    yield _ratio(Metric.ACCURACY, tp + tn, events, 2 * one - 1)
    yield _ratio(Metric.PRECISION, tp, tp + fp, one)
    yield _ratio(Metric.RECALL, tp, positives, one, 1.0)
    yield _ratio(Metric.SPECIFICITY, tn, negatives, one - 1, -1.0)
    yield _ratio(Metric.F1, 2 * tp, 2 * tp + fp + fn, 2 * one, 1.0)
    yield _auc(current.sum(axis=1), calibration.rates, positives, negatives)
    score, inside = calibration.scores, np.clip(calibration.scores, TINY, 1 - TINY)
    losses = {
        Metric.BRIER: (score**2, (1 - score) ** 2),
        Metric.LOG_LOSS: (-np.log1p(-inside), -np.log(inside)),
    }
    for metric, (if_0, if_1) in losses.items():
        total = current.sum(axis=1) @ (if_0 + calibration.rates * (if_1 - if_0))
        yield _ratio(metric, total, events, (if_1 - if_0)[None, :])


def _ratio(
    metric: Metric, part: FloatArray, whole: FloatArray, adds: FloatArray, adds_whole: float = 0.0
) -> _Figure:
    """Return part/whole, each `(rows,)`.

    A label of 1, not 0, adds `adds (2 or 1, bins or 1)` to the part and `adds_whole` to the whole.
    """
    value = ratio(part, whole)
    by_label = adds - adds_whole * value[:, None, None]
    return _Figure(metric, value, ratio(by_label, whole[:, None, None]))


def _auc(
    n: FloatArray | IntArray, rates: FloatArray, positives: FloatArray, negatives: FloatArray
) -> _Figure:
    """Return Σ_b P_b·(N_{below b} + ½N_b) / (P·N) with the expected positives and negatives."""
    positive, negative = n * rates, n * (1 - rates)
    below = np.cumsum(negative, axis=1) - negative / 2
    above = positives[:, None] - np.cumsum(positive, axis=1) + positive / 2
    value = ratio((positive * below).sum(axis=1), positives * negatives)
    # A positive event more is a negative one less: both the pairs and what divides them change.
    by_pairs = ratio(below - above, (positives * negatives)[:, None])
    by_counts = ratio(value, positives) - ratio(value, negatives)
    return _Figure(Metric.AUC, value, (by_pairs - by_counts[:, None])[:, None, :])


def _check(current: IntArray, calibration: Calibration) -> None:
    if current.ndim != 3 or current.shape[1:] != (2, len(calibration.rates)):
        raise ValueError(f"events must be (rows, 2, {len(calibration.rates)}), not {current.shape}")
