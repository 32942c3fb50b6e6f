"""What detectors look at, and what every one of them offers."""

from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.batch import IntArray
from streamgauge.core.findings import Finding
from streamgauge.core.layout import Subject
from streamgauge.core.slices import RowKey
from streamgauge.core.windows import WindowSpec

Watched = frozenset[tuple[RowKey, Subject]]
"""Rows and subjects of alerts that are pending or firing: their findings are always given."""


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """One window at its latest step: `rows (k,)` row numbers with `keys`, `counts (k, W) int64`.

    `end` is event time in ms; the window covers `[end − length, end)`.
    """

    model: str
    spec: WindowSpec
    end: int
    rows: IntArray
    keys: tuple[RowKey, ...]
    counts: IntArray


@dataclass(frozen=True, slots=True)
class Allowance:
    """The alert budget's share of one look at one window: a probability of any false finding.

    If every look at a window that steps by s spends `budget · s / period`, shared by all windows
    and models, then by the union bound the expected number of false findings in a period is at
    most the budget, whatever the dependence between looks and series.
    """

    budget: float
    period_ms: int
    shares: int
    """Models times windows times kinds of detector that share the budget."""

    def per_look(self, step_ms: int) -> float:
        """Return the probability of a false finding that one look may have over all its series."""
        return min(0.05, self.budget * step_ms / (self.period_ms * self.shares))


class Detector(Protocol):
    """Looks at a window each time that it advances."""

    def evaluate(self, window: WindowCounts, watched: Watched) -> list[Finding]:
        """Return findings of drift anywhere, and a finding for every watched row and subject."""
        ...
