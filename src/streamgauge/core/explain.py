"""Explain a finding: what moved, and since when."""

from dataclasses import dataclass, field, replace

import numpy as np

from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.blocks import SUM
from streamgauge.core.describe import describe
from streamgauge.core.detectors.rates import Rate, rates
from streamgauge.core.findings import Finding
from streamgauge.core.layout import Subject
from streamgauge.core.onset import onset_step
from streamgauge.core.reference import Reference
from streamgauge.core.windows import WindowState


@dataclass(slots=True)
class Explainer:
    """Adds onset and detail to findings of drift, from the steps of their window."""

    reference: Reference
    _rates: dict[Subject, Rate] = field(init=False)

    def __post_init__(self) -> None:
        self._rates = {rate.subject: rate for rate in rates(self.reference.layout)}

    def explain(self, finding: Finding, window: WindowState, row: int) -> Finding:
        """Return a finding with its onset (ms) and, for a distribution, what moved in words.

        `row` is the row's number in the window.
        """
        known = self.reference.row(finding.row.slice) or 0
        rate = self._rates.get(finding.subject)
        if rate is None:
            return self._distribution(finding, window, row, known)
        steps, counts = window.step_counts(row, rate.of)
        whole = self.reference.block.counts[known, rate.of].astype(np.int64)
        first = onset_step(rate.split(counts), rate.split(whole))
        return replace(finding, onset=int(steps[first]) * window.spec.step_ms)

    def _distribution(self, finding: Finding, window: WindowState, row: int, known: int) -> Finding:
        layout, block = self.reference.layout, self.reference.block
        position = layout.position(finding.subject)
        assert position is not None
        bins, cells = layout.fields[position].bins, layout.cells(position)
        steps, counts = window.step_counts(row, cells)
        before = block.counts[known, cells].astype(np.int64)
        first = onset_step(fold(counts, bins), fold(before, bins))
        means = None
        if isinstance(bins, NumericBins):
            at = layout.numeric.index(position)
            sums, number = window.step_sums(row, at), counts[:, : bins.value_bins].sum(axis=1)
            old_number = int(before[: bins.value_bins].sum())
            now = float(sums[first:].sum()) / max(int(number[first:].sum()), 1)
            old = float(block.sums[known, at, SUM]) / max(old_number, 1)
            means = (bins.center + now, bins.center + old)
        return replace(
            finding,
            onset=int(steps[first]) * window.spec.step_ms,
            detail=describe(bins, counts[first:].sum(axis=0), before, means),
        )
