"""Stand-ins for the Kafka client: a producer and a consumer of the simulated broker.

They belong to the process in which they are made, and stop before every call to the broker.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.support.simulation.broker import Broker, Headers, Message, Offset, Partition
from tests.support.simulation.faults import Fault, Faults
from tests.support.simulation.group import Refused
from tests.support.simulation.replica import Replica

METADATA: Final = b"CGMDv2:"
SLICE_S: Final = 0.2
STATE_PARTITION: Final = 0


class Surroundings(Protocol):
    """What clients know of the world."""

    broker: Broker
    faults: Faults
    running: Replica
    eager: bool
    """Whether what is produced is sent at once, and not only when it has to be."""
    fetch: int
    """How many messages of a partition a reader gets at once at most."""

    def pass_time(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class SimMessage:
    """A message as the client gives it, or the news that a partition is read to its end."""

    at: tuple[str, int, int]
    raw_key: bytes | None = None
    raw_value: bytes | None = None
    raw_headers: Any = None
    time: int = 0
    problem: KafkaError | None = None

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.at[2]

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time

    def key(self) -> bytes | None:
        return self.raw_key

    def value(self) -> bytes | None:
        return self.raw_value

    def headers(self) -> Any:
        return self.raw_headers

    def error(self) -> KafkaError | None:
        return self.problem


def timed_out() -> KafkaException:
    """The client's word for an answer that did not come."""
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, retriable=True))


class _Client:
    """What both have in common: calls that can fail, and a process that can end."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self._broker = world.broker
        self._replica = world.running

    def _call(self, call: str, does: Callable[[], Any], wait: float = SLICE_S) -> Any:
        """Stop, then call the broker, unless something gets in the way.

        Raises KafkaException where no answer comes, Refused where the broker's is an error.
        """
        self._replica.gate(call)
        fault = self._world.faults.next(call, self._broker.now)
        if fault is not None:
            self._replica.troubled = True
        if fault in (Fault.NO_REQUEST, Fault.DOWN):
            self._world.pass_time(wait)
            raise timed_out()
        found = does()
        if fault is Fault.NO_ANSWER:
            self._world.pass_time(wait)
            raise timed_out()
        return found


@dataclass
class _Queued:
    at: Partition
    message: Message
    told: Callable[[KafkaError | None, Any], None]
    written: bool = False
    """Whether the broker has it; it tells by sequence numbers what is sent again."""


class SimProducer(_Client):
    """A transactional producer."""

    def __init__(self, world: Surroundings, settings: dict[str, Any]) -> None:
        super().__init__(world)
        self._name = str(settings["transactional.id"])
        self._timeout = float(settings["transaction.timeout.ms"]) / 1000
        self._epoch: int | None = None
        self._queue: list[_Queued] = []
        self._reports: list[Callable[[], None]] = []
        self._within = self._sent = self._to_abort = False
        self._fatal: KafkaError | None = None

    def init_transactions(self, wait: float) -> None:
        self._epoch = self._call("init", lambda: self._broker.init(self._name), wait)
        self._replica.epoch = self._epoch

    def begin_transaction(self) -> None:
        self._refuse_if_fatal()
        assert self._epoch is not None
        if self._within:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self._within, self._sent, self._to_abort = True, False, False

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers,
        on_delivery: Callable[[KafkaError | None, Any], None],
    ) -> None:
        self._refuse_if_fatal()
        if not self._within or self._to_abort:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self._queue.append(_Queued((topic, 0), (key, value, headers), on_delivery))

    def poll(self, wait: float) -> int:
        if self._world.eager and self._queue:
            self._send()
        self._world.pass_time(wait)
        return self._tell()

    def flush(self, wait: float) -> int:  # noqa: ARG002
        if self._queue:
            self._send()
        self._tell()
        return len(self._queue)

    def purge(self) -> None:
        self._queue.clear()
        self._reports.clear()

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], raw: bytes, wait: float
    ) -> None:
        self._check()
        (generation,) = struct.unpack_from("=i", raw, len(METADATA))
        member = generation, raw[len(METADATA) + 4 :].decode()
        found = {(p.topic, p.partition): Offset(p.offset, p.metadata or "") for p in offsets}

        def add() -> None:
            name, epoch, timeout = self._name, self._epoch, self._timeout
            assert epoch is not None
            self._broker.add_offsets(name, epoch, timeout, member, found)
            self._sent = True

        self._transact("offsets", add, wait)

    def commit_transaction(self, wait: float) -> None:
        self._check()
        assert not self._queue, "the client would flush"
        rests_on = self._replica.since, len(self._replica.since)
        self._end("commit", rests_on, wait, commit=True)

    def abort_transaction(self, wait: float) -> None:
        self._refuse_if_fatal()
        self._queue.clear()
        self._end("abort", None, wait, commit=False)

    def _end(self, call: str, rests_on: object, wait: float, *, commit: bool) -> None:
        epoch = self._epoch
        assert epoch is not None
        if self._sent:
            ask = self._world.faults.delays(call)
            if ask:
                self._replica.gate(call)
                self._broker.send_later(self._name, epoch, rests_on)
                self._world.faults.silence(call)
            self._transact(
                call,
                lambda: self._broker.end(self._name, epoch, rests_on, commit=commit),
                wait,
            )
        self._within = self._sent = self._to_abort = False

    def _transact(self, call: str, does: Callable[[], None], wait: float) -> None:
        if self._world.faults.breaks(call):
            self._replica.troubled = self._to_abort = True
            code = KafkaError.UNKNOWN_PRODUCER_ID
            raise KafkaException(KafkaError(code, txn_requires_abort=True))
        try:
            self._call(call, does, wait)
        except Refused as error:
            self._refused(error.code)

    def _send(self) -> None:
        """Send what waits, one partition after the other, and keep what became of it."""
        for at in dict.fromkeys(queued.at for queued in self._queue):
            mine = [queued for queued in self._queue if queued.at == at]
            problem: KafkaError | None = None
            try:
                self._call("produce", partial(self._write, at, mine))
            except KafkaException:
                return
            except Refused as error:
                try:
                    self._refused(error.code)
                except KafkaException:
                    problem = KafkaError(KafkaError._FATAL)
            if self._world.faults.breaks("produce"):
                self._replica.troubled = self._to_abort = True
                problem = KafkaError(KafkaError._MSG_TIMED_OUT)
            self._queue = [queued for queued in self._queue if queued.at != at]
            self._reports += [partial(queued.told, problem, None) for queued in mine]

    def _write(self, at: Partition, mine: list[_Queued]) -> None:
        epoch = self._epoch
        assert epoch is not None
        messages = [queued.message for queued in mine if not queued.written]
        self._broker.produce(self._name, epoch, self._timeout, at, messages)
        for queued in mine:
            queued.written = True
        self._sent = True

    def _tell(self) -> int:
        reports, self._reports = self._reports, []
        for report in reports:
            report()
        return len(reports)

    def _check(self) -> None:
        self._refuse_if_fatal()
        if self._to_abort:
            raise KafkaException(KafkaError(KafkaError._INCONSISTENT, txn_requires_abort=True))

    def _refuse_if_fatal(self) -> None:
        if self._fatal is not None:
            raise KafkaException(self._fatal)

    def _refused(self, code: int) -> NoReturn:
        """Raise what the client makes of the broker's refusal."""
        if code == KafkaError.INVALID_PRODUCER_EPOCH:
            self._fatal = KafkaError(KafkaError._FENCED, fatal=True)
        elif code == KafkaError.INVALID_TXN_STATE:
            self._fatal = KafkaError(code, fatal=True)
        else:
            self._to_abort = True
            raise KafkaException(KafkaError(code, txn_requires_abort=True))
        raise KafkaException(self._fatal)


class SimConsumer(_Client):
    """A consumer: of the group, of the inputs or of the state."""

    def __init__(self, world: Surroundings, settings: dict[str, Any]) -> None:
        super().__init__(world)
        self._committed_only = settings.get("isolation.level", "read_committed") == "read_committed"
        self._tells_end = bool(settings.get("enable.partition.eof"))
        self._call_name = "state" if str(settings["group.id"]).endswith(".state") else "consume"
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        """The end of each partition of which the client has told last."""
        self._highs: dict[Partition, int] = {}
        """The end of each partition, open transactions and all, as the last fetch told it."""
        self._paused: set[Partition] = set()
        self._member: str | None = None
        self._generation = -1
        self._holds: bool | None = None
        self._topics: list[str] = []
        self._callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}

    # The group.

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self._topics, self._callbacks = topics, callbacks

    def poll(self, timeout: float) -> None:
        self._replica.gate("poll" if timeout == 0.0 else "wait")
        self._world.pass_time(timeout)
        group = self._broker.group
        if self._world.faults.is_down(self._broker.now):
            return
        known = self._member is not None and self._member in group.members
        if self._member is not None and not known:
            if self._replica.deaf > 0:
                self._replica.deaf -= 1
                return
            self._tell_token("on_lost", holds=False)
            self._holds = None
        if not known:
            self._member = self._replica.member = group.join().name
        assert self._member is not None
        if not group.moving:
            holds = group.holder == self._member
            if self._holds is None and not holds:
                self._callbacks["on_assign"](self, [])
                self._holds = False
            self._tell_token("on_assign" if holds else "on_revoke", holds=holds)

    def _tell_token(self, which: str, *, holds: bool) -> None:
        if bool(self._holds) != holds:
            self._holds = holds
            self._callbacks[which](self, [TopicPartition(self._topics[0], STATE_PARTITION)])

    def consumer_group_metadata(self) -> bytes:
        member = self._broker.group.members.get(self._member or "")
        if member is not None and not self._replica.deaf:
            self._generation = member.generation
        name = (self._member or "").encode()
        return METADATA + struct.pack("=i", self._generation) + name

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        at = [(p.topic, p.partition) for p in wanted]
        deadline = self._broker.now + timeout
        while True:
            self._call("committed", lambda: None, timeout)
            if self._broker.pending().isdisjoint(at):
                break
            # The broker refuses to tell offsets that a transaction may still change.
            self._world.pass_time(0.5)
            if self._broker.now > deadline:
                raise timed_out()
        found = [(p, self._broker.offsets.get(p, Offset(-1001, ""))) for p in at]
        return [TopicPartition(t, p, kept.offset, kept.metadata) for (t, p), kept in found]

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        found = {(p.topic, p.partition): Offset(p.offset, p.metadata or "") for p in offsets}

        def write() -> None:
            self.consumer_group_metadata()
            self._broker.group.check(self._generation, self._member or "")
            self._broker.offsets.update(found)

        try:
            self._call("commit offsets", write)
        except Refused as error:
            raise KafkaException(KafkaError(error.code)) from error
        return offsets

    # Reading.

    def list_topics(self, topic: str, timeout: float) -> Any:
        found = self._call("topics", lambda: self._broker.partitions.get(topic), timeout)
        return _Metadata({topic: _Topic(dict.fromkeys(range(found or 0)), not found)})

    def get_watermark_offsets(
        self, at: TopicPartition, timeout: float = 0.0, *, cached: bool = False
    ) -> tuple[int, int]:
        if cached:
            return -1001, self._highs.get((at.topic, at.partition), -1001)
        log = self._broker.logs[at.topic, at.partition]
        self._call("ends", lambda: None, timeout)
        return 0, log.stable if self._committed_only else log.high

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.unassign()
        self.incremental_assign(partitions)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        if not self._topics:
            self._positions.update({(p.topic, p.partition): p.offset for p in partitions})

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Only ever the token."""

    def unassign(self) -> None:
        for known in (self._positions, self._ends, self._highs, self._paused):
            known.clear()

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {(p.topic, p.partition) for p in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {(p.topic, p.partition) for p in partitions}

    def consume(self, most: int, wait: float) -> list[SimMessage]:
        try:
            # An answer that is lost changes nothing: the client asks for the same again.
            self._call(self._call_name, lambda: None, wait)
        except KafkaException:
            return []
        found = self._fetch(most)
        self._world.pass_time(wait)
        return found

    def _fetch(self, most: int) -> list[SimMessage]:
        found: list[SimMessage] = []
        for at, position in self._positions.items():
            if at in self._paused:
                continue
            log = self._broker.logs[at]
            self._highs[at] = log.high
            end = log.stable if self._committed_only else log.high
            left = min(self._world.fetch, most - len(found))
            for record in log.records:
                if not position <= record.offset < end or record.marker:
                    continue
                if self._committed_only and not record.is_data:
                    continue
                if left == 0:
                    break
                left -= 1
                position = record.offset + 1
                place = (*at, record.offset)
                found.append(
                    SimMessage(place, record.key, record.value, record.headers, record.time)
                )
            else:
                position = max(position, end)
                if self._tells_end and self._ends.get(at, -1) < position:
                    self._ends[at] = position
                    error = KafkaError(KafkaError._PARTITION_EOF)
                    found.append(SimMessage((*at, position), problem=error))
            self._positions[at] = position
        return found

    def close(self) -> None:
        self._replica.gate("close")
        if self._member is not None:
            self._broker.group.leave(self._member)


@dataclass
class _Topic:
    partitions: dict[int, None]
    unknown: bool

    @property
    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART) if self.unknown else None


@dataclass
class _Metadata:
    topics: dict[str, _Topic]
