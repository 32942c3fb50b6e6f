"""Null law of Pearson's divergence with sparse cells, whose tail three cumulants do not describe.

A few events more than expected in a bin that the reference hardly knows add more to Σ(q−p)²/p than
all other bins vary: the law has several humps. Such states of single cells, the outliers, are taken
out and gone through, none, one or two cells at a time; what is left has a gamma law.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import Measure
from streamgauge.core.nulls.cells import Cells, Pools
from streamgauge.core.nulls.divergences import Cumulants, Moments, scaled_terms

_LEVELS: Final = (1.2, 2.0, 3.5, 7.0)
"""Where each level of outliers begins, in standard deviations of the whole divergence."""
_NOTABLE: Final = 24.0
"""Third cumulant from which a cell is searched for outliers, that of χ²(1) being 8."""


class _Outliers(NamedTuple):
    """Chances of the levels `(levels, R, B)`, what they add, and what the law has without them.

    `value (levels, R, B)` is how much more an outlier is than the cell's mean without outliers;
    `mean`, `variance` and `third`, each `(R,)`, are the differences between the cumulants of all
    cells without outliers and with them.
    """

    chance: FloatArray
    value: FloatArray
    mean: FloatArray
    variance: FloatArray
    third: FloatArray

    def take(self, rows: IntArray) -> "_Outliers":
        return _Outliers(
            self.chance[:, rows],
            self.value[:, rows],
            self.mean[rows],
            self.variance[rows],
            self.third[rows],
        )


def heavy_survival(
    pools: Pools,
    groups: Sequence[Cells],
    measure: Measure,
    moments: Moments,
    law: Cumulants,
    values: FloatArray,
) -> FloatArray:
    """Return P(S ≥ value) for values `(R,)`, given the cells, their moments and their law."""
    survival = law.survival(values)
    outliers = _outliers(pools, groups, measure, moments, law)
    hit = np.flatnonzero(outliers.chance.any(axis=(0, 2)))
    if len(hit):
        survival[hit] = _mixture(law.take(hit), outliers.take(hit), values[hit])
    return survival


def _mixture(law: Cumulants, outliers: _Outliers, values: FloatArray) -> FloatArray:
    rest = Cumulants(
        law.mean + outliers.mean,
        np.maximum(law.variance + outliers.variance, 1e-3 * law.variance),
        law.third + outliers.third,
    )
    free = 1.0 - outliers.chance.sum(axis=0)
    odds = outliers.chance / free
    none = np.prod(free, axis=1)
    one = odds.sum(axis=2)
    value = (odds * outliers.value).sum(axis=2) / np.maximum(one, 1e-30)
    survival = none * rest.survival(values)
    left = 1.0 - none
    for level in range(len(_LEVELS)):
        chance = none * one[level]
        survival += chance * rest.survival(values - value[level])
        left -= chance
        for other in range(level + 1):
            pairs = one[level] * one[other] - (odds[level] * odds[other]).sum(axis=1)
            chance = none * np.maximum(pairs, 0.0) * (0.5 if other == level else 1.0)
            survival += chance * rest.survival(values - value[level] - value[other])
            left -= chance
    # Three and more at a time are taken as three of the usual size.
    usual = (one * value).sum(axis=0) / np.maximum(one.sum(axis=0), 1e-30)
    survival += np.maximum(left, 0.0) * rest.survival(values - 3.0 * usual)
    bounded: FloatArray = np.minimum(survival, 1.0)
    return bounded


def _outliers(
    pools: Pools, groups: Sequence[Cells], measure: Measure, moments: Moments, law: Cumulants
) -> _Outliers:
    spread = np.sqrt(law.variance)
    beta = moments.slope(pools)
    notable = moments.fff > _NOTABLE
    slope = beta[:, None]
    # Subtracted as they were added up, or what is left of the law would be rounding errors.
    variance = moments.ff - 2.0 * slope * moments.fx + slope**2 * pools.variance
    cube = moments.fff - 3.0 * slope * moments.ffx
    cube += 3.0 * slope**2 * moments.fxx - slope**3 * pools.third
    chance, value = np.zeros((2, len(_LEVELS), *notable.shape))
    lost = np.zeros((3, len(spread)))
    for cells in groups:
        chosen = np.flatnonzero(notable[cells.row, cells.bin])
        if not cells.exact or not len(chosen):
            continue
        cells = cells.take(chosen)
        row = cells.row
        f = scaled_terms(pools, cells, [measure])[measure]
        g = f - moments.mean[row, cells.bin] - beta[row] * cells.deviation
        inside = cells.weight * (g < _LEVELS[0] * spread[row])
        free = inside.sum(axis=0)
        first = (inside * g).sum(axis=0) / free
        rest = g - first
        second = (inside * rest**2).sum(axis=0) / free - variance[row, cells.bin]
        third = (inside * rest**3).sum(axis=0) / free - cube[row, cells.bin]
        for number, part in enumerate((first, second, third)):
            lost[number] += np.bincount(row, part, len(spread))
        for level, start in enumerate(_LEVELS):
            end = _LEVELS[level + 1] if level + 1 < len(_LEVELS) else np.inf
            weight = cells.weight * ((g >= start * spread[row]) & (g < end * spread[row]))
            total = weight.sum(axis=0)
            chance[level, row, cells.bin] = total
            value[level, row, cells.bin] = (weight * rest).sum(axis=0) / np.maximum(total, 1e-30)
    return _Outliers(chance, value, *lost)
