"""Stand-ins for the Kafka clients, which write down the order in which they are used."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamgauge.formats.joined import JoinedBytes
from streamgauge.formats.messages import RawMessages
from streamgauge.io.kafka.attended import Still, always
from streamgauge.io.kafka.errors import FencedError, NotMemberError, UnsettledError
from streamgauge.io.kafka.membership import GroupMetadata, Kept
from streamgauge.io.kafka.reader import Poll
from streamgauge.io.kafka.reading_ahead import Prepare

STATE_TOPIC = "streamgauge.streamgauge.state"
Partition = tuple[str, int]
Headers = list[tuple[str, str | bytes | None]]


@dataclass
class FakeMessage:
    """A message as the client gives it."""

    raw_value: bytes | None
    raw_key: str | bytes | None = b"p1"
    raw_headers: Any = None
    at: tuple[str, int, int] = ("predictions", 3, 41)
    time: int = 1_764_000_000_123

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.at[2]

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time

    def key(self) -> str | bytes | None:
        return self.raw_key

    def value(self) -> bytes | None:
        return self.raw_value

    def headers(self) -> Any:
        return self.raw_headers


@dataclass
class FakeClock:
    """A clock that tests turn; the wall clock shows a billion seconds more."""

    now: float = 1_000.0

    def wall(self) -> float:
        return 1e9 + self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class FakeBroker:
    """Topics, committed offsets and written messages, and a journal of all that was done."""

    partitions: dict[str, int] = field(default_factory=lambda: {"predictions": 2})
    log: dict[Partition, list[FakeMessage]] = field(default_factory=dict)
    offsets: dict[Partition, int] = field(default_factory=dict)
    floors: dict[Partition, int] = field(default_factory=dict)
    written: list[tuple[str, bytes | None, bytes | None, Headers]] = field(default_factory=list)
    state: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    """Latest value of each key of the state topic, with its offset."""
    journal: list[str] = field(default_factory=list)

    def produce(
        self,
        partition: int,
        value: bytes | None,
        key: bytes,
        time: int,
        topic: str = "predictions",
    ) -> None:
        """Append an input message."""
        at = (topic, partition)
        messages = self.log.setdefault(at, [])
        place = (*at, len(messages))
        messages.append(FakeMessage(value, key, at=place, time=time))

    def note(self, what: str) -> None:
        self.journal.append(what)

    def keep(self, key: bytes | None, value: bytes | None) -> None:
        """Write a record of the state."""
        assert key is not None
        self.state.pop(key, None)
        if value is not None:
            self.state[key] = len(self.journal), value


@dataclass
class FakeMembership:
    """Active as long as a test says so; refuses to commit once it has been fenced."""

    broker: FakeBroker
    active: bool = True
    joined: bool = True
    fenced: bool = False
    is_attended: bool = False
    rebalances: int = 0
    epoch: int = 0
    on_poll: list[Any] = field(default_factory=list)
    """Called one a poll, first to last: how tests change the world between turns."""

    def poll(self, timeout: float) -> bool:
        if self.on_poll and timeout == 0.0:
            self.on_poll.pop(0)()
        return self.active

    @contextmanager
    def attended(self, *, active: bool = True) -> Iterator[Still]:
        def still() -> None:
            if self.active is not active:
                raise NotMemberError("kafka: others are active")

        self.is_attended = True
        try:
            yield still
        finally:
            self.is_attended = False
        still()

    def committed(
        self,
        partitions: list[Partition],
        patience: float = 0.0,  # noqa: ARG002
    ) -> dict[Partition, Kept]:
        broker = self.broker
        return {
            p: Kept(broker.offsets[p], broker.floors.get(p, broker.offsets[p]))
            for p in partitions
            if p in broker.offsets
        }

    def group_metadata(self) -> GroupMetadata:
        return GroupMetadata(1, object())

    def close(self) -> None:
        self.broker.note("leave")


@dataclass
class FakeReader:
    """Reads the fake broker's log, `most` messages of each partition a poll."""

    broker: FakeBroker
    most: int = 50
    partitions: tuple[Partition, ...] = ()
    positions: dict[Partition, int] = field(default_factory=dict)
    paused: frozenset[int] = frozenset()
    started: list[tuple[dict[Partition, int], bool]] = field(default_factory=list)

    def partitions_of(
        self,
        topics: tuple[str, ...],
        patience: float = 1.0,  # noqa: ARG002
        *,
        required: bool = True,
    ) -> list[Partition]:
        there = [t for t in topics if required or t in self.broker.partitions]
        return [(t, p) for t in there for p in range(self.broker.partitions[t])]

    def last_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {p: len(self.broker.log.get(p, ())) for p in partitions}

    def first_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def start(
        self,
        partitions: list[Partition],
        offsets: Mapping[Partition, int],
        *,
        from_beginning: bool,
    ) -> None:
        self.started.append((dict(offsets), from_beginning))
        self.partitions = tuple(partitions)
        ends = {p: 0 if from_beginning else len(self.broker.log.get(p, ())) for p in partitions}
        self.positions = ends | dict(offsets)

    def extend(self, added: list[Partition]) -> None:
        self.partitions += tuple(added)
        self.positions.update(dict.fromkeys(added, 0))

    def stop(self) -> None:
        self.broker.note("stop reading")
        self.partitions, self.positions = (), {}

    def poll(self, most: int, prepare: Prepare | None = None) -> Poll:
        taken: list[tuple[int, FakeMessage]] = []
        drained = set()
        for number, partition in enumerate(self.partitions):
            if number in self.paused:
                continue
            messages = self.broker.log.get(partition, [])
            begin = self.positions.get(partition, 0)
            end = min(begin + min(self.most, most), len(messages))
            taken += [(number, message) for message in messages[begin:end]]
            if end > begin:
                self.positions[partition] = end
            if end == len(messages):
                drained.add(number)
        self.broker.note(f"poll {len(taken)}")
        columns = _columns(taken)
        prepared = None if prepare is None else prepare(columns)
        sources = [message for _, message in taken]
        return Poll(columns, sources, frozenset(drained), prepared=prepared)

    def pause(self, numbers: frozenset[int]) -> None:
        self.paused = numbers

    def behind(self) -> frozenset[int]:
        return frozenset(
            number
            for number, p in enumerate(self.partitions)
            if len(self.broker.log.get(p, ())) > self.positions.get(p, 0)
        )

    def lag(self) -> dict[Partition, int]:
        return {
            p: len(self.broker.log.get(p, ())) - self.positions.get(p, 0) for p in self.partitions
        }

    def close(self) -> None:
        self.broker.note("close reader")


@dataclass
class FakeWriter:
    """Writes to the fake broker in transactions, which tests can make fail."""

    broker: FakeBroker
    membership: FakeMembership
    broken: bool = False
    on_commit: Callable[[], None] = lambda: None
    _open: list[tuple[str, bytes | None, bytes | None, Headers]] | None = None

    def fence(self) -> None:
        self.broker.note("fence")
        self._open = None

    def begin(self) -> None:
        self._open = []

    def write(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
    ) -> None:
        assert self._open is not None
        self.broker.note(f"write {topic}")
        self._open.append((topic, key, value, headers or []))

    def commit(self, positions: Mapping[Partition, Kept], group: GroupMetadata) -> None:
        assert self._open is not None
        assert group.generation >= 0
        self.on_commit()
        if self.membership.fenced:
            raise FencedError("kafka: committing offsets: fenced")
        if self.broken:
            raise UnsettledError("kafka: committing: the broker is down")
        self.broker.note("commit")
        for topic, key, value, headers in self._open:
            if topic == STATE_TOPIC:
                self.broker.keep(key, value)
            else:
                self.broker.written.append((topic, key, value, headers))
        self._open = None
        self.broker.offsets.update({p: kept.offset for p, kept in positions.items()})
        self.broker.floors.update({p: kept.floor for p, kept in positions.items()})

    def close(self) -> None:
        self.broker.note("close writer")


@dataclass
class FakeStateReader:
    """Reads what was committed of the state."""

    broker: FakeBroker
    on_read: Callable[[], None] = always

    def records(self, still: Still = always) -> dict[bytes, tuple[int, bytes]]:
        self.on_read()
        still()
        return dict(self.broker.state)


def _columns(taken: Sequence[tuple[int, FakeMessage]]) -> RawMessages:
    return RawMessages(
        values=JoinedBytes.of([message.raw_value for _, message in taken]),
        keys=JoinedBytes.of([message.raw_key for _, message in taken]),  # type: ignore[misc]
        partition=np.array([number for number, _ in taken], np.int32),
        offset=np.array([message.offset() for _, message in taken], np.int64),
        broker_timestamp=np.array([message.time for _, message in taken], np.int64),
    )
