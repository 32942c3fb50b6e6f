"""Lines: the replay where there is no terminal, such as in CI."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from streamgauge.demo.alerts import Event
from streamgauge.demo.drifts import Drift
from streamgauge.demo.frame import Frame
from streamgauge.demo.performance import Performance
from streamgauge.demo.story import Chapter, date_text
from streamgauge.demo.summary import one_line

EVERY_S: Final = 5.0
MOST_DRIFTS: Final = 3


class Lines:
    """Writes a line every few seconds, one for each chapter, and one as each alert comes or ends.

    `write` takes a line, `now` gives seconds from any start.
    """

    def __init__(
        self, write: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._now = now
        self._next = now()
        self._chapter: Chapter | None = None

    def show(self, frame: Frame, news: Sequence[Event]) -> None:
        """Write what is new in a frame."""
        if frame.chapter is not None and frame.chapter != self._chapter:
            self._chapter = frame.chapter
            self._write(f"-- {frame.chapter.title}; look for: {frame.chapter.look_for}")
        for event in news:
            if event["revision"] == 1 or event["status"] == "resolved":
                self._write(one_line(event))
        if self._now() >= self._next:
            self._next = self._now() + EVERY_S
            self._write(progress_line(frame))


def progress_line(frame: Frame) -> str:
    """Write a frame in one line."""
    clock = "no events yet" if frame.event_time is None else date_text(frame.event_time)
    parts = [
        clock,
        f"{frame.done:,} of {frame.total:,} events",
        f"{frame.rate or 0:,.0f} events/s",
        f"lag {frame.lag or 0:,}",
        f"{frame.firing} alerts standing",
    ]
    if frame.performance is not None:
        parts.append(_performance_text(frame.performance))
    if frame.drifts:
        drifts = ", ".join(map(_drift_text, frame.drifts[:MOST_DRIFTS]))
        parts.append(f"strongest (PSI): {drifts}")
    return " | ".join(parts)


def _performance_text(found: Performance) -> str:
    accuracy = found.metrics["accuracy"]
    estimated = accuracy.estimated
    beside = "" if estimated is None else f" (without labels: {estimated.value:.3f})"
    return f"accuracy of {found.samples:,} labels {accuracy.realised or '-'}{beside}"


def _drift_text(drift: Drift) -> str:
    where = f" [{drift.slice}]" if drift.slice else ""
    return f"{drift.field}{where} {drift.distance:.2f}"
