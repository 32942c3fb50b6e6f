"""Alerts of the replay: read from their topic, and what became of each of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streamgauge.demo.clients import QUIET
from streamgauge.demo.dataset import FAULT
from streamgauge.errors import StreamgaugeError

_BATCH: Final = 500
LABELLED: Final = frozenset({"performance", "label"})
"""Kinds of subjects that only labels tell of."""

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """One alert from its first revision to its latest.

    The last words of an alert that is over say what is no more: `told` is the latest revision that
    fires, `strongest` the one of them with the largest statistic, which shows the change best.
    """

    first: Event
    told: Event
    strongest: Event
    latest: Event

    @classmethod
    def begin(cls, event: Event) -> Self:
        """Return the story of an alert's first revision."""
        return cls(event, event, event, event)

    def go_on(self, event: Event) -> "Story":
        """Return the story with another revision; one that was read before changes nothing."""
        if event["revision"] <= self.latest["revision"]:
            return self
        if event["status"] != "firing":
            return replace(self, latest=event)
        grown = (event["statistic"] or 0.0) > (self.strongest["statistic"] or 0.0)
        strongest = event if grown else self.strongest
        return replace(self, told=event, strongest=strongest, latest=event)

    @property
    def resolved(self) -> bool:
        """Whether it is over."""
        return bool(self.latest["status"] == "resolved")


class AlertFeed:
    """Reads the alert topic from its beginning, in no group."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.stories: dict[str, Story] = {}
        """By alert id, in the order of their first revisions."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                **QUIET,
                "group.id": "streamgauge.demo.alerts",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def poll(self) -> list[Event]:
        """Return the revisions that have come since the last call, and add them to the stories."""
        events: list[Event] = []
        for message in self._consumer.consume(_BATCH, 0.0):
            error = message.error()
            if error is None:
                events.append(orjson.loads(message.value() or b"{}"))
            elif error.code() != KafkaError._PARTITION_EOF and not error.retriable():  # noqa: SLF001
                raise StreamgaugeError(f"demo: reading alerts: {error.str()}")
        for event in events:
            known = self.stories.get(event["alert_id"])
            self.stories[event["alert_id"]] = known.go_on(event) if known else Story.begin(event)
        return events

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


def slice_label(event: Event) -> str:
    """Write an alert's slice: `carrier=UA,origin=EWR`; empty for the whole version."""
    return ",".join(f"{name}={value}" for name, value in sorted(event["slice"].items()))


def subject_label(event: Event) -> str:
    """Write what an alert is about: `feature distance`, `data quality precip.missing`."""
    kind, name = event["subject"]["kind"].replace("_", " "), event["subject"]["name"]
    return kind if not name or name == kind else f"{kind} {name}"


def milliseconds(moment: str) -> int:
    """Return the epoch milliseconds of a moment as events carry it."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def is_about_performance(event: Event) -> bool:
    """Tell whether a revision rests on labels: on how good the model was, or on labels missing."""
    return event["subject"]["kind"] in LABELLED


def is_the_fault(event: Event) -> bool:
    """Tell whether a revision is about the fault that the data set holds.

    It must name the feature, the version and the carrier, and rest on events of the fault's time.
    """
    return bool(
        event["subject"] == {"kind": "feature", "name": FAULT.feature}
        and event["model_version"] == FAULT.model_version
        and event["slice"].get("carrier") == FAULT.carrier
        and milliseconds(event["window"]["start"]) < FAULT.end_ms
        and milliseconds(event["window"]["end"]) > FAULT.start_ms
    )


def fault_found(stories: Iterable[Story]) -> bool:
    """Tell whether any alert is about the fault."""
    return any(is_the_fault(event) for s in stories for event in (s.first, s.strongest, s.told))
