"""Membership on brokers: work that takes longer than the group waits for a member keeps it."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from streamgauge.clock import SystemClock
from streamgauge.config import load
from streamgauge.config.librdkafka import Setting
from streamgauge.formats.state_records import Records
from streamgauge.io.kafka.attended import Still, always
from streamgauge.io.kafka.membership import Membership
from streamgauge.io.kafka.state_topic import StateReader
from streamgauge.runner.loop import Loop
from streamgauge.runner.plan import plan, render_limits
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.status import Phase
from tests.support.brokers import Broker
from tests.support.monitors import wait_until
from tests.support.topics import create_topics, new_topic, unique_name

PAUSE_S = 4.0
LONG_S = 3 * PAUSE_S
SETTINGS: Final[dict[str, Setting]] = {
    "session.timeout.ms": 3_000,
    "heartbeat.interval.ms": 500,
    "max.poll.interval.ms": round(1000 * PAUSE_S),
    "log_level": 0,
}


class Group:
    """A group of the test's own."""

    def __init__(self, bootstrap: str) -> None:
        self._settings = {"bootstrap.servers": bootstrap, **SETTINGS}
        self._topic = new_topic(bootstrap)
        self._name = unique_name("group")

    @contextmanager
    def member(self) -> Iterator[Membership]:
        found = Membership(self._settings, self._name, "test", self._topic)
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def group(apache_kafka: Broker) -> Group:
    return Group(apache_kafka.bootstrap_servers)


def test_a_member_keeps_its_place_during_long_work_that_is_attended(group: Group) -> None:
    with ExitStack() as stack:
        active = stack.enter_context(group.member())
        wait_until("it is active", lambda: active.poll(0.1))
        standby = stack.enter_context(group.member())
        ended = threading.Event()
        taken = []

        def stand_by() -> None:
            while not ended.is_set():
                taken.append(standby.poll(0.1))

        other = threading.Thread(target=stand_by)
        other.start()
        try:
            wait_until("the other one stands by", lambda: active.poll(0.1) and standby.joined)
            with active.attended() as still:
                time.sleep(LONG_S)
                still()
            assert active.poll(0.1)
            assert not any(taken)
            time.sleep(LONG_S)
            assert any(taken), "without that the other one is active"
            wait_until("it hears of that", lambda: not active.poll(0.1))
        finally:
            ended.set()
            other.join()


def test_a_restore_that_takes_longer_than_the_group_waits_keeps_the_membership(
    apache_kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = unique_name("slow")
    bootstrap = apache_kafka.bootstrap_servers
    topics = {name: f"{app}.{name}" for name in ("predictions", "alerts", "dead")}
    create_topics(bootstrap, dict.fromkeys([*topics.values(), f"streamgauge.{app}.state"], 1))
    path = tmp_path / "slow.yaml"
    client = ", ".join(f"{key}: {value}" for key, value in SETTINGS.items())
    path.write_text(
        f"""
app: {app}
kafka: {{bootstrap_servers: "{bootstrap}", librdkafka: {{{client}}}}}
topics: {{predictions: [{topics["predictions"]}], labels: [], alerts: {topics["alerts"]},
         dead_letters: {topics["dead"]}}}
models: {{m: {{task: binary, reference: {{learn: 1h}}, windows: [5m]}}}}
"""
    )
    records = StateReader.records

    def slowly(self: StateReader, still: Still = always) -> Records:
        time.sleep(LONG_S)
        return records(self, still)

    monkeypatch.setattr(StateReader, "records", slowly)
    settings, clock, stop = load(path), SystemClock(), threading.Event()
    publisher = Publisher(clock, render_limits(settings))
    loop = Loop(plan(settings, path), clock, publisher, lambda _: None)
    runs = threading.Thread(target=loop.run, args=(stop,))
    began = time.monotonic()
    runs.start()
    try:
        wait_until("it is active", lambda: publisher.status.phase is Phase.ACTIVE, 2 * LONG_S)
        took = time.monotonic() - began
        time.sleep(2 * PAUSE_S)
        assert publisher.status.phase is Phase.ACTIVE
        assert loop._membership.rebalances == 1
    finally:
        stop.set()
        runs.join()
    assert LONG_S < took < 2 * LONG_S, "at the first attempt"
