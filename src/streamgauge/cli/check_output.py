"""What `streamgauge check` shows: a checklist on a terminal, else plain lines or JSON."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgauge.config.places import place_text
from streamgauge.errors import StreamgaugeError
from streamgauge.runner.checklist import Grade, Item, located, where
from streamgauge.runner.outlook import Outlook
from streamgauge.runner.projection import Projection

_MARKS: Final = {
    Grade.OK: ("✓", "green"),
    Grade.NOTE: ("!", "yellow"),
    Grade.WRONG: ("✗", "bold red"),
    Grade.FAILED: ("✗", "bold red"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a check has found."""

    path: Path
    items: tuple[Item, ...] = ()
    projections: tuple[Projection, ...] = ()
    outlooks: tuple[Outlook, ...] = ()


def print_report(report: Report) -> bool:
    """Print what was found; return whether problems were shown where people will see them.

    They are shown on a terminal alone; elsewhere they belong on the standard error.
    """
    console = Console(markup=False, highlight=False)  # names are no mark-up
    if not console.is_terminal:
        for line in plain_lines(report):
            typer.echo(line)
        return False
    console.print(_checklist(report))
    if report.projections:
        console.print(_table(report.projections))
    return sys.stderr.isatty()


def _checklist(report: Report) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(overflow="fold")
    for item in report.items:
        mark, style = _MARKS[item.grade]
        text = Text(f"{item.subject} {item.text}")
        if item.grade is not Grade.OK:
            text.append(f"\n{where(item, report.path)}: {item.remedy}".removesuffix(": "), "dim")
        grid.add_row(Text(mark, style), text)
    return grid


def plain_lines(report: Report) -> Iterator[str]:
    """Yield what is fine and what could be better, a line each, then the projections."""
    for item in report.items:
        if item.grade is Grade.NOTE:
            yield f"note: {located(item, report.path)}"
        elif item.grade is Grade.OK:
            yield f"ok: {item.sentence}"
    for found in report.projections:
        yield (
            f"projection: model {found.model}: a version has {found.rows:,} rows,"
            f" {found.series:,} of {found.series_wanted:,} series,"
            f" {found.exported_slices:,} of {found.slices:,} slices exported,"
            f" {found.watched:,} watched subjects, {size(found.memory)} of memory"
            f" ({size(found.memory_at_caps)} at the caps)"
        )


def _table(projections: tuple[Projection, ...]) -> Table:
    title = "What a version exports and takes, if production looks like the reference"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("model", overflow="fold")
    for heading in ("rows", "series", "slices", "watched", "memory", "at caps"):
        table.add_column(heading, justify="right")
    for found in projections:
        table.add_row(
            found.model,
            f"{found.rows:,}",
            _of(found.series, found.series_wanted),
            _of(found.exported_slices, found.slices),
            f"{found.watched:,}",
            size(found.memory),
            size(found.memory_at_caps),
        )
    return table


def _of(part: int, whole: int) -> str:
    return f"{whole:,}" if part == whole else f"{part:,} of {whole:,}"


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit in ("B", "KiB") else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def print_json(report: Report, error: StreamgaugeError | None) -> None:
    """Print what was found as one JSON object; `error` is that of all problems."""
    summary = {
        "file": str(report.path),
        "ok": error is None,
        "exit_code": 0 if error is None else error.exit_code,
        "errors": [] if error is None else str(error).splitlines(),
        "items": [
            {
                "grade": item.grade.value,
                "subject": item.subject.removesuffix(":"),
                "text": item.text,
                "remedy": item.remedy,
                "place": None if item.place is None else place_text(item.place),
            }
            for item in report.items
        ],
        "models": [asdict(found) for found in report.projections],
        "alert_budget": [asdict(outlook) for outlook in report.outlooks],
    }
    typer.echo(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())
