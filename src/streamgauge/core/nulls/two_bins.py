"""Null law of fields with two filled bins, such as a missing rate: enumerated.

Given the pooled counts everything hangs on one hypergeometric count, so each value that a measure
can have is gone through. The value itself counts half (the mid-p value of Lancaster): with few
events in the rarer bin no test has exactly the nominal level, and mid-p is right on average.
"""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.distances import Measure, divergence_terms
from streamgauge.core.nulls.cells import Pools
from streamgauge.core.nulls.divergences import SCALE, Cumulants

_ENUMERATED_BELOW: Final = 25.0
"""Variance of the count below which its values matter."""
_SAME: Final = 1e-5
"""Relative difference below which two values are the same."""


def two_bin_rows(pools: Pools) -> BoolArray:
    """Return the rows `(R,)` with two filled bins whose count is to be enumerated."""
    total = pools.current + pools.reference
    rarer = np.where(pools.pooled > 0, pools.pooled, np.inf).min(axis=1)
    variance = rarer * (1.0 - rarer / total) * pools.share * (1.0 - pools.share)
    chosen: BoolArray = (pools.bins == 2.0) & (variance < _ENUMERATED_BELOW)
    return chosen


def two_bin_laws(
    pools: Pools, values: Mapping[Measure, FloatArray]
) -> dict[Measure, tuple[Cumulants, FloatArray]]:
    """Return, by summed measure, the cumulants and P(> value) + ½P(= value).

    The measures are divergences, scaled to S, and TVD, scaled to √n_e·TVD, for which every norm
    may stand: with two bins all are multiples of each other. `values` are `(R,)` each.
    """
    current, rarer, weight = _enumerate(pools)
    result = {}
    for kind, possible in _values(pools, values, current, rarer).items():
        mean = (weight * possible).sum(axis=1)
        centred = possible - mean[:, None]
        cumulants = Cumulants(
            mean, (weight * centred**2).sum(axis=1), (weight * centred**3).sum(axis=1)
        )
        value = values[kind][:, None]
        margin = _SAME * np.abs(value) + 1e-12
        above = (weight * (possible > value + margin)).sum(axis=1)
        reached = (weight * (possible >= value - margin)).sum(axis=1)
        result[kind] = cumulants, np.minimum((above + reached) / 2.0, 1.0)
    return result


def _enumerate(pools: Pools) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return current counts of the rarer bin and their chances, both `(R, K)`, and which bin it is.

    The middle one is `(R,)`.
    """
    rarer = np.where(pools.pooled > 0, pools.pooled, np.inf).argmin(axis=1)
    pooled = np.take_along_axis(pools.pooled, rarer[:, None], axis=1)
    small = np.minimum(pools.current, pools.reference)[:, None]
    total = (pools.current + pools.reference)[:, None]
    mean = pooled * small / total
    needed = np.minimum(mean + 6.5 * np.sqrt(mean) + 6.0, np.minimum(pooled, small))
    count = np.arange(int(needed.max(initial=0.0)) + 1, dtype=np.float64)
    ratio = np.maximum(pooled - count[:-1], 0.0) * np.maximum(small - count[:-1], 0.0)
    ratio /= count[1:] * (total - pooled - small + count[1:])
    weight = np.concatenate([np.ones_like(pooled), np.cumprod(ratio, axis=1)], axis=1)
    weight /= weight.sum(axis=1, keepdims=True)
    count = np.minimum(count, np.minimum(pooled, small))
    current = np.where((pools.current <= pools.reference)[:, None], count, pooled - count)
    return current, rarer, weight


def _values(
    pools: Pools, kinds: Collection[Measure], current: FloatArray, rarer: IntArray
) -> dict[Measure, FloatArray]:
    pooled = np.take_along_axis(pools.pooled, rarer[:, None], axis=1)
    n, m, size = pools.current[:, None], pools.reference[:, None], pools.size[:, None]
    values: dict[Measure, FloatArray] = {}
    if Measure.TVD in kinds:
        values[Measure.TVD] = np.abs(current - pooled * n / (n + m)) / np.sqrt(size)
    q = np.stack([current + 0.5, n - current + 0.5]) / (n + 1.0)
    p = np.stack([pooled - current + 0.5, m - pooled + current + 0.5]) / (m + 1.0)
    for kind, terms in divergence_terms(kinds, q, p).items():
        values[kind] = terms.sum(axis=0) * size * SCALE[kind]
    return values
