"""Null laws against enumeration, scipy and simulation: rates, corrections, tolerance, intervals."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import DIVERGENCES, NORMS, ROOTS, Measure, distances, summed
from streamgauge.core.null_laws import NullLaws
from streamgauge.core.nulls.cells import Pools, cells_of
from streamgauge.core.nulls.divergences import SCALE, cell_moments
from streamgauge.core.nulls.norms import NormLaws, NormTables

NUMERIC = np.array([0.001, 0.009, 0.04, *[0.05] * 18, 0.04, 0.009, 0.001])
CATEGORIES: FloatArray = np.arange(1.0, 17.0) ** -1.3
CATEGORIES /= CATEGORIES.sum()
MISSING = np.array([0.98, 0.02])
POSITIONS = stats.norm.ppf(np.cumsum(NUMERIC) - NUMERIC / 2)[None, :]
COUNTS = np.arange(16.0)[None, :]


def draw(
    seed: int, n: int, m: int, rows: int, q: FloatArray, p: FloatArray, references: int = 0
) -> tuple[IntArray, IntArray]:
    """Current counts from q and reference counts from p; few references serve many rows."""
    rng = np.random.default_rng(seed)
    current = rng.multinomial(n, q, rows)
    reference = rng.multinomial(m, p, references or rows)
    return current, reference[np.arange(rows) % len(reference)]


def rate(p_values: FloatArray, level: float) -> float:
    return float(np.mean(p_values < level))


# False positives


@pytest.mark.parametrize(
    ("share", "positions", "n", "m", "references"),
    [
        pytest.param(NUMERIC, POSITIONS, 50, 1000, 500, id="numeric, 50 against 1000"),
        pytest.param(NUMERIC, POSITIONS, 50, 10**7, 20, id="numeric, 50 against 10^7"),
        pytest.param(NUMERIC, POSITIONS, 1000, 50_000, 500, id="numeric, 1000 against 50000"),
        pytest.param(NUMERIC, POSITIONS, 100_000, 1000, 0, id="numeric, 100000 against 1000"),
        pytest.param(CATEGORIES, COUNTS, 50, 50_000, 20, id="categories, 50 against 50000"),
        pytest.param(CATEGORIES, COUNTS, 1000, 1000, 0, id="categories, 1000 against 1000"),
        pytest.param(MISSING, None, 1000, 50_000, 0, id="missing rate, 1000 against 50000"),
        pytest.param(MISSING, None, 50, 1000, 0, id="missing rate, 50 against 1000"),
    ],
)
def test_p_values_are_as_small_as_they_say_when_nothing_has_changed(
    share: FloatArray, positions: FloatArray | None, n: int, m: int, references: int
) -> None:
    rows = 2000
    current, reference = draw(5, n, m, rows, share, share, references)
    found = NullLaws().evaluate(current, reference, positions=positions).p_value
    assert len(found) == (8 if positions is None else 10)
    for measure, p_values in found.items():
        # 2.8 standard errors around the range of 4–6 %, 0.6–1.4 % that is promised
        assert 0.027 < rate(p_values, 0.05) < 0.075, measure
        assert 0.001 < rate(p_values, 0.01) < 0.0215, measure


def test_p_values_of_filled_bins_are_uniform() -> None:
    current, reference = draw(6, 10**6, 10**7, 2000, NUMERIC, NUMERIC, 0)
    laws = NullLaws()
    found = laws.evaluate(current, reference, measures=[Measure.PSI, Measure.CHI2, Measure.JS])
    for measure, p_values in found.p_value.items():
        assert stats.kstest(p_values, "uniform").pvalue > 1e-3, measure


# Divergences, exactly


def arrangements(pooled: IntArray, n: int) -> Iterator[tuple[IntArray, float]]:
    """Every way to choose n of the pooled events, with its chance."""
    law = stats.multivariate_hypergeom(m=pooled, n=n)
    for counts in product(*(range(t + 1) for t in pooled)):
        if sum(counts) == n:
            yield np.array(counts), float(law.pmf(counts))


@pytest.mark.parametrize(
    ("pooled", "n"),
    [([4, 6, 3, 5, 2, 7], 9), ([12, 9, 1, 1, 6], 10), ([30, 2, 3, 25], 25)],
)
def test_cumulants_over_sparse_cells_are_close_to_those_of_all_arrangements(
    pooled: list[int], n: int
) -> None:
    total = np.array(pooled)
    ways = list(arrangements(total, n))
    current = np.array([counts for counts, _ in ways])
    chance = np.array([each for _, each in ways])
    pools = Pools.of(current[:1], (total - current)[:1])
    # CHI2 has more than three cumulants to its law.
    kinds = [kind for kind in SCALE if kind is not Measure.CHI2]
    moments = cell_moments(pools, cells_of(pools), kinds)
    found = distances(current, total - current, measures=kinds)
    for kind in kinds:
        value = found[kind] ** 2 if kind in ROOTS else found[kind]
        scaled = SCALE[kind] * pools.size[0] * value
        mean = float(chance @ scaled)
        spread = float(np.sqrt(chance @ (scaled - mean) ** 2))
        law = moments[kind].conditional(pools)
        assert abs(law.mean[0] - mean) < 0.08 * spread
        assert np.sqrt(law.variance[0]) == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize("measure", [*DIVERGENCES, Measure.TVD, Measure.LINF])
def test_p_values_over_sparse_cells_are_close_to_those_of_all_arrangements(
    measure: Measure,
) -> None:
    total = np.array([9, 7, 5, 8, 6])
    ways = list(arrangements(total, 12))
    chance = np.array([each for _, each in ways])
    current = np.array([counts for counts, _ in ways])
    found = NullLaws().evaluate(current, total - current, measures=[measure])
    value = found.raw[measure]
    exact = np.array([
        chance[value > each + 1e-9].sum() + chance[np.abs(value - each) <= 1e-9].sum() / 2
        for each in value
    ])  # fmt: skip
    error = np.abs(found.p_value[measure] - exact)
    assert float(chance @ error) < 0.04
    tail = (exact > 0.01) & (exact < 0.1)
    assert np.abs(np.log(found.p_value[measure] / exact))[tail].max() < 1.0


def test_a_divergence_of_filled_bins_is_chi_squared_after_smoothing() -> None:
    current, reference = draw(1, 50_000, 400_000, 20, CATEGORIES, CATEGORIES)
    found = NullLaws().evaluate(current, reference, measures=DIVERGENCES)
    n, m, bins = 50_000, 400_000, 16
    size = n * m / (n + m)
    shrunk = size * (1 / (n + bins / 2) + 1 / (m + bins / 2))
    for measure in DIVERGENCES:
        value = found.raw[measure] ** (2 if measure in ROOTS else 1)
        scaled = SCALE[summed(measure)] * size * value
        expected = stats.chi2.sf(scaled / shrunk**2, bins - 1)
        assert np.allclose(found.p_value[measure], expected, rtol=1e-9)


def test_enormous_drift_has_a_p_value_that_is_small_but_ordered() -> None:
    current = np.array([[40, 30, 20, 10], [30, 30, 25, 15], [15, 20, 30, 35]])
    reference = np.array([[10, 10, 480, 500]])
    found = NullLaws().evaluate(current, reference, positions=COUNTS[:, :4])
    for measure in (Measure.PSI, Measure.JS, Measure.LINF, Measure.KS, Measure.WASSERSTEIN):
        first, second, third = found.p_value[measure]
        assert 0 < first < second < third < 0.01, measure
        assert first < 1e-10, measure


# Two bins


@pytest.mark.parametrize(("n", "m", "missing"), [(50, 1000, 25), (400, 90, 3), (50, 10**6, 20_000)])
def test_two_bins_have_the_mid_p_value_of_the_hypergeometric_law(
    n: int, m: int, missing: int
) -> None:
    found = np.arange(0, 6)
    current = np.stack([n - found, found], axis=1)
    reference = np.array([[m - missing, missing]])
    evaluated = NullLaws().evaluate(current, reference, positions=np.array([[0.0, 1.0]]), sigma=0.5)
    for row in range(len(found)):
        pooled = int(found[row]) + missing
        possible = np.arange(max(0, n - (n + m - pooled)), min(n, pooled) + 1)
        chance = stats.hypergeom.pmf(possible, n + m, pooled, n)
        tables = np.stack([n - possible, possible], axis=1)
        others = np.array([[n + m - pooled, pooled]]) - tables
        values = distances(
            tables, others, measures=tuple(Measure), positions=np.array([[0.0, 1.0]]), sigma=0.5
        )
        for measure, value in values.items():
            own = evaluated.raw[measure][row]
            same = np.abs(value - own) <= 1e-6 * own
            expected = chance[(value > own) & ~same].sum() + chance[same].sum() / 2
            assert evaluated.p_value[measure][row] == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_a_field_with_one_filled_bin_cannot_surprise() -> None:
    found = NullLaws().evaluate(
        np.array([[0, 40]]), np.array([[0, 900]]), positions=COUNTS[:, :2], sigma=1.0
    )
    for measure in Measure:
        assert found.p_value[measure].tolist() == [1.0]
        assert found.corrected[measure].tolist() == [0.0]


# Norms


def test_norms_have_the_law_of_a_gaussian_vector() -> None:
    counts = np.rint(CATEGORIES * 10**6).astype(np.int64)[None, :]
    gaps = np.linspace(0.5, 2.0, 15)[None, :]
    tables = NormLaws(10).tables(counts, counts > 0, gaps)
    root = np.sqrt(CATEGORIES)
    z = np.random.default_rng(3).standard_normal((200_000, 16))
    vector = root * z - CATEGORIES * (z @ root)[:, None]
    cumulated = np.abs(np.cumsum(vector, axis=1))[:, :-1]
    simulated = {
        Measure.TVD: np.abs(vector).sum(axis=1) / 2,
        Measure.LINF: np.abs(vector).max(axis=1),
        Measure.KS: cumulated.max(axis=1),
        Measure.WASSERSTEIN: cumulated @ gaps[0],
    }
    for place, measure in enumerate(NORMS):
        sample = simulated[measure]
        assert tables.rms[0, place] == pytest.approx(np.sqrt(np.mean(sample**2)), rel=0.01)
        for level in (0.9, 0.5, 0.1, 0.05, 0.01, 0.002):
            at = np.quantile(sample, [1 - level])
            assert tables.survival(measure, at)[0] == pytest.approx(
                level, rel=0.05 + 0.01 / level**0.5
            )
            critical = tables.critical(measure, level)
            assert tables.survival(measure, critical)[0] == pytest.approx(level, rel=1e-3)


def test_ks_of_many_bins_has_kolmogorovs_law() -> None:
    counts = np.full((1, 100), 1000)
    tables = NormLaws(1).tables(counts, counts > 0, np.ones((1, 99)))
    for value in (0.6, 0.8, 1.0, 1.2, 1.36):
        # A grid misses the peaks between its points, 0.58/√B on average (Siegmund).
        expected = special.kolmogorov(value + 0.5826 / np.sqrt(100))
        assert tables.survival(Measure.KS, np.array([value]))[0] == pytest.approx(expected, rel=0.1)


def test_kept_laws_are_bounded_in_number() -> None:
    laws = NormLaws(capacity=7)
    counts = np.random.default_rng(1).multinomial(1000, CATEGORIES, 20)
    tables = laws.tables(counts, counts > 0, None)
    assert len(tables.rms) == 20
    assert len(laws) == 7


@pytest.mark.parametrize("capacity", [1, 5, 12, 100])
def test_kept_laws_are_those_of_their_rows_whatever_else_is_asked_for(capacity: int) -> None:
    rng = np.random.default_rng(2)
    laws, oracle = NormLaws(capacity), NormLaws(1)
    counts = rng.multinomial(1000, CATEGORIES, 15)
    due = oracle.fresh(counts, counts > 0, None)
    for _ in range(12):
        asked = rng.integers(0, 15, rng.integers(1, 20))
        found = laws.tables(counts[asked], counts[asked] > 0, None)
        assert found.rms.tolist() == due.rms[asked].tolist()
        assert found.table.tolist() == due.table[asked].tolist()
        assert len(laws) <= capacity


def test_laws_that_are_asked_for_again_are_not_simulated_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    laws, counts = NormLaws(3), np.random.default_rng(1).multinomial(1000, CATEGORIES, 4)
    simulated: list[int] = []
    fresh = NormLaws.fresh

    def counted(self: NormLaws, *args: Any) -> NormTables:
        simulated.append(len(args[0]))
        return fresh(self, *args)

    monkeypatch.setattr(NormLaws, "fresh", counted)
    for asked in ([0, 1, 2], [0, 2], [3], [0, 2, 3], [1]):
        laws.tables(counts[asked], counts[asked] > 0, None)
    # The second row made room for the fourth.
    assert simulated == [3, 1, 1]


# What chance explains


def test_corrected_distances_tend_to_the_true_ones() -> None:
    drifted = CATEGORIES * (1 + 0.3 * np.sin(np.arange(16)))
    drifted /= drifted.sum()
    current, reference = draw(8, 2000, 20_000, 1500, drifted, CATEGORIES, 100)
    found = NullLaws().evaluate(current, reference, measures=list(SCALE))
    limit = np.rint(np.stack([drifted, CATEGORIES]) * 10**12).astype(np.int64)
    truth = distances(limit[:1], limit[1:], measures=list(SCALE))
    for measure in SCALE:
        true, raw, corrected = (
            np.mean(values ** (2 if measure in ROOTS else 1))
            for values in (truth[measure], found.raw[measure], found.corrected[measure])
        )
        assert raw - true > 0.8 * 15 / (SCALE[measure] * found.n_effective[0])
        assert abs(corrected - true) < 0.1 * (raw - true)


def test_correcting_psi_of_filled_bins_takes_away_its_mean_under_no_drift() -> None:
    current, reference = draw(2, 10**6, 10**6, 400, NUMERIC, NUMERIC)
    shifted = current.copy()
    shifted[:, 5] += 20_000
    found = NullLaws().evaluate(shifted, reference, measures=[Measure.PSI])
    taken = found.raw[Measure.PSI] - found.corrected[Measure.PSI]
    assert np.allclose(taken, 23 * (1 / 1_020_000 + 1 / 10**6), rtol=1e-3)


@pytest.mark.parametrize("n", [50, 1000])
def test_what_is_taken_from_sparse_distances_is_their_mean_under_no_drift(n: int) -> None:
    current, reference = draw(2, n, 50_000, 4000, NUMERIC, NUMERIC, 10)
    laws = NullLaws()
    drifted = NUMERIC[::-1] * np.linspace(0.2, 1.8, 24)
    far = np.random.default_rng(1).multinomial(n, drifted / drifted.sum(), 4000)
    clean = laws.evaluate(current, reference, positions=POSITIONS)
    moved = laws.evaluate(far, reference, positions=POSITIONS)
    for measure in (*SCALE, Measure.TVD, Measure.KS, Measure.WASSERSTEIN):
        power = 1 if measure in SCALE and measure not in ROOTS else 2
        raw, corrected = moved.raw[measure] ** power, moved.corrected[measure] ** power
        positive = corrected > 0
        taken = np.mean((raw - corrected)[positive])
        # The law knows the pooled counts, so drift adds to the mean that it takes away.
        assert taken == pytest.approx(np.mean(clean.raw[measure] ** power), rel=0.2), measure


# Overdispersion


def overdispersed(seed: int, n: int, phi: float, rows: int) -> IntArray:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(CATEGORIES * (n - phi) / (phi - 1), rows)
    return np.stack([rng.multinomial(n, share / share.sum()) for share in shares])


def test_overdispersed_counts_raise_no_more_false_alarms_if_phi_is_known() -> None:
    current = overdispersed(4, 5000, 4.0, 2500)
    reference = np.random.default_rng(1).multinomial(10**6, CATEGORIES, 1)
    laws = NullLaws()
    known = laws.evaluate(current, reference, positions=COUNTS, phi=4.0)
    unknown = laws.evaluate(current, reference, positions=COUNTS)
    for measure in Measure:
        assert 0.03 < rate(known.p_value[measure], 0.05) < 0.075, measure
        assert rate(unknown.p_value[measure], 0.05) > 0.25, measure


def test_overdispersion_divides_the_current_size_alone() -> None:
    found = NullLaws().evaluate(
        np.array([[30, 70], [300, 700]]),
        np.array([[400, 600]]),
        measures=[Measure.PSI],
        phi=np.array([1.0, 5.0]),
    )
    assert np.allclose(found.n_effective, [100 * 1000 / 1100, 200 * 1000 / 1200])


# Tolerance


@pytest.mark.parametrize("measure", [Measure.PSI, Measure.KL, Measure.JS, Measure.CHI2])
@pytest.mark.parametrize("n", [1000, 100_000])
def test_drift_of_just_the_tolerated_size_raises_no_more_alarms_than_the_level(
    measure: Measure, n: int
) -> None:
    tilted = NUMERIC * np.exp(0.2 * POSITIONS[0])
    tilted /= tilted.sum()
    limit = np.rint(np.stack([tilted, NUMERIC]) * 10**12).astype(np.int64)
    tolerance = SCALE[measure] * distances(limit[:1], limit[1:], measures=[measure])[measure][0]
    current, reference = draw(3, n, 10**6, 2500, tilted, NUMERIC, 250)
    found = NullLaws().evaluate(current, reference, measures=[measure], tolerance=tolerance)
    assert 0.025 < rate(found.p_value[measure], 0.05) < 0.075


def test_norms_within_the_tolerance_raise_no_alarm_and_beyond_it_do() -> None:
    tilted = NUMERIC * np.exp(0.2 * POSITIONS[0])
    tilted /= tilted.sum()
    tolerance = float(((tilted - NUMERIC) ** 2 / NUMERIC).sum())
    current, reference = draw(3, 20_000, 10**6, 200, tilted, NUMERIC, 1)
    laws = NullLaws()
    within = laws.evaluate(
        current, reference, measures=NORMS, positions=POSITIONS, tolerance=tolerance
    )
    beyond = laws.evaluate(
        current, reference, measures=NORMS, positions=POSITIONS, tolerance=tolerance / 1000
    )
    for measure in NORMS:
        assert rate(within.p_value[measure], 0.05) <= 0.05
        assert rate(beyond.p_value[measure], 0.05) > 0.95


def test_the_noncentral_laws_quantile_has_a_p_value_of_the_level() -> None:
    n, m, tolerance = 10**6, 10**8, 0.002
    size = n * m / (n + m)
    bound = stats.ncx2.isf(0.05, 15, size * tolerance) / size
    reference = np.rint(CATEGORIES * m).astype(np.int64)
    direction = np.cos(np.arange(16.0))
    direction -= direction @ CATEGORIES
    direction *= np.sqrt(bound / (CATEGORIES @ direction**2))
    current = np.rint(CATEGORIES * (1 + direction) * n).astype(np.int64)
    found = NullLaws().evaluate(
        current[None, :], reference[None, :], measures=[Measure.CHI2], tolerance=tolerance
    )
    assert found.raw[Measure.CHI2][0] == pytest.approx(float(bound), rel=1e-3)
    assert found.p_value[Measure.CHI2][0] == pytest.approx(0.05, abs=0.01)


# Intervals


@pytest.mark.parametrize("tilt", [0.0, 0.1, 0.6])
@pytest.mark.parametrize(("n", "m"), [(300, 50_000), (20_000, 5000)])
def test_effect_intervals_cover_the_truth(tilt: float, n: int, m: int) -> None:
    tilted = NUMERIC * np.exp(tilt * POSITIONS[0])
    tilted /= tilted.sum()
    limit = np.rint(np.stack([tilted, NUMERIC]) * 10**12).astype(np.int64)
    truth = distances(limit[:1], limit[1:], measures=tuple(Measure), positions=POSITIONS, sigma=1.0)
    current, reference = draw(9, n, m, 800, tilted, NUMERIC)
    for measure in Measure:
        rows = 300 if measure in NORMS else 800
        low, high = NullLaws().effect_interval(
            measure, current[:rows], reference[:rows], positions=POSITIONS, sigma=1.0, level=0.9
        )
        true = truth[measure][0]
        covered = np.mean((low <= true + 1e-9) & (true - 1e-9 <= high))
        # No drift is at the edge of what is possible: the upper limit cannot miss it.
        assert 0.85 < covered <= (0.94 if measure in DIVERGENCES and tilt > 0 else 1.0), measure
        assert np.mean(high - low) < (0.7 if measure in NORMS else 0.5) * max(1.0, 4 * true)


def test_a_lower_limit_above_zero_is_a_significant_distance() -> None:
    tilted = NUMERIC * np.exp(0.05 * POSITIONS[0])
    current, reference = draw(4, 5000, 10**6, 300, tilted / tilted.sum(), NUMERIC, 1)
    laws = NullLaws()
    p_value = laws.evaluate(current, reference, measures=[Measure.PSI]).p_value[Measure.PSI]
    low, _ = laws.effect_interval(Measure.PSI, current, reference, level=0.9)
    clear = np.abs(p_value - 0.05) > 1e-6
    assert np.array_equal((low > 0)[clear], (p_value < 0.05)[clear])
    assert 0.1 < rate(p_value, 0.05) < 0.9


def test_overdispersion_widens_intervals() -> None:
    current, reference = draw(4, 5000, 10**6, 5, CATEGORIES[::-1].copy(), CATEGORIES, 1)
    laws = NullLaws()
    for measure in Measure:
        plain, wide = (
            laws.effect_interval(measure, current, reference, positions=COUNTS, phi=phi, level=0.9)
            for phi in (1.0, 9.0)
        )
        ratio = (wide[1] - wide[0]) / (plain[1] - plain[0])
        assert np.all((ratio > 2.4) & (ratio < 3.6)), measure


# Edges


def test_rows_without_events_are_unknown_and_do_not_disturb_others() -> None:
    current, reference = draw(1, 200, 5000, 4, CATEGORIES, CATEGORIES)
    alone = NullLaws().evaluate(current[[1, 3]], reference[[1, 3]], positions=COUNTS)
    current[0] = 0
    reference[2] = 0
    found = NullLaws().evaluate(current, reference, positions=COUNTS)
    assert np.isnan(found.n_effective).tolist() == [True, False, True, False]
    for measure in Measure:
        for figures, expected in (
            (found.raw, alone.raw),
            (found.corrected, alone.corrected),
            (found.p_value, alone.p_value),
        ):
            assert np.isnan(figures[measure]).tolist() == [True, False, True, False]
            assert np.allclose(figures[measure][[1, 3]], expected[measure], rtol=1e-4)


def test_no_rows_are_no_problem() -> None:
    nothing = np.zeros((0, 24), np.int64)
    found = NullLaws().evaluate(nothing, nothing, positions=POSITIONS)
    assert all(len(values) == 0 for values in found.p_value.values())


def test_only_the_wanted_measures_are_evaluated() -> None:
    current, reference = draw(1, 200, 5000, 4, CATEGORIES, CATEGORIES)
    laws = NullLaws()
    found = laws.evaluate(current, reference, measures=[Measure.PSI, Measure.HELLINGER])
    assert list(found.raw) == list(found.corrected) == list(found.p_value)
    assert list(found.raw) == [Measure.PSI, Measure.HELLINGER]
    assert len(laws._norms) == 0


@pytest.mark.parametrize("phi", [0.5, np.array([1.0, np.nan])])
def test_an_overdispersion_below_one_is_refused(phi: float | FloatArray) -> None:
    counts = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match="overdispersion"):
        NullLaws().evaluate(counts, counts, phi=phi)


def test_a_negative_tolerance_is_refused() -> None:
    counts = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match="tolerance"):
        NullLaws().evaluate(counts, counts, tolerance=-0.1)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_that_is_no_confidence_is_refused(level: float) -> None:
    counts = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match="level"):
        NullLaws().effect_interval(Measure.PSI, counts, counts, level=level)


def test_an_interval_of_an_ordered_measure_needs_positions() -> None:
    counts = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match="positions"):
        NullLaws().effect_interval(Measure.KS, counts, counts)
