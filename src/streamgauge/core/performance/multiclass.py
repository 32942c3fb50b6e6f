"""Performance of classifiers with several classes."""

from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.performance.counting import confusion_counts
from streamgauge.core.performance.decisions import f1_score
from streamgauge.core.performance.intervals import (
    Estimate,
    multinomial_variance,
    ratio,
    share_of_variance,
    wilson,
)


class MulticlassSums(NamedTuple):
    """Additive counts: `confusion (rows, classes, classes) int64`, [label, prediction]."""

    confusion: IntArray


class Averages(NamedTuple):
    """One figure for all classes `(rows,)` each."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


class MulticlassFigures(NamedTuple):
    """Figures of a classifier with C classes.

    `events (rows,) int64`; `accuracy (rows,)`; `precision`, `recall` and `f1 (rows, C)` of each
    class against the rest, NaN where undefined. `macro` is the plain mean over the classes that
    occur as label or prediction, where a class that was never predicted has precision 0 and one
    that never was the truth recall 0; `weighted` the mean weighted by how often a class is the
    truth. `micro` pools the classes and, with one label and one prediction an event, is the
    accuracy three times. What decisions are worth is `decisions.business_value`.
    """

    events: IntArray
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    macro: Averages
    micro: Averages
    weighted: Averages


def count_multiclass(
    rows: IntArray, size: int, classes: int, *, truth: IntArray, predicted: IntArray
) -> MulticlassSums:
    """Return the sums of n labelled events over `size` rows.

    `rows`, `truth` and `predicted` are `(n,)`; classes are numbered from 0. Raises `ValueError`
    for a row or class out of range.
    """
    return MulticlassSums(confusion_counts(rows, size, classes, truth, predicted))


def multiclass_figures(sums: MulticlassSums) -> MulticlassFigures:
    """Return the figures of every row, with 95 % intervals; NaN where undefined.

    Proportions have Wilson's interval. Averages have the delta method's variance over the counts of
    all cells (Takahashi et al. 2022), with half a hit and half a miss added to each class, and
    Wilson's interval of the effective size.
    """
    confusion = sums.confusion
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    labels, predictions = confusion.sum(axis=2), confusion.sum(axis=1)
    events = labels.sum(axis=1)
    accuracy = wilson(hits.sum(axis=1), events)
    occurs = labels + predictions > 0
    equal = ratio(occurs, occurs.sum(axis=1, keepdims=True))
    return MulticlassFigures(
        events=events,
        accuracy=accuracy,
        precision=wilson(hits, predictions),
        recall=wilson(hits, labels),
        f1=f1_score(hits, labels + predictions - 2 * hits),
        macro=_averages(confusion, equal, np.zeros(len(events))),
        micro=Averages(accuracy, accuracy, accuracy),
        weighted=_averages(confusion, ratio(labels, events[:, None]), 1.0 / np.maximum(events, 1)),
    )


def _averages(confusion: IntArray, weights: FloatArray, growth: FloatArray) -> Averages:
    """Return figures averaged with weights `(rows, classes)`.

    `growth (rows,)` is how much more weight one event gives to the class that is its label.
    """
    return Averages(
        precision=_average(confusion, weights, growth, by_label=0, by_prediction=1),
        recall=_average(confusion, weights, growth, by_label=1, by_prediction=0),
        f1=_average(confusion, weights, growth, by_label=1, by_prediction=1),
    )


def _average(
    confusion: IntArray,
    weights: FloatArray,
    growth: FloatArray,
    *,
    by_label: int,
    by_prediction: int,
) -> Estimate:
    """Return Σ_k w_k F_k, F_k = (a + b)·N_kk/(a·L_k + b·P_k), 0 where that is 0/0.

    L and P are the counts by label and by prediction, a and b whether they count.
    """
    value, _ = _with_gradient(
        confusion.astype(np.float64), weights, growth, by_label, by_prediction
    )
    smooth = confusion + _doubt(confusion.shape[1])
    _, gradient = _with_gradient(smooth, weights, growth, by_label, by_prediction)
    variance = multinomial_variance(smooth, gradient)
    return share_of_variance(value, variance, confusion.sum(axis=(1, 2)))


def _doubt(classes: int) -> FloatArray:
    """Return what is added to counts `(classes, classes)`: for each class, half a hit and a miss.

    Otherwise a class of few events, all right or all wrong, would add no variance.
    """
    share = 0.5 / max(classes - 1, 1)
    return np.where(np.eye(classes, dtype=np.bool_), 0.5, share)


def _with_gradient(
    table: FloatArray, weights: FloatArray, growth: FloatArray, by_label: int, by_prediction: int
) -> tuple[FloatArray, FloatArray]:
    """Return the average `(rows,)` and its derivatives by each count `(rows, classes, classes)`."""
    factor = float(by_label + by_prediction)
    hits = factor * np.diagonal(table, axis1=1, axis2=2)
    size = by_label * table.sum(axis=2) + by_prediction * table.sum(axis=1)
    inverse = np.divide(1.0, size, out=np.zeros(size.shape), where=size > 0)
    each = hits * inverse
    value = (weights * each).sum(axis=1)
    through_size = weights * each * inverse
    through_weight = growth[:, None] * (each - value[:, None])
    gradient = (through_weight - by_label * through_size)[:, :, None] - (
        by_prediction * through_size
    )[:, None, :]
    place = np.arange(table.shape[1])
    gradient[:, place, place] += factor * weights * inverse
    return value, gradient
