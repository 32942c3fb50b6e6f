"""Allotment: how a model's share of the alert budget is divided among what watches it."""

from dataclasses import replace
from typing import NamedTuple

from streamgauge.core.detectors.allowance import series_weights
from streamgauge.core.detectors.series import SeriesTable
from streamgauge.core.detectors.specs import Spending, TrafficLimit
from streamgauge.core.outcomes.coverage import COVERAGE_PART
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.series import outcome_series
from streamgauge.core.outcomes.stream import LabelSpec
from streamgauge.core.reference import Reference


class Allotment(NamedTuple):
    """What the shares of all events, those of labelled events, coverage and traffic may spend."""

    shares: Spending
    outcomes: Spending
    coverage: Spending
    traffic: Spending


def allotment(
    spending: Spending,
    traffic: TrafficLimit | None,
    labels: LabelSpec | None,
    reference: Reference | None,
    table: SeriesTable | None,
) -> Allotment:
    """Divide a model's spending; `table` holds the series of all events, None without a reference.

    Traffic and coverage have fixed parts where they are watched. The rest is divided as if all
    series were of one row, by their weights.
    """
    rest, of_traffic = spending.divided(traffic)
    coverage = 0.0 if labels is None or labels.coverage is None else COVERAGE_PART
    outcomes = 0.0
    if labels is not None and reference is not None and reference.outcomes is not None:
        assert table is not None
        layout = OutcomeLayout(reference.layout, reference.positive)
        others = outcome_series(layout, reference.outcomes, calibrated=True)
        own = float(series_weights(table, spending).sum())
        theirs = float(series_weights(others, spending).sum())
        outcomes = (1.0 - coverage) * theirs / max(own + theirs, 1e-300)
    return Allotment(
        replace(rest, alarms=rest.alarms * (1.0 - coverage - outcomes)),
        replace(rest, alarms=rest.alarms * outcomes),
        replace(rest, alarms=rest.alarms * coverage),
        of_traffic,
    )
