"""Pearson's statistic where some groups are sparse: its mean is exact, its far tail is not."""

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.pooling import SPARSE, Pooled, compare


def pooled_statistic(
    current: IntArray, reference: IntArray, dispersion: FloatArray, starts: IntArray
) -> Pooled:
    """Return Pearson's statistic of group counts against reference ones, for F fields at once.

    n_e·Σ (q − p)²/p over groups; the arguments are those of `compare`. Groups that expect fewer
    than five events are counted together; what is left sparse even so is measured with a
    denominator of five, which keeps the statistic small.
    """
    pair = compare(current, reference, dispersion, starts)
    total = np.maximum(pair.n + pair.m, 1.0)
    n, m = pair.per_group(pair.n / total), pair.per_group(pair.m / total)
    expected = pair.reference * n
    difference = pair.current * m - expected
    dense = np.where(pair.sparse, 0.0, difference**2 / np.where(pair.sparse, 1.0, expected))
    pooled = pair.pooled(difference) ** 2 / np.maximum(pair.pooled(expected), SPARSE)
    return Pooled(pair.per_field(dense) + pooled, pair.groups, pair.effective)
