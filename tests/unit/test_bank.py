"""The bank's likelihood ratios, enumerated, and its recursion, in plain floats."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import binom

from streamgauge.core.batch import FloatArray
from streamgauge.core.detectors.bank import ALTERNATIVES, DELTAS, mixture, ratios, update

SHARES = [1e-9, 1e-4, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999]


def expected_ratio(tolerated: float, share: float, n: int) -> FloatArray:
    """Expectation of L `(K,)` over n events with a share, all outcomes enumerated."""
    log = ratios(np.array(tolerated))
    k = np.arange(n + 1)[:, None]
    terms = binom.logpmf(k, n, share) + k * log.present + (n - k) * log.absent
    expectation: FloatArray = np.exp(logsumexp(terms, axis=0))
    return expectation


@pytest.mark.parametrize("tolerated", SHARES)
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


def test_alternatives_lie_between_the_tolerated_share_and_one() -> None:
    """The ratio of an event with the property is q/m, without it (1 − q)/(1 − m)."""
    tolerated = np.array(SHARES)
    log = ratios(tolerated)
    q = tolerated[:, None] * np.exp(log.present)
    assert (q > tolerated[:, None]).all()
    assert (q <= 1.0).all()
    assert np.isfinite(log.absent).all(), "even where 1 − q is lost in rounding"
    assert (np.diff(log.absent, axis=1) < 0).all()
    without = (1.0 - tolerated[:, None]) * np.exp(log.absent)
    np.testing.assert_allclose(1.0 - q, without, rtol=1e-9, atol=1e-15)


def test_small_alternatives_lie_by_their_distance_above_the_tolerated_share() -> None:
    q = 0.1 * np.exp(ratios(np.array(0.1)).present)
    np.testing.assert_allclose(q[:4] - 0.1, DELTAS[:4], rtol=0.05)


def test_where_everything_is_tolerated_nothing_is_evidence() -> None:
    for part in ratios(np.array([1.0, 1.5])):
        np.testing.assert_array_equal(part, np.zeros((2, ALTERNATIVES)))


def test_a_share_of_nothing_is_tolerated_without_infinities() -> None:
    for part in ratios(np.zeros(1)):
        assert np.isfinite(part).all()


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


def test_the_mixture_is_the_mean_of_the_evidence() -> None:
    log_evidence = np.random.default_rng(2).normal(-5.0, 4.0, (4, 2, ALTERNATIVES))
    log_evidence[0, 0, :3] = -np.inf
    np.testing.assert_allclose(mixture(log_evidence), np.log(np.exp(log_evidence).mean(axis=-1)))


def test_the_mixture_of_no_evidence_is_none_and_of_much_does_not_overflow() -> None:
    nothing, much = np.full(ALTERNATIVES, -np.inf), np.full(ALTERNATIVES, 5_000.0)
    assert mixture(np.stack([nothing, much])).tolist() == [-np.inf, pytest.approx(5_000.0)]
