"""The rows for Streamgauge: a topic, a reference and a configuration; and decoded, in memory."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer

from benchmarks.peers_rows import DIMENSIONS, MODEL, START_MS, TAGS, Rows, columns, events
from benchmarks.peers_worker import Took
from benchmarks.throughput_stream import produce
from streamgauge.config import load
from streamgauge.core.batch import EventBatch
from streamgauge.core.engine import ModelEngine
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.runner.plan import fit_schema, plan
from tests.support.topics import create_topics, unique_name

PARTITIONS: Final = 4
DISORDER_MS: Final = 10_000
POLL: Final = 10_000
_CONFIG: Final = """
app: %(app)s
kafka: {bootstrap_servers: "%(bootstrap)s"}
topics: {predictions: [%(topic)s], labels: [], alerts: %(app)s.alerts, dead_letters: %(app)s.dead}
time: {pane: 10s, disorder: %(disorder)dms}
http: {port: %(port)d}
checkpoint_interval: 5s
join_store: {folder: %(folder)s}
models:
  %(model)s:
    task: binary
    reference: %(reference)s
    slices: %(slices)s
    windows: [5m, 1h]
"""


def fill(bootstrap: str, rows: Rows) -> str:
    """Make a topic that holds the events of all rows, and return its name."""
    topic = unique_name("peers")
    create_topics(bootstrap, {topic: PARTITIONS})
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
        }
    )
    for i, (key, value) in enumerate(events(rows)):
        produce(producer, topic, key, value)
        if i % 1_000 == 0:
            producer.poll(0)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} messages were not written within a minute")
    return topic


def profiled(rows: Rows, folder: Path) -> Path:
    """Profile rows by all slice dimensions and return the reference.

    Their times are spread over the two weeks before.
    """
    span = 14 * 86_400_000
    times = START_MS - span + np.arange(len(rows.score)) * (span // len(rows.score))
    table = pa.table(
        {
            "timestamp": times,
            **columns(rows),
            **{name: rows.words(name) for name in TAGS},
            "prediction": rows.prediction,
            "score": rows.score,
        }
    )
    data, path = folder / "training.parquet", folder / "reference.json"
    pq.write_table(table, data)
    command = [sys.executable, "-m", "streamgauge", "profile", str(data), "-o", str(path)]
    command += ["--force", "--model", MODEL]
    command += [word for name in DIMENSIONS for word in ("--slice", name)]
    command += [word for name in TAGS for word in ("--tag", name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return path


def configure(topic: str, bootstrap: str, reference: Path, port: int) -> Path:
    """Write the configuration of an app of its own beside the reference; return its path."""
    app = unique_name("peers")
    outputs = (f"{app}.alerts", f"{app}.dead", f"streamgauge.{app}.state")
    create_topics(bootstrap, dict.fromkeys(outputs, 1), {"cleanup.policy": "compact"})
    words = {
        "app": app,
        "bootstrap": bootstrap,
        "topic": topic,
        "disorder": DISORDER_MS,
        "port": port,
        "folder": reference.with_name(app),
        "model": MODEL,
        "reference": reference,
        "slices": json.dumps(list(DIMENSIONS)),
    }
    config = reference.with_name(f"{app}.yaml")
    config.write_text(_CONFIG % words)
    return config


def decoded(config: Path, rows: Rows) -> list[EventBatch]:
    """Return the rows' events as the loop would have them, in batches of a poll."""
    settings = load(config)
    (known,) = plan(settings, config).known
    decoder = NativeDecoder([fit_schema(MODEL, settings.models[MODEL], known.reference)])
    found: list[EventBatch] = []
    for messages in _polls(rows):
        poll = decoder.decode(messages)
        assert poll.accepted == len(messages), poll.rejected
        found += poll.batches
    return found


def _polls(rows: Rows) -> Iterator[RawMessages]:
    pairs = events(rows)
    while poll := list(islice(pairs, POLL)):
        offsets = np.arange(len(poll), dtype=np.int64)
        keys, values = zip(*poll, strict=True)
        yield RawMessages(values, keys, np.zeros(len(poll), np.int32), offsets, START_MS + offsets)


def analysed(config: Path, batches: Sequence[EventBatch]) -> Took:
    """Count decoded events, close panes and analyse them; return how long it took.

    One thread, no broker; nothing is shown, and no state is written.
    """
    (known,) = plan(load(config), config).known
    reference = known.reference
    engine = ModelEngine(known.spec, reference.layout, reference, known.reference_id)
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        engine.add(batch)
        engine.advance(int(batch.timestamp[-1]) - DISORDER_MS)
    took = time.perf_counter() - began
    return Took(sum(map(len, batches)), took, time.process_time() - cpu)
