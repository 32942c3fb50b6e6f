"""Views: a snapshot's parts as plain data for the page and for other readers of the JSON.

Times are RFC 3339 in UTC. NaN becomes null when the data is written.
"""

import dataclasses
from collections import Counter
from typing import Any, Final

import streamgauge
from streamgauge.core.layout import Layout
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import ActiveAlert, ModelSnapshot, Snapshot, WindowStats
from streamgauge.web.field_view import field_view
from streamgauge.web.performance_view import performance_view
from streamgauge.web.source import Health
from streamgauge.web.times import seconds_text, time_text

SEVERITIES: Final = ("critical", "warning", "info")

View = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What of a model is to be shown; None for the first or busiest, no slice for the whole."""

    window: str | None = None
    version: str | None = None
    slice: str = ""


def status_view(health: Health, snapshot: Snapshot | None, now: float) -> View:
    """Return how the process is, and the totals over all models."""
    models = snapshot.models if snapshot else ()
    watermarks = [model.watermark for model in models if model.watermark is not None]
    event_time = min(watermarks, default=None) if health.event_time is None else health.event_time
    firing = Counter(alert.severity for model in models for alert in model.alerts)
    return {
        "version": streamgauge.__version__,
        "alive": health.alive,
        "ready": health.ready,
        "reason": health.reason,
        "lag_messages": health.lag,
        "events_per_second": health.rate,
        "now": seconds_text(now),
        "snapshot_at": seconds_text(snapshot.made_at) if snapshot else None,
        "event_time": time_text(event_time),
        "models": len(models),
        "alerts_firing": {severity: firing[severity] for severity in SEVERITIES},
    }


def alerts_view(snapshot: Snapshot | None) -> View:
    """Return the firing alerts, the gravest first, then the newest."""
    alerts = [alert for model in (snapshot.models if snapshot else ()) for alert in model.alerts]
    return {"alerts": [alert_view(alert) for alert in sorted(alerts, key=_urgency)]}


def models_view(snapshot: Snapshot | None) -> View:
    """Return one line for each model."""
    return {"models": [_summary(model) for model in (snapshot.models if snapshot else ())]}


def model_view(model: ModelSnapshot, choice: Choice) -> View:
    """Return one model's figures in one window, for one version and slice of it.

    A choice that the model does not know is replaced by the first window, the busiest version or
    the whole; one that it knows stands, also where the window holds nothing of it.
    """
    view = _summary(model)
    view["alerts"] = [alert_view(alert) for alert in sorted(model.alerts, key=_urgency)]
    view["window"] = None
    view["performance"] = None
    view["slices"] = []
    view["fields"] = []
    window = _window(model, choice.window)
    if window is None or model.layout is None:
        return view
    samples = dict(zip(window.rows, window.samples.tolist(), strict=True))
    known = {*window.rows, *(model.counters.rows if model.counters else ())}
    version = _version(choice.version, known, samples)
    slices = {key.label(): key for key in known if key.version == version and key.slice}
    key = slices.get(choice.slice, RowKey(version))
    row = window.rows.index(key) if key in samples else None
    view["slices"] = [
        {"slice": label, "samples": samples.get(slices[label], 0)}
        for label in sorted(slices, key=lambda label: (-samples.get(slices[label], 0), label))
    ]
    view["window"] = {
        "name": window.window,
        "start": time_text(window.start),
        "end": time_text(window.end),
        "version": version,
        "slice": key.label(),
        "events": 0 if row is None else int(window.events[row]),
        "samples": samples.get(key, 0),
    }
    if model.outcomes is not None:
        view["performance"] = performance_view(model.outcomes, key, window.window)
    if row is not None:
        view["fields"] = _fields(model, model.layout, window, row)
    return view


def alert_view(alert: ActiveAlert) -> View:
    """Return one alert."""
    return {
        "alert_id": alert.alert_id,
        "model": alert.model,
        "model_version": alert.model_version,
        "slice": RowKey(alert.model_version, alert.slice).label(),
        "subject": {"kind": alert.subject.kind.value, "name": alert.subject.name},
        "detector": alert.detector,
        "severity": alert.severity,
        "summary": alert.summary,
        "starts_at": time_text(alert.starts_at),
        "onset": time_text(alert.onset),
        "statistic": alert.statistic,
        "threshold": alert.threshold,
    }


def _summary(model: ModelSnapshot) -> View:
    events: dict[str, int] = {}
    if model.counters is not None and model.layout is not None:
        traffic = model.counters.counts[:, model.layout.cells(0)].sum(axis=1).tolist()
        events = {
            key.version: count
            for key, count in zip(model.counters.rows, traffic, strict=True)
            if not key.slice
        }
    versions = sorted(events, key=lambda version: (-events[version], version))
    return {
        "model": model.model,
        "task": model.layout.schema.task.value if model.layout else None,
        "reference": model.reference_id,
        "event_time": time_text(model.watermark),
        "last_event": time_text(model.last_event),
        "late_events": model.late_events,
        "windows": [window.window for window in model.windows],
        "versions": [{"version": version, "events": events[version]} for version in versions],
        "hidden_slices": model.dropped_rows,
        "alerts_firing": len(model.alerts),
    }


def _urgency(alert: ActiveAlert) -> tuple[int, int, str]:
    known = alert.severity in SEVERITIES
    grade = SEVERITIES.index(alert.severity) if known else len(SEVERITIES)
    return grade, -alert.starts_at, alert.alert_id


def _window(model: ModelSnapshot, name: str | None) -> WindowStats | None:
    named = [window for window in model.windows if window.window == name]
    return next(iter((*named, *model.windows)), None)


def _version(wanted: str | None, known: set[RowKey], samples: dict[RowKey, int]) -> str:
    """Return the wanted version if it is known, else the one with most samples."""
    versions = {key.version for key in known}
    if wanted in versions:
        return wanted
    whole = sorted(RowKey(version) for version in versions)
    return max(whole, key=lambda key: samples.get(key, 0)).version if whole else ""


def _fields(model: ModelSnapshot, layout: Layout, window: WindowStats, row: int) -> list[View]:
    fields = []
    for stats in window.fields:
        position = layout.position(stats.subject)
        if position is not None:
            unseen = model.unseen_values.get(stats.subject.name, ())
            fields.append(field_view(stats, layout.fields[position].bins, row, unseen=unseen))
    return fields
