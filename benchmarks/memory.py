"""Resident memory of `streamgauge run` over an hour of event time, or a day.

Run with `python -m benchmarks.memory [--quick] [--json] [--slices N] [--rate N] [--minutes N]`. 20
features, 2,000 slices and windows of 5 minutes, an hour and a day; all values are drawn anew for
every event, so that slices have events in all of their cells sooner or later. A process that has
loaded what `streamgauge run` does reads the messages from a pipe, decodes, counts and analyses
them; after every third pane of 10 s state is encoded as for a checkpoint, and a snapshot and a page
of metrics are made. Not in it are the Kafka client's queues: up to 32 MB of messages read ahead, as
`kafka` is configured by default.

`resident_mb` is the process's at the end, `loaded_mb` when all is loaded and the reference read,
`second_half_mb` by how much it grew in the second half of the time. Windows fill until their length
has passed; of their steps, `windows MB` in all, `on disk MB` are in the spill file.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import Row, parser, report
from benchmarks.memory_process import send
from benchmarks.throughput_stream import CONFIG, MODEL

PANE_S: Final = 10
MINUTES: Final = 60
QUICK_MINUTES: Final = 10
RATE: Final = 2_000
FEATURES: Final = 20
CARRIERS: Final = 10
TRAINING_ROWS: Final = 50_000
LOOKS: Final = 6
START_MS: Final = 1_764_000_000_000
_POLL: Final = 20_000


@dataclass(frozen=True, slots=True)
class Drawn:
    """Events' features, numbers and texts, and scores."""

    numbers: list[list[float]]
    carrier: list[str]
    airport: list[str]
    score: list[float]


def drawn(rng: np.random.Generator, events: int, slices: int) -> Drawn:
    """Draw events; each of the slices but ten is an airport, those are carriers."""
    return Drawn(
        rng.normal(100, 30, (events, FEATURES - 2)).round(2).tolist(),
        [f"c{i}" for i in rng.integers(CARRIERS, size=events).tolist()],
        [f"a{i}" for i in rng.integers(slices - CARRIERS, size=events).tolist()],
        rng.beta(2, 5, events).round(3).tolist(),
    )


def polls(found: Drawn, start_ms: int, first: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield keys and values of events that are spread over a pane."""
    names = ",".join(f'"f{j}":%s' for j in range(FEATURES - 2))
    text = (
        '{"prediction_id":"p%d","timestamp":%d,"model":"' + MODEL + '","model_version":"3",'
        '"features":{' + names + ',"carrier":"%s","airport":"%s"},"prediction":%d,"score":%s,'
        '"latency_ms":12.5}'
    )
    events = len(found.score)
    columns = zip(found.numbers, found.carrier, found.airport, found.score, strict=True)
    messages = [
        text % (first + i, start_ms + i * PANE_S * 1000 // events, *x, c, a, score >= 0.5, score)
        for i, (x, c, a, score) in enumerate(columns)
    ]
    for at in range(0, events, _POLL):
        values = [message.encode() for message in messages[at : at + _POLL]]
        yield [b"p%d" % (first + at + i) for i in range(len(values))], values


def reference(slices: int, folder: Path) -> Path:
    """Profile events drawn as those to come are, and return the reference."""
    rng = np.random.default_rng(7)
    found = drawn(rng, TRAINING_ROWS, slices)
    score = np.array(found.score)
    table = pa.table(
        {
            "timestamp": START_MS - 86_400_000 + np.arange(TRAINING_ROWS) * 1_000,
            **{f"f{j}": column for j, column in enumerate(np.array(found.numbers).T)},
            "carrier": found.carrier,
            "airport": found.airport,
            "prediction": (score >= 0.5).astype(np.int64),
            "score": score,
        }
    )
    data, path = folder / "training.parquet", folder / "reference.json"
    pq.write_table(table, data)
    command = [sys.executable, "-m", "streamgauge", "profile", str(data), "-o", str(path)]
    command += ["--model", MODEL, "--slice", "carrier", "--slice", "airport"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return path


def measure(slices: int, panes: int, rate: int, folder: Path) -> list[Row]:
    """Let time pass; return what is resident now and then."""
    words = {
        "app": "memory",
        "bootstrap": "localhost:9092",
        "stem": "memory",
        "slices": json.dumps(("carrier", "airport")),
        "labels": "[]",
        "port": 9000,
        "interval": "5s",
        "folder": folder / "join",
        "reference": reference(slices, folder),
    }
    path = folder / "memory.yaml"
    path.write_text((CONFIG % words).replace("[5m, 1h]", "[5m, 1h, 1d]"))
    command = [sys.executable, "-m", "benchmarks.memory_process", str(path)]
    rng = np.random.default_rng(8)
    rows: list[Row] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        rows.append({"minutes": 0.0, **json.loads(process.stdout.readline())})
        began = time.perf_counter()
        for pane in range(panes):
            found = drawn(rng, rate * PANE_S, slices)
            start = START_MS + pane * PANE_S * 1000
            send(process.stdin, list(polls(found, start, pane * rate * PANE_S)))
            seen = json.loads(process.stdout.readline())
            if (pane + 1) % max(panes // LOOKS, 1) == 0:
                took = (time.perf_counter() - began) / (pane + 1)
                rows.append({"minutes": (pane + 1) * PANE_S / 60, **seen, "s a pane": took})
        process.stdin.close()
    return rows


def main() -> None:
    """Measure and print."""
    command = parser("Resident memory of many slices")
    command.add_argument("--slices", type=int, default=2_000)
    command.add_argument(
        "--rate", type=int, default=RATE, help="predictions a second of event time"
    )
    command.add_argument("--minutes", type=int, default=MINUTES, help="of event time")
    options = command.parse_args()
    panes = (QUICK_MINUTES if options.quick else options.minutes) * 60 // PANE_S
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options.slices, panes, options.rate, Path(folder))
    figures = {
        "loaded_mb": rows[0]["resident MB"],
        "resident_mb": rows[-1]["resident MB"],
        "second_half_mb": float(rows[-1]["resident MB"])
        - float(rows[len(rows) // 2]["resident MB"]),
    }
    if options.json:
        print(json.dumps({"benchmark": "memory", **figures, "results": rows}))
        return
    report(f"memory of {options.slices:,} slices", rows, as_json=False)
    print(" ".join(f"{key}={value:.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
