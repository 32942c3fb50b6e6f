"""The join store against RocksDB, LMDB and SQLite, and at full size.

Run with `python -m benchmarks.join_store [--quick] [--json] [--pending N] [--store NAME]`. Pending
predictions of 60 bytes under random keys are written in batches of 20,000 over eight buckets of a
day; then polls of 10,000 are looked up, joined and expired. The others stand behind the
join store's filters, in memory alone. Every store runs in a process of its own, which is killed at
the end, so that memory and opening are told apart. The last
rows are a flood of labels without predictions under a cap of bytes, held by dropping the oldest
buckets.
`--pending 50000000 --store streamgauge` is the size that the design promises. Files go to a
temporary folder (`TMPDIR`), some 100 bytes a prediction.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.common import Row, report
from benchmarks.join_store_candidates import Lmdb, RocksDb, Sqlite
from benchmarks.join_store_load import (
    BUCKETS,
    FLUSH,
    POLL,
    Filtered,
    Load,
    Ours,
    Subject,
    bytes_on_disk,
    fill,
    keys_of,
    median_seconds,
    resident_mib,
    values_of,
)
from streamgauge.core.joining.store import Space

OURS: Final = "streamgauge"
STORES: Final[Mapping[str, Callable[[Path, Sequence[int]], Subject]]] = {
    OURS: lambda folder, _: Ours(folder),
    "rocksdb": lambda folder, buckets: Filtered(RocksDb(folder), buckets),
    "lmdb": lambda folder, buckets: Filtered(Lmdb(folder), buckets),
    "sqlite": lambda folder, buckets: Filtered(Sqlite(folder), buckets),
}
FLOOD: Final = "flood"

Figures = dict[str, float]


def load_figures(subject: Subject, folder: Path, load: Load, repeats: int) -> Figures:
    """Fill a store and use it; return what it cost."""
    for bucket in range(BUCKETS):
        numbers = np.array([2**50 + bucket])
        subject.write({bucket: (keys_of(numbers), values_of(1, np.random.default_rng(0)))})
    empty, _ = resident_mib()
    filling = fill(subject, load)
    disk = bytes_on_disk(folder)
    rng = np.random.default_rng(2)
    absent = [load.absent(rng) for _ in range(repeats)]
    old = [load.present(rng) for _ in range(repeats)]
    half = [
        np.concatenate((keys_of(o[: POLL // 2]), a[: POLL // 2]))
        for o, a in zip(old, absent, strict=True)
    ]
    values = values_of(2 * POLL, rng)

    def join(turn: int) -> None:
        start = load.pending + turn * POLL
        new = np.arange(start, start + POLL)
        found = subject.get(keys_of(old[turn]))
        assert found == len(old[turn]), "a record that was put is gone"
        assert not subject.get(keys_of(new)), "a record that was not put is there"
        numbers = np.concatenate((new, old[turn]))
        subject.write(load.by_bucket(numbers, values[: len(numbers)]))

    figures = {
        "puts/s": filling.rate,
        "puts/s at the end": filling.last_rate,
        "longest write s": filling.longest_seconds,
        "gets/s absent": POLL / median_seconds(lambda turn: subject.get(absent[turn]), repeats),
        "gets/s half": POLL / median_seconds(lambda turn: subject.get(half[turn]), repeats),
        "pairs/s": POLL / median_seconds(join, repeats),
        "bytes each": disk / load.pending,
    }
    resident, anonymous = resident_mib()
    begin = time.perf_counter()
    subject.drop(0)
    figures |= {
        "drop s": time.perf_counter() - begin,
        "RSS MiB": resident,
        "anonymous MiB": anonymous,
        "RSS empty MiB": empty,
    }
    return figures


def flood_figures(folder: Path, orphans: int, cap: int) -> Figures:
    """Put labels without predictions and drop the oldest buckets over the cap."""
    subject = Ours(folder, Space.LABELS)
    load = Load(orphans)
    rng = np.random.default_rng(3)
    dropped = largest = disk = 0
    total = 0.0
    for start in range(0, orphans, FLUSH):
        numbers = np.arange(start, start + FLUSH)
        records = keys_of(numbers), values_of(FLUSH, rng)
        begin = time.perf_counter()
        # Fifty buckets of their own: the flood lasts for days.
        subject.write({start * 50 // orphans: records})
        sizes = subject.store.sizes(Space.LABELS)
        while sum(sizes.values()) > cap and len(sizes) > 1:
            oldest = min(sizes)
            subject.drop(oldest)
            del sizes[oldest]
            dropped += 1
        total += time.perf_counter() - begin
        largest = max(largest, sum(sizes.values()))
        disk = max(disk, bytes_on_disk(folder))
    resident, anonymous = resident_mib()
    assert not subject.get(keys_of(np.arange(POLL))) or not dropped
    kept = subject.get(keys_of(np.arange(load.pending - POLL, load.pending)))
    assert kept == POLL, "the newest orphans are gone"
    return {
        "orphans": orphans,
        "puts/s": orphans / total,
        "cap MiB": cap / 2**20,
        "most by sizes MiB": largest / 2**20,
        "most on disk MiB": disk / 2**20,
        "buckets dropped": dropped,
        "RSS MiB": resident,
        "anonymous MiB": anonymous,
    }


def reopened_figures(name: str, folder: Path, load: Load) -> Figures:
    """Open a store whose process was killed; return how long it takes."""
    begin = time.perf_counter()
    subject = STORES[name](folder, range(1, BUCKETS))
    keys = keys_of(np.arange(load.pending - 100, load.pending))
    assert subject.get(keys) == len(keys), "a flushed record is gone"
    seconds = time.perf_counter() - begin
    resident, _ = resident_mib()
    return {"open s": seconds, "RSS opened MiB": resident}


def in_child(step: str, name: str, folder: Path, options: argparse.Namespace) -> Figures:
    """Run one step in a process of its own, which kills itself at the end."""
    command = [sys.executable, "-m", "benchmarks.join_store", "--step", step, "--store", name]
    command += ["--folder", str(folder), "--pending", str(options.pending)]
    command += ["--quick"] if options.quick else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != -signal.SIGKILL:
        raise SystemExit(f"{name}: {step} failed")
    figures: Figures = json.loads(done.stdout)
    return figures


def step(options: argparse.Namespace) -> None:
    """Do one step, print its figures and die without closing anything."""
    folder, load = options.folder, Load(options.pending)
    repeats = 5 if options.quick else 20
    if options.step == "load":
        # The subject outlives the printing: nothing closes it.
        subject = STORES[options.store](folder, ())
        figures = load_figures(subject, folder, load, repeats)
    elif options.step == "flood":
        # Eleven orphans of 100 bytes each for one that fits.
        figures = flood_figures(folder, options.pending, options.pending * 100 // 11)
    else:
        figures = reopened_figures(options.store, folder, load)
    print(json.dumps(figures), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def measured(name: str, options: argparse.Namespace) -> Row:
    """Return all figures of one store."""
    with tempfile.TemporaryDirectory(prefix="join-store-") as made:
        folder = Path(made)
        figures = in_child("load", name, folder, options)
        figures |= in_child("reopened", name, folder, options)
    return {"store": name, **figures}


def options_given() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="The join store against LMDB, SQLite and RocksDB")
    parser.add_argument("--quick", action="store_true", help="a smaller run, for a first look")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--pending", type=int, help="pending predictions (default 2,000,000)")
    parser.add_argument("--store", choices=[*STORES, FLOOD], help="only this one")
    parser.add_argument("--step", choices=["load", "reopened", "flood"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.pending = options.pending or (100_000 if options.quick else 2_000_000)
    if options.pending % FLUSH:
        parser.error(f"--pending: give a multiple of {FLUSH}")
    return options


def main() -> None:
    """Measure and print."""
    options = options_given()
    if options.step:
        step(options)
        return
    names = [name for name in STORES if options.store in (None, name)]
    for name, module in (("lmdb", "lmdb"), ("rocksdb", "rocksdict")):
        if name in names and importlib.util.find_spec(module) is None:
            print(f"{name} is left out: pip install {module}", file=sys.stderr)
            names.remove(name)
    rows = [measured(name, options) for name in names]
    floods: list[Row] = []
    if options.store in (None, FLOOD):
        with tempfile.TemporaryDirectory(prefix="join-store-") as folder:
            floods.append({"store": FLOOD, **in_child("flood", FLOOD, Path(folder), options)})
    if options.json:
        print(json.dumps({"benchmark": "join_store", "results": [*rows, *floods]}))
        return
    turned = [
        {f"{options.pending:,} pending": figure, **{str(row["store"]): row[figure] for row in rows}}
        for figure in (rows[0] if rows else {})
        if figure != "store"
    ]
    if turned:
        report("Join stores", turned, as_json=False)
    if floods:
        report("A flood of orphans", floods, as_json=False)


if __name__ == "__main__":
    main()
