"""The summary: what the year brought, for people and for programs."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from streamgauge.demo.alerts import (
    Event,
    Story,
    fault_found,
    is_about_performance,
    slice_label,
    subject_label,
)
from streamgauge.demo.dataset import FAULT
from streamgauge.demo.performance import Performance, week_line, worst_weeks


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole replay. `start_ms` and `end_ms` are the times of its first and last prediction.

    `events_sent` have arrived at the broker, predictions and labels, `events_consumed` were read by
    the monitor. `predictions_counted`, `labels_joined` and `labels_pending` (predictions without a
    label so far) are what its metrics say; `weeks` is what was seen of performance on the way.
    """

    stories: tuple[Story, ...]
    start_ms: int
    end_ms: int
    events_sent: int
    events_consumed: int
    predictions_sent: int
    predictions_counted: int
    labels_sent: int
    labels_joined: int
    labels_pending: int
    weeks: tuple[Performance, ...]
    replay_seconds: float

    @property
    def fault_replayed(self) -> bool:
        """Whether all of the fault's time was replayed."""
        return self.start_ms <= FAULT.start_ms and FAULT.end_ms <= self.end_ms

    @property
    def fault_found(self) -> bool:
        """Whether an alert names the fault's feature, version and carrier."""
        return fault_found(self.stories)

    @property
    def resolved(self) -> int:
        """How many alerts are over."""
        return sum(story.resolved for story in self.stories)

    @property
    def about_performance(self) -> tuple[Story, ...]:
        """The alerts that labels, or the lack of them, gave rise to."""
        return tuple(story for story in self.stories if is_about_performance(story.first))

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain data.

        Each alert is told as in the table: by its strongest revision as published, with its status
        and end as they are now, `first_fired` (its start), and two more revisions: the one it
        `first` fired with, and the `latest`.
        """
        return {
            "events_sent": self.events_sent,
            "events_consumed": self.events_consumed,
            "predictions_sent": self.predictions_sent,
            "predictions_counted": self.predictions_counted,
            "labels_sent": self.labels_sent,
            "labels_joined": self.labels_joined,
            "labels_pending": self.labels_pending,
            "replay_seconds": round(self.replay_seconds, 1),
            "alerts_fired": len(self.stories),
            "alerts_resolved": self.resolved,
            "alerts_about_performance": len(self.about_performance),
            "fault_replayed": self.fault_replayed,
            "fault_found": self.fault_found,
            "performance": self.weeks[-1].to_json() if self.weeks else None,
            "worst_weeks": [week.to_json() for week in worst_weeks(self.weeks)],
            "alerts": [
                {
                    **story.strongest,
                    "status": story.latest["status"],
                    "ends_at": story.latest["ends_at"],
                    "first_fired": story.first["starts_at"],
                    "first": dict(story.first),
                    "latest": dict(story.latest),
                }
                for story in self.stories
            ],
        }


def summary_table(summary: Summary) -> Table:
    """Return a table with a row for each alert, in the order in which they fired."""
    table = Table(
        title="Alerts of the replay (event time, UTC)", title_justify="left", show_lines=True
    )
    # Two figures a column leave room for the sentence on a terminal of 80 columns.
    for heading in ("fired\nonset", "severity\nversion", "about\nslice"):
        table.add_column(heading, overflow="fold")
    table.add_column("what was said", overflow="fold", ratio=1)
    for story in summary.stories:
        table.add_row(*map(Text, _cells(story)))
    return table


def closing_lines(summary: Summary) -> list[str]:
    """Return the totals in words."""
    lines = [
        f"{summary.events_sent:,} events in {summary.replay_seconds:.0f} s"
        f" ({summary.events_sent / max(summary.replay_seconds, 1e-9):,.0f} a second);"
        f" {summary.events_consumed:,} read",
        f"{summary.predictions_counted:,} of {summary.predictions_sent:,} predictions counted,"
        f" {summary.labels_joined:,} of {summary.labels_sent:,} labels joined;"
        f" {summary.labels_pending:,} predictions wait for theirs",
        f"{len(summary.stories)} alerts fired, {summary.resolved} of them are over",
        *_performance_lines(summary),
    ]
    if summary.fault_replayed:
        verdict = "is among them" if summary.fault_found else "is NOT among them"
        lines.append(
            f"our fault of October ({FAULT.feature} of carrier={FAULT.carrier} in version"
            f" {FAULT.model_version}) {verdict}"
        )
    return lines


def _performance_lines(summary: Summary) -> list[str]:
    """Return which alerts were about performance, and the weeks with the lowest accuracy."""
    about = summary.about_performance
    lines = [f"{len(about)} of them are about performance{':' if about else ''}"]
    lines += [
        f"  {minute(story.first['starts_at'])} {subject_label(story.first)},"
        f" {slice_label(story.first) or 'all traffic'}, version {story.first['model_version']}"
        for story in about
    ]
    weeks = worst_weeks(summary.weeks)
    if weeks:
        lines.append("the weeks with the lowest accuracy, by when the labels came:")
        lines += [f"  {week_line(week)}" for week in weeks]
    return lines


def _cells(story: Story) -> tuple[str, ...]:
    shown = story.strongest
    severity = f"{shown['severity']}, over" if story.resolved else shown["severity"]
    return (
        f"{minute(shown['starts_at'])}\n{minute(shown['onset'])}",
        f"{severity}\nversion {shown['model_version']}",
        f"{subject_label(shown)}\n{slice_label(shown) or 'all traffic'}",
        shown["summary"],
    )


def minute(moment: str | None) -> str:
    """Shorten a moment as events carry it to `2013-10-08 04:00`."""
    return "" if moment is None else moment[:16].replace("T", " ")


def one_line(event: Event) -> str:
    """Return what an alert says, for a log."""
    return f"{event['status']} ({event['severity']}): {event['summary']}"
