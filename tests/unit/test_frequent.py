"""Frequent values in bounded memory, against a plain count."""

from collections import Counter

import numpy as np
import pytest

from streamgauge.core.frequent import FrequentValues


def test_below_its_capacity_every_count_is_exact() -> None:
    summary = FrequentValues(capacity=4)
    summary.add({"a": 3, "b": 1})
    summary.add({"a": 2, "c": 5, "d": 1})
    assert summary.counts == {"a": 5, "b": 1, "c": 5, "d": 1}


def test_the_most_frequent_come_first_and_ties_in_alphabetical_order() -> None:
    summary = FrequentValues()
    summary.add({"c": 5, "a": 5, "b": 1, "d": 9})
    assert summary.top(3) == (("d", 9), ("a", 5), ("c", 5))
    assert FrequentValues().top(3) == ()


@pytest.mark.parametrize("chunk", [1, 37, 5_000])
def test_a_heavy_value_survives_a_flood_of_others(chunk: int) -> None:
    rng = np.random.default_rng(1)
    numbers = np.where(rng.random(5_000) < 0.1, 0, rng.integers(1, 100_000, 5_000))
    values = [str(number) for number in numbers]
    summary = FrequentValues(capacity=20)
    for start in range(0, len(values), chunk):
        summary.add(Counter(values[start : start + chunk]))
        assert len(summary.counts) <= 20
    assert summary.top(1)[0][0] == "0"


def test_equal_counts_past_the_capacity_leave_nothing_to_name() -> None:
    summary = FrequentValues(capacity=2)
    summary.add(dict.fromkeys("abc", 4))
    assert summary.counts == {}
