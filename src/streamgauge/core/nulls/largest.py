"""Null law of the largest difference, cell by cell.

LINF = max|x_b − E x_b|/n_e exceeds ℓ where some cell does. Given the pooled counts each cell is
hypergeometric: its binomial (`cells`) times a normal density for the other cells making up for its
deviation. With o_b its probability to exceed ℓ, P(LINF > ℓ) ≈ 1 − exp(−Σ o_b), a little too large,
since cells that compete for a fixed total are large together less often than independent ones
(Mallows, Biometrika 55(2), 1968). Sparse cells are taken count by count, so the p-value knows which
values LINF can have; the value itself counts half (the mid-p value of Lancaster).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import special

from streamgauge.core.batch import FloatArray
from streamgauge.core.nulls.cells import SPARSE_BELOW, Cells, Pools

_SAME: Final = 1e-4
"""Differences in counts below which two values of LINF are the same, at single precision."""


def largest_survival(pools: Pools, groups: Sequence[Cells], values: FloatArray) -> FloatArray:
    """Return P(LINF > value) + ½P(LINF = value) for values `(R,)`, given the rows' cells."""
    bounds = values * pools.size
    expected = _expected_beyond(pools, groups, bounds)
    survival: FloatArray = np.where(values > 0, -np.expm1(-expected), 1.0)
    return survival


def _expected_beyond(pools: Pools, groups: Sequence[Cells], bounds: FloatArray) -> FloatArray:
    """Return how many cells `(R,)` are expected beyond their row's bound, half of those at it."""
    rows = len(bounds)
    total = np.zeros(rows)
    for cells in groups:
        if not cells.exact:
            continue
        size = pools.size[cells.row]
        rest = np.maximum(size - pools.variance[cells.row, cells.bin], 1e-9)
        single = cells.weight.dtype.type
        balance = np.exp(cells.deviation**2 * (-0.5 / rest).astype(single))
        chance = cells.weight * balance * np.sqrt(size / rest).astype(single)
        excess = np.abs(cells.deviation) - bounds[cells.row].astype(single)
        chance *= np.where(excess > _SAME, single(1.0), single(0.5)) * (excess >= -_SAME)
        total += np.bincount(cells.row, chance.sum(axis=0), rows)
    row, column = np.nonzero((pools.pooled > 0) & (pools.variance >= SPARSE_BELOW))
    own, share = pools.variance[row, column], pools.share[row]
    given = np.maximum(own * (1.0 - own / pools.size[row]), 1e-9)
    z = np.maximum(bounds[row], 0.0) / np.sqrt(given)
    # Edgeworth on both sides: the skewness enters through its square alone.
    skew2 = (1.0 - 2.0 * share) ** 2 / own
    excess = (1.0 - 6.0 * share * (1.0 - share)) / own
    density = np.exp(-(z**2) / 2.0) * np.sqrt(2.0 / np.pi)
    bent = excess * (z**3 - 3.0 * z) / 24.0 + skew2 * (z**5 - 10.0 * z**3 + 15.0 * z) / 72.0
    chance = np.clip(special.erfc(z / np.sqrt(2.0)) + density * bent, 0.0, 1.0)
    return total + np.bincount(row, chance, rows)
