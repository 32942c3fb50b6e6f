"""Explain a change: how large it is, since when, and what moved."""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.blocks import SUM
from streamgauge.core.describe import describe
from streamgauge.core.detectors.series import SHAPES, UNITS, Kind, SeriesTable
from streamgauge.core.findings import Effect, Finding
from streamgauge.core.layout import folded_widths
from streamgauge.core.onset import onset_step
from streamgauge.core.reference import Reference
from streamgauge.core.seasonal import Season
from streamgauge.core.variation import DEVIATIONS, variation
from streamgauge.core.windows import WindowState

SEASONAL: Final = 0.2
"""Where more of the events than this are moved by the season's adjustment, means mislead."""


class Size(NamedTuple):
    """How far a row has moved: the effect, its events, and how much of a change it explains.

    With n events and an effect of d, n·d² of what moved is at most the sum of that over its
    slices, since d² is convex in the distribution: so the largest tells where a change sits.
    """

    effect: Effect
    samples: int
    explains: float


class _Shape(NamedTuple):
    """A subject that has a distribution: the position of its field, and its season if known."""

    position: int
    season: Season | None

    def factors(self, start: int, end: int) -> FloatArray:
        """Return how much more of each group a period (ms) should hold `(G,)`, 1 if unknown."""
        return np.ones(1) if self.season is None else self.season.factors(start, end)


class _Rate(NamedTuple):
    """A subject that is a share of events: their cells among those of all events.

    It is held against the reference's or, where there is a cell of `expected` events in units of
    1 / `UNITS`, against that.
    """

    cells: IntArray
    of: slice
    expected: int | None = None

    def split(self, counts: IntArray) -> IntArray:
        """Return bad and other values `(..., 2)` from counts of the layout's cells `(..., W)`."""
        bad = counts[..., self.cells].sum(axis=-1)
        all_values = counts[..., self.of].sum(axis=-1)
        both: IntArray = np.stack([bad, all_values - bad], axis=-1).astype(np.int64)
        return both

    def before(self, reference: IntArray, counts: IntArray) -> IntArray:
        """Return what counts `(..., W)` are held against, in the form of `split`."""
        if self.expected is None:
            return self.split(reference)
        total = counts[..., self.of].sum(axis=-1) * UNITS
        expected = np.minimum(counts[..., self.expected], total)
        both: IntArray = np.stack([expected, total - expected], axis=-1).astype(np.int64)
        return both


class _Change(NamedTuple):
    """A change since its onset (ms)."""

    onset: int
    size: Size
    detail: str


@dataclass(slots=True)
class Explainer:
    """Measures changes of the subjects of a table against the reference.

    `dispersion (Q,)` is φ of the whole's series, None where the reference cannot tell: then it
    cannot tell seasons from chance either.
    """

    reference: Reference
    table: SeriesTable
    dispersion: FloatArray | None
    _kinds: tuple[_Shape | _Rate, ...] = field(init=False)

    def __post_init__(self) -> None:
        ends = [*self.table.starts[1:].tolist(), len(self.table.series)]
        kinds: list[_Shape | _Rate] = []
        for subject, start, end in zip(
            self.table.subjects, self.table.starts.tolist(), ends, strict=True
        ):
            position = self.reference.layout.position(subject)
            if self.table.series[start].kind in SHAPES:
                assert position is not None
                kinds.append(_Shape(position, self._season(position, start, end)))
                continue
            runs = self.table.series[start:end]
            cells = np.concatenate([np.arange(run.first, run.last) for run in runs])
            expected = self.table.expected if runs[0].kind is Kind.GAP else None
            kinds.append(_Rate(cells, slice(runs[0].whole, runs[0].end), expected))
        self._kinds = tuple(kinds)

    def _season(self, position: int, first: int, end: int) -> Season | None:
        """Return the season of a field whose series are `[first, end)`."""
        if self.reference.hour_of_week is None or self.dispersion is None:
            return None
        start = sum(folded_widths(self.reference.layout)[:position])
        groups = len(self.reference.layout.fields[position].bins.groups)
        hours = self.reference.hour_of_week[:, start : start + groups]
        return Season.of(hours, self.reference.zone, float(self.dispersion[first:end].max()))

    def sizes(
        self,
        subject: int,
        known: IntArray,
        counts: IntArray,
        dispersion: FloatArray,
        period: tuple[int, int],
    ) -> list[Size]:
        """Return how far k rows have moved, from counts of the layout's cells `(k, W)`.

        `subject` is its number in the table, `known (k,)` rows of the reference, −1 for the whole
        in place of one, `dispersion (k,)` is φ, `period` the time that the counts are of (ms).
        """
        kind = self._kinds[subject]
        before = self.reference.block.counts[np.maximum(known, 0)].astype(np.int64)
        if isinstance(kind, _Rate):
            old = kind.before(before, counts)
            both = zip(kind.split(counts), old, dispersion.tolist(), strict=True)
            return [_share(now, one, phi) for now, one, phi in both]
        cells = self.reference.layout.cells(kind.position)
        bins = self.reference.layout.fields[kind.position].bins
        now = fold(counts[:, cells], bins)
        adjusted = now / kind.factors(*period)
        samples = now.sum(axis=1).tolist()
        return _variations(adjusted, fold(before[:, cells], bins), dispersion, samples)

    def explain(
        self, finding: Finding, subject: int, window: WindowState, row: int, dispersion: float
    ) -> Finding:
        """Return a finding with its onset (ms), its effect from then on, and what moved in words.

        `row` is the row's number in the window.
        """
        kind = self._kinds[subject]
        known = self.reference.counterpart(finding.row.slice) or 0
        change = (
            self._rate_change(kind, window, row, known, dispersion)
            if isinstance(kind, _Rate)
            else self._shape_change(kind, window, row, known, dispersion)
        )
        return replace(
            finding,
            onset=change.onset,
            effect=change.size.effect,
            samples=change.size.samples,
            start=max(finding.start, change.onset),
            detail=change.detail,
        )

    def _rate_change(
        self, kind: _Rate, window: WindowState, row: int, known: int, dispersion: float
    ) -> _Change:
        steps, counts = window.step_counts(row)
        now = kind.split(counts)
        reference = self.reference.block.counts[known].astype(np.int64)
        old = kind.split(reference)
        first = onset_step(now.astype(np.float64), old)
        if _part(now[first:].sum(axis=0)) <= _part(old):
            # Below what is allowed all was well: the change is one against that, within the window.
            first = onset_step(now.astype(np.float64), np.zeros_like(old))
        since = now[first:].sum(axis=0)
        before = kind.before(reference, counts[first:].sum(axis=0))
        detail = f"{_part(before):.2%} to {_part(since):.2%}"
        onset = int(steps[first]) * window.spec.step_ms
        return _Change(onset, _share(since, before, dispersion), detail)

    def _shape_change(
        self, kind: _Shape, window: WindowState, row: int, known: int, dispersion: float
    ) -> _Change:
        layout, block = self.reference.layout, self.reference.block
        bins, cells = layout.fields[kind.position].bins, layout.cells(kind.position)
        before = fold(block.counts[known, cells].astype(np.int64), bins)
        numbers, counts = window.step_counts(row)
        starts = numbers * window.spec.step_ms
        factors = np.array([kind.factors(at, at + window.spec.step_ms) for at in starts.tolist()])
        now = fold(counts[:, cells], bins)
        adjusted = now / factors
        first = onset_step(adjusted, before)
        since = adjusted[first:].sum(axis=0)
        samples = int(now[first:].sum())
        [size] = _variations(since[None], before[None], np.array([dispersion]), [samples])
        means = None
        seasonal = np.abs(since - now[first:].sum(axis=0)).sum() > SEASONAL * max(samples, 1)
        if isinstance(bins, NumericBins) and not seasonal:
            at = layout.numeric.index(kind.position)
            sums = float(window.step_sums(row)[first:, at].sum())
            old_sums = float(block.sums[known, at, SUM])
            means = (
                bins.center + sums / max(samples, 1),
                bins.center + old_sums / max(int(before.sum()), 1),
            )
        return _Change(int(starts[first]), size, describe(bins, since, before, means))


def _variations(
    current: FloatArray, before: IntArray, dispersion: FloatArray, samples: list[int]
) -> list[Size]:
    moved = variation(current, before, dispersion)
    return [
        Size(Effect("tvd", value, lower, upper), n, n * value**2)
        for value, lower, upper, n in zip(*(part.tolist() for part in moved), samples, strict=True)
    ]


def _share(now: IntArray, before: IntArray, dispersion: float) -> Size:
    """Return how far a share has moved, from counts with the property and without it `(2,)`."""
    n = int(now.sum())
    share, old = _part(now), _part(before)
    error = DEVIATIONS * float(np.sqrt(share * (1.0 - share) * dispersion / max(n, 1)))
    moved = share - old
    effect = Effect("share", moved, max(moved - error, -old), min(moved + error, 1.0 - old))
    return Size(effect, n, n * moved**2)


def _part(split: IntArray) -> float:
    return float(split[0]) / max(int(split.sum()), 1)
