"""Pearson's statistic against scipy's, with sparse groups and without."""

import numpy as np
import pytest
from scipy.stats import chisquare

from streamgauge.core.batch import IntArray
from streamgauge.core.pearson import SPARSE, pooled_statistic

SIZES = (5, 2, 8)


def drawn(groups: int, rows: int, events: int, seed: int) -> IntArray:
    """Counts `(rows, groups)` of one law."""
    law = np.random.default_rng(9 + groups).dirichlet(np.full(groups, 9.0))
    return np.random.default_rng(seed).multinomial(events, law, rows).astype(np.int64)


@pytest.mark.parametrize("groups", SIZES)
def test_of_dense_groups_it_is_scipys_for_an_endless_reference(groups: int) -> None:
    """With the reference's own error gone, n_e is n, and the formula is the textbook's."""
    current, reference = drawn(groups, 6, 400, seed=1), drawn(groups, 6, 1_000, seed=2) * 10**9
    found = pooled_statistic(current, reference)
    for row, (k, m) in enumerate(zip(current, reference, strict=True)):
        expected = chisquare(k, m / m.sum() * k.sum()).statistic
        np.testing.assert_allclose(found.statistic[row], expected, rtol=1e-6)
    np.testing.assert_array_equal(found.groups, groups)


def test_the_references_error_makes_the_effective_size_smaller() -> None:
    current, reference = drawn(5, 4, 400, seed=1), drawn(5, 4, 1_200, seed=2)
    q, p = current / 400, reference / 1_200
    expected = 300 * ((q - p) ** 2 / p).sum(axis=1)
    np.testing.assert_allclose(pooled_statistic(current, reference).statistic, expected)


def test_sparse_groups_are_counted_as_one() -> None:
    reference = np.array([[600, 390, 4, 3, 3]]) * 10**6
    current = np.array([[590, 388, 9, 6, 7]])
    found = pooled_statistic(current, reference)
    expected = chisquare([590, 388, 22], [600, 390, 10]).statistic
    np.testing.assert_allclose(found.statistic, [expected], rtol=1e-5)
    assert found.groups.tolist() == [3]


def test_what_is_sparse_even_together_is_measured_with_care() -> None:
    reference = np.array([[998, 1, 1]]) * 10**6
    current = np.array([[990, 6, 4]])
    found = pooled_statistic(current, reference)
    expected = (990 - 998) ** 2 / 998 + (10 - 2) ** 2 / SPARSE
    np.testing.assert_allclose(found.statistic, [expected], rtol=1e-5)


def test_a_side_without_events_gives_nothing() -> None:
    full, empty = np.array([[30, 70]]), np.array([[0, 0]])
    for current, reference in ((empty, full), (full, empty), (empty, empty)):
        assert pooled_statistic(current, reference).statistic.tolist() == [0.0]


@pytest.mark.parametrize("groups", SIZES)
def test_under_no_drift_its_mean_is_the_freedom(groups: int) -> None:
    current, reference = drawn(groups, 4_000, 300, seed=5), drawn(groups, 4_000, 900, seed=6)
    found = pooled_statistic(current, reference)
    freedom = found.groups.mean() - 1
    error = 4 * found.statistic.std() / np.sqrt(len(current))
    # Whatever the reference's own sparseness, the mean is above by a few per cent at most.
    assert abs(found.statistic.mean() - freedom) < error + 0.05 * freedom
