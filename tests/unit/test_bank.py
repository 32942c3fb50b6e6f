"""The bank's likelihood ratios, enumerated, and its recursion, in plain floats."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import binom

from streamgauge.core.batch import FloatArray
from streamgauge.core.detectors.bank import (
    ALTERNATIVES,
    LOG_WEIGHTS,
    TILTS,
    WEIGHTS,
    gains,
    largest,
    mixture,
    update,
)

SHARES = [1e-9, 1e-4, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999]


def outcomes(tolerated: float, n: int) -> FloatArray:
    """log L `(n + 1, K)` of every number of events with the property out of n."""
    k = np.arange(n + 1.0)
    return gains(k, np.full(n + 1, float(n)), np.full(n + 1, tolerated))


def expected_ratio(tolerated: float, share: float, n: int) -> FloatArray:
    """Expectation of L `(K,)` over n events with a share, all outcomes enumerated."""
    terms = binom.logpmf(np.arange(n + 1), n, share)[:, None] + outcomes(tolerated, n)
    expectation: FloatArray = np.exp(logsumexp(terms, axis=0))
    return expectation


@pytest.mark.parametrize("tolerated", [*SHARES, 1.0])
@pytest.mark.parametrize("n", [1, 7, 60])
def test_the_expected_ratio_is_one_if_the_share_is_just_the_tolerated_one(
    tolerated: float, n: int
) -> None:
    np.testing.assert_allclose(expected_ratio(tolerated, tolerated, n), 1.0, rtol=1e-7)


@pytest.mark.parametrize("tolerated", SHARES)
def test_the_expected_ratio_is_at_most_one_for_any_smaller_share(tolerated: float) -> None:
    for share in tolerated * np.array([0.0, 0.3, 0.9, 0.999]):
        assert (expected_ratio(tolerated, share, 40) <= 1.0 + 1e-9).all()


def test_the_expected_ratio_is_above_one_for_a_larger_share() -> None:
    assert (expected_ratio(0.2, 0.25, 40) > 1.0).all()


@pytest.mark.parametrize("tolerated", SHARES)
def test_it_is_the_likelihood_ratio_of_alternatives_between_the_tolerated_share_and_one(
    tolerated: float,
) -> None:
    odds = tolerated / (1.0 - tolerated) * np.exp(TILTS)
    q = odds / (1.0 + odds)
    assert (np.diff(q) > 0).all()
    assert tolerated < q[0] < q[-1] < 1.0
    k, n = np.arange(21)[:, None], 20
    expected = binom.logpmf(k, n, q) - binom.logpmf(k, n, tolerated)
    np.testing.assert_allclose(outcomes(tolerated, n), expected, rtol=1e-6, atol=1e-9)


def test_where_everything_is_tolerated_nothing_is_evidence() -> None:
    assert (outcomes(1.0, 50) <= 1e-12).all()


def test_without_events_there_is_no_evidence() -> None:
    np.testing.assert_array_equal(outcomes(0.3, 0), np.zeros((1, ALTERNATIVES)))


def test_weights_add_up_to_one() -> None:
    assert WEIGHTS.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.exp(LOG_WEIGHTS), WEIGHTS)


def test_updates_are_the_recursion_in_plain_floats() -> None:
    rng = np.random.default_rng(1)
    log_evidence = np.full((3, ALTERNATIVES), -np.inf)
    plain = [[0.0] * ALTERNATIVES for _ in range(3)]
    for _ in range(50):
        allowance = rng.uniform(1e-6, 1e-3, 3)
        gain = rng.normal(0.0, 1.0, (3, ALTERNATIVES))
        update(log_evidence, np.log(allowance)[:, None], gain)
        for row in range(3):
            for k in range(ALTERNATIVES):
                plain[row][k] = (plain[row][k] + allowance[row]) * math.exp(gain[row, k])
        np.testing.assert_allclose(np.exp(log_evidence), plain, rtol=1e-10)


@pytest.mark.parametrize("ahead", [-800.0, -30.0, 0.0, 39.9, 40.1, 500.0])
def test_updates_are_exact_however_far_evidence_and_allowance_are_apart(ahead: float) -> None:
    log_evidence = np.full((1, ALTERNATIVES), ahead - 20.0)
    update(log_evidence, np.full((1, 1), -20.0), np.full((1, ALTERNATIVES), 0.25))
    np.testing.assert_allclose(log_evidence, np.logaddexp(ahead - 20.0, -20.0) + 0.25, rtol=1e-14)


def test_the_mixture_is_the_weighted_mean_of_the_evidence() -> None:
    log_evidence = np.random.default_rng(2).normal(-5.0, 4.0, (4, 2, ALTERNATIVES))
    log_evidence[0, 0, :3] = -np.inf
    np.testing.assert_allclose(mixture(log_evidence), np.log(np.exp(log_evidence) @ WEIGHTS))
    np.testing.assert_array_equal(largest(log_evidence), log_evidence.max(axis=-1))


def test_the_mixture_of_no_evidence_is_none_and_of_much_does_not_overflow() -> None:
    nothing, much = np.full(ALTERNATIVES, -np.inf), np.full(ALTERNATIVES, 5_000.0)
    assert mixture(np.stack([nothing, much])).tolist() == [-np.inf, pytest.approx(5_000.0)]
