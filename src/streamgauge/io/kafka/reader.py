"""Reader: all partitions of the input topics, in big batches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from streamgauge.config.librdkafka import Setting
from streamgauge.core.batch import BoolArray
from streamgauge.formats.joined import begin_with
from streamgauge.formats.messages import ARROW_BEGINS, ARROW_TYPE, RawMessages
from streamgauge.io.kafka import native_client
from streamgauge.io.kafka.bounded import aside
from streamgauge.io.kafka.client import (
    Client,
    Partition,
    Source,
    Trouble,
)
from streamgauge.io.kafka.client_log import client_logger
from streamgauge.io.kafka.errors import PASSING, OffsetsGoneError, failure
from streamgauge.io.kafka.group_settings import as_single
from streamgauge.io.kafka.native_client import NativeClient
from streamgauge.io.kafka.python_client import PythonClient
from streamgauge.io.kafka.reading_ahead import Fetched, Prepare, ReadingAhead

FETCHING: Final[Mapping[str, Setting]] = {
    # What the client reads ahead; it bounds memory when we are slower than the broker, with what
    # is read ahead (reading_ahead.MOST_AHEAD_BYTES).
    "queued.max.messages.kbytes": 16 * 1024,
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
POLL_WAIT_S: Final = 0.1
"""Longest wait for a batch to fill, so that signals and time are served."""
PLENTY_BYTES: Final = 4 << 20
"""A batch of this much is not waited for any more: a few Arrow batches are as much as full."""
MOST_BYTES: Final = 16 << 20
"""What a poll should hold at most: of larger ones fewer can be read ahead."""
_LOOKS: Final = 5
"""How often it is looked meanwhile whether there is that much."""


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll: messages as columns, their source messages, partitions read to their end.

    The sources may be looked at until the next poll. It is `full` where it did not wait for more.
    `prepared` is what was made of the messages meanwhile, None where they were not read ahead.
    """

    messages: RawMessages
    sources: Sequence[Source]
    drained: frozenset[int]
    full: bool = False
    prepared: Any = None


class Reader:
    """Reads every partition of the input topics from given positions, outside any group.

    Partitions are numbered in the order of `partitions`.
    """

    def __init__(
        self,
        settings: Mapping[str, Setting],
        group_id: str,
        client_id: str,
        create: Callable[[Mapping[str, Any]], Client] | None = None,
    ) -> None:
        self._create = create or best_client()
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
        self._client = self._create(self._settings)
        self.partitions: tuple[Partition, ...] = ()
        self.positions: dict[Partition, int] = {}
        self.paused: frozenset[int] = frozenset()
        self._numbers: dict[Partition, int] = {}
        self._ahead = ReadingAhead(self._fetch)
        self._message_bytes = 1
        """How large the last messages were, on average."""

    def partitions_of(
        self, topics: tuple[str, ...], patience: float = ANSWER_S, *, required: bool = True
    ) -> list[Partition]:
        """Return all partitions of topics; the broker has so long (s) to tell of each.

        Raises BrokerError for a topic that does not exist; one that is not `required` has none.
        """
        found = []
        for topic in topics:
            try:
                numbers = self._client.partitions_of(topic, patience)
            except KafkaException as error:
                self._renew()
                raise failure(f"looking up topic {topic}", error) from error
            if numbers is None and required:
                unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
                raise failure(f"looking up topic {topic}", unknown)
            found += [(topic, number) for number in numbers or ()]
        return found

    def start(
        self,
        partitions: list[Partition],
        offsets: Mapping[Partition, int],
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

    def first_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the first offset that the broker still holds of each of these partitions."""
        return {partition: self._ends(partition)[0] for partition in partitions}

    def last_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the offset after the last that the broker holds of each of these partitions."""
        return {partition: self._ends(partition)[1] for partition in partitions}

    def _ends(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and that after the last."""
        topic, number = partition
        try:
            return self._client.ends(partition, ANSWER_S)
        except KafkaException as error:
            self._renew()
            raise failure(f"looking up the offsets of {topic} {number}", error) from error

    def _renew(self) -> None:
        """Go on with another client, from the same positions.

        One that a restart of the broker has hit may never find it again, and says nothing of it.
        """
        self._ahead.forget()
        left, self._client = self._client, self._create(self._settings)
        aside(left.close)
        paused, self.paused = self.paused, frozenset()
        self._assign()
        self.pause(paused)

    def _number(self, partitions: tuple[Partition, ...]) -> None:
        self.partitions = partitions
        self._numbers = {partition: i for i, partition in enumerate(partitions)}

    def _assign(self) -> None:
        """Read from the positions."""
        self._ahead.forget()
        self._client.assign({each: self.positions[each] for each in self.partitions})

    def extend(self, added: list[Partition]) -> None:
        """Read further partitions from their beginning."""
        self.positions |= self.first_offsets(added)
        self._number((*self.partitions, *added))
        self._client.extend({each: self.positions[each] for each in added})

    def stop(self) -> None:
        """Read no more, until started again."""
        self._ahead.forget()
        self._client.assign({})
        self.partitions = ()
        self.positions = {}

    def poll(self, most: int, prepare: Prepare | None = None) -> Poll:
        """Return up to `most` messages, fewer where they are large.

        Where there is `prepare` and much to read, further polls are read beside what the caller
        does next, and `prepare` is called with each, in another thread: the next ones return those.
        They become more from poll to poll, up to `MOST_AHEAD`. Arrow batches are not read ahead:
        with few to a poll the threads wait for the interpreter's lock longer than they spare, and
        hold twice as much.

        Raises OffsetsGoneError, or BrokerError where trying again does not help.
        """
        try:
            fetched = self._ahead.next(most)
        except KafkaException as error:
            raise failure("reading events", error) from error
        received, messages = fetched.received, fetched.messages
        ends: dict[int, int] = {}
        for trouble in received.troubles:
            if trouble.error.code() == KafkaError._PARTITION_EOF:
                ends[self._numbers[trouble.topic, trouble.partition]] = trouble.offset or 0
            else:
                _judge(trouble)
        for place, partition in enumerate(received.partitions):
            last = int(received.offset[received.place == place].max())
            self.positions[partition] = last + 1
        for number, end in ends.items():
            # Beyond the last message lie the markers of transactions: they count as read.
            at = self.partitions[number]
            self.positions[at] = max(self.positions[at], end)
        if self.paused or not self._client.is_shared:
            prepare = None
        self._ahead.go_on(most, prepare, fetched)
        drained = frozenset(ends)
        return Poll(messages, received.sources, drained, fetched.full, fetched.prepared)

    def _fetch(self, most: int, prepare: Prepare | None) -> Fetched:
        """Take messages, which are only read once a poll has returned them."""
        client = self._client
        most = max(1, min(most, MOST_BYTES // self._message_bytes))
        count, size = client.take(most, 0.0)
        looks = 0
        while count < most and size < PLENTY_BYTES and looks < _LOOKS:
            more, larger = client.take(most - count, POLL_WAIT_S / _LOOKS)
            count, size, looks = count + more, size + larger, looks + 1
        if count:
            self._message_bytes = max(1, size // count)
        received = client.received()
        numbers = np.array([self._numbers[each] for each in received.partitions], np.int32)
        messages = RawMessages(
            values=received.values,
            keys=received.keys,
            partition=numbers[received.place],
            offset=received.offset,
            broker_timestamp=received.timestamp,
            arrow=which_are_arrow(received.values, received.sources),
        )
        prepared = None if prepare is None else prepare(messages)
        return Fetched(received, messages, size, looks < _LOOKS, prepared)

    def pause(self, numbers: frozenset[int]) -> None:
        """Hold back exactly these partitions and let all others go on."""
        if numbers == self.paused:
            return
        if numbers:
            # The caller reads less at once then: what is not read ahead yet, it asks for anew.
            self._ahead.halt()
        for change, verb in (
            (numbers - self.paused, self._client.pause),
            (self.paused - numbers, self._client.resume),
        ):
            if change:
                verb([self.partitions[number] for number in sorted(change)])
        self.paused = numbers

    def behind(self) -> frozenset[int]:
        """Return the partitions of which the client knows that there is more to read.

        One that was read to its end before may be among them: its messages wait behind others'.
        """
        found = set()
        for number, partition in enumerate(self.partitions):
            position = self.positions.get(partition)
            if position is not None and self._client.known_end(partition) > position:
                found.add(number)
        return frozenset(found)

    def lag(self) -> dict[Partition, int]:
        """Return, per partition, how many messages are not yet read, as far as is known."""
        lags = {}
        for partition in self.partitions:
            position = self.positions.get(partition)
            if position is not None:
                lags[partition] = max(0, self._client.known_end(partition) - position)
        return lags

    def close(self) -> None:
        """Stop reading."""
        self._ahead.close()
        self._client.close()


def best_client() -> Callable[[Mapping[str, Any]], Client]:
    """Return what creates the fastest client that there is here."""
    return NativeClient if native_client.available() else PythonClient


def _judge(trouble: Trouble) -> None:
    """Raise what the client does not recover from."""
    where, error = f"{trouble.topic} partition {trouble.partition}", trouble.error
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise OffsetsGoneError(
            f"kafka: {where}: the committed offset is gone from the broker, so events were"
            " deleted before they were read; reset the group's offsets to go on"
            " (kafka-consumer-groups.sh --reset-offsets) and keep the topic longer"
        )
    if error.code() in PASSING or error.retriable():
        return
    raise failure(f"reading {where}", error)


def which_are_arrow(values: Sequence[bytes | None], sources: Sequence[Source]) -> BoolArray | None:
    """Say which messages `(n,)` are marked as Arrow IPC streams by a header; None if none is.

    Headers take a microsecond to look at, so only those are whose value could be a stream.
    """
    arrow = begin_with(values, ARROW_BEGINS)
    if arrow is None or not arrow.any():
        return None
    for place in np.flatnonzero(arrow).tolist():
        headers = sources[place].headers() or ()
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        arrow[place] = ("content-type", ARROW_TYPE) in pairs
    return arrow if arrow.any() else None
