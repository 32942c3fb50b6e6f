"""Records: one revision of an alert, as it is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamgauge.core.alerts.policy import Severity
from streamgauge.core.findings import Effect
from streamgauge.core.layout import Subject


class AlertStatus(StrEnum):
    """Whether the alert stands."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """One revision of an alert: the alert body of the contract in the core's own types.

    Times are event time in milliseconds since the epoch: `start` and `end` of the period that the
    numbers come from, `onset` of the change where it could be dated, `starts_at` when the alert
    fired, `ends_at` when it ended. Revisions of one `alert_id` count from 1 without gaps.
    """

    alert_id: str
    fingerprint: str
    revision: int
    status: AlertStatus
    severity: Severity
    model: str
    model_version: str
    slice: tuple[tuple[str, str], ...]
    subject: Subject
    detector: str
    statistic: float
    threshold: float
    effect: Effect
    samples: int
    start: int
    end: int
    onset: int | None
    starts_at: int
    ends_at: int | None
    summary: str
    causes: tuple[Mapping[str, object], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
