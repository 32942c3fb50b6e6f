"""Summaries of columns against numpy over all the values, in whatever batches they come."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from streamgauge.core.batch import Categories, FloatArray
from streamgauge.core.profiling import (
    CategorySummary,
    NumericSummary,
    RowKeys,
    UniformSample,
    sample_size,
)


def summary(values: FloatArray, cuts: list[int], size: int = 10_000) -> NumericSummary:
    result = NumericSummary(UniformSample(size))
    keys = RowKeys()
    for part in np.split(values, cuts):
        result.add(part, keys.next(len(part)))
    return result


@pytest.mark.parametrize("cuts", [[], [0, 1, 1, 17], list(range(0, 5_000, 7))])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-3, 1e6), (1e140, 0.0)])
def test_moments_are_those_of_all_values(cuts: list[int], scale: float, offset: float) -> None:
    values = np.random.default_rng(1).normal(size=5_000) * scale + offset
    found = summary(values, cuts)
    assert (found.count, found.minimum, found.maximum) == (5_000, values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-12 * scale)
    assert found.std == pytest.approx(values.std(), rel=1e-9)


def test_a_large_offset_does_not_cancel_the_spread() -> None:
    values = 1e9 + np.random.default_rng(2).random(10_000)
    assert summary(values, [100, 2_000]).std == pytest.approx(values.std(), rel=1e-7)


def test_only_finite_values_count() -> None:
    found = summary(np.array([np.nan, 3.0, np.inf, -np.inf, 5.0]), [])
    assert (found.count, found.mean, found.minimum, found.maximum) == (2, 4.0, 3.0, 5.0)
    assert sorted(found.sample.values().tolist()) == [3.0, 5.0]


def test_without_values_nothing_is_known() -> None:
    found = summary(np.array([np.nan]), [])
    assert (found.count, found.std, len(found.sample.values())) == (0, 0.0, 0)


def test_absurd_values_leave_the_deviation_finite() -> None:
    found = summary(np.array([1.7e308, -1.7e308, 1.0]), [1])
    assert np.isfinite([found.mean, found.std]).all()
    assert found.maximum == 1.7e308


@pytest.mark.parametrize(("values", "whole"), [([1.0, 2.0, 1e300], True), ([1.0, 2.5], False)])
def test_whole_numbers_are_noticed(values: list[float], whole: bool) -> None:
    assert summary(np.array(values), [1]).whole is whole


def test_few_values_are_all_in_the_sample() -> None:
    values = np.arange(500.0)
    np.testing.assert_array_equal(np.sort(summary(values, [3, 44]).sample.values()), values)


@pytest.mark.parametrize("cuts", [[50], [1, 2, 3, 3_000], list(range(0, 20_000, 333))])
def test_the_sample_is_the_same_however_the_values_are_divided(cuts: list[int]) -> None:
    values = np.random.default_rng(3).normal(size=20_000)
    whole, parts = summary(values, [], 1_000), summary(values, cuts, 1_000)
    np.testing.assert_array_equal(np.sort(whole.sample.values()), np.sort(parts.sample.values()))
    assert len(whole.sample.values()) == 1_000


def test_the_sample_takes_early_and_late_values_alike() -> None:
    values = np.arange(200_000.0)
    sample = summary(values, list(range(0, 200_000, 4_096)), 20_000).sample.values()
    assert stats.kstest(sample / 200_000, "uniform").pvalue > 0.001
    assert len(set(sample.tolist())) == 20_000


def test_missing_values_take_no_place_in_the_sample() -> None:
    values = np.arange(50_000.0)
    values[np.random.default_rng(4).random(50_000) < 0.9] = np.nan
    sample = summary(values, [10_000, 20_000], 1_000).sample.values()
    assert len(sample) == 1_000
    assert np.isfinite(sample).all()


def test_many_columns_share_the_room() -> None:
    sizes = [sample_size(columns) for columns in (0, 1, 100, 1_000, 10_000)]
    assert sizes == [131_072, 131_072, 131_072, 16_777, 4_096]


def test_texts_are_counted_and_absent_ones_are_not() -> None:
    rng = np.random.default_rng(5)
    expected: Counter[str] = Counter()
    found = CategorySummary()
    for values in (("a", "b", "c"), ("c", "d"), ()):
        codes = rng.integers(-2, len(values), 100).astype(np.int32)
        found.add(Categories(codes, values))
        expected.update(values[code] for code in codes.tolist() if code >= 0)
    assert found.counts == expected
    assert found.complete


def test_past_the_limit_new_texts_are_left_out_and_known_ones_counted() -> None:
    found = CategorySummary(limit=2)
    found.add(Categories(np.array([0, 1, 1], np.int32), ("a", "b")))
    assert found.complete
    found.add(Categories(np.array([0, 1, 1], np.int32), ("b", "c")))
    assert found.counts == {"a": 1, "b": 3}
    assert not found.complete
