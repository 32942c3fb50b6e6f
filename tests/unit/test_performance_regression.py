"""Figures of regressions against scikit-learn, numpy and simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.performance.regression import (
    PROBABILITIES,
    RegressionFigures,
    binomial_quantile,
    count_regression,
    error_edges,
    regression_figures,
)
from tests.support.labelled import CENTRE, EDGES, NumberEvents, coverage, number_events

ROWS = 5
MANY = 2_000
BIN = 10 ** (1 / 16)


def estimates(found: RegressionFigures) -> dict[str, Estimate]:
    """All figures that have an interval, by name."""
    names = ("mean_error", "mae", "mse", "rmse", "r2", "mape")
    return {name: getattr(found, name) for name in names} | {
        f"quantile {p}": estimate for p, estimate in found.quantiles.items()
    }


def test_figures_of_every_row_are_those_of_scikit_learn() -> None:
    events = number_events(400, ROWS, seed=1)
    found = regression_figures(events.sums(ROWS), EDGES)
    for row in range(ROWS):
        mine = events.rows == row
        pair = events.truth[mine], events.predicted[mine]
        expected = {
            "mean_error": (pair[1] - pair[0]).mean(),
            "mae": metrics.mean_absolute_error(*pair),
            "mse": metrics.mean_squared_error(*pair),
            "rmse": metrics.root_mean_squared_error(*pair),
            "r2": metrics.r2_score(*pair),
            "mape": metrics.mean_absolute_percentage_error(*pair),
        }
        for name, value in expected.items():
            assert getattr(found, name).value[row] == pytest.approx(value, rel=1e-9), name


def test_a_mean_far_from_the_centre_leaves_r2_as_it_is() -> None:
    near = number_events(400, 1, seed=2)
    far = NumberEvents(near.rows, near.truth + 1e4, near.predicted + 1e4)
    assert regression_figures(far.sums(1), EDGES).r2.value[0] == pytest.approx(
        metrics.r2_score(far.truth, far.predicted), abs=1e-7
    )


def test_r2_and_its_interval_do_not_depend_on_the_centre() -> None:
    events = number_events(300, ROWS, seed=10)
    found = [
        regression_figures(
            count_regression(
                events.rows,
                ROWS,
                truth=events.truth,
                predicted=events.predicted,
                centre=centre,
                edges=EDGES,
            ),
            EDGES,
        ).r2
        for centre in (0.0, 52.0, 90.0)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8)
    np.testing.assert_allclose(found[2], found[1], rtol=1e-8)


def test_quantiles_of_the_error_are_right_to_a_bin() -> None:
    events = number_events(5_000, ROWS, seed=3)
    found = regression_figures(events.sums(ROWS), EDGES).quantiles
    for row in range(ROWS):
        mine = events.rows == row
        size = np.abs(events.predicted - events.truth)[mine]
        for p in PROBABILITIES:
            exact = np.quantile(size, p, method="inverted_cdf")
            assert exact / BIN < found[p].value[row] < exact * BIN
            assert found[p].lower[row] < found[p].value[row] < found[p].upper[row]


def test_the_limits_of_a_quantile_are_order_statistics() -> None:
    events = number_events(900, 1, seed=4)
    found = regression_figures(events.sums(1), EDGES).quantiles[0.9]
    size = np.sort(np.abs(events.predicted - events.truth))
    low, high = stats.binom.interval(0.95, 900, 0.9)
    for limit, exact in ((found.lower[0], size[int(low) - 1]), (found.upper[0], size[int(high)])):
        assert exact / BIN < limit < exact * BIN


def test_a_quantile_that_few_events_cannot_bound_has_no_finite_upper_limit() -> None:
    found = regression_figures(number_events(100, 1, seed=9).sums(1), EDGES).quantiles
    assert np.isfinite(found[0.9].upper[0])
    assert found[0.99].upper[0] == np.inf
    assert np.isfinite(found[0.99].value[0])


def test_errors_on_both_sides_and_on_the_edges_count_by_their_size() -> None:
    error = np.array([-0.5, 0.5, -1e9, 0.0, 2.0, -2.0, float(EDGES[-1]), float(EDGES[0])])
    events = NumberEvents(np.zeros(8, int), np.zeros(8), error)
    sums = events.sums(1)
    found = regression_figures(sums, EDGES).quantiles
    assert sums.histogram.sum() == 8
    assert 0.5 / BIN < found[0.5].value[0] < 2.0 * BIN
    assert found[0.99].value[0] == np.inf


def test_without_any_error_r2_is_1_and_quantiles_are_small() -> None:
    truth = np.arange(40.0)
    events = NumberEvents(np.zeros(40, int), truth, truth)
    found = regression_figures(events.sums(1), EDGES)
    assert [limit[0] for limit in found.r2] == [1.0, 1.0, 1.0]
    assert found.quantiles[0.9].upper[0] <= EDGES[EDGES > 0][0]
    assert found.rmse.value[0] == 0.0


@pytest.mark.parametrize("constant", [0.0, CENTRE, 77.7])
def test_r2_is_undefined_where_the_truth_does_not_vary(constant: float) -> None:
    truth = np.full(30, constant)
    predicted = truth + np.random.default_rng(5).normal(size=30)
    found = regression_figures(NumberEvents(np.zeros(30, int), truth, predicted).sums(1), EDGES)
    assert np.isnan([limit[0] for limit in found.r2]).all()
    assert found.mae.value[0] == pytest.approx(np.abs(predicted - truth).mean())


def test_the_percentage_error_leaves_out_truths_of_0_and_says_how_many_are_left() -> None:
    truth = np.array([0.0, 2.0, -4.0, 0.0, 5.0])
    events = NumberEvents(np.zeros(5, int), truth, truth + 1.0)
    found = regression_figures(events.sums(1), EDGES)
    assert found.nonzero[0] == 3
    assert found.mape.value[0] == pytest.approx((1 / 2 + 1 / 4 + 1 / 5) / 3)


def test_events_that_are_not_finite_are_left_out() -> None:
    truth = np.array([1.0, np.nan, 3.0, np.inf])
    events = NumberEvents(np.zeros(4, int), truth, np.array([2.0, 1.0, np.nan, 0.0]))
    found = regression_figures(events.sums(1), EDGES)
    assert found.events[0] == 1
    assert found.mean_error.value[0] == 1.0


def test_a_row_without_events_has_no_figures() -> None:
    found = estimates(regression_figures(number_events(20, 1, seed=6).sums(2), EDGES))
    for name, estimate in found.items():
        assert np.isnan([limit[1] for limit in estimate]).all(), name
        assert not np.isnan([limit[0] for limit in estimate]).any(), name


@pytest.mark.parametrize(("n", "lowest"), [(50, 0.86), (200, 0.91), (2_000, 0.93)])
def test_intervals_cover_the_figures_of_the_population(n: int, lowest: float) -> None:
    population = estimates(regression_figures(number_events(2_000_000, 1, seed=7).sums(1), EDGES))
    found = estimates(regression_figures(number_events(n, MANY, seed=8).sums(MANY), EDGES))
    for name, estimate in found.items():
        share = coverage(estimate, population[name].value)
        # Ranks are whole numbers: the limits of quantiles cover at least as often as they should.
        assert lowest < share <= (1.0 if name.startswith("quantile") else 0.98), (name, share)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_that_is_no_size_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        error_edges(scale)


def test_a_row_out_of_range_is_refused() -> None:
    one = np.array([1.0])
    with pytest.raises(ValueError, match="not all within"):
        count_regression(np.array([3]), 3, truth=one, predicted=one, centre=CENTRE, edges=EDGES)


@pytest.mark.parametrize("q", [0.0013, 0.025, 0.31, 0.47, 0.975, 0.9999])
@pytest.mark.parametrize("probability", [0.01, 0.5, 0.9, 0.99])
def test_quantiles_of_the_binomial_law_are_those_of_scipy(q: float, probability: float) -> None:
    n = np.array([1, 2, 3, 10, 57, 900, 12_345, 1_000_000])
    expected = stats.binom.ppf(q, n, probability)
    assert binomial_quantile(q, n, probability).tolist() == expected.tolist()


def test_where_a_probability_is_met_exactly_its_quantile_is_not_one_more() -> None:
    assert binomial_quantile(0.5, np.array([1, 57, 12_345]), 0.5).tolist() == [0.0, 28.0, 6_172.0]


def test_no_events_have_no_more_than_none() -> None:
    assert binomial_quantile(0.975, np.array([0, 5]), 0.5).tolist() == [0.0, 5.0]
