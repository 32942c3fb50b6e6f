"""The loop with stand-ins for Kafka: nothing is committed that has not arrived."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import StreamgaugeError
from streamgauge.formats.state_restore import restore
from streamgauge.io.kafka.errors import BrokerError
from streamgauge.io.kafka.membership import GroupMetadata, Kept
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.dead_letters import PREFIX, DeadLetterStormError
from streamgauge.runner.loop import LOOK_FOR_PARTITIONS_S, Loop, next_batch
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.status import Phase
from tests.support.flights import MODEL, MONTH, SECOND, T0, flights, planned, reference_of, send
from tests.support.kafka_fakes import (
    FakeBroker,
    FakeClock,
    FakeMembership,
    FakeReader,
    FakeStateReader,
    FakeWriter,
    Partition,
)

REFERENCE = reference_of(flights(np.random.default_rng(1), 4_000, -MONTH, 0))
P0, P1 = ("predictions", 0), ("predictions", 1)
Turn = Callable[[], None]


def nothing() -> None:
    """A turn in which the world stays as it is."""


@dataclass
class World:
    """A broker, a replica and the clock that both live by."""

    patch: pytest.MonkeyPatch
    broker: FakeBroker = field(default_factory=FakeBroker)
    clock: FakeClock = field(default_factory=FakeClock)
    took: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.discard = False
        self.restart()

    def restart(self) -> None:
        """Give the replica's process another life."""
        self.membership = FakeMembership(self.broker)
        self.reader = FakeReader(self.broker)
        self.writer = FakeWriter(self.broker, self.membership)
        self.state = FakeStateReader(self.broker)
        self.publisher = Publisher(self.clock, RenderLimits(total=1_000, models={}))

    def run(self, *turns: Turn, seconds: float = 1.0) -> None:
        """Run a loop for as many turns, each after something has happened; then stop it."""
        for name, fake in (
            ("Membership", self.membership),
            ("Reader", self.reader),
            ("TransactionalWriter", self.writer),
            ("StateReader", self.state),
        ):
            self.patch.setattr(f"streamgauge.runner.replica.{name}", lambda *_, fake=fake: fake)
        self.stop = stop = Event()

        def happens(turn: Turn) -> None:
            self.clock.now += seconds
            turn()

        self.membership.on_poll = [*(partial(happens, turn) for turn in turns), stop.set]
        plan = planned(REFERENCE, **self.settings)
        loop = Loop(plan, self.clock, self.publisher, self.took.append, discard_state=self.discard)
        self.discard = False
        loop.run(stop)

    def produce(self, n: int, *, begin: float = 0, end: float = 20, seed: int = 1) -> None:
        """Append good events, to the two partitions in turn."""
        events = flights(np.random.default_rng(seed), n, begin, end)
        for i, event in enumerate(events):
            self.append(i % 2, event)

    def append(self, partition: int, event: dict[str, Any]) -> None:
        """Append one event to a partition."""
        sent = send(event)
        assert sent.key is not None
        self.broker.produce(partition, sent.value, sent.key, sent.time)

    def produce_bad(self, n: int) -> None:
        for i in range(n):
            self.broker.produce(i % 2, b"{", f"bad{i}".encode(), T0)

    def held(self) -> dict[Partition, int]:
        """How many messages each partition of the input has."""
        return {partition: len(messages) for partition, messages in self.broker.log.items()}

    def letters(self) -> list[tuple[int, int]]:
        """Where the messages of the written dead letters were: partition and offset."""
        found = []
        for topic, _, _, headers in self.broker.written:
            if topic == "streamgauge.dead-letters":
                facts = {name: value for name, value in headers if value is not None}
                found.append(tuple(int(facts[PREFIX + n]) for n in ("partition", "offset")))
        return [(a, b) for a, b in found]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_replica_that_is_not_active_any_more_once_it_has_read_the_state_stands_by(
    world: World,
) -> None:
    world.produce(20)

    def loses() -> None:
        world.membership.active = False

    world.state.on_read = loses
    world.run(nothing, nothing, nothing)
    assert world.broker.offsets == {}
    assert not any(what.startswith("poll") for what in world.broker.journal)
    world.restart()
    world.state.on_read = nothing
    world.run(nothing)
    assert world.broker.offsets == world.held()


def test_a_stop_is_not_held_up_by_a_takeover(world: World) -> None:
    world.produce(20)

    def stops() -> None:
        world.stop.set()

    world.state.on_read = stops
    world.run(nothing, nothing, nothing)
    assert world.broker.offsets == {}
    assert not any(what.startswith("poll") for what in world.broker.journal)
    assert world.publisher.status.phase is Phase.STOPPED


def test_the_group_is_served_while_a_commit_takes_long(world: World) -> None:
    world.produce(20)
    served: list[bool] = []
    world.writer.on_commit = lambda: served.append(world.membership.is_attended)
    world.run(nothing)
    assert served == [True]


def test_everything_read_is_committed_when_it_stops(world: World) -> None:
    world.produce(70)
    world.run(nothing)
    assert world.broker.offsets == world.held() == {P0: 35, P1: 35}
    status = world.publisher.status
    assert status.phase is Phase.STOPPED
    assert (status.consumed, status.accepted) == (70, 70)
    assert world.broker.journal[-3:] == ["close writer", "close reader", "leave"]
    snapshot = world.publisher.snapshot()
    assert snapshot is not None
    assert snapshot.models[0].last_event is not None


def test_results_state_and_offsets_are_committed_together(world: World) -> None:
    def check() -> None:
        world.produce(20)
        world.produce_bad(6)

    committed = world.writer.commit

    def commit(positions: dict[Partition, Kept], group: GroupMetadata) -> None:
        committed(positions, group)
        assert len(world.letters()) == sum(
            message.raw_value == b"{"
            for partition, kept in positions.items()
            for message in world.broker.log[partition][: kept.offset]
        )
        restored = restore(world.broker.state, "streamgauge")
        assert restored is not None
        assert restored.manifest.positions == positions
        counted = restored.kept["counts"]
        assert counted["consumed"] == sum(kept.offset for kept in positions.values())

    world.patch.setattr(world.writer, "commit", commit)
    world.run(*[check] * 30)
    assert world.broker.journal.count("commit") >= 5
    assert world.broker.offsets == world.held()


def test_what_cannot_be_committed_is_done_again_once_it_can(world: World) -> None:
    def mend() -> None:
        world.writer.broken = False

    world.produce(30)
    world.produce_bad(4)
    world.writer.broken = True
    world.run(*[nothing] * 15, mend, *[nothing] * 10)
    assert world.broker.offsets == world.held()
    assert world.broker.journal.count("fence") > 1
    assert len(world.letters()) == 4
    # The counts are those of one life, however often it was begun.
    assert world.publisher.status.consumed == 34


def test_a_stop_without_a_broker_loses_nothing_that_was_committed(world: World) -> None:
    world.produce(10)
    world.run(nothing)
    world.restart()
    world.produce_bad(4)
    world.writer.broken = True
    world.run(*[nothing] * 3)
    assert world.broker.offsets == {P0: 5, P1: 5}
    assert world.publisher.status.phase is Phase.STOPPED
    assert world.letters() == []


def test_a_crash_repeats_nothing_and_loses_nothing(world: World) -> None:
    world.produce(40)
    world.run(nothing)
    before = dict(world.broker.offsets)
    world.restart()
    world.produce_bad(10)
    crash = RuntimeError("killed")

    def die() -> None:
        raise crash

    with pytest.raises(RuntimeError, match="killed"):
        world.run(nothing, nothing, die)
    assert world.broker.offsets == before
    world.restart()
    world.run(nothing)
    assert world.reader.started == [(before, True)]
    assert world.broker.offsets == world.held()
    assert len(world.letters()) == 10
    # State goes on: what was counted before the crash is counted still, once.
    assert world.publisher.status.consumed == 50
    snapshot = world.publisher.snapshot()
    assert snapshot is not None
    counters = snapshot.models[0].counters
    assert counters is not None
    whole = [i for i, key in enumerate(counters.rows) if not key.slice]
    status = counters.counts[whole, :2].sum()
    assert status == 40


def test_a_fenced_replica_that_is_still_active_takes_over_again(world: World) -> None:
    def free() -> None:
        world.membership.fenced = False

    world.produce(10)
    world.membership.fenced = True
    world.run(*[nothing] * 10, free, *[nothing] * 10)
    assert world.broker.offsets == world.held()
    assert world.publisher.status.consumed == 10


def test_offsets_that_somebody_moved_are_refused(world: World) -> None:
    world.produce(10)
    world.run(nothing)
    world.restart()
    world.broker.offsets[P0] = 2
    with pytest.raises(StreamgaugeError, match="offset is 2, but the state was counted up to 5"):
        world.run(nothing)


def test_a_discarded_state_is_cleared_and_counting_goes_on_from_the_offsets(world: World) -> None:
    world.produce(10)
    world.run(nothing)
    world.restart()
    world.broker.offsets[P0] = 2
    world.discard = True
    world.run(nothing)
    assert world.publisher.status.consumed == 3
    world.restart()
    world.run(nothing)
    assert world.publisher.status.consumed == 3


def test_a_damaged_state_is_refused(world: World) -> None:
    world.produce(10)
    world.run(nothing)
    for key, (offset, value) in list(world.broker.state.items()):
        world.restart()
        broken = bytearray(value)
        broken[len(broken) // 2] ^= 1
        world.broker.state[key] = offset, bytes(broken)
        with pytest.raises(StreamgaugeError, match="--discard-state"):
            world.run(nothing)
        world.broker.state[key] = offset, value


def test_a_model_that_is_configured_otherwise_begins_anew_and_others_go_on(world: World) -> None:
    world.settings = {"known": ("flight-delay", "tours")}
    world.produce(20)
    for i, event in enumerate(flights(np.random.default_rng(2), 20, 0, 20, model="tours")):
        world.append(i % 2, event)
    world.run(nothing)
    world.restart()
    config = dict(MODEL)
    world.patch.setitem(MODEL, "windows", ["1m", "5m"])
    assert config["windows"] != MODEL["windows"]
    world.run(nothing)
    snapshot = world.publisher.snapshot()
    assert snapshot is not None
    assert all(model.last_event is None for model in snapshot.models)
    assert world.publisher.status.consumed == 40


def test_checkpoints_come_at_their_interval(world: World) -> None:
    world.settings = {"checkpoint_interval": "5s"}
    world.run(*[lambda: world.produce(2)] * 21)
    # Turns 1 to 21 are a second apart, the first begins; the last one, at the end, has nothing new.
    assert world.broker.journal.count("commit") == 4
    assert world.publisher.status.checkpoints == 5
    assert len(world.took) == 5
    assert world.publisher.status.last_checkpoint == world.clock.wall()


def test_offsets_that_have_not_moved_are_not_committed_again(world: World) -> None:
    world.produce(10)
    world.run(*[nothing] * 30)
    # Time goes on when partitions are quiet, which is a change of state once or twice.
    assert world.broker.journal.count("commit") <= 3
    assert world.publisher.status.checkpoints > 5


def test_a_replica_that_finds_nothing_new_commits_nothing(world: World) -> None:
    world.produce(10)
    world.run(nothing)
    world.restart()
    before = world.broker.journal.count("commit")
    world.run(*[nothing] * 10)
    assert world.broker.journal.count("commit") == before


@pytest.mark.parametrize(("start", "beginning"), [("earliest", True), ("latest", False)])
def test_a_new_group_begins_where_it_is_told_to(world: World, start: str, beginning: bool) -> None:
    world.settings = {"start": start}
    world.run(nothing)
    assert world.reader.started == [({}, beginning)]


def test_a_standby_does_nothing(world: World) -> None:
    world.produce(10)
    world.membership.active = False
    world.run(*[nothing] * 20)
    assert world.broker.journal == ["close writer", "close reader", "leave"]
    assert world.broker.offsets == {}
    assert world.publisher.snapshot() is None


def test_a_standby_says_so_once_it_has_joined(world: World) -> None:
    seen: list[Phase] = []
    world.membership.active = world.membership.joined = False

    def join() -> None:
        world.membership.joined = True

    def look() -> None:
        seen.append(world.publisher.status.phase)

    world.run(nothing, look, join, look)
    assert seen == [Phase.STARTING, Phase.STANDBY]


def test_a_replica_that_is_taken_over_from_forgets_what_it_knew(world: World) -> None:
    def lose() -> None:
        world.membership.active = False

    def win() -> None:
        world.membership.active = True

    world.produce(80)
    world.run(nothing, lose, nothing, win)
    assert world.broker.journal.count("stop reading") == 2
    assert world.reader.started == [({}, True)] * 2
    assert world.broker.offsets == world.held()
    # What was read before the takeover and never committed is read and counted once more.
    assert world.publisher.status.consumed == 80


def test_a_lost_replica_commits_nothing_of_what_it_had_read(world: World) -> None:
    def lose() -> None:
        world.membership.active = False

    world.produce(80)
    world.run(nothing, lose, nothing)
    assert world.broker.offsets == {}
    assert world.publisher.status.phase is Phase.STOPPED


def test_partitions_that_are_added_are_read_from_their_beginning(world: World) -> None:
    def add() -> None:
        world.broker.partitions["predictions"] = 3
        world.append(2, flights(np.random.default_rng(9), 1, 0, 20)[0])

    world.produce(10)
    world.run(nothing, add, *[nothing] * 4, seconds=LOOK_FOR_PARTITIONS_S / 2)
    assert world.broker.offsets == world.held()
    assert len(world.broker.offsets) == 3
    assert world.publisher.status.consumed == 11


def test_an_added_partition_holds_time_back_until_it_is_known_to_be_quiet(world: World) -> None:
    seen: list[int | None] = []

    def add() -> None:
        world.broker.partitions["predictions"] = 3

    def later() -> None:
        world.produce(4, begin=300, end=320)

    def look() -> None:
        seen.append(world.publisher.status.watermark)

    world.produce(10)
    turns = (nothing, add, nothing, later, look, look, look)
    world.run(*turns, seconds=LOOK_FOR_PARTITIONS_S / 2)
    # The new partition is followed from the third turn on, and may be idle two turns later.
    assert seen[0] is not None
    assert seen[0] < T0 + 20 * SECOND
    assert seen[-1] is not None
    assert seen[-1] > T0 + 280 * SECOND


def test_a_storm_of_dead_letters_stops_before_it_is_committed(world: World) -> None:
    world.settings = {"events": {"dead_letter_storm": {"min_events": 20, "ratio": 0.5}}}
    world.produce(4)
    world.produce_bad(60)
    with pytest.raises(DeadLetterStormError):
        world.run(*[nothing] * 20)
    assert world.broker.offsets == {}


def test_dead_letters_are_written_with_their_keys(world: World) -> None:
    world.settings = {"events": {"dead_letter_payload": "full"}}
    world.produce(6)
    world.produce_bad(2)
    world.run(nothing)
    bad = [w for w in world.broker.written if w[0] == "streamgauge.dead-letters"]
    assert [(key, value) for _, key, value, _ in bad] == [(b"bad0", b"{"), (b"bad1", b"{")]
    assert sorted(world.letters()) == [(0, 3), (1, 3)]
    assert world.publisher.status.rejected == {"decode": 2}


def test_alerts_are_written_to_their_topic(world: World) -> None:
    world.reader.most = 200
    events = flights(np.random.default_rng(5), 2_000, 0, 300)
    for i, event in enumerate(events):
        distance = event.get("features", {}).get("distance")
        if isinstance(distance, float) and event["timestamp"] > T0 + 120 * SECOND:
            event["features"]["distance"] = distance * 1.5
        world.append(i % 2, event)
    # Nothing is published before the end: the alerts are what is asked for here.
    world.patch.setattr(world.publisher, "publish", lambda *_, **__: None)
    world.run(*[nothing] * 8)
    alerts = [w for w in world.broker.written if w[0] == "streamgauge.alerts"]
    assert alerts
    _, key, written, headers = alerts[0]
    assert written is not None
    body = json.loads(written)
    assert key == body["fingerprint"].encode()
    assert (body["model"], body["status"]) == ("flight-delay", "firing")
    assert ("ce_type", b"io.streamgauge.alert.v1") in headers


def test_a_partition_that_runs_far_ahead_is_held_back(world: World) -> None:
    world.reader.most = 5
    far = flights(np.random.default_rng(3), 20, 20_000, 20_020)
    near = flights(np.random.default_rng(4), 20, 0, 20)
    for partition, events in ((0, near), (1, far)):
        for event in events:
            world.append(partition, event)
    paused: list[frozenset[int]] = []
    world.run(nothing, lambda: paused.append(world.reader.paused))
    assert paused == [frozenset({1})]
    assert world.broker.offsets == {P0: 10, P1: 5}
    assert world.publisher.status.paused == 1
    assert world.publisher.status.lag == {P0: 10, P1: 15}


def test_what_is_held_back_is_read_once_the_others_are_done(world: World) -> None:
    """The slow partition falls idle, time moves on to the fast one, and it is let go."""
    world.reader.most = 5
    test_a_partition_that_runs_far_ahead_is_held_back(world)
    world.restart()
    world.reader.most = 5
    world.run(*[nothing] * 60)
    assert world.broker.offsets == world.held()


def test_every_message_is_accounted_for_in_the_status(world: World) -> None:
    world.produce(30)
    world.produce_bad(5)
    world.broker.produce(0, None, b"gone", T0)
    world.broker.produce(1, b'{"model": "nobody\'s"}', b"x", T0)
    world.run(nothing)
    status = world.publisher.status
    assert status.consumed == 37
    assert status.accepted == 30
    assert status.rejected == {"decode": 5}
    assert (status.tombstones, status.unknown_models) == (1, 1)
    assert status.lag == {P0: 0, P1: 0}


def test_slow_turns_take_in_less_and_quick_ones_more_within_bounds() -> None:
    assert next_batch(20_000, 0.6) == 10_000
    assert next_batch(600, 9.0) == 500
    assert next_batch(4_000, 0.3) == 4_000
    assert next_batch(4_000, 0.1) == 8_000
    assert next_batch(16_000, 0.0) == 20_000


def test_a_broker_that_is_away_when_partitions_are_looked_for_ends_nothing(world: World) -> None:
    def away() -> None:
        def refuse(*_: Any, **__: Any) -> list[Partition]:
            raise BrokerError("kafka: looking up topic predictions: no answer")

        world.patch.setattr(world.reader, "partitions_of", refuse)

    world.produce(10)
    world.run(nothing, away, *[nothing] * 4, seconds=LOOK_FOR_PARTITIONS_S / 2)
    assert world.broker.offsets == world.held()
