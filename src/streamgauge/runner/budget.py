"""Budget: what the configuration of alerts means for the detectors and alerts of one model."""

from streamgauge.config import Config
from streamgauge.config.alerts import SilenceConfig
from streamgauge.core.alerts.policy import AlertPolicy, Silence, budget_levels, standard_grades
from streamgauge.core.detectors.specs import Spending


def spending(config: Config, name: str) -> Spending:
    """Return a model's share of the most generous budget, by the weights of the models."""
    _, generous = max(config.alerts.levels, key=lambda level: level[1].per_ms)
    share = config.models[name].weight / sum(model.weight for model in config.models.values())
    return Spending(
        generous.count * share, generous.period_ms, tuple(config.alerts.weights.items())
    )


def alert_policy(config: Config, name: str, expire_after: int) -> AlertPolicy:
    """Return how a model's evidence becomes alerts; `expire_after` as in `AlertPolicy`."""
    alerts = config.alerts
    rates = {severity: budget.per_ms for severity, budget in alerts.levels}
    return AlertPolicy(
        pending_for=alerts.pending_for,
        resolve_after=alerts.resolve_after,
        cool_down=alerts.cool_down,
        expire_after=expire_after,
        grades=standard_grades(config.severity(name)),
        # One budget alone grades nothing: severity is then a matter of rules.
        levels=budget_levels(rates) if alerts.budgets else (),
        silences=tuple(_silence(entry) for entry in alerts.silences),
        labels=tuple(alerts.labels.items()),
    )


def _silence(entry: SilenceConfig) -> Silence:
    return Silence(
        ends_at=entry.until,
        model=entry.model,
        version=entry.version,
        kind=None if entry.subject is None else entry.subject.kind,
        name=None if entry.subject is None else entry.subject.name,
        detector=entry.detector,
        slice=tuple(entry.slice.items()),
        comment=entry.comment or "",
    )
