"""Sources for the web server whose parts tests set as they like."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import Rendered, Renderer
from streamgauge.io.metrics.page import MetricsPage
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.io.metrics.self_metrics import SelfMetrics
from streamgauge.web.source import Health

GOOD = Health(alive=True, ready=True, reason="active", lag=12, rate=1_250.5)


@dataclass
class FakeStatus:
    """A run's status whose numbers tests change."""

    phase: str = "active"
    counted: bool = True
    consumed: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    unknown_models: int = 0
    unknown_fields: int = 0
    tombstones: int = 0
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    paused: int = 0
    rebalances: int = 0
    checkpoints: int = 0
    last_checkpoint: float | None = None
    state_bytes: int = 0
    spilled_bytes: int = 0
    spill_failures: int = 0


class FakeSource:
    """A source of a snapshot and a health that can be set."""

    def __init__(self, snapshot: Snapshot | None = None, health: Health = GOOD) -> None:
        self.current = snapshot
        self.current_health = health
        self.page = MetricsPage(Renderer(RenderLimits()), lambda: 0.0)
        if snapshot is not None:
            self.page.offer(snapshot)

    def snapshot(self) -> Snapshot | None:
        """Return the snapshot that was set."""
        return self.current

    def rendered(self) -> Rendered | None:
        """Return the metrics that were scraped last."""
        return self.page.latest()

    def health(self) -> Health:
        """Return the health that was set."""
        return self.current_health

    def self_metrics(self) -> SelfMetrics:
        """Return self metrics of a run that has done nothing yet."""
        status = FakeStatus()
        return SelfMetrics(lambda: status, self.rendered, config_read_at=1.76e9)
