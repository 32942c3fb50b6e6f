"""Delay distributions against recounts, numerical integrals and the laws that delays came from."""

import numpy as np
import pytest

from streamgauge.core.cohorts.arrival import (
    Ages,
    arrived_share,
    averaging,
    delay_bins,
    delay_edges,
    learn_delays,
)
from tests.support.cohorts import EDGES, HOUR, MAX_DELAY, Drawn, drawn, true_law

CHECKED = np.searchsorted(EDGES, np.array([1.5, 3.0, 6.0, 12.0]) * HOUR)
"""Edges at which laws are compared."""


def test_edges_ascend_from_zero_to_the_largest_delay() -> None:
    edges = delay_edges(MAX_DELAY)
    assert edges[0] == 0.0
    assert edges[-1] == pytest.approx(MAX_DELAY)
    assert (np.diff(edges) > 0).all()
    assert (edges[2:] / edges[1:-1]).max() < 1.21


@pytest.mark.parametrize(("limit", "bins"), [(0, 50), (-1, 50), (HOUR, 1)])
def test_edges_need_a_positive_limit_and_bins(limit: int, bins: int) -> None:
    with pytest.raises(ValueError, match="positive limit and two bins"):
        delay_edges(limit, bins)


def test_bins_hold_their_end_and_the_first_its_beginning() -> None:
    edges = np.array([0.0, 10.0, 20.0])
    delays = np.array([-5, 0, 9, 10, 11, 20])
    assert delay_bins(delays, edges).tolist() == [0, 0, 0, 0, 1, 1]


def test_ages_of_the_open_step_begin_at_zero() -> None:
    ages = Ages.of(np.array([0, HOUR, 2 * HOUR]), HOUR, 2 * HOUR + HOUR // 2)
    assert (ages.youngest / HOUR).tolist() == [1.5, 0.5, 0.0]
    assert (ages.oldest / HOUR).tolist() == [2.5, 1.5, 0.5]


def test_means_over_ages_are_numerical_integrals() -> None:
    values = np.random.default_rng(1).random(len(EDGES)).cumsum()
    youngest = np.array([0.0, 0.0, 0.4, 2.0, 23.5, 30.0]) * HOUR
    oldest = np.array([0.001, 1.0, 1.4, 9.0, 24.5, 31.0]) * HOUR
    found = averaging(EDGES, Ages(youngest, oldest)) @ values
    for place in range(len(youngest)):
        ages = np.linspace(youngest[place], oldest[place], 200_001)
        middle = (ages[1:] + ages[:-1]) / 2
        assert found[place] == pytest.approx(np.interp(middle, EDGES, values).mean(), rel=1e-6)


def test_a_step_without_width_has_the_value_at_its_age() -> None:
    at = np.array([0.0, 3.3 * HOUR, 50.0 * HOUR])
    values = np.arange(len(EDGES), dtype=np.float64)
    found = averaging(EDGES, Ages(at, at)) @ values
    np.testing.assert_allclose(found, np.interp(at, EDGES, values))


def test_cohorts_that_are_all_old_give_the_plain_distribution() -> None:
    counts = np.random.default_rng(2).integers(0, 9, (6, 1, len(EDGES) - 1))
    old = np.full(6, 2.0 * MAX_DELAY)
    law = learn_delays(counts, EDGES, Ages(old, old))
    plain = np.append(0.0, counts.sum(axis=(0, 1)).cumsum()) / counts.sum()
    np.testing.assert_allclose(law.arrived[0], plain, atol=1e-12)
    assert law.complete


def test_the_product_is_that_of_a_plain_recount() -> None:
    known = drawn(3, 40, 50)
    one = Drawn(known.arrived.sum(axis=1, keepdims=True), *known[1:])
    law = learn_delays(one.arrived, EDGES, one.ages)
    share = 1.0
    for k in reversed(range(1, len(EDGES) - 1)):
        old = one.ages.youngest >= EDGES[k + 1]
        here, upto = one.arrived[old, 0, k].sum(), one.arrived[old, 0, : k + 1].sum()
        share *= 1.0 - (here / upto if upto else 0.0)
        assert law.arrived[0, k] == pytest.approx(share, abs=1e-12)


def test_laws_are_found_within_their_error_where_the_delays_so_far_lean_to_the_short() -> None:
    truth = true_law(EDGES)[:, CHECKED]
    errors, variances, naive = [], [], []
    for seed in range(150):
        known = drawn(seed, 48, 60)
        law = learn_delays(known.arrived, EDGES, known.ages)
        assert law.complete
        relative = np.cumsum(law.doubt[:, ::-1], axis=1)[:, ::-1][:, CHECKED]
        errors.append(law.arrived[:, CHECKED] - truth)
        variances.append(law.arrived[:, CHECKED] ** 2 * relative)
        young = known.arrived[-12:].sum(axis=0)
        upto = np.append(np.zeros((4, 1)), young.cumsum(axis=1), axis=1)
        naive.append((upto / upto[:, -1:])[:, CHECKED] - truth)
    error = np.array(errors)
    assert np.abs(error.mean(axis=0)).max() < 0.01
    # Where nearly no label has come, or nearly every one, events are too few to compare spreads.
    usual = (truth > 0.05) & (truth < 0.95)
    spread = np.sqrt(np.mean(variances, axis=0))[usual] / error.std(axis=0)[usual]
    assert ((spread > 0.85) & (spread < 1.2)).all()
    assert np.mean(naive, axis=0)[usual & (truth < 0.9)].min() > 0.03


def test_shares_that_should_have_come_are_those_that_have() -> None:
    share, come = np.zeros((30, 4)), np.zeros((30, 4))
    final = np.zeros((30, 4))
    for seed in range(60):
        known = drawn(seed, 48, 100)
        law = learn_delays(known.arrived, EDGES, known.ages)
        share += arrived_share(law, known.ages)[-30:] / 60
        come += known.counts[-30:]
        final += known.final[-30:]
    error = np.abs(share - come / final)
    assert (error < 4.0 * np.sqrt(0.25 / final) + 0.005).all()


def test_a_stratum_without_labels_is_taken_for_all_together() -> None:
    known = drawn(4, 40, 50)
    counts = np.concatenate([known.arrived, np.zeros_like(known.arrived[:, :1])], axis=1)
    law = learn_delays(counts, EDGES, known.ages)
    pooled = learn_delays(counts.sum(axis=1, keepdims=True), EDGES, known.ages)
    np.testing.assert_allclose(law.arrived[4], pooled.arrived[0], atol=1e-12)
    assert (law.doubt[4] >= pooled.doubt[0]).all()


def test_before_the_largest_delay_has_passed_the_horizon_is_what_was_seen() -> None:
    known = drawn(5, 8, 500)
    law = learn_delays(known.arrived, EDGES, known.ages)
    assert not law.complete
    assert 4 * HOUR < law.horizon_ms <= 7 * HOUR
    assert (law.arrived[:, law.edges >= law.horizon_ms] == 1.0).all()


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_without_labels_nothing_is_known(steps: int) -> None:
    ages = Ages.of(np.arange(steps) * HOUR, HOUR, steps * HOUR)
    law = learn_delays(np.zeros((steps, 4, len(EDGES) - 1), np.int64), EDGES, ages)
    assert np.isnan(law.arrived).all()
    assert law.horizon_ms == 0.0
    assert np.isnan(arrived_share(law, ages)).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    known = drawn(6, 5, 5)
    with pytest.raises(ValueError, match="edges that ascend from 0"):
        learn_delays(known.arrived, EDGES[1:], known.ages)
    with pytest.raises(ValueError, match="ages of 5 steps"):
        learn_delays(known.arrived[1:], EDGES, known.ages)
