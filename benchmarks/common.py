"""The form all benchmarks share: `--quick` and `--json` in, one table or one JSON object out."""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Row = Mapping[str, str | int | float]


def parser(description: str) -> argparse.ArgumentParser:
    """A parser of the arguments `quick` and `json`, both booleans, to which others can be added."""
    shared = argparse.ArgumentParser(description=description)
    shared.add_argument("--quick", action="store_true", help="a smaller run, for a first look")
    shared.add_argument("--json", action="store_true", help="print one JSON object")
    return shared


def arguments(description: str) -> argparse.Namespace:
    """The command line's arguments, where there are no others."""
    return parser(description).parse_args()


def best_seconds(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The shortest of several runs of each piece of work, in seconds, by name.

    The pieces take turns, so that what disturbs the machine disturbs all of them alike.
    """
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def cpu_seconds(pid: int) -> float:
    """The processor time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def report(title: str, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the results: as `{"benchmark": title, "results": [row, ...]}` or as a table."""
    if as_json:
        print(json.dumps({"benchmark": title, "results": [dict(row) for row in rows]}))
        return
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    # What reads a pipe or a file has room for every column.
    (console if console.is_terminal else Console(width=140)).print(table)


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value
