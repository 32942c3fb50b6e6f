"""Overdispersion against laws whose φ is known, and the tables of panes that it is taken from."""

import numpy as np
import pytest

from streamgauge.core.batch import IntArray
from streamgauge.core.overdispersion import FEWEST_PANES, PaneTable, dispersion, dispersion_for

HOUR = 3_600_000
P = np.array([0.5, 0.3, 0.15, 0.05])


def independent(panes: int, events: int, seed: int) -> IntArray:
    """Counts of independent events `(panes, groups)`."""
    return np.random.default_rng(seed).multinomial(events, P, size=panes).astype(np.int64)


def clustered(panes: int, events: int, concentration: float, seed: int) -> IntArray:
    """Dirichlet-multinomial counts, whose φ is (events + concentration) / (1 + concentration)."""
    rng = np.random.default_rng(seed)
    return np.array(
        [rng.multinomial(events, rng.dirichlet(P * concentration)) for _ in range(panes)], np.int64
    )


def test_independent_events_are_not_overdispersed() -> None:
    values = [dispersion(independent(300, 500, seed))[0] for seed in range(30)]
    assert min(values) >= 1.0
    assert np.mean(values) < 1.3


@pytest.mark.parametrize("phi", [3.0, 10.0])
def test_clustered_events_show_their_factor_and_not_twice_as_much(phi: float) -> None:
    events = 400
    concentration = (events - phi) / (phi - 1)
    values = [dispersion(clustered(300, events, concentration, seed))[0] for seed in range(40)]
    assert np.mean(np.array(values) >= phi) >= 0.85
    assert phi <= np.mean(values) < 2.0 * phi


def test_groups_that_only_thin_panes_fill_are_left_out() -> None:
    counts = independent(50, 100, seed=1)
    with_thin = np.zeros((51, 5), np.int64)
    with_thin[:50, :4] = counts
    with_thin[50, 4] = 1
    assert dispersion(with_thin) == dispersion(counts)


@pytest.mark.parametrize(
    "counts", [np.zeros((5, 3)), np.zeros((0, 3)), np.ones((4, 1)), np.full((1, 3), 100)]
)
def test_where_nothing_varies_the_factor_is_one(counts: IntArray) -> None:
    assert dispersion(counts.astype(np.int64))[0] == 1.0


def table(counts: IntArray, hours: IntArray | None = None) -> PaneTable:
    return PaneTable(HOUR, np.arange(len(counts)) + 7 if hours is None else hours, counts)


def test_coarser_panes_hold_the_sums_of_theirs() -> None:
    hours = np.array([0, 1, 5, 6, 13, 30])
    counts = independent(6, 50, seed=2)
    coarse = table(counts, hours).coarsen(6 * HOUR)
    assert coarse.panes.tolist() == [0, 1, 2, 5]
    for pane, row in zip(coarse.panes, coarse.counts, strict=True):
        np.testing.assert_array_equal(row, counts[hours // 6 == pane].sum(axis=0))


def test_tables_add_up_pane_by_pane() -> None:
    one = table(independent(3, 50, seed=3), np.array([1, 4, 9]))
    two = table(independent(3, 50, seed=4), np.array([0, 4, 12]))
    both = one.plus(two)
    assert both.panes.tolist() == [0, 1, 4, 9, 12]
    np.testing.assert_array_equal(both.counts[2], one.counts[1] + two.counts[1])
    np.testing.assert_array_equal(both.counts.sum(axis=0), (one.counts + two.counts).sum(axis=0))


def test_a_longer_window_is_measured_at_its_own_length() -> None:
    counts = clustered(200, 100, 20.0, seed=5)
    whole = table(counts, np.arange(200))
    assert dispersion_for(whole, 5 * HOUR) == dispersion(whole.coarsen(5 * HOUR).counts)[0]


def test_a_window_too_long_to_measure_is_extrapolated() -> None:
    whole = table(clustered(FEWEST_PANES, 100, 20.0, seed=6), np.arange(FEWEST_PANES))
    hourly = dispersion(whole.counts)[0]
    assert dispersion_for(whole, 24 * HOUR) == pytest.approx(1 + 24 * (hourly - 1))


def test_a_window_shorter_than_the_panes_takes_theirs() -> None:
    whole = table(clustered(60, 100, 20.0, seed=7))
    assert dispersion_for(whole, HOUR // 60) == dispersion(whole.counts)[0]


def test_a_few_wild_panes_count_though_the_mean_hides_them() -> None:
    counts = independent(500, 200, seed=10)
    wild = counts.copy()
    wild[17] = [40, 60, 60, 40]
    assert dispersion(counts)[0] < 2.0
    assert dispersion(wild)[0] > 3.0


def test_a_table_can_be_cut_to_the_cells_of_one_field() -> None:
    counts = independent(60, 200, seed=8)
    noise = clustered(60, 200, 2.0, seed=9)
    both = table(np.concatenate([counts, noise], axis=1))
    assert dispersion_for(both.only(both.counts[:, :4]), HOUR) == dispersion(counts)[0]
