"""The likelihood-ratio statistic of group counts against reference ones, true far in the tail.

Budgets ask for one false finding in 10⁹ looks and rarer. There Pearson's statistic follows no
chi-square law as soon as one group is rare: with two groups and five expected events in the rarer
one it exceeds the critical value a thousand times too often, with twenty still eighty times. The
likelihood ratio grows as k·log k, as the logarithm of a Poisson tail does: it stays within a factor
of five for two groups (counts are whole numbers) and of 1.3 for more.
"""

import numpy as np
from scipy.special import xlog1py, xlogy

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.pooling import Pooled, compare


def ratio_statistic(
    current: IntArray, reference: IntArray, dispersion: FloatArray, starts: IntArray
) -> Pooled:
    """Return twice the log-likelihood ratio of two laws to one, for F fields at once.

    2·Σ_g [a·log(a/(a + b)) + b·log(b/(a + b))] + 2·[n·log((n + m)/n) + m·log((n + m)/m)] for
    current counts a (divided by the dispersion) with sum n and reference counts b with sum m
    (Wilks 1938; Sokal and Rohlf, Biometry, "G-test"). The arguments are those of `compare`; groups
    that expect fewer than five events are counted together. Near no drift it is Pearson's
    statistic; under a drift whose total variation is T it is at least 4·n_e·T² (Pinsker).
    """
    pair = compare(current, reference, dispersion, starts)
    dense = np.where(pair.sparse, 0.0, _split(pair.current, pair.reference))
    pooled = _split(pair.pooled(pair.current), pair.pooled(pair.reference))
    statistic = 2.0 * (pair.per_field(dense) + pooled - _split(pair.n, pair.m))
    return Pooled(np.maximum(statistic, 0.0), pair.groups, pair.effective)


def _split(a: FloatArray, b: FloatArray | IntArray) -> FloatArray:
    """Return a·log(a/(a + b)) + b·log(b/(a + b)), 0 where both are 0."""
    whole = a + b
    share = a / np.where(whole > 0, whole, 1.0)
    # Where b is 0 the share is 1, and its logarithm is not asked for.
    result: FloatArray = xlogy(a, share) + xlog1py(b, -share)
    return result
