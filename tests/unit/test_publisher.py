"""When status and snapshot are due, and what they say of rate and event time."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import Form
from streamgauge.io.metrics.page import KEPT_READY_S
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.publisher import IDLE_SHARE, LONGEST_S, SHARE, SHORTEST_S, Publisher
from streamgauge.runner.status import Phase, Status
from tests.support.kafka_fakes import FakeClock

FORM = Form(openmetrics=True, gzip=True)


@dataclass
class SlowPipeline:
    """Makes empty snapshots, each of which takes a time that tests choose."""

    clock: FakeClock
    takes: list[float] = field(default_factory=list)

    def snapshot(self, made_at: float) -> Snapshot:
        self.clock.now += self.takes.pop(0)
        return Snapshot(made_at, ())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def publisher(clock: FakeClock) -> Publisher:
    return Publisher(clock, RenderLimits(total=100, models={}))


def waits(
    publisher: Publisher, clock: FakeClock, takes: list[float], *, idle: bool = False
) -> list[float]:
    """Return the time from the beginning of each snapshot to the next one that is due."""
    pipeline = SlowPipeline(clock, [*takes])
    found = []
    for _ in takes:
        began = clock.now
        publisher.publish(cast("Pipeline", pipeline))
        while not publisher.snapshot_due(idle=idle):
            clock.now += 0.001
        found.append(clock.now - began)
    return found


@pytest.mark.parametrize(("idle", "share"), [(False, SHARE), (True, IDLE_SHARE)])
def test_snapshots_take_their_share_of_time_and_no_more(
    publisher: Publisher, clock: FakeClock, *, idle: bool, share: float
) -> None:
    found = waits(publisher, clock, [0.1, 0.1, 0.1], idle=idle)
    assert found[1:] == pytest.approx([0.1 / share] * 2, abs=0.01)


def test_dear_snapshots_still_come(publisher: Publisher, clock: FakeClock) -> None:
    assert waits(publisher, clock, [3.0] * 3)[1:] == pytest.approx([LONGEST_S] * 2, abs=0.01)


def test_cheap_snapshots_are_not_made_more_than_so_often(
    publisher: Publisher, clock: FakeClock
) -> None:
    found = waits(publisher, clock, [0.001] * 3)
    assert found == pytest.approx([SHORTEST_S] * 3, abs=0.01)


def test_one_dear_snapshot_does_not_hold_up_the_next_of_a_loop_with_time(
    publisher: Publisher, clock: FakeClock
) -> None:
    found = waits(publisher, clock, [0.001, 30.0, 0.2, 0.2], idle=True)
    assert found[1] == pytest.approx(30.0, abs=0.01)
    assert found[2:] == pytest.approx([0.2 / IDLE_SHARE] * 2, abs=0.01)


def test_cheap_snapshots_do_not_hide_what_dear_ones_cost_a_loop_without(
    publisher: Publisher, clock: FakeClock
) -> None:
    found = waits(publisher, clock, [0.001, 0.2, 0.001, 0.2, 0.001])
    assert found[1:] == pytest.approx([0.2 / SHARE] * 4, abs=0.01)


def test_who_has_caught_up_waits_no_longer(publisher: Publisher, clock: FakeClock) -> None:
    waits(publisher, clock, [0.2, 0.001])
    publisher.publish(cast("Pipeline", SlowPipeline(clock, [0.2])))
    clock.now += SHORTEST_S
    assert publisher.snapshot_due(idle=True)
    assert not publisher.snapshot_due()


def test_the_rate_is_that_since_the_last_status(publisher: Publisher, clock: FakeClock) -> None:
    clock.now += 2.0
    publisher.report(Status(phase=Phase.ACTIVE, consumed=500))
    assert publisher.status.rate == pytest.approx(250.0)
    assert not publisher.report_due()
    clock.now += SHORTEST_S
    assert publisher.report_due()
    publisher.report(Status(phase=Phase.ACTIVE, consumed=1_500))
    assert publisher.status.rate == pytest.approx(1_000.0 / SHORTEST_S)


def test_the_health_tells_the_newest_event_time_between_snapshots(
    publisher: Publisher, clock: FakeClock
) -> None:
    publisher.report(Status(phase=Phase.ACTIVE, watermark=17, lag={("t", 0): 3, ("t", 1): 4}))
    health = publisher.health()
    assert (health.event_time, health.lag, health.ready) == (17, 7, False)
    publisher.publish(cast("Pipeline", SlowPipeline(clock, [0.0])))
    assert (publisher.health().ready, publisher.health().reason) == (True, "reading")


@pytest.mark.parametrize(
    ("phase", "alive", "ready", "reason"),
    [
        (Phase.STARTING, True, False, "starting: joining the group"),
        (Phase.STANDBY, True, True, "standing by: another replica is active"),
        (Phase.ACTIVE, True, False, "starting: nothing read yet"),
        (Phase.STOPPED, False, False, "stopped"),
    ],
)
def test_health_follows_the_phase(
    publisher: Publisher, phase: Phase, alive: bool, ready: bool, reason: str
) -> None:
    publisher.announce(phase)
    health = publisher.health()
    assert (health.alive, health.ready, health.reason) == (alive, ready, reason)
    assert health.rate is None
    assert health.lag is None


def test_the_lag_is_that_of_all_partitions(publisher: Publisher) -> None:
    publisher.report(Status(phase=Phase.ACTIVE, lag={("a", 0): 3, ("a", 1): 0, ("b", 0): 9}))
    assert publisher.health().lag == 12


def test_snapshots_are_swapped_in_whole_and_rendered_for_whom_wants_them(
    publisher: Publisher, clock: FakeClock
) -> None:
    assert publisher.snapshot() is None
    assert publisher.page.make(FORM) is None
    clock.now += KEPT_READY_S + 1.0
    pipeline = cast("Pipeline", SlowPipeline(clock, [0.0, 0.0]))
    seen = []
    for _ in range(2):
        publisher.publish(pipeline)
        assert publisher.rendered() is None
        seen.append(publisher.snapshot())
    first, second = seen
    assert first is not None
    assert second is not None
    assert first is not second
    assert publisher.page.make(FORM) is publisher.rendered() is not None


def test_a_status_is_due_once_a_second(publisher: Publisher, clock: FakeClock) -> None:
    assert publisher.report_due()
    publisher.report(Status(phase=Phase.ACTIVE))
    clock.now += SHORTEST_S - 0.01
    assert not publisher.report_due()
    clock.now += 0.01
    assert publisher.report_due()


def test_a_replica_that_others_took_over_from_shows_no_old_figures(
    publisher: Publisher, clock: FakeClock
) -> None:
    publisher.report(Status(phase=Phase.ACTIVE, counted=True, consumed=5))
    publisher.publish(cast("Pipeline", SlowPipeline(clock, [0.0])))
    assert publisher.page.make(FORM) is not None
    publisher.clear()
    publisher.announce(Phase.STANDBY)
    assert (publisher.snapshot(), publisher.rendered()) == (None, None)
    assert (publisher.status.counted, publisher.health().ready) == (False, True)
