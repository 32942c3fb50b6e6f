"""The observer: asks the monitor how it is, and makes a frame of the answers."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.demo.alerts import Event, Story, milliseconds, slice_label
from streamgauge.demo.dataset import MODEL, RELEASES
from streamgauge.demo.drifts import strongest
from streamgauge.demo.frame import Frame
from streamgauge.demo.monitor import Monitor
from streamgauge.demo.setting import DISORDER_MS, WINDOW
from streamgauge.demo.story import chapter_at

MOST_DRIFTS: Final = 12
MOST_SLICES: Final = 6
"""Slices whose figures are asked for: those of the newest alerts."""

Json = Mapping[str, Any]


class Observer:
    """Makes frames; asks for the figures only when the monitor has new ones."""

    def __init__(self, monitor: Monitor, timestamps: IntArray) -> None:
        self._monitor = monitor
        self._timestamps = timestamps
        self._status: Json = {}
        self._views: list[Json] = []

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
        return Frame(
            event_time=event_time,
            rate=self._status.get("events_per_second"),
            lag=self._status.get("lag_messages"),
            done=taken_in(self._timestamps, event_time),
            total=len(self._timestamps),
            version=version,
            chapter=None if event_time is None else chapter_at(event_time),
            drifts=tuple(strongest(self._views, MOST_DRIFTS)),
            window_end=time_of(self._views[0]["window"]["end"]) if self._views else None,
            stories=stories,
            url=self._monitor.url,
        )

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


def taken_in(timestamps: IntArray, event_time: int | None) -> int:
    """Return how many of the sorted timestamps a watermark says have been taken in."""
    if event_time is None:
        return 0
    return int(np.searchsorted(timestamps, event_time + DISORDER_MS, side="right"))


def time_of(text: str | None) -> int | None:
    """Return an event time of the JSON in ms."""
    return None if text is None else milliseconds(text)
