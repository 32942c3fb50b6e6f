"""A stand-in for the Kafka client that `streamgauge.emit` writes with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from streamgauge.core.batch import ModelSchema
from streamgauge.formats.arrow_batches import CONTENT_TYPE, decode_arrow
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from tests.support.native_events import Event, read_back, read_faults


@dataclass(frozen=True)
class Sent:
    """One message."""

    topic: str
    value: bytes
    key: bytes
    partition: int | None
    headers: list[tuple[str, bytes]]


@dataclass
class FakeProducer:
    """Takes messages and acknowledges them on `poll`; while `away` is set, every call hangs."""

    settings: dict[str, Any] = field(default_factory=dict)
    partitions: int = 3
    sent: list[Sent] = field(default_factory=list)
    error: Any = None
    room: int = 1_000_000
    back: threading.Event = field(default_factory=threading.Event)
    _unanswered: list[Callable[[Any, Any], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.back.set()

    def __call__(self, settings: dict[str, Any]) -> "FakeProducer":
        self.settings = settings
        return self

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        on_delivery: Callable[[Any, Any], None],
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self.back.wait(20)
        if len(self._unanswered) >= self.room:
            raise BufferError
        self.sent.append(Sent(topic, value, key, partition, headers or []))
        self._unanswered.append(on_delivery)

    def poll(self, _timeout: float) -> int:
        self.back.wait(20)
        answered, self._unanswered = self._unanswered, []
        for answer in answered:
            answer(self.error, None)
        return len(answered)

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ARG002, the client names it
        self.back.wait(20)
        partitions = dict.fromkeys(range(self.partitions))
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=partitions)})

    def purge(self) -> None:
        self._unanswered = []


def read(schema: ModelSchema, sent: list[Sent], clock: int) -> dict[str, Event]:
    """What the decoders make of messages, by prediction id; none may be refused."""
    events: dict[str, Event] = {}
    plain = [each for each in sent if not each.headers]
    decoded = NativeDecoder([schema]).decode(
        RawMessages(
            values=[each.value for each in plain],
            keys=[each.key for each in plain],
            partition=np.zeros(len(plain), np.int32),
            offset=np.arange(len(plain)),
            broker_timestamp=np.full(len(plain), clock),
        )
    )
    assert not decoded.rejected
    found = list(zip(decoded.batches, decoded.ids, strict=True))
    for each in sent:
        if each.headers:
            assert each.headers == [("content-type", CONTENT_TYPE)]
            rows = decode_arrow(each.value, [schema], EventTime(), broker_timestamp=clock)
            assert rows.refused is None
            assert not rows.rejected
            found += zip(rows.batches, rows.ids, strict=True)
    for batch, ids in found:
        faults = read_faults(batch)
        for place, id_ in enumerate(ids):
            assert id_ not in events
            events[id_] = read_back(batch, place, id_, faults.get(place, {}))
    return events
