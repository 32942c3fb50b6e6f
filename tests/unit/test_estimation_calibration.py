"""Calibration curves against scikit-learn's and scipy's isotonic regression, and recounts."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from sklearn.isotonic import IsotonicRegression

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.estimation.calibration import (
    ECE_GROUPS,
    block_rates,
    calibration_error,
    errors,
    learn,
    middles,
    out_of_sample,
    pool_adjacent,
    split,
)
from streamgauge.core.layout import score_bins

BINS = 40
SCORES = (np.arange(BINS) + 0.5) / BINS


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def labelled(rates: FloatArray, events: int, seed: int) -> IntArray:
    """Counts `(2, bins)` of events with evenly spread scores and these P(label = 1)."""
    totals = rng(seed).multinomial(events, np.full(len(rates), 1 / len(rates)))
    positives = rng(seed + 1_000_000).binomial(totals, rates)
    return np.stack([totals - positives, positives]).astype(np.int64)


@pytest.mark.parametrize("seed", range(20))
def test_pooled_rates_are_scikit_learns_and_scipys(seed: int) -> None:
    totals = rng(seed).integers(1, 30, BINS)
    positives = rng(seed + 100).binomial(totals, rng(seed + 200).uniform(0, 1, BINS))

    found = block_rates(pool_adjacent(positives, totals), SCORES)

    rates = positives / totals
    theirs = IsotonicRegression().fit(SCORES, rates, sample_weight=totals).predict(SCORES)
    np.testing.assert_allclose(found, theirs, atol=1e-12)
    scipys = isotonic_regression(rates, weights=totals.astype(float)).x
    np.testing.assert_allclose(found, scipys, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_empty_bins_change_no_other_rate_and_stay_between_their_neighbours(seed: int) -> None:
    totals = rng(seed).integers(0, 3, BINS) * 7
    positives = rng(seed + 100).binomial(totals, SCORES)
    filled = totals > 0

    found = block_rates(pool_adjacent(positives, totals), SCORES)

    alone = block_rates(pool_adjacent(positives[filled], totals[filled]), SCORES[filled])
    np.testing.assert_array_equal(found[filled], alone)
    assert (np.diff(found) >= 0).all()


def test_equal_rates_are_one_block_though_their_floats_differ() -> None:
    k, n = np.array([1, 3, 7]), np.array([10, 30, 70])

    fitted = pool_adjacent(k, n)

    np.testing.assert_array_equal(fitted.starts, [0])
    assert (fitted.positives[0], fitted.totals[0]) == (11, 110)


def test_gaps_keep_their_score_cut_to_the_rates_around() -> None:
    k = np.array([0, 1, 0, 0, 0, 6, 0])
    n = np.array([0, 10, 0, 0, 0, 10, 0])
    scores = np.array([0.05, 0.1, 0.02, 0.4, 0.9, 0.9, 0.95])

    fitted = pool_adjacent(k, n)

    np.testing.assert_allclose(block_rates(fitted, scores), [0.05, 0.1, 0.1, 0.4, 0.6, 0.6, 0.95])
    starts, variances = errors(fitted, n)
    np.testing.assert_array_equal(starts, [0, 1, 2, 5, 6])
    p, q = 1.5 / 11, 6.5 / 11
    uniform = [0.1**2 / 12, 0.5**2 / 12, 0.4**2 / 12]
    expected = [uniform[0], p * (1 - p) / 10, uniform[1], q * (1 - q) / 10, uniform[2]]
    np.testing.assert_allclose(variances, expected)


def test_an_empty_bin_inside_a_block_shares_its_rate_and_the_error_of_the_bin_before() -> None:
    fitted = pool_adjacent(np.array([5, 0, 3]), np.array([10, 0, 10]))

    np.testing.assert_array_equal(fitted.starts, [0])
    np.testing.assert_allclose(block_rates(fitted, np.array([0.1, 0.5, 0.9])), 0.4)
    starts, _ = errors(fitted, np.array([10, 0, 10]))
    np.testing.assert_array_equal(starts, [0, 2])


def test_without_labels_the_scores_stay_and_nothing_is_known() -> None:
    found = learn(np.zeros((2, 2, BINS), np.int64), SCORES)

    np.testing.assert_array_equal(found.rates, SCORES)
    np.testing.assert_array_equal(found.starts, [0])
    np.testing.assert_allclose(found.variances, 1 / 12)
    assert not found.isotonic
    assert np.isnan(found.ece)


def test_a_block_of_one_label_is_not_certain() -> None:
    _, variances = errors(pool_adjacent(np.array([0, 9]), np.array([50, 9])), np.array([50, 9]))
    assert (variances > 0).all()


def test_folds_add_up_and_are_halves() -> None:
    counts = labelled(SCORES, 10_000, seed=3)

    folds = split(counts)

    np.testing.assert_array_equal(folds.sum(axis=0), counts)
    assert abs(folds[0].sum() - 5_000) < 4 * 50
    np.testing.assert_array_equal(folds, split(counts))
    assert split(counts, folds=5).shape == (5, 2, BINS)


def test_the_calibration_error_is_that_of_events_in_tenths_of_the_reference() -> None:
    """A recount: bins are dealt to groups by the share of events before them."""
    counts = labelled(SCORES**2, 5_000, seed=1)
    folds = split(counts, folds=3)

    found = out_of_sample(folds, SCORES)

    totals = counts.sum(axis=0)
    group = ((np.cumsum(totals) - totals) * ECE_GROUPS) // totals.sum()
    expected = []
    for fold in folds:
        rest = counts - fold
        model = IsotonicRegression().fit(
            SCORES, rest[1] / rest.sum(axis=0), sample_weight=rest.sum(axis=0)
        )
        both = []
        for rates in (SCORES, model.predict(SCORES)):
            gaps = [
                abs(fold[1][group == g].sum() - (fold.sum(axis=0) * rates)[group == g].sum())
                for g in range(ECE_GROUPS)
            ]
            both.append(sum(gaps) / fold.sum())
        expected.append(both)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-12)


def test_perfect_rates_have_no_calibration_error() -> None:
    counts = np.array([[9, 5], [1, 5]])
    groups = np.array([0, 1])
    assert calibration_error(counts, np.array([0.1, 0.5]), groups) == pytest.approx(0)
    assert calibration_error(counts, np.array([0.2, 0.5]), groups) == pytest.approx(0.05)


@pytest.mark.parametrize("seed", range(10))
def test_scores_that_lie_are_replaced(seed: int) -> None:
    truth = SCORES**2
    found = learn(split(labelled(truth, 20_000, seed)), SCORES)

    assert found.isotonic
    assert np.abs(found.rates - truth).mean() < 0.02 < np.abs(SCORES - truth).mean()
    assert found.ece < 0.02


def test_scores_that_tell_the_truth_are_kept() -> None:
    """Chance may still favour what was learned, and then by a little."""
    found = [learn(split(labelled(SCORES, 2_000, seed)), SCORES) for seed in range(60)]

    assert sum(one.isotonic for one in found) <= 10
    kept = next(one for one in found if not one.isotonic)
    np.testing.assert_array_equal(kept.rates, SCORES)
    assert (kept.variances > 0).all()


@pytest.mark.parametrize("events", [2_000, 20_000])
def test_weighted_sums_of_learned_rates_vary_as_stated(events: int) -> None:
    truth = 0.05 + 0.9 * SCORES**1.5
    weights = SCORES * (1 - SCORES) + 0.1
    weights /= weights.sum()
    found = [learn(split(labelled(truth, events, seed)), SCORES) for seed in range(300)]

    sums = np.array([weights @ one.rates for one in found])
    stated = [np.add.reduceat(weights, one.starts) ** 2 @ one.variances for one in found]

    assert 0.8 < np.mean(stated) / sums.var() < 1.3
    assert abs(sums.mean() - weights @ truth) < 0.2 * sums.std()


def test_the_middles_of_score_bins_begin_at_0_and_end_at_1() -> None:
    found = middles(score_bins())
    assert (found[0], found[-1]) == (0.0, 1.0)
    np.testing.assert_allclose(found[1:-1], (np.arange(100) + 0.5) / 100)


@pytest.mark.parametrize(
    ("counts", "scores", "message"),
    [
        (np.zeros((2, BINS), np.int64), SCORES, "folds, 2, bins"),
        (np.zeros((2, 2, BINS - 1), np.int64), SCORES, "folds, 2, bins"),
        (np.zeros((1, 2, BINS), np.int64), SCORES, "two folds"),
        (np.full((2, 2, BINS), -1), SCORES, "negative"),
        (np.zeros((2, 2, BINS), np.int64), SCORES[::-1], "descend"),
        (np.zeros((2, 2, BINS), np.int64), SCORES * 2, r"\[0, 1\]"),
        (np.zeros((2, 2, BINS), np.int64), SCORES * np.nan, r"\[0, 1\]"),
    ],
)
def test_what_is_no_calibration_is_refused(
    counts: IntArray, scores: FloatArray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        learn(counts, scores)
