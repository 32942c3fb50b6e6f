"""Figures of classifiers whose labels are still coming in, from weighted confusion counts."""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.cohorts.weighting import Expected, Weights, mean_of_shares, weighted_shares
from streamgauge.core.performance.intervals import Estimate


def predicted_classes(classes: int) -> IntArray:
    """Return the group of each stratum `(classes²,) int64`: its prediction, as cells are numbered.

    A stratum is the confusion cell label · classes + prediction, here and in all of this module.
    """
    return np.arange(classes**2) % classes


class WeightedDecisions(NamedTuple):
    """Figures of a yes-or-no decision, each `(rows,)`, as in `performance.decisions`.

    `label_share` is the share of positive labels, (TP + FN)/n.
    """

    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate
    label_share: Estimate


# What is counted among what, of the cells TN, FP, FN, TP.
_SHARES: Final = {
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
    "precision": ((0, 0, 0, 1), (0, 1, 0, 1)),
    "recall": ((0, 0, 0, 1), (0, 0, 1, 1)),
    "specificity": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "label_share": ((0, 0, 1, 1), (1, 1, 1, 1)),
    "jaccard": ((0, 0, 0, 1), (0, 1, 1, 1)),
}
_HITS, _AMONG = (
    np.array([sides[k] for sides in _SHARES.values()], dtype=np.float64) for k in (0, 1)
)


def weighted_decisions(counts: IntArray, weights: Weights, expected: Expected) -> WeightedDecisions:
    """Return the figures of a binary model from labels so far `(rows, T, 4) int64`."""
    found = weighted_shares(counts, weights, expected, _HITS, _AMONG)
    named = {name: _part(found, place) for place, name in enumerate(_SHARES)}
    f1 = _f1(named.pop("jaccard"))
    recall_and_specificity = [list(_SHARES).index(name) for name in ("recall", "specificity")]
    both = mean_of_shares(
        counts, weights, expected, _HITS[recall_and_specificity], _AMONG[recall_and_specificity]
    )
    return WeightedDecisions(f1=f1, balanced_accuracy=both, **named)


class WeightedClasses(NamedTuple):
    """Figures of a classifier with C classes, each of them against the rest.

    `accuracy (rows,)`; `precision`, `recall` and `f1 (rows, C)`, NaN where undefined.
    """

    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate


def weighted_classes(counts: IntArray, weights: Weights, expected: Expected) -> WeightedClasses:
    """Return the figures of a multiclass model from labels so far `(rows, T, C²) int64`."""
    classes = round(counts.shape[2] ** 0.5)
    label, prediction = np.divmod(np.arange(classes**2), classes)
    each = np.arange(classes)[:, None]
    truth, said = label == each, prediction == each
    right = (label == prediction)[None]
    hits = np.concatenate([right, *[truth & said] * 3]).astype(np.float64)
    among = np.concatenate([right | True, said, truth, truth | said]).astype(np.float64)
    found = weighted_shares(counts, weights, expected, hits, among)
    precision, recall, jaccard = (
        _part(found, slice(1 + k * classes, 1 + (k + 1) * classes)) for k in range(3)
    )
    return WeightedClasses(_part(found, 0), precision, recall, _f1(jaccard))


def _part(found: Estimate, place: int | slice) -> Estimate:
    """Return some of the shares `(rows, K)`."""
    return Estimate(*(part[:, place] for part in found))


def _f1(jaccard: Estimate) -> Estimate:
    """Return F1 = 2J/(1 + J) of J = TP/(TP + FP + FN), its interval mapped likewise."""
    return Estimate(*(2.0 * limit / (1.0 + limit) for limit in jaccard))
