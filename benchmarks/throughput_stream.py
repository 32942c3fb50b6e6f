"""The stream of the throughput benchmark: events, their labels, a reference, and a full topic."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer

from benchmarks.arrow_batches import to_bytes
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.formats.messages import ARROW_TYPE
from tests.support.topics import create_topics, unique_name

MODEL: Final = "flight-delay"
START_MS: Final = 1_764_000_000_000
EVENTS_PER_MS: Final = 20
"""Event time: 20,000 predictions a second. Who is behind reads many times more of it."""
LIVE_EVENTS_PER_MS: Final = 200
"""That of a stream that comes about as fast as it is read."""
LONGEST_DELAY_MS: Final = 60_000
CARRIERS: Final = 10
TAGS: Final = {"region": 4, "device": 3, "plan": 3}
"""Tags that events are sliced by too, and how many values each has."""
TRUE_SHARE: Final = 0.3
PARTITIONS: Final = 4
TRAINING_ROWS: Final = 50_000
TRAINING_MS: Final = 14 * 86_400_000
STEP_MS: Final = TRAINING_MS // TRAINING_ROWS
TEMPLATES: Final = 2_000
"""Different events; the reference has them all, so that nothing drifts."""
_HEADERS: Final[dict[str, str | bytes | None]] = {"content-type": ARROW_TYPE}
CONFIG: Final = """
app: %(app)s
kafka: {bootstrap_servers: "%(bootstrap)s"}
topics: {predictions: [%(stem)s.predictions], labels: %(labels)s, alerts: %(app)s.alerts,
         dead_letters: %(app)s.dead}
time: {pane: 10s, disorder: 10s}
http: {port: %(port)d}
checkpoint_interval: %(interval)s
join_store: {folder: %(folder)s}
models:
  flight-delay:
    task: binary
    reference: %(reference)s
    slices: %(slices)s
    windows: [5m, 1h]
    labels: {max_delay: 1h}
    limits: {slices_per_dimension: 10000}
"""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: how many predictions, features (two of them categorical) and slices it has."""

    events: int
    features: int = 20
    slices: int = 100
    labels: bool = False
    arrow_rows: int = 0
    """Rows of an Arrow batch; 0 where each prediction is a message in JSON."""
    events_per_ms: int = EVENTS_PER_MS
    """How many predictions have the same millisecond of event time."""

    @property
    def name(self) -> str:
        """Name of the stream in the table."""
        more = ", labels" if self.labels else ""
        if self.events_per_ms != EVENTS_PER_MS:
            more += f", {self.events_per_ms},000 a second"
        if self.arrow_rows:
            more += f", Arrow batches of {self.arrow_rows:,}"
        return f"{self.features} features, {self.slices:,} slices{more}"

    @property
    def messages(self) -> int:
        """How many events its topics have."""
        return self.events * (2 if self.labels else 1)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What it is sliced by: two features and three tags, or one feature for few slices."""
        return ("carrier",) if self.slices <= CARRIERS else ("carrier", "airport", *TAGS)

    @property
    def airports(self) -> int:
        """How many values the second categorical feature has; each is a slice."""
        return max(2, self.slices - CARRIERS - sum(TAGS.values()))


class _Templates(NamedTuple):
    """Different events: `numbers (n, features − 2)`, `airport (n,)` and `score (n,)`."""

    numbers: FloatArray
    airport: IntArray
    score: FloatArray


def _templates(stream: Stream) -> _Templates:
    rng = np.random.default_rng(7)
    n = max(TEMPLATES, 4 * stream.airports)
    numbers = rng.normal(100, 30, (n, stream.features - 2)).round(2)
    return _Templates(numbers, rng.permutation(np.arange(n) % stream.airports), rng.beta(2, 5, n))


def predictions(stream: Stream) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of every prediction, in the order of their times."""
    templates = []
    columns = (column.tolist() for column in _templates(stream))
    for i, (row, airport, score) in enumerate(zip(*columns, strict=True)):
        features = {f"f{j}": x for j, x in enumerate(row)}
        features |= {"carrier": f"c{i % CARRIERS}", "airport": f"a{airport}"}
        event = {
            "prediction_id": "#id",
            "timestamp": "#time",
            "model": MODEL,
            "model_version": "3",
            "features": features,
            "prediction": int(round(score, 3) >= 0.5),
            "score": round(score, 3),
            "tags": {name: f"{name[0]}{i % n}" for name, n in TAGS.items()},
            "latency_ms": 12.5,
        }
        text = json.dumps(event, separators=(",", ":")).replace("%", "%%")
        text = text.replace('"#id"', '"p%08d"').replace('"#time"', "%d")
        templates.append(text.encode())
    chosen = np.random.default_rng(11).integers(len(templates), size=stream.events)
    for i, template in enumerate(chosen.tolist()):
        yield b"p%08d" % i, templates[template] % (i, START_MS + i // stream.events_per_ms)


def batches(stream: Stream) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of Arrow batches of predictions, in the form of `streamgauge.emit`."""
    drawn = _templates(stream)
    chosen = np.random.default_rng(11).integers(len(drawn.score), size=stream.events)
    names = {"carrier": CARRIERS, "airport": stream.airports, **TAGS}
    texts = {name: pa.array([f"{name[0]}{i}" for i in range(n)]) for name, n in names.items()}
    for begin in range(0, stream.events, stream.arrow_rows):
        mine = chosen[begin : begin + stream.arrow_rows]
        rows = begin + np.arange(len(mine))
        codes = {"carrier": mine % CARRIERS, "airport": drawn.airport[mine]}
        codes |= {name: mine % n for name, n in TAGS.items()}
        coded = {
            name: pa.DictionaryArray.from_arrays(code.astype(np.int32), texts[name])
            for name, code in codes.items()
        }
        features = {f"f{j}": pa.array(column[mine]) for j, column in enumerate(drawn.numbers.T)}
        features |= {name: coded[name] for name in ("carrier", "airport")}
        score = drawn.score[mine].round(3)
        same = {
            name: pa.array([text]).take(pa.array(np.zeros(len(mine), np.int32)))
            for name, text in (("model", MODEL), ("model_version", "3"))
        }
        table = pa.table(
            {
                "prediction_id": [f"p{row:08d}" for row in rows.tolist()],
                "timestamp": START_MS + rows // stream.events_per_ms,
                **{name: column.dictionary_encode() for name, column in same.items()},
                "prediction": (score >= 0.5).astype(np.int64),
                "latency_ms": np.full(len(mine), 12.5),
                "features": pa.StructArray.from_arrays(list(features.values()), list(features)),
                "tags": pa.StructArray.from_arrays([coded[name] for name in TAGS], list(TAGS)),
                "score": score,
            }
        )
        yield b"p%08d" % begin, to_bytes(table)


def labels(stream: Stream) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of every prediction's label."""
    rng = np.random.default_rng(8)
    delays = rng.integers(1_000, LONGEST_DELAY_MS, stream.events)
    truth = rng.random(stream.events) < TRUE_SHARE
    text = b'{"prediction_id":"p%08d","timestamp":%d,"model":"flight-delay","label":%d}'
    for i, (delay, true) in enumerate(zip(delays.tolist(), truth.tolist(), strict=True)):
        yield b"p%08d" % i, text % (i, START_MS + i // stream.events_per_ms + delay, true)


@dataclass(frozen=True, slots=True)
class Filled:
    """Topics that hold a stream's messages; `stem` is what their names begin with."""

    stream: Stream
    stem: str
    topics: tuple[str, ...]
    messages: int
    bytes: int = 0

    @property
    def partitions(self) -> list[tuple[str, int]]:
        """All partitions."""
        return [(topic, number) for topic in self.topics for number in range(PARTITIONS)]


def produce(producer: Producer, topic: str, key: bytes, value: bytes, **more: Any) -> None:
    """Hand a message to the client; where the broker does not keep up, wait until there is room."""
    while True:
        try:
            producer.produce(topic, value, key, **more)
            return
        except BufferError:
            producer.poll(0.05)


def fill(bootstrap: str, stream: Stream) -> Filled:
    """Make topics with all messages of a stream in them."""
    stem = unique_name("throughput")
    kinds = {"predictions": batches(stream) if stream.arrow_rows else predictions(stream)}
    if stream.labels:
        kinds["labels"] = labels(stream)
    create_topics(bootstrap, {f"{stem}.{kind}": PARTITIONS for kind in kinds})
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
            # Batches of 5,000 rows are larger than the usual limit, until they are compressed.
            "message.max.bytes": 4_000_000,
        }
    )
    written = size = 0
    for kind, messages in kinds.items():
        topic = f"{stem}.{kind}"
        for i, (key, value) in enumerate(messages):
            if kind == "predictions" and stream.arrow_rows:
                produce(producer, topic, key, value, partition=i % PARTITIONS, headers=_HEADERS)
            else:
                produce(producer, topic, key, value)
            written += 1
            size += len(value)
            if i % 1_000 == 0:
                producer.poll(0)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} messages were not written within a minute")
    return Filled(stream, stem, tuple(f"{stem}.{kind}" for kind in kinds), written, size)


def reference(stream: Stream, folder: Path) -> Path:
    """Profile events like the stream's, with labels, and return the reference."""
    drawn = _templates(stream)
    which = np.arange(TRAINING_ROWS) % len(drawn.score)
    score = drawn.score[which].round(3)
    truth = np.random.default_rng(10).random(TRAINING_ROWS) < TRUE_SHARE
    table = pa.table(
        {
            # Two weeks: of less than 20 hours the reference tells no dispersion, and changes are
            # judged from the 31st pane on.
            "timestamp": START_MS - TRAINING_MS + np.arange(TRAINING_ROWS) * STEP_MS,
            **{f"f{j}": column[which] for j, column in enumerate(drawn.numbers.T)},
            "carrier": [f"c{i % CARRIERS}" for i in which.tolist()],
            "airport": [f"a{airport}" for airport in drawn.airport[which].tolist()],
            "prediction": (score >= 0.5).astype(np.int64),
            "score": score,
            "label": truth.astype(np.int64),
            **{name: [f"{name[0]}{i % n}" for i in which.tolist()] for name, n in TAGS.items()},
        }
    )
    data, path = folder / "training.parquet", folder / "reference.json"
    pq.write_table(table, data)
    command = [sys.executable, "-m", "streamgauge", "profile", str(data), "-o", str(path)]
    command += ["--force", "--model", MODEL]
    for name in stream.dimensions:
        command += ["--slice", name] + (["--tag", name] if name in TAGS else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return path


def configure(
    filled: Filled, bootstrap: str, reference: Path, *, port: int = 9000, interval: str = "5s"
) -> Path:
    """Write a configuration of an app of its own beside the reference; return its path."""
    app = unique_name(filled.stem)
    outputs = (f"{app}.alerts", f"{app}.dead", f"streamgauge.{app}.state")
    create_topics(bootstrap, dict.fromkeys(outputs, 1), {"cleanup.policy": "compact"})
    words = {
        "app": app,
        "bootstrap": bootstrap,
        "stem": filled.stem,
        "slices": json.dumps(filled.stream.dimensions),
        "labels": json.dumps([topic for topic in filled.topics if topic.endswith(".labels")]),
        "port": port,
        "interval": interval,
        "folder": reference.with_name(app),
        "reference": reference,
    }
    config = reference.with_name(f"{app}.yaml")
    config.write_text(CONFIG % words)
    return config
