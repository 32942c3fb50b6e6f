"""The join store under attack: floods, a full disk, a lost folder."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from tests.support.chaos_checker import check
from tests.support.chaos_driver import until_active
from tests.support.chaos_stage import START_MS, Stage, wait_for
from tests.support.chaos_stream import LABELS, Event, stream

MEGABYTE = 2**20


def orphans(count: int) -> Iterator[Event]:
    """Labels of predictions that nobody made."""
    for number in range(count):
        name, time = f"orphan-{number:010}", START_MS + number // 10
        value = (
            f'{{"prediction_id": "{name}", "timestamp": {time}, "model": "m", "label": 1,'
            f' "label_version": 1}}'
        )
        yield Event(LABELS, name, value.encode(), "orphan", time, "1", 1)


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_flood_of_orphans_stays_within_the_cap(stage: Stage) -> None:
    given = stage.prepared(islice(stream(41, START_MS), 20_000))
    app = stage.app(
        given,
        name="flooded",
        labels={"max_delay": "7d", "max_megabytes": 16, "waiting_megabytes": 1},
    )
    app.start()
    # Labels that are read before their predictions wait among the orphans, and make room as they
    # do: which partition is read first is chance, so the flood comes when all others are joined.
    wait_for("the stream is read", lambda: app.consumed() == 20_000)
    given.send(orphans(80_000))
    evidence = app.settle(given.finish())
    assert check(evidence) == []
    assert evidence.joined["orphans"] > 0, "some had to make room"
    assert size_of(app.folder / "join") < 40 * MEGABYTE


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system of this size; skip where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system of a test's own can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: a process that is still there must not hide why the test fails.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_it_and_nothing_is_lost(stage: Stage) -> None:
    events = stream(42, START_MS)
    given = stage.prepared(islice(events, 40_000))
    app = stage.app(given, name="full")
    with small_disk(app.folder / "join" / "a", "1m"):
        replica = app.start()
        app.replicas.remove(replica)
        status = stage.zygote.wait(replica.pid, 90.0)
        log = replica.log.read_text()
        assert status == 1, log[-2_000:]
        assert "Traceback" not in log
        assert "space" in log
    given.send(islice(events, 5_000))
    again = app.start()
    until_active(app, again)
    wait_for("it has read on", lambda: app.consumed() > 40_000)
    assert check(app.settle(given.finish())) == []
