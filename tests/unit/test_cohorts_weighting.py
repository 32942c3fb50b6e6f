"""Weighted figures against the plain ones of all labels, and against the model behind the draws."""

from typing import NamedTuple

import numpy as np
import pytest

from streamgauge.core.batch import IntArray
from streamgauge.core.cohorts.arrival import Ages, DelayLaw, arrived_share, learn_delays
from streamgauge.core.cohorts.figures import (
    WeightedDecisions,
    predicted_classes,
    weighted_classes,
    weighted_decisions,
)
from streamgauge.core.cohorts.weighting import (
    Expected,
    Weights,
    expected_labels,
    final_coverage,
    label_weights,
    labelled_share,
    weighted_mean,
    weighted_shares,
)
from streamgauge.core.performance.decisions import decision_figures
from streamgauge.core.performance.intervals import Estimate, mean
from tests.support.cohorts import CELLS, EDGES, HOUR, Drawn, drawn

GROUP = predicted_classes(2)
WINDOW = 12
TN, FP, FN, TP = CELLS
TRUTH = {
    "accuracy": TN + TP,
    "precision": TP / (TP + FP),
    "recall": TP / (TP + FN),
    "f1": 2 * TP / (2 * TP + FP + FN),
    "specificity": TN / (TN + FP),
    "balanced_accuracy": (TP / (TP + FN) + TN / (TN + FP)) / 2,
    "label_share": TP + FN,
}


class Known(NamedTuple):
    """A window's labels so far `(rows, T, 4)`, their weights and what is expected."""

    counts: IntArray
    weights: Weights
    expected: Expected


def window(known: Drawn, steps: int = WINDOW) -> Known:
    """The last steps, weighted by what all steps teach."""
    weights = label_weights(learn_delays(known.arrived, EDGES, known.ages), known.ages)
    share = labelled_share(known.counts, known.predicted, GROUP, weights)
    last = slice(len(known.counts) - steps, None)
    expected = expected_labels(known.predicted[None, last], GROUP, share)
    return Known(known.counts[None, last], weights.of(last), expected)


def plain_weights(steps: int, strata: int = 4) -> Weights:
    """Weights of cohorts that have all their labels."""
    bins = len(EDGES) - 1
    return Weights(
        np.ones((steps, strata)),
        np.ones(steps, np.bool_),
        np.zeros((steps, strata, bins)),
        np.zeros((strata, bins)),
    )


def predicted(counts: IntArray) -> IntArray:
    """Predictions by class `(rows, T, 2)` of labelled events alone."""
    by_class: IntArray = counts.reshape(*counts.shape[:2], 2, 2).sum(axis=2)
    return by_class


def test_with_all_labels_figures_are_the_plain_ones() -> None:
    counts = np.random.default_rng(1).poisson(200 * CELLS, (5, 6, 4))
    expected = expected_labels(predicted(counts), GROUP, np.ones(2))
    found = weighted_decisions(counts, plain_weights(6), expected)
    plain = decision_figures(counts.sum(axis=1).reshape(5, 2, 2))
    for name in ("accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy"):
        mine, theirs = getattr(found, name), getattr(plain, name)
        np.testing.assert_allclose(mine.value, theirs.value, atol=1e-12)
        np.testing.assert_allclose(mine.lower, theirs.lower, atol=1e-3)
        np.testing.assert_allclose(mine.upper, theirs.upper, atol=1e-3)


def test_weighted_figures_are_unbiased_where_the_labels_so_far_are_not() -> None:
    seeds = range(200)
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in TRUTH}
    for seed in seeds:
        known = drawn(seed, 48, 60)
        now = window(known)
        so_far = now.counts
        expected = expected_labels(predicted(so_far), GROUP, np.ones(2))
        early = weighted_decisions(so_far, plain_weights(WINDOW), expected)
        found = weighted_decisions(*now)
        for name, truth in TRUTH.items():
            errors[name].append(
                (
                    getattr(found, name).value[0] - truth,
                    getattr(early, name).value[0] - truth,
                )
            )
    for name in TRUTH:
        each = np.array(errors[name])
        bias, error = each.mean(axis=0), each.std(axis=0) / np.sqrt(len(seeds))
        assert abs(bias[0]) < 3.5 * error[0] + 0.004, name
    for name, least in (("accuracy", 0.03), ("recall", 0.05), ("f1", 0.02), ("label_share", 0.03)):
        bias = np.array(errors[name]).mean(axis=0)
        assert abs(bias[1]) > least > 3.0 * abs(bias[0]), name


@pytest.mark.parametrize(("per_step", "steps"), [(60, WINDOW), (5, 2 * WINDOW)])
def test_intervals_hold_the_models_figures(per_step: int, steps: int) -> None:
    held: dict[str, list[bool]] = {name: [] for name in TRUTH}
    for seed in range(400):
        found = weighted_decisions(*window(drawn(seed, 48, per_step), steps))
        for name, truth in TRUTH.items():
            value, lower, upper = (part[0] for part in getattr(found, name))
            if np.isfinite(value):
                held[name].append(lower <= truth <= upper)
    for name, each in held.items():
        assert len(each) > 390, name
        assert np.mean(each) >= 0.93, name


def test_intervals_of_small_slices_hold_too() -> None:
    held: list[np.ndarray] = []
    for seed in range(30):
        known = drawn(seed, 48, 400)
        now = window(known)
        rng = np.random.default_rng(seed)
        # Twenty slices of one event in a hundred: thinned, so that they are alike.
        counts = rng.binomial(now.counts, 0.01, (20, *now.counts.shape[1:]))
        rest = rng.binomial(
            np.maximum(known.predicted[-WINDOW:] - predicted(now.counts)[0], 0),
            0.01,
            (20, WINDOW, 2),
        )
        expected = expected_labels(predicted(counts) + rest, GROUP, np.ones(2))
        found = weighted_decisions(counts, now.weights, expected).accuracy
        truth = TRUTH["accuracy"]
        there = np.isfinite(found.value)
        held.append(((found.lower <= truth) & (truth <= found.upper))[there])
    assert np.concatenate(held).mean() >= 0.93


def test_rows_do_not_know_of_each_other() -> None:
    known = [window(drawn(seed, 30, 40)) for seed in range(3)]
    counts = np.concatenate([each.counts for each in known])
    labels = np.concatenate([each.expected.labels for each in known])
    together = weighted_decisions(counts, known[0].weights, Expected(labels, GROUP))
    for row in range(3):
        alone = weighted_decisions(
            counts[row : row + 1], known[0].weights, Expected(labels[row : row + 1], GROUP)
        )
        for name in WeightedDecisions._fields:
            for mine, theirs in zip(getattr(together, name), getattr(alone, name), strict=True):
                assert mine[row] == pytest.approx(theirs[0], abs=1e-12)


def test_the_variance_of_the_learned_law_is_its_derivative() -> None:
    known = drawn(3, 40, 50)
    law = learn_delays(known.arrived, EDGES, known.ages)
    slope = label_weights(law, known.ages).slope
    step, stratum, small = 33, 2, 1e-6
    for bin_ in (20, 30, 40):
        moved = law.arrived.copy()
        moved[stratum, : bin_ + 1] *= np.exp(small)
        other = DelayLaw(EDGES, moved, law.doubt, law.horizon_ms)
        change = np.log(arrived_share(other, known.ages) / arrived_share(law, known.ages))
        assert slope[step, stratum, bin_] == pytest.approx(change[step, stratum] / small, rel=1e-4)


def test_young_steps_are_left_out_whole() -> None:
    known = drawn(4, 40, 50)
    law = learn_delays(known.arrived, EDGES, known.ages)
    weights = label_weights(law, known.ages, least=0.1)
    share = arrived_share(law, known.ages)
    assert weights.kept.tolist() == (share.min(axis=1) >= 0.1).tolist()
    assert not weights.kept[-1]
    assert weights.kept[0]
    assert (weights.weight[~weights.kept] == 0).all()
    np.testing.assert_allclose(weights.weight[weights.kept], 1 / share[weights.kept])


@pytest.mark.parametrize("least", [0.0, -0.1, 1.1, np.nan])
def test_a_least_share_outside_zero_and_one_is_refused(least: float) -> None:
    known = drawn(5, 3, 5)
    law = learn_delays(known.arrived, EDGES, known.ages)
    with pytest.raises(ValueError, match="least share"):
        label_weights(law, known.ages, least=least)


def test_predictions_that_never_get_labels_neither_bias_figures_nor_count_as_outstanding() -> None:
    errors, coverage = [], []
    for seed in range(60):
        known = drawn(seed, 60, 100, labelled=(0.5, 1.0))
        now = window(known)
        cells = CELLS * np.array([0.5, 1.0, 0.5, 1.0])
        right = (cells[0] + cells[3]) / cells.sum()
        errors.append(weighted_decisions(*now).accuracy.value[0] - right)
        found = final_coverage(now.counts, known.predicted[None, -WINDOW:].sum(axis=2), now.weights)
        reached = known.final[-WINDOW:].sum() / known.predicted[-WINDOW:].sum()
        coverage.append((found.value[0] - reached, found.lower[0] <= reached <= found.upper[0]))
    assert abs(np.mean(errors)) < 0.01
    error, held = np.array(coverage).T
    assert abs(error.mean()) < 0.02
    assert held.mean() >= 0.93


def test_a_group_without_labels_leaves_the_row_as_it_is() -> None:
    counts = np.array([[[30, 0, 10, 0]]])
    expected = Expected(np.array([[50.0, 50.0]]), GROUP)
    found = weighted_decisions(counts, plain_weights(1), expected)
    assert found.accuracy.value[0] == pytest.approx(0.75)
    assert found.recall.value[0] == 0.0
    assert np.isnan(found.precision.value[0])


def test_predictions_without_labels_move_shares_to_what_was_predicted() -> None:
    counts = np.array([[[30, 5, 10, 15]]])
    expected = Expected(np.array([[40.0, 60.0]]), GROUP)
    found = weighted_decisions(counts, plain_weights(1), expected)
    assert found.precision.value[0] == pytest.approx(0.75)
    assert found.accuracy.value[0] == pytest.approx(0.75)
    assert found.label_share.value[0] == pytest.approx(0.4 * 0.25 + 0.6 * 0.75)
    assert found.recall.value[0] == pytest.approx(45 / 55)


def test_two_classes_are_a_decision() -> None:
    now = window(drawn(6, 40, 50))
    classes, decisions = weighted_classes(*now), weighted_decisions(*now)
    for name in ("precision", "recall", "f1"):
        pair: Estimate = getattr(classes, name)
        single: Estimate = getattr(decisions, name)
        for mine, theirs in zip(pair, single, strict=True):
            assert mine.shape == (1, 2)
            assert mine[0, 1] == pytest.approx(theirs[0], abs=1e-12)
    assert classes.accuracy.value == pytest.approx(decisions.accuracy.value)


def test_means_of_complete_labels_are_the_plain_ones() -> None:
    losses = np.random.default_rng(7).exponential(2.0, (3, 8, 40))
    events = np.full((3, 8, 1), 40)
    total, squares = losses.sum(axis=2)[..., None], (losses**2).sum(axis=2)[..., None]
    found = weighted_mean(events, total, squares, plain_weights(8, 1))
    plain = mean(total.sum(axis=(1, 2)), squares.sum(axis=(1, 2)), events.sum(axis=(1, 2)))
    for mine, theirs in zip(found, plain, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_intervals_of_means_hold_the_models_loss() -> None:
    held = []
    for seed in range(300):
        known = drawn(seed, 48, 20)
        one = known.arrived.sum(axis=1, keepdims=True)
        weights = label_weights(learn_delays(one, EDGES, known.ages), known.ages)
        last = slice(-WINDOW, None)
        events = one[last].sum(axis=2)
        rng = np.random.default_rng(seed)
        # Sums of n exponential losses, and their squares about as many.
        losses = [rng.exponential(2.0, int(n)) for n in events[:, 0]]
        total = np.array([x.sum() for x in losses])[None, :, None]
        squares = np.array([(x**2).sum() for x in losses])[None, :, None]
        found = weighted_mean(events[None], total, squares, weights.of(last))
        held.append(found.lower[0] <= 2.0 <= found.upper[0])
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_without_labels_figures_are_nan(steps: int) -> None:
    ages = Ages.of(np.arange(steps) * HOUR, HOUR, steps * HOUR)
    bins = len(EDGES) - 1
    nothing = Drawn(
        np.zeros((steps, 4, bins), np.int64),
        np.full((steps, 2), 3),
        np.zeros((steps, 4), np.int64),
        ages,
    )
    now = window(nothing, steps)
    for found in weighted_decisions(*now):
        for part in found:
            assert np.isnan(part).all()
    for found in weighted_classes(*now):
        assert np.isnan(found.value).all()
    for part in final_coverage(now.counts, np.full((1, steps), 6), now.weights):
        assert np.isnan(part).all()
    zeros = np.zeros((1, steps, 4))
    for part in weighted_mean(now.counts, zeros, zeros, now.weights):
        assert np.isnan(part).all()


def test_no_rows_give_no_figures() -> None:
    now = window(drawn(8, 30, 20))
    none = Expected(now.expected.labels[:0], GROUP)
    found = weighted_shares(now.counts[:0], now.weights, none, np.eye(4), np.ones((4, 4)))
    assert found.value.shape == (0, 4)
