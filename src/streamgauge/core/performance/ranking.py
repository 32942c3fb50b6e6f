"""Figures of ranking, from score histograms by label: events of one bin count as ties.

The intervals are those of sampling. What the bins hide is a bound of its own beside each figure,
since it does not shrink with more events and is 0 for scores that really are tied.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.performance.intervals import (
    Estimate,
    multinomial_variance,
    ratio,
    share_of_variance,
)


class Bounded(NamedTuple):
    """A figure of binned scores, and how far that of the scores themselves may lie from it.

    `bound (rows,) float64`.
    """

    estimate: Estimate
    bound: FloatArray


def area_under_roc(histogram: IntArray) -> Bounded:
    """Return the area under the ROC curve `(rows,)` of counts `(rows, 2, bins)`, [label, bin].

    Σ_b P⁺_b (P⁻_{<b} + ½P⁻_b) with P the proportions of each label's events, and the bound
    ½ Σ_b P⁺_b P⁻_b: pairs of one bin count ½ where they may count 0 or 1. NaN unless both labels
    occur. The variance is DeLong's (1988) of the binned scores; Wilson's interval of its effective
    size, for which min(n⁺, n⁻) is a lower bound (Birnbaum and Klose 1957).
    """
    n = histogram.sum(axis=2)
    negative, positive = (ratio(histogram[:, k], n[:, k, None]) for k in (0, 1))
    below = np.cumsum(negative, axis=1) - negative / 2.0
    above = 1.0 - np.cumsum(positive, axis=1) + positive / 2.0
    area = np.clip((positive * below).sum(axis=1), 0.0, 1.0)
    spreads = [
        ratio((share * (place - area[:, None]) ** 2).sum(axis=1), n[:, k] - 1)
        for k, share, place in ((0, negative, above), (1, positive, below))
    ]
    bound = (positive * negative).sum(axis=1) / 2.0
    return Bounded(share_of_variance(area, spreads[0] + spreads[1], n.min(axis=1)), bound)


def average_precision(histogram: IntArray) -> Bounded:
    """Return the average precision `(rows,)` of counts `(rows, 2, bins)`, [label, bin].

    Σ_b P⁺_b T_b/(T_b + F_b), with T_b and F_b the positive and negative events of bin b and above;
    NaN where nothing is positive. The bound is the larger distance to what it would be if in every
    bin the positives came first, tied, or one by one after the negatives. The variance is the
    delta method's over the counts of all cells; Wilson's interval of its effective size (others
    are compared by Boyd, Eng and Page 2013).
    """
    negatives, positives = (histogram[:, k, ::-1].astype(np.float64) for k in (0, 1))
    hits, alarms = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    taken, n = hits + alarms, hits[:, -1]
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    value = np.minimum(ratio((positives * precision).sum(axis=1), n), 1.0)

    best = hits * np.divide(positives, taken - negatives, out=np.zeros_like(hits), where=hits > 0)
    above = ratio(best.sum(axis=1), n) - value
    below = value - _last_of_bins(hits, alarms, positives)

    per_event = np.divide(positives, taken**2, out=np.zeros_like(hits), where=taken > 0)
    by_hit, by_alarm = (
        np.cumsum((per_event * other)[:, ::-1], axis=1)[:, ::-1] for other in (alarms, hits)
    )
    gradient = np.stack([-by_alarm, precision - value[:, None] + by_hit], axis=1)
    counts = np.stack([negatives, positives], axis=1)
    variance = ratio(multinomial_variance(counts, gradient), n**2)
    return Bounded(share_of_variance(value, variance, n), np.maximum(np.maximum(above, below), 0.0))


def _last_of_bins(hits: FloatArray, alarms: FloatArray, positives: FloatArray) -> FloatArray:
    """Return the average precision if positives came one by one after the negatives of their bin.

    Of the a positives in a bin that ends at T and F, with K = T + F:
    Σ_{i=0..a−1} (T − i)/(K − i) = a − F(ψ(K + 1) − ψ(K − a + 1)).
    """
    end = hits + alarms + 1.0
    gap = special.digamma(end) - special.digamma(end - positives)
    return ratio((positives - alarms * gap).sum(axis=1), hits[:, -1])
