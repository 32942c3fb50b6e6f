"""A frame: everything that the screen or a line of progress shows at one moment."""

from dataclasses import dataclass

from streamgauge.demo.alerts import Story
from streamgauge.demo.drifts import Drift
from streamgauge.demo.performance import Performance
from streamgauge.demo.story import Chapter


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment. `event_time` is the monitor's watermark in ms, None before it has any.

    `rate` is events a second and `lag` events not yet read, both as the monitor says. `done` of
    `total` events have been taken in. `version` is the release that serves at that event time,
    `window_end` the event time in ms up to which the drifts look back, None before the first, and
    `performance` what that version's labels of the window say, None before the first.
    """

    event_time: int | None
    rate: float | None
    lag: int | None
    done: int
    total: int
    version: str
    chapter: Chapter | None
    drifts: tuple[Drift, ...]
    window_end: int | None
    performance: Performance | None
    stories: tuple[Story, ...]
    url: str

    @property
    def firing(self) -> int:
        """How many alerts stand."""
        return sum(not story.resolved for story in self.stories)
