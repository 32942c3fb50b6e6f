"""The reader of events, where its client does not find the broker any more."""

from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from streamgauge.io.kafka.errors import BrokerError
from streamgauge.io.kafka.reader import Reader
from tests.support.brokers import Broker
from tests.support.chaos_stage import wait_for
from tests.support.topics import new_topic

EVENTS = 300


class Lost:
    """A client that reads nothing and is answered nothing, as after some restarts of a broker."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer

    def list_topics(self, *_: Any, **__: Any) -> Any:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    get_watermark_offsets = list_topics

    def consume(self, *_: Any) -> list[Any]:
        return []

    def close(self) -> None:
        self.consumer.close()


@pytest.mark.parametrize("asked", ["partitions_of", "last_offsets"])
def test_a_client_that_finds_the_broker_no_more_is_replaced(broker: Broker, asked: str) -> None:
    topic = new_topic(broker.bootstrap_servers, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for i in range(EVENTS):
        producer.produce(topic, str(i).encode(), partition=i % 2)
    assert producer.flush(30) == 0
    read: Counter[bytes | None] = Counter()
    reader = Reader({"bootstrap.servers": broker.bootstrap_servers}, "g", "c")

    def total() -> int:
        read.update(reader.poll(10).messages.values)
        return read.total()

    try:
        partitions = reader.partitions_of((topic,))
        reader.start(partitions, {}, from_beginning=True)
        wait_for("some are read", lambda: total() >= 50)
        reader.pause(frozenset({1}))
        reader._consumer = Lost(reader._consumer)  # type: ignore[assignment]
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
