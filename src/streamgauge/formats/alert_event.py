"""The alert event: the body of an alert, its JSON Schema, and its message in Kafka."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    TypeAdapter,
    WithJsonSchema,
)

from streamgauge.core.alerts.policy import Severity
from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.layout import SubjectKind

CLOUD_EVENT_TYPE: Final = "io.streamgauge.alert.v1"
SCHEMA_ID: Final = "urn:streamgauge:schema:alert:1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(moment: datetime) -> str:
    """Write a moment in UTC with milliseconds: `2013-10-08T04:00:00.000Z`."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def moment(ms: int) -> datetime:
    """Return the UTC moment of milliseconds since the epoch.

    Raises OverflowError outside the years 1 to 9999.
    """
    return EPOCH + timedelta(milliseconds=ms)


Instant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Cause = dict[str, JsonValue]
CAUSES: Final = TypeAdapter(list[Cause])
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class AlertSubject(_Part):
    """What the alert is about."""

    kind: SubjectKind
    name: str


class AlertEffect(_Part):
    """The size of the change with its interval, in the unit that `measure` names."""

    measure: str
    value: Number | None = Field(description="Null where it is not known.")
    lower: Number | None = None
    upper: Number | None = None


class AlertWindow(_Part):
    """The event time that the numbers come from: start <= timestamp < end."""

    start: Instant
    end: Instant


class AlertEvent(_Part):
    """One revision of an alert, as it is published to the alert topic."""

    alert_id: str = Field(description="One firing of an alert; the same after a replay.")
    fingerprint: str = Field(description="What the alert is about; the message key.")
    revision: int = Field(ge=1, description="Counts from 1 within an alert_id, without gaps.")
    status: AlertStatus
    severity: Severity
    model: str
    model_version: str
    slice: dict[str, str] = Field(
        description="Dimension to value of the row that explains the change best; "
        "empty for the whole model version."
    )
    subject: AlertSubject
    detector: str
    statistic: Number | None = Field(description="On the detector's own scale; larger is more.")
    threshold: Number | None = Field(description="From which statistic on there is evidence.")
    effect: AlertEffect
    samples: int = Field(ge=0, description="Events behind the numbers.")
    window: AlertWindow
    onset: Instant | None = Field(description="When the change began, where it could be dated.")
    starts_at: Instant = Field(description="When the alert fired, in event time.")
    ends_at: Instant | None = Field(description="When it ended, in event time; null while firing.")
    summary: str = Field(description="One sentence for people.")
    causes: list[Cause] = Field(description="What moved it, the strongest first.")
    labels: dict[str, str] = Field(description="Fixed labels of the configuration.")
    annotations: dict[str, str] = Field(
        description="More for people: reason of this revision, also_moved (other slices), related "
        "(other subjects that fired with it), silenced."
    )


class EncodedAlert(NamedTuple):
    """An alert as a Kafka message: CloudEvents 1.0 in binary mode."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def alert_event(record: AlertRecord) -> AlertEvent:
    """Return the published form of a record; numbers that are not finite become null."""
    effect = record.effect
    return AlertEvent(
        alert_id=record.alert_id,
        fingerprint=record.fingerprint,
        revision=record.revision,
        status=record.status,
        severity=record.severity,
        model=record.model,
        model_version=record.model_version,
        slice=dict(record.slice),
        subject=AlertSubject(kind=record.subject.kind, name=record.subject.name),
        detector=record.detector,
        statistic=_finite(record.statistic),
        threshold=_finite(record.threshold),
        effect=AlertEffect(
            measure=effect.measure,
            value=_finite(effect.value),
            lower=_finite(effect.lower),
            upper=_finite(effect.upper),
        ),
        samples=record.samples,
        window=AlertWindow(start=moment(record.start), end=moment(record.end)),
        onset=None if record.onset is None else moment(record.onset),
        starts_at=moment(record.starts_at),
        ends_at=None if record.ends_at is None else moment(record.ends_at),
        summary=record.summary,
        causes=CAUSES.validate_python(record.causes),
        labels=dict(record.labels),
        annotations=dict(record.annotations),
    )


def encode(record: AlertRecord, app: str, time_ms: int) -> EncodedAlert:
    """Return the Kafka message of a record.

    `time_ms` becomes `ce_time`, the moment of publication in milliseconds since the epoch; `ce_id`
    is unique per revision and the same after a replay. Raises OverflowError where a time lies
    outside the years 1 to 9999.
    """
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{record.alert_id}-{record.revision}",
        "ce_type": CLOUD_EVENT_TYPE,
        "ce_source": f"/streamgauge/{quote(app, safe='')}",
        "ce_time": rfc3339(moment(time_ms)),
        "content-type": "application/json",
    }
    return EncodedAlert(
        key=record.fingerprint.encode(),
        value=alert_event(record).model_dump_json().encode(),
        headers=[(name, text.encode()) for name, text in headers.items()],
    )


def alert_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the alert event's body."""
    schema = AlertEvent.model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
