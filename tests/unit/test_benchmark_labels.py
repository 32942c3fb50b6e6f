"""Estimates without labels on public data: NannyML's car loans."""

from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.common import Row
from benchmarks.data.car_loan import CHANGE
from benchmarks.labels_cbpe import ALL, LEARNED, THEIRS, loans, ours, realised, rows
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
