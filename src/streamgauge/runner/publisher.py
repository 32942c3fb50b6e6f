"""Publisher: the status and the snapshot that everyone else reads, anew twice a second at most."""

from dataclasses import replace
from typing import Final

from streamgauge.clock import Clock
from streamgauge.core.snapshot import Snapshot
from streamgauge.io.allocator import return_free_pages
from streamgauge.io.metrics.exposition import Rendered, Renderer
from streamgauge.io.metrics.page import MetricsPage
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.status import Phase, Status
from streamgauge.runner.work import Shown
from streamgauge.web.source import Health

SHORTEST_S: Final = 0.5
SHARE: Final = 0.03
"""Share of the loop's time that snapshots may take while there is more to read than it can."""
IDLE_SHARE: Final = 0.1
"""The same of a loop that waits for messages between polls."""
LONGEST_S: Final = 10.0
"""A snapshot gets no older than this before the next is begun, whatever its share."""

REASONS: Final = {
    Phase.STARTING: "starting: joining the group",
    Phase.STANDBY: "standing by: another replica is active",
    Phase.ACTIVE: "starting: nothing read yet",
    Phase.STOPPED: "stopped",
}


class Publisher:
    """Holds the latest snapshot, its page of metrics and the status; whole objects are swapped in.

    The loop's thread writes, the server's threads read.
    """

    def __init__(self, clock: Clock, limits: RenderLimits) -> None:
        self.status = Status()
        self._clock = clock
        self.page = MetricsPage(Renderer(limits), clock.monotonic)
        self._snapshot: Snapshot | None = None
        self._next_report = 0.0
        self._began: float | None = None
        """When the last snapshot was begun."""
        self._costs = 0.0, 0.0
        """What the last two took (s)."""
        self._last_consumed = 0
        self._last_time = clock.monotonic()

    def snapshot(self) -> Snapshot | None:
        """Return the latest snapshot, None before the first."""
        return self._snapshot

    def rendered(self) -> Rendered | None:
        """Return the latest rendered metrics, None before somebody wanted some."""
        return self.page.latest()

    def health(self) -> Health:
        """Return how the process is: ready once it stands by, or reads and has a snapshot.

        A standby counts as ready, or a rolling update would wait for ever for the new replica.
        """
        status = self.status
        reading = status.phase is Phase.ACTIVE and self._snapshot is not None
        ready = reading or status.phase is Phase.STANDBY
        return Health(
            alive=status.phase is not Phase.STOPPED,
            ready=ready,
            reason="reading" if reading else REASONS[status.phase],
            lag=sum(status.lag.values()) if status.lag else None,
            rate=status.rate if reading else None,
            event_time=status.watermark,
        )

    def report_due(self) -> bool:
        """Tell whether it is time for a new status."""
        return self._clock.monotonic() >= self._next_report

    def report(self, status: Status) -> None:
        """Swap in a status; its rate is taken from what was consumed since the last one."""
        now = self._clock.monotonic()
        elapsed = now - self._last_time
        rate = (status.consumed - self._last_consumed) / elapsed if elapsed > 0 else 0.0
        self._last_time, self._last_consumed = now, status.consumed
        self.status = replace(status, rate=rate)
        self._next_report = now + SHORTEST_S

    def snapshot_due(self, *, idle: bool = False) -> bool:
        """Tell whether a snapshot's share of time allows the next; `idle` loops have time to spare.

        One that is the first after a pane has closed costs many times what those before the next
        do. A loop that waits for messages goes by the cheaper of the last two, as panes close
        seldom then; one that has more to read than it can, which may close one for each snapshot,
        by the dearer.
        """
        if self._began is None:
            return True
        wait = min(self._costs) / IDLE_SHARE if idle else max(self._costs) / SHARE
        return self._clock.monotonic() >= self._began + min(max(SHORTEST_S, wait), LONGEST_S)

    def publish(self, work: Shown) -> None:
        """Make a snapshot and swap it in; its metrics are written when they are wanted."""
        self._began = self._clock.monotonic()
        self._snapshot = work.snapshot(self._clock.wall())
        self.page.offer(self._snapshot)
        return_free_pages()
        self._costs = self._clock.monotonic() - self._began, self._costs[0]

    def clear(self) -> None:
        """Show no figures any more: another replica shows them."""
        self.status = Status()
        self._snapshot = None
        self.page.clear()

    def announce(self, phase: Phase) -> None:
        """Change the phase alone."""
        self.status = replace(self.status, phase=phase)
