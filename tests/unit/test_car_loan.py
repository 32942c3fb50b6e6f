"""A known change in public data: NannyML's car loans, through the engine as the monitor runs it."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.car_loan_ours import outcome, profile
from benchmarks.car_loan_rate import Outcome, most_sensitive, unchanged
from benchmarks.data.car_loan import CHANGE, CHANGED, PANE, PART, read

PROMISED = {
    "car_value": 100,
    "repaid_loan_on_prev_car": 200,
    "score": 400,
    "salary_range": 500,
    "loan_length": 500,
}
"""Events after the change within which an alert must have fired."""


@pytest.fixture(scope="module")
def loans() -> tuple[pd.DataFrame, pd.DataFrame]:
    return read()


@pytest.fixture(scope="module")
def found(loans: tuple[pd.DataFrame, pd.DataFrame]) -> Outcome:
    reference, analysis = loans
    return outcome(profile(reference), [], analysis[: CHANGE + 1_000])


def test_nothing_fires_before_the_change(found: Outcome) -> None:
    assert found.early == 0


@pytest.mark.parametrize("column", list(CHANGED))
def test_the_change_is_found_in_time(found: Outcome, column: str) -> None:
    delay = found.delay(column)

    assert delay is not None
    assert delay <= PROMISED[column]


def test_what_did_not_change_stays_silent(found: Outcome) -> None:
    assert set(found.alarms) <= set(CHANGED)


def test_the_change_is_where_it_is_said_to_be(loans: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    reference, analysis = loans

    assert len(reference) == len(analysis) == PART
    before, after = analysis["car_value"][:CHANGE].mean(), analysis["car_value"][CHANGE:].mean()
    assert before == pytest.approx(reference["car_value"].mean(), rel=0.02)
    assert after > 1.5 * before


def test_streams_without_a_change_hold_what_came_before_it_and_nothing_else(
    loans: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    _, analysis = loans

    streams = list(unchanged(analysis, CHANGE // PANE + 10))

    assert [len(stream) for stream in streams] == [CHANGE, 10 * PANE]
    assert not streams[0].equals(analysis[:CHANGE])
    expected = np.sort(analysis["car_value"][:CHANGE])
    np.testing.assert_array_equal(np.sort(streams[0]["car_value"]), expected)


def test_the_most_sensitive_setting_is_the_first_with_few_enough_false_alarms() -> None:
    counts = {0.9: 70, 0.5: 9, 0.3: 2, 0.2: 1, 0.1: 0}

    assert most_sensitive(tuple(counts), counts.__getitem__) == (0.2, 1)
    assert most_sensitive((0.1,), counts.__getitem__) == (0.1, 0)


def test_a_delay_counts_from_the_change_and_early_alarms_are_told_apart() -> None:
    alarms = {"score": [CHANGE, CHANGE + 70, CHANGE + 20], "car_value": [10]}
    method = Outcome("method", "", 0, alarms)

    assert (method.early, method.delay("score"), method.delay("car_value")) == (2, 20, None)
    assert method.delay("loan_length") is None
