"""Outlook: what each model's share of the alert budget buys, and how soon changes should show."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.config import Config
from streamgauge.core.batch import FloatArray
from streamgauge.core.detectors.plan import DetectionPlan, plan_detection
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.reference import Reference
from streamgauge.runner.checklist import Grade, Item
from streamgauge.runner.plan import KnownModel, Plan
from streamgauge.runner.references import known_slices

CHANGES: Final = (0.05, 0.1, 0.5)
"""Shares of all events that change."""
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Delay:
    """After how long a change of a share of events is expected to show: medians over series.

    In events of the row and in seconds of event time; infinite where such a change is tolerated,
    None where it is not possible or nothing is known of traffic.
    """

    change: float
    events: float | None
    seconds: float | None
    slice_events: float | None
    slice_seconds: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one version of a model is watched for, and how closely.

    `budget` is the model's share of the alert budget; `series` are watched in `sides` directions,
    with thresholds in nats from `lowest_threshold` to `highest_threshold`. `events_per_hour` are
    those of the last hour where `measured`, else those of the reference; None where unknown.
    """

    model: str
    budget: str
    series: int
    sides: int
    lowest_threshold: float
    highest_threshold: float
    events_per_hour: float | None
    measured: bool
    delays: tuple[Delay, ...]


def outlooks(plan: Plan, messages: int | None) -> tuple[Outlook, ...]:
    """Return the outlooks of the models whose references are known.

    `messages` is how many events the prediction topics had in the last hour, None if unknown; with
    several models nobody knows whose they were.
    """
    alone = len(plan.config.models) == 1
    return tuple(_outlook(plan.config, model, messages if alone else None) for model in plan.known)


def _outlook(config: Config, model: KnownModel, messages: int | None) -> Outlook:
    spec, reference = model.spec, model.reference
    known = [reference.row(key) for key in ((), *known_slices(spec.slices, reference))]
    rows = [row for row in known if row is not None]
    found = plan_detection(
        reference,
        rows,
        spec.spending,
        spec.pane_ms,
        spec.tolerance,
        spec.latency,
        spec.traffic,
        spec.labels,
    )
    per_hour = float(messages) if messages else _events_per_hour(reference)
    thresholds = found.threshold[np.isfinite(found.threshold)]
    delays = tuple(
        _delay(found, change, per_hour, spec.pane_ms, spec.min_samples) for change in CHANGES
    )
    return Outlook(
        model=spec.model,
        budget=_budget(config, spec.spending),
        series=found.series,
        sides=found.sides,
        lowest_threshold=float(thresholds.min()),
        highest_threshold=float(thresholds.max()),
        events_per_hour=per_hour,
        measured=bool(messages),
        delays=delays,
    )


def _budget(config: Config, spending: Spending) -> str:
    budgets = [budget for _, budget in config.alerts.levels]
    period = next(b.period for b in budgets if b.period_ms == spending.period_ms)
    return f"{spending.alarms:.3g} per {period}"


def _events_per_hour(reference: Reference) -> float | None:
    if reference.span is None or reference.span[0] == reference.span[1]:
        return None
    return reference.events * _HOUR_MS / (reference.span[1] - reference.span[0])


def _delay(
    found: DetectionPlan, change: float, per_hour: float | None, pane_ms: int, pool: int
) -> Delay:
    events = found.events(change)
    seconds = np.full_like(events, np.nan)
    if per_hour is not None:
        seconds = found.times(events, per_hour / _HOUR_MS, pane_ms, pool) / 1000
    # Nothing is said before there are enough events to look at.
    events = np.maximum(events, pool)
    return Delay(
        change,
        _median(events[:1]),
        _median(seconds[:1]),
        _median(events[1:]),
        _median(seconds[1:]),
    )


def _median(values: FloatArray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(np.median(defined)) if len(defined) else None


def outlook_items(found: tuple[Outlook, ...]) -> Iterator[Item]:
    """Yield what there is to say of the alert budget, a sentence for each model."""
    for outlook in found:
        place = ("models", outlook.model)
        yield Item(Grade.OK, f"model {outlook.model}", outlook_text(outlook), "", place)


def outlook_text(found: Outlook) -> str:
    """Return an outlook in words."""
    low, high = f"{found.lowest_threshold:.1f}", f"{found.highest_threshold:.1f}"
    threshold = f"threshold {low}" if low == high else f"thresholds {low} to {high}"
    alarms = "alarm" if found.budget.startswith("1 ") else "alarms"
    text = (
        f"is allowed {found.budget.replace(' ', f' false {alarms} ', 1)} over {found.series:,}"
        f" series of a version: {threshold} nats; "
    )
    by_time = found.events_per_hour is not None
    if found.events_per_hour is not None:
        source = "as in the last hour" if found.measured else "as in the reference"
        text += f"at {_rounded(found.events_per_hour)} events an hour ({source}) "
    changes = " / ".join(f"{delay.change:.0%}".replace("%", " %") for delay in found.delays)
    whole = [_wait(delay.events, delay.seconds, by_time) for delay in found.delays]
    slices = [_wait(delay.slice_events, delay.slice_seconds, by_time) for delay in found.delays]
    text += f"a change of {changes} of events shows after about {' / '.join(whole)}"
    if any(delay.slice_events is not None for delay in found.delays):
        text += f", within a slice: {' / '.join(slices)}"
    return f"{text} (medians over series)"


def _wait(events: float | None, seconds: float | None, by_time: bool) -> str:
    amount = seconds if by_time else events
    if amount is None:
        return "-"
    if math.isinf(amount):
        return "not at all"
    return _time(amount) if by_time else f"{_rounded(amount)} events"


def _time(seconds: float) -> str:
    """Return a time as people say it."""
    for unit, size, until in (("s", 1, 90), ("min", 60, 5_400), ("h", 3_600, 172_800)):
        if seconds < until:
            return f"{_rounded(seconds / size)} {unit}"
    days = seconds / 86_400
    return f"{_rounded(days)} days" if days < 730 else f"{_rounded(days / 365)} years"


def _rounded(amount: float) -> str:
    """Return an amount with two digits that count."""
    if amount <= 0.0:
        return "0"
    digits = 1 - math.floor(math.log10(amount))
    return f"{round(amount, digits):,.{max(0, digits)}f}".removesuffix(".0")
