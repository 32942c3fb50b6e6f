"""Distances against scipy and plain formulas on the same proportions."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import (
    NORMS,
    ORDERED,
    Measure,
    distances,
    frequencies,
    proportions,
)

EVERY = tuple(Measure)
POSITIONS = np.array([[-3.0, -1.0, -0.5, 0.0, 0.2, 0.2, 1.5, 4.0]])
SIGMA = 1.25


def histograms(rows: int = 40) -> tuple[IntArray, IntArray]:
    """Current and reference counts over eight bins, sparse and filled, of many sizes."""
    rng = np.random.default_rng(11)
    shares = rng.dirichlet(np.full(8, 0.6), (2, rows))
    sizes = rng.choice([1, 7, 60, 1000, 10**6], (2, rows))
    counts = np.array([[rng.multinomial(n, p) for n, p in zip(*side, strict=True)]
                       for side in zip(sizes, shares, strict=True)])  # fmt: skip
    return counts[0], counts[1]


def oracle(measure: Measure, current: IntArray, reference: IntArray) -> float:
    """One row's distance, from scipy where it has one."""
    filled = current + reference > 0
    q, p = ((side[filled] + 0.5) / (side.sum() + filled.sum() / 2) for side in (current, reference))
    f, g = current / current.sum(), reference / reference.sum()
    divergence = distance.jensenshannon(q, p, base=2)
    found = {
        Measure.PSI: stats.entropy(q, p) + stats.entropy(p, q),
        Measure.KL: stats.entropy(q, p),
        Measure.JS: divergence**2,
        Measure.JS_DISTANCE: divergence,
        Measure.HELLINGER: distance.euclidean(np.sqrt(q), np.sqrt(p)) / np.sqrt(2),
        Measure.CHI2: stats.chisquare(q, p).statistic,
        Measure.TVD: distance.cityblock(f, g) / 2,
        Measure.LINF: distance.chebyshev(f, g),
        Measure.KS: distance.chebyshev(np.cumsum(f), np.cumsum(g)),
        Measure.WASSERSTEIN: stats.wasserstein_distance(POSITIONS[0], POSITIONS[0], f, g) / SIGMA,
    }[measure]
    return float(np.nan_to_num(found))  # scipy's Jensen-Shannon distance of equals can be √(−0)


@pytest.mark.parametrize("measure", EVERY)
def test_a_distance_is_what_scipy_says_it_is(measure: Measure) -> None:
    current, reference = histograms()
    found = distances(
        current, reference, measures=[measure], positions=POSITIONS, sigma=SIGMA
    )[measure]  # fmt: skip
    expected = [oracle(measure, *row) for row in zip(current, reference, strict=True)]
    # A root turns the last digit of a sum near 0 into more.
    assert np.abs(found - expected).max() < (1e-7 if measure is Measure.JS_DISTANCE else 1e-9)
    assert np.median(found) > 0.01


def test_ks_on_the_grid_is_the_two_sample_statistic_of_events_at_the_positions() -> None:
    current, reference = histograms(6)
    small = np.minimum(current, 50), np.minimum(reference, 50)
    places = np.arange(8.0)
    found = distances(*small, measures=[Measure.KS], positions=places[None, :])[Measure.KS]
    for row, (left, right) in enumerate(zip(*small, strict=True)):
        expected = stats.ks_2samp(np.repeat(places, left), np.repeat(places, right)).statistic
        assert found[row] == pytest.approx(expected, abs=1e-12)


def test_kl_is_of_the_current_counts_relative_to_the_reference() -> None:
    current, reference = np.array([[80, 20]]), np.array([[50, 50]])
    q, p = proportions(current)[0], proportions(reference)[0]
    found = distances(current, reference, measures=[Measure.KL])[Measure.KL]
    assert found[0] == pytest.approx(stats.entropy(q, p), rel=1e-12)
    assert found[0] != pytest.approx(stats.entropy(p, q), rel=1e-3)


def test_proportions_get_half_an_event_in_every_cell() -> None:
    counts = np.array([[0, 3, 7], [1, 0, 0]])
    expected = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 1.5)
    assert np.allclose(proportions(counts), expected, rtol=1e-15)
    assert np.allclose(proportions(counts).sum(axis=1), 1.0)


def test_proportions_outside_the_bins_that_exist_are_zero_and_take_no_part() -> None:
    counts = np.array([[0, 3, 7, 0]])
    within = np.array([[True, True, True, False]])
    assert np.allclose(proportions(counts, within), [[*proportions(counts[:, :3])[0], 0.0]])


def test_proportions_of_no_events_are_unknown() -> None:
    assert np.isnan(proportions(np.zeros((1, 3), np.int64))).all()
    assert np.isnan(frequencies(np.zeros((1, 3), np.int64))).all()


def test_the_last_empty_cell_to_fill_makes_no_distance_jump() -> None:
    reference = np.array([[400, 300, 200, 100]])
    counts = np.array([[400, 300, 200, filled] for filled in range(4)])
    for values in distances(counts, reference, measures=EVERY).values():
        steps = np.abs(np.diff(values))
        assert steps[0] < 3 * steps[1:].max()


def test_a_bin_without_events_on_either_side_is_no_bin() -> None:
    current, reference = histograms()
    wider = [np.insert(side, [2, 5], 0, axis=1) for side in (current, reference)]
    places = np.insert(POSITIONS, [2, 5], POSITIONS[:, [2, 5]], axis=1)
    plain = distances(current, reference, measures=EVERY, positions=POSITIONS, sigma=SIGMA)
    padded = distances(*wider, measures=EVERY, positions=places, sigma=SIGMA)
    for measure in EVERY:
        assert np.allclose(plain[measure], padded[measure], rtol=1e-12, atol=1e-14)


def test_one_reference_row_serves_all_rows() -> None:
    current, reference = histograms()
    one = reference[:1]
    shared = distances(current, one, measures=EVERY)
    repeated = distances(current, one.repeat(len(current), axis=0), measures=EVERY)
    for measure, values in shared.items():
        assert np.array_equal(values, repeated[measure])


def test_equal_histograms_have_no_distance() -> None:
    current, _ = histograms()
    found = distances(current, current, measures=EVERY, positions=POSITIONS, sigma=SIGMA)
    for values in found.values():
        assert np.abs(values).max() < 1e-7


@pytest.mark.parametrize("side", [0, 1])
def test_a_row_without_events_on_one_side_has_unknown_distances(side: int) -> None:
    sides = histograms(3)
    sides[side][1] = 0
    found = distances(*sides, measures=EVERY, positions=POSITIONS, sigma=SIGMA)
    for values in found.values():
        assert np.isnan(values).tolist() == [False, True, False]


def test_fields_without_positions_have_no_ordered_distances() -> None:
    current, reference = histograms(2)
    assert set(distances(current, reference, measures=EVERY)) == set(EVERY) - set(ORDERED)


def test_only_wanted_measures_are_returned_in_the_order_of_the_enumeration() -> None:
    current, reference = histograms(2)
    found = distances(current, reference, measures={Measure.TVD, Measure.JS, Measure.PSI})
    assert list(found) == [Measure.PSI, Measure.JS, Measure.TVD]


def test_wasserstein_is_in_standard_deviations_of_the_reference_unless_told_otherwise() -> None:
    current, reference = histograms(5)
    wanted = [Measure.WASSERSTEIN]
    implied = distances(current, reference, measures=wanted, positions=POSITIONS)
    for row, counts in enumerate(reference):
        sigma = float(np.repeat(POSITIONS[0], np.minimum(counts, 10**6)).std())
        told = distances(
            current[[row]], counts[None, :], measures=wanted, positions=POSITIONS, sigma=sigma
        )
        if sigma > 0:
            expected = told[Measure.WASSERSTEIN][0]
            assert implied[Measure.WASSERSTEIN][row] == pytest.approx(expected, rel=1e-9)


def test_wasserstein_is_unknown_where_the_reference_is_a_constant() -> None:
    current, reference = np.array([[3, 4], [3, 4]]), np.array([[0, 9], [5, 5]])
    places = np.array([[0.0, 1.0]])
    found = distances(current, reference, measures=NORMS, positions=places)
    assert np.isnan(found[Measure.WASSERSTEIN]).tolist() == [True, False]
    assert not np.isnan(found[Measure.KS]).any()


@pytest.mark.parametrize(
    ("current", "reference"),
    [((2, 3), (3, 3)), ((2, 3), (2, 4)), ((3,), (1, 3)), ((2, 0), (2, 0))],
)
def test_counts_that_do_not_fit_each_other_are_refused(
    current: tuple[int, ...], reference: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"reference|counts"):
        distances(np.ones(current, np.int64), np.ones(reference, np.int64), measures=EVERY)


@pytest.mark.parametrize(
    "positions",
    [np.array([[0.0, 2.0, 1.0]]), np.array([[0.0, 1.0, np.inf]]), np.array([[0.0, 1.0]]),
     np.array([0.0, 1.0, 2.0])],
)  # fmt: skip
def test_positions_that_descend_or_do_not_fit_are_refused(positions: FloatArray) -> None:
    counts = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match="positions"):
        distances(counts, counts, measures=EVERY, positions=positions)
