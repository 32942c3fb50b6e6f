"""What `streamgauge profile` shows: progress on the way, and a summary at the end."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson
import typer
from rich import progress as bars
from rich.console import Console
from rich.table import Table

from streamgauge.formats.profile_report import FieldRow, field_rows, outcome_report
from streamgauge.formats.profiling import Profile, Progress
from streamgauge.formats.reference_file import reference_id

PLAIN_SECONDS: Final = 5.0
"""Seconds between lines of progress where there is no terminal."""

Report = Callable[[Progress], None]


@contextmanager
def progress(*, quiet: bool) -> Iterator[Report]:
    """Show how far a profile has come on the standard error: bars on a terminal, else lines."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with _bars(console) as shown:
            yield _BarReport(shown)
    else:
        yield _LineReport()


def _bars(console: Console) -> bars.Progress:
    return bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("{task.completed:>12,.0f} rows"),
        bars.TextColumn("{task.fields[rate]:>12,.0f} rows/s"),
        bars.TimeRemainingColumn(),
        console=console,
    )


class _Clock:
    """How long each pass has been going on."""

    def __init__(self) -> None:
        self._number = 0
        self._started = self._last = time.monotonic()

    def rate(self, step: Progress) -> float:
        """Return the rows per second of a step's pass, which began when the one before ended."""
        if step.number != self._number:
            self._number, self._started = step.number, self._last
        self._last = time.monotonic()
        return step.rows / max(self._last - self._started, 1e-9)


class _BarReport:
    """A bar for each pass."""

    def __init__(self, shown: bars.Progress) -> None:
        self._shown = shown
        self._tasks: dict[int, bars.TaskID] = {}
        self._clock = _Clock()

    def __call__(self, step: Progress) -> None:
        number = step.number
        if number not in self._tasks:
            self._tasks[number] = self._shown.add_task(_pass_name(step), total=step.total, rate=0.0)
        rate = self._clock.rate(step)
        self._shown.update(self._tasks[number], completed=step.rows, rate=rate)


class _LineReport:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._shown = time.monotonic()
        self._clock = _Clock()

    def __call__(self, step: Progress) -> None:
        rate = self._clock.rate(step)
        now = time.monotonic()
        if now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            typer.echo(f"{_pass_name(step)}: {step.rows:,} rows, {rate:,.0f} rows/s", err=True)


def _pass_name(step: Progress) -> str:
    return f"pass {step.number} of {step.passes}"


def print_profile(made: Profile, path: Path, seconds: float) -> None:
    """Print a table of what was counted, the remarks, and where the reference lies."""
    console = Console(markup=False, highlight=False)  # names are no mark-up
    table = Table()
    for heading in ("field", "kind", "groups", "missing", "range", "note"):
        right = heading in {"groups", "missing"}
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in field_rows(made.reference, made.notes):
        table.add_row(*_cells(row))
    console.print(table)
    for remark in made.remarks:
        typer.echo(remark)
    reference = made.reference
    for line in outcome_report(reference).lines():
        typer.echo(line)
    slices = len(reference.rows) - 1
    typer.echo(
        f"{reference.events:,} rows, {slices:,} slices, {seconds:.1f} s"
        f" ({reference.events / max(seconds, 1e-9):,.0f} rows/s)"
    )
    typer.echo(f"{path}: reference {reference_id(reference)}")


def _cells(row: FieldRow) -> tuple[str, ...]:
    missing = "" if math.isnan(row.missing) else f"{100 * row.missing:.2f} %"
    return (row.name, row.kind, str(row.groups or ""), missing, row.range, row.note)


def print_json(made: Profile, path: Path, seconds: float) -> None:
    """Print the same as one JSON object."""
    reference = made.reference
    schema = reference.layout.schema
    summary = {
        "output": str(path),
        "reference_id": reference_id(reference),
        "model": schema.model,
        "task": schema.task.value,
        "rows": reference.events,
        "slices": len(reference.rows) - 1,
        "span_ms": reference.span,
        "timezone": reference.zone.name,
        "seconds": round(seconds, 3),
        "rows_per_second": round(reference.events / max(seconds, 1e-9)),
        "fields": [asdict(row) for row in field_rows(reference, made.notes)],
        "outcomes": asdict(outcome_report(reference)),
        "remarks": list(made.remarks),
    }
    sys.stdout.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")
