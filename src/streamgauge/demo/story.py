"""The story of the year: what there is to see on a date of the replay."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from streamgauge.demo.dataset import FAULT, TRAINING_END_MS

NEW_YORK: Final = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Chapter:
    """What happened in event time `[start_ms, end_ms)`, and where it should show."""

    start_ms: int
    end_ms: int
    title: str
    look_for: str


def _midnight(month: int, day: int) -> int:
    return round(datetime(2013, month, day, tzinfo=NEW_YORK).timestamp() * 1000)


NEW_YEAR: Final = round(datetime(2014, 1, 1, tzinfo=NEW_YORK).timestamp() * 1000)

CHAPTERS: Final = (
    Chapter(
        _midnight(1, 1),
        TRAINING_END_MS,
        "January and February: what the model was trained on",
        "a plain week looks like the reference, so nothing should fire",
    ),
    Chapter(
        _midnight(2, 8),
        _midnight(2, 11),
        "8-9 February: blizzard, half the flights cancelled",
        "visibility, precipitation and wind; accuracy on the 8th",
    ),
    Chapter(
        TRAINING_END_MS,
        _midnight(6, 24),
        "Spring: the months the model has never seen",
        "air_temp rises and stays away from its winter reference; new destinations in dest",
    ),
    Chapter(
        _midnight(3, 8),
        _midnight(3, 10),
        "8 March: snow, four flights of five are late",
        "dep_delay and the score; the labels come hours later, and accuracy falls",
    ),
    Chapter(
        _midnight(4, 22),
        _midnight(4, 29),
        "22-28 April: air traffic controllers on furlough",
        "accuracy below what is expected without labels: the inputs barely tell why",
    ),
    Chapter(
        _midnight(6, 24),
        _midnight(7, 15),
        "24 June - 14 July: weeks of thunderstorms",
        "accuracy and dep_delay: nearly half the flights are late, and the score sees it",
    ),
    Chapter(
        _midnight(7, 15),
        _midnight(9, 1),
        "Summer: hot, and calmer after the storms",
        "air_temp and humidity are as far from January as they get",
    ),
    Chapter(
        _midnight(9, 1),
        FAULT.start_ms,
        "September: calm, hardly anyone is late",
        "dep_delay and the score move the other way; accuracy above the reference",
    ),
    Chapter(
        FAULT.start_ms,
        FAULT.end_ms,
        f"8-21 October: our own fault, the one thing here that did not happen: version"
        f" {FAULT.model_version} sends {FAULT.carrier}'s {FAULT.feature} in km",
        f"{FAULT.feature} in slice carrier={FAULT.carrier}; predictions and accuracy stay",
    ),
    Chapter(
        FAULT.end_ms,
        _midnight(12, 2),
        "Autumn: the fault is repaired",
        f"{FAULT.feature} of carrier={FAULT.carrier} returns to its reference and the alert ends",
    ),
    Chapter(
        _midnight(12, 2),
        _midnight(12, 16),
        "2-15 December: early winter",
        "dep_delay and accuracy: a third of the flights are late, more than the score says",
    ),
    Chapter(
        _midnight(12, 16),
        _midnight(12, 30),
        "December: holidays",
        "traffic by carrier and destination",
    ),
    Chapter(
        _midnight(12, 30),
        NEW_YEAR,
        "30-31 December: the weather record ends",
        "missing values in every weather feature",
    ),
)
"""In the order of their starts but for those within another, which stand after it."""


def chapter_at(event_time_ms: int) -> Chapter | None:
    """Return the chapter of an event time, the shortest where several hold it; None outside."""
    holding = [c for c in CHAPTERS if c.start_ms <= event_time_ms < c.end_ms]
    return min(holding, key=lambda c: c.end_ms - c.start_ms, default=None)


def date_text(event_time_ms: int) -> str:
    """Write event time for people: `Tue 8 Oct 2013 14:00 UTC`."""
    moment = datetime.fromtimestamp(event_time_ms / 1000, UTC)
    return f"{moment:%a} {moment.day} {moment:%b %Y %H:%M} UTC"


def day_text(event_time_ms: int) -> str:
    """Write event time where there is little room: `8 Oct`."""
    moment = datetime.fromtimestamp(event_time_ms / 1000, UTC)
    return f"{moment.day} {moment:%b}"
