"""The small sections of the file: topics, events, time, HTTP, limits and log."""

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from streamgauge.config.durations import Duration, DurationOrZero, Pane
from streamgauge.config.schema import FROM_ENVIRONMENT
from streamgauge.config.section import Number, Section, Text, WholeNumber, default, refusal

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_APP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


class Start(StrEnum):
    """Where a new group begins to read."""

    EARLIEST = "earliest"
    LATEST = "latest"


class TimestampUnit(StrEnum):
    """The unit of integer timestamps in events."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


class DeadLetterPayload(StrEnum):
    """What a dead letter keeps of the event's value."""

    FULL = "full"
    HASH = "hash"
    NONE = "none"


class LogLevel(StrEnum):
    """The least urgent messages that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How messages are written: `auto` is text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value) or value in {".", ".."}:
        raise refusal(
            "is no name of a Kafka topic; write 1 to 249 letters, digits, '.', '_' or '-'"
        )
    return value


def _app(value: str) -> str:
    if not _APP.fullmatch(value):
        raise refusal(
            "becomes part of topic and group names; write 1 to 60 letters, digits, '_' or '-',"
            " beginning with a letter or digit"
        )
    return value


Topic = Annotated[
    str,
    AfterValidator(_topic),
    WithJsonSchema({"type": "string", "pattern": f"^({_TOPIC.pattern}|{FROM_ENVIRONMENT})$"}),
]
"""The name of a Kafka topic."""
App = Annotated[
    str,
    AfterValidator(_app),
    WithJsonSchema({"type": "string", "pattern": f"^({_APP.pattern}|{FROM_ENVIRONMENT})$"}),
]
"""A name that is safe within topic names, where '.' and '_' must not be mixed."""


class TopicsConfig(Section):
    """The topics that are read and written."""

    predictions: Annotated[tuple[Topic, ...], Field(min_length=1, max_length=100)] = default(
        ["predictions"]
    )
    """Topics of prediction events."""
    labels: Annotated[tuple[Topic, ...], Field(max_length=100)] = default(["labels"])
    """Topics of label events; an empty list where there are no labels."""
    alerts: Topic = "streamgauge.alerts"
    """The topic that alerts are written to."""
    dead_letters: Topic = "streamgauge.dead-letters"
    """The topic that events which cannot be used are written to."""
    state: Topic | None = None
    """The internal, compacted topic of the state; streamgauge.<app>.state if left out."""
    partials: Topic | None = None
    """The internal topic between split roles; streamgauge.<app>.partials if left out."""


class StormConfig(Section):
    """When so many events are unusable that stopping is better than discarding the stream."""

    ratio: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.5
    """The share of dead letters among recent events that stops the process."""
    min_events: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)] = 1_000
    """How many events the share is taken over at least."""
    consecutive: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)] = 10_000
    """How many dead letters in a row stop the process."""


class EventsConfig(Section):
    """How events are read, and what becomes of those that cannot be used."""

    timestamp_unit: TimestampUnit = TimestampUnit.MILLISECONDS
    """The unit of integer timestamps."""
    max_future: Duration = default("5m")
    """An event later than the broker's own timestamp by more than this is a dead letter."""
    dead_letter_payload: DeadLetterPayload = DeadLetterPayload.NONE
    """What dead letters keep of the value; it may hold personal data."""
    dead_letter_storm: StormConfig = default({})
    """When unusable events stop the process."""


class TimeConfig(Section):
    """Event time: its smallest step, and how long to wait for events that come late."""

    pane: Pane = default("10s")
    """The smallest step of event time; windows are multiples of it."""
    disorder: DurationOrZero = default("10s")
    """How far out of order events may come: a pane is closed this much after its end."""
    grace: DurationOrZero = default("1m")
    """How long after that late events still revise windows; later ones are only counted."""
    idle_after: Duration = default("30s")
    """A partition that has been read to its end and quiet for this long holds up no one."""


class HttpConfig(Section):
    """Where metrics, health and the status page are served."""

    host: Text = "127.0.0.1"
    """The address to listen on; 0.0.0.0 opens it to the network."""
    port: Annotated[WholeNumber, Field(ge=0, le=65_535)] = 9477
    """The port to listen on; 0 takes any free one."""


class ProcessLimits(Section):
    """Caps of the whole process."""

    series: Annotated[WholeNumber, Field(ge=1, le=10_000_000)] = 20_000
    """Metric series exported over all models."""


class JoinStoreConfig(Section):
    """Where predictions wait for their labels, and where windows' closed steps lie in a file
    without a name. The folder is a cache: it may be deleted while streamgauge is stopped, and is
    built again from the topics."""

    folder: Text | None = None
    """A folder on a local disk, for this app alone; streamgauge/<app> below the user's cache folder
    (XDG_CACHE_HOME or ~/.cache) if left out."""


class LogConfig(Section):
    """What is logged, and how."""

    level: LogLevel = LogLevel.INFO
    """The least urgent messages that are written."""
    format: LogFormat = LogFormat.AUTO
    """How messages are written."""
