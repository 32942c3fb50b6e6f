"""The process of one peer: `python -m benchmarks.peers_worker NAME FOLDER` in its environment.

The folder holds `reference.npz` and `rows.npz`. The process says one JSON line when it is ready,
then answers each number of seconds on its input with one measurement: rows, seconds and processor
seconds. What peers print themselves goes to the error output.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.peers_rows import load
from benchmarks.peers_theirs import PEERS

TRIALS: Final = 2
TRIAL_S: Final = 0.5


class Took(NamedTuple):
    """So many rows, in so many seconds; `cpu_seconds` are of all threads of the process."""

    rows: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time for a row."""
        return self.cpu_seconds / self.rows * 1e6


def timed(
    work: Callable[[Any], object],
    pieces: Iterator[Any],
    rows: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Took:
    """Work through pieces of `rows` rows each until `seconds` are over; at least one."""
    began, cpu, done = clock(), time.process_time(), 0
    for piece in pieces:
        work(piece)
        done += rows
        if clock() - began >= seconds:
            break
    return Took(done, clock() - began, time.process_time() - cpu)


def serve(name: str, folder: Path, asked: Iterable[str], say: Callable[[object], None]) -> None:
    """Try the peer's settings, then measure the fastest as often as asked."""
    peer = PEERS[name](load(folder / "reference.npz"), load(folder / "rows.npz"))
    if not peer.pieces:
        raise ValueError(f"{name} needs {peer.rows:,} rows at least")
    pieces = itertools.cycle(peer.pieces)
    # What is imported or compiled at the first call.
    next(iter(peer.settings.values()))(next(pieces))
    tried = dict.fromkeys(peer.settings, 0.0)
    for setting in [*tried] * TRIALS:  # they take turns, so that noise makes none the fastest
        took = timed(peer.settings[setting], pieces, peer.rows, TRIAL_S)
        tried[setting] = max(tried[setting], took.rate)
    best = max(tried, key=lambda setting: tried[setting])
    say({"version": version(name), "setting": best, "tried": tried})
    for line in asked:
        say(timed(peer.settings[best], pieces, peer.rows, float(line)))


def main() -> None:
    """Serve on what were the standard streams."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def say(answer: object) -> None:
            print(json.dumps(answer), file=answers, flush=True)

        serve(sys.argv[1], Path(sys.argv[2]), sys.stdin, say)


if __name__ == "__main__":
    main()
