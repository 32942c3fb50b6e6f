"""Source: what the web server reads, whole objects that others swap in."""

from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.page import MetricsPage


@dataclass(frozen=True, slots=True)
class Health:
    """How a process is: `alive` is False once only a restart can help.

    `reason` says in half a sentence why it is not ready, or what it is doing. `lag` is messages
    not yet read, `rate` messages a second lately, `event_time` the watermark in ms, which may be
    newer than the snapshot's; None where unknown.
    """

    alive: bool
    ready: bool
    reason: str
    lag: int | None = None
    rate: float | None = None
    event_time: int | None = None


class SnapshotSource(Protocol):
    """Gives the latest of everything; called from the server's threads, must not block."""

    def snapshot(self) -> Snapshot | None:
        """Return the latest snapshot, None before the first."""
        ...

    @property
    def page(self) -> MetricsPage:
        """Return what holds the metrics for scrapes."""
        ...

    def health(self) -> Health:
        """Return how the process is."""
        ...
