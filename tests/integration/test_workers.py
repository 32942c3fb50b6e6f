"""Split roles as processes on Apache Kafka: the same results as one process, through kills."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from streamgauge.formats.reference_file import write_reference
from streamgauge.io.loopback import free_port
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import without_labels
from tests.support.brokers import Broker
from tests.support.flights import (
    MODEL,
    MONTH,
    SECOND,
    T0,
    arrived,
    flights,
    planned,
    reference_of,
    run,
    send,
)
from tests.support.monitors import Monitor, wait_until
from tests.support.topics import create_topics, read_to_end, unique_name

PARTITIONS = 4
RNG = np.random.default_rng(23)
REFERENCE = reference_of(flights(RNG, 4_000, -MONTH, 0))
END_S = 240
TOTAL = "streamgauge_predictions_total"


def events(n: int, seed: int) -> list[dict[str, Any]]:
    """Events whose distances are in another unit from the middle on."""
    drawn = flights(np.random.default_rng(seed), n, 0, END_S)
    for event in drawn:
        features = event.get("features", {})
        if event["timestamp"] > T0 + END_S * SECOND // 2 and isinstance(
            features.get("distance"), float
        ):
            features["distance"] *= 3
    return drawn


class Stage:
    """Topics and a configuration of a test's own."""

    def __init__(self, broker: Broker, folder: Path, *, labels: bool = False) -> None:
        self.labels = labels
        self.bootstrap = broker.bootstrap_servers
        self.app = unique_name("workers")
        self.input = f"{self.app}.predictions"
        self.alerts = f"{self.app}.alerts"
        self.dead = f"{self.app}.dead"
        self.folder = folder
        create_topics(self.bootstrap, {self.input: PARTITIONS})
        if labels:
            create_topics(self.bootstrap, {f"{self.app}.labels": PARTITIONS})
        create_topics(self.bootstrap, {f"streamgauge.{self.app}.partials": 1})
        ours = dict.fromkeys((self.alerts, self.dead, f"streamgauge.{self.app}.state"), 1)
        create_topics(self.bootstrap, ours, {"cleanup.policy": "compact"})
        write_reference(REFERENCE, folder / "flights.json")

    def config(self, name: str, port: int) -> Path:
        """Write a configuration and return its path."""
        path = self.folder / f"{name}.yaml"
        settings = {
            "app": self.app,
            "kafka": {
                "bootstrap_servers": self.bootstrap,
                "librdkafka": {"session.timeout.ms": 6_000},
            },
            "topics": {
                "predictions": [self.input],
                "labels": [f"{self.app}.labels"] if self.labels else [],
                "alerts": self.alerts,
                "dead_letters": self.dead,
            },
            "time": {"idle_after": "8s"},
            "models": {"flight-delay": MODEL},
            "http": {"port": port},
            "join_store": {"folder": str(self.folder / "joins")},
            # Workers tell which offsets they ship.
            "log": {"level": "debug"},
        }
        path.write_text(json.dumps(settings))
        return path

    def start(self, name: str, *options: str) -> Monitor:
        """Start a process."""
        port = free_port()
        return Monitor(self.config(name, port), port, name=name, options=options)

    @contextmanager
    def roles(self, workers: int) -> Iterator[tuple[Monitor, list[Monitor]]]:
        """Run a process that analyses and some that count."""
        with ExitStack() as stack:
            analyse = stack.enter_context(self.start("analyse", "--role", "analyse"))
            counting = [
                stack.enter_context(self.start(f"worker{n}", "--role", "aggregate"))
                for n in range(workers)
            ]
            yield analyse, counting

    def send(self, sent: Sequence[Mapping[str, Any]], topic: str = "predictions") -> None:
        """Send events and wait until they have arrived."""
        # What a client sends anew for want of an answer must not be there twice.
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
        for event in sent:
            message = send(event)
            producer.produce(f"{self.app}.{topic}", value=message.value, key=message.key)
        assert producer.flush(30) == 0

    def alert_ids(self) -> Counter[tuple[str, int]]:
        """Return what is to be seen of the alerts topic, by id and revision."""
        found = [json.loads(m.value() or b"") for m in read_to_end(self.bootstrap, self.alerts)]
        return Counter((alert["alert_id"], alert["revision"]) for alert in found)


def revisions(stage: Stage, sent: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Return the alerts of one process that gets these events, by id and revision."""
    plan = without_labels(planned(REFERENCE, app=stage.app))
    messages = arrived(map(send, sent), 1, np.random.default_rng(1))
    return {(a.alert_id, a.revision) for a in run(Pipeline(plan), messages, 1, [100_000])}


@pytest.fixture
def stage(apache_kafka: Broker, tmp_path: Path) -> Stage:
    return Stage(apache_kafka, tmp_path)


SLICES = [(carrier, region) for carrier in ("UA", "AA", "DL") for region in ("eu", "us")]


def counted(monitor: Monitor) -> dict[tuple[str, str], float]:
    """Return how many predictions a monitor has counted of some slices."""
    return {
        (c, r): monitor.value(
            "streamgauge_slice_predictions_total", slice=f"carrier={c},region={r}"
        )
        for c, r in SLICES
    }


def recount(sent: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    found = Counter(
        (e.get("features", {}).get("carrier", ""), e.get("tags", {}).get("region", ""))
        for e in sent
    )
    return {key: found[key] for key in SLICES}


def judge(
    stage: Stage, analyse: Monitor, sent: Sequence[Mapping[str, Any]], patience: float = 60.0
) -> None:
    """Compare what is shown with a recount, and the alerts with those of one process."""
    wait_until("all is counted", lambda: analyse.value(TOTAL) >= len(sent), patience)
    assert analyse.value(TOTAL) == len(sent)
    consumed = "streamgauge_messages_consumed_total"
    wait_until("it tells how many", lambda: analyse.value(consumed) >= len(sent), patience)
    assert analyse.value(consumed) == len(sent)
    assert counted(analyse) == recount(sent)
    assert analyse.value("streamgauge_late_events_total") == 0
    alerts = revisions(stage, sent)
    assert alerts
    # The last panes are closed once all partitions are idle.
    wait_until(
        "alerts are those of one process", lambda: set(stage.alert_ids()) >= alerts, patience
    )
    assert stage.alert_ids() == dict.fromkeys(alerts, 1)


def test_two_workers_come_to_what_one_process_comes_to(stage: Stage) -> None:
    sent = events(6_000, 1)
    with stage.roles(2) as (analyse, counting):
        wait_until("both workers read", lambda: all("reading" in w.phase() for w in counting))
        stage.send(sent)
        judge(stage, analyse, sent)
        shares = [w.value("streamgauge_messages_consumed_total") for w in counting]
        assert sum(shares) == len(sent)
        assert min(shares) > 0
        assert not any(w.value("streamgauge_lag_messages") for w in counting)
        for process in (*counting, analyse):
            assert process.stop() == 0, process.log.read_text()


def test_a_killed_worker_loses_nothing_and_doubles_nothing(stage: Stage) -> None:
    sent = events(6_000, 2)
    with stage.roles(2) as (analyse, counting):
        wait_until("both workers read", lambda: all("reading" in w.phase() for w in counting))
        killed, left = counting
        for begin in range(0, 6_000, 500):
            if begin == 2_000:
                killed.process.kill()
            stage.send(sent[begin : begin + 500])
            time.sleep(0.4)
        judge(stage, analyse, sent)
        assert left.stop() == 0, left.log.read_text()
        assert analyse.stop() == 0, analyse.log.read_text()


def test_a_frozen_worker_is_shut_out(stage: Stage) -> None:
    sent = events(6_000, 3)
    with stage.roles(2) as (analyse, counting):
        wait_until("both workers read", lambda: all("reading" in w.phase() for w in counting))
        frozen, left = counting
        stage.send(sent[:2_000])
        # With events that it has counted and not shipped yet.
        time.sleep(0.3)
        frozen.process.send_signal(signal.SIGSTOP)
        stage.send(sent[2_000:])
        wait_until("all is counted", lambda: analyse.value(TOTAL) >= len(sent))
        frozen.process.send_signal(signal.SIGCONT)
        wait_until("it reads again", lambda: frozen.log.read_text().count("active: reading") > 1)
        judge(stage, analyse, sent)
        for process in (frozen, left, analyse):
            assert process.stop() == 0, process.log.read_text()


def test_a_killed_analysis_is_taken_over_by_the_one_that_stands_by(stage: Stage) -> None:
    sent = events(6_000, 6)
    with stage.roles(2) as (killed, counting), ExitStack() as stack:
        wait_until("both workers read", lambda: all("reading" in w.phase() for w in counting))
        other = stack.enter_context(stage.start("standby", "--role", "analyse"))
        for begin in range(0, 6_000, 500):
            if begin == 2_000:
                wait_until("it stands by", lambda: "standing by" in other.phase())
                killed.process.kill()
            stage.send(sent[begin : begin + 500])
            time.sleep(0.4)
        judge(stage, other, sent)
        for process in (*counting, other):
            assert process.stop() == 0, process.log.read_text()


def test_one_command_starts_and_ends_them_all(stage: Stage) -> None:
    sent = events(3_000, 4)
    stage.send(sent)
    with stage.start("fleet", "--workers", "2") as fleet:
        judge(stage, fleet, sent)
        assert fleet.stop(40.0) == 0, fleet.log.read_text()
    lines = [json.loads(line) for line in fleet.log.read_text().splitlines()]
    names = {line.get("process") for line in lines}
    assert names == {None, "analyse", "worker 1", "worker 2"}
    stopped = {line.get("process") for line in lines if line["message"].startswith("stopped")}
    assert stopped == {"analyse", "worker 1", "worker 2"}


def labels_of(sent: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a label for every event, some seconds after it."""
    return [
        {
            "prediction_id": event["prediction_id"],
            "timestamp": event["timestamp"] + 5 * SECOND,
            "model": event["model"],
            "label": int(len(str(event["prediction_id"])) % 2),
        }
        for event in sent
    ]


def test_labels_are_joined_once_though_a_worker_is_killed(
    apache_kafka: Broker, tmp_path: Path
) -> None:
    stage = Stage(apache_kafka, tmp_path, labels=True)
    sent = events(6_000, 5)
    labels = labels_of(sent)
    served = sum("prediction" in event for event in sent)
    with stage.roles(2) as (analyse, counting):
        wait_until("both workers read", lambda: all("reading" in w.phase() for w in counting))
        killed, left = counting
        for begin in range(0, 6_000, 500):
            if begin == 2_500:
                killed.process.kill()
            stage.send(sent[begin : begin + 500])
            # Labels come a while after their predictions: some after the kill for some before.
            stage.send(labels[max(0, begin - 500) : begin], "labels")
            time.sleep(0.4)
        stage.send(labels[5_500:], "labels")
        total = len(sent) + len(labels)
        consumed = "streamgauge_messages_consumed_total"
        wait_until("all is read", lambda: analyse.value(consumed) >= total)
        joined = "streamgauge_labels_joined_total"
        wait_until("labels are shown", lambda: analyse.value(joined) >= served)
        assert analyse.value(consumed) == total
        assert analyse.value(TOTAL) == len(sent)
        assert analyse.value(joined) == served
        assert analyse.value("streamgauge_labels_total", fate="orphan") == 0
        assert analyse.value("streamgauge_pending_labels") == 0
        assert analyse.value("streamgauge_waiting_labels") == len(sent) - served
        assert "the join store is behind" in left.log.read_text()
        for process in (left, analyse):
            assert process.stop() == 0, process.log.read_text()
