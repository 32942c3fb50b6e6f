"""The state machine that hypothesis drives: everything that may happen, one rule each."""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.simulation import events
from tests.support.simulation.events import Fate
from tests.support.simulation.faults import Fault
from tests.support.simulation.replica import Replica
from tests.support.simulation.world import World

CALLS: Final = (
    "init",
    "topics",
    "committed",
    "state",
    "ends",
    "consume",
    "produce",
    "offsets",
    "commit",
    "flush",
    "poll",
    "close",
)
"""The calls before which a process can be held, in the order of its life."""
MOST_REPLICAS: Final = 3
FOREIGN: Final = "foreign"
FOREIGN_S: Final = 45.0
"""How long a foreign transaction stays open; readers of the state wait longer."""

which = st.integers(0, MOST_REPLICAS - 1)
hosts = st.integers(0, 1)


class Simulation(RuleBasedStateMachine):
    """Replicas, and a broker; after every rule the log is recounted."""

    breakage: Callable[[pytest.MonkeyPatch], Any] = staticmethod(lambda _: None)
    """A bug to put into the product."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.patch = pytest.MonkeyPatch()
        self.breakage(self.patch)
        self.world = World(self.patch)
        self.time = events.T0
        self.number = 0
        self.versions: dict[str, int] = {}
        self.foreign: int | None = None

    @initialize(eager=st.booleans(), fetch=st.integers(1, 20), reads_ahead=st.booleans())
    def begin(self, eager: bool, fetch: int, reads_ahead: bool) -> None:
        self.world.eager, self.world.fetch = eager, fetch
        self.world.reads_ahead = reads_ahead
        self.world.start(0)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.world.drain()
        finally:
            self.world.close()
            self.patch.undo()
            logging.disable(logging.NOTSET)

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        self.world.checker.check()

    # What is sent.

    @rule(
        count=st.integers(1, 40),
        kind=st.integers(0, 5),
        spread=st.sampled_from([20, 300]),
        turns=st.integers(0, 20),
    )
    def predict(self, count: int, kind: int, spread: int, turns: int) -> None:
        for _ in range(count):
            self.number += 1
            self.time += spread
            self.world.send(events.prediction(self.name(0), self.time, kind))
        self.all_take_turns(turns)

    @rule(
        back=st.integers(-2, 30),
        count=st.integers(1, 15),
        truth=st.integers(0, 1),
        turns=st.integers(0, 20),
    )
    def label(self, back: int, count: int, truth: int, turns: int) -> None:
        """Label recent predictions, or some that are still to come; the next time correct it."""
        for i in range(count):
            name = self.name(back + i)
            version = self.versions[name] = self.versions.get(name, -1) + 1
            self.world.send(events.label(name, self.time, truth, version))
        self.all_take_turns(turns)

    @rule(
        back=st.integers(0, 20),
        truth=st.none() | st.integers(0, 1),
        late=st.sampled_from([0, 15_000, 60_000]),
    )
    def send_again(self, back: int, truth: int | None, late: int) -> None:
        """Send a label or, with no truth, a prediction for the second time, or late."""
        name, time = self.name(back), self.time - late
        again = events.prediction(name, time, 1) if truth is None else None
        self.world.send(again or events.label(name, time, truth or 0, 0))

    @rule(
        topic=st.sampled_from([events.PREDICTIONS, events.LABELS]),
        name=st.integers(0, 9),
        fate=st.sampled_from([f for f in Fate if f is not Fate.ACCEPTED]),
        count=st.integers(1, 3),
    )
    def send_what_is_not_counted(self, topic: str, name: int, fate: Fate, count: int) -> None:
        for _ in range(count):
            self.world.send(events.bad(topic, f"bad{name}", fate))

    @rule(count=st.integers(1, 3), commit=st.booleans())
    def predict_in_a_transaction(self, count: int, commit: bool) -> None:
        sent = []
        for _ in range(count):
            self.number += 1
            self.time += 100
            sent.append(events.prediction(self.name(0), self.time, 0))
        self.world.send_together(sent, commit=commit)

    def name(self, back: int) -> str:
        return f"p{max(self.number - back, 0)}"

    # What processes do.

    def replica(self, number: int) -> Replica | None:
        awake = self.awake()
        return awake[number % len(awake)] if awake else None

    def awake(self) -> list[Replica]:
        """Return the processes that can do anything; if there are none, one begins or goes on."""
        if all(replica.frozen for replica in self.world.replicas):
            if len(self.world.replicas) < MOST_REPLICAS:
                self.world.start(0)
            else:
                self.world.thaw(self.world.replicas[0], 3)
        return [replica for replica in self.world.replicas if not replica.frozen]

    def all_take_turns(self, count: int) -> None:
        for replica in self.awake():
            self.world.turns(replica, count)

    @rule(number=which, count=st.integers(1, 30))
    def take_turns(self, number: int, count: int) -> None:
        if (replica := self.replica(number)) is not None:
            self.world.turns(replica, count)

    @rule(number=which, count=st.integers(1, 12))
    def take_steps(self, number: int, count: int) -> None:
        if (replica := self.replica(number)) is not None:
            self.world.steps(replica, count)

    @rule(number=which, call=st.sampled_from(CALLS))
    def go_as_far_as(self, number: int, call: str) -> None:
        if (replica := self.replica(number)) is not None:
            self.world.run_to(replica, call)

    @rule(
        number=which,
        call=st.sampled_from(CALLS),
        after=st.integers(0, 2),
        host=hosts,
        seconds=st.sampled_from([0, 2, 11]),
        turns=st.integers(0, 20),
    )
    def crash_before(
        self, number: int, call: str, after: int, host: int, seconds: float, turns: int
    ) -> None:
        """Crash at a call or just after, and let another process begin, then or later."""
        replica = self.replica(number)
        if replica is None:
            return
        self.world.run_to(replica, call)
        if after and not replica.done:
            self.world.steps(replica, after)
        if not replica.done:
            self.world.crash(replica)
        self.world.start(host)
        self.world.pass_time(seconds)
        self.all_take_turns(turns)

    @rule(seconds=st.sampled_from([-1e8, -3_600.0, 0.0, 3_600.0, 1e8]), turns=st.integers(0, 20))
    def set_the_wall_clock(self, seconds: float, turns: int) -> None:
        """Step the wall clock, so that it is so far ahead."""
        self.world.wall_is_ahead_s = seconds
        self.all_take_turns(turns)

    @precondition(lambda self: len(self.world.replicas) < MOST_REPLICAS)
    @rule(host=hosts)
    def start(self, host: int) -> None:
        self.world.start(host)

    @rule(number=which, politely=st.booleans())
    def end(self, number: int, politely: bool) -> None:
        if (replica := self.replica(number)) is not None:
            (self.world.stop if politely else self.world.crash)(replica)

    @rule(
        number=which,
        call=st.sampled_from(CALLS),
        seconds=st.sampled_from([0, 2, 11]),
        turns=st.integers(0, 20),
    )
    def freeze_before(self, number: int, call: str, seconds: float, turns: int) -> None:
        replica = self.replica(number)
        if replica is None:
            return
        self.world.run_to(replica, call)
        if not replica.done:
            self.world.freeze(replica)
        self.world.pass_time(seconds)
        self.all_take_turns(turns)

    @precondition(lambda self: any(r.frozen for r in self.world.replicas))
    @rule(deaf=st.integers(0, 12))
    def thaw(self, deaf: int) -> None:
        frozen = next(r for r in self.world.replicas if r.frozen)
        self.world.thaw(frozen, deaf)

    # What the broker does.

    @rule(seconds=st.sampled_from([0.5, 3, 9, 11, 30]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(number=which, deaf=st.integers(0, 12))
    def lose_the_session(self, number: int, deaf: int) -> None:
        replica = self.replica(number)
        if replica is not None and replica.member is not None:
            replica.deaf = deaf
            self.world.broker.group.lose(replica.member)

    @rule()
    def rebalance(self) -> None:
        self.world.broker.group.rebalance()

    @rule(
        call=st.sampled_from(["commit", "offsets", "produce", *CALLS[:6]]),
        fault=st.sampled_from([Fault.NO_REQUEST, Fault.NO_ANSWER, Fault.BROKEN]),
        times=st.sampled_from([1, 3, 60]),
        turns=st.integers(0, 20),
    )
    def fail(self, call: str, fault: Fault, times: int, turns: int) -> None:
        planned = self.world.faults.planned
        planned.pop(call, None)
        if fault is not Fault.BROKEN or call in ("commit", "offsets", "produce"):
            self.world.faults.plan(call, fault, times)
        self.all_take_turns(turns)

    @rule(number=which)
    def hold_up_a_commit(self, number: int) -> None:
        """Let a request to commit be on its way until `arrive`."""
        self.world.faults.planned.pop("commit", None)
        self.world.faults.plan("commit", Fault.DELAYED)
        if (replica := self.replica(number)) is not None:
            self.world.run_to(replica, "commit")

    @precondition(lambda self: self.world.broker.in_flight)
    @rule()
    def arrive(self) -> None:
        self.world.broker.arrive()

    @rule(seconds=st.sampled_from([0, 0.3, 5, 15]))
    def go_down(self, seconds: float) -> None:
        """Let the broker be away for a while; else let all be well."""
        self.world.faults.clear()
        self.world.faults.down_until = self.world.broker.now + seconds

    @rule(tombstones=st.booleans())
    def compact(self, tombstones: bool) -> None:
        self.world.broker.logs[events.STATE, 0].compact(tombstones=tombstones)

    @rule(turns=st.integers(0, 20))
    def open_or_abort_a_foreign_transaction(self, turns: int) -> None:
        """Somebody writes to the state topic, who will never commit."""
        broker = self.world.broker
        epoch = broker.init(FOREIGN)
        if self.foreign is None:
            broker.produce(FOREIGN, epoch, FOREIGN_S, (events.STATE, 0), [(b"x", b"y", [])])
        self.foreign = epoch if self.foreign is None else None
        self.all_take_turns(turns)

    # What happens to disks.

    @rule(host=hosts, what=st.sampled_from(["keep", "put back", "lose"]))
    def change_a_disk(self, host: int, what: str) -> None:
        """Keep a copy of a disk, or put one in the place of it, or empty it."""
        if what == "keep":
            self.world.keep_disk(host)
        elif not self.world.on_host(host):
            if what == "lose" or not self.world.old_disks:
                self.world.disks[host].flushed.clear()
            else:
                self.world.put_back_disk(host)
