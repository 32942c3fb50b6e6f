"""Snapshots: the immutable numbers that metrics, the status page and the terminal are drawn from.

The engine makes one when panes close and swaps it in whole; readers never see a half-made one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.layout import Layout, Subject
from streamgauge.core.outcomes.cohorts import CohortStats
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.slices import RowKey


@dataclass(frozen=True, slots=True)
class Counters:
    """Everything accepted since the start, per row; all counts only grow.

    Shapes over R rows: `counts (R, layout.width) int64`; `sums (R, M) float64`, the sums of the
    values of the M numeric fields (`layout.numeric`).
    """

    rows: tuple[RowKey, ...]
    counts: IntArray
    sums: FloatArray


@dataclass(frozen=True, slots=True)
class FieldStats:
    """One field in one window, over the window's R rows; NaN where a figure is not defined.

    Ratios are shares of the row's served events, those of the latency of all events. `mean`, `std`
    (population), `minimum`, `maximum` and `quantiles` (probability → values) exist for numeric
    fields; `raw`, `corrected` and `p_value` map a distance measure's name to `(R,) float64`, empty
    without a reference. `groups` and `reference_groups`, both `(R, groups) int64`, are the window's
    counts per distance group and those of the reference that they were compared with;
    `reference_mean` and `reference_missing`, both `(R,)`, are the reference's mean and its share of
    missing values. All of the reference's are None without one.
    """

    subject: Subject
    count: IntArray
    missing: FloatArray
    wrong_type: FloatArray
    out_of_range: FloatArray
    unseen: FloatArray
    mean: FloatArray | None = None
    std: FloatArray | None = None
    minimum: FloatArray | None = None
    maximum: FloatArray | None = None
    quantiles: dict[float, FloatArray] = field(default_factory=dict)
    raw: dict[str, FloatArray] = field(default_factory=dict)
    corrected: dict[str, FloatArray] = field(default_factory=dict)
    p_value: dict[str, FloatArray] = field(default_factory=dict)
    groups: IntArray | None = None
    reference_groups: IntArray | None = None
    reference_mean: FloatArray | None = None
    reference_missing: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class WindowStats:
    """One window of one model at its latest step: events with `start <= timestamp < end`.

    `events (R,) int64` counts all, `samples (R,) int64` the served ones (status ok).
    """

    window: str
    start: int
    end: int
    rows: tuple[RowKey, ...]
    events: IntArray
    samples: IntArray
    fields: tuple[FieldStats, ...]


@dataclass(frozen=True, slots=True)
class DetectorStats:
    """How near their thresholds the e-detectors of some rows and S subjects are `(R, S)`.

    `evidence` is log M in nats, the largest of a subject's series, to be held against `threshold`;
    `dispersion` is the largest φ that it was reckoned with, +inf while it is being learned.
    """

    rows: tuple[RowKey, ...]
    subjects: tuple[Subject, ...]
    evidence: FloatArray
    threshold: FloatArray
    dispersion: FloatArray


@dataclass(frozen=True, slots=True)
class PerformanceStats:
    """Performance in one window at its latest step, over R rows; NaN where it is not defined.

    `samples (R,) int64` are the events that the figures are of: the labelled ones whose label came
    in the window, or, for estimates, the predictions made in it. `figures` map a metric to its
    value and its 95 % limits, each `(R,) float64`.
    """

    window: str
    start: int
    end: int
    rows: tuple[RowKey, ...]
    samples: IntArray
    figures: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class OutcomeStats:
    """What labels say of a model. `rows` (R) are the whole versions and the slices shown.

    `realised` is by when labels came, `estimated` what is expected of predictions without labels,
    `cohorts` by when predictions were made; the arrays of these are over `rows`. Since the start,
    `labelled (R,) int64` pairs were joined, their delays between `delay_edges (D + 1,)` in seconds
    `delays (R, D) int64`, in all `delay_sums (R,)` seconds. `join` tells what became of all events.
    """

    rows: tuple[RowKey, ...]
    realised: tuple[PerformanceStats, ...]
    estimated: tuple[PerformanceStats, ...]
    cohorts: tuple[CohortStats, ...]
    labelled: IntArray
    delay_edges: FloatArray
    delays: IntArray
    delay_sums: FloatArray
    join: JoinCounts
    detectors: DetectorStats | None
    """None while there is nothing to compare with."""
    coverage_detectors: DetectorStats | None
    """None where coverage is not watched."""
    reference: Mapping[str, Estimate]
    """Figures `(R,)` of each row's slice in the reference; empty without outcomes there."""


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """An alert that is firing, as far as metrics and pages show it."""

    alert_id: str
    model: str
    model_version: str
    slice: tuple[tuple[str, str], ...]
    subject: Subject
    detector: str
    severity: str
    summary: str
    starts_at: int
    onset: int | None
    statistic: float
    threshold: float


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """One model's numbers. Times are event time in milliseconds since the epoch, None if unknown.

    `unseen_values` maps a categorical feature to its most frequent values that the reference never
    held, with their counts, most frequent first.
    """

    model: str
    layout: Layout | None
    reference_id: str | None
    watermark: int | None
    last_event: int | None
    late_events: int
    counters: Counters | None
    windows: tuple[WindowStats, ...]
    detectors: DetectorStats | None
    """None while there is nothing to compare with."""
    unseen_values: dict[str, tuple[tuple[str, int], ...]]
    dropped_rows: int
    alerts: tuple[ActiveAlert, ...]
    alerts_fired: dict[tuple[str, str, str], int]
    """Fired alerts by (subject kind, detector, severity)."""
    outcomes: OutcomeStats | None = None
    """None for a model without labels."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All models' numbers at one moment; `made_at` is processing time in seconds."""

    made_at: float
    models: tuple[ModelSnapshot, ...]
