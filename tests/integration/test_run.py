"""`streamgauge run` as a process: counts, dead letters, replicas and stopping, on both brokers."""

import json
import signal
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from streamgauge.io.loopback import free_port
from tests.support.brokers import Broker
from tests.support.monitors import Monitor, wait_until
from tests.support.topics import create_topics, read_to_end, unique_name

PARTITIONS = 3
START = 1_764_000_000_000


class Stage:
    """Topics and a configuration of the test's own for a model that learns its reference."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.bootstrap = broker.bootstrap_servers
        self.app = unique_name("run")
        self.input = f"{self.app}.predictions"
        self.dead = f"{self.app}.dead"
        self.folder = folder
        outputs = {f"{self.app}.alerts": 1, self.dead: 1, f"streamgauge.{self.app}.state": 1}
        create_topics(self.bootstrap, {self.input: PARTITIONS})
        create_topics(self.bootstrap, outputs, {"cleanup.policy": "compact"})

    def monitor(self, name: str = "run") -> Monitor:
        """Start a replica."""
        port = free_port()
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"""
app: {self.app}
kafka: {{bootstrap_servers: "{self.bootstrap}"}}
topics: {{predictions: [{self.input}], labels: [], alerts: {self.app}.alerts,
         dead_letters: {self.dead}}}
models: {{m: {{task: binary, reference: {{learn: 1h}}, windows: [5m]}}}}
events: {{dead_letter_payload: full}}
checkpoint_interval: 500ms
http: {{port: {port}}}
"""
        )
        return Monitor(path, port, name=name)

    def send(self, values: list[tuple[bytes, bytes]], **headers: bytes) -> None:
        """Send keyed messages and wait until they have arrived."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for key, value in values:
            producer.produce(self.input, value=value, key=key, headers=list(headers.items()))
        assert producer.flush(30) == 0

    def committed(self) -> int:
        """Return the sum of the group's committed offsets."""
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": f"streamgauge.{self.app}"}
        )
        wanted = [TopicPartition(self.input, number) for number in range(PARTITIONS)]
        found = consumer.committed(wanted, timeout=20)
        consumer.close()
        return sum(max(0, partition.offset) for partition in found)


def event(number: int, **changes: Any) -> tuple[bytes, bytes]:
    """Return an event of model `m` with its key."""
    body = {
        "prediction_id": f"p{number}",
        "timestamp": START + number * 100,
        "model": "m",
        "model_version": str(number % 2),
        "features": {"x": number % 17 / 4, "c": "abc"[number % 3]},
        "prediction": number % 2,
        "score": number % 10 / 10,
    }
    return f"p{number}".encode(), json.dumps(body | changes).encode()


def test_every_message_is_counted_in_exactly_one_place(broker: Broker, tmp_path: Path) -> None:
    stage = Stage(broker, tmp_path)
    good = [event(i) for i in range(3_000)]
    bad = [
        (b"p1", b"{"),
        (b"p2", b"\xff\x00"),
        event(3, timestamp="yesterday"),
        event(4, timestamp=1_764_000_000),
        (b"other", event(5)[1]),
        event(6, score=1.5),
    ]
    unknown = [event(i, model="nobody's") for i in range(7)]
    with stage.monitor() as monitor:
        stage.send(good[:1_000] + bad, trace=b"\x00\xff")
        stage.send(unknown + good[1_000:])
        total = len(good) + len(bad) + len(unknown)
        wait_until(
            "everything is consumed",
            lambda: monitor.value("streamgauge_messages_consumed_total") == total,
        )
        wait_until(
            "the events are counted",
            lambda: monitor.value("streamgauge_predictions_total") == len(good),
        )
        for version in ("0", "1"):
            counted = monitor.value("streamgauge_predictions_total", model_version=version)
            assert counted == len(good) / 2
        assert monitor.value("streamgauge_unknown_model_events_total") == len(unknown)
        reasons = {"decode": 2, "timestamp": 2, "key": 1, "schema": 1}
        for reason, count in reasons.items():
            assert monitor.value("streamgauge_dead_letters_total", reason=reason) == count
        assert monitor.stop() == 0, monitor.log.read_text()
    assert stage.committed() == total

    letters = read_to_end(stage.bootstrap, stage.dead)
    found = {message.key(): dict(message.headers() or ()) for message in letters}
    values = {message.key(): message.value() for message in letters}
    assert set(found) == {key for key, _ in bad}
    for key, value in bad:
        headers = found[key]
        assert headers["trace"] == b"\x00\xff"
        assert headers["__streamgauge.errors.topic"] == stage.input.encode()
        assert values[key] == value
    assert found[b"p6"]["__streamgauge.errors.field"] == b"score"


def test_a_stopped_monitor_goes_on_where_it_stopped(broker: Broker, tmp_path: Path) -> None:
    stage = Stage(broker, tmp_path)
    with stage.monitor("first") as monitor:
        stage.send([event(i) for i in range(500)])
        wait_until("500 are read", lambda: monitor.value("streamgauge_predictions_total") == 500)
        assert monitor.stop() == 0, monitor.log.read_text()
    with stage.monitor("second") as monitor:
        stage.send([event(i) for i in range(500, 800)])
        # Counters go on too, as if there had been one process.
        wait_until("all are read", lambda: monitor.value("streamgauge_predictions_total") >= 800)
        assert monitor.value("streamgauge_predictions_total") == 800
        assert monitor.stop() == 0, monitor.log.read_text()


def test_a_standby_takes_over_from_a_replica_that_was_killed(
    apache_kafka: Broker, tmp_path: Path
) -> None:
    stage = Stage(apache_kafka, tmp_path)
    with stage.monitor("first") as first, stage.monitor("second") as second:
        replicas = {"first": first, "second": second}

        def active() -> list[str]:
            return [n for n, m in replicas.items() if m.value("streamgauge_active") == 1]

        wait_until("one replica is active", lambda: len(active()) == 1)
        [name] = active()
        stage.send([event(i) for i in range(400)])
        wait_until(
            "400 are read",
            lambda: replicas[name].value("streamgauge_predictions_total") == 400,
        )
        wait_until("they are committed", lambda: stage.committed() == 400)
        assert active() == [name]
        other = replicas.pop("second" if name == "first" else "first")
        wait_until("the other stands by", lambda: "standing by" in other.phase())
        replicas[name].process.send_signal(signal.SIGKILL)
        stage.send([event(i) for i in range(400, 700)])
        wait_until("the standby goes on", lambda: other.value("streamgauge_active") == 1)
        wait_until(
            "the rest is read once",
            lambda: other.value("streamgauge_predictions_total") == 700,
        )
        assert other.stop() == 0, other.log.read_text()


def test_without_its_topics_a_run_refuses_to_start(broker: Broker, tmp_path: Path) -> None:
    app = unique_name("absent")
    path = tmp_path / "absent.yaml"
    path.write_text(
        f"app: {app}\n"
        f'kafka: {{bootstrap_servers: "{broker.bootstrap_servers}"}}\n'
        f"topics: {{predictions: [{app}.in], labels: []}}\n"
        "models: {m: {task: binary, reference: {learn: 1h}}}\n"
    )
    monitor = Monitor(path, 0)
    with monitor:
        assert monitor.process.wait(60) != 0
    log = monitor.log.read_text()
    assert f"{app}.in" in log
    assert "Traceback" not in log
