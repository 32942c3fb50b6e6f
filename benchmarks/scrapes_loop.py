"""A `streamgauge run` that notes how its loop gets on, for the benchmark of scrapes.

Run with `python -m benchmarks.scrapes_loop CONFIG NOTES`; it writes the notes, an `.npz` file, when
it is told to stop: `turns (n, 5)` hold for each turn the time (monotonic, s), messages taken in by
then, the processor time (s) of the threads that serve and that write metrics, and how long (s) the
loop's thread has run or has waited for a processor so far: the rest of the time it has waited for
something else. `snapshots (n, 2)` and `renderings (n, 2)` hold begin and end of each.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from streamgauge.cli.run import run
from streamgauge.io.metrics import page
from streamgauge.io.metrics.exposition import Renderer
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.publisher import Publisher

KEPT_READY_S: Final = 7.0
"""In place of the real one: soon after the last scrape metrics are written for nobody."""
THREADS: Final = ("http", "metrics")

Note = Callable[[float, float, Any], None]


def noted(call: Callable[..., Any], note: Note) -> Callable[..., Any]:
    """Return a call that is noted with its begin, its end and its first argument."""

    def noting(first: Any, *args: Any, **named: Any) -> Any:
        began = time.monotonic()
        result = call(first, *args, **named)
        note(began, time.monotonic(), first)
        return result

    return noting


def thread_seconds() -> list[float]:
    """Return the processor time so far of each of the threads, 0 where it is not there."""
    clocks = {
        thread.name: time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if thread.ident is not None
    }
    return [time.clock_gettime(clocks[name]) if name in clocks else 0.0 for name in THREADS]


def running_seconds() -> float:
    """Return how long the main thread has run, or was ready to while others had the processors."""
    pid = os.getpid()
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return (int(ran) + int(waited)) / 1e9


def main() -> None:
    """Run the monitor and write the notes."""
    config, path = map(Path, sys.argv[1:])
    turns: list[tuple[float, ...]] = []
    snapshots: list[tuple[float, float]] = []
    renderings: list[tuple[float, float]] = []

    def turn(_: float, end: float, pipeline: Pipeline) -> None:
        turns.append((end, pipeline.counts.consumed, *thread_seconds(), running_seconds()))

    def snapshot(began: float, end: float, _: Publisher) -> None:
        snapshots.append((began, end))

    def rendering(began: float, end: float, _: Renderer) -> None:
        renderings.append((began, end))

    for owner, name, note in (
        (Pipeline, "process", turn),
        (Publisher, "publish", snapshot),
        (Renderer, "render", rendering),
    ):
        setattr(owner, name, noted(getattr(owner, name), note))
    page.KEPT_READY_S = KEPT_READY_S  # type: ignore[misc]
    try:
        run(config)
    finally:
        np.savez(
            path,
            turns=np.array(turns, float).reshape(-1, 5),
            snapshots=np.array(snapshots, float).reshape(-1, 2),
            renderings=np.array(renderings, float).reshape(-1, 2),
        )


if __name__ == "__main__":
    main()
