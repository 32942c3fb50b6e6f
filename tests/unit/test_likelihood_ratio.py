"""The likelihood-ratio statistic: scipy's value, and a tail that is true where budgets look."""

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, poisson

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.likelihood_ratio import ratio_statistic

START = np.zeros(1, np.intp)
ONE = np.ones(1)


def statistic(current: IntArray, reference: IntArray) -> FloatArray:
    return ratio_statistic(current, reference, ONE, START).statistic[:, 0]


def scipys(current: IntArray, reference: IntArray) -> float:
    table = np.array([current, reference])
    return float(chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic)


def test_of_dense_groups_it_is_scipys_for_a_table_of_two_rows() -> None:
    rng = np.random.default_rng(1)
    law = rng.dirichlet(np.full(6, 8.0))
    current, reference = rng.multinomial(400, law, 10), rng.multinomial(900, law, 10)
    found = ratio_statistic(current, reference, ONE, START)
    expected = [scipys(k, m) for k, m in zip(current, reference, strict=True)]
    np.testing.assert_allclose(found.statistic[:, 0], expected)
    np.testing.assert_array_equal(found.groups, 6)
    np.testing.assert_allclose(found.effective, 400 * 900 / 1_300)


def test_sparse_groups_are_counted_as_one() -> None:
    reference = np.array([[6_000, 3_900, 40, 30, 30]])
    current = np.array([[590, 388, 9, 6, 7]])
    found = ratio_statistic(current, reference, ONE, START)
    expected = scipys(np.array([590, 388, 22]), np.array([6_000, 3_900, 100]))
    np.testing.assert_allclose(found.statistic[0, 0], expected)
    assert found.groups[0, 0] == 3


def test_fields_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(2)
    current, reference = rng.integers(0, 90, (7, 9)), rng.integers(50, 900, (7, 9))
    together = ratio_statistic(current, reference, np.array([1.0, 3.0]), np.array([0, 4]))
    for field, cells, phi in ((0, slice(0, 4), 1.0), (1, slice(4, 9), 3.0)):
        alone = ratio_statistic(current[:, cells], reference[:, cells], np.array([phi]), START)
        for one, whole in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[:, 0], whole[:, field])


def test_dispersion_is_as_if_there_were_fewer_events() -> None:
    current, reference = np.array([[300, 60, 240]]), np.array([[500, 200, 300]])
    shrunk = ratio_statistic(current, reference, np.array([3.0]), START)
    fewer = ratio_statistic(current // 3, reference, ONE, START)
    np.testing.assert_allclose(shrunk.statistic, fewer.statistic)
    np.testing.assert_allclose(shrunk.effective, fewer.effective)


@pytest.mark.parametrize(
    ("current", "reference"),
    [([0, 0], [30, 70]), ([30, 70], [0, 0]), ([0, 0], [0, 0]), ([30, 70], [300, 700])],
)
def test_no_events_and_no_difference_give_nothing(current: list[int], reference: list[int]) -> None:
    assert statistic(np.array([current]), np.array([reference]))[0] == pytest.approx(0.0, abs=1e-9)


def test_a_group_that_only_one_side_has_is_no_division_by_zero() -> None:
    found = statistic(np.array([[50, 0], [0, 50]]), np.array([[0, 900], [900, 0]]))
    assert np.isfinite(found).all()
    assert (found > 100).all()


def test_a_drift_weighs_at_least_what_its_total_variation_must() -> None:
    """Pinsker's inequality, which the tolerance of the detector rests on."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        current, reference = (rng.multinomial(10**5, rng.dirichlet(np.ones(5)))[None] for _ in "ab")
        found = ratio_statistic(current, reference, ONE, START)
        variation = 0.5 * np.abs(current / 10**5 - reference / 10**5).sum()
        assert found.statistic[0, 0] >= 4 * found.effective[0, 0] * variation**2 * (1 - 1e-9)


@pytest.mark.parametrize("ratio", [1, 3, 20, 60])
def test_a_rare_group_raises_no_alarms_beyond_the_level(ratio: int) -> None:
    """The exact false alarm rate with one rare group, by summing over all its counts.

    The reference holds `ratio` times as many events as the window; the other groups are so large
    that they follow the chi-square law to the letter.
    """
    for expected in (0.05, 1.0, 4.0, 6.0, 10.0, 14.55, 20.0, 50.0):
        mean = ratio * expected
        spread = 9 * np.sqrt(mean) + 20
        k = np.arange(int(6 * expected + 60))
        m = np.arange(max(0, int(mean - spread)), int(mean + spread))
        weight = np.outer(poisson.pmf(k, expected), poisson.pmf(m, mean)).ravel()
        counts, known = (part.ravel() for part in np.meshgrid(k, m, indexing="ij"))
        n = 10**5
        value = statistic(
            np.stack([counts, n - counts], axis=1), np.stack([known, ratio * n - known], axis=1)
        )
        for level in (1e-3, 1e-5, 1e-7, 1e-9):
            for freedom, most in ((1, 6.0), (3, 1.4), (23, 1.2)):
                rest = chi2.isf(level, freedom) - value
                tail = chi2.sf(rest, freedom - 1) if freedom > 1 else rest <= 0
                assert weight @ tail <= most * level
