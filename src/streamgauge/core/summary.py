"""Summary: a window's totals as the figures that people and dashboards read."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, Special, fold
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.distances import Measure
from streamgauge.core.layout import LABEL, STATUS, STATUS_OK, Layout, Subject
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


class _Before(NamedTuple):
    """A field in the reference, over its rows: group counts, share of missing values, means."""

    groups: IntArray
    missing: FloatArray
    means: FloatArray | None


class _Figures(NamedTuple):
    """What a field's counts say by themselves, over some rows of a window."""

    groups: IntArray
    present: IntArray
    missing: FloatArray
    wrong_type: FloatArray
    out_of_range: FloatArray
    unseen: FloatArray
    moments: _Moments | None


@dataclass(slots=True)
class Summarizer:
    """Draws window statistics; keeps the cache of simulated null laws."""

    layout: Layout
    reference: Reference | None
    laws: NullLaws = field(default_factory=NullLaws)
    _grouped: Layout = field(init=False)
    _dispersion: dict[int, FloatArray] = field(default_factory=dict)
    _before: dict[int, _Before] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._grouped = self.layout.grouped()

    def summarize(
        self,
        spec: WindowSpec,
        end: int,
        block: Block,
        keys: tuple[RowKey, ...],
        sliced: Block | None = None,
    ) -> WindowStats:
        """Return the statistics of a window's totals.

        `sliced` are further rows, counted in the grouped layout and without extremes; `keys` name
        the rows of the block and then these.
        """
        parts = [(self.layout, block)]
        if sliced is not None and len(sliced.rows):
            parts.append((self._grouped, sliced))
        status = np.concatenate([_counts(part.counts, self.layout.cells(0)) for _, part in parts])
        phi = np.ones(len(self.layout.fields))
        known = np.full(len(keys), -1, np.intp)
        if self.reference is not None:
            if spec.length_ms not in self._dispersion:
                self._dispersion[spec.length_ms] = self.reference.overdispersion(spec.length_ms)
            phi = self._dispersion[spec.length_ms]
            rows = [self.reference.counterpart(key.slice) for key in keys]
            known = np.array([-1 if row is None else row for row in rows], np.intp)
        figures = {
            position: _joined([_figures(layout, position, part) for layout, part in parts])
            for position, item in enumerate(self.layout.fields)
            if item.subject not in (STATUS, LABEL)
        }
        groups = {position: each.groups for position, each in figures.items()}
        compared = self._compare(groups, known, phi)
        return WindowStats(
            window=spec.name,
            start=end - spec.length_ms,
            end=end,
            rows=keys,
            events=status.sum(axis=1),
            samples=status[:, STATUS_OK],
            fields=tuple(
                _field(self.layout.fields[position].subject, each, compared[position])
                for position, each in figures.items()
            ),
        )

    def _compare(
        self, groups: dict[int, IntArray], known: IntArray, phi: FloatArray
    ) -> dict[int, _Comparison]:
        """Hold fields against the reference: group counts `(R, B)` by position.

        `known (R,)` are the reference's rows, −1 for none, `phi (fields,)` overdispersions. Fields
        with as many groups of the same kind are evaluated together: a call costs more than a row.
        """
        compared = dict.fromkeys(groups, _Comparison({}, {}, {}))
        rows = np.flatnonzero(known >= 0)
        if self.reference is None or not len(rows):
            return compared
        alike: dict[tuple[int, bool], list[int]] = {}
        for position, counts in groups.items():
            if counts.shape[1] >= 2 and self._of_reference(position).groups.any():
                ordered = position in self.layout.numeric
                alike.setdefault((counts.shape[1], ordered), []).append(position)
        most = max(_ROWS_AT_ONCE // len(rows), 1)
        for positions in alike.values():
            for start in range(0, len(positions), most):
                some = positions[start : start + most]
                compared |= self._evaluate(some, groups, rows, known, phi)
        return compared

    def _evaluate(
        self,
        positions: list[int],
        groups: dict[int, IntArray],
        rows: IntArray,
        known: IntArray,
        phi: FloatArray,
    ) -> dict[int, _Comparison]:
        """Hold fields that are alike against the reference, over the rows that it knows."""
        befores = [self._of_reference(position).groups for position in positions]
        bins = [self.layout.fields[position].bins for position in positions]
        ordered = [each for each in bins if isinstance(each, NumericBins)]
        size = len(rows)
        evaluation = self.laws.evaluate(
            np.concatenate([groups[position][rows] for position in positions]),
            np.concatenate([before[known[rows]] for before in befores]),
            measures=tuple(Measure) if ordered else UNORDERED,
            positions=np.repeat([each.group_positions() for each in ordered], size, axis=0)
            if ordered
            else None,
            sigma=np.repeat([each.scale for each in ordered], size) if ordered else None,
            phi=np.repeat(phi[positions], size),
        )
        unknown = known < 0
        compared = {}
        for i, position in enumerate(positions):
            own = slice(i * size, (i + 1) * size)
            raw, corrected, p_value = (
                _spread(figures, own, rows, len(known))
                for figures in (evaluation.raw, evaluation.corrected, evaluation.p_value)
            )
            before = self._of_reference(position)
            compared[position] = _Comparison(
                raw,
                corrected,
                p_value,
                groups=np.where(unknown[:, None], 0, before.groups[known]),
                missing=np.where(unknown, np.nan, before.missing[known]),
                mean=None
                if before.means is None
                else np.where(unknown, np.nan, before.means[known]),
            )
        return compared

    def _of_reference(self, position: int) -> _Before:
        reference = self.reference
        assert reference is not None
        if position not in self._before:
            bins = reference.layout.fields[position].bins
            cells = _counts(reference.block.counts, reference.layout.cells(position))
            missing = _share(cells[:, bins.value_bins + Special.MISSING], cells.sum(axis=1))
            means = reference.means(position) if isinstance(bins, NumericBins) else None
            self._before[position] = _Before(fold(cells, bins), missing, means)
        return self._before[position]


UNORDERED: Final = tuple(m for m in Measure if m not in (Measure.KS, Measure.WASSERSTEIN))
"""Measures of fields whose groups have no order."""


_ROWS_AT_ONCE: Final = 4_096
"""Rows of all fields together that are evaluated at once, which bounds the memory."""


def _figures(layout: Layout, position: int, block: Block) -> _Figures:
    """Return the figures of a field that is counted in a layout."""
    bins = layout.fields[position].bins
    cells = _counts(block.counts, layout.cells(position))
    values, special = cells[:, : bins.value_bins], cells[:, bins.value_bins :]
    none = np.zeros(len(cells), np.int64)
    outside = unseen = none
    moments = None
    if isinstance(bins, NumericBins):
        outside = values[:, 0] + values[:, -1]
        at = layout.numeric.index(position)
        extremes = block.extremes[:, at] if block.extremes.shape[1] else None
        moments = _moments(bins, values, block.sums[:, at], extremes)
    else:
        unseen = values[:, bins.unseen]
    held = cells.sum(axis=1)
    return _Figures(
        fold(values, bins),
        values.sum(axis=1),
        _share(special[:, Special.MISSING], held),
        _share(special[:, Special.WRONG_TYPE], held),
        _share(outside, held),
        _share(unseen, held),
        moments,
    )


def _joined(parts: list[_Figures]) -> _Figures:
    """Return the figures of all parts' rows."""
    if len(parts) == 1:
        return parts[0]
    moments = [part.moments for part in parts if part.moments is not None]
    return _Figures(
        np.concatenate([part.groups for part in parts]),
        np.concatenate([part.present for part in parts]),
        np.concatenate([part.missing for part in parts]),
        np.concatenate([part.wrong_type for part in parts]),
        np.concatenate([part.out_of_range for part in parts]),
        np.concatenate([part.unseen for part in parts]),
        _joined_moments(moments) if moments else None,
    )


def _joined_moments(parts: list[_Moments]) -> _Moments:
    mean, std, minimum, maximum = (np.concatenate([part[i] for part in parts]) for i in range(4))
    drawn = {q: np.concatenate([part.quantiles[q] for part in parts]) for q in parts[0].quantiles}
    return _Moments(mean, std, minimum, maximum, drawn)


def _field(subject: Subject, figures: _Figures, against: _Comparison) -> FieldStats:
    moments = figures.moments
    return FieldStats(
        subject=subject,
        count=figures.present,
        missing=figures.missing,
        wrong_type=figures.wrong_type,
        out_of_range=figures.out_of_range,
        unseen=figures.unseen,
        mean=moments.mean if moments else None,
        std=moments.std if moments else None,
        minimum=moments.minimum if moments else None,
        maximum=moments.maximum if moments else None,
        quantiles=moments.quantiles if moments else {},
        raw=against.raw,
        corrected=against.corrected,
        p_value=against.p_value,
        groups=figures.groups,
        reference_groups=against.groups,
        reference_missing=against.missing,
        reference_mean=against.mean,
    )


def _counts(counts: npt.NDArray[np.integer], cells: slice) -> IntArray:
    return counts[:, cells].astype(np.int64, copy=False)


def _spread(
    figures: dict[Measure, FloatArray], own: slice, rows: IntArray, size: int
) -> dict[str, FloatArray]:
    """Put a field's figures of some rows into arrays over all rows, NaN elsewhere."""
    spread = {}
    for measure, values in figures.items():
        full = np.full(size, np.nan)
        full[rows] = values[own]
        spread[measure.value] = full
    return spread


def _moments(
    bins: NumericBins, values: IntArray, sums: FloatArray, extremes: FloatArray | None
) -> _Moments:
    """Return the figures of rows; without extremes, the reference's bound the quantiles."""
    count = values.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(count > 0, sums[:, SUM] / count, np.nan)
        variance = np.maximum(sums[:, SUM_SQUARES] / count - shift**2, 0.0)
    bounds = extremes
    if bounds is None:
        bounds = np.broadcast_to([bins.edges[0], bins.edges[-1]], (len(values), 2))
    low = np.where(count > 0, bounds[:, MINIMUM], np.nan)
    high = np.where(count > 0, bounds[:, MAXIMUM], np.nan)
    drawn = quantiles(bins, values, low, high, PROBABILITIES)
    if extremes is None:
        low = high = np.full(len(values), np.nan)
    return _Moments(bins.center + shift, np.sqrt(variance), low, high, drawn)


def _share(part: IntArray, whole: IntArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        share: FloatArray = np.where(whole > 0, part / whole, np.nan)
    return share
