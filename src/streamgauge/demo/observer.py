"""The observer: asks the monitor how it is, and makes a frame of the answers."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from streamgauge.demo.alerts import Event, Story, milliseconds, slice_label
from streamgauge.demo.dataset import MODEL, RELEASES
from streamgauge.demo.drifts import strongest
from streamgauge.demo.frame import Frame
from streamgauge.demo.monitor import Monitor
from streamgauge.demo.performance import Performance
from streamgauge.demo.setting import WINDOW
from streamgauge.demo.story import chapter_at
from streamgauge.demo.timeline import Timeline

MOST_DRIFTS: Final = 12
MOST_SLICES: Final = 6
"""Slices whose figures are asked for: those of the newest alerts."""

Json = Mapping[str, Any]


class Observer:
    """Makes frames; asks for the figures only when the monitor has new ones."""

    def __init__(self, monitor: Monitor, timeline: Timeline) -> None:
        self._monitor = monitor
        self._timeline = timeline
        self._status: Json = {}
        self._views: list[Json] = []
        self._performance: Performance | None = None
        self._weeks: dict[tuple[str, int], Performance] = {}

    @property
    def weeks(self) -> tuple[Performance, ...]:
        """What was seen of the window's performance so far, each end of each version once."""
        return tuple(self._weeks.values())

    def look(self, stories: Iterable[Story]) -> Frame:
        """Return the frame of this moment; what gets no answer stays as it was."""
        stories = tuple(stories)
        status = self._monitor.status()
        fresh = status is not None and status["snapshot_at"] != self._status.get("snapshot_at")
        self._status = status or self._status
        event_time = time_of(self._status.get("event_time"))
        version = version_at(event_time)
        if fresh:
            self._views = self._figures(version, stories) or self._views
            self._measure()
        return Frame(
            event_time=event_time,
            rate=self._status.get("events_per_second"),
            lag=self._status.get("lag_messages"),
            done=self._timeline.taken_in(event_time),
            total=len(self._timeline.timestamps),
            version=version,
            chapter=None if event_time is None else chapter_at(event_time),
            drifts=tuple(strongest(self._views, MOST_DRIFTS)),
            window_end=time_of(self._views[0]["window"]["end"]) if self._views else None,
            performance=self._performance_of(version),
            stories=stories,
            url=self._monitor.url,
        )

    def _measure(self) -> None:
        """Note what the first view, that of all traffic, says of performance."""
        found = Performance.read(self._views[0]) if self._views else None
        if found:
            self._performance = self._weeks[found.version, found.end] = found

    def _performance_of(self, version: str) -> Performance | None:
        latest = self._performance
        return latest if latest is not None and latest.version == version else None

    def _figures(self, version: str, stories: Iterable[Story]) -> list[Json]:
        views: list[Json] = []
        for label in ("", *telling_slices(stories, version)):
            view = self._monitor.model(MODEL, window=WINDOW, version=version, slice=label)
            # A slice or version that is not shown is answered with another one.
            window = view and view["window"]
            if view and window and (window["version"], window["slice"]) == (version, label):
                views.append(view)
        return views


def telling_slices(stories: Iterable[Story], version: str) -> list[str]:
    """Return the slices of a version that alerts stand for, the newest first, each once."""
    standing: list[Event] = [story.told for story in stories if not story.resolved]
    labels = [slice_label(e) for e in reversed(standing) if e["model_version"] == version]
    return [label for label in dict.fromkeys(labels) if label][:MOST_SLICES]


def version_at(event_time: int | None) -> str:
    """Return the version that serves at an event time (ms)."""
    served = [r.model_version for r in RELEASES if event_time is None or r.start_ms <= event_time]
    if event_time is None or not served:
        return RELEASES[0].model_version
    return served[-1]


def time_of(text: str | None) -> int | None:
    """Return an event time of the JSON in ms."""
    return None if text is None else milliseconds(text)
