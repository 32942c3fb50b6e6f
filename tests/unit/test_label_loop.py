"""The loop with labels and stand-ins for Kafka: another life, whose join store is lost."""

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest

from streamgauge.core.spill import Spill
from streamgauge.io.joining import catalogue
from streamgauge.io.joining.errors import JoinStoreError
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.loop import Loop
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import Plan
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.stores import DiskStores, Stores
from tests.support.kafka_fakes import (
    FakeBroker,
    FakeClock,
    FakeMembership,
    FakeReader,
    FakeStateReader,
    FakeWriter,
)
from tests.support.label_checks import assert_identities, join_counts, stream_of
from tests.support.label_judge import judge
from tests.support.label_streams import LABELS, MODELS, PREDICTIONS, Event, arrived, draw, planned
from tests.support.restarts import Disk

EVENTS = arrived(draw(8, 60, 40), 2, 8)
EARLIER = [event for event in EVENTS if event.topic == PREDICTIONS]
LATER = [event for event in EVENTS if event.topic == LABELS]


class AtOnce(Executor):
    """Does what it is given in the caller's thread, so that turns need not wait for it."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, do: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(do(*args, **more))
        except OSError as error:
            done.set_exception(error)
        return done


class World:
    """A broker with both topics, and processes that live one after the other."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.broker = FakeBroker(partitions={PREDICTIONS: 2, LABELS: 2})
        self.reader = FakeReader(self.broker)
        self.membership = FakeMembership(self.broker)

    def append(self, events: list[Event]) -> None:
        for event in events:
            value, key = json.dumps(event.body).encode(), event.name.encode()
            self.broker.produce(event.partition, value, key, -1, event.topic)

    def live(self, turns: int, *, disk: Stores | None = None, standing_by: int = 0) -> Pipeline:
        """Run a loop for some turns, and return its last pipeline as it was at the end.

        Without a disk its stores end with it. For the first turns it may have to stand by.
        """
        clock = FakeClock()
        membership = self.membership = FakeMembership(self.broker, active=not standing_by)
        self.reader = FakeReader(self.broker, most=20)
        writer = FakeWriter(self.broker, membership)
        for name, fake in (
            ("Membership", membership),
            ("Reader", self.reader),
            ("TransactionalWriter", writer),
            ("StateReader", FakeStateReader(self.broker)),
        ):
            self.patch.setattr(f"streamgauge.runner.replica.{name}", lambda *_, fake=fake: fake)
        self.patch.setattr("streamgauge.runner.replica.DiskStores", lambda _: disk)
        stop = Signal()

        def turn(number: int) -> None:
            clock.now += 1.0
            membership.active = number > standing_by

        membership.on_poll = [*(partial(turn, i) for i in range(1, turns + 1)), stop.set]
        publisher = Publisher(clock, RenderLimits(total=1_000, models={}))
        made: list[Pipeline] = []

        def remembered(plan: Plan, stores: Stores, spill: Spill) -> Pipeline:
            made.append(Pipeline(plan, stores, spill))
            return made[-1]

        self.patch.setattr("streamgauge.runner.replica.Pipeline", remembered)
        plan = replace(planned(), join_folder=None if disk is None else Path("joins"))
        Loop(plan, clock, publisher, lambda _: None).run(stop)
        return made[-1]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_new_labels_wait_until_a_lost_store_knows_the_old_predictions(world: World) -> None:
    world.append(EARLIER)
    world.live(12)
    assert sum(world.broker.offsets.values()) == len(EARLIER)
    world.append(LATER)
    pipeline = world.live(30)
    for model in MODELS:
        engine = pipeline.engines[model]
        pairs = judge(EVENTS, model).pairs
        counts = join_counts(engine)
        assert_identities(counts)
        assert counts.joined == len(pairs) > 20
        block = stream_of(engine).delays.block()
        whole = [not engine.registry.keys[row].slice for row in block.rows.tolist()]
        assert block.counts[whole].sum() == len(pairs), "all pairs were counted, not just joined"


def test_nothing_is_committed_while_stores_catch_up(world: World) -> None:
    world.append(EARLIER)
    world.live(12)
    world.append(LATER)
    committed = dict(world.broker.offsets)
    world.live(2)
    assert world.broker.offsets == committed
    pipeline = world.live(30)
    assert sum(world.broker.offsets.values()) == len(EVENTS)
    assert pipeline.counts.consumed == len(EVENTS), "what is read again is not counted again"


def test_a_store_that_was_not_written_ends_it_although_nothing_comes_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.append(EARLIER)
    world.live(12, disk=DiskStores(tmp_path))
    world.append(LATER[:1])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(catalogue, "write", full)
    monkeypatch.setattr("streamgauge.io.joining.join_store.ThreadPoolExecutor", AtOnce)
    with pytest.raises(JoinStoreError, match="free some space"):
        world.live(20, disk=DiskStores(tmp_path))
    assert world.membership.on_poll, (
        "it ends before it is stopped, and before time alone changes anything"
    )
    assert sum(world.broker.offsets.values()) == len(EARLIER) + 1


def test_what_a_store_knows_is_not_read_again(world: World) -> None:
    world.append(EVENTS)
    world.live(30)
    world.live(40)
    starts = [offsets for offsets, _ in world.reader.started]
    assert len(starts) == 2, "first for the stores, then to go on"
    assert starts[1] == world.broker.offsets


def test_a_replica_that_stands_by_keeps_its_store_up_to_date(world: World) -> None:
    world.append(EARLIER)
    world.live(12)
    disk = Disk()
    # What another one has committed meanwhile is in its store before it has to take over.
    world.live(4, disk=disk, standing_by=4)
    committed = dict(world.broker.offsets)
    assert sum(committed.values()) == len(EARLIER)
    assert world.broker.journal.count("fence") == 1, "nobody is shut out by one that stands by"
    world.append(LATER)
    pipeline = world.live(40, disk=disk)
    starts = [offsets for offsets, _ in world.reader.started]
    assert starts[0] == committed, "nothing has to be read again"
    for model in MODELS:
        pairs = judge(EVENTS, model).pairs
        counts = join_counts(pipeline.engines[model])
        assert_identities(counts)
        assert counts.joined == len(pairs) > 20


def test_one_that_becomes_active_while_it_refreshes_goes_on_by_itself(world: World) -> None:
    world.append(EARLIER)
    world.live(12)
    world.append(LATER)
    pipeline = world.live(60, disk=Disk(), standing_by=1)
    assert sum(world.broker.offsets.values()) == len(EVENTS)
    for model in MODELS:
        assert join_counts(pipeline.engines[model]).joined == len(judge(EVENTS, model).pairs)
