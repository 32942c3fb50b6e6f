"""Null laws of distances: their values less what chance explains, their p-values and intervals.

Both sides are samples: n current and m reference events of one unknown distribution, and with
n_e = n·m/(n + m) every distance is of order 1/n_e or 1/√n_e without any drift. `NullLaws` says how
large exactly, and how surprising a value is. The laws are worked out in `nulls`:

- divergences: n_e·c·D ~ χ²(B − 1) while all bins are filled, else a gamma law with the exact
  cumulants (`divergences`); for CHI2 with outlying cells apart from it (`heavy`);
- TVD, KS, WASSERSTEIN: norms of a Gaussian vector, simulated once per reference row and cached
  (`norms`); TVD of few events a gamma law;
- LINF: cell by cell (`largest`);
- any measure of two filled bins: enumerated (`two_bins`).

B counts the bins that hold an event on either side. Overdispersion φ makes n/φ of n: n_e shrinks to
(n/φ)m/(n/φ + m), and so do the scaled distances.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import NORMS, ROOTS, Measure, summed
from streamgauge.core.nulls.choice import null_laws
from streamgauge.core.nulls.intervals import noncentralities, spread_ratio
from streamgauge.core.nulls.norms import NormLaws
from streamgauge.core.nulls.rows import Rows

MOST_LAWS: Final = 32_768
"""Simulated laws that are kept at most: 46 MB."""
_BOUNDED: Final = frozenset(NORMS) - {Measure.WASSERSTEIN} | {
    Measure.JS,
    Measure.JS_DISTANCE,
    Measure.HELLINGER,
}
"""Measures that are never above 1."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Distances of rows by measure, each `(R,) float64`, NaN where either side has no events.

    `corrected` is the distance less what chance alone explains, never below 0. `p_value` is the
    probability of a distance at least this large if nothing changed more than tolerated.
    `n_effective (R,)` is n_e after overdispersion.
    """

    raw: dict[Measure, FloatArray]
    corrected: dict[Measure, FloatArray]
    p_value: dict[Measure, FloatArray]
    n_effective: FloatArray


class NullLaws:
    """Evaluates distances; keeps the simulated laws of up to `capacity` reference rows.

    Results depend on the arguments alone, not on what was evaluated before.
    """

    def __init__(self, capacity: int = MOST_LAWS) -> None:
        self._norms = NormLaws(capacity)

    def evaluate(
        self,
        current: IntArray,
        reference: IntArray,
        *,
        measures: Collection[Measure] = tuple(Measure),
        positions: FloatArray | None = None,
        sigma: float | FloatArray | None = None,
        phi: float | FloatArray = 1.0,
        tolerance: float = 0.0,
    ) -> Evaluation:
        """Evaluate current counts `(R, B) int64` against reference counts `(R or 1, B) int64`.

        `positions` and `sigma` are those of `distances`. `phi` (scalar or `(R,)`, at least 1) is
        the overdispersion of the current counts; with fewer than a few effective events per bin the
        p-values of divergences and TVD are then too large, those of CHI2 and LINF too small.
        `tolerance` is a χ²-divergence δ: the p-value is then that of the least favourable drift
        within it, for divergences c·D = δ with the noncentral χ² (c in `nulls.divergences.SCALE`),
        for norms the largest that δ allows (TVD, KS and LINF ½√δ, WASSERSTEIN √δ standard
        deviations: Cauchy and Schwarz) with the triangle inequality, far on the safe side.
        Raises `ValueError` as `distances` does, and for a negative tolerance or φ below 1.
        """
        if tolerance < 0.0:
            raise ValueError(f"the tolerance {tolerance} must not be negative")
        rows = Rows.of(current, reference, positions, sigma, phi)
        raw = rows.distances(measures)
        values = {}
        for measure, value in raw.items():
            scaled = rows.scaled(measure, value)
            if measure in NORMS:
                scaled = scaled - _reach(measure, tolerance) * np.sqrt(rows.unit(measure))
            values[summed(measure)] = scaled
        tables = None
        if any(measure in NORMS for measure in raw):
            tables = self._norms.tables(rows.reference, rows.pools.pooled > 0, rows.gaps)
        laws = null_laws(rows.pools, values, tables)
        corrected, p_value = {}, {}
        for measure, value in raw.items():
            law = laws[summed(measure)]
            survival = law.survival
            if law.cumulants is not None and tolerance > 0.0:
                kind = summed(measure)
                ratio = spread_ratio(kind, rows.current, rows.reference, rows.size, rows.phi)
                shifted = law.cumulants.shifted(rows.size * tolerance, ratio)
                survival = shifted.survival(values[kind])
            corrected[measure] = rows.less(measure, value, law.chance)
            p_value[measure] = np.where(np.isnan(value), np.nan, survival)
        return Evaluation(
            {measure: rows.spread(value) for measure, value in raw.items()},
            {measure: rows.spread(corrected[measure]) for measure in raw},
            {measure: rows.spread(p_value[measure]) for measure in raw},
            rows.spread(rows.size),
        )

    def effect_interval(
        self,
        measure: Measure,
        current: IntArray,
        reference: IntArray,
        *,
        positions: FloatArray | None = None,
        sigma: float | FloatArray | None = None,
        phi: float | FloatArray = 1.0,
        level: float = 0.95,
    ) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits `(R,)` of the true distance, of the given confidence.

        Arguments as for `evaluate`, to which it adds `ValueError` for a level outside (0, 1) and
        for an ordered measure without positions. For divergences the limits are the
        noncentralities under which the value is just not too large or too small, at (1 − level)/2
        each (`nulls.intervals`). For norms they are the value ± what chance alone does to it, which
        the triangle inequality makes at least as safe as `level`.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"the level {level} must lie between 0 and 1")
        rows = Rows.of(current, reference, positions, sigma, phi)
        raw = rows.distances([measure])
        if measure not in raw:
            raise ValueError(f"{measure} needs bin positions")
        value = raw[measure]
        if measure in NORMS:
            tables = self._norms.fresh(rows.blend(), rows.pools.pooled > 0, rows.gaps)
            reach = tables.critical(measure, 1.0 - level) / np.sqrt(rows.unit(measure))
            low, high = np.maximum(value - reach, 0.0), value + reach
        else:
            kind, scaled = summed(measure), rows.scaled(measure, value)
            law = null_laws(rows.pools, {kind: scaled}, None)[kind].cumulants
            assert law is not None
            ratio = spread_ratio(kind, rows.current, rows.reference, rows.size, rows.phi)
            limits = noncentralities(scaled, law, ratio, level)
            low, high = (limit / rows.unit(measure) for limit in limits)
            if measure in ROOTS:
                low, high = np.sqrt(low), np.sqrt(high)
        if measure in _BOUNDED:
            high = np.minimum(high, 1.0)
        return rows.spread(low), rows.spread(high)


def _reach(measure: Measure, tolerance: float) -> float:
    """Return how large a norm can be within a χ²-divergence, WASSERSTEIN in standard deviations."""
    reach = float(np.sqrt(tolerance))
    return reach if measure is Measure.WASSERSTEIN else reach / 2.0
