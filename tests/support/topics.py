"""Topics of a test's own: unique names, creation, and reading to the end."""

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

Isolation = Literal["read_committed", "read_uncommitted"]


def unique_name(stem: str = "test") -> str:
    """Return a name that no other test uses, for topics, groups and transactional ids."""
    return f"{stem}-{secrets.token_hex(4)}"


def create_topics(
    bootstrap_servers: str,
    topics: Mapping[str, int],
    config: Mapping[str, str] | None = None,
) -> None:
    """Create topics, given as name -> partitions, and wait until the broker lists them.

    A broker hears of a topic only after its controller has answered. Raises KafkaException when one
    exists already.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    wanted = [
        NewTopic(name, partitions, 1, config=dict(config or {}))
        for name, partitions in topics.items()
    ]
    for created in admin.create_topics(wanted, operation_timeout=20).values():
        created.result(timeout=30)
    deadline = time.monotonic() + 30
    while not topics.keys() <= admin.list_topics(timeout=30).topics.keys():
        assert time.monotonic() < deadline, f"not listed within 30 s: {', '.join(topics)}"
        time.sleep(0.05)


def new_topic(
    bootstrap_servers: str,
    partitions: int = 1,
    *,
    stem: str = "topic",
    config: Mapping[str, str] | None = None,
) -> str:
    """Create a topic of the test's own and return its name."""
    name = unique_name(stem)
    create_topics(bootstrap_servers, {name: partitions}, config)
    return name


def read_to_end(
    bootstrap_servers: str,
    topic: str,
    *,
    partitions: Iterable[int] = (0,),
    isolation: Isolation = "read_committed",
    timeout: float = 20.0,
) -> list[Message]:
    """Return all messages of a topic, in order within each partition, without joining a group.

    The end is the broker's own word (the end-of-partition event), which the embedded broker gets
    right while its watermark queries do not. Raises KafkaException on any other error event, and
    TimeoutError when the end has not come within `timeout` seconds.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": unique_name("reader"),
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": isolation,
        }
    )
    messages: list[Message] = []
    try:
        open_partitions = set(partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in open_partitions])
        deadline = time.monotonic() + timeout
        while open_partitions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} {sorted(open_partitions)}: no end in {timeout} s")
            for message in consumer.consume(1000, 0.05):
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(_partition(message))
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return messages


def _partition(message: Message) -> int:
    partition = message.partition()
    assert partition is not None, "an end-of-partition event names its partition"
    return partition
