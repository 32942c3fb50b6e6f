"""Cells: the law of one bin's current count, given how many events both sides have in it.

Without drift, which of the n + m events are current says nothing about the bins they fell into:
given the pooled counts t, the current counts are a multivariate hypergeometric draw of n out of
n + m, whatever the unknown proportions are (Fisher's conditional argument). That law is the one of
independent x_b ~ Binomial(t_b, π), π = n/(n + m), given Σ x_b = n, and this module lays out the
binomials: count by count where a cell is sparse, by a few Gauss-Hermite nodes elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.distances import RealArray

SPARSE_BELOW: Final = 16.0
"""Variance of a cell's count below which it is gone through count by count."""
_WIDTHS: Final = (2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 36, 40, 48, 56, 66)
"""Lattice lengths; the last covers counts of variance SPARSE_BELOW on whichever side."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
# Five nodes reach 2.86 standard deviations: above a count of 0 for every variance from 9 on.


@dataclass(frozen=True, slots=True)
class Pools:
    """What the law depends on, by row.

    `pooled (R, B) float64` are the counts of both sides together; `current`, `reference` and
    `bins`, all `(R,) float64`, are n, m and the number of bins that hold an event. `share` is
    π = n/(n + m), `size` is n_e = n·m/(n + m), and `variance (R, B)` is t_b π(1 − π), the variance
    of each cell's binomial, which sums to n_e.
    """

    pooled: FloatArray
    current: FloatArray
    reference: FloatArray
    bins: FloatArray
    share: FloatArray
    size: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, current: IntArray, reference: IntArray) -> "Pools":
        """Pool current and reference counts `(R, B) int64`; both have events in every row."""
        pooled = (current + reference).astype(np.float64)
        n = current.sum(axis=1).astype(np.float64)
        m = reference.sum(axis=1).astype(np.float64)
        share = n / (n + m)
        variance = pooled * (share * (1.0 - share))[:, None]
        bins = (pooled > 0).sum(axis=1).astype(np.float64)
        return cls(pooled, n, m, bins, share, share * m, variance)

    def take(self, rows: IntArray | BoolArray | slice) -> "Pools":
        """Return some of the rows."""
        return Pools(
            self.pooled[rows],
            self.current[rows],
            self.reference[rows],
            self.bins[rows],
            self.share[rows],
            self.size[rows],
            self.variance[rows],
        )

    @property
    def third(self) -> FloatArray:
        """t_b π(1 − π)(1 − 2π) `(R, B)`, the third central moment of each cell's binomial."""
        return self.variance * (1.0 - 2.0 * self.share)[:, None]

    @property
    def largest(self) -> FloatArray:
        """The pooled share of the largest bin `(R,)`."""
        largest: FloatArray = self.pooled.max(axis=1, initial=0.0) / (self.current + self.reference)
        return largest


@dataclass(frozen=True, slots=True)
class Cells:
    """Some cells with their nodes: `row` and `bin`, both `(C,)`, say which they are.

    `weight (K, C)` is the probability of each node, `deviation` the current count minus its mean,
    `q` and `p` the smoothed proportions there. `exact` says that the nodes are all the counts
    there are; then the arrays are float32, which is plenty where neighbours differ by a tenth.
    """

    row: IntArray
    bin: IntArray
    weight: RealArray
    deviation: RealArray
    q: RealArray
    p: RealArray
    exact: bool

    def take(self, chosen: IntArray) -> "Cells":
        """Return some of the cells, by place."""
        return Cells(
            self.row[chosen],
            self.bin[chosen],
            self.weight[:, chosen],
            self.deviation[:, chosen],
            self.q[:, chosen],
            self.p[:, chosen],
            self.exact,
        )


def cells_of(pools: Pools) -> list[Cells]:
    """Return all filled cells, grouped by their number of nodes."""
    filled = pools.pooled > 0
    sparse = pools.variance < SPARSE_BELOW
    return [*_sparse_cells(pools, filled & sparse), *_dense_cells(pools, filled & ~sparse)]


def _sparse_cells(pools: Pools, wanted: BoolArray) -> Iterator[Cells]:
    """Yield lattices that reach at least 5 standard deviations beyond the mean."""
    row, column = np.nonzero(wanted)
    pooled, share = pools.pooled[row, column], pools.share[row]
    # Counted on the rarer side, a lattice always starts at 0.
    mean = pooled * np.minimum(share, 1.0 - share)
    needed = np.minimum(np.ceil(mean + 5.0 * np.sqrt(mean) + 4.0), pooled) + 1.0
    classes = np.minimum(np.searchsorted(_WIDTHS, needed), len(_WIDTHS) - 1)
    for number, width in enumerate(_WIDTHS):
        chosen = np.flatnonzero(classes == number)
        if len(chosen):
            yield _lattice(pools, row[chosen], column[chosen], width)


def _lattice(pools: Pools, row: IntArray, column: IntArray, width: int) -> Cells:
    pooled, share = pools.pooled[row, column], pools.share[row]
    swapped = share > 0.5
    rare = np.where(swapped, 1.0 - share, share)
    count = np.arange(width, dtype=np.float32)[:, None]
    rest: RealArray = np.maximum(pooled.astype(np.float32) - count, 0.0)
    ratio = rest[:-1] * (rare / (1.0 - rare)).astype(np.float32) / count[1:]
    weight: RealArray = np.ones((width, len(row)), np.float32)
    for place in range(1, width):
        np.multiply(weight[place - 1], ratio[place - 1], out=weight[place])
    weight /= weight.sum(axis=0)
    deviation: RealArray = count - (pooled * rare).astype(np.float32)
    sizes = np.stack([pools.current[row], pools.reference[row]]) + pools.bins[row] / 2.0
    sizes = np.where(swapped, sizes[::-1], sizes).astype(np.float32)
    q: RealArray = (count + np.float32(0.5)) / sizes[0]
    p: RealArray = (rest + np.float32(0.5)) / sizes[1]
    if swapped.any():
        q, p = np.where(swapped, p, q), np.where(swapped, q, p)
        deviation = np.where(swapped, -deviation, deviation)
    return Cells(row, column, weight, deviation, q, p, exact=True)


def _dense_cells(pools: Pools, wanted: BoolArray) -> Iterator[Cells]:
    """Yield cells by five nodes whose weights carry the binomial's skewness and kurtosis.

    By Edgeworth's expansion, so that moments of smooth functions are off by order 1/variance².
    """
    row, column = np.nonzero(wanted)
    if not len(row):
        return
    pooled, share, variance = (
        pools.pooled[row, column],
        pools.share[row],
        pools.variance[row, column],
    )
    skew = (1.0 - 2.0 * share) / np.sqrt(variance)
    excess = (1.0 - 6.0 * share * (1.0 - share)) / variance
    z = _NODES[:, None]
    bent = (
        1.0
        + skew * ((z**3 - 3.0 * z) / 6.0)
        + excess * ((z**4 - 6.0 * z**2 + 3.0) / 24.0)
        + skew**2 * ((z**6 - 15.0 * z**4 + 45.0 * z**2 - 15.0) / 72.0)
    )
    weight = bent * (_WEIGHTS / _WEIGHTS.sum())[:, None]
    deviation = np.sqrt(variance) * z
    current = deviation + pooled * share
    half = pools.bins[row] / 2.0
    q = (current + 0.5) / (pools.current[row] + half)
    p = (pooled - current + 0.5) / (pools.reference[row] + half)
    yield Cells(row, column, weight, deviation, q, p, exact=False)
