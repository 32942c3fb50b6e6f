"""ModelSpec: how one model is monitored."""

from dataclasses import dataclass, field

from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.detectors.specs import (
    AttachedSpec,
    Exclusion,
    LatencyLimit,
    Spending,
    TrafficLimit,
)
from streamgauge.core.outcomes.stream import LabelSpec
from streamgauge.core.slices import SliceSpec
from streamgauge.core.windows import WindowSpec


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """How one model is monitored. Times are in milliseconds."""

    app: str
    model: str
    slices: tuple[SliceSpec, ...]
    windows: tuple[WindowSpec, ...]
    pane_ms: int
    grace_ms: int
    tolerance: float
    min_samples: int
    spending: Spending
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    latency: LatencyLimit | None = None
    traffic: TrafficLimit | None = None
    attached: tuple[AttachedSpec, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    labels: LabelSpec | None = None
    max_slices: int = 1_000
    max_versions: int = 32
    exported_slices: int = 50
