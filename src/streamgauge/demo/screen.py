"""The screen: a frame as it is drawn on a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamgauge.demo.alerts import Event, Story, milliseconds
from streamgauge.demo.drifts import Drift
from streamgauge.demo.frame import Frame
from streamgauge.demo.performance import METRICS, Figure, Measured, Performance
from streamgauge.demo.story import date_text, day_text

HEAD_LINES: Final = 6
PERFORMANCE_LINES: Final = 5
FOOT_LINES: Final = 1
FEWEST_ALERT_LINES: Final = 6
DISTINCT: Final = 0.1
STRONG: Final = 0.25
"""The PSI from which a drift is coloured, and from which it is red."""
WORSE: Final = 0.02
"""How far a figure's whole interval lies below the reference where it is red, not just coloured."""
COLOURS: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


class Screen:
    """Draws each frame over the last one."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, frame: Frame, news: Sequence[Event]) -> None:  # noqa: ARG002 - all are shown
        """Draw a frame."""
        self._live.update(draw(frame, self._live.console.height), refresh=True)


@contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """Take over the terminal while the block runs."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield Screen(live)


def draw(frame: Frame, height: int) -> RenderableType:
    """Return a frame laid out in `height` lines."""
    fixed = HEAD_LINES + PERFORMANCE_LINES + FOOT_LINES + FEWEST_ALERT_LINES + 3
    rows = max(1, min(len(frame.drifts), height - fixed))
    layout = Layout()
    layout.split_column(
        Layout(_head(frame), size=HEAD_LINES),
        Layout(_performance(frame.performance), size=PERFORMANCE_LINES),
        Layout(_drifts(frame, rows), size=rows + 3),
        Layout(_alerts(frame)),
        Layout(_foot(frame), size=FOOT_LINES),
    )
    return layout


def _head(frame: Frame) -> RenderableType:
    clock = (
        "waiting for the first events" if frame.event_time is None else date_text(frame.event_time)
    )
    figures = Table.grid(expand=True)
    for justify in ("left", "center", "center", "right"):
        figures.add_column(justify=justify)
    figures.add_row(
        Text(clock, "bold"),
        Text(f"version {frame.version}"),
        Text(f"{_count(frame.rate)} events/s"),
        Text(f"lag {_count(frame.lag)}"),
    )
    progress = Table.grid(expand=True, padding=(0, 1))
    progress.add_column(ratio=1)
    progress.add_column(justify="right")
    progress.add_row(
        ProgressBar(total=frame.total, completed=frame.done),
        Text(f"{frame.done:,} of {frame.total:,} events"),
    )
    chapter = frame.chapter
    title = Text(chapter.title if chapter else "", "bold cyan", no_wrap=True, overflow="ellipsis")
    look_for = Text(
        f"look for: {chapter.look_for}" if chapter else "", no_wrap=True, overflow="ellipsis"
    )
    return Panel(
        Group(figures, progress, title, look_for),
        title="Streamgauge: every flight out of New York in 2013",
        title_align="left",
    )


def _performance(found: Performance | None) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for heading in ("", "by its labels", "without labels", "reference"):
        table.add_column(heading, no_wrap=True, justify="right" if heading else "left")
    title = "Performance"
    if found is not None:
        for metric, written in METRICS.items():
            table.add_row(written, *_measured_cells(found.metrics[metric]))
        covered = percent(found.coverage) or "-"
        title = (
            f"Labels of the 7 days to {day_text(found.end)}: {found.samples:,}, {covered} of those"
            f" due, {found.pending:,} pending"
        )
    return Panel(
        table if found else Text("no labels yet", "dim"),
        title=title,
        title_align="left",
        padding=(0, 1),
    )


def _measured_cells(found: Measured) -> tuple[RenderableType, ...]:
    reference = "-" if found.reference is None else f"{found.reference.value:.3f}"
    return (
        Text(_figure(found.realised), shortfall_colour(found.shortfall) or ""),
        Text(_figure(found.estimated)),
        Text(reference, "dim"),
    )


def _figure(figure: Figure | None) -> str:
    return "-" if figure is None else str(figure)


def shortfall_colour(shortfall: float) -> str | None:
    """Return the colour of a figure that lies below the reference, None for one that does not."""
    if shortfall >= WORSE:
        return "red"
    return "yellow" if shortfall > 0.0 else None


def _drifts(frame: Frame, rows: int) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("feature", no_wrap=True)
    table.add_column("slice", no_wrap=True)
    table.add_column("PSI", justify="right", no_wrap=True)
    table.add_column("events that moved", ratio=1)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("usually", justify="right", no_wrap=True)
    for drift in frame.drifts[:rows]:
        table.add_row(*_drift_cells(drift))
    until = "" if frame.window_end is None else f" to {date_text(frame.window_end)}"
    return Panel(
        table if frame.drifts else Text("nothing to compare yet", "dim"),
        title=f"Strongest drifts of the 7 days{until}, against January and February",
        title_align="left",
        padding=(0, 1),
    )


def _drift_cells(drift: Drift) -> tuple[RenderableType, ...]:
    colour = drift_colour(drift.distance)
    moved = drift.moved
    bar: RenderableType = ""
    if moved is not None:
        bar = Bar(size=1.0, begin=0.0, end=max(0.0, min(moved, 1.0)), color=colour or "blue")
    return (
        Text(drift.field),
        Text(drift.slice or "all", "" if drift.slice else "dim"),
        Text(f"{drift.distance:.3f}", colour or ""),
        bar,
        Text(percent(moved)),
        Text(percent(drift.missing)),
        Text(percent(drift.usually_missing), "dim"),
    )


def drift_colour(distance: float) -> str | None:
    """Return the colour of a PSI, None for one that says little."""
    if distance >= STRONG:
        return "red"
    return "yellow" if distance >= DISTINCT else None


def _alerts(frame: Frame) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for story in reversed(frame.stories):
        table.add_row(*_alert_cells(story))
    return Panel(
        table if frame.stories else Text("none so far", "dim"),
        title=f"Alerts: {frame.firing} standing, {len(frame.stories)} so far, the newest first",
        title_align="left",
        padding=(0, 1),
    )


def _alert_cells(story: Story) -> tuple[RenderableType, ...]:
    told = story.told
    dim = "dim" if story.resolved else ""
    state = "over" if story.resolved else told["severity"]
    colour = "dim" if story.resolved else COLOURS.get(told["severity"], "")
    return (
        Text(date_text(milliseconds(told["starts_at"])), dim),
        Text(state, colour),
        Text(told["summary"], dim),
    )


def _foot(frame: Frame) -> RenderableType:
    return Text(
        f"page {frame.url}/   metrics {frame.url}/metrics   Ctrl-C to stop",
        "dim",
        no_wrap=True,
        overflow="ellipsis",
    )


def percent(share: float | None) -> str:
    """Write a share: `12.3 %`, nothing where it is unknown."""
    return "" if share is None else f"{100 * share:.1f} %"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
