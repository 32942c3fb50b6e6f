"""Policy: how long evidence must hold, who is called, and how severe an alert is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streamgauge.core.findings import Effect, Finding
from streamgauge.core.layout import STATUS, Subject, SubjectKind

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE


class Severity(StrEnum):
    """How urgent an alert is, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return the place in the order of urgency, 0 for the least."""
        return tuple(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Grade:
    """One rule of severity: what it applies to, and from what size of effect; None means any."""

    severity: Severity
    kind: SubjectKind | None = None
    name: str | None = None
    measure: str | None = None
    at_least: float = 0.0
    """The smallest absolute effect within the interval must reach this, in the measure's unit."""

    def applies(self, subject: Subject, effect: Effect) -> bool:
        """Say whether the rule speaks of this subject and effect."""
        return (
            self.kind in (None, subject.kind)
            and self.name in (None, subject.name)
            and self.measure in (None, effect.measure)
            and (self.at_least <= 0 or assured_size(effect) >= self.at_least)
        )


def assured_size(effect: Effect) -> float:
    """Return the absolute effect that the interval vouches for: 0 where it holds 0.

    Without a finite interval it is the absolute value itself, NaN if that is unknown.
    """
    if not (math.isfinite(effect.lower) and math.isfinite(effect.upper)):
        return abs(effect.value)
    return max(effect.lower, -effect.upper, 0.0)


def standard_grades(severity: Severity = Severity.WARNING) -> tuple[Grade, ...]:
    """Return the usual rules: a severity for all, critical where harm is done.

    Harm is lost performance and failed requests; an input that moved is none by itself.
    """
    return (
        Grade(severity),
        Grade(Severity.CRITICAL, SubjectKind.PERFORMANCE),
        Grade(Severity.CRITICAL, STATUS.kind, STATUS.name),
    )


def budget_levels(rates: Mapping[Severity, float]) -> tuple[tuple[Severity, float], ...]:
    """Return `AlertPolicy.levels` for the alarms per time that each severity's budget allows.

    Detectors alarm at the threshold of the most generous budget B. Evidence that is B/b times as
    large is seen b/B times as often by chance (Ville's inequality), so a budget b needs log(B/b)
    nats above the threshold.
    """
    most = max(rates.values(), default=0.0)
    # Rounded, so that budgets that are the same in other words are so here.
    return tuple(
        (severity, round(math.log(most / rates[severity]), 6))
        for severity in Severity
        if severity in rates
    )


def _urgency(severity: Severity) -> int:
    return severity.rank


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that nobody should be called for until `ends_at` (event time); None matches any.

    `slice` matches every row whose slice holds all these pairs, so the whole of a version is
    matched by an empty `slice` alone.
    """

    ends_at: int
    model: str | None = None
    version: str | None = None
    kind: SubjectKind | None = None
    name: str | None = None
    detector: str | None = None
    slice: tuple[tuple[str, str], ...] = ()
    comment: str = ""

    def matches(self, finding: Finding, now: int) -> bool:
        """Say whether the silence covers the finding's row at event time `now`."""
        return (
            now < self.ends_at
            and self.model in (None, finding.model)
            and self.version in (None, finding.row.version)
            and self.kind in (None, finding.subject.kind)
            and self.name in (None, finding.subject.name)
            and self.detector in (None, finding.detector)
            and all(pair in finding.row.slice for pair in self.slice)
        )


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """The knobs of the life cycle; all durations are event time in milliseconds.

    Whether there is evidence is the detectors' business, which keep the alert budget; the policy
    only says how evidence becomes alerts. Raises ValueError where a value makes no sense.
    """

    pending_for: int = 0
    """How long evidence must stand before the alert fires; 0 fires at once."""
    resolve_after: int = 10 * MINUTE
    """How long everything must be clear before the alert resolves."""
    cool_down: int = 10 * MINUTE
    """How long after its end an alert may not fire again."""
    expire_after: int = HOUR
    """A row without a judgement for longer is forgotten."""
    together: int = 6 * HOUR
    """Changes of one subject that began no further apart have one cause, and so one alert."""
    change_factor: float = 1.5
    """An effect that grew or shrank by this factor, beyond its interval, is worth a revision."""
    takeover_factor: float = 1.25
    """Another row represents the alert once its statistic is this many times larger; one that
    contains the representative's events once it is larger at all."""
    max_alerts: int = 2_000
    """Alerts that may be pending, firing or cooling down at once."""
    max_rows: int = 20_000
    """Rows followed over all alerts; each alert may always follow one."""
    grades: tuple[Grade, ...] = standard_grades()
    levels: tuple[tuple[Severity, float], ...] = ()
    """Severities with budgets of their own, least first, and the evidence in nats above the
    detectors' threshold at which each budget is reached: `budget_levels`."""
    silences: tuple[Silence, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    """Labels that every alert carries, e.g. a team."""

    def __post_init__(self) -> None:
        for name in ("pending_for", "resolve_after", "cool_down", "together"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative, is {getattr(self, name)}")
        for name in ("expire_after", "max_alerts", "max_rows"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be positive, is {getattr(self, name)}")
        for name in ("change_factor", "takeover_factor"):
            if not 1.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: must be 1 or more, is {getattr(self, name)}")
        floor = (-1, 0.0)
        for severity, nats in self.levels:
            if severity.rank <= floor[0] or not floor[1] <= nats < math.inf:
                raise ValueError(f"levels: {severity} with {nats} nats is out of order")
            floor = (severity.rank, nats)

    def severity(self, subject: Subject, effect: Effect, excess: float | None = None) -> Severity:
        """Return the highest severity whose budget is reached or, without one, whose grade applies.

        `excess` is `Finding.excess`: None counts as a threshold that is just reached. Where there
        is nothing at all, it is `info`.
        """
        nats = max(0.0, excess or 0.0)  # NaN is no evidence
        reached = [severity for severity, needed in self.levels if nats >= needed]
        budgeted = {severity for severity, _ in self.levels}
        reached += [
            grade.severity
            for grade in self.grades
            if grade.severity not in budgeted and grade.applies(subject, effect)
        ]
        return max(reached, key=_urgency, default=Severity.INFO)

    def silence(self, finding: Finding, now: int) -> Silence | None:
        """Return the first silence that covers the finding's row, or None."""
        return next((s for s in self.silences if s.matches(finding, now)), None)
