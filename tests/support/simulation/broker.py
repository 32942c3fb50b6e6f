"""Simulated broker: topics, transactions with epochs, the last stable offset, and compaction.

What a client may do wrong it can do here too: it is the broker that refuses.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from tests.support.simulation.group import Group, Refused

Partition = tuple[str, int]
Headers = list[tuple[str, str | bytes | None]]
Message = tuple[bytes | None, bytes | None, Headers]
"""Key, value and headers."""
EPOCH_MS: Final = 1_764_000_000_000
"""The broker's clock (ms since the epoch) when it begins."""


class End(StrEnum):
    """How far a transaction has come."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Offset(NamedTuple):
    """A committed offset of the group."""

    offset: int
    metadata: str


@dataclass(eq=False)
class Transaction:
    """One transaction: who writes it, and what belongs to it."""

    name: str
    epoch: int
    deadline: float
    end: End = End.OPEN
    touched: set[Partition] = field(default_factory=set)
    offsets: dict[Partition, Offset] = field(default_factory=dict)
    rests_on: object = None
    """What the writer knew when it asked for the commit; nothing that Kafka has."""


@dataclass(frozen=True, eq=False)
class Record:
    """A record of a log; a marker of the end of a transaction has no key and no value."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    time: int
    transaction: Transaction | None = None
    marker: bool = False

    @property
    def is_data(self) -> bool:
        """Whether readers of committed records get it."""
        told = self.transaction
        return not self.marker and (told is None or told.end is End.COMMITTED)


@dataclass
class Log:
    """One partition."""

    records: list[Record] = field(default_factory=list)
    high: int = 0
    """The offset after the last record."""
    _begun: dict[Transaction, int] = field(default_factory=dict)
    """Where transactions begin that may still be open."""

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        time: int,
        transaction: Transaction | None = None,
        *,
        marker: bool = False,
    ) -> int:
        """Write a record and return its offset."""
        record = Record(self.high, key, value, headers, time, transaction, marker)
        self.records.append(record)
        self.high += 1
        if transaction is not None and not marker:
            self._begun.setdefault(transaction, record.offset)
        return record.offset

    @property
    def stable(self) -> int:
        """The last stable offset: where the first open transaction begins, else the end."""
        for transaction in list(self._begun):
            if transaction.end is not End.OPEN:
                del self._begun[transaction]
        return min(self._begun.values(), default=self.high)

    def committed(self) -> Iterator[Record]:
        """Yield what readers of committed records can ever see by now."""
        stable = self.stable
        return (r for r in self.records if r.is_data and r.offset < stable)

    def settled(self) -> Iterator[Record]:
        """Yield what is committed, also where an open transaction still hides it."""
        return (r for r in self.records if r.is_data)

    def compact(self, *, tombstones: bool) -> None:
        """Keep the last committed record of each key alone, and with `tombstones` not those.

        What is not stable stays, and so do all offsets.
        """
        latest = {record.key: record.offset for record in self.committed()}
        stable = self.stable
        self.records = [
            record
            for record in self.records
            if record.offset >= stable
            or (
                record.is_data
                and latest[record.key] == record.offset
                and (record.value is not None or not tombstones)
            )
        ]


@dataclass
class Coordinator:
    """What the broker knows of one transactional id."""

    epoch: int = -1
    transaction: Transaction | None = None
    last: Transaction | None = None
    """The transaction that ended last, for an end that is asked for twice."""


class InFlight(NamedTuple):
    """A request to end a transaction that is still on its way."""

    name: str
    epoch: int
    rests_on: object


class Broker:
    """Topics, the group, and the coordinators of transactions; `now` is set by the world."""

    def __init__(self, partitions: dict[str, int]) -> None:
        self.now = 0.0
        self.partitions = partitions
        self.logs: dict[Partition, Log] = {
            (topic, p): Log() for topic, count in partitions.items() for p in range(count)
        }
        self.group = Group()
        self.offsets: dict[Partition, Offset] = {}
        self.coordinators: dict[str, Coordinator] = {}
        self.in_flight: list[InFlight] = []
        self.ended: list[Transaction] = []
        """Committed transactions of the product, in order."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass: abandoned transactions are given up, and so are silent members."""
        self.now += seconds
        for coordinator in self.coordinators.values():
            open_ = coordinator.transaction
            if open_ is not None and self.now >= open_.deadline:
                self._end(coordinator, End.ABORTED)
                coordinator.epoch += 1
        self.group.pass_time(self.now)

    def init(self, name: str) -> int:
        """Give a producer the next epoch; what the one before left open is aborted."""
        coordinator = self.coordinators.setdefault(name, Coordinator())
        if coordinator.transaction is not None:
            self._end(coordinator, End.ABORTED)
        coordinator.epoch += 1
        coordinator.last = None
        return coordinator.epoch

    def produce(
        self,
        name: str,
        epoch: int,
        timeout: float,
        at: Partition,
        messages: list[Message],
    ) -> None:
        """Write messages in the open transaction; the first opens it."""
        transaction = self._transaction(name, epoch, timeout)
        transaction.touched.add(at)
        for key, value, headers in messages:
            time = EPOCH_MS + int(self.now * 1000)
            self.logs[at].append(key, value, headers, time, transaction)

    def add_offsets(
        self,
        name: str,
        epoch: int,
        timeout: float,
        member: tuple[int, str],
        offsets: dict[Partition, Offset],
    ) -> None:
        """Let offsets wait for the end of the open transaction."""
        transaction = self._transaction(name, epoch, timeout)
        self.group.check(*member)
        transaction.offsets.update(offsets)

    def end(self, name: str, epoch: int, rests_on: object, *, commit: bool) -> None:
        """End the open transaction; a second time is well if the first went the same way.

        What the producer asked for before does not come after this any more: it would be the same
        request. (Over two connections it may, and hit the next transaction, as long as producers
        keep their epochs from one transaction to the next: KIP-890.)
        """
        coordinator = self._coordinator(name, epoch)
        self.in_flight = [r for r in self.in_flight if (r.name, r.epoch) != (name, epoch)]
        end = End.COMMITTED if commit else End.ABORTED
        if coordinator.transaction is None:
            if coordinator.last is not None and coordinator.last.end is end:
                return
            raise Refused(KafkaError.INVALID_TXN_STATE)
        coordinator.transaction.rests_on = rests_on
        self._end(coordinator, end)

    def send_later(self, name: str, epoch: int, rests_on: object) -> None:
        """Take a request to commit that is long on its way."""
        self.in_flight.append(InFlight(name, epoch, rests_on))

    def arrive(self) -> None:
        """Let the first request that is on its way arrive; who sent it does not hear of it."""
        name, epoch, rests_on = self.in_flight.pop(0)
        with suppress(Refused):
            self.end(name, epoch, rests_on, commit=True)

    def pending(self) -> frozenset[Partition]:
        """Return the partitions whose offsets wait for the end of a transaction."""
        open_ = (c.transaction for c in self.coordinators.values())
        return frozenset(p for t in open_ if t is not None for p in t.offsets)

    def _coordinator(self, name: str, epoch: int) -> Coordinator:
        coordinator = self.coordinators[name]
        if epoch != coordinator.epoch:
            raise Refused(KafkaError.INVALID_PRODUCER_EPOCH)
        return coordinator

    def _transaction(self, name: str, epoch: int, timeout: float) -> Transaction:
        coordinator = self._coordinator(name, epoch)
        if coordinator.transaction is None:
            coordinator.transaction = Transaction(name, epoch, self.now + timeout)
        return coordinator.transaction

    def _end(self, coordinator: Coordinator, end: End) -> None:
        transaction = coordinator.transaction
        assert transaction is not None
        coordinator.transaction, coordinator.last = None, transaction
        transaction.end = end
        for at in sorted(transaction.touched):
            self.logs[at].append(None, None, [], 0, transaction, marker=True)
        if end is End.COMMITTED:
            self.offsets.update(transaction.offsets)
            if transaction.rests_on is not None:
                self.ended.append(transaction)
