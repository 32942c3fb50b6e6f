"""The reader of events, by either of its clients."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streamgauge.formats.joined import JoinedBytes
from streamgauge.formats.messages import ARROW_BEGINS, RawMessages
from streamgauge.io.kafka import native_client
from streamgauge.io.kafka.client import Client, Partition, Received
from streamgauge.io.kafka.client_log import client_logger
from streamgauge.io.kafka.errors import BrokerError, OffsetsGoneError
from streamgauge.io.kafka.native_client import NativeClient
from streamgauge.io.kafka.python_client import PythonClient
from streamgauge.io.kafka.reader import Poll, Reader
from tests.support.brokers import Broker
from tests.support.chaos_stage import wait_for
from tests.support.topics import new_topic, unique_name

EVENTS = 300
MARK = ("content-type", b"application/vnd.apache.arrow.stream")
SENT: tuple[tuple[bytes | None, bytes | None, list[tuple[str, str | bytes | None]]], ...] = (
    (b"a", b"1", []),
    (None, b"2", [("trace", b"\x00\xff"), ("none", None), ("trace", "é".encode())]),
    (b"c", None, []),
    ("é\0\xff".encode() + b"\xff", b"", [("empty", b"")]),
    (b"", b"4", []),
    (ARROW_BEGINS + b"marked", b"5", [MARK]),
    (ARROW_BEGINS + b"not marked", b"6", [("other", b"x")]),
    (b"x" * 200_000, b"7", []),
)
"""Key, value and headers of messages."""

Create = Callable[[Mapping[str, Any]], Client]


@pytest.fixture(params=["native", "python"])
def create(request: pytest.FixtureRequest) -> Create:
    if request.param == "python":
        return PythonClient
    if not native_client.available():
        pytest.skip("needs a C compiler, and confluent-kafka with its own librdkafka")
    return NativeClient


class Lost:
    """A client that reads nothing and is answered nothing, as after some restarts of a broker."""

    is_shared = False

    def __init__(self, client: Client) -> None:
        self.client = client

    def partitions_of(self, *_: Any) -> Any:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    ends = partitions_of

    def take(self, *_: Any) -> tuple[int, int]:
        return 0, 0

    def received(self) -> Received:
        nothing = np.empty(0, np.int64)
        return Received([], [], [], nothing.astype(np.int32), nothing, nothing, [], [])

    def close(self) -> None:
        self.client.close()


@pytest.mark.parametrize("asked", ["partitions_of", "last_offsets"])
def test_a_client_that_finds_the_broker_no_more_is_replaced(
    broker: Broker, asked: str, create: Create
) -> None:
    topic = new_topic(broker.bootstrap_servers, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for i in range(EVENTS):
        producer.produce(topic, str(i).encode(), partition=i % 2)
    assert producer.flush(30) == 0
    read: Counter[bytes | None] = Counter()
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", create)

    def total() -> int:
        read.update(reader.poll(10).messages.values)
        return read.total()

    try:
        partitions = reader.partitions_of((topic,))
        reader.start(partitions, {}, from_beginning=True)
        wait_for("some are read", lambda: total() >= 50)
        reader.pause(frozenset({1}))
        reader._client = Lost(reader._client)  # type: ignore[assignment]
        with pytest.raises(BrokerError, match="looking up"):
            getattr(reader, asked)((topic,) if asked == "partitions_of" else partitions)
        assert reader.partitions_of((topic,)) == partitions
        held = reader.positions[topic, 1]
        half = EVENTS // 2
        wait_for("one is read", lambda: total() > 0 and reader.positions[topic, 0] == half)
        assert reader.positions[topic, 1] == held < half, "the other is still held back"
        reader.pause(frozenset())
        wait_for("all are read", lambda: total() >= EVENTS)
    finally:
        reader.close()
    assert read == Counter(str(i).encode() for i in range(EVENTS)), "each once"


def _polls(reader: Reader, count: int) -> list[Poll]:
    """Read so many messages; all polls before the last are let go of."""
    polls: list[Poll] = []

    def enough() -> bool:
        polls.append(reader.poll(count))
        return sum(len(poll.messages) for poll in polls) >= count

    wait_for("all are read", enough)
    return polls


def test_messages_come_as_they_were_sent(broker: Broker, create: Create) -> None:
    topic = new_topic(broker.bootstrap_servers, 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for i, (value, key, headers) in enumerate(SENT):
        producer.produce(topic, value, key, headers=list(headers), timestamp=1_764_000_000_000 + i)
    assert producer.flush(30) == 0
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", create)
    try:
        reader.start([(topic, 0)], {}, from_beginning=True)
        seen: list[Any] = []
        drained: set[int] = set()

        def all_read() -> bool:
            poll = reader.poll(100)
            messages = poll.messages
            arrow = np.zeros(len(messages), bool) if messages.arrow is None else messages.arrow
            columns = zip(
                messages.values,
                messages.keys,
                messages.offset.tolist(),
                messages.broker_timestamp.tolist(),
                arrow.tolist(),
                poll.sources,
                strict=True,
            )
            for value, key, offset, timestamp, is_arrow, source in columns:
                assert (source.value(), source.key()) == (value, key)
                assert (source.topic(), source.partition(), source.offset()) == (topic, 0, offset)
                assert source.timestamp() == (1, timestamp)
                headers = source.headers() or []
                seen.append((value, key, list(headers), offset, timestamp, is_arrow))
            drained.update(poll.drained)
            return bool(drained)

        wait_for("all are read", all_read)
        assert reader.positions == {(topic, 0): len(SENT)}
        assert reader.lag() == {(topic, 0): 0}
    finally:
        reader.close()
    assert seen == [
        (value, key, headers, i, 1_764_000_000_000 + i, MARK in headers)
        for i, (value, key, headers) in enumerate(SENT)
    ]


def test_messages_of_several_topics_are_told_apart(apache_kafka: Broker, create: Create) -> None:
    broker = apache_kafka  # the embedded one tells other last offsets
    topics = [new_topic(broker.bootstrap_servers, 2) for _ in range(2)]
    partitions = [(topic, number) for topic in topics for number in range(2)]
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for i in range(EVENTS):
        topic, number = partitions[i % 4]
        producer.produce(topic, str(i).encode(), partition=number)
    assert producer.flush(30) == 0
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", create)
    try:
        assert reader.partitions_of(tuple(topics)) == partitions
        ends = dict.fromkeys(partitions, EVENTS // 4)
        assert reader.last_offsets(partitions) == ends
        assert set(reader.first_offsets(partitions).values()) == {0}
        started = [partition for partition in partitions if partition != (topics[1], 1)]
        reader.start(started, {(topics[0], 1): 5}, from_beginning=True)
        reader.extend([(topics[1], 1)])
        found: dict[Partition, list[int]] = {partition: [] for partition in partitions}
        for poll in _polls(reader, EVENTS - 5):
            numbers = [reader.partitions[number] for number in poll.messages.partition.tolist()]
            for at, value in zip(numbers, poll.messages.values, strict=True):
                found[at].append(int(value or b"-1"))
        assert reader.positions == ends
    finally:
        reader.close()
    for i, partition in enumerate(partitions):
        first = 5 if partition == (topics[0], 1) else 0
        assert found[partition] == list(range(i + 4 * first, EVENTS, 4)), "each once, in order"


def test_a_topic_that_is_not_there_is_told(broker: Broker, create: Create) -> None:
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", create)
    name = unique_name("absent")
    try:
        assert reader.partitions_of((name,), required=False) == []
        with pytest.raises(BrokerError, match=rf"{name}.*streamgauge check --create"):
            reader.partitions_of((name,))
    finally:
        reader.close()


def test_an_offset_that_is_gone_is_told(apache_kafka: Broker, create: Create) -> None:
    broker = apache_kafka  # the embedded one does not tell
    topic = new_topic(broker.bootstrap_servers, 1)
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", create)
    try:
        reader.start([(topic, 0)], {(topic, 0): 10_000}, from_beginning=True)
        with pytest.raises(OffsetsGoneError, match=f"{topic} partition 0"):
            wait_for("an error", lambda: len(reader.poll(10).messages) > 0)
    finally:
        reader.close()


def _sent(broker: Broker, values: Sequence[bytes]) -> str:
    topic = new_topic(broker.bootstrap_servers, 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0
    return topic


def test_columns_stay_when_more_is_read_and_messages_do_not(broker: Broker) -> None:
    if not native_client.available():
        pytest.skip("needs a C compiler, and confluent-kafka with its own librdkafka")
    values = [b"%06d" % i for i in range(EVENTS)]
    topic = _sent(broker, values)
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", NativeClient)
    kept: list[JoinedBytes] = []
    before: list[Poll] = []
    try:
        reader.start([(topic, 0)], {}, from_beginning=True)

        def all_read() -> bool:
            poll = reader.poll(7)
            if before and len(before[-1].sources):
                with pytest.raises(RuntimeError, match="gone on"):
                    before[-1].sources[0]
            before.append(poll)
            assert isinstance(poll.messages.values, JoinedBytes)
            # Every third is kept while memory of the others is used again.
            if len(before) % 3 == 0:
                kept.append(poll.messages.values)
            return reader.positions[topic, 0] == EVENTS

        wait_for("all are read", all_read)
    finally:
        reader.close()
    read = [value for poll in kept for value in poll]
    assert len(read) > EVENTS // 4
    assert set(read) <= set(values)
    assert len(set(read)) == len(read)


def test_what_is_read_ahead_is_prepared_and_returned_once(broker: Broker) -> None:
    if not native_client.available():
        pytest.skip("needs a C compiler, and confluent-kafka with its own librdkafka")
    values = [b"%06d" % i for i in range(EVENTS)]
    topic = _sent(broker, values)
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c", NativeClient)
    prepared: list[RawMessages] = []
    polls: list[Poll] = []
    read: list[bytes | None] = []

    def all_read(until: int) -> bool:
        poll = reader.poll(10, prepared.append)
        polls.append(poll)
        read.extend(poll.messages.values)
        assert [source.value() for source in poll.sources] == list(poll.messages.values)
        assert reader.positions[topic, 0] == len(read), "what is read ahead is not read"
        return len(read) >= until

    try:
        reader.start([(topic, 0)], {}, from_beginning=True)
        wait_for("half is read", lambda: all_read(EVENTS // 2))
        ahead = [poll for poll in polls if any(poll.messages is each for each in prepared)]
        assert len(ahead) > 5, "most are read ahead"
        # From here again: what was read ahead is forgotten, and comes once more.
        reader.start([(topic, 0)], dict(reader.positions), from_beginning=True)
        wait_for("all are read", lambda: all_read(EVENTS))
        reader.stop()
        assert not reader.positions
    finally:
        reader.close()
    assert read == values


def test_trouble_that_is_met_ahead_is_told_by_the_next_poll(apache_kafka: Broker) -> None:
    if not native_client.available():
        pytest.skip("needs a C compiler, and confluent-kafka with its own librdkafka")
    topics = [_sent(apache_kafka, [b"x"] * EVENTS), new_topic(apache_kafka.bootstrap_servers, 1)]
    settings = {"bootstrap.servers": apache_kafka.bootstrap_servers}
    reader = Reader(settings, "g", "c", NativeClient)
    try:
        reader.start(
            [(topic, 0) for topic in topics], {(topics[1], 0): 10_000}, from_beginning=True
        )
        with pytest.raises(OffsetsGoneError, match=topics[1]):
            wait_for("an error", lambda: reader.poll(1, lambda _: None).drained == {0, 1})
    finally:
        reader.close()


def test_what_the_client_logs_is_passed_on(
    create: Create, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "logger": client_logger()}
    caplog.set_level(logging.INFO, "streamgauge.kafka.client")
    client = create(settings)

    def told() -> bool:
        client.assign({("t", 0): 0})
        client.take(10, 0.1)
        return "127.0.0.1:1" in caplog.text

    try:
        wait_for("a line", told)
        with pytest.raises(KafkaException, match=r"_TRANSPORT|_TIMED_OUT"):
            client.partitions_of("t", 0.1)
    finally:
        client.close()
    assert {record.levelno for record in caplog.records} <= {logging.ERROR, logging.WARNING}


def test_settings_that_are_none_are_refused(create: Create) -> None:
    with pytest.raises(KafkaException, match="No such configuration property"):
        create({"group.id": "g", "nonsense": True, "logger": client_logger()})
    security = {"security.protocol": "ssl", "ssl.ca.location": "/none"}
    with pytest.raises(KafkaException, match="Failed to create consumer"):
        create({"group.id": "g", "logger": client_logger(), **security})
