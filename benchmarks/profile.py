"""How fast `streamgauge profile` is, and how much memory it takes.

Made-up events of 18 numeric and 2 categorical features, with predictions, scores, labels and times,
in one Parquet file. Times ascend, as in a log; `shuffled` has the same rows in random order. The
command runs as a process of its own, so that its peak memory is its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import Row, arguments, report

ROWS: Final = 10_000_000
QUICK_ROWS: Final = 1_000_000
CHUNK: Final = 1_000_000
NUMERIC: Final = 18
START_MS: Final = 1_735_689_600_000
SPAN_MS: Final = 60 * 86_400_000
CATEGORIES: Final = {"plan": 12, "city": 300}


def chunk(rng: np.random.Generator, rows: int, first: int, last: int) -> pa.Table:
    """Return made-up events between two times (ms)."""
    columns: dict[str, Any] = {"timestamp": np.sort(rng.integers(first, last, rows))}
    draw = (rng.standard_normal, rng.standard_exponential, lambda n: rng.lognormal(size=n))
    for i in range(NUMERIC):
        values = draw[i % 3](rows)
        # Some columns are rounded, some have gaps, as real ones do.
        columns[f"x{i:02}"] = pa.array(
            np.round(values, 1) if i % 4 == 0 else values,
            mask=rng.random(rows) < 0.02 if i % 5 == 0 else None,
        )
    for name, count in CATEGORIES.items():
        codes = (rng.random(rows) ** 2 * count).astype(np.int32)
        values = pa.array([f"{name}-{code}" for code in range(count)])
        columns[name] = pa.DictionaryArray.from_arrays(codes, values).dictionary_decode()
    score = rng.beta(2.0, 5.0, rows)
    columns["score"] = score
    columns["prediction"] = (score >= 0.5).astype(np.int64)
    columns["label"] = (rng.random(rows) < score).astype(np.int64)
    return pa.table(columns)


def write(path: Path, rows: int, *, shuffled: bool) -> None:
    """Write that many events; in random order of time where shuffled."""
    rng = np.random.default_rng(1)
    chunks = max(1, rows // CHUNK)
    writer = None
    for i in range(chunks):
        span = (0, SPAN_MS) if shuffled else (SPAN_MS * i // chunks, SPAN_MS * (i + 1) // chunks)
        table = chunk(rng, rows // chunks, START_MS + span[0], START_MS + span[1])
        if shuffled:
            table = table.take(rng.permutation(len(table)))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def run(name: str, path: Path, output: Path, *options: str) -> Row:
    """Profile a file and return the figures."""
    command = [sys.executable, "-m", "streamgauge.cli.main", "profile", str(path), "-o"]
    command += [str(output), "--force", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    summary = json.loads(printed)
    return {
        "run": name,
        "rows": summary["rows"],
        "columns": NUMERIC + len(CATEGORIES),
        "seconds": summary["seconds"],
        "rows_per_second": summary["rows_per_second"],
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "file_bytes": path.stat().st_size,
        "reference_bytes": output.stat().st_size,
    }


def write_apart(path: Path, rows: int, *, shuffled: bool) -> None:
    """Write in another process: a child's peak memory is never told below its parent's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
        writer.submit(write, path, rows, shuffled=shuffled).result()


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__)
    rows = QUICK_ROWS if options.quick else ROWS
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder) / "events.parquet", Path(folder) / "reference.json"
        write_apart(path, 10_000, shuffled=False)
        run("warm-up: libraries are read from the disk and compiled", path, output)
        write_apart(path, rows, shuffled=False)
        results.append(run("in order of time", path, output))
        results.append(run("with 312 slices", path, output, "--slice", "plan", "--slice", "city"))
        write_apart(path, rows, shuffled=True)
        results.append(run("in random order", path, output))
    report("profile", results, as_json=options.json)


if __name__ == "__main__":
    main()
