"""A client of confluent-kafka alone: an object for each message."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamgauge.formats.numbers import int32s
from streamgauge.io.kafka.client import Partition, Received, Trouble


class PythonClient:
    """See `Client`."""

    is_shared: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._consumer = Consumer(dict(settings))
        self._taken: list[Message] = []

    def partitions_of(self, topic: str, patience: float) -> list[int] | None:
        """Return the numbers of a topic's partitions, None if there is no such topic."""
        metadata = self._consumer.list_topics(topic, timeout=patience).topics[topic]
        if metadata.error is None:
            return sorted(metadata.partitions)
        if metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise KafkaException(metadata.error)

    def ends(self, partition: Partition, patience: float) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and that after the last."""
        at = TopicPartition(*partition)
        low, high = self._consumer.get_watermark_offsets(at, timeout=patience)
        return low, high

    def known_end(self, partition: Partition) -> int:
        """Return the offset after the last as far as is known, below 0 where nothing is."""
        at = TopicPartition(*partition)
        _, high = self._consumer.get_watermark_offsets(at, cached=True)
        return int(high)

    def assign(self, at: Mapping[Partition, int]) -> None:
        """Read from these offsets, and nothing else."""
        self._consumer.assign(_listed(at))

    def extend(self, at: Mapping[Partition, int]) -> None:
        """Read from these offsets as well."""
        self._consumer.incremental_assign(_listed(at))

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Hold partitions back."""
        self._consumer.pause(list(starmap(TopicPartition, partitions)))

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Let partitions go on that were held back."""
        self._consumer.resume(list(starmap(TopicPartition, partitions)))

    def take(self, most: int, wait_s: float) -> tuple[int, int]:
        """Take up to so many messages; return how many there were, and their bytes."""
        more = self._consumer.consume(most, wait_s)
        self._taken += more
        return len(more), sum(map(len, filter(None, map(_kind(more).value, more))))

    def received(self) -> Received:
        """Return what was taken since this was asked last."""
        taken, self._taken = self._taken, []
        messages, troubles = taken, []
        # By type: the client's errors cannot be compared.
        if not set(map(type, map(_kind(taken).error, taken))) <= {type(None)}:
            messages = [message for message in taken if message.error() is None]
            troubles = [_trouble(message) for message in taken if message.error() is not None]
        kind = _kind(messages)
        places = zip(map(kind.topic, messages), map(kind.partition, messages), strict=True)
        whole: list[Any] = list(places)
        numbers = {partition: number for number, partition in enumerate(dict.fromkeys(whole))}
        times = map(itemgetter(1), map(kind.timestamp, messages))
        return Received(
            values=list(map(kind.value, messages)),
            keys=list(map(kind.key, messages)),
            partitions=list(numbers),
            place=int32s(map(numbers.__getitem__, whole)),
            offset=np.fromiter(map(kind.offset, messages), np.int64, len(messages)),
            timestamp=np.fromiter(times, np.int64, len(messages)),
            sources=messages,
            troubles=troubles,
        )

    def close(self) -> None:
        """Let go of everything; may take long where the broker does not answer."""
        self._consumer.close()


def _listed(at: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number, offset) for (topic, number), offset in at.items()]


def _trouble(message: Message) -> Trouble:
    error = message.error()
    assert error is not None
    return Trouble(message.topic() or "", message.partition() or 0, message.offset(), error)


def _kind(messages: Sequence[Message]) -> type[Message]:
    """Return the class of messages: a map of its methods takes two thirds of a generator's time."""
    return type(messages[0]) if messages else Message
