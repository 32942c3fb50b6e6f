"""Calibration: whether events of score s are positive as often as s says."""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.performance.intervals import Estimate, Z, ratio, wilson

GROUPS: Final = 10
"""Equal ranges of scores that calibration is taken over."""


class Calibration(NamedTuple):
    """Scores against outcomes in equal ranges of the score: `(rows, GROUPS)` each.

    `events` int64, `score` the mean score and `rate` the proportion of positive events with
    Wilson's interval, NaN where a range holds no events.
    """

    events: IntArray
    score: FloatArray
    rate: Estimate


def calibration(histogram: IntArray, score_sums: FloatArray) -> Calibration:
    """Return the calibration of counts `(rows, 2, bins)` and Σ score by range `(rows, GROUPS)`."""
    by_label = histogram.reshape(len(histogram), 2, GROUPS, -1).sum(axis=3)
    events = by_label.sum(axis=1)
    return Calibration(events, ratio(score_sums, events), wilson(by_label[:, 1], events))


def expected_calibration_error(
    found: Calibration, score_sums: FloatArray, brier_sum: FloatArray
) -> Estimate:
    """Return ECE = Σ_g |D_g| `(rows,)`, D_g = Σ_{events of range g} (y − score) / n.

    Source: Naeini, Cooper and Hauskrecht 2015. Noise pushes Σ|D_g| up, so the interval is not
    symmetric. The variances of the D_g add up to V = (Σ(y − score)²/n − Σ D_g²)/n, known from the
    Brier sum. Above, normal: |D| varies no more than D. Below, Σ|D_g − E D_g| is taken off, of
    mean at most √(2GV/π) over G filled ranges and variance (1 − 2/π)V. True rates are covered more
    often than the level says. The limits are NaN where n < 2.
    """
    n = found.events.sum(axis=1)
    outcomes = np.where(found.events > 0, found.rate.value * found.events, 0.0)
    gaps = ratio(outcomes - score_sums, n[:, None])
    value = np.abs(gaps).sum(axis=1)
    spread = np.maximum(ratio(brier_sum, n) - (gaps**2).sum(axis=1), 0.0)
    deviation = np.sqrt(ratio(spread, n - 1))
    filled = (found.events > 0).sum(axis=1)
    noise = np.sqrt(2.0 * filled / np.pi) + Z * np.sqrt(1.0 - 2.0 / np.pi)
    lower = np.maximum(value - noise * deviation, 0.0)
    return Estimate(value, lower, np.minimum(value + Z * deviation, 1.0))
