"""The section of alerts: how many false alarms are tolerated, and when nobody is called."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from streamgauge.config.budget import Budget, BudgetText
from streamgauge.config.durations import DurationOrZero
from streamgauge.config.instants import Instant
from streamgauge.config.places import Place
from streamgauge.config.section import Name, Number, Section, Text, default, refusal, refusals
from streamgauge.config.subjects import SubjectsText
from streamgauge.core.alerts.policy import Severity
from streamgauge.core.layout import SubjectKind

_LABEL: Final = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,199}")


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise refusal(
            "is no name of a Prometheus label; write letters, digits and '_', beginning with a"
            " letter, or with one '_'"
        )
    return value


LabelName = Annotated[str, AfterValidator(_label)]
"""A label name that Prometheus takes and does not keep for itself."""
Weight = Annotated[Number, Field(gt=0.0, le=1_000.0)]
"""A share in proportion to others."""


class SilenceConfig(Section):
    """Alerts that nobody should be called for: those that fit all keys that are given."""

    until: Instant
    """When the silence ends, in event time."""
    model: Name | None = None
    """The model; all if left out."""
    version: Name | None = None
    """The model's version; all if left out."""
    subject: SubjectsText | None = None
    """A kind (feature, score, prediction, label, performance, service, data_quality or pipeline),
    or a kind and a name with a colon between them; all if left out."""
    slice: Mapping[Name, Text] = default({}, examples=[{"carrier": "UA"}])
    """Dimensions and their values: covered are the slices that have all of these. Without it
    every slice is covered, and the whole."""
    detector: Name | None = None
    """The detector; all if left out."""
    comment: Text | None = None
    """Why; alerts that are silenced carry it."""


class ExclusionConfig(Section):
    """A stretch of event time that is hidden from detectors, such as a holiday or a planned test.

    Its events still count in metrics and windows, but are no evidence, and nothing is learned from
    them. Detectors see panes: a pane is hidden when it shares any time with the stretch.
    """

    start: Instant
    """Where it begins."""
    end: Instant
    """Where it ends; this moment itself is outside."""
    comment: Text | None = None
    """Why."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [(("end",), "is not after start; write a later time")]
        if self.end <= self.start and (error := refusals(problems)):
            raise error
        return self


class AlertsConfig(Section):
    """How many false alarms are tolerated, and the life of an alert."""

    budget: BudgetText = default("1 per week")
    """Expected false alarms over all series of all models; where `budgets` is given, those at
    least as severe as `severity`."""
    budgets: Mapping[Severity, BudgetText] = default({}, examples=[{"critical": "1 per year"}])
    """Budgets of other severities than `severity`. An alert has the highest severity whose budget
    its evidence reaches; only where critical has no budget, lost performance and failed requests
    are critical without."""
    weights: Mapping[SubjectKind, Weight] = default({}, examples=[{"data_quality": 0.5}])
    """How series share the budget, by the kind of what they are about; kinds that are left out
    weigh 1."""
    severity: Severity = Severity.WARNING
    """The severity of alerts where a model names no other. Lost performance and failed requests
    are critical in any case, unless `budgets` has one for critical."""
    pending_for: DurationOrZero = default("0s")
    """How long the evidence must last, in event time, before an alert fires."""
    resolve_after: DurationOrZero = default("10m")
    """How long it must be clear, in event time, before an alert is resolved."""
    cool_down: DurationOrZero = default("10m")
    """How long after its end, in event time, an alert does not fire again."""
    labels: Mapping[LabelName, Text] = default({}, examples=[{"team": "ml"}])
    """Labels that every alert carries."""
    silences: tuple[SilenceConfig, ...] = ()
    """Alerts that nobody should be called for: they are published with the mark of it."""
    exclusions: tuple[ExclusionConfig, ...] = ()
    """Times whose events are hidden from detectors."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if error := refusals(self._budget_problems()):
            raise error
        return self

    @property
    def levels(self) -> tuple[tuple[Severity, Budget], ...]:
        """The severities that have a budget, with it, least severe first."""
        budgets = {**self.budgets, self.severity: self.budget}
        return tuple((severity, budgets[severity]) for severity in Severity if severity in budgets)

    def _budget_problems(self) -> Iterator[tuple[Place, str]]:
        if self.severity in self.budgets:
            yield (
                ("budgets", self.severity.value),
                "is the level of alerts.severity, whose budget is alerts.budget; remove it here",
            )
            return
        for (low, wide), (high, narrow) in pairwise(self.levels):
            if not narrow.exceeds(wide):
                continue
            if high is self.severity:
                text = f"is smaller than the budget of {high} ({narrow}), which is more severe"
                yield ("budgets", low.value), f"{text}; write at least as much"
            else:
                text = f"is larger than the budget of {low} ({wide}), which is less severe"
                yield ("budgets", high.value), f"{text}; write at most as much"
