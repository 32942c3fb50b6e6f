"""Pearson's statistic where some groups are sparse: its mean is exact, its far tail is not."""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray

SPARSE: Final = 5.0
"""Groups that expect fewer events are pooled: the chi-square law is not good for them."""


class Pooled(NamedTuple):
    """Test statistics `(R,)`, and the number of `groups` left after pooling."""

    statistic: FloatArray
    groups: FloatArray


def pooled_statistic(current: IntArray, reference: IntArray) -> Pooled:
    """Return Pearson's statistic of group counts `(R, G)` against reference ones.

    n_e·Σ (q − p)²/p over groups with n_e = nm/(n + m). Groups that expect fewer than five events
    are counted together; what is left sparse even so is measured with a denominator of five, which
    keeps the statistic small.
    """
    n, m = current.sum(axis=1, keepdims=True), reference.sum(axis=1, keepdims=True)
    both = np.maximum(n + m, 1)
    # Each reference event stands for n/(n + m) expected ones: n_e·p = reference·n/(n + m).
    expected = reference * (n / both)
    difference = current * (m / both) - expected
    sparse = expected < SPARSE
    dense = np.where(sparse, 0.0, difference**2 / np.where(sparse, 1.0, expected))
    few, few_expected = (np.where(sparse, part, 0.0).sum(axis=1) for part in (difference, expected))
    pooled = few**2 / np.maximum(few_expected, SPARSE)
    held = sparse.sum(axis=1)
    groups = (current.shape[1] - held + (held > 0)).astype(np.float64)
    return Pooled(dense.sum(axis=1) + pooled, groups)
