"""Partitions that move between workers, in forced orders: who counts what is never in doubt."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import ExitStack

import pytest

from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka.errors import AbortableError
from streamgauge.io.kafka.membership import WorkerMembership, committed_by, with_floors
from streamgauge.io.kafka.transactions import TransactionalWriter
from tests.support.brokers import Broker
from tests.support.monitors import wait_until
from tests.support.topics import new_topic, read_to_end, unique_name

QUIET_S = 1.0
"""So long nothing may come of what waits."""


class Shares:
    """An input of two partitions, a topic of partials, and a group of workers."""

    def __init__(self, broker: Broker, stack: ExitStack) -> None:
        self.app = unique_name("shares")
        self.bootstrap = broker.bootstrap_servers
        self.input = new_topic(self.bootstrap, 2, stem="input")
        self.partials = new_topic(self.bootstrap, stem="partials")
        self._stack = stack

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        return {
            "bootstrap.servers": self.bootstrap,
            "log_level": 0,
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 500,
        }

    def member(self) -> WorkerMembership:
        member = WorkerMembership(self.settings, self.app, "test", self.input)
        self._stack.callback(member.close)
        return member

    def writer(self, worker: str) -> TransactionalWriter:
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap,
            "log_level": 0,
        }
        writer = TransactionalWriter(settings, "test", self.app, worker)
        self._stack.callback(writer.close)
        writer.fence()
        return writer

    def positions(self, offset: int) -> dict[tuple[str, int], Position]:
        return {(self.input, p): Position(offset, 0) for p in range(2)}

    def shipped(self) -> list[bytes | None]:
        return [message.value() for message in read_to_end(self.bootstrap, self.partials)]


@pytest.fixture
def shares(apache_kafka: Broker) -> Iterator[Shares]:
    with ExitStack() as stack:
        yield Shares(apache_kafka, stack)


def has_all(member: WorkerMembership) -> bool:
    member.poll(0.1)
    return member.tokens == frozenset({0, 1})


@pytest.mark.parametrize("ends", ["committed", "aborted"])
def test_what_a_former_owner_has_in_flight_is_waited_for(shares: Shares, ends: str) -> None:
    member, writer = shares.member(), shares.writer("former")
    wait_until("it holds all", lambda: has_all(member))
    writer.begin()
    writer.write(shares.partials, b"former", b"0 to 10")
    writer.commit(shares.positions(10), member.group_metadata())

    writer.begin()
    writer.write(shares.partials, b"former", b"10 to 20")
    producer = writer._producer
    assert producer is not None
    assert producer.flush(10) == 0
    group = member.group_metadata().raw
    producer.send_offsets_to_transaction(with_floors(shares.positions(20)), group, 10.0)
    partitions = [*shares.positions(0)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(committed_by, shares.settings, shares.app, "next", partitions)
        with pytest.raises(NotYetError):
            asked.result(QUIET_S)
        if ends == "committed":
            producer.commit_transaction(10.0)
        else:
            producer.abort_transaction(10.0)
        found = asked.result(20.0)
    at = 20 if ends == "committed" else 10
    assert found == shares.positions(at)
    assert shares.shipped() == [b"0 to 10", b"10 to 20"][: at // 10]


def test_what_was_counted_before_a_share_moved_is_refused_after(shares: Shares) -> None:
    former, writer = shares.member(), shares.writer("former")
    wait_until("it holds all", lambda: has_all(former))
    epoch = former.epoch
    writer.begin()
    writer.write(shares.partials, b"former", b"0 to 10 of both")
    group = former.group_metadata()

    heir = shares.member()

    def parted() -> bool:
        former.poll(0.1)
        heir.poll(0.1)
        return bool(heir.tokens) and len(former.tokens | heir.tokens) == 2

    wait_until("the share has moved", parted)
    assert not former.tokens & heir.tokens
    assert former.epoch > epoch
    with pytest.raises(AbortableError):
        writer.commit(shares.positions(10), group)
    writer.abort()
    assert heir.committed([*shares.positions(0)]) == {}
    assert shares.shipped() == []


def test_a_share_that_came_back_is_another_epoch(shares: Shares) -> None:
    former = shares.member()
    wait_until("it holds all", lambda: has_all(former))
    epoch = former.epoch
    with ExitStack() as stack:
        visit = WorkerMembership(shares.settings, shares.app, "test", shares.input)
        stack.callback(visit.close)

        def parted() -> bool:
            former.poll(0.1)
            visit.poll(0.1)
            return bool(visit.tokens)

        wait_until("the share has moved", parted)
    wait_until("the share has come back", lambda: has_all(former))
    assert former.epoch >= epoch + 2
