"""How long it takes until a monitor works again: restarts on one host, and takeovers."""

import json
import re
import signal
import subprocess
import time
from itertools import islice
from pathlib import Path

from tests.support.chaos_checker import check
from tests.support.chaos_driver import until_active, until_standing_by
from tests.support.chaos_stage import START_MS, Replica, Stage, wait_for
from tests.support.chaos_stream import stream
from tests.support.monitors import STREAMGAUGE

RESTORED_S, TAKEN_OVER_S = 2.0, 25.0


def worked_after(replica: Replica) -> tuple[float, float]:
    """Return how long after its start its log begins, and how long after that it worked (s)."""
    lines = [json.loads(line) for line in replica.log.read_text().splitlines() if line[:1] == "{"]
    times = {}
    for line in lines:
        for what in ("metrics, health", "active: reading"):
            if what in line["message"]:
                times[what] = time_of(line["time"])
    return times["metrics, health"], times["active: reading"]


def time_of(text: str) -> float:
    """Return seconds of the day."""
    found = re.search(r"T(\d+):(\d+):([\d.]+)", text)
    assert found
    hours, minutes, seconds = map(float, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def test_a_restart_and_a_takeover_are_quick(stage: Stage) -> None:
    usual = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 3_000}
    given = stage.prepared(islice(stream(31, START_MS), 50_000))
    app = stage.app(given, name="restarted", librdkafka=usual)
    first = app.start("first")
    until_active(app, first)
    wait_for("everything is committed", lambda: app.consumed() == 50_000)
    stopped = first.end(signal.SIGTERM)

    second = app.start("second")
    until_active(app, second)
    served, worked = worked_after(second)
    imported = python_start()
    killed = second.end(signal.SIGKILL)
    assert killed < 10.0
    third = app.start("third")
    after_kill = until_active(app, third)

    standby = app.start("standby")
    until_standing_by(app, standby)
    began = time.monotonic()
    third.end(signal.SIGKILL)
    until_active(app, standby)
    taken_over = time.monotonic() - began
    lines = {
        "stop under SIGTERM": stopped,
        "start of Python and imports": imported,
        "restart after a stop, from the server's start to reading": worked - served,
        "restart after kill -9, forked, to reading (session 10 s)": after_kill,
        "takeover by a standby after kill -9 (session 10 s)": taken_over,
    }
    for name, seconds in lines.items():
        print(f"{name}: {seconds:.2f} s")  # noqa: T201
    assert check(app.settle(given.finish())) == []
    assert stopped < 10.0
    assert worked - served < RESTORED_S
    assert taken_over < TAKEN_OVER_S


def python_start() -> float:
    """Return how long the command takes to start and import everything (s)."""
    began = time.monotonic()
    subprocess.run(
        [STREAMGAUGE, "run", "-c", Path("/nowhere.yaml")], capture_output=True, check=False
    )
    return time.monotonic() - began
