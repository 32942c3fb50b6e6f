"""A worker with stand-ins for Kafka: every event is shipped once, whoever holds its token."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import StreamgaugeError
from streamgauge.formats.partials import InputClock, Progress, Sent, decode
from streamgauge.io.kafka.errors import NotMemberError
from streamgauge.io.kafka.membership import GroupMetadata, Kept
from streamgauge.io.kafka.reader import Poll
from streamgauge.io.kafka.reading_ahead import Prepare
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.plan import without_labels
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.status import Phase
from streamgauge.runner.workers.counting import MOST_PANES_APART
from streamgauge.runner.workers.worker import Worker
from tests.support.flights import T0, flights, planned, reference_of, send
from tests.support.kafka_fakes import (
    FakeBroker,
    FakeClock,
    FakeMembership,
    FakeReader,
    FakeWriter,
    Partition,
)

PLAN = without_labels(
    planned(reference_of(flights(np.random.default_rng(1), 400, -3_600, 0)), topics={"labels": []})
)
P0, P1 = ("predictions", 0), ("predictions", 1)
PARTIALS = "streamgauge.streamgauge.partials"
Turn = Callable[[], None]


@dataclass
class Tokens(FakeMembership):
    """A member of the workers' group with the tokens that a test gives it."""

    tokens: frozenset[int] = frozenset({0, 1})

    def poll(self, timeout: float) -> bool:
        super().poll(timeout)
        return bool(self.tokens)


@dataclass
class World:
    """A broker and a worker."""

    patch: pytest.MonkeyPatch
    broker: FakeBroker = field(default_factory=FakeBroker)
    clock: FakeClock = field(default_factory=FakeClock)
    others: dict[Partition, Kept] = field(default_factory=dict)
    """What the group of one process has committed."""

    def __post_init__(self) -> None:
        self.membership = Tokens(self.broker)
        self.reader = FakeReader(self.broker)
        self.writer = FakeWriter(self.broker, self.membership)
        self.publisher = Publisher(self.clock, RenderLimits(total=1_000, models={}))

    def run(self, *turns: Turn) -> None:
        """Run a worker for as many turns of 2 s, each after something has happened."""
        module = "streamgauge.runner.workers.worker"
        self.patch.setattr("streamgauge.runner.replica.Reader", lambda *_: self.reader)
        self.patch.setattr(f"{module}.WorkerMembership", lambda *_: self.membership)
        self.patch.setattr(f"{module}.TransactionalWriter", lambda *_: self.writer)
        self.patch.setattr(
            f"{module}.committed_by",
            lambda *args: {p: self.others[p] for p in args[-1] if p in self.others},
        )
        stop = Event()

        def happens(turn: Turn) -> None:
            self.clock.now += 2.0
            turn()

        self.membership.on_poll = [*(partial(happens, turn) for turn in turns), stop.set]
        Worker(PLAN, self.clock, self.publisher, lambda _: None).run(stop)

    def produce(self, n: int, seed: int = 1) -> None:
        """Append events, to the two partitions in turn."""
        for i, event in enumerate(flights(np.random.default_rng(seed), n, 0, 20)):
            sent = send(event)
            assert sent.key is not None
            self.broker.produce(i % 2, sent.value, sent.key, sent.time)

    def shipped(self) -> list[Sent | Progress]:
        return [decode(value) for topic, _, value, _ in self.broker.written if topic == PARTIALS]

    def counted(self) -> int:
        """How many events the shipped counts hold."""
        total = 0
        for message in self.shipped():
            if isinstance(message, Sent):
                content = message.content
                whole = {i for i, key in enumerate(content.keys) if not key.slice}
                for _, block in content.partial.pieces:
                    mine = np.isin(block.rows, [*whole])
                    # The first field is the status: every event has one.
                    total += int(block.counts[mine][:, :2].sum())
        return total

    def consumed(self) -> int:
        """How many events the shipped progress tells of."""
        found = (m.counts["consumed"] for m in self.shipped() if isinstance(m, Progress))
        return sum(found)


def nothing() -> None:
    """A turn in which the world stays as it is."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_everything_read_is_shipped_with_its_offsets(world: World) -> None:
    world.produce(70)
    world.run(nothing)
    assert world.broker.offsets == {P0: 35, P1: 35}
    assert world.consumed() == world.counted() == 70
    assert world.publisher.status.phase is Phase.STOPPED


@pytest.mark.parametrize(("backlog", "shipments"), [(1_000, 7), (10, 4)])
def test_with_a_backlog_shipments_are_fewer(
    world: World, monkeypatch: pytest.MonkeyPatch, backlog: int, shipments: int
) -> None:
    monkeypatch.setattr("streamgauge.runner.loop.BACKLOG", backlog)
    world.reader.most = 5
    world.produce(100)
    world.run(*[nothing] * 7)
    assert sum(isinstance(m, Progress) for m in world.shipped()) == shipments
    assert world.consumed() == world.counted() == 70


def test_dead_letters_go_in_the_same_transaction(world: World) -> None:
    world.produce(10)
    world.broker.produce(0, b"{", b"bad", T0)
    world.run(nothing)
    topics = [topic for topic, *_ in world.broker.written]
    assert topics.count("streamgauge.dead-letters") == 1
    assert world.broker.journal.count("commit") == 1


def test_progress_is_told_last_and_though_nothing_comes(world: World) -> None:
    world.produce(10)
    world.run(nothing, nothing, nothing)
    last = world.shipped()[-1]
    assert isinstance(last, Progress)
    assert {clock[:2] for clock in last.clocks} == {P0, P1}
    assert all(clock.drained and clock.largest is None for clock in last.clocks)
    first = next(m for m in world.shipped() if isinstance(m, Progress))
    assert all(isinstance(c, InputClock) and c.largest is not None for c in first.clocks)


def test_a_worker_reads_the_partitions_of_its_tokens_alone(world: World) -> None:
    world.produce(40)
    world.membership.tokens = frozenset({1})
    world.run(nothing, nothing)
    assert world.reader.started[0] == ({}, True)
    assert world.broker.offsets == {P1: 20}
    assert world.counted() == 20


def test_tokens_that_move_take_along_what_is_not_shipped(world: World) -> None:
    world.produce(20)

    def lose() -> None:
        world.membership.tokens = frozenset({0})

    def regain() -> None:
        world.membership.tokens = frozenset({0, 1})

    world.run(nothing, lambda: world.produce(20, 2), lose, nothing, regain, nothing, nothing)
    assert world.broker.offsets == {P0: 20, P1: 20}
    assert world.consumed() == world.counted() == 40
    assert world.publisher.status.consumed == 40, "as of one life"


def test_tokens_that_went_and_came_back_unseen_void_what_is_not_shipped(world: World) -> None:
    world.produce(20)

    def another_reads_meanwhile() -> None:
        world.membership.epoch += 2
        world.broker.offsets |= {P0: 10, P1: 10}

    world.run(nothing, another_reads_meanwhile, lambda: world.produce(6, 2), nothing)
    assert world.broker.offsets == {P0: 13, P1: 13}
    assert world.consumed() == world.counted() == 6, "the other has shipped the rest"


def test_tokens_that_go_while_a_life_begins_void_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(20)
    committed = world.membership.committed

    def told_too_late(wanted: list[Partition], patience: float = 0.0) -> dict[Partition, Kept]:
        found = committed(wanted, patience)
        if not world.reader.started:
            world.membership.epoch += 2
            world.broker.offsets |= {P0: 10, P1: 10}
        return found

    monkeypatch.setattr(world.membership, "committed", told_too_late)
    world.run(nothing, nothing, nothing)
    assert world.counted() == 0
    assert [offsets for offsets, _ in world.reader.started] == [{}, {P0: 10, P1: 10}]


def test_nothing_is_shipped_of_a_life_that_is_void(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(20)
    poll = world.reader.poll

    def meanwhile(most: int, prepare: Prepare | None = None) -> Poll:
        world.membership.epoch += 2
        return poll(most)

    monkeypatch.setattr(world.reader, "poll", meanwhile)
    world.run(nothing, nothing)
    assert world.broker.written == []


def test_what_a_moved_group_refuses_is_counted_again_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(30)
    commit = world.writer.commit
    refusals = iter([True, True])

    def refused(positions: Any, group: GroupMetadata) -> None:
        if next(refusals, False):
            raise NotMemberError("kafka: the group has moved on")
        commit(positions, group)

    monkeypatch.setattr(world.writer, "commit", refused)
    world.run(*[nothing] * 8)
    assert world.broker.offsets == {P0: 15, P1: 15}
    assert world.consumed() == world.counted() == 30


def test_workers_go_on_where_one_process_has_stopped(world: World) -> None:
    world.produce(40)
    world.others = {P0: Kept(10, 10), P1: Kept(15, 15)}
    world.run(nothing)
    assert world.counted() == 40 - 25


def test_without_tokens_it_stands_by(world: World) -> None:
    world.produce(10)
    world.membership.tokens = frozenset()
    seen: list[Phase] = []
    world.run(nothing, lambda: seen.append(world.publisher.status.phase))
    assert seen == [Phase.STANDBY]
    assert world.broker.written == []


def test_a_topic_that_is_wider_than_the_first_is_refused(world: World) -> None:
    plan = PLAN.config.topics.model_copy(update={"predictions": ("predictions", "more")})
    config = PLAN.config.model_copy(update={"topics": plan})
    world.broker.partitions = {"predictions": 2, "more": 3}
    world.patch.setattr("tests.unit.test_worker.PLAN", replace(PLAN, config=config))
    with pytest.raises(StreamgaugeError, match="topic more has more than the 2 partitions"):
        world.run(nothing, nothing)


def test_what_others_have_had_to_read_for_long_is_waited_for(world: World) -> None:
    world.membership.tokens = frozenset({0})
    begin, apart = T0, (MOST_PANES_APART + 1) * 10
    for partition, second in ((0, apart), (1, 0), (1, 1)):
        [event] = flights(np.random.default_rng(second), 1, second, second + 1)
        sent = send(event)
        assert sent.key is not None
        world.broker.produce(partition, sent.value, sent.key, sent.time)
    kept = {P1: Kept(1, 1, begin)}
    committed = world.membership.committed
    world.patch.setattr(
        world.membership,
        "committed",
        lambda wanted, *_: committed(wanted) | {p: kept[p] for p in wanted if p in kept},
    )
    paused: list[frozenset[int]] = []

    def look() -> None:
        paused.append(world.reader.paused)

    def read() -> None:
        kept[P1] = Kept(2, 2, begin)

    world.run(*[look] * 10, read, *[look] * 3)
    assert paused[:6] == [frozenset()] * 6, "it may only not be committed yet"
    assert paused[9] == frozenset({0})
    assert paused[-1] == frozenset(), "nothing is left to read"
