"""Bins fitted to samples: what they hold of the sample, ties, constants, extremes."""

import math

import numpy as np
import pytest

from streamgauge.core.batch import Categories, FloatArray
from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.fitting import fit_categorical, fit_groups, fit_numeric
from tests.support.batches import numeric_bins

SIZE = 100_000


def shares(bins: NumericBins, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The share of values in each value bin, and in each distance group."""
    counts = np.bincount(bins.assign(values), minlength=bins.width)
    assert counts[bins.value_bins :].sum() == 0
    return counts[: bins.value_bins] / len(values), fold(counts, bins) / len(values)


def test_groups_hold_a_twentieth_each_and_the_tails_what_their_names_say() -> None:
    values = np.random.default_rng(1).lognormal(size=SIZE)
    fine, groups = shares(numeric_bins(values), values)
    expected = [0.001, 0.009, 0.04, *[0.05] * 18, 0.04, 0.009, 0.001]
    np.testing.assert_allclose(groups, expected, atol=1.5 / SIZE)
    assert fine[0] == fine[-1] == 0.0
    assert fine.max() <= 0.0125 + 1.5 / SIZE


def test_the_outer_bins_hold_what_lies_outside_the_reference() -> None:
    values = np.random.default_rng(2).normal(size=1_000)
    bins = numeric_bins(values)
    low, high = values.min(), values.max()
    outside = [math.nextafter(low, -math.inf), low, high, math.nextafter(high, math.inf)]
    assert bins.assign(np.array(outside)).tolist() == [
        0,
        1,
        bins.value_bins - 2,
        bins.value_bins - 1,
    ]


def test_the_range_is_the_whole_references_though_the_sample_is_narrower() -> None:
    bins = fit_numeric(np.array([1.0, 2.0, 3.0]), minimum=-5.0, maximum=9.0, mean=2.5, std=4.0)
    assert bins.edges[0] == -5.0
    assert bins.edges[-1] == math.nextafter(9.0, math.inf)
    assert (bins.center, bins.scale) == (2.5, 4.0)


def test_a_value_that_many_share_has_a_bin_and_a_group_of_its_own() -> None:
    rng = np.random.default_rng(3)
    values = np.where(rng.random(10_000) < 0.6, 0.0, rng.exponential(size=10_000))
    values[:1_500] -= 1.0
    bins = numeric_bins(values)
    groups = np.searchsorted(bins.groups, bins.assign(values), side="right") - 1
    (group,) = set(groups[values == 0.0].tolist())
    assert set(values[groups == group].tolist()) == {0.0}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_distinct_values_get_a_bin_each(count: int) -> None:
    values = np.repeat(np.arange(count) * 1.5, 50)
    bins = numeric_bins(values)
    assert len(set(bins.assign(np.unique(values)).tolist())) == count
    assert len(bins.groups) == count


def test_a_constant_has_a_scale_of_one_and_one_group() -> None:
    bins = numeric_bins(np.full(10, 4.25))
    assert (bins.edges, bins.groups) == ((4.25, math.nextafter(4.25, 5.0)), (0,))
    assert (bins.center, bins.scale) == (4.25, 1.0)


def test_a_field_without_values_still_has_bins() -> None:
    bins = fit_numeric(np.empty(0), minimum=np.inf, maximum=-np.inf, mean=0.0, std=0.0)
    assert bins.assign(np.array([np.nan, 3.0])).tolist() == [bins.value_bins, bins.value_bins - 1]


def test_the_largest_number_is_in_range() -> None:
    largest = float(np.finfo(np.float64).max)
    bins = fit_numeric(
        np.array([0.0, 1.0, largest]), minimum=0.0, maximum=largest, mean=0.0, std=1.0
    )
    assert bins.assign(np.array([largest, np.inf])).tolist() == [
        bins.value_bins - 2,
        bins.value_bins + 3,
    ]


@pytest.mark.parametrize("seed", range(20))
def test_edges_and_groups_ascend_strictly_whatever_the_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.standard_cauchy(int(rng.integers(1, 400))), int(rng.integers(0, 4)))
    bins = numeric_bins(values)
    assert (np.diff(bins.edges) > 0).all()
    assert (np.diff(bins.groups) > 0).all()
    assert bins.groups[0] == 0
    assert bins.groups[-1] < bins.value_bins
    fine, _ = shares(bins, values)
    assert fine[0] == fine[-1] == 0.0


def test_categories_come_by_frequency_then_by_name() -> None:
    bins = fit_categorical({"b": 5, "a": 5, "d": 1, "c": 9, "e": 1}, max_categories=3)
    assert bins.categories == ("c", "a", "b")
    assert bins.rare == ("d", "e")
    assert bins.complete


def test_unlisted_values_are_not_called_unseen() -> None:
    counts = {f"v{i:04}": 2_000 - i for i in range(1_500)}
    bins = fit_categorical(counts)
    assert (len(bins.categories), len(bins.rare), bins.complete) == (50, 950, False)
    column = Categories(np.arange(3, dtype=np.int32), ("v0000", "v1400", "never"))
    assert bins.assign(column).tolist() == [0, bins.other, bins.other]


def test_counts_that_left_values_out_make_incomplete_bins() -> None:
    assert not fit_categorical({"a": 1}, complete=False).complete


@pytest.mark.parametrize("seed", range(10))
def test_groups_of_fixed_bins_hold_about_their_share(seed: int) -> None:
    counts = np.random.default_rng(seed).multinomial(10_000, np.full(100, 0.01)).astype(np.int64)
    starts = fit_groups(counts, groups=20)
    held = np.add.reduceat(counts, starts)
    assert (held[:-1] >= 500).all()
    assert held[-1] >= 250
    assert held.max() <= 500 + counts.max() + 250
    assert held.sum() == counts.sum()


def test_one_full_bin_ends_its_group() -> None:
    counts = np.array([0, 900, 50, 0, 50, 0])
    assert fit_groups(counts, groups=10) == (0, 2)


def test_bins_without_counts_are_one_group() -> None:
    assert fit_groups(np.zeros(7, np.int64)) == (0,)
