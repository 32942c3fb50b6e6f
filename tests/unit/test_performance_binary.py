"""Figures of binary classifiers against scikit-learn, and their intervals against simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from streamgauge.core.performance.binary import (
    SCORE_BINS,
    BinaryFigures,
    binary_figures,
    count_binary,
)
from streamgauge.core.performance.decisions import business_value, decision_figures
from streamgauge.core.performance.intervals import Estimate, mean, wilson
from streamgauge.core.performance.ranking import area_under_roc, average_precision
from tests.support.labelled import THRESHOLD, BinaryEvents, binary_events, coverage

ROWS = 5
MANY = 2_000


def estimates(found: BinaryFigures) -> dict[str, Estimate]:
    """All figures that have an interval, by name."""
    return found.decisions._asdict() | {
        "auc": found.auc.estimate,
        "average_precision": found.average_precision.estimate,
        "ece": found.ece,
        "log_loss": found.log_loss,
        "brier": found.brier,
    }


def test_figures_of_every_row_are_those_of_scikit_learn() -> None:
    events = binary_events(700, ROWS, seed=1)
    found = estimates(binary_figures(events.sums(ROWS)))
    for row in range(ROWS):
        mine = events.rows == row
        truth, score = events.truth[mine], events.score[mine]
        decided = score >= THRESHOLD
        expected = {
            "accuracy": metrics.accuracy_score(truth, decided),
            "precision": metrics.precision_score(truth, decided),
            "recall": metrics.recall_score(truth, decided),
            "f1": metrics.f1_score(truth, decided),
            "specificity": metrics.recall_score(~truth, ~decided),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, decided),
            "mcc": metrics.matthews_corrcoef(truth, decided),
            "log_loss": metrics.log_loss(truth, score),
            "brier": metrics.brier_score_loss(truth, score),
        }
        for name, value in expected.items():
            assert found[name].value[row] == pytest.approx(value, abs=1e-9), name


def test_ranking_is_that_of_scikit_learn_on_binned_scores_and_bounded_on_the_scores() -> None:
    events = binary_events(700, ROWS, seed=2)
    found = binary_figures(events.sums(ROWS))
    for row in range(ROWS):
        mine = events.rows == row
        truth, score = events.truth[mine], events.score[mine]
        for figure, oracle in (
            (found.auc, metrics.roc_auc_score),
            (found.average_precision, metrics.average_precision_score),
        ):
            value, bound = figure.estimate.value[row], figure.bound[row]
            binned = np.floor(score * SCORE_BINS)
            assert value == pytest.approx(oracle(truth, binned), abs=1e-9)
            assert abs(value - oracle(truth, score)) <= bound
            assert 0.0 < bound < 0.03


def test_the_bound_of_average_precision_is_reached_by_the_best_and_the_worst_order() -> None:
    histograms = np.array([[[4, 2, 5, 0], [1, 3, 2, 2]], [[1, 9, 0, 1], [1, 9, 0, 0]]])
    found = average_precision(histograms)
    for row, (negatives, positives) in enumerate(histograms):
        bins = np.arange(4.0)
        truth = np.repeat([False, True], [negatives.sum(), positives.sum()])
        place = np.concatenate([np.repeat(bins, negatives), np.repeat(bins, positives)])
        one_by_one = np.arange(len(place)) * 1e-6
        best = metrics.average_precision_score(truth, place + 0.1 * truth)
        worst = metrics.average_precision_score(truth, place - 0.1 * truth + one_by_one)
        distance = max(
            abs(best - found.estimate.value[row]), abs(worst - found.estimate.value[row])
        )
        assert found.bound[row] == pytest.approx(distance, abs=1e-12)


def test_the_variance_of_auc_is_delongs() -> None:
    events = binary_events(60, 1, seed=3)
    binned = np.floor(events.score * SCORE_BINS)
    positive, negative = binned[events.truth], binned[~events.truth]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(axis=1).var(ddof=1) / len(positive)
    variance += wins.mean(axis=0).var(ddof=1) / len(negative)
    area = wins.mean()
    size = area * (1 - area) / variance
    found = area_under_roc(events.sums(1).histogram).estimate
    expected = wilson(np.array([area * size]), np.array([size]))
    assert found.value[0] == pytest.approx(area, abs=1e-12)
    assert found.lower[0] == pytest.approx(expected.lower[0], abs=1e-12)
    assert found.upper[0] == pytest.approx(expected.upper[0], abs=1e-12)


def test_calibration_is_a_recount_in_tenths_even_where_scores_are_rounded() -> None:
    drawn = binary_events(3_000, 1, seed=4)
    events = BinaryEvents(drawn.rows, drawn.truth, np.round(drawn.score, 2))
    found = binary_figures(events.sums(1))
    edges = np.arange(11) / 10
    error = 0.0
    for group in range(10):
        inside = (edges[group] <= events.score) & (events.score < edges[group + 1])
        inside |= (group == 9) & (events.score == 1.0)
        truth, score = events.truth[inside], events.score[inside]
        assert found.calibration.events[0, group] == len(truth)
        assert found.calibration.score[0, group] == pytest.approx(score.mean(), abs=1e-9)
        assert found.calibration.rate.value[0, group] == pytest.approx(truth.mean(), abs=1e-9)
        error += abs(truth.sum() - score.sum()) / len(events.truth)
    assert found.ece.value[0] == pytest.approx(error, abs=1e-9)


def test_wilsons_limits_are_those_of_scipy() -> None:
    successes, trials = np.array([0, 1, 7, 400, 50]), np.array([9, 1, 20, 1_000, 50])
    found = wilson(successes, trials)
    for row, (k, n) in enumerate(zip(successes, trials, strict=True)):
        expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert found.lower[row] == pytest.approx(expected.low, abs=1e-12)
        assert found.upper[row] == pytest.approx(expected.high, abs=1e-12)


def test_a_means_limits_are_students() -> None:
    drawn = np.random.default_rng(5).gamma(2.0, size=12)
    found = mean(np.array([drawn.sum()]), np.array([(drawn**2).sum()]), np.array([12]))
    limits = stats.t.interval(0.95, 11, drawn.mean(), stats.sem(drawn))
    assert (found.lower[0], found.upper[0]) == pytest.approx(limits, abs=1e-9)


def test_the_value_of_decisions_is_the_mean_over_events() -> None:
    events = binary_events(300, ROWS, seed=6)
    worth = np.array([[0.0, -25.0], [-400.0, 120.0]])
    found = business_value(events.sums(ROWS).confusion, worth)
    each = worth[events.truth.astype(int), (events.score >= THRESHOLD).astype(int)]
    for row in range(ROWS):
        mine = each[events.rows == row]
        limits = stats.t.interval(0.95, len(mine) - 1, mine.mean(), stats.sem(mine))
        assert found.value[row] == pytest.approx(mine.mean(), abs=1e-9)
        assert (found.lower[row], found.upper[row]) == pytest.approx(limits, abs=1e-9)


@pytest.mark.parametrize("worth", [np.zeros((3, 3)), np.array([[0.0, np.nan], [1.0, 1.0]])])
def test_values_that_do_not_fit_or_are_no_numbers_are_refused(worth: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be finite and fit"):
        business_value(np.ones((1, 2, 2), np.int64), worth)


def test_events_without_a_probability_count_in_the_decisions_alone() -> None:
    score = np.array([0.2, np.nan, 1.5, -0.1, np.inf, 1.0, 0.0])
    truth = np.array([False, True, True, False, True, True, False])
    sums = count_binary(np.zeros(7, int), 1, truth=truth, predicted=truth, score=score)
    found = binary_figures(sums)
    assert found.events[0] == 7
    assert found.scored[0] == 3
    assert sums.histogram[0, 1].nonzero()[0].tolist() == [SCORE_BINS - 1]
    assert sums.histogram[0, 0].nonzero()[0].tolist() == [0, 20]
    assert found.brier.value[0] == pytest.approx(0.04 / 3)


def test_a_certain_and_wrong_score_costs_a_finite_log_loss_as_in_scikit_learn() -> None:
    truth, score = np.array([True, False, True]), np.array([0.0, 1.0, 0.5])
    sums = count_binary(np.zeros(3, int), 1, truth=truth, predicted=truth, score=score)
    found = binary_figures(sums).log_loss
    assert found.value[0] == pytest.approx(metrics.log_loss(truth, score), abs=1e-9)
    assert found.upper[0] < 37.0


def test_a_row_without_events_has_no_figures() -> None:
    found = binary_figures(binary_events(50, 1, seed=7).sums(2))
    for name, estimate in estimates(found).items():
        assert np.isnan([limit[1] for limit in estimate]).all(), name
        assert np.isfinite([limit[0] for limit in estimate]).all(), name
    assert np.isnan([found.auc.bound[1], found.average_precision.bound[1]]).all()
    assert found.calibration.events[1].sum() == 0


def test_figures_that_need_both_labels_or_both_predictions_are_undefined_without() -> None:
    truth, score = np.array([False, False, False]), np.array([0.1, 0.2, 0.3])
    sums = count_binary(np.zeros(3, int), 1, truth=truth, predicted=truth, score=score)
    found = estimates(binary_figures(sums))
    undefined = {name for name, estimate in found.items() if np.isnan(estimate.value[0])}
    assert undefined == {
        "precision", "recall", "f1", "balanced_accuracy", "mcc", "auc", "average_precision",
    }  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_a_few_events_that_are_all_right_leave_room_for_doubt(spread: float) -> None:
    truth = np.array([True] * 6 + [False] * 9)
    score = np.where(truth, 0.75, 0.25) + spread * np.random.default_rng(12).uniform(-1, 1, 15)
    sums = count_binary(np.zeros(15, int), 1, truth=truth, predicted=truth, score=score)
    found = estimates(binary_figures(sums))
    for name in ("accuracy", "precision", "f1", "balanced_accuracy", "mcc", "auc",
                 "average_precision"):  # fmt: skip
        assert found[name].value[0] == pytest.approx(1.0, abs=1e-12), name
        assert found[name].upper[0] == pytest.approx(1.0, abs=1e-12), name
        assert 0.3 < found[name].lower[0] < 0.9, name


def test_the_interval_of_auc_covers_where_most_rows_see_no_mistake() -> None:
    rng = np.random.default_rng(8)
    rows, n = 3_000, 40
    truth = np.tile(np.arange(n) < n // 2, rows)
    low = rng.random(n * rows) < 0.02
    score = np.where(truth & ~low, 0.9, 0.5)
    score = np.where(truth & low, 0.1, score)
    sums = count_binary(np.repeat(np.arange(rows), n), rows, truth=truth, predicted=truth,
                        score=score)  # fmt: skip
    found = area_under_roc(sums.histogram).estimate
    assert np.mean(found.value == 1.0) > 0.5
    assert coverage(found, np.array(0.98)) > 0.93


@pytest.mark.parametrize(("n", "lowest"), [(30, 0.88), (100, 0.92), (1_000, 0.935)])
def test_intervals_cover_the_figures_of_the_population(n: int, lowest: float) -> None:
    population = estimates(binary_figures(binary_events(2_000_000, 1, seed=9).sums(1)))
    found = estimates(binary_figures(binary_events(n, MANY, seed=10).sums(MANY)))
    for name, estimate in found.items():
        share = coverage(estimate, population[name].value)
        assert lowest < share < (1.0 if name == "ece" else 0.975), (name, share)


@pytest.mark.parametrize("sharpness", [0.0, 1.0])
def test_the_interval_of_ece_holds_0_for_a_calibrated_model(sharpness: float) -> None:
    rng = np.random.default_rng(11)
    score = 1.0 / (1.0 + np.exp(-sharpness * rng.normal(size=MANY * 200)))
    truth = rng.random(MANY * 200) < score
    events = BinaryEvents(np.repeat(np.arange(MANY), 200), truth, score)
    found = binary_figures(events.sums(MANY)).ece
    assert np.median(found.value) > 0.01
    assert np.mean(found.lower == 0.0) > 0.94


def test_a_code_out_of_range_is_refused() -> None:
    one = np.array([True])
    for row in (-1, 2):
        with pytest.raises(ValueError, match="not all within"):
            count_binary(np.array([row]), 2, truth=one, predicted=one, score=np.array([0.5]))


def test_matthews_gradient_is_that_of_finite_differences() -> None:
    # The interval's width, over the width that numeric derivatives of the same counts give.
    counts = np.array([[[40, 7], [5, 21]]])
    smooth = counts[0] + 0.5

    def correlation(table: np.ndarray) -> float:
        (tn, fp), (fn, tp) = table
        return float((tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))

    variance = 0.0
    for cell in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[cell] = 1e-4
        slope = (correlation(smooth + step) - correlation(smooth - step)) / 2e-4
        variance += smooth[cell] * slope**2
    centre = correlation(smooth)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (1 - centre**2)
    found = decision_figures(counts).mcc
    assert found.lower[0] == pytest.approx(np.tanh(np.arctanh(centre) - half), abs=1e-6)
    assert found.upper[0] == pytest.approx(np.tanh(np.arctanh(centre) + half), abs=1e-6)
