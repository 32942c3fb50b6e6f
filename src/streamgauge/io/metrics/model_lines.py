"""Samples that a model has once, whatever its versions and slices: its clock and its alerts."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from streamgauge.core.bins import NumericBins
from streamgauge.core.snapshot import ActiveAlert, ModelSnapshot, OutcomeStats
from streamgauge.io.metrics import catalogue
from streamgauge.io.metrics.field_labels import FieldLabels
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.text import label_value, labels, number

SEVERITIES: Final = ("critical", "warning", "info")

Line = tuple[Metric, str]


def model_lines(
    snapshot: ModelSnapshot, model: str, field_labels: FieldLabels | None
) -> Iterator[Line]:
    """Yield the samples of one model, each behind a line break; `model` is its label, escaped."""
    mine = f'model="{model}"'
    reference = label_value(snapshot.reference_id or "")
    yield _line(catalogue.MODEL_INFO, f'{mine},reference="{reference}"', 1)
    for metric, time in (
        (catalogue.WATERMARK, snapshot.watermark),
        (catalogue.LAST_EVENT, snapshot.last_event),
    ):
        if time is not None:
            yield _line(metric, mine, time / 1000)
    yield _line(catalogue.LATE_EVENTS, mine, snapshot.late_events)
    for window in snapshot.windows:
        label = f'{mine},window="{label_value(window.window)}"'
        yield _line(catalogue.WINDOW_END, label, window.end / 1000)
    if snapshot.reference_id is not None and field_labels is not None:
        yield from _reference(mine, field_labels)
    if snapshot.outcomes is not None:
        yield from _outcomes(snapshot.outcomes, mine)
    yield from _alerts(snapshot, mine)


def _reference(mine: str, field_labels: FieldLabels) -> Iterator[Line]:
    for feature, field in zip(field_labels.features, field_labels.layout.fields, strict=True):
        if feature and isinstance(field.bins, NumericBins):
            label = f"{mine}{feature}"
            yield _line(catalogue.FEATURE_REFERENCE_MEAN, label, field.bins.center)
            yield _line(catalogue.FEATURE_REFERENCE_STD, label, field.bins.scale)


def _outcomes(stats: OutcomeStats, mine: str) -> Iterator[Line]:
    join = stats.join
    for fate, count in (
        ("joined", join.joined),
        ("corrected", join.corrections),
        ("duplicate", join.duplicate_labels),
        ("orphan", join.orphans),
        ("late", join.late),
    ):
        yield _line(catalogue.LABELS, f'{mine},fate="{fate}"', count)
    for metric, count in (
        (catalogue.PREDICTIONS_UNLABELLED, join.expired),
        (catalogue.DUPLICATE_PREDICTIONS, join.duplicates),
        (catalogue.PENDING_LABELS, join.pending),
        (catalogue.WAITING_LABELS, join.waiting),
    ):
        yield _line(metric, mine, count)
    # Whole versions have the whole reference in common.
    whole = next((row for row, key in enumerate(stats.rows) if not key.slice), None)
    for name, estimate in stats.reference.items():
        if whole is not None and not math.isnan(estimate.value[whole]):
            label = f'{mine},metric="{label_value(name)}"'
            yield _line(catalogue.REFERENCE_PERFORMANCE, label, float(estimate.value[whole]))


def _alerts(snapshot: ModelSnapshot, mine: str) -> Iterator[Line]:
    firing = Counter(alert.severity for alert in snapshot.alerts)
    for severity in dict.fromkeys([*SEVERITIES, *sorted(firing)]):
        label = f'{mine},severity="{label_value(severity)}"'
        yield _line(catalogue.ALERTS_FIRING, label, firing[severity])
    for key, count in sorted(snapshot.alerts_fired.items()):
        names = ("subject_kind", "detector", "severity")
        label = f"{mine},{labels(names, map(label_value, key))}"
        yield _line(catalogue.ALERTS_FIRED, label, count)
    # One series for each thing that an alert can be about, should two alerts share it.
    by_label = {_alert_label(alert, mine): alert for alert in snapshot.alerts}
    for label, alert in by_label.items():
        yield _line(catalogue.ALERT_ACTIVE, label, 1)
        if alert.onset is not None:
            yield _line(catalogue.ALERT_ONSET, label, alert.onset / 1000)


def _alert_label(alert: ActiveAlert, mine: str) -> str:
    slice_ = ",".join(f"{dimension}={value}" for dimension, value in alert.slice)
    names = ("model_version", "slice", "subject_kind", "subject", "detector", "severity")
    values = (
        alert.model_version,
        slice_,
        alert.subject.kind,
        alert.subject.name,
        alert.detector,
        alert.severity,
    )
    return f"{mine},{labels(names, map(label_value, values))}"


def _line(metric: Metric, label: str, value: float) -> Line:
    return metric, f"\n{metric.name}{{{label}}} {number(value)}"
