"""The process whose memory is measured: what `streamgauge run` has, but for Kafka's client.

`python -m benchmarks.memory_process CONFIG` reads polls of messages from its input, as
`send` writes them, and tells its memory on its output after each pane.
"""

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import numpy as np

import streamgauge.cli.main  # noqa: F401  (all that the command loads, Kafka's client with it)
from streamgauge.cli.run import look_seldom_for_garbage
from streamgauge.clock import SystemClock
from streamgauge.config import load
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_manifest import Position
from streamgauge.io.allocator import return_large_blocks
from streamgauge.io.metrics.exposition import Form
from streamgauge.io.spilling.spill_file import SpillFile
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import plan, render_limits
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.stores import MemoryStores

EVERY: Final = 3
"""Panes after which state is encoded, and a snapshot and a page are made."""
_LATER: Final = 2_000_000_000_000
"""A broker's timestamp (ms) that is later than all event times."""
_PARTITION: Final = ("memory.predictions", 0)


def send(to: IO[bytes], polls: Sequence[tuple[list[bytes], list[bytes]]]) -> None:
    """Write a pane's polls, keys and values."""
    pickle.dump(polls, to, protocol=pickle.HIGHEST_PROTOCOL)
    to.flush()


def resident_mb() -> dict[str, float]:
    """Return the process's resident memory in all, and that of it that is not files."""
    words = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"resident MB": "VmRSS", "peak MB": "VmHWM", "anonymous MB": "RssAnon"}
    return {name: int(words[key].split()[0]) * 1024 / 1e6 for name, key in names.items()}


def main() -> None:
    """Take in polls until there are no more."""
    return_large_blocks()  # as `streamgauge run` does
    path = Path(sys.argv[1])
    settings = load(path)
    clock = SystemClock()
    planned = plan(settings, path)
    spill = SpillFile(planned.join_folder)
    pipeline = Pipeline(planned, MemoryStores(), spill)
    pipeline.assign([_PARTITION], clock.monotonic())
    pipeline.resume({}, {})
    publisher, journal = Publisher(clock, render_limits(settings)), StateJournal("memory")
    form = Form(openmetrics=True, gzip=True)
    look_seldom_for_garbage()
    print(json.dumps({**resident_mb(), "windows MB": 0.0, "on disk MB": 0.0}), flush=True)
    offset = pane = 0
    while True:
        try:
            polls = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        while polls:
            keys, values = polls.pop(0)
            size = len(keys)
            at, times = offset + np.arange(size), np.full(size, _LATER)
            raw = RawMessages(values, keys, np.zeros(size, np.int32), at, times)
            offset += size
            pipeline.process(raw, frozenset(), clock.monotonic(), frozenset())
            del raw, keys, values
        pane += 1
        if pane % EVERY == 0:
            positions = {_PARTITION: offset}
            floors = pipeline.checkpoint(positions)
            there = {p: Position(o, floors[p]) for p, o in positions.items()}
            journal.changes(pipeline.parts(), there)
            journal.committed()
            pipeline.flush(positions)
            publisher.publish(pipeline)
            publisher.page.make(form)
        windows = sum(engine.nbytes for engine in pipeline.engines.values()) / 1e6
        steps = {"windows MB": windows, "on disk MB": spill.nbytes / 1e6}
        print(json.dumps({**resident_mb(), **steps}), flush=True)


if __name__ == "__main__":
    main()
