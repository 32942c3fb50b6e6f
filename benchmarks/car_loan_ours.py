"""Streamgauge on the car loans: its engine, as the monitor runs it, without Kafka."""

from collections.abc import Iterable
from typing import Final

import pandas as pd

from benchmarks.car_loan_rate import Outcome
from benchmarks.data.car_loan import PANE_MS, PART, START_MS, STEP_MS, batch, layout
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.engine import ModelEngine
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.windows import WindowSpec

PERIOD: Final = 10_000
"""Panes in which one false alarm over all series is allowed."""


def profile(reference: pd.DataFrame) -> Reference:
    """Return the reference part as a reference, over its own time."""
    builder = ReferenceBuilder(layout(reference), ())
    builder.add(batch(reference, 0))
    return builder.finish()


def engine(reference: Reference, alarms: float = 1.0) -> ModelEngine:
    """Return an engine that may cost so many false alarms in `PERIOD` panes."""
    spec = ModelSpec(
        app="benchmark",
        model="car-loan",
        slices=(),
        windows=(WindowSpec("twenty panes", 20 * PANE_MS, PANE_MS),),
        pane_ms=PANE_MS,
        grace_ms=0,
        tolerance=0.01,
        min_samples=50,
        spending=Spending(alarms, PERIOD * PANE_MS),
        policy=AlertPolicy(expire_after=2 * PANE_MS),
    )
    return ModelEngine(spec, reference.layout, reference, "reference")


def records(
    reference: Reference, streams: Iterable[pd.DataFrame], alarms: float = 1.0
) -> list[AlertRecord]:
    """Return what fired while an engine read some streams, one after the other."""
    monitor = engine(reference, alarms)
    fired: list[AlertRecord] = []
    first = PART
    for stream in streams:
        monitor.add(batch(stream, first))
        first += len(stream)
        fired += [r for r in monitor.advance(START_MS + first * STEP_MS) if r.revision == 1]
    return fired


def outcome(
    reference: Reference,
    streams: Iterable[pd.DataFrame],
    analysis: pd.DataFrame,
    allowed: float = 1.0,
) -> Outcome:
    """Return what fires in the analysis part, and how often in streams without a change."""
    found: dict[str, list[int]] = {}
    for record in records(reference, [analysis], allowed):
        place = (record.starts_at - START_MS) // STEP_MS - PART
        found.setdefault(record.subject.name, []).append(place)
    false = len(records(reference, streams, allowed))
    return Outcome("Streamgauge", f"budget = {allowed:g}", false, found)
