"""Split roles: one topic counted by 1, 2 and 4 workers, against what one process with all does.

Run with `python -m benchmarks.workers [--quick] [--json]`; `--arrow` sends the events in Arrow
batches of 5,000, and twice as many of them. A broker on this machine is filled with the stream
of `benchmarks.throughput` without labels (18 numeric and 2 categorical features, 100 slices, 400
bytes an event), but 40,000 events to a second of event time instead of 20,000: what one process
analyses grows with the panes that close, and streams that need workers have many events in each.
Then the same topic is counted anew, by an app of its own each time: by one process that does
everything, and by 1, 2 and 4 processes that count for one that analyses.
Time runs from when all workers have their share of the partitions, some of which have been read
from by then, to the last event counted by the process that analyses, as its `/metrics` tells.

`ratio_two_to_one` is the rate with two workers to that with one, each in the best of three runs in
turns, and `median_ratio_two_to_one` the median of what it is in each round. Broker and workers
share the machine's processors, so that is bounded by what the broker leaves: `broker_share` is the
broker's processor time, in the run with two workers, to that of all processors in the time it took.
`cpu_per_event_growth_four_to_one` is by how much the processor time of all workers per event grows
from one to four, each in the cheaper of its runs, and `analyse_share` the processor time of the
process that analyses to that of everything of ours with two workers.
"""

import json
import os
import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks.common import Row, cpu_seconds, parser, report
from benchmarks.throughput import ARROW_ROWS, broker, total
from benchmarks.throughput_stream import PARTITIONS, Stream, configure, fill, reference
from streamgauge.config import load
from streamgauge.io.loopback import free_port
from tests.support.monitors import Monitor
from tests.support.topics import create_topics

EVENTS: Final = 15_000_000
EVENTS_PER_MS: Final = 40
QUICK_EVENTS: Final = 1_500_000
ARROW_FACTOR: Final = 2
WORKERS: Final = (1, 2, 4)
ROUNDS: Final = 3
LONGEST_S: Final = 240.0
_LOOK_S: Final = 0.1
_CONSUMED: Final = "streamgauge_messages_consumed_total"


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds for all events, and the processor time (s) of each side in them."""

    workers: int
    seconds: float
    counting: float
    analysing: float
    broker: float
    others: float
    """What else the machine did."""


def measure(config: Path, events: int, workers: int) -> Run:
    """Let some workers, or with 0 one process that does everything, count a topic."""
    options = ("--role", "analyse") if workers else ("--role", "all")
    brokers = _started()
    with ExitStack() as stack:
        analyse = _start(stack, config, "analyse", options)
        _wait(analyse, "active: reading")
        counting = [
            _start(stack, config, f"worker{n}", ("--role", "aggregate")) for n in range(workers)
        ]
        began: float | None = None
        before: dict[str, float] = {}
        deadline = time.perf_counter() + LONGEST_S
        while True:
            read = total(analyse.get("/metrics").decode(), _CONSUMED)
            now = time.perf_counter()
            if began is None and _shared(counting) == (PARTITIONS if counting else 0):
                began, start = now, read
                before = _spent(analyse, counting, brokers)
            if read >= events:
                break
            if now > deadline:
                raise RuntimeError(f"{read:.0f} of {events} events in {LONGEST_S:.0f} s")
            time.sleep(_LOOK_S)
        assert began is not None
        seconds = time.perf_counter() - began
        after = _spent(analyse, counting, brokers)
        took = {side: after[side] - before[side] for side in after}
        took["others"] -= took["counting"] + took["analysing"] + took["broker"]
        # What was read before the clock was started took no time.
        scale = events / (events - start)
        if read > events:
            raise RuntimeError(f"{read:.0f} events are counted, and there are {events}")
        return Run(workers, seconds * scale, *(took[side] * scale for side in took))


def _start(stack: ExitStack, config: Path, name: str, options: tuple[str, ...]) -> Monitor:
    port = free_port()
    path = config.with_name(f"{config.stem}.yaml")
    return stack.enter_context(
        Monitor(
            path, port, name=f"{config.stem}-{name}", options=(*options, "--http-port", str(port))
        )
    )


def _wait(monitor: Monitor, text: str) -> None:
    deadline = time.perf_counter() + LONGEST_S
    while text not in monitor.log.read_text():
        if time.perf_counter() > deadline or monitor.process.poll() is not None:
            raise RuntimeError(monitor.log.read_text())
        time.sleep(_LOOK_S)


def _shared(counting: list[Monitor]) -> int:
    """Return how many partitions are read by workers that all read some, by their logs."""
    told = [re.findall(r"active: reading (\d+) ", monitor.log.read_text()) for monitor in counting]
    return sum(int(numbers[-1]) for numbers in told) if all(told) else -1


def _spent(analyse: Monitor, counting: list[Monitor], brokers: list[int]) -> dict[str, float]:
    return {
        "counting": sum(cpu_seconds(monitor.process.pid) for monitor in counting),
        "analysing": cpu_seconds(analyse.process.pid),
        "broker": sum(map(cpu_seconds, brokers)),
        "others": _busy_seconds(),
    }


def _started() -> list[int]:
    """Return the processes that this one has started: the broker, before there are monitors."""
    return [child.pid for child in psutil.Process().children(recursive=True)]


def _busy_seconds() -> float:
    """Return the processor time that the machine has spent on anything so far."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / 100


def main() -> None:
    """Measure and print."""
    command = parser("Workers that count for one that analyses")
    command.add_argument("--arrow", action="store_true", help="send Arrow batches instead of JSON")
    options = command.parse_args()
    events = QUICK_EVENTS if options.quick else EVENTS
    stream = Stream(events, events_per_ms=EVENTS_PER_MS)
    if options.arrow:
        events *= ARROW_FACTOR
        stream = Stream(events, arrow_rows=ARROW_ROWS, events_per_ms=EVENTS_PER_MS)
    runs: dict[int, Run] = {}
    least: dict[int, float] = {}
    took: dict[int, list[float]] = {}
    with broker() as (name, bootstrap), tempfile.TemporaryDirectory() as folder:
        filled = fill(bootstrap, stream)
        profile = reference(stream, Path(folder))
        # In turns: the machine's pace changes within minutes.
        for workers in (0, *WORKERS) * (1 if options.quick else ROUNDS):
            config = configure(filled, bootstrap, profile)
            create_topics(bootstrap, {load(config).partials_topic: 1})
            run = measure(config, events, workers)
            took.setdefault(workers, []).append(run.seconds)
            # What else the machine does makes a run slower and dearer, never the opposite.
            if workers not in runs or run.seconds < runs[workers].seconds:
                runs[workers] = run
            least[workers] = min(least.get(workers, run.counting), run.counting)
    one, two = runs[1], runs[2]
    processors = os.cpu_count() or 1
    figures = {
        "two_workers_per_second": events / two.seconds,
        "ratio_two_to_one": one.seconds / two.seconds,
        "median_ratio_two_to_one": median(x / y for x, y in zip(took[1], took[2], strict=True)),
        "cpu_per_event_growth_four_to_one": least[4] / least[1] - 1,
        "broker_share": two.broker / (two.seconds * processors),
        "analyse_share": two.analysing / (two.counting + two.analysing),
    }
    rows: list[Row] = [
        {
            "workers": run.workers or "none: --role all",
            "events/s": round(events / run.seconds),
            "counting, µs": least[run.workers] / events * 1e6,
            "analysing, µs": run.analysing / events * 1e6,
            "broker, µs": run.broker / events * 1e6,
            "processors": (run.counting + run.analysing + run.broker) / run.seconds,
            "others'": run.others / run.seconds,
        }
        for run in runs.values()
    ]
    if options.json:
        print(json.dumps({"benchmark": "workers", **figures, "results": rows}))
        return
    report(f"workers, from {name}", rows, as_json=False)
    print(" ".join(f"{key}={value:.3g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
