"""World: the broker, processes that take turns, their disks, time, and all that goes wrong."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

import pytest

from streamgauge.core import detection
from streamgauge.core.detectors.tolerance import Tolerance, measure_tolerance
from streamgauge.formats.messages import RawMessages
from streamgauge.io.kafka import (
    membership,
    python_client,
    reader,
    reading_ahead,
    state_topic,
    transactions,
)
from streamgauge.io.kafka.attended import Still
from streamgauge.io.kafka.python_client import PythonClient
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner import loop
from streamgauge.runner.loop import Loop
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.stores import KeptStore, Offsets, Partition
from streamgauge.runner.work import Outcome, Shown
from tests.support.restarts import Disk, DiskStore, plain
from tests.support.simulation import events
from tests.support.simulation.broker import EPOCH_MS, Broker, Message
from tests.support.simulation.checker import Began, Checker, Took
from tests.support.simulation.clients import SimConsumer, SimProducer
from tests.support.simulation.events import Sent
from tests.support.simulation.faults import Faults
from tests.support.simulation.replica import Replica
from tests.support.spills import Elsewhere

LONGEST: Final = 2_000
"""Calls of a replica before something must have happened."""

_TOLERANCES: Final[dict[tuple[int, str], Tolerance]] = {}


def _measured(reference: Any, table: Any, *rest: Any) -> Tolerance:
    """Measure what a reference tolerates once: most of a start's time goes there."""
    key = id(reference), repr((table.series, rest))
    if key not in _TOLERANCES:
        _TOLERANCES[key] = measure_tolerance(reference, table, *rest)
    return _TOLERANCES[key]


class SimClock:
    """The world's time, for the loop and in place of the `time` module."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.broker.now

    def wall(self) -> float:
        return 1e9 + self._world.broker.now + self._world.wall_is_ahead_s

    def sleep(self, seconds: float) -> None:
        self._world.pass_time(seconds)


class Figures(Publisher):
    """A publisher that renders nothing, and keeps the last figures."""

    def __init__(self, clock: SimClock, replica: Replica) -> None:
        super().__init__(clock, RenderLimits(total=1_000, models={}))
        self._replica = replica

    def publish(self, work: Shown) -> None:
        self._replica.figures = plain(work.snapshot(0.0))

    def snapshot_due(self, *, idle: bool = False) -> bool:  # noqa: ARG002
        return False


class _AtOnce:
    """Does what another thread would do beside the caller before it goes on: one turn at a time."""

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)
        return future

    def shutdown(self) -> None:
        pass


class World:
    """Everything there is; tests call its verbs, and `check` after each."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.broker = Broker(dict(events.TOPICS))
        self.faults = Faults()
        self.eager = False
        self.reads_ahead = True
        """Whether readers take the next messages before these are counted."""
        self.fetch = 5
        self.wall_is_ahead_s = 0.0
        """How wrong the wall clock of all processes is."""
        self.replicas: list[Replica] = []
        self.disks = [Disk(), Disk()]
        self.old_disks: list[Disk] = []
        self.running: Replica
        self.clean_stops = 0
        self._born = 0
        self.checker = Checker(self.broker)
        clock = SimClock(self)
        self._clock = clock
        for module in (membership, python_client, state_topic):
            patch.setattr(module, "Consumer", lambda settings: SimConsumer(self, settings))
        patch.setattr(reader, "best_client", lambda: PythonClient)
        patch.setattr(PythonClient, "is_shared", property(lambda _: self.reads_ahead))
        patch.setattr(reading_ahead, "ThreadPoolExecutor", lambda *_: _AtOnce())
        patch.setattr(reader, "PLENTY_BYTES", 1)
        patch.setattr(loop, "PROCESSORS", 2)
        patch.setattr(transactions, "Producer", lambda settings, **_: SimProducer(self, settings))
        patch.setattr(membership, "attended", _unattended)
        # Clients that are left say no more: in a thread of their own they would take others' turns.
        for leaving in (membership, reader):
            patch.setattr(leaving, "aside", lambda _: None)
        for timed in (membership, state_topic, transactions):
            patch.setattr(timed, "time", clock)
        patch.setattr(
            "streamgauge.runner.replica.Pipeline",
            lambda plan, stores, _: _Recorded(self, plan, stores, Elsewhere()),
        )
        patch.setattr("streamgauge.runner.replica.DiskStores", lambda _: _Disks(self))
        patch.setattr(detection, "measure_tolerance", _measured)

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.broker.pass_time(seconds)

    # What is sent.

    def send(self, sent: Sent) -> None:
        """Append a message to an input."""
        at = sent.topic, sent.partition
        time = EPOCH_MS + int(self.broker.now * 1000)
        offset = self.broker.logs[at].append(sent.name.encode(), sent.value, [], time)
        self.checker.sent[at][offset] = sent

    def send_together(self, messages: list[Sent], *, commit: bool) -> None:
        """Append messages to inputs in a transaction, which leaves a marker behind."""
        name = "application"
        epoch = self.broker.init(name)
        for sent in messages:
            at = sent.topic, sent.partition
            offset = self.broker.logs[at].high
            message: Message = (sent.name.encode(), sent.value, [])
            self.broker.produce(name, epoch, 60.0, at, [message])
            if commit:
                self.checker.sent[at][offset] = sent
        self.broker.end(name, epoch, None, commit=commit)

    # Processes.

    def start(self, host: int) -> Replica:
        """Start a process; it does nothing before its first turn."""
        self._born += 1
        replica = Replica(self._born, host, self._live)
        self.replicas.append(replica)
        return replica

    def _live(self, replica: Replica) -> None:
        publisher = Figures(self._clock, replica)
        Loop(events.planned(), self._clock, publisher, lambda _: None).run(replica.stop)

    def turns(self, replica: Replica, count: int) -> None:
        """Let a process go on until it has begun as many turns."""
        left = count

        def pause(call: str) -> bool:
            nonlocal left
            left -= call == "poll"
            return left < 0

        self._move(replica, pause)

    def steps(self, replica: Replica, count: int) -> None:
        """Let a process make as many calls, and leave it before the next."""
        left = count

        def pause(_: str) -> bool:
            nonlocal left
            left -= 1
            return left < 0

        self._move(replica, pause)

    def run_to(self, replica: Replica, call: str, most: int = 60) -> None:
        """Let a process go on until it is about to make such a call; or for so many calls."""
        left = most

        def pause(about: str) -> bool:
            nonlocal left
            left -= 1
            return about == call or left < 0

        self._move(replica, pause)

    def _move(self, replica: Replica, pause: Any) -> None:
        self.running = replica
        calls = 0

        def bounded(call: str) -> bool:
            nonlocal calls
            calls += 1
            assert calls < LONGEST, f"a process goes round in circles at {call}"
            return bool(pause(call))

        replica.move(bounded)
        if replica.done:
            self._buried(replica)

    def crash(self, replica: Replica) -> None:
        """Kill a process where it stands; the group hears nothing of it until its session ends."""
        self.running = replica
        replica.kill()
        if replica.member is not None:
            self.broker.group.silence(replica.member, alive=False)
        self.replicas.remove(replica)

    def stop(self, replica: Replica) -> None:
        """Ask a process to stop, and let it."""
        replica.stop.set()
        self._move(replica, lambda _: False)

    def freeze(self, replica: Replica) -> None:
        """SIGSTOP."""
        replica.frozen = True
        if replica.member is not None:
            self.broker.group.silence(replica.member, alive=False)

    def thaw(self, replica: Replica, deaf: int) -> None:
        """SIGCONT: it goes on where it was, and hears of what happened some polls later."""
        replica.frozen = False
        if replica.member is not None:
            replica.deaf = 0 if replica.member in self.broker.group.members else deaf
            self.broker.group.silence(replica.member, alive=True)

    def _buried(self, replica: Replica) -> None:
        """Note how a process ended by itself."""
        self.replicas.remove(replica)
        if replica.error is not None:
            self.checker.ended_badly(replica)
        elif not replica.troubled:
            self.clean_stops += 1
            self.checker.ended_well(replica)

    # Disks.

    def keep_disk(self, host: int) -> None:
        """Remember a disk as it is now."""
        self.old_disks.append(Disk(dict(self.disks[host].flushed)))

    def put_back_disk(self, host: int) -> None:
        """Let a disk be as one was that was remembered last, which may be another host's."""
        self.disks[host].flushed = dict(self.old_disks[-1].flushed)

    def on_host(self, host: int) -> list[Replica]:
        """Return the processes that use a disk."""
        return [replica for replica in self.replicas if replica.host == host]

    # The end.

    def drain(self) -> None:
        """Let all be well, and everything that was sent be counted; then stop."""
        self._be_well()
        for replica in self.replicas:
            self.thaw(replica, 0)
        if not self.replicas:
            self.start(0)
        self.pass_time(30)
        for _ in range(60):
            self._be_well()  # what a process was held up in may have been one more fault
            for replica in list(self.replicas):
                self.turns(replica, 3)
            if self.checker.drained():
                break
            if not self.replicas:
                self.start(0)
        assert self.checker.drained(), f"left behind at {self.checker.committed()}"
        self.checker.check()
        for replica in list(self.replicas):
            self.stop(replica)
            self.checker.check()
            if replica.figures is not None:
                self.checker.check_figures(replica.figures)

    def _be_well(self) -> None:
        self.faults.clear()
        while self.broker.in_flight:
            self.broker.arrive()

    def close(self) -> None:
        """End all processes."""
        for replica in list(self.replicas):
            self.crash(replica)


@contextmanager
def _unattended(serve: Callable[[float], None], still: Still) -> Iterator[Still]:
    """Let nobody serve the group beside the work: whose turn it is is the simulation's to say."""
    yield still
    still()


class _Recorded(Pipeline):
    """A pipeline that notes what it takes in."""

    def __init__(self, world: World, *args: Any) -> None:
        self._notes: list[object] = []
        world.running.since = self._notes
        self._checker = world.checker
        super().__init__(*args)

    def assign(self, partitions: Any, now: float) -> None:
        self._notes.append(Began(tuple(partitions), now))
        super().assign(partitions, now)

    def resume(self, committed: Offsets, floors: Offsets) -> dict[Partition, int]:
        start = super().resume(committed, floors)
        self._checker.rebuilt |= start != dict(committed)
        return start

    def process(self, messages: RawMessages, *args: Any) -> Outcome:
        self._notes.append(Took(messages, args))
        return super().process(messages, *args)


class _Disks:
    """Stores on the disk of the host of the process that runs."""

    def __init__(self, world: World) -> None:
        self._world, self._replica = world, world.running

    def open(self, model: str, fingerprint: str) -> KeptStore:
        disk = self._world.disks[self._replica.host]
        # The folders of processes that are still there are theirs: a second one has its own.
        busy = len(self._world.on_host(self._replica.host)) > 1
        name = f"{model}/{self._replica.number if busy else 0}"
        return _Store(self._replica, disk, (name, fingerprint))


class _Store(DiskStore):
    """A store that is written by a process, if that lives to do so."""

    def __init__(self, replica: Replica, disk: Disk, name: tuple[str, str]) -> None:
        super().__init__(disk, name)
        self._replica = replica

    def flush(self, meta: bytes) -> None:
        self._replica.gate("flush")
        super().flush(meta)
