"""Quantiles from bins against those of the values themselves."""

import numpy as np
import pytest

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins
from streamgauge.core.quantiles import quantiles
from tests.support.batches import numeric_bins

PROBABILITIES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)


def drawn(kind: str, n: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    match kind:
        case "lognormal":
            return rng.lognormal(size=n)
        case "shifted":
            return rng.lognormal(1.0, 0.5, n)
        case "ties":
            return np.floor(6 * rng.random(n))
        case "mostly zero":
            return np.where(rng.random(n) < 0.8, 0.0, rng.lognormal(size=n))
        case "far out":
            return rng.normal(1e6, 1.0, n)
        case _:
            return np.full(n, 2.5)


def counts_of(bins: NumericBins, values: FloatArray) -> IntArray:
    return np.bincount(bins.assign(values), minlength=bins.value_bins)[: bins.value_bins]


@pytest.mark.parametrize("reference", ["lognormal", "ties", "mostly zero", "constant"])
@pytest.mark.parametrize("current", ["lognormal", "shifted", "ties", "mostly zero", "far out"])
@pytest.mark.parametrize("n", [1, 7, 2_000])
def test_the_rank_is_off_by_at_most_the_bins_share(reference: str, current: str, n: int) -> None:
    bins = numeric_bins(drawn(reference, 1_000, seed=1))
    values = drawn(current, n, seed=2)
    counts = counts_of(bins, values)
    found = quantiles(
        bins, counts[None, :], values.min(keepdims=True), values.max(keepdims=True), PROBABILITIES
    )
    for probability in PROBABILITIES:
        truth = np.quantile(values, probability, method="inverted_cdf", keepdims=True)
        error = counts[bins.assign(truth)[0]] / n
        below = np.mean(values < found[probability][0])
        up_to = np.mean(values <= found[probability][0])
        assert below <= probability + error + 1e-9
        assert up_to >= probability - error - 1e-9


def test_a_sample_like_the_reference_has_quantiles_close_in_rank() -> None:
    bins = numeric_bins(drawn("lognormal", 20_000, seed=1))
    values = drawn("lognormal", 20_000, seed=2)
    counts = counts_of(bins, values)
    extremes = values.min(keepdims=True), values.max(keepdims=True)
    for probability, estimate in quantiles(bins, counts[None], *extremes, PROBABILITIES).items():
        assert abs(np.mean(values < estimate[0]) - probability) < 0.0125


def test_the_ends_are_the_extremes_and_quantiles_ascend_between_them() -> None:
    bins = numeric_bins(drawn("lognormal", 1_000, seed=1))
    values = drawn("shifted", 500, seed=3)
    least, most = values.min(keepdims=True), values.max(keepdims=True)
    found = quantiles(bins, counts_of(bins, values)[None], least, most, PROBABILITIES)
    ordered = [float(found[p][0]) for p in PROBABILITIES]
    assert ordered[0] == least[0]
    assert ordered[-1] == most[0]
    assert ordered == sorted(ordered)


def test_rows_are_independent_and_one_without_values_has_no_quantiles() -> None:
    bins = numeric_bins(drawn("lognormal", 1_000, seed=1))
    samples = [drawn("lognormal", 300, seed=4), np.empty(0), drawn("far out", 10, seed=5)]
    counts = np.array([counts_of(bins, values) for values in samples])
    least = np.array([values.min(initial=np.inf) for values in samples])
    most = np.array([values.max(initial=-np.inf) for values in samples])
    together = quantiles(bins, counts, least, most, (0.25, 0.5))
    for row, values in enumerate(samples):
        at = slice(row, row + 1)
        alone = quantiles(bins, counts[at], least[at], most[at], (0.25, 0.5))
        for probability in (0.25, 0.5):
            np.testing.assert_array_equal(together[probability][at], alone[probability])
            assert np.isnan(alone[probability][0]) == (not len(values))


def test_values_out_of_range_are_bounded_by_the_rows_own_extremes() -> None:
    bins = numeric_bins(drawn("lognormal", 1_000, seed=1))
    values = np.array([-70.0, -50.0, 500.0, 900.0])
    found = quantiles(
        bins, counts_of(bins, values)[None], values[:1], values[-1:], (0.25, 0.4, 0.9)
    )
    assert -70 <= found[0.25][0] <= found[0.4][0] <= bins.edges[0]
    assert bins.edges[-1] <= found[0.9][0] <= 900
