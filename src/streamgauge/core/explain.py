"""Explain a change: how large it is, since when, and what moved."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.blocks import SUM
from streamgauge.core.describe import describe
from streamgauge.core.detectors.series import SeriesTable
from streamgauge.core.findings import Effect, Finding
from streamgauge.core.onset import onset_step
from streamgauge.core.reference import Reference
from streamgauge.core.variation import DEVIATIONS, variation
from streamgauge.core.windows import WindowState


class Size(NamedTuple):
    """How far a row has moved: the effect, its events, and how much of a change it explains.

    With n events and an effect of d, n·d² of what moved is at most the sum of that over its
    slices, since d² is convex in the distribution: so the largest tells where a change sits.
    """

    effect: Effect
    samples: int
    explains: float


class _Shape(NamedTuple):
    """A subject that has a distribution: the position of its field."""

    position: int


class _Rate(NamedTuple):
    """A subject that is a share of bad values: their cells among those of all values."""

    cells: IntArray
    of: slice

    def split(self, counts: IntArray) -> IntArray:
        """Return bad and other values `(..., 2)` from counts of the layout's cells `(..., W)`."""
        bad = counts[..., self.cells].sum(axis=-1)
        all_values = counts[..., self.of].sum(axis=-1)
        both: IntArray = np.stack([bad, all_values - bad], axis=-1).astype(np.int64)
        return both


@dataclass(slots=True)
class Explainer:
    """Measures changes of the subjects of a table against the reference."""

    reference: Reference
    table: SeriesTable
    _kinds: tuple[_Shape | _Rate, ...] = field(init=False)

    def __post_init__(self) -> None:
        ends = [*self.table.starts[1:].tolist(), len(self.table.series)]
        kinds: list[_Shape | _Rate] = []
        for subject, start, end in zip(
            self.table.subjects, self.table.starts.tolist(), ends, strict=True
        ):
            position = self.reference.layout.position(subject)
            if self.table.compared[start]:
                assert position is not None
                kinds.append(_Shape(position))
                continue
            runs = self.table.series[start:end]
            cells = np.concatenate([np.arange(run.first, run.last) for run in runs])
            kinds.append(_Rate(cells, slice(runs[0].whole, runs[0].end)))
        self._kinds = tuple(kinds)

    def sizes(
        self, subject: int, known: IntArray, counts: IntArray, dispersion: FloatArray
    ) -> list[Size]:
        """Return how far k rows have moved, from counts of the layout's cells `(k, W)`.

        `subject` is its number in the table, `known (k,)` rows of the reference, −1 for the whole
        in place of one, `dispersion (k,)` is φ.
        """
        kind = self._kinds[subject]
        before = self.reference.block.counts[np.maximum(known, 0)].astype(np.int64)
        if isinstance(kind, _Rate):
            both = zip(kind.split(counts), kind.split(before), dispersion.tolist(), strict=True)
            return [_share(now, old, phi) for now, old, phi in both]
        cells = self.reference.layout.cells(kind.position)
        bins = self.reference.layout.fields[kind.position].bins
        current = fold(counts[:, cells], bins)
        moved = variation(current, fold(before[:, cells], bins), dispersion)
        samples = current.sum(axis=1)
        return [
            Size(Effect("tvd", value, lower, upper), n, n * value**2)
            for value, lower, upper, n in zip(
                *(part.tolist() for part in moved), samples.tolist(), strict=True
            )
        ]

    def explain(
        self, finding: Finding, subject: int, window: WindowState, row: int, dispersion: float
    ) -> Finding:
        """Return a finding with its onset (ms), its effect from then on, and what moved in words.

        `row` is the row's number in the window.
        """
        layout = self.reference.layout
        kind = self._kinds[subject]
        of = kind.of if isinstance(kind, _Rate) else layout.cells(kind.position)
        known = self.reference.row(finding.row.slice) or 0
        steps, counts = window.step_counts(row)
        before = self.reference.block.counts[known].astype(np.int64)
        if isinstance(kind, _Rate):
            first = onset_step(kind.split(counts), kind.split(before))
        else:
            bins = layout.fields[kind.position].bins
            first = onset_step(fold(counts[:, of], bins), fold(before[of], bins))
        since = counts[first:].sum(axis=0)
        [size] = self.sizes(subject, np.array([known]), since[None], np.array([dispersion]))
        onset = int(steps[first]) * window.spec.step_ms
        return replace(
            finding,
            onset=onset,
            effect=size.effect,
            samples=size.samples,
            start=max(finding.start, onset),
            detail=self._rate_detail(kind, since, before)
            if isinstance(kind, _Rate)
            else self._shape_detail(kind, known, since, window.step_sums(row)[first:].sum(axis=0)),
        )

    def _rate_detail(self, kind: _Rate, since: IntArray, before: IntArray) -> str:
        now, old = _part(kind.split(since)), _part(kind.split(before))
        return f"{old:.2%} to {now:.2%}"

    def _shape_detail(self, kind: _Shape, known: int, since: IntArray, sums: FloatArray) -> str:
        """Describe what moved; `sums (M,)` are Σ(x−c) of the numeric fields since the onset."""
        layout, block = self.reference.layout, self.reference.block
        bins, cells = layout.fields[kind.position].bins, layout.cells(kind.position)
        now, before = since[cells], block.counts[known, cells].astype(np.int64)
        means = None
        if isinstance(bins, NumericBins):
            at = layout.numeric.index(kind.position)
            numbers = slice(0, bins.value_bins)
            means = (
                bins.center + float(sums[at]) / max(int(now[numbers].sum()), 1),
                bins.center
                + float(block.sums[known, at, SUM]) / max(int(before[numbers].sum()), 1),
            )
        return describe(bins, now, before, means)


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
