"""Figures of decisions: what follows from confusion counts alone."""

from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.performance.intervals import (
    Estimate,
    Numbers,
    Z,
    mean,
    mean_of_two,
    multinomial_variance,
    ratio,
    wilson,
)


class DecisionFigures(NamedTuple):
    """Figures of a yes-or-no decision, each `(rows,)`.

    With TP, FP, FN, TN: `accuracy` (TP + TN)/n, `precision` TP/(TP + FP), `recall` TP/(TP + FN),
    `specificity` TN/(TN + FP), all with Wilson's interval; `f1` see `f1_score`;
    `balanced_accuracy` (recall + specificity)/2; `mcc` see `matthews`.
    """

    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate
    mcc: Estimate


def decision_figures(confusion: IntArray) -> DecisionFigures:
    """Return the figures of confusion counts `(rows, 2, 2) int64`, [label, prediction]."""
    negatives, positives = confusion[:, 0], confusion[:, 1]
    true = positives[:, 1]
    recall = wilson(true, positives.sum(axis=1))
    specificity = wilson(negatives[:, 0], negatives.sum(axis=1))
    return DecisionFigures(
        accuracy=wilson(true + negatives[:, 0], confusion.sum(axis=(1, 2))),
        precision=wilson(true, confusion[:, :, 1].sum(axis=1)),
        recall=recall,
        f1=f1_score(true, negatives[:, 1] + positives[:, 0]),
        specificity=specificity,
        balanced_accuracy=mean_of_two(recall, specificity),
        mcc=matthews(confusion),
    )


def f1_score(hits: Numbers, misses: Numbers) -> Estimate:
    """Return F1 = 2TP/(2TP + FP + FN) of TP hits and FP + FN misses; NaN where there are neither.

    F1 = 2J/(1 + J) with J = TP/(TP + FP + FN), a proportion: its interval is Wilson's of J, mapped.
    """
    jaccard = wilson(hits, hits + misses)
    return Estimate(*(2.0 * limit / (1.0 + limit) for limit in jaccard))


def matthews(confusion: IntArray) -> Estimate:
    """Return Matthews' correlation `(rows,)` (TP·TN − FP·FN)/√((TP+FP)(TP+FN)(TN+FP)(TN+FN)).

    NaN where a label or a prediction never occurs. The interval is the delta method's on Fisher's
    scale, atanh, of counts with ½ added to each cell: without, it has no width at ±1.
    """
    value = np.clip(_correlation(confusion.astype(np.float64))[0], -1.0, 1.0)
    smooth = confusion.astype(np.float64) + 0.5
    centre, gradient = _correlation(smooth)
    half = Z * np.sqrt(multinomial_variance(smooth, gradient)) / (1.0 - centre**2)
    lower, upper = np.tanh(np.arctanh(centre) - half), np.tanh(np.arctanh(centre) + half)
    return Estimate(value, np.minimum(lower, value), np.maximum(upper, value))


def business_value(confusion: IntArray, values: FloatArray) -> Estimate:
    """Return the mean value of an event `(rows,)`, in the unit of `values`.

    `values (classes, classes) float64` says what an event of [label, prediction] is worth, costs
    negative; with N the confusion counts `(rows, classes, classes)`, Σ N·values / n. The sum of
    squares is exact as well, so the interval is that of a mean. Raises `ValueError` for a shape
    that does not fit and for values that are not finite.
    """
    if values.shape != confusion.shape[1:] or not np.isfinite(values).all():
        raise ValueError(f"values {values.shape} must be finite and fit {confusion.shape[1:]}")
    total, squares = ((confusion * power).sum(axis=(1, 2)) for power in (values, values**2))
    low, high = float(values.min()), float(values.max())
    return mean(total, squares, confusion.sum(axis=(1, 2)), low=low, high=high)


def _correlation(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Matthews' correlation `(rows,)` and its derivatives by each count `(rows, 2, 2)`."""
    by_label, by_prediction = table.sum(axis=2), table.sum(axis=1)
    root = np.sqrt(by_label.prod(axis=1)) * np.sqrt(by_prediction.prod(axis=1))
    value = ratio(table[:, 1, 1] * table[:, 0, 0] - table[:, 0, 1] * table[:, 1, 0], root)
    # The derivative of the determinant by a cell is the opposite cell, signed.
    opposite = table[:, ::-1, ::-1] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    margins = (
        ratio(np.ones_like(by_label), by_label)[:, :, None]
        + (ratio(np.ones_like(by_prediction), by_prediction)[:, None, :])
    )
    slope = ratio(opposite, root[:, None, None]) - value[:, None, None] / 2.0 * margins
    return value, slope
