"""The process that analyses, with stand-ins for Kafka: it keeps what workers have shipped."""

from dataclasses import dataclass, field
from threading import Event

import numpy as np
import pytest

from streamgauge.errors import StreamgaugeError
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.loop import BACKLOG, Loop
from streamgauge.runner.plan import without_labels
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.workers.analyst import Analyst
from streamgauge.runner.workers.counting import Counting
from tests.support.flights import T0, flights, planned, polled, reference_of, send
from tests.support.kafka_fakes import (
    FakeBroker,
    FakeClock,
    FakeMembership,
    FakeReader,
    FakeStateReader,
    FakeWriter,
)

PLAN = without_labels(
    planned(reference_of(flights(np.random.default_rng(1), 400, -3_600, 0)), topics={"labels": []})
)
INPUTS = [("predictions", 0), ("predictions", 1)]
PARTIALS = "streamgauge.streamgauge.partials"


@dataclass
class World:
    """A broker with a topic of partials, and processes that come and go."""

    patch: pytest.MonkeyPatch
    broker: FakeBroker = field(
        default_factory=lambda: FakeBroker(partitions={"predictions": 2, PARTIALS: 1})
    )
    clock: FakeClock = field(default_factory=FakeClock)

    def ship(self, n: int, seed: int = 1, left: int = 0) -> None:
        """Let a worker count some events and ship them, with so many left to read."""
        worker = Counting(PLAN, "w")
        worker.assign(INPUTS, 0.0)
        events = flights(np.random.default_rng(seed), n, 0, 60)
        messages = [(i % 2, send(event)) for i, event in enumerate(events)]
        worker.process(polled(messages), frozenset(), 0.0)
        for key, value in worker.ship({INPUTS[0]: left}):
            self.broker.produce(0, value, key, T0, PARTIALS)

    def run(self, kind: type[Loop], *, discard: bool = False) -> Publisher:
        """Let a process take in all there is, and stop."""
        membership = FakeMembership(self.broker)
        fakes = {
            "Membership": membership,
            "Reader": FakeReader(self.broker),
            "TransactionalWriter": FakeWriter(self.broker, membership),
            "StateReader": FakeStateReader(self.broker),
        }
        for name, fake in fakes.items():
            self.patch.setattr(f"streamgauge.runner.replica.{name}", lambda *_, fake=fake: fake)
        stop = Event()

        def turn() -> None:
            self.clock.now += 10.0

        membership.on_poll = [turn, turn, stop.set]
        publisher = Publisher(self.clock, RenderLimits(total=1_000, models={}))
        kind(PLAN, self.clock, publisher, lambda _: None, discard_state=discard).run(stop)
        return publisher

    @property
    def position(self) -> int:
        """The committed offset of the topic of partials."""
        return self.broker.offsets[PARTIALS, 0]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_it_commits_the_partials_that_it_has_taken_in(world: World) -> None:
    world.ship(300)
    assert world.run(Analyst).status.consumed == 300
    assert world.position == len(world.broker.log[PARTIALS, 0])
    assert not any(topic == "predictions" for topic, _ in world.broker.offsets)


@pytest.mark.parametrize(("left", "seldom"), [(BACKLOG, True), (BACKLOG - 1, False)])
def test_it_makes_snapshots_seldom_while_much_is_left_to_those_that_count(
    world: World, monkeypatch: pytest.MonkeyPatch, left: int, seldom: bool
) -> None:
    asked: list[bool] = []

    def due(_: Publisher, *, idle: bool = False) -> bool:
        asked.append(idle)
        return True

    monkeypatch.setattr(Publisher, "snapshot_due", due)
    world.ship(10, left=left)
    world.run(Analyst)
    assert (not all(asked)) == seldom


def test_it_goes_on_where_it_stopped(world: World) -> None:
    world.ship(300)
    world.run(Analyst)
    world.ship(200, seed=2)
    assert world.run(Analyst).status.consumed == 500


def test_it_takes_over_what_one_process_has_counted(world: World) -> None:
    for i, event in enumerate(flights(np.random.default_rng(3), 100, 0, 60)):
        sent = send(event)
        assert sent.key is not None
        world.broker.produce(i % 2, sent.value, sent.key, sent.time)
    assert world.run(Loop).status.consumed == 100
    world.ship(50)
    assert world.run(Analyst).status.consumed == 150


def test_one_process_does_not_go_on_with_the_state_of_split_roles(world: World) -> None:
    world.ship(50)
    world.run(Analyst)
    with pytest.raises(StreamgaugeError, match=r"is that of split roles.*--discard-state"):
        world.run(Loop)
    assert world.run(Loop, discard=True).status.consumed == 0


def test_discarding_the_state_leaves_out_what_is_in_the_topic(world: World) -> None:
    world.ship(300)
    assert world.run(Analyst, discard=True).status.consumed == 0
    world.ship(200, seed=2)
    assert world.run(Analyst).status.consumed == 200


def test_a_topic_of_several_partitions_is_refused(world: World) -> None:
    world.broker.partitions[PARTIALS] = 2
    with pytest.raises(StreamgaugeError, match="has 2 partitions, but what comes after what"):
        world.run(Analyst)
