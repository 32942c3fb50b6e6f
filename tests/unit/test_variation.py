"""Total variation against its definition, and its interval against simulation."""

import numpy as np
import pytest

from streamgauge.core.variation import variation

P = np.array([0.5, 0.3, 0.15, 0.05])
Q = np.array([0.4, 0.3, 0.1, 0.2])
ONES = np.ones(1)


def test_it_is_half_the_sum_of_differences() -> None:
    rng = np.random.default_rng(1)
    now, before = rng.multinomial(300, Q, 20).astype(np.float64), rng.multinomial(900, P, 20)
    found = variation(now, before, np.ones(20))
    expected = np.abs(now / 300 - before / 900).sum(axis=1) / 2
    np.testing.assert_allclose(found.value, expected)


def test_its_interval_is_that_of_the_groups_that_gained() -> None:
    now, before = np.array([[400, 300, 100, 200]]), np.array([[5_000, 3_000, 1_500, 500]])
    found = variation(now, before, np.array([4.0]))
    error = 1.96 * np.sqrt(0.2 * 0.8 * 4 / 1_000 + 0.05 * 0.95 / 10_000)
    np.testing.assert_allclose(found.value, 0.15)
    np.testing.assert_allclose(found.lower, 0.15 - error)
    np.testing.assert_allclose(found.upper, 0.15 + error)


def test_its_interval_holds_the_truth_of_a_clear_change() -> None:
    rng = np.random.default_rng(2)
    now, before = (
        rng.multinomial(500, Q, 2_000).astype(np.float64),
        rng.multinomial(5_000, P, 2_000),
    )
    found = variation(now, before, np.ones(2_000))
    held = (found.lower <= 0.15) & (found.upper >= 0.15)
    assert held.mean() == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("now", "before"), [([5, 5], [0, 0]), ([0, 0], [5, 5]), ([0, 0], [0, 0])])
def test_a_side_without_events_is_no_division_by_zero(now: list[int], before: list[int]) -> None:
    found = variation(np.array([now]), np.array([before]), ONES)
    assert all(np.isfinite(part).all() for part in found)


def test_limits_stay_within_shares() -> None:
    found = variation(np.array([[3, 0], [2, 2]]), np.array([[0, 9], [5, 5]]), np.full(2, 50.0))
    assert (found.lower >= 0.0).all()
    assert (found.upper <= 1.0).all()
    np.testing.assert_allclose(found.value, [1.0, 0.0])
