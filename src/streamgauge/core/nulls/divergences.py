"""Null law of divergences: three conditional cumulants, and the gamma law that has them.

A divergence is scaled to S = n_e·c·D with c = 1 (PSI, CHI2), 2 (KL), 8 (1 − BC), 8 ln 2 (JS in
bits), so that S → χ²(B − 1) for n_e → ∞. With filled cells the only correction needed is that
smoothing shrinks every difference by s = n_e(1/(n + B/2) + 1/(m + B/2)), S by s². With sparse
cells the cumulants of S are summed over cells under the law of `cells`:

- S = Σ f_b(x_b), x_b independent, given Σ x_b = n. The condition takes the linear part away,
  g_b = f_b − β x_b with β = ΣCov(f_b, x_b)/n_e, and one degree of freedom: with
  a = Σ E[(g_b − E g_b)(x_b − E x_b)²]/n_e (2 where g is a square) the cumulants lose those of a
  gamma variable, a/2, a²/2 and a³: from −½ log of the variance of Σ x_b under exponential tilting
  by S (McCullagh, Tensor Methods in Statistics, ch. 7; the leading terms are those of Morris, Ann.
  Statist. 3(1), 1975, for sparse multinomials).
- p-values are those of the gamma law with these three cumulants (Pearson's type III), which is χ²
  itself where the cumulants are.

√n_e·TVD = ½Σ|x_b − E x_b|/√n_e is a sum over cells too, and is treated likewise for few events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.distances import Measure, RealArray, divergence_terms
from streamgauge.core.nulls.cells import Cells, Pools

SCALE: Final = {
    Measure.PSI: 1.0,
    Measure.KL: 2.0,
    Measure.JS: 8.0 * float(np.log(2.0)),
    Measure.HELLINGER: 8.0,
    Measure.CHI2: 1.0,
}
"""c by summed measure: n_e·c·D is χ² to second order."""
FILLED: Final = 25.0
"""Smallest variance of a row's cells from which the χ² law needs no sum over cells."""


@dataclass(frozen=True, slots=True)
class Cumulants:
    """Mean, variance and third cumulant of a scaled measure, each `(R,) float64`."""

    mean: FloatArray
    variance: FloatArray
    third: FloatArray

    def take(self, rows: IntArray | BoolArray) -> "Cumulants":
        """Return some of the rows."""
        return Cumulants(self.mean[rows], self.variance[rows], self.third[rows])

    def shifted(self, noncentrality: FloatArray, ratio: FloatArray | float = 1.0) -> "Cumulants":
        """Return the cumulants under drift: those of a noncentral χ², whose spread may differ.

        `noncentrality` is n_e·c times the true divergence; `ratio` is how much more the divergence
        varies under drift than a noncentral χ² does.
        """
        return Cumulants(
            self.mean + noncentrality,
            self.variance + 4.0 * ratio * noncentrality,
            self.third + 24.0 * ratio**2 * noncentrality,
        )

    def survival(self, values: FloatArray) -> FloatArray:
        """Return P(S ≥ value) `(R,)` under the gamma law with a location of these cumulants.

        It is 1 where the law is a point.
        """
        spread = np.sqrt(np.maximum(self.variance, 1e-12))
        skew = np.maximum(self.third / spread**3, 1e-3)
        freedom = 8.0 / skew**2
        at = freedom + (values - self.mean) / spread * np.sqrt(2.0 * freedom)
        tail = special.chdtrc(freedom, np.maximum(at, 0.0))
        survival: FloatArray = np.where(self.variance > 1e-12, tail, 1.0)
        return survival


def sparse_rows(pools: Pools) -> BoolArray:
    """Return the rows `(R,)` that have a filled bin of variance below FILLED."""
    sparse: BoolArray = np.any((pools.pooled > 0) & (pools.variance < FILLED), axis=1)
    return sparse


def filled_cumulants(pools: Pools) -> Cumulants:
    """Return the cumulants of s²χ²(B − 1)."""
    half = pools.bins / 2.0
    shrunk = pools.size * (1.0 / (pools.current + half) + 1.0 / (pools.reference + half))
    freedom = pools.bins - 1.0
    return Cumulants(freedom * shrunk**2, 2.0 * freedom * shrunk**4, 8.0 * freedom * shrunk**6)


class Moments(NamedTuple):
    """Moments of one measure's scaled terms f and the counts x, by cell `(R, B) float64`.

    All but the mean are of centred f and x: E f², E f³, E f·x, E f·x², E f²·x.
    """

    mean: FloatArray
    ff: FloatArray
    fff: FloatArray
    fx: FloatArray
    fxx: FloatArray
    ffx: FloatArray

    def slope(self, pools: Pools) -> FloatArray:
        """Return β `(R,)`."""
        slope: FloatArray = self.fx.sum(axis=1) / pools.size
        return slope

    def conditional(self, pools: Pools) -> Cumulants:
        """Return the cumulants of Σ f given Σ x = n."""
        mean, ff, fff, fx, fxx, ffx = (part.sum(axis=1) for part in self)
        third_of_x = pools.size * (1.0 - 2.0 * pools.share)
        beta = fx / pools.size
        lost = (fxx - beta * third_of_x) / pools.size
        # β is the regression coefficient, so that taking β x away leaves Var f − β Cov(f, x).
        variance = ff - beta * fx - lost**2 / 2.0
        third = fff - 3.0 * beta * ffx + 3.0 * beta**2 * fxx - beta**3 * third_of_x
        return Cumulants(mean - lost / 2.0, np.maximum(variance, 0.0), third - lost**3)


def cell_moments(
    pools: Pools, groups: Sequence[Cells], kinds: Sequence[Measure]
) -> dict[Measure, Moments]:
    """Return the moments of the terms of summed measures over the cells of `pools`."""
    shape = pools.pooled.shape
    moments = np.zeros((len(kinds), len(Moments._fields), pools.pooled.size))
    for cells in groups:
        at = cells.row * shape[1] + cells.bin
        terms = scaled_terms(pools, cells, kinds)
        square = cells.deviation**2
        for place, kind in enumerate(kinds):
            for number, part in enumerate(_moments(cells, terms[kind], square)):
                moments[place, number, at] = part
    return {kind: Moments(*moments[place].reshape(-1, *shape)) for place, kind in enumerate(kinds)}


def scaled_terms(pools: Pools, cells: Cells, kinds: Sequence[Measure]) -> dict[Measure, RealArray]:
    """Return what cells add to each summed measure's scaled value at their nodes `(K, C)`.

    A divergence is scaled to S, TVD to √n_e·TVD.
    """
    size = pools.size[cells.row].astype(cells.q.dtype)
    scaled: dict[Measure, RealArray] = {}
    for kind, term in divergence_terms(kinds, cells.q, cells.p).items():
        term *= size * size.dtype.type(SCALE[kind])
        scaled[kind] = term
    if Measure.TVD in kinds:
        scaled[Measure.TVD] = np.abs(cells.deviation) / (2.0 * np.sqrt(size))
    return scaled


def _moments(cells: Cells, f: RealArray, square: RealArray) -> tuple[RealArray, ...]:
    mean = np.einsum("kc,kc->c", cells.weight, f)
    f -= mean
    first = cells.weight * f
    second = first * f
    return (
        mean,
        second.sum(axis=0),
        np.einsum("kc,kc->c", second, f),
        np.einsum("kc,kc->c", first, cells.deviation),
        np.einsum("kc,kc->c", first, square),
        np.einsum("kc,kc->c", second, cells.deviation),
    )
