"""How many false alarms the detectors raise, as a part of the budget that they were given.

Every run has a reference of its own (60 days) and then a stream from the same law: in all of them
every alarm is false. A false alarm is a row and subject that turns alarmed. The budget is one alarm
in the stream's length, so what is measured are alarms per run, with a 95 % interval over runs.
Nothing is tolerated but the reference's own three standard errors (`tolerance` 0), which is where
alarms are most frequent; fewer runs show the default tolerance of 0.01, and what usual rules make
of the same streams; what is alarmed for days on end counts once. See `benchmarks.regimes`.
Run with `python -m benchmarks.false_alarms [--quick] [--json]`. With `--json` the object has
`realised_over_budget` and the upper ends of its intervals, `realised_over_budget_upper`, by regime.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaincinv

from benchmarks.common import Row, arguments, report
from benchmarks.nulls import REFERENCE_HOURS, START_MS, STREAM_HOURS, layout
from benchmarks.regimes import REGIMES, simulate
from benchmarks.stacked import alarms
from benchmarks.usual_rules import BY_DAY, RIVER
from streamgauge.core.batch import IntArray
from streamgauge.core.detectors.series import SeriesTable, series_table
from streamgauge.core.detectors.tolerance import measure_tolerance
from streamgauge.core.reference import Reference
from streamgauge.core.timeline import HOUR_MS

BUDGET: Final = 1.0
"""Expected false alarms that a run may have."""
POOL: Final = 30
TOLERANCES: Final = {"tolerance 0": 0.0, "tolerance 0.01": 0.01}
MAIN: Final = "tolerance 0"
STACK: Final = 20
"""Runs that are simulated at once."""
CORES: Final = 2
DEVIATIONS: Final = 1.96


class Numbers(NamedTuple):
    """Runs of every regime: of the detectors, with the default tolerance too, of usual rules."""

    runs: int
    tolerant: int
    usual: int
    river: int


FULL: Final = Numbers(1000, 200, 100, 40)
QUICK: Final = Numbers(40, 20, 20, 20)


class Task(NamedTuple):
    """Some runs of one regime, the first of them number `first`."""

    regime: int
    first: int
    numbers: Numbers


class Interval(NamedTuple):
    """Mean alarms per run by the budget, with the ends of its 95 % interval."""

    mean: float
    lower: float
    upper: float
    runs: int


def tasks(numbers: Numbers) -> Iterator[Task]:
    """Yield all work."""
    for first in range(0, numbers.runs, STACK):
        for regime in range(len(REGIMES)):
            yield Task(regime, first, numbers)


def measure(task: Task) -> dict[str, list[int]]:
    """Return the alarms of each run by method."""
    regime = REGIMES[task.regime]
    drawn = [
        simulate(regime, np.random.default_rng([task.regime, run]))
        for run in range(task.first, min(task.first + STACK, task.numbers.runs))
    ]
    references = [reference for reference, _ in drawn]
    streams = np.stack([stream for _, stream in drawn])
    table = _table(references)
    found: dict[str, list[int]] = {}
    for name, tolerance in TOLERANCES.items():
        if name != MAIN and task.first >= task.numbers.tolerant:
            continue
        raised = alarms(
            regime,
            [measure_tolerance(reference, table, tolerance) for reference in references],
            streams,
            spending=BUDGET / STREAM_HOURS,
            pool=POOL,
            start=START_MS + REFERENCE_HOURS * HOUR_MS,
        )
        runs = np.array([alarm.run for alarm in raised], np.int64)
        found[name] = np.bincount(runs, minlength=len(drawn)).tolist()
    if task.first < task.numbers.usual:
        for name, by_day in BY_DAY.items():
            found[name] = [by_day(regime, *each) for each in drawn]
    if task.first < task.numbers.river:
        for name, river in RIVER.items():
            found[name] = [river(table, regime, stream) for _, stream in drawn]
    return found


def _table(references: list[Reference]) -> SeriesTable:
    tables = [
        series_table(layout(), each.block.counts[0].astype(np.int64), None) for each in references
    ]
    assert all(each.series == tables[0].series for each in tables)
    return tables[0]


def interval(counts: IntArray) -> Interval:
    """Return the mean over runs `(N,)` by the budget: the wider of a normal and a Poisson one."""
    runs, total = len(counts), int(counts.sum())
    mean = float(counts.mean())
    error = DEVIATIONS * float(counts.std(ddof=1)) / float(np.sqrt(runs))
    lower = float(gammaincinv(total, 0.025)) / runs if total else 0.0
    upper = float(gammaincinv(total + 1, 0.975)) / runs
    return Interval(
        mean / BUDGET,
        min(lower, max(mean - error, 0.0)) / BUDGET,
        max(upper, mean + error) / BUDGET,
        runs,
    )


def run(numbers: Numbers) -> dict[str, dict[str, Interval]]:
    """Return intervals by method and regime."""
    todo = list(tasks(numbers))
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        for task, found in zip(todo, pool.map(measure, todo), strict=True):
            for method, values in found.items():
                counts[method][REGIMES[task.regime].name] += values
    return {
        method: {name: interval(np.array(values)) for name, values in by_regime.items()}
        for method, by_regime in counts.items()
    }


def table(found: Mapping[str, Mapping[str, Interval]]) -> list[Row]:
    """One row for each regime: intervals of the detectors, means of the other rules."""
    rows: list[Row] = []
    for regime, main in found[MAIN].items():
        row: dict[str, str | int | float] = {"regime": regime, "runs": main.runs}
        for method, by_regime in found.items():
            each = by_regime[regime]
            ends = f" ({each.lower:.3f}–{each.upper:.3f})" if method in TOLERANCES else ""
            row[method] = f"{each.mean:.3f}{ends}" if ends else f"{each.mean:.2f}"
        rows.append(row)
    return rows


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    found = run(QUICK if options.quick else FULL)
    if options.json:
        main_figures = found[MAIN].items()
        print(
            json.dumps(
                {
                    "benchmark": "false_alarms",
                    "realised_over_budget": {name: each.mean for name, each in main_figures},
                    "realised_over_budget_upper": {name: each.upper for name, each in main_figures},
                    "results": [
                        {"method": method, "regime": name, **each._asdict()}
                        for method, by_regime in found.items()
                        for name, each in by_regime.items()
                    ],
                }
            )
        )
        return
    report(
        "False alarms by the budget, with 95 % intervals; of usual rules on the same streams",
        table(found),
        as_json=False,
    )


if __name__ == "__main__":
    main()
