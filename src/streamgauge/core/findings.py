"""Findings: what a detector says of one row and subject when panes close."""

from dataclasses import dataclass
from enum import StrEnum

from streamgauge.core.layout import Subject
from streamgauge.core.slices import RowKey


class Verdict(StrEnum):
    """What a detector concludes; the alert life cycle turns verdicts into alerts.

    An alert needs three things at once (STATISTICS.md §3): evidence, size and coverage.
    """

    DRIFT = "drift"
    """Evidence, size and coverage together."""
    SMALL = "small"
    """Evidence of a change, but its lower bound is within the tolerance."""
    UNDECIDED = "undecided"
    """Between the clear level and the threshold: starts nothing, ends nothing."""
    CLEAR = "clear"
    """Below the clear level."""
    THIN = "thin"
    """Too few events to say anything."""


Watched = frozenset[tuple[RowKey, Subject]]
"""Rows and subjects whose findings are wanted whatever they are."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The size of a change with its interval, in the unit that `measure` names."""

    measure: str
    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One detector's view of one subject in one row.

    `statistic` and `threshold` are on the detector's own scale, where larger means more evidence.
    `explains` compares the rows of one detector and subject: it grows with the number of a row's
    events and the size of its change, not with how well the reference knows the row, so the row
    with the largest one explains a group best; None takes the statistic for it. `start`, `end` and
    `onset` are event time in milliseconds since the epoch; `detail` is half a sentence for people,
    e.g. `mean 1,420 to 2,285`.
    """

    model: str
    row: RowKey
    subject: Subject
    detector: str
    verdict: Verdict
    statistic: float
    threshold: float
    effect: Effect
    samples: int
    start: int
    end: int
    onset: int | None = None
    detail: str = ""
    explains: float | None = None
    excess: float | None = None
    """Evidence of a change in nats above the threshold, None without one and for detectors outside
    the alert budget."""

    @property
    def weight(self) -> float:
        """How much of what moved the row explains."""
        return self.statistic if self.explains is None else self.explains
