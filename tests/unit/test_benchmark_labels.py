"""Labels on public data: estimates without them, and recounts that see what is wrong."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from benchmarks.common import Row
from benchmarks.data.car_loan import CHANGE
from benchmarks.labels_cbpe import (
    ALL,
    LEARNED,
    THEIRS,
    flights,
    loans,
    numbered,
    ours,
    realised,
    rows,
)
from benchmarks.labels_recount import flights as messages
from benchmarks.labels_recount import judge
from streamgauge.core.estimation.cbpe import Metric

CHUNK = 5_000


@pytest.fixture(scope="module")
def table() -> Mapping[str, Row]:
    return {str(row["figure"]): row for row in rows(CHUNK)}


@pytest.mark.parametrize("metric", [*THEIRS, Metric.BRIER, ALL])
def test_estimates_are_closer_than_the_guess_that_all_stays(
    table: Mapping[str, Row], metric: str
) -> None:
    assert float(table[metric]["ratio_to_constant"]) < 0.75


def test_before_the_change_intervals_hold_what_labels_show() -> None:
    reference, analysis = loans()
    same = analysis[:CHANGE]
    estimates, shown = ours(reference, same, 1_000), realised(same, 1_000)
    held = [
        (estimates[name].lower <= shown[name]) & (shown[name] <= estimates[name].upper)
        for name in (*THEIRS, Metric.BRIER, LEARNED)
    ]
    assert np.mean(held) > 0.93


def test_the_fall_of_accuracy_is_foretold() -> None:
    reference, analysis = loans()
    value = ours(reference, analysis, CHANGE)[Metric.ACCURACY].value
    shown = realised(analysis, CHANGE)[Metric.ACCURACY]
    assert shown[0] - shown[1] > 0.02
    np.testing.assert_allclose(value, shown, atol=0.005)


def test_estimates_of_flights_are_closer_by_week_than_the_guess_that_all_stays() -> None:
    found = {str(row["figure"]): row for row in rows("W", flights(), "flights")}
    assert float(found[ALL]["ratio_to_constant"]) < 0.95


def test_weeks_are_those_of_the_calendar() -> None:
    _, analysis = flights()
    weeks = numbered(analysis, "W")
    begun = analysis["timestamp"].dt.to_period("W").dt.start_time
    assert (np.diff(weeks) >= 0).all()
    assert len(np.unique(weeks)) == begun.nunique() == 45
    assert (begun.groupby(weeks).nunique() == 1).all()


def test_a_recount_of_flights_finds_what_is_wrong_and_nothing_else() -> None:
    until = round(datetime.fromisoformat("2013-01-03T00:00:00-05:00").timestamp() * 1000)
    found = messages(end_ms=until)
    verdict = judge(found)
    assert (verdict.different, verdict.auc_broken) == ([], 0)
    assert verdict.rows > 20
    assert verdict.windows > 3
    pairs = found.pairs.copy()
    pairs.loc[0, ["label", "corrected"]] = 1 - pairs.loc[0, "corrected"]
    wrong = judge(replace(found, pairs=pairs))
    assert any("total" in text for text in wrong.different)
    assert any("window" in text for text in wrong.different)
