"""Rows to be judged: current and reference counts with what their distances are scaled by."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import (
    DIVERGENCES,
    ROOTS,
    Measure,
    distances,
    grid_deviation,
    matched,
    position_gaps,
    positive,
    summed,
)
from streamgauge.core.nulls.cells import Pools
from streamgauge.core.nulls.divergences import SCALE


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that have events on both sides.

    `live (L,)` are their places among all `count` rows; `current` and `reference` their counts
    `(L, B) int64`, `positions (L or 1, B)` their bin positions if any, `sigma (L,)` the unit of
    WASSERSTEIN. `phi (L,)` is the overdispersion and `size (L,)` n_e with n/φ for n.
    """

    count: int
    live: IntArray
    current: IntArray
    reference: IntArray
    positions: FloatArray | None
    sigma: FloatArray
    phi: FloatArray
    size: FloatArray
    pools: Pools

    @classmethod
    def of(
        cls,
        current: IntArray,
        reference: IntArray,
        positions: FloatArray | None,
        sigma: float | FloatArray | None,
        phi: float | FloatArray,
    ) -> "Rows":
        """Prepare counts `(R, B)`; raises `ValueError` for shapes that do not fit and φ < 1."""
        reference = matched(current, reference)
        rows = len(current)
        if not np.all(np.asarray(phi) >= 1.0):
            raise ValueError(f"overdispersion must be 1 or more: {phi}")
        live = np.flatnonzero(current.any(axis=1) & reference.any(axis=1))
        current, reference = current[live], reference[live]
        scale = np.ones(len(live))
        if positions is not None:
            position_gaps(positions, (rows, current.shape[1]))
            positions = positions if len(positions) == 1 else positions[live]
            scale = grid_deviation(reference, positions)
            if sigma is not None:
                scale = np.broadcast_to(np.asarray(sigma, np.float64), rows)[live]
        pools = Pools.of(current, reference)
        dispersion = np.broadcast_to(np.asarray(phi, np.float64), rows)[live]
        thinned = pools.current / dispersion
        size = thinned * pools.reference / (thinned + pools.reference)
        return cls(
            rows, live, current, reference, positions, positive(scale), dispersion, size, pools
        )

    @property
    def gaps(self) -> FloatArray | None:
        """Distances between bin positions `(L or 1, B − 1)`."""
        return None if self.positions is None else np.diff(self.positions, axis=1)

    def distances(self, measures: Collection[Measure]) -> dict[Measure, FloatArray]:
        """Return the distances `(L,)`."""
        return distances(
            self.current,
            self.reference,
            measures=measures,
            positions=self.positions,
            sigma=self.sigma,
        )

    def unit(self, measure: Measure) -> FloatArray:
        """Return what turns a divergence into S, or the square of a norm into n_e·T² `(L,)`."""
        if measure in DIVERGENCES:
            return self.size * SCALE[summed(measure)]
        return self.size * self.sigma**2 if measure is Measure.WASSERSTEIN else self.size

    def scaled(self, measure: Measure, value: FloatArray) -> FloatArray:
        """Return S for a divergence, √n_e·T for a norm `(L,)`."""
        if measure in DIVERGENCES:
            return self.unit(measure) * (value**2 if measure in ROOTS else value)
        return np.sqrt(self.unit(measure)) * value

    def less(self, measure: Measure, value: FloatArray, chance: FloatArray) -> FloatArray:
        """Return a distance less the mean of S, or of n_e·T², under no drift; at least 0 `(L,)`.

        Norms and roots are corrected through their squares, whose means are additive.
        """
        chance = chance / self.unit(measure)
        if measure in DIVERGENCES and measure not in ROOTS:
            return np.maximum(value - chance, 0.0)
        return np.sqrt(np.maximum(value**2 - chance, 0.0))

    def blend(self) -> IntArray:
        """Return counts `(L, B)` in the proportions that differences vary by: φq/n + p/m."""
        n, m = self.pools.current, self.pools.reference
        weight = self.current * (self.phi / n**2)[:, None] + self.reference / (m**2)[:, None]
        share = weight / weight.sum(axis=1, keepdims=True)
        counts: IntArray = np.ceil(share * 2.0**30).astype(np.int64)
        return counts

    def spread(self, values: FloatArray) -> FloatArray:
        """Return values `(L,)` at the places of all rows, NaN elsewhere."""
        full = np.full(self.count, np.nan)
        full[self.live] = values
        return full
