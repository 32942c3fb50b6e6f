"""Allowance: how what a row spends of the alert budget is divided among its series."""

from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray
from streamgauge.core.detectors.series import SeriesTable
from streamgauge.core.detectors.specs import Spending

NOTHING: Final = -700.0
"""Log of an allowance that is as good as none: where a row or series is not judged."""


def series_weights(table: SeriesTable, spending: Spending) -> FloatArray:
    """Return the weight of each series `(Q,)`: that of its subject's kind."""
    weights = dict(spending.weights)
    return np.array([weights.get(series.subject.kind, 1.0) for series in table.series])


def log_parts(table: SeriesTable, weights: FloatArray) -> FloatArray:
    """Return log of each series' and side's part of a row's allowance `(2, Q, 2)`.

    First of rows that the reference does not know, then of those that it does. Sides are risen and
    fallen; `NOTHING` where one is not judged.
    """
    both = np.stack([weights, np.where(table.falls, weights, 0.0)], axis=-1)
    parts = np.stack([np.where(table.compared[:, None], 0.0, both), both])
    parts /= np.maximum(parts.sum(axis=(1, 2), keepdims=True), 1e-300)
    with np.errstate(divide="ignore"):
        result: FloatArray = np.maximum(np.log(parts), NOTHING)
    return result
