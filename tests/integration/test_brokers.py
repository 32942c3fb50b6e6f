"""What the rest of the project takes for granted of its brokers."""

import time
from collections.abc import Iterable

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.apache_kafka import ApacheKafka
from tests.support.brokers import Broker
from tests.support.topics import create_topics, new_topic, read_to_end, unique_name

START_MS = 1_764_000_000_000
PARTITIONS = 3
EVENTS = 600


def test_what_is_produced_comes_back_with_key_headers_and_timestamp(broker: Broker) -> None:
    topic = new_topic(broker.bootstrap_servers, PARTITIONS)
    sent = produce_events(broker, topic, range(EVENTS))

    received = read_to_end(broker.bootstrap_servers, topic, partitions=range(PARTITIONS))

    assert {as_sent(message) for message in received} == sent
    assert len(received) == EVENTS
    for partition in range(PARTITIONS):
        offsets = [message.offset() for message in received if message.partition() == partition]
        assert offsets == list(range(len(offsets)))


def test_a_group_goes_on_where_it_committed(broker: Broker) -> None:
    topic = new_topic(broker.bootstrap_servers, PARTITIONS)
    group = unique_name("group")
    before = produce_events(broker, topic, range(EVENTS))

    first_reader = join_group(broker, group, topic)
    first = read_events(first_reader, EVENTS)
    first_reader.commit(asynchronous=False)
    first_reader.close()
    after = produce_events(broker, topic, range(EVENTS, EVENTS + 100))
    second_reader = join_group(broker, group, topic)
    second = read_events(second_reader, 100)
    committed = second_reader.committed(
        [TopicPartition(topic, partition) for partition in range(PARTITIONS)], timeout=10
    )
    second_reader.close()

    assert {as_sent(message) for message in first} == before
    assert {as_sent(message) for message in second} == after
    assert sum(position.offset for position in committed) == EVENTS


def test_topics_have_the_partitions_they_were_made_with(broker: Broker) -> None:
    wanted = {unique_name("narrow"): 1, unique_name("wide"): 7}

    create_topics(broker.bootstrap_servers, wanted)

    topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10)
    assert {name: len(topics.topics[name].partitions) for name in wanted} == wanted


def test_a_topic_cannot_be_made_twice(broker: Broker) -> None:
    topic = new_topic(broker.bootstrap_servers)

    with pytest.raises(KafkaException, match="TOPIC_ALREADY_EXISTS"):
        create_topics(broker.bootstrap_servers, {topic: 1})


def test_a_transaction_carries_records_and_offsets_together(broker: Broker) -> None:
    inputs, outputs = (new_topic(broker.bootstrap_servers, stem=s) for s in ("in", "out"))
    group = unique_name("group")
    produce_events(broker, inputs, range(50))
    reader = join_group(broker, group, inputs)
    read_events(reader, 50)

    producer = transactional_producer(broker)
    producer.begin_transaction()
    producer.produce(outputs, b"counted 50")
    producer.send_offsets_to_transaction(
        [TopicPartition(inputs, 0, 50)], reader.consumer_group_metadata()
    )
    producer.commit_transaction()
    (committed,) = reader.committed([TopicPartition(inputs, 0)], timeout=10)
    reader.close()

    values = [message.value() for message in read_to_end(broker.bootstrap_servers, outputs)]
    assert values == [b"counted 50"]
    assert committed.offset == 50


def test_a_newer_producer_fences_the_older(broker: Broker) -> None:
    topic = new_topic(broker.bootstrap_servers)
    identity = unique_name("transactional")
    older = transactional_producer(broker, identity)
    newer = transactional_producer(broker, identity)

    older.begin_transaction()
    older.produce(topic, b"from the zombie")
    with pytest.raises(KafkaException, match="_FENCED"):
        older.commit_transaction(10)
    newer.begin_transaction()
    newer.produce(topic, b"from the owner")
    newer.commit_transaction(10)

    values = [message.value() for message in read_to_end(broker.bootstrap_servers, topic)]
    assert values == [b"from the owner"]


def test_apache_kafka_hides_an_aborted_transaction_from_read_committed(
    apache_kafka: Broker,
) -> None:
    topic = new_topic(apache_kafka.bootstrap_servers)
    producer = transactional_producer(apache_kafka)

    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    # An abort right after the first record can be fatal to the producer: let it arrive first.
    assert producer.flush(10) == 0
    producer.abort_transaction(10)
    producer.begin_transaction()
    producer.produce(topic, b"committed")
    producer.commit_transaction(10)

    servers = apache_kafka.bootstrap_servers
    seen = [message.value() for message in read_to_end(servers, topic)]
    written = [
        message.value() for message in read_to_end(servers, topic, isolation="read_uncommitted")
    ]
    assert seen == [b"committed"]
    assert written == [b"aborted", b"committed"]


def test_apache_kafka_keeps_its_records_and_its_port_through_a_kill(
    private_apache_kafka: ApacheKafka,
) -> None:
    kafka = private_apache_kafka
    address = kafka.bootstrap_servers
    topic = new_topic(address)
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    producer.produce(topic, b"before")
    assert producer.flush(10) == 0

    kafka.kill()
    kafka.restart()
    producer.produce(topic, b"after")
    assert producer.flush(30) == 0

    assert kafka.bootstrap_servers == address
    assert [message.value() for message in read_to_end(address, topic)] == [b"before", b"after"]


Header = tuple[str, str | bytes | None]
Event = tuple[bytes | None, bytes | None, tuple[Header, ...], int]


def produce_events(broker: Broker, topic: str, numbers: Iterable[int]) -> set[Event]:
    """Produce one keyed event for each number and return them as `as_sent` would."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 5})
    sent: set[Event] = set()
    for number in numbers:
        key, value = f"key-{number}".encode(), f"value-{number}".encode()
        headers: list[Header] = [("number", str(number).encode()), ("no", None)]
        timestamp = START_MS + number
        producer.produce(topic, value, key, headers=headers, timestamp=timestamp)
        sent.add((key, value, tuple(headers), timestamp))
    assert producer.flush(20) == 0
    return sent


def as_sent(message: Message) -> Event:
    headers = message.headers()
    assert isinstance(headers, list)
    return message.key(), message.value(), tuple(headers), message.timestamp()[1]


def join_group(broker: Broker, group: str, topic: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # The embedded broker lets a joining member wait for half of this time.
            "session.timeout.ms": 2000,
            "heartbeat.interval.ms": 500,
        }
    )
    consumer.subscribe([topic])
    return consumer


def read_events(consumer: Consumer, count: int, timeout: float = 30.0) -> list[Message]:
    """Return `count` messages, failing on any error event and when they do not come in time."""
    messages: list[Message] = []
    deadline = time.monotonic() + timeout
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} within {timeout} s"
        for message in consumer.consume(count - len(messages), 0.1):
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


def transactional_producer(broker: Broker, identity: str | None = None) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "transactional.id": identity or unique_name("transactional"),
            # The client complains on standard error when it is fenced, which is what we want.
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    return producer
