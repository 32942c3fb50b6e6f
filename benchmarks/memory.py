"""Resident memory of one model's engine over an hour of event time.

Run with `python -m benchmarks.memory [--quick] [--json] [--slices N] [--rate N]`. 20 features,
2,000 slices and windows of 5 minutes, an hour and a day; every slice has events in every pane. The
same decoded events come again in every pane of 10 s, with its time; after each state is packed as
for a checkpoint, and a snapshot and a page of metrics are made, as in `streamgauge run`. Not in it
are the Kafka client (32 MB of messages read ahead by default) and messages on their way.

`resident_mb` is the process's at the end, Python and its libraries included (`before_mb` when they
are there and the reference is read), `second_half_mb` by how much it grew in the second half of the
time: windows fill until their length has passed, so a longer one goes on growing.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.common import Row, report
from benchmarks.throughput_stream import CONFIG, Stream, predictions, reference
from streamgauge.clock import SystemClock
from streamgauge.config import load
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.state_journal import StateJournal
from streamgauge.io.allocator import return_large_blocks
from streamgauge.io.metrics.exposition import Form
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import plan, render_limits
from streamgauge.runner.publisher import Publisher

PANE_S: Final = 10
PANES: Final = 360
QUICK_PANES: Final = 60
RATE: Final = 2_000
LOOKS: Final = 6
_BATCH: Final = 10_000
_LATER: Final = 2_000_000_000_000
"""A broker's timestamp (ms) that is later than all event times."""


def resident_mb() -> float:
    """Return the process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def measure(stream: Stream, panes: int, rate: int, folder: Path) -> list[Row]:
    """Let time pass; return what is resident now and then."""
    words = {
        "app": "memory",
        "bootstrap": "localhost:9092",
        "stem": "memory",
        "slices": json.dumps(stream.dimensions),
        "labels": "[]",
        "port": 9000,
        "interval": "5s",
        "folder": folder / "join",
        "reference": reference(stream, folder),
    }
    path = folder / "memory.yaml"
    path.write_text((CONFIG % words).replace("[5m, 1h]", "[5m, 1h, 1d]"))
    settings = load(path)
    pipeline = Pipeline(plan(settings, path))
    (engine,) = pipeline.engines.values()
    events = replace(stream, events=rate * PANE_S)
    messages = list(predictions(events))
    raw = RawMessages(
        [value for _, value in messages],
        [key for key, _ in messages],
        np.zeros(len(messages), np.int32),
        np.arange(len(messages)),
        np.full(len(messages), _LATER),
    )
    (batch,) = NativeDecoder((engine.layout.schema,)).decode(raw).batches
    del messages, raw
    span = batch.timestamp - batch.timestamp.min()
    within = (span * (PANE_S * 1000 - 1) // max(int(span.max()), 1)).astype(np.int64)
    first = int(batch.timestamp.min()) // (PANE_S * 1000) * PANE_S * 1000
    publisher, journal = Publisher(SystemClock(), render_limits(settings)), StateJournal("memory")
    form = Form(openmetrics=True, gzip=True)
    rows: list[Row] = [{"panes": 0, "resident MB": resident_mb(), "windows MB": 0.0}]
    began = time.perf_counter()
    for pane in range(panes):
        engine.add(replace(batch, timestamp=first + pane * PANE_S * 1000 + within))
        engine.advance(first + pane * PANE_S * 1000)
        journal.changes(engine.parts(), {})
        journal.committed()
        publisher.publish(pipeline)
        publisher.page.make(form)
        if (pane + 1) % (panes // LOOKS) == 0:
            rows.append(
                {
                    "panes": pane + 1,
                    "resident MB": resident_mb(),
                    "windows MB": engine.nbytes / 1e6,
                    "s a pane": (time.perf_counter() - began) / (pane + 1),
                }
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Resident memory of many slices")
    parser.add_argument("--quick", action="store_true", help="ten minutes of event time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--slices", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=RATE, help="predictions a second of event time")
    options = parser.parse_args()
    return_large_blocks()  # as `streamgauge run` does
    stream = Stream(1, 20, options.slices)
    panes = QUICK_PANES if options.quick else PANES
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(stream, panes, options.rate, Path(folder))
    figures = {
        "before_mb": rows[0]["resident MB"],
        "resident_mb": rows[-1]["resident MB"],
        "second_half_mb": float(rows[-1]["resident MB"]) - float(rows[LOOKS // 2]["resident MB"]),
    }
    if options.json:
        print(json.dumps({"benchmark": "memory", **figures, "results": rows}))
        return
    report(f"memory of {options.slices:,} slices", rows, as_json=False)
    print(" ".join(f"{key}={value:.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
