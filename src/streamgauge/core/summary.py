"""Summary: a window's totals as the figures that people and dashboards read."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, Special, fold
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.distances import Measure
from streamgauge.core.layout import LABEL, STATUS, STATUS_OK, Layout
from streamgauge.core.null_laws import NullLaws
from streamgauge.core.quantiles import quantiles
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import FieldStats, WindowStats
from streamgauge.core.windows import WindowSpec

PROBABILITIES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class _Moments(NamedTuple):
    mean: FloatArray
    std: FloatArray
    minimum: FloatArray
    maximum: FloatArray
    quantiles: dict[float, FloatArray]


class _Comparison(NamedTuple):
    """A field held against the reference, over the window's rows; NaN for unknown rows."""

    raw: dict[str, FloatArray]
    corrected: dict[str, FloatArray]
    p_value: dict[str, FloatArray]
    groups: IntArray | None = None
    missing: FloatArray | None = None
    mean: FloatArray | None = None


@dataclass(slots=True)
class Summarizer:
    """Draws window statistics; keeps the cache of simulated null laws."""

    layout: Layout
    reference: Reference | None
    laws: NullLaws = field(default_factory=NullLaws)
    _dispersion: dict[int, FloatArray] = field(default_factory=dict)

    def summarize(
        self, spec: WindowSpec, end: int, block: Block, keys: tuple[RowKey, ...]
    ) -> WindowStats:
        """Return the statistics of a window's totals, `keys` naming the block's rows."""
        counts = block.counts.astype(np.int64, copy=False)
        served = counts[:, STATUS_OK]
        phi = np.ones(len(self.layout.fields))
        known = np.full(len(keys), -1, np.intp)
        if self.reference is not None:
            if spec.length_ms not in self._dispersion:
                self._dispersion[spec.length_ms] = self.reference.overdispersion(spec.length_ms)
            phi = self._dispersion[spec.length_ms]
            rows = [self.reference.counterpart(key.slice) for key in keys]
            known = np.array([-1 if row is None else row for row in rows], np.intp)
        fields = tuple(
            self._field(position, block, counts, known, float(phi[position]))
            for position, item in enumerate(self.layout.fields)
            if item.subject not in (STATUS, LABEL)
        )
        return WindowStats(
            window=spec.name,
            start=end - spec.length_ms,
            end=end,
            rows=keys,
            events=counts[:, self.layout.cells(0)].sum(axis=1),
            samples=served,
            fields=fields,
        )

    def _field(
        self, position: int, block: Block, counts: IntArray, known: IntArray, phi: float
    ) -> FieldStats:
        item = self.layout.fields[position]
        bins = item.bins
        cells = counts[:, self.layout.cells(position)]
        values, special = cells[:, : bins.value_bins], cells[:, bins.value_bins :]
        none = np.zeros(len(cells), np.int64)
        outside = unseen = none
        moments = None
        if isinstance(bins, NumericBins):
            outside = values[:, 0] + values[:, -1]
            at = self.layout.numeric.index(position)
            moments = _moments(bins, values, block.sums[:, at], block.extremes[:, at])
        else:
            unseen = values[:, bins.unseen]
        held = cells.sum(axis=1)
        groups = fold(values, bins)
        against = self._compare(position, groups, known, phi)
        return FieldStats(
            subject=item.subject,
            count=values.sum(axis=1),
            missing=_share(special[:, Special.MISSING], held),
            wrong_type=_share(special[:, Special.WRONG_TYPE], held),
            out_of_range=_share(outside, held),
            unseen=_share(unseen, held),
            mean=moments.mean if moments else None,
            std=moments.std if moments else None,
            minimum=moments.minimum if moments else None,
            maximum=moments.maximum if moments else None,
            quantiles=moments.quantiles if moments else {},
            raw=against.raw,
            corrected=against.corrected,
            p_value=against.p_value,
            groups=groups,
            reference_groups=against.groups,
            reference_missing=against.missing,
            reference_mean=against.mean,
        )

    def _compare(self, position: int, groups: IntArray, known: IntArray, phi: float) -> _Comparison:
        reference = self.reference
        rows = np.flatnonzero(known >= 0)
        if reference is None or not len(rows):
            return _Comparison({}, {}, {})
        bins = self.layout.fields[position].bins
        before = reference.group_counts(position)
        if groups.shape[1] < 2 or not before.any():
            return _Comparison({}, {}, {})
        ordered = isinstance(bins, NumericBins)
        evaluation = self.laws.evaluate(
            groups[rows],
            before[known[rows]],
            measures=tuple(Measure) if ordered else UNORDERED,
            positions=bins.group_positions()[None, :] if isinstance(bins, NumericBins) else None,
            sigma=bins.scale if isinstance(bins, NumericBins) else None,
            phi=phi,
        )
        cells = reference.block.counts[:, reference.layout.cells(position)].astype(np.int64)
        missing = _share(cells[:, bins.value_bins + Special.MISSING], cells.sum(axis=1))
        return _Comparison(
            raw=_spread(evaluation.raw, rows, len(groups)),
            corrected=_spread(evaluation.corrected, rows, len(groups)),
            p_value=_spread(evaluation.p_value, rows, len(groups)),
            groups=np.where((known >= 0)[:, None], before[known], 0),
            missing=np.where(known >= 0, missing[known], np.nan),
            mean=np.where(known >= 0, reference.means(position)[known], np.nan)
            if ordered
            else None,
        )


UNORDERED: Final = tuple(m for m in Measure if m not in (Measure.KS, Measure.WASSERSTEIN))
"""Measures of fields whose groups have no order."""


def _spread(figures: dict[Measure, FloatArray], rows: IntArray, size: int) -> dict[str, FloatArray]:
    """Put figures of some rows into arrays over all rows, NaN elsewhere."""
    spread = {}
    for measure, values in figures.items():
        full = np.full(size, np.nan)
        full[rows] = values
        spread[measure.value] = full
    return spread


def _moments(
    bins: NumericBins, values: IntArray, sums: FloatArray, extremes: FloatArray
) -> _Moments:
    count = values.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(count > 0, sums[:, SUM] / count, np.nan)
        variance = np.maximum(sums[:, SUM_SQUARES] / count - shift**2, 0.0)
    minimum = np.where(count > 0, extremes[:, MINIMUM], np.nan)
    maximum = np.where(count > 0, extremes[:, MAXIMUM], np.nan)
    return _Moments(
        bins.center + shift,
        np.sqrt(variance),
        minimum,
        maximum,
        quantiles(bins, values, minimum, maximum, PROBABILITIES),
    )


def _share(part: IntArray, whole: IntArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        share: FloatArray = np.where(whole > 0, part / whole, np.nan)
    return share
