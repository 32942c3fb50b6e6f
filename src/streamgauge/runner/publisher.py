"""Publisher: the snapshot that everyone else reads, made anew at most once a second."""

from dataclasses import replace
from typing import Final

from streamgauge.clock import Clock
from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import Rendered, Renderer
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.status import Phase, Status

SHORTEST_S: Final = 1.0
SHARE: Final = 0.05
"""Share of the loop's time that snapshots may take."""


class Publisher:
    """Holds the latest snapshot, its rendering and the status; whole objects are swapped in.

    The loop's thread writes, the server's threads read.
    """

    def __init__(self, clock: Clock, limits: RenderLimits) -> None:
        self.snapshot: Snapshot | None = None
        self.rendered: Rendered | None = None
        self.status = Status()
        self._clock = clock
        self._renderer = Renderer(limits)
        self._next = 0.0
        self._last_consumed = 0
        self._last_time = clock.monotonic()

    def due(self) -> bool:
        """Tell whether it is time for a new snapshot."""
        return self._clock.monotonic() >= self._next

    def publish(self, pipeline: Pipeline, status: Status) -> None:
        """Make a snapshot, render it, and swap both in."""
        began = self._clock.monotonic()
        snapshot = pipeline.snapshot(self._clock.wall())
        self.rendered = self._renderer.render(snapshot)
        self.snapshot = snapshot
        elapsed = began - self._last_time
        rate = (status.consumed - self._last_consumed) / elapsed if elapsed > 0 else 0.0
        self._last_time, self._last_consumed = began, status.consumed
        self.status = replace(status, rate=rate)
        spent = self._clock.monotonic() - began
        self._next = began + max(SHORTEST_S, spent / SHARE)

    def announce(self, phase: Phase) -> None:
        """Change the phase alone."""
        self.status = replace(self.status, phase=phase)
