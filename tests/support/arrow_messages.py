"""Messages of prediction events, some gathered in Arrow batches as a producer would."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.emit.arrow import encode
from streamgauge.formats.messages import ARROW_TYPE, RawMessages
from streamgauge.io.kafka.reader import which_are_arrow
from tests.support.kafka_fakes import FakeMessage

ARROW_HEADERS = [("content-type", ARROW_TYPE)]
CLOCK = 1_764_100_000_000
"""The broker's time of all messages, later than all events."""


@dataclass(frozen=True)
class Message:
    """One message in a partition (its number), and how many events it holds."""

    partition: int
    key: bytes | None
    value: bytes | None
    events: int = 1
    headers: Any = None


def batch(partition: int, events: Sequence[dict[str, Any]]) -> Message:
    """An Arrow batch of events."""
    value = encode(events)
    assert value is not None
    key = str(events[0]["prediction_id"]).encode()
    return Message(partition, key, value, len(events), ARROW_HEADERS)


def gathered(
    messages: Iterable[Message], rng: np.random.Generator, sizes: Sequence[int], share: float = 1.0
) -> list[Message]:
    """Put about that share of the events into batches of these sizes, each of one model.

    A model's events keep their order within a partition. What has no columns in common with a
    batch, or is no JSON object, stays as it is.
    """
    found: list[Message] = []
    waiting: dict[tuple[int, str], list[Message]] = {}

    def close(place: tuple[int, str]) -> None:
        some = waiting.pop(place)
        documents = [json.loads(message.value or b"") for message in some]
        if encode(documents) is None:
            found.extend(some)
        else:
            found.append(batch(place[0], documents))

    for message in messages:
        if not _is_event(message) or rng.random() > share:
            for place in [place for place in waiting if place[0] == message.partition]:
                close(place)
            found.append(message)
            continue
        place = message.partition, json.loads(message.value or b"")["model"]
        waiting.setdefault(place, []).append(message)
        if len(waiting[place]) >= rng.choice(sizes):
            close(place)
    for place in list(waiting):
        close(place)
    return found


def _is_event(message: Message) -> bool:
    """Whether a message may as well be a row: broken ones and those of a wrong key may not."""
    try:
        document = json.loads(message.value or b"")
    except ValueError:
        return False
    named = isinstance(document, dict) and isinstance(document.get("prediction_id"), str)
    return (
        named
        and document["prediction_id"].encode() == message.key
        and isinstance(document.get("model"), str)
        and isinstance(document.get("timestamp"), int)
    )


def sources(messages: Sequence[Message]) -> list[FakeMessage]:
    """The messages as the client gives them, with offsets by partition in this order."""
    ends: dict[int, int] = {}
    found = []
    for message in messages:
        offset = ends.get(message.partition, 0)
        ends[message.partition] = offset + 1
        at = ("predictions", message.partition, offset)
        found.append(FakeMessage(message.value, message.key, message.headers, at, CLOCK))
    return found


def polled(some: Sequence[FakeMessage]) -> RawMessages:
    """One poll, as the reader makes it."""
    values = [message.value() for message in some]
    return RawMessages(
        values=values,
        keys=[key if isinstance(key, bytes) else None for key in (m.key() for m in some)],
        partition=np.array([message.partition() for message in some], np.int32),
        offset=np.array([message.offset() for message in some], np.int64),
        broker_timestamp=np.array([message.time for message in some], np.int64),
        arrow=which_are_arrow(values, some),
    )
