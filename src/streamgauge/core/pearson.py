"""Pearson's statistic where some groups are sparse, and the law of it under a tolerance."""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtri

from streamgauge.core.batch import FloatArray, IntArray

SPARSE: Final = 5.0
"""Groups that expect fewer events are pooled: the chi-square law is not good for them."""


def critical_value(groups: FloatArray, noncentrality: FloatArray, probability: float) -> FloatArray:
    """Return the upper critical value of χ²(groups − 1, noncentrality).

    Sankaran's normal approximation of a power of the variable (Biometrika 46, 1959), in closed
    form and within a few per cent far in the tail.
    """
    k, c = np.maximum(groups - 1.0, 1.0), noncentrality
    h = 1.0 - 2.0 * (k + c) * (k + 3.0 * c) / (3.0 * (k + 2.0 * c) ** 2)
    p = (k + 2.0 * c) / (k + c) ** 2
    m = (h - 1.0) * (1.0 - 3.0 * h)
    mean = 1.0 + h * p * (h - 1.0 - 0.5 * (2.0 - h) * m * p)
    deviation = h * np.sqrt(2.0 * p) * (1.0 + 0.5 * m * p)
    z = -float(ndtri(probability))
    result: FloatArray = (k + c) * (mean + z * deviation) ** (1.0 / h)
    return result


class Pooled(NamedTuple):
    """Test statistics `(R, F)`: `statistic`, `groups` left after pooling, `effective` n_e."""

    statistic: FloatArray
    groups: FloatArray
    effective: FloatArray


def pooled_statistic(
    current: IntArray, reference: IntArray, dispersion: FloatArray, starts: IntArray
) -> Pooled:
    """Return Pearson's statistic of group counts against reference ones, for F fields at once.

    `current` and `reference` `(R, G)` hold the fields' groups side by side, field f's from
    `starts[f]` on; the current sizes are divided by the fields' `dispersion (F,)`. Groups that
    expect fewer than five events are counted together; what is left sparse even so is measured
    with a denominator of five, which keeps the statistic small.
    """

    def per_field(values: FloatArray | IntArray) -> FloatArray:
        return np.add.reduceat(values, starts, axis=1).astype(np.float64, copy=False)

    sizes = np.diff(starts, append=current.shape[1])
    n, m = per_field(current), per_field(reference)
    shrunk = n / dispersion
    effective = shrunk * m / np.maximum(shrunk + m, 1.0)
    p = reference / np.repeat(np.maximum(m, 1.0), sizes, axis=1)
    q = current / np.repeat(np.maximum(n, 1.0), sizes, axis=1)
    spread = np.repeat(effective, sizes, axis=1)
    expected = spread * p
    sparse = expected < SPARSE
    difference = spread * (q - p)
    dense = np.where(sparse, 0.0, difference**2 / np.where(sparse, 1.0, expected))
    pooled_expected = per_field(np.where(sparse, expected, 0.0))
    pooled_difference = per_field(np.where(sparse, difference, 0.0))
    statistic = per_field(dense) + pooled_difference**2 / np.maximum(pooled_expected, SPARSE)
    groups = per_field(~sparse) + (per_field(sparse) > 0)
    return Pooled(statistic, groups, effective)
