"""Reader: all partitions of the input topics, in big batches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from operator import itemgetter
from typing import Any, Final, Protocol

import numpy as np
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streamgauge.config.librdkafka import Setting
from streamgauge.core.batch import BoolArray
from streamgauge.formats.messages import ARROW_BEGINS, ARROW_TYPE, RawMessages
from streamgauge.formats.numbers import int32s
from streamgauge.io.kafka.bounded import aside
from streamgauge.io.kafka.client_log import client_logger
from streamgauge.io.kafka.errors import PASSING, OffsetsGoneError, failure
from streamgauge.io.kafka.group_settings import as_single

FETCHING: Final[Mapping[str, Setting]] = {
    # What the client reads ahead; it bounds memory when we are slower than the broker.
    "queued.max.messages.kbytes": 32 * 1024,
    # What one answer of the broker may hold. Of each partition it holds 1 MB, as by default: with
    # more, partitions would be read further apart, and with them their event times.
    "fetch.max.bytes": 16 * 1024 * 1024,
    # By default the client asks for nothing for a second once it has read far enough ahead, longer
    # than what it has lasts us: a third of the rate (benchmarks/fetching.py).
    "fetch.queue.backoff.ms": 10,
}
"""How messages are fetched, where the configuration does not say otherwise."""
ANSWER_S: Final = 15.0
"""How long the broker may take to answer."""
POLL_WAIT_S = 0.1
"""Longest wait for a batch to fill, so that signals and time are served."""
PLENTY_BYTES: Final = 4 << 20
"""A batch of this much is not waited for any more: a few Arrow batches are as much as full."""
_LOOKS: Final = 5
"""How often it is looked meanwhile whether there is that much."""

Headers = Sequence[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll: messages as columns, their source messages, partitions read to their end.

    It is `full` where it did not wait for more.
    """

    messages: RawMessages
    sources: list[Message]
    drained: frozenset[int]
    full: bool = False


class Reader:
    """Reads every partition of the input topics from given positions, outside any group.

    Partitions are numbered in the order of `partitions`.
    """

    def __init__(self, settings: Mapping[str, Setting], group_id: str, client_id: str) -> None:
        self._settings: dict[str, Any] = {
            **FETCHING,
            **as_single(settings),
            # Never joined: the client wants a name for every consumer.
            "group.id": f"{group_id}.reader",
            "client.id": client_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "logger": client_logger(),
        }
        self._consumer = Consumer(self._settings)
        self.partitions: tuple[tuple[str, int], ...] = ()
        self.positions: dict[tuple[str, int], int] = {}
        self.paused: frozenset[int] = frozenset()
        self._numbers: dict[tuple[str | None, int | None], int] = {}
        self._of_one_topic: dict[int | None, int] = {}
        """The same by the partition's number alone, where all partitions are of one topic."""

    def partitions_of(
        self, topics: tuple[str, ...], patience: float = ANSWER_S, *, required: bool = True
    ) -> list[tuple[str, int]]:
        """Return all partitions of topics; the broker has so long (s) to tell of each.

        Raises BrokerError for a topic that does not exist; one that is not `required` has none.
        """
        found = []
        for topic in topics:
            try:
                metadata = self._consumer.list_topics(topic, timeout=patience).topics[topic]
            except KafkaException as error:
                self._renew()
                raise failure(f"looking up topic {topic}", error) from error
            if metadata.error is not None:
                if not required and metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise failure(f"looking up topic {topic}", metadata.error)
            found += [(topic, number) for number in sorted(metadata.partitions)]
        return found

    def start(
        self,
        partitions: list[tuple[str, int]],
        offsets: Mapping[tuple[str, int], int],
        *,
        from_beginning: bool,
    ) -> None:
        """Read from these offsets, and partitions that have none from their beginning or end.

        Where those are is asked now, so that from here on every partition has a position.
        """
        positions = dict(offsets)
        for partition in partitions:
            if partition not in positions:
                low, high = self._ends(partition)
                positions[partition] = low if from_beginning else high
        self.positions = positions
        self._number(tuple(partitions))
        self._assign()

    def first_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the first offset that the broker still holds of each of these partitions."""
        return {partition: self._ends(partition)[0] for partition in partitions}

    def last_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the offset after the last that the broker holds of each of these partitions."""
        return {partition: self._ends(partition)[1] for partition in partitions}

    def _ends(self, partition: tuple[str, int]) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and that after the last."""
        topic, number = partition
        try:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, number), timeout=ANSWER_S
            )
        except KafkaException as error:
            self._renew()
            raise failure(f"looking up the offsets of {topic} {number}", error) from error
        return low, high

    def _renew(self) -> None:
        """Go on with another client, from the same positions.

        One that a restart of the broker has hit may never find it again, and says nothing of it.
        """
        left, self._consumer = self._consumer, Consumer(self._settings)
        aside(left.close)
        paused, self.paused = self.paused, frozenset()
        self._assign()
        self.pause(paused)

    def _number(self, partitions: tuple[tuple[str, int], ...]) -> None:
        self.partitions = partitions
        self._numbers = {partition: i for i, partition in enumerate(partitions)}
        alone = len({topic for topic, _ in partitions}) == 1
        self._of_one_topic = {p: i for i, (_, p) in enumerate(partitions)} if alone else {}

    def _assign(self) -> None:
        """Read from the positions."""
        at = [(*partition, self.positions[partition]) for partition in self.partitions]
        self._consumer.assign(list(starmap(TopicPartition, at)))

    def extend(self, added: list[tuple[str, int]]) -> None:
        """Read further partitions from their beginning."""
        self.positions |= self.first_offsets(added)
        self._number((*self.partitions, *added))
        self._consumer.incremental_assign(
            [TopicPartition(t, p, self.positions[t, p]) for t, p in added]
        )

    def stop(self) -> None:
        """Read no more, until started again."""
        self._consumer.unassign()
        self.partitions = ()
        self.positions = {}

    def poll(self, most: int) -> Poll:
        """Return up to `most` messages.

        Raises OffsetsGoneError, or BrokerError where trying again does not help.
        """
        try:
            more = received = self._consumer.consume(most, 0.0)
            size = looks = 0
            while len(received) < most and looks < _LOOKS:
                size += _size(more)
                if size >= PLENTY_BYTES:
                    break
                more = self._consumer.consume(most - len(received), POLL_WAIT_S / _LOOKS)
                received += more
                looks += 1
        except KafkaException as error:
            raise failure("reading events", error) from error
        ends: dict[int, int] = {}
        sources = received
        # By type: the client's errors cannot be compared.
        if not set(map(type, map(_kind(received).error, received))) <= {type(None)}:
            sources = []
            for message in received:
                problem = message.error()
                if problem is None:
                    sources.append(message)
                elif problem.code() == KafkaError._PARTITION_EOF:
                    number = self._numbers[message.topic(), message.partition()]
                    ends[number] = message.offset() or 0
                else:
                    self._judge(message, problem)
        messages = self._columns(sources)
        for number, end in ends.items():
            # Beyond the last message lie the markers of transactions: they count as read.
            at = self.partitions[number]
            self.positions[at] = max(self.positions[at], end)
        return Poll(messages, sources, frozenset(ends), looks < _LOOKS)

    def _columns(self, sources: list[Message]) -> RawMessages:
        kind = _kind(sources)
        places = map(kind.partition, sources)
        if self._of_one_topic:
            partition = int32s(map(self._of_one_topic.__getitem__, places))
        else:
            whole = zip(map(kind.topic, sources), places, strict=True)
            partition = int32s(map(self._numbers.__getitem__, whole))
        offset = np.fromiter(map(kind.offset, sources), np.int64, len(sources))
        for number in np.unique(partition).tolist():
            last = int(offset[partition == number].max())
            self.positions[self.partitions[number]] = last + 1
        values = list(map(kind.value, sources))
        times = map(itemgetter(1), map(kind.timestamp, sources))
        return RawMessages(
            values=values,
            keys=list(map(kind.key, sources)),
            partition=partition,
            offset=offset,
            broker_timestamp=np.fromiter(times, np.int64, len(sources)),
            arrow=which_are_arrow(values, sources),
        )

    def _judge(self, message: Message, error: KafkaError) -> None:
        where = f"{message.topic()} partition {message.partition()}"
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise OffsetsGoneError(
                f"kafka: {where}: the committed offset is gone from the broker, so events were"
                " deleted before they were read; reset the group's offsets to go on"
                " (kafka-consumer-groups.sh --reset-offsets) and keep the topic longer"
            )
        if error.code() in PASSING or error.retriable():
            return
        raise failure(f"reading {where}", error)

    def pause(self, numbers: frozenset[int]) -> None:
        """Hold back exactly these partitions and let all others go on."""
        if numbers == self.paused:
            return
        for change, verb in (
            (numbers - self.paused, self._consumer.pause),
            (self.paused - numbers, self._consumer.resume),
        ):
            if change:
                verb([TopicPartition(*self.partitions[number]) for number in sorted(change)])
        self.paused = numbers

    def behind(self) -> frozenset[int]:
        """Return the partitions of which the client knows that there is more to read.

        One that was read to its end before may be among them: its messages wait behind others'.
        """
        found = set()
        for number, partition in enumerate(self.partitions):
            position = self.positions.get(partition)
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
            if position is not None and high > position:
                found.add(number)
        return frozenset(found)

    def lag(self) -> dict[tuple[str, int], int]:
        """Return, per partition, how many messages are not yet read, as far as is known."""
        lags = {}
        for topic, number in self.partitions:
            position = self.positions.get((topic, number))
            if position is None:
                continue
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, number), cached=True
            )
            lags[topic, number] = max(0, high - position)
        return lags

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


def _kind(messages: Sequence[Message]) -> type[Message]:
    """Return the class of messages: a map of its methods takes two thirds of a generator's time."""
    return type(messages[0]) if messages else Message


def _size(messages: Sequence[Message]) -> int:
    return sum(map(len, filter(None, map(_kind(messages).value, messages))))


def _largest(values: Sequence[bytes | None]) -> bytes:
    if None in values:
        return max(filter(None, values), default=b"")
    return max(values)  # type: ignore[type-var, return-value]  # none of them is None


class _Headed(Protocol):
    """A message, as far as its headers go."""

    def headers(self) -> Mapping[str, str | bytes | None] | Headers | None: ...


def which_are_arrow(values: Sequence[bytes | None], sources: Sequence[_Headed]) -> BoolArray | None:
    """Say which messages `(n,)` are marked as Arrow IPC streams by a header; None if none is.

    Headers take a microsecond to look at, so only those are whose value could be a stream. None
    can where the greatest value is below what a stream begins with, as JSON always is.
    """
    if values and _largest(values) < ARROW_BEGINS:
        return None
    arrow = np.zeros(len(values), np.bool_)
    for place, value in enumerate(values):
        if value is not None and value.startswith(ARROW_BEGINS):
            headers = sources[place].headers() or ()
            pairs = headers.items() if isinstance(headers, Mapping) else headers
            arrow[place] = ("content-type", ARROW_TYPE) in pairs
    return arrow if arrow.any() else None
