"""What detectors look at, and what every one of them offers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.batch import IntArray
from streamgauge.core.findings import Finding
from streamgauge.core.layout import STATUS_OK, Subject
from streamgauge.core.slices import RowKey
from streamgauge.core.windows import WindowSpec

Watched = frozenset[tuple[RowKey, Subject]]
"""Rows and subjects of alerts that are pending or firing: their findings are always given."""


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """One window at its latest step: `rows (k,)` row numbers with `keys`, `counts (k, W) int64`.

    `end` is event time in ms; the window covers `[end − length, end)`. Rows whose version has not
    yet been there for the window's whole length are left out: part of a day is no sample of days.
    """

    model: str
    spec: WindowSpec
    end: int
    rows: IntArray
    keys: tuple[RowKey, ...]
    counts: IntArray

    def samples(self, row: RowKey) -> int:
        """Return the served events of a row, 0 where it is not there."""
        if row not in self.keys:
            return 0
        return int(self.counts[self.keys.index(row), STATUS_OK])


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

    def watches(self) -> Iterable[tuple[str, Subject]]:
        """Yield what findings can be about: the detector's name and the subject."""
        ...
