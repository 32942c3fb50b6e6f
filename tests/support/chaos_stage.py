"""The stage of a chaos test: topics, the stream, apps with their replicas, and the evidence."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as MetricSample

from streamgauge.formats.plain_data import unpack
from streamgauge.formats.state_manifest import decode_manifest
from streamgauge.formats.state_records import MANIFEST, read, state_key
from streamgauge.io.loopback import free_port
from tests.support.chaos_checker import (
    COUNTED,
    Checkpoint,
    Ending,
    Evidence,
    Inspection,
    Letter,
    Revision,
    Sample,
)
from tests.support.chaos_ledger import Entry, Ledger, Partition
from tests.support.chaos_stream import MODEL, PANE_MS, PARTITIONS, Event, training
from tests.support.chaos_zygote import Zygote
from tests.support.topics import create_topics, read_to_end, unique_name

START_MS: Final = 1_764_000_000_000
_ROOT: Final = Path(__file__).resolve().parents[2]
_SAMPLE_S: Final = 2.0
"""How often a replica is looked at."""
_LETTER: Final = "__streamgauge.errors."
_ALERT: Final = (
    "revision", "status", "severity", "model", "model_version", "slice", "subject", "detector",
)  # fmt: skip
"""What two apps that read the same events say alike; digests hold the app's name."""


def wait_for(
    what: str, true: Callable[[], bool], timeout: float = 60.0, every: float = 0.05
) -> float:
    """Wait until something is true and return how long that took (s); fail after `timeout`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < timeout, f"not within {timeout:.0f} s: {what}"
        time.sleep(every)
    return time.monotonic() - began


class Stream:
    """The input topics and the process that fills them."""

    def __init__(self, bootstrap: str, folder: Path, *, seed: int, rate: float, least: int) -> None:
        self.bootstrap = bootstrap
        self.folder = folder / unique_name("stream")
        self.folder.mkdir()
        name = unique_name("chaos")
        self.topics = f"{name}.predictions", f"{name}.labels"
        create_topics(bootstrap, dict.fromkeys(self.topics, PARTITIONS))
        self._ledger = self.folder / "ledger.ndjson"
        order = self.folder / "order.json"
        order.write_text(
            json.dumps(
                {
                    "bootstrap": bootstrap,
                    "topics": self.topics,
                    "ledger": str(self._ledger),
                    "seed": seed,
                    "start_ms": START_MS,
                    "rate": rate,
                    "predictions": least,
                }
            )
        )
        self._log = (self.folder / "producer.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.chaos_producer", str(order)],
            cwd=_ROOT,
            stdout=self._log,
            stderr=self._log,
        )

    def check(self) -> None:
        """Fail where the producer has ended badly."""
        assert self._process.poll() in (None, 0), (self.folder / "producer.log").read_text()

    def finish(self, timeout: float = 600.0) -> Ledger:
        """Let the producer end once it has sent what it has to, and return the ledger."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout) == 0, (self.folder / "producer.log").read_text()
        return Ledger.read(self._ledger, self.topics)

    def close(self) -> None:
        """End the producer."""
        self._process.kill()
        self._process.wait()
        self._log.close()


class Prepared:
    """Input topics that a test fills by itself, with a ledger of it."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder / unique_name("prepared")
        self.folder.mkdir()
        name = unique_name("chaos")
        self.topics = f"{name}.predictions", f"{name}.labels"
        create_topics(bootstrap, dict.fromkeys(self.topics, PARTITIONS))
        self._entries: list[Entry] = []

    def send(self, events: Iterable[Event]) -> int:
        """Send events, wait until they have arrived, and return how many there are in all."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
        ends = Counter((entry.topic, entry.partition) for entry in self._entries)
        for event in events:
            place = event.topic, event.partition
            topic = self.topics[event.topic]
            while True:
                try:
                    producer.produce(topic, event.value, event.name.encode(), event.partition)
                    break
                except BufferError:
                    producer.poll(0.1)
            self._entries.append(Entry.of(event, ends[place]))
            ends[place] += 1
        assert producer.flush(60) == 0
        return len(self._entries)

    def check(self) -> None:
        """Do nothing: there is no process."""

    def finish(self) -> Ledger:
        """Return the ledger."""
        return Ledger(self.topics, self._entries)


class Replica:
    """One process of an app."""

    def __init__(self, app: "App", slot: str, bug: str, limits: Mapping[str, int]) -> None:
        self.app = app
        self.slot = slot
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = app.folder / f"{slot}.log"
        config = app.folder / f"{slot}.yaml"
        config.write_text(app.config(port, app.folder / "join" / slot))
        self.started = time.monotonic()
        self._kind = app.zygote
        self.pid = app.zygote.start(["run", "-c", str(config)], self.log, bug=bug, limits=limits)

    @property
    def status(self) -> int | None:
        """How it ended, None while it runs."""
        return self._kind.status(self.pid)

    def get(self, path: str, timeout: float = 3.0) -> bytes:
        """Return what its server answers; empty while it does not."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
                body: bytes = answer.read()
                return body
        except (OSError, http.client.HTTPException):
            return b""

    def samples(self) -> list[MetricSample]:
        """Return all samples of its metrics."""
        text = self.get("/metrics").decode()
        return [s for family in text_string_to_metric_families(text) for s in family.samples]

    def value(self, name: str) -> float:
        """Return the sum of a metric's samples, of a model or a process."""
        return sum(s.value for s in self.samples() if s.name == name)

    @property
    def active(self) -> bool:
        """Whether it does the work."""
        told = self.answer("/-/ready")
        return b"reading" in told or b"nothing read yet" in told

    @property
    def standing_by(self) -> bool:
        """Whether it waits for its turn."""
        return b"standing by" in self.answer("/-/ready")

    @property
    def lag(self) -> float:
        """How many messages it has not read yet; infinite while it does not tell."""
        lag = self._told("lag_messages")
        return float("inf") if lag is None else lag

    @property
    def shown_at(self) -> float:
        """When the models' figures were made (s since the epoch), 0 where there are none."""
        at = self._told("snapshot_at")
        return datetime.fromisoformat(at).timestamp() if at else 0.0

    def _told(self, name: str) -> Any:
        """Return a field of its status, None while it does not tell."""
        body = self.get("/api/v1/status")
        return json.loads(body)[name] if body else None

    def answer(self, path: str) -> bytes:
        """Return what its server answers, be it an error."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=3.0) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            return error.read()
        except (OSError, http.client.HTTPException):
            return b""

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGKILL, timeout: float = 30.0) -> float:
        """Send the signal that ends it, wait for that, and return how long it took (s)."""
        began = time.monotonic()
        if self.status is None:
            self.send(number)
        status = self._kind.wait(self.pid, timeout)
        assert status is not None, f"{self.log}: still there {timeout:.0f} s after the signal"
        if self in self.app.replicas:
            self.app.replicas.remove(self)
            self.app.endings.append(Ending(self.pid, status, -9 if number == signal.SIGKILL else 0))
        return time.monotonic() - began


class App:
    """One app: its output topics, its replicas, and what they leave behind."""

    def __init__(
        self,
        stream: Stream | Prepared,
        zygote: Zygote,
        reference: Path,
        *,
        name: str = "app",
        bootstrap: str = "",
        librdkafka: Mapping[str, object] = {},
        time_section: str = "idle_after: 10m",
        checkpoint_ms: int = 500,
        bug: str = "",
        labels: Mapping[str, object] = {},
    ) -> None:
        self.stream = stream
        self.zygote = zygote
        self.reference = reference
        self.name = unique_name(name)
        self.folder = stream.folder / self.name
        self.folder.mkdir()
        self.alerts = f"{self.name}.alerts"
        self.dead = f"{self.name}.dead"
        self.state = f"streamgauge.{self.name}.state"
        self.bootstrap = bootstrap or stream.bootstrap
        self.replicas: list[Replica] = []
        self.endings: list[Ending] = []
        self.inspections: list[Inspection] = []
        self.bug = bug
        self._labels = {"max_delay": "60s", **labels}
        self._checkpoint_ms = checkpoint_ms
        self._time = time_section
        self._librdkafka = {
            "session.timeout.ms": 3_000,
            "heartbeat.interval.ms": 500,
            **librdkafka,
        }
        outputs = {self.alerts: 1, self.dead: 1}
        create_topics(stream.bootstrap, outputs)
        # Compaction comes late enough for the auditor to have seen everything.
        late = {"cleanup.policy": "compact", "min.compaction.lag.ms": "60000"}
        create_topics(stream.bootstrap, {self.state: 1}, {**late, "segment.bytes": "4000000"})
        self.auditor = Auditor(stream.bootstrap, self.state, self.name)
        self.samples: list[Sample] = []
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def config(self, port: int, join: Path) -> str:
        """Return the configuration of a replica."""
        predictions, labels = self.stream.topics
        return json.dumps(
            {
                "app": self.name,
                "kafka": {"bootstrap_servers": self.bootstrap, "librdkafka": self._librdkafka},
                "topics": {
                    "predictions": [predictions],
                    "labels": [labels],
                    "alerts": self.alerts,
                    "dead_letters": self.dead,
                },
                "time": {
                    "pane": f"{PANE_MS}ms",
                    "disorder": "5s",
                    "grace": "5s",
                    **dict([self._time.split(": ")]),
                },
                "checkpoint_interval": f"{self._checkpoint_ms}ms",
                "alerts": {"budget": "6 per hour", "resolve_after": "10s", "cool_down": "5s"},
                "models": {
                    MODEL: {
                        "task": "binary",
                        "reference": str(self.reference),
                        "slices": ["c"],
                        "windows": ["10s", "60s"],
                        "labels": self._labels,
                    }
                },
                "join_store": {"folder": str(join)},
                "http": {"port": port},
                "log": {"format": "json"},
            }
        )

    def start(self, slot: str = "a", *, limits: Mapping[str, int] = {}) -> Replica:
        """Start a replica; a slot's replicas have the log and the join store in common."""
        replica = Replica(self, slot, self.bug, limits)
        self.replicas.append(replica)
        return replica

    def look(self) -> None:
        """Fail where a replica has ended by itself."""
        for replica in self.replicas:
            if replica.status is not None:
                self.endings.append(Ending(replica.pid, replica.status, None))
                tail = replica.log.read_text(errors="replace")[-3_000:]
                raise AssertionError(
                    f"a replica ended with {replica.status}: {replica.log}\n{tail}"
                )

    def rest(self) -> None:
        """Let all replicas stop."""
        for replica in list(self.replicas):
            took = replica.end(signal.SIGTERM)
            assert took < 10.0, f"{replica.log}: a stop took {took:.1f} s"

    def lose_join_store(self, slot: str = "a") -> None:
        """Delete the join store of a slot whose replica is gone."""
        shutil.rmtree(self.folder / "join" / slot, ignore_errors=True)

    def committed(self) -> dict[Partition, int]:
        """Return the group's offsets."""
        consumer = Consumer(
            {"bootstrap.servers": self.stream.bootstrap, "group.id": f"streamgauge.{self.name}"}
        )
        wanted = [TopicPartition(t, p) for t in self.stream.topics for p in range(PARTITIONS)]
        found = consumer.committed(wanted, timeout=20)
        consumer.close()
        return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def inspect(self) -> None:
        """Note the offsets of state and group, while no replica runs."""
        for _ in range(20):
            # What was about to be committed when the replica was killed may take a moment.
            time.sleep(0.1)
            group = self.committed()
            last = self.auditor.to_now()
            state = dict(last.positions) if last is not None else {}
            if state == group:
                break
        self.inspections.append(Inspection(state, group))

    def consumed(self) -> int:
        """Return how many messages the latest checkpoint has counted."""
        last = self.auditor.last
        return 0 if last is None else last.counts.get("consumed", 0)

    def close(self) -> None:
        """End all replicas, the auditor and the sampler."""
        self._stop.set()
        self._sampler.join(10.0)
        for replica in list(self.replicas):
            replica.end()
        self.auditor.close()

    def _sample(self) -> None:
        """Look at the active replica over and over."""
        names = {
            "streamgauge_watermark_timestamp_seconds": "watermark",
            "streamgauge_series_exported": "series",
            "process_resident_memory_bytes": "resident",
        }
        while not self._stop.wait(_SAMPLE_S):
            for replica in list(self.replicas):
                told = {names[s.name]: s.value for s in replica.samples() if s.name in names}
                if "watermark" in told:
                    self.samples.append(Sample(replica.pid, **told))

    def settle(self, ledger: Ledger, timeout: float = 120.0) -> Evidence:
        """Let the active replica read all, stop everything, and return the evidence.

        What the final figures need is read from the replica before it is stopped.
        """

        def read_all() -> bool:
            self.look()
            last = self.auditor.last
            return last is not None and dict(last.positions) == ledger.ends

        wait_for("everything is read and committed", read_all, timeout)
        active: list[Replica] = []

        def told() -> bool:
            active[:] = [replica for replica in self.replicas if replica.active]
            return bool(active) and active[0].lag == 0

        wait_for("all of it is published", told, 60.0, 0.3)
        # The models' figures are made anew less often than the process's own: after much to read,
        # on a slow machine, ten seconds later.
        read = time.time()
        wait_for("the models' figures are of now", lambda: active[0].shown_at > read, 60.0, 0.3)
        # The page is written from them a little later.
        time.sleep(3.0)
        evidence = Evidence(ledger)
        self._read_figures(active[0], evidence)
        self.rest()
        self.inspect()
        evidence.checkpoints = self.auditor.checkpoints
        evidence.inspections = self.inspections
        evidence.endings = self.endings
        evidence.samples = self.samples
        self._read_topics(evidence)
        return evidence

    def _read_figures(self, replica: Replica, evidence: Evidence) -> None:
        ends: dict[str, float] = {}
        means: dict[str, dict[str, float]] = {}
        for name, labels, value, *_ in replica.samples():
            if name == "streamgauge_consumer_lag_messages":
                evidence.lag += value
            if name == "streamgauge_window_end_timestamp_seconds":
                ends[labels["window"]] = value
            if name == "streamgauge_feature_mean" and labels["feature"] == "x":
                means.setdefault(labels["window"], {})[labels["model_version"]] = value
            key = figure_key(name, labels)
            if key is not None:
                evidence.figures[key] = value
        window, length = "10s", 10_000
        for version, mean in means.get(window, {}).items():
            end = round(ends[window] * 1000)
            evidence.means[version] = end - length, end, mean
        view = json.loads(replica.get(f"/api/v1/models/{MODEL}"))
        evidence.joined = (view.get("performance") or {}).get("join", {})

    def _read_topics(self, evidence: Evidence) -> None:
        bootstrap = self.stream.bootstrap
        for message in read_to_end(bootstrap, self.alerts):
            body = json.loads(message.value() or b"")
            content = json.dumps({name: body[name] for name in _ALERT})
            found = Revision(body["alert_id"], body["revision"], content, body["statistic"])
            evidence.alerts.append(found)
        for message in read_to_end(bootstrap, self.dead):
            headers = dict(message.headers() or ())
            told = {
                name.removeprefix(_LETTER): value.decode()
                for name, value in headers.items()
                if name.startswith(_LETTER) and isinstance(value, bytes)
            }
            place = told["topic"], int(told["partition"]), int(told["offset"])
            evidence.letters.append(Letter(place, told["reason"]))
        for topic in (self.alerts, self.dead, self.state):
            if ends_of(bootstrap, topic, "read_committed") != ends_of(
                bootstrap, topic, "read_uncommitted"
            ):
                evidence.open_transactions.append(topic)


def figure_key(name: str, labels: Mapping[str, str]) -> str | None:
    """Return how a sample stands among the figures, None for what is not compared."""
    if not name.startswith("streamgauge_") or labels.get("model") != MODEL:
        return None
    version = labels.get("model_version", "")
    text = f"{name} version={version}"
    if name == "streamgauge_slice_predictions_total":
        return f"{text} {labels['slice']}"
    if name in ("streamgauge_feature_values_total", "streamgauge_feature_missing_total"):
        return f"{text} feature={labels['feature']}"
    if name == "streamgauge_prediction_values_total":
        return f"{text} value={labels['value']}"
    if name in ("streamgauge_predictions_total", "streamgauge_prediction_errors_total"):
        return text
    volatile = ("model", "model_version")
    rest = " ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k not in volatile)
    return f"{text} {rest}"


def ends_of(bootstrap: str, topic: str, isolation: str) -> int:
    """Return the end of a topic's partition 0 as readers of this isolation see it."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "chaos", "isolation.level": isolation}
    )
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    consumer.close()
    return end


class Auditor:
    """Follows a state topic as a reader of committed records, and keeps what checkpoints say."""

    def __init__(self, bootstrap: str, topic: str, app: str) -> None:
        self.checkpoints: list[Checkpoint] = []
        self._app = app
        self._topic = topic
        self._parts: dict[bytes, bytes] = {}
        self._reached = 0
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": unique_name("auditor"),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._bootstrap = bootstrap
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def last(self) -> Checkpoint | None:
        """The latest checkpoint seen."""
        assert self._failed is None, self._failed
        return self.checkpoints[-1] if self.checkpoints else None

    def to_now(self) -> Checkpoint | None:
        """Wait until all that is committed has been seen, and return the latest."""
        end = ends_of(self._bootstrap, self._topic, "read_committed")
        wait_for(f"the auditor reads {self._topic} to {end}", lambda: self._reached >= end, 30.0)
        return self.last

    def close(self) -> None:
        """Follow no more."""
        self._stop.set()
        self._thread.join(20.0)
        self._consumer.close()

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                for message in self._consumer.consume(1_000, 0.1):
                    error = message.error()
                    offset = message.offset() or 0
                    if error is None:
                        self._take(message.key() or b"", message.value(), offset)
                        self._reached = offset + 1
                    elif error.code() == KafkaError._PARTITION_EOF:
                        self._reached = max(self._reached, offset)
        except BaseException as failed:  # noqa: BLE001 - it is raised where it is noticed
            self._failed = failed

    def _take(self, key: bytes, value: bytes | None, offset: int) -> None:
        if value is None:
            return
        if key in (_COUNTS, _WATERMARK):
            self._parts[key] = value
        elif key == _MANIFEST:
            chunk = read(key, value, offset)
            manifest = decode_manifest([chunk], self._app)
            counts = unpack(bytes(read(_COUNTS, self._parts[_COUNTS], offset).body))
            time_part = unpack(bytes(read(_WATERMARK, self._parts[_WATERMARK], offset).body))
            counted = {name: counts[name] for name in COUNTED}
            counted |= {f"rejected {reason}": n for reason, n in counts["rejected"].items()}
            self.checkpoints.append(
                Checkpoint(
                    *manifest.generation,
                    {p: position.offset for p, position in manifest.positions.items()},
                    counted,
                    time_part["value"],
                )
            )


_COUNTS: Final = state_key("counts")
_WATERMARK: Final = state_key("watermark")
_MANIFEST: Final = state_key("", 0, MANIFEST)


class Stage:
    """Everything of one test, closed in the end; artefacts stay in `folder`."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self._open = ExitStack()
        self.zygote = Zygote()
        self._open.callback(self.zygote.close)
        self.reference = folder / "m.reference.json"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._open.close()
        if error is not None:
            print(f"artefacts of this run: {self.folder}", file=sys.stderr)  # noqa: T201

    def profile(self) -> None:
        """Make the reference of the model."""
        data = self.folder / "training.ndjson"
        data.write_bytes(training(99, 60_000, START_MS - 86_400_000))
        log = self.folder / "profile.log"
        arguments = ["profile", str(data), "-o", str(self.reference), "--model", MODEL]
        pid = self.zygote.start([*arguments, "--slice", "c", "--positive", "1"], log)
        assert self.zygote.wait(pid, 120.0) == 0, log.read_text()

    def stream(self, *, seed: int, rate: float, least: int) -> Stream:
        """Begin a stream."""
        found = Stream(self.bootstrap, self.folder, seed=seed, rate=rate, least=least)
        self._open.callback(found.close)
        return found

    def prepared(self, events: Iterable[Event] = ()) -> Prepared:
        """Make input topics that hold these events."""
        found = Prepared(self.bootstrap, self.folder)
        found.send(events)
        return found

    def app(self, stream: Stream | Prepared, **more: Any) -> App:
        """Make an app, without replicas yet."""
        found = App(stream, self.zygote, self.reference, **more)
        self._open.callback(found.close)
        return found

    def calm(self, stream: Stream | Prepared, ledger: Ledger) -> Evidence:
        """Watch the whole stream once more, without any fault."""
        app = self.app(stream, name="calm")
        app.start()
        return app.settle(ledger, 300.0)
