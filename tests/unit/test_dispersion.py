"""Dispersion against Pearson's statistic computed directly, and laws whose φ is known."""

import ctypes

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.dispersion import (
    FEWEST_DAYS,
    FEWEST_UPDATES,
    LAYOUT,
    LEAST_SHARE,
    WARM_UP,
    BlockDispersion,
    Dispersion,
)
from tests.support.compiled import built

ROW = np.array([0])
MINUTE = 60_000
DAY = 86_400_000
T0 = 20_000 * DAY


def endless(series: int = 1) -> BlockDispersion:
    """A dispersion of one row that forgets nothing."""
    found = BlockDispersion(series, 1e300)
    found.add_rows(1)
    return found


def line(values: FloatArray | IntArray) -> list[FloatArray]:
    """Single values as blocks of one row and series."""
    return [np.array([[float(value)]]) for value in values]


def spread(seed: int, phi: float, blocks: int, events: int, share: float) -> FloatArray:
    """Beta-binomial counts `(blocks,)`."""
    rng = np.random.default_rng(seed)
    if phi == 1.0:
        return rng.binomial(events, share, blocks).astype(float)
    concentration = (events - phi) / (phi - 1.0)
    p = rng.beta(share * concentration, (1.0 - share) * concentration, blocks)
    return rng.binomial(events, p).astype(float)


def pearson(present: FloatArray, total: FloatArray, expected: FloatArray) -> float:
    """φ about a row's own offset, by the weighted least squares that it stands for."""
    variance = total * expected * (1.0 - expected)
    residual = present - total * expected
    offset = (residual * total / variance).sum() / (total**2 / variance).sum()
    return float(((residual - offset * total) ** 2 / variance).sum() / (len(present) - 1))


def test_without_offset_it_is_pearsons_statistic() -> None:
    """As long as blocks agree with what is expected, their variances are those expected."""
    rng = np.random.default_rng(1)
    total = rng.integers(5_000, 50_000, 60).astype(float)
    expected = rng.uniform(0.2, 0.6, 60)
    present = rng.binomial(total.astype(int), expected).astype(float)
    found = endless()
    for k, n, e in zip(line(present), line(total), line(expected), strict=True):
        found.add(ROW, k, n, e)
    assert found.blocks_of(ROW)[0, 0] == 60
    assert found.estimate(ROW)[0, 0] == pytest.approx(pearson(present, total, expected), rel=0.02)


def test_its_figures_are_the_recursion_of_the_formula() -> None:
    rng = np.random.default_rng(2)
    n, e = 300.0, 0.25
    present = rng.binomial(300, 0.4, 40).astype(float)
    squares = b = c = 0.0
    found = endless()
    for k in present.tolist():
        share = min(max(e + (b / c if c else 0.0), LEAST_SHARE), 1.0 - LEAST_SHARE)
        binomial = share * (1.0 - share)
        r = k - n * e
        squares, b, c = squares + r**2 / (n * binomial), b + r / binomial, c + n / binomial
        found.add(ROW, np.array([[k]]), np.array([[n]]), np.array([[e]]))
    assert found.estimate(ROW)[0, 0] == pytest.approx((squares - b**2 / c) / 39, rel=1e-5)


@pytest.mark.parametrize("offset", [-0.1, 0.0, 0.2])
def test_a_lasting_offset_is_no_variation(offset: float) -> None:
    estimates = []
    for seed in range(20):
        found = endless()
        for k in line(spread(seed, 1.0, 300, 500, 0.3 + offset)):
            found.add(ROW, k, np.array([[500.0]]), np.array([[0.3]]))
        estimates.append(found.estimate(ROW)[0, 0])
    assert np.mean(estimates) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("phi", [1.0, 3.0, 10.0])
def test_beta_binomial_blocks_give_their_factor(phi: float) -> None:
    estimates = []
    for seed in range(20):
        found = endless()
        for k in line(spread(seed, phi, 400, 500, 0.3)):
            found.add(ROW, k, np.array([[500.0]]), np.array([[0.3]]))
        estimates.append(found.estimate(ROW)[0, 0])
    assert np.mean(estimates) == pytest.approx(phi, rel=0.05)


def test_old_blocks_fade() -> None:
    found = BlockDispersion(1, 50.0)
    found.add_rows(1)
    for phi, seed in ((20.0, 1), (1.0, 2)):
        for k in line(spread(seed, phi, 400, 500, 0.3)):
            found.add(ROW, k, np.array([[500.0]]), np.array([[0.3]]))
    assert found.blocks_of(ROW)[0, 0] == pytest.approx(50.0, rel=0.01)
    assert found.estimate(ROW)[0, 0] < 2.0


def test_series_without_events_have_no_block() -> None:
    found = endless(2)
    present, total = np.array([[30.0, 0.0]]), np.array([[100.0, 0.0]])
    for _ in range(5):
        found.add(ROW, present, total, np.full((1, 2), 0.3))
    assert found.blocks_of(ROW).tolist() == [[5.0, 0.0]]


def test_rows_do_not_disturb_each_other() -> None:
    alone, beside = BlockDispersion(1, 100.0), BlockDispersion(1, 100.0)
    alone.add_rows(1)
    beside.add_rows(1)
    wild, calm = spread(3, 30.0, 100, 200, 0.3), spread(4, 1.0, 100, 200, 0.3)
    for k, (w, c) in enumerate(zip(wild, calm, strict=True)):
        if k == 50:
            beside.add_rows(1)
        n, e = np.array([[200.0]]), np.array([[0.3]])
        alone.add(ROW, np.array([[c]]), n, e)
        beside.add(ROW, np.array([[c]]), n, e)
        if k >= 50:
            beside.add(np.array([1]), np.array([[w]]), n, e)
    np.testing.assert_array_equal(beside.estimate(ROW), alone.estimate(ROW))
    assert beside.estimate(np.array([1]))[0, 0] > 10.0


def fed(
    reference: FloatArray | None, counts: FloatArray, *, events: float = 500.0, step: int = MINUTE
) -> Dispersion:
    """A row's dispersion after its updates, one every `step` ms, of which 0.3 were expected."""
    found = Dispersion(reference, 1)
    found.add_rows(1)
    for i, k in enumerate(line(counts)):
        found.add(ROW, k, np.array([[events]]), np.array([[0.3]]), T0 + (i + 1) * step)
    return found


def factor(found: Dispersion) -> float:
    return float(found.factor(ROW)[0, 0])


def test_without_a_reference_nothing_is_judged_before_it_is_warm() -> None:
    # Updates fade a little, so that it takes one more.
    calm = spread(5, 1.0, WARM_UP + 1, 500, 0.3)
    assert factor(fed(None, calm[:-1])) == np.inf
    assert 1.0 <= factor(fed(None, calm)) < 3.0


def test_without_a_reference_the_upper_limit_of_the_rows_own_is_taken() -> None:
    """φ·(1 + 1.645·√(2/(n − 1))) covers the truth in 95 of 100 rows; chance correlation adds."""
    found = [factor(fed(None, spread(seed, 6.0, 100, 500, 0.3))) for seed in range(100)]
    assert np.mean(np.array(found) >= 6.0) >= 0.9
    limit = 6.0 * (1 + 1.645 * np.sqrt(2 / 99))
    assert limit * 0.95 < np.mean(found) < limit * 1.2


def test_the_references_factor_holds_from_the_first_update_on() -> None:
    reference = np.array([4.0])
    calm = spread(6, 1.0, 50, 500, 0.3)
    assert factor(fed(reference, calm[:0])) == 4.0
    assert factor(fed(reference, calm)) == 4.0


def test_a_row_that_varies_more_than_the_reference_says_counts_for_less() -> None:
    reference = np.array([1.0])
    wild = spread(7, 20.0, 200, 500, 0.3)
    assert factor(fed(reference, wild[: FEWEST_UPDATES - 2])) == 1.0
    assert factor(fed(reference, wild)) == pytest.approx(20.0, rel=0.3)


def test_a_factor_is_never_below_one() -> None:
    steady = np.full(60, 150.0)
    assert factor(fed(None, steady)) == 1.0
    assert factor(fed(np.array([1.0]), steady)) == 1.0


def test_what_varies_by_days_shows_once_there_are_enough_of_them() -> None:
    """Shares that hold for a day: 24 updates agree, so that within a day nothing varies."""
    rng = np.random.default_rng(8)
    days = np.repeat(rng.permutation(np.linspace(0.27, 0.33, 20)), 24)
    counts = rng.binomial(500, days).astype(float)
    hour = 3_600_000
    few = factor(fed(np.array([1.0]), counts[: (FEWEST_DAYS - 1) * 24], step=hour))
    many = factor(fed(np.array([1.0]), counts, step=hour))
    # Var(p)·n/(p(1 − p)) is 1.7 for an update and 41 for a day's 12 000 events.
    variance = float(np.var(np.linspace(0.27, 0.33, 20)))
    assert few < 4.0
    # The day that is not over is not in it.
    assert many == pytest.approx(1 + variance * 12_000 / 0.21 * 19 / 18, rel=0.3)


def test_an_update_that_is_left_out_leaves_no_trace() -> None:
    """Updates of subjects with an alarm come with totals of 0."""
    calm = spread(9, 1.0, 60, 500, 0.3)
    plain = fed(np.array([1.0]), calm)
    beside = Dispersion(np.array([1.0]), 1)
    beside.add_rows(1)
    zero = np.zeros((1, 1))
    for i, k in enumerate(line(calm)):
        end = T0 + (i + 1) * MINUTE
        beside.add(ROW, k, np.array([[500.0]]), np.array([[0.3]]), end)
        beside.add(ROW, zero, zero, np.array([[0.9]]), end)
    assert factor(beside) == factor(plain)


def test_a_day_kept_by_an_earlier_version_goes_on_as_one_kept_now() -> None:
    """It held how many events there were in float64, not by how many more than expected."""
    found = Dispersion(None, 1)
    found.add_rows(1)
    for k in line(np.array([30.0, 41.0])):
        found.add(ROW, k, np.array([[100.0]]), np.array([[0.3]]), T0 + DAY)
    data = found.data()
    more, events, due = data["sums"].astype(float)
    old = data | {"sums": np.stack([more + due, events, due])}
    again = Dispersion(None, 1)
    again.restore(old, 1)
    assert again.data()["sums"] == pytest.approx(data["sums"], rel=1e-6)
    assert again.data()["sums"].dtype == data["sums"].dtype


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code, compiled now."""
    return built(SOURCES["dispersion"], LAYOUT, tmp_path_factory.mktemp("compiled"))


def test_compiled_code_and_numpy_find_the_same_bits(compiled: ctypes.CDLL) -> None:
    series, rng = 37, np.random.default_rng(18)
    reference = rng.uniform(1.0, 3.0, series)
    both = [Dispersion(reference, series, by) for by in (compiled, None)]
    for found in both:
        found.add_rows(20)
    for update in range(150):
        rows = rng.permutation(20)[: rng.integers(1, 20)]
        total = rng.poisson(rng.choice([0.5, 30.0, 1e5], (len(rows), series))).astype(float)
        expected = rng.choice([0.0, 1e-5, 0.2, 0.999, 1.0], total.shape)
        moved = np.clip(expected + rng.normal(0.0, 0.05, total.shape), 0.0, 1.0)
        present = rng.binomial(total.astype(int), moved).astype(float)
        for found in both:
            found.add(rows, present, total, expected, T0 + (update + 1) * DAY // 10)
        one, other = (found.factor(np.arange(20)) for found in both)
        np.testing.assert_array_equal(one, other)
    assert (one > reference).any()
    for name in ("updates", "days"):
        kept = [found.data()[name] for found in both]
        for figure, values in kept[0].items():
            np.testing.assert_array_equal(values, kept[1][figure])
    np.testing.assert_array_equal(*(found.data()["sums"] for found in both))
