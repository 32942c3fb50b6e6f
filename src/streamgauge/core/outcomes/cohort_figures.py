"""Figures of cohorts: of labelled events by stratum, as they came or as they are weighted.

Strata are kinds of outcomes: those of a binary model are [label, prediction], of other classifiers
wrong or right, of regressions all one. Sums are of the errors of regressions, and of their squares.
"""

from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray, Task
from streamgauge.core.blocks import SUM, SUM_SQUARES
from streamgauge.core.cohorts.figures import WeightedDecisions, weighted_decisions
from streamgauge.core.cohorts.weighting import Expected, Weights, weighted_mean, weighted_shares
from streamgauge.core.outcomes.figures import Figures, positive_rate
from streamgauge.core.performance.decisions import decision_figures
from streamgauge.core.performance.intervals import Estimate, mean, wilson

_RIGHT: Final = np.array([[0.0, 1.0]])
"""Of the strata wrong and right, the second."""


def plain_figures(task: Task, labelled: IntArray, sums: FloatArray) -> Figures:
    """Return figures of labelled events by stratum `(R, S)` and their sums `(R, 2, 2)`."""
    count = labelled.sum(axis=1)
    if task is Task.REGRESSION:
        size = mean(sums[:, 0, SUM], sums[:, 0, SUM_SQUARES], count, low=0.0)
        square = mean(sums[:, 1, SUM], sums[:, 1, SUM_SQUARES], count, low=0.0)
        return _errors(size, square)
    if task is Task.MULTICLASS:
        return {"accuracy": wilson(labelled[:, 1], count)}
    confusion = labelled.reshape(-1, 2, 2)
    found = decision_figures(confusion)._asdict()
    return {**found, "positive_rate": positive_rate(confusion)}


def weighted_figures(
    task: Task, labelled: IntArray, sums: FloatArray, weights: Weights, expected: Expected
) -> Figures:
    """Return weighted figures of events `(R, T, S)` and their sums `(R, T, 2, 2)`."""
    if task is Task.REGRESSION:
        size, square = (
            weighted_mean(
                labelled, sums[:, :, k, SUM, None], sums[:, :, k, SUM_SQUARES, None], weights
            )
            for k in range(2)
        )
        return _errors(size, square)
    if task is Task.BINARY:
        return _named(weighted_decisions(labelled, weights, expected))
    found = weighted_shares(labelled, weights, expected, _RIGHT, np.ones((1, 2)))
    return {"accuracy": Estimate(*(part[:, 0] for part in found))}


def _named(figures: WeightedDecisions) -> Figures:
    found = figures._asdict()
    found["positive_rate"] = found.pop("label_share")
    return found


def _errors(size: Estimate, square: Estimate) -> Figures:
    # Intervals of weighted means know nothing of the sign, and corrections leave rounding behind.
    size, square = (Estimate(*(np.maximum(part, 0.0) for part in e)) for e in (size, square))
    return {"mae": size, "mse": square, "rmse": Estimate(*(np.sqrt(part) for part in square))}
