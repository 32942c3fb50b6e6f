"""Pearson's statistic against scipy's, several fields at once, with sparse groups and without."""

import numpy as np
import pytest
from scipy.stats import chisquare

from streamgauge.core.batch import IntArray
from streamgauge.core.pearson import pooled_statistic
from streamgauge.core.pooling import SPARSE

SIZES = (5, 2, 8)
STARTS = np.array([0, 5, 7], np.intp)
ONES = np.ones(len(SIZES))


def drawn(rows: int, events: int, seed: int) -> IntArray:
    """Counts `(rows, groups)` of three fields side by side."""
    rng = np.random.default_rng(seed)
    laws = np.random.default_rng(9)
    fields = [rng.multinomial(events, laws.dirichlet(np.full(g, 9.0)), rows) for g in SIZES]
    return np.concatenate(fields, axis=1)


def cut(counts: IntArray, field: int) -> IntArray:
    return counts[:, STARTS[field] : STARTS[field] + SIZES[field]]


@pytest.mark.parametrize("field", range(3))
def test_of_dense_groups_it_is_scipys_for_an_endless_reference(field: int) -> None:
    """With the reference's own error gone, n_e is n, and the formula is the textbook's."""
    current, reference = drawn(6, 400, seed=1), drawn(6, 1_000, seed=2) * 10**9
    found = pooled_statistic(current, reference, ONES, STARTS)
    for row in range(6):
        k, m = cut(current, field)[row], cut(reference, field)[row]
        expected = chisquare(k, m / m.sum() * k.sum()).statistic
        np.testing.assert_allclose(found.statistic[row, field], expected, rtol=1e-6)
    np.testing.assert_array_equal(found.groups[:, field], SIZES[field])


def test_the_references_error_makes_the_effective_size_smaller() -> None:
    current, reference = drawn(4, 400, seed=1), drawn(4, 1_200, seed=2)
    found = pooled_statistic(current, reference, ONES, STARTS)
    np.testing.assert_allclose(found.effective, 400 * 1_200 / 1_600)
    for field in range(3):
        q, p = cut(current, field) / 400, cut(reference, field) / 1_200
        expected = 300 * ((q - p) ** 2 / p).sum(axis=1)
        np.testing.assert_allclose(found.statistic[:, field], expected)


def test_dispersion_divides_the_current_sizes() -> None:
    current, reference = drawn(3, 600, seed=3), drawn(3, 900, seed=4)
    found = pooled_statistic(current, reference, np.array([1.0, 2.0, 4.0]), STARTS)
    np.testing.assert_allclose(found.effective[0], [n * 900 / (n + 900) for n in (600, 300, 150)])
    alone = pooled_statistic(current, reference, ONES, STARTS)
    for field in range(3):
        ratio = found.effective[0, field] / alone.effective[0, field]
        np.testing.assert_allclose(found.statistic[:, field], ratio * alone.statistic[:, field])


def test_sparse_groups_are_counted_as_one() -> None:
    reference = np.array([[600, 390, 4, 3, 3]]) * 10**6
    current = np.array([[590, 388, 9, 6, 7]])
    starts = np.zeros(1, np.intp)
    found = pooled_statistic(current, reference, np.ones(1), starts)
    expected = chisquare([590, 388, 22], [600, 390, 10]).statistic
    np.testing.assert_allclose(found.statistic[0, 0], expected, rtol=1e-5)
    assert found.groups[0, 0] == 3


def test_what_is_sparse_even_together_is_measured_with_care() -> None:
    reference = np.array([[998, 1, 1]]) * 10**6
    current = np.array([[990, 6, 4]])
    found = pooled_statistic(current, reference, np.ones(1), np.zeros(1, np.intp))
    expected = (990 - 998) ** 2 / 998 + (10 - 2) ** 2 / SPARSE
    np.testing.assert_allclose(found.statistic[0, 0], expected, rtol=1e-5)


def test_a_side_without_events_gives_nothing() -> None:
    full, empty = np.array([[30, 70]]), np.array([[0, 0]])
    for current, reference in ((empty, full), (full, empty), (empty, empty)):
        found = pooled_statistic(current, reference, np.ones(1), np.zeros(1, np.intp))
        assert found.statistic.tolist() == [[0.0]]
        assert found.effective.tolist() == [[0.0]]


def test_under_no_drift_its_mean_is_the_freedom() -> None:
    current, reference = drawn(4_000, 300, seed=5), drawn(4_000, 900, seed=6)
    found = pooled_statistic(current, reference, ONES, STARTS)
    for field in range(3):
        statistic, freedom = found.statistic[:, field], found.groups[:, field] - 1
        error = 4 * statistic.std() / np.sqrt(len(statistic))
        # Whatever the reference's own sparseness, the mean is above by a few per cent at most.
        assert abs(statistic.mean() - freedom.mean()) < error + 0.05 * freedom.mean()
