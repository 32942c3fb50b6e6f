"""Which null law a row gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.distances import NORMS, Measure
from streamgauge.core.nulls.cells import Pools, cells_of
from streamgauge.core.nulls.divergences import (
    SCALE,
    Cumulants,
    cell_moments,
    filled_cumulants,
    sparse_rows,
)
from streamgauge.core.nulls.heavy import heavy_survival
from streamgauge.core.nulls.largest import largest_survival
from streamgauge.core.nulls.norms import NormTables
from streamgauge.core.nulls.two_bins import two_bin_laws, two_bin_rows

_ROWS_AT_ONCE: Final = 512
"""Rows whose cells are laid out together: their nodes fit in the processor's cache."""
_FEW_EVEN: Final = 0.3
"""Largest share of one bin for which TVD of few events is summed over cells: a dominant cell is
bound to the others by the condition on the total, and |x| has no slope to account for it."""
_FEW: Final = 5.0
"""Events per bin below which they are few."""


@dataclass(frozen=True, slots=True)
class Law:
    """What chance alone does to a measure, by row.

    `survival (R,)` is P(scaled measure ≥ value), `chance (R,)` the mean of S or of n_e·T².
    `cumulants` are those of S, None for norms.
    """

    survival: FloatArray
    chance: FloatArray
    cumulants: Cumulants | None


def null_laws(
    pools: Pools, values: Mapping[Measure, FloatArray], tables: NormTables | None
) -> dict[Measure, Law]:
    """Return the laws of measures, given their scaled values `(R,)`.

    Divergences stand under their summed measure with values of S; norms, which need `tables`, with
    values of √n_e·T, WASSERSTEIN in bin units.
    """
    two = two_bin_rows(pools)
    sparse = sparse_rows(pools) & (pools.bins > 1.0) & ~two
    laws = {}
    for kind, value in values.items():
        if kind in SCALE:
            law = filled_cumulants(pools)
            survival = np.ones(len(value))
            filled = ~(sparse | two)
            survival[filled] = law.take(filled).survival(value[filled])
            laws[kind] = Law(survival, law.mean, law)
        else:
            assert tables is not None
            square = tables.rms[:, NORMS.index(kind)] ** 2
            laws[kind] = Law(tables.survival(kind, value), square, None)
    _refine_sparse(pools, sparse, values, laws)
    if Measure.LINF in laws:
        # Two cells always deviate alike, for which the Gaussian law is exact.
        filled = ~sparse & (pools.bins > 2.0)
        part, value = pools.take(filled), values[Measure.LINF][filled]
        survival = largest_survival(part, [], value / np.sqrt(part.size))
        laws[Measure.LINF].survival[filled] = survival
    _refine_two_bins(pools, two, values, tables, laws)
    return laws


def _refine_sparse(
    pools: Pools,
    sparse: BoolArray,
    values: Mapping[Measure, FloatArray],
    laws: Mapping[Measure, Law],
) -> None:
    """Set the laws of rows with sparse cells, block by block."""
    kinds = [kind for kind in values if kind in SCALE or kind is Measure.TVD]
    if not kinds and Measure.LINF not in values:
        return
    places = np.flatnonzero(sparse)
    for start in range(0, len(places), _ROWS_AT_ONCE):
        rows = places[start : start + _ROWS_AT_ONCE]
        part = pools.take(rows)
        groups = cells_of(part)
        few = (part.size < _FEW * part.bins) & (part.largest <= _FEW_EVEN)
        wanted = [kind for kind in kinds if kind is not Measure.TVD or few.any()]
        for kind, moments in cell_moments(part, groups, wanted).items():
            value, law = values[kind][rows], moments.conditional(part)
            if kind is Measure.TVD:
                laws[kind].survival[rows[few]] = law.take(few).survival(value[few])
                laws[kind].chance[rows[few]] = (law.variance + law.mean**2)[few]
                continue
            if kind is Measure.CHI2:
                survival = heavy_survival(part, groups, kind, moments, law, value)
            else:
                survival = law.survival(value)
            laws[kind].survival[rows] = survival
            _put(laws[kind], rows, law)
        if Measure.LINF in values:
            value = values[Measure.LINF][rows] / np.sqrt(part.size)
            laws[Measure.LINF].survival[rows] = largest_survival(part, groups, value)


def _refine_two_bins(
    pools: Pools,
    two: BoolArray,
    values: Mapping[Measure, FloatArray],
    tables: NormTables | None,
    laws: Mapping[Measure, Law],
) -> None:
    """Set the laws of rows with two filled bins of which one is sparse."""
    part = pools.take(two)
    divergences = {kind: value[two] for kind, value in values.items() if kind in SCALE}
    for kind, (law, survival) in two_bin_laws(part, divergences).items():
        laws[kind].survival[two] = survival
        _put(laws[kind], np.flatnonzero(two), law)
    for kind in values:
        if kind in NORMS and tables is not None:
            # With two bins every norm is a multiple of TVD, and so are the sizes of their laws.
            own, tvd = (tables.rms[two, NORMS.index(norm)] for norm in (kind, Measure.TVD))
            as_tvd = values[kind][two] * tvd / np.where(own > 0, own, np.inf)
            _, survival = two_bin_laws(part, {Measure.TVD: as_tvd})[Measure.TVD]
            laws[kind].survival[two] = survival


def _put(law: Law, rows: IntArray, cumulants: Cumulants) -> None:
    assert law.cumulants is not None
    law.cumulants.mean[rows] = cumulants.mean
    law.cumulants.variance[rows] = cumulants.variance
    law.cumulants.third[rows] = cumulants.third
