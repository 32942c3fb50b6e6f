"""Plan: what a model's detectors watch, and how soon they are expected to see a change.

Of a share q where up to m is tolerated, the evidence for the alternative q_k grows by

    r_k = (q·log(q_k/m) + (1 − q)·log((1 − q_k)/(1 − m))) / φ

nats an event on average, at most KL(q‖m)/φ (see `bank`). An alternative that weighs w_k in the
mixture shows a change when it has gathered −log w_k more than the threshold:

    events ≈ min_k (threshold − log w_k) / r_k
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.allowance import NOTHING, log_parts, series_weights
from streamgauge.core.detectors.bank import LOG_WEIGHTS, gains
from streamgauge.core.detectors.series import series_table
from streamgauge.core.detectors.specs import LatencyLimit, Spending, TrafficLimit
from streamgauge.core.detectors.tolerance import Tolerance, measure_tolerance
from streamgauge.core.outcomes.allotment import allotment
from streamgauge.core.outcomes.stream import LabelSpec
from streamgauge.core.reference import Reference


@dataclass(frozen=True, slots=True)
class DetectionPlan:
    """What is watched in R rows of one version, each with Q series and two sides.

    `traffic (R,)` is each row's share of all events, `threshold (Q, 2)` in nats, +inf where a side
    is not judged. Thresholds are those of panes in which every row has events, the highest there
    are. `tolerance` is that of the R rows, at no certain hour.
    """

    tolerance: Tolerance
    traffic: FloatArray
    threshold: FloatArray

    @property
    def series(self) -> int:
        """Return the number of watched shares in all rows."""
        return len(self.traffic) * len(self.threshold)

    @property
    def sides(self) -> int:
        """Return the number of directions in which they are watched: up, most also down."""
        return len(self.traffic) * int(np.isfinite(self.threshold).sum())

    def events(self, change: float) -> FloatArray:
        """Return after how many events of its row a change is expected to show `(R, Q, 2)`.

        `change` is how far a share moves. +inf where it is tolerated, NaN where a share cannot move
        that far or is not judged.
        """
        rows = np.arange(len(self.traffic))
        expected, largest = replace(self.tolerance, profile=None).bounds(rows, 0)
        moved = np.stack([expected, 1.0 - expected], axis=-1) + change
        phi = 1.0 if self.tolerance.dispersion is None else self.tolerance.dispersion[:, None]
        # Row by row: the alternatives of all rows at once would take eight times the memory.
        needed = phi * np.stack(
            [_needed(q, m, self.threshold) for q, m in zip(moved, largest, strict=True)]
        )
        possible = (moved <= 1.0) & np.isfinite(self.threshold)
        return np.where(possible, needed, np.nan)

    def times(self, events: FloatArray, per_ms: float, pane_ms: int, pool: int) -> FloatArray:
        """Return how long it takes until `events (R, Q, 2)` are looked at, in ms of event time.

        `per_ms` events come in a millisecond over all rows. Detectors look when a pane of `pane_ms`
        closes and a row has gathered `pool` events.
        """
        per_pane = np.maximum(per_ms * pane_ms * self.traffic, 1e-300)[:, None, None]
        panes = np.ceil(pool / per_pane)
        result: FloatArray = np.ceil(events / (panes * per_pane)) * panes * pane_ms
        return result


def _needed(moved: FloatArray, tolerated: FloatArray, threshold: FloatArray) -> FloatArray:
    """Return the independent events until the first alternative shows, from shares `(...)`."""
    gain = gains(moved, np.ones(()), tolerated)
    with np.errstate(divide="ignore", invalid="ignore"):
        events = np.where(gain > 0.0, (threshold[..., None] - LOG_WEIGHTS) / gain, np.inf)
    least: FloatArray = events.min(axis=-1)
    return least


def plan_detection(
    reference: Reference,
    rows: Sequence[int],
    spending: Spending,
    pane_ms: int,
    tolerance: float,
    latency: LatencyLimit | None,
    traffic: TrafficLimit | None = None,
    labels: LabelSpec | None = None,
) -> DetectionPlan:
    """Return the plan for some rows of a reference, the whole first.

    Shares of labelled events, of which nobody knows how many there will be, only take their part of
    the spending.
    """
    at = np.array(rows, np.int64)
    counts = reference.block.counts.astype(np.int64)
    table = series_table(reference.layout, counts[0], latency)
    tolerated = measure_tolerance(reference, table, tolerance, latency)
    events: IntArray = counts[at][:, reference.layout.cells(0)].sum(axis=1)
    parts = log_parts(table, series_weights(table, spending))[1]
    shares = allotment(spending, traffic, labels, reference, table).shares
    threshold = -(np.log(shares.per_pane(pane_ms) / len(at)) + parts)
    return DetectionPlan(
        replace(tolerated, share=tolerated.share[at], error=tolerated.error[at]),
        events / events[0],
        np.where(parts > NOTHING, threshold, np.inf),
    )
