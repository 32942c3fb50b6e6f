"""Evidence moved on by compiled code and by numpy, both against the recursion itself."""

import ctypes

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.compiled import Single
from streamgauge.core.detectors import side_bank
from streamgauge.core.detectors.bank import ALTERNATIVES, TILTS
from streamgauge.core.detectors.side_bank import LAYOUT, Gathered, Moved, SideBank
from streamgauge.core.detectors.sides import Sides
from tests.support.compiled import built
from tests.unit.test_e_detectors import TABLE

SUBJECT_OF = np.array([0, 0, 1, 2])
SERIES, SIDES, SUBJECTS, ROWS = 4, 7, 3, 40


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code, compiled now."""
    return built(SOURCES["side_bank"], LAYOUT, tmp_path_factory.mktemp("compiled"))


def bank(compiled: ctypes.CDLL | None) -> SideBank:
    shares = np.log(np.random.default_rng(1).dirichlet(np.ones(SIDES), 2))
    shares[0, 2] = -700.0
    return SideBank(Sides(TABLE), SUBJECT_OF, shares, compiled)


def drawn(rng: np.random.Generator, events: float) -> tuple[Single, Gathered]:
    """Evidence of all rows, some of it none at all, and what 30 of them have gathered."""
    log = rng.normal(-15.0, 6.0, (ROWS, ALTERNATIVES, SIDES)).astype(np.float32)
    log[rng.random(log.shape) < 0.1] = -np.inf
    total = rng.poisson(events, (ROWS, SERIES)).astype(np.float32)
    total[rng.random(total.shape) < 0.1] = 0.0
    share = rng.choice([1e-6, 0.01, 0.3, 0.9, 1.0], (ROWS, SERIES))
    present = rng.binomial(total.astype(np.int64), share).astype(np.float32)
    tolerated = np.minimum(share * rng.uniform(0.9, 1.3, share.shape), 1.0)
    fallen = np.minimum((1.0 - share) * rng.uniform(0.9, 1.3, share.shape) + 1e-3, 1.0)
    largest = bank(None).sides.joined(tolerated * total, fallen * total).astype(np.float32)
    rows = rng.permutation(ROWS)[:30]
    phi = rng.choice([1.0, 1.7, 12.0, np.inf], (30, SERIES), p=[0.4, 0.3, 0.2, 0.1])
    allowance = rng.uniform(-20.0, -8.0, 30)
    return log, Gathered(rows, present, total, largest, phi, allowance, rng.random(30) < 0.7)


def recounted(log: Single, gathered: Gathered) -> tuple[Single, Moved]:
    """The same one side and alternative after the other."""
    after, moved = log.copy(), Moved(np.zeros((30, SUBJECTS)), np.zeros(30, bool))
    constants = bank(None)
    for i, row in enumerate(gathered.rows.tolist()):
        for side, q in enumerate(constants.sides.series.tolist()):
            if not np.isfinite(gathered.phi[i, q]):
                after[row, :, side] = -np.inf
                continue
            n, k = float(gathered.total[row, q]), float(gathered.present[row, q])
            k = k if side < SERIES else n - k
            m = float(gathered.largest[row, side]) / max(n, 1.0)
            allowance = gathered.allowance[i] + constants.shares[int(gathered.known[i]), side]
            gain = (TILTS * k - n * np.log1p(m * np.expm1(TILTS))) / gathered.phi[i, q]
            evidence = np.logaddexp(log[row, :, side].astype(np.float64), allowance) + gain
            after[row, :, side] = evidence
            moved.reached[i] |= evidence.max() >= 0.0
            if n > 0 and m < 1.0:
                subject = SUBJECT_OF[q]
                level = max(moved.level[i, subject], evidence.max() - allowance)
                moved.level[i, subject] = level
    return after, moved


@pytest.mark.parametrize("by", ["compiled code", "numpy"])
@pytest.mark.parametrize("events", [0.0, 3.0, 100.0, 5_000.0, 3e6])
def test_evidence_grows_as_the_recursion_says(
    compiled: ctypes.CDLL, by: str, events: float
) -> None:
    for seed in range(10):
        log, gathered = drawn(np.random.default_rng(seed), events)
        expected, told = recounted(log, gathered)
        moved = bank(compiled if by == "compiled code" else None).move_on(log, gathered)
        # Two kinds of rounding, by a bit of the 24 that are kept.
        np.testing.assert_allclose(log, expected, rtol=2.5e-7, atol=1e-6)
        # Compiled code adds the smaller of two exponentials in 32 bits.
        closely = 2e-7 if by == "compiled code" else 1e-8
        np.testing.assert_allclose(moved.level, told.level, rtol=1e-9, atol=closely)
        np.testing.assert_array_equal(moved.reached, told.reached)


def test_many_blocks_of_rows_are_moved_on_as_each_alone(compiled: ctypes.CDLL) -> None:
    log, gathered = drawn(np.random.default_rng(2), 50.0)
    size = 3 * side_bank.BLOCK // SIDES
    places = np.random.default_rng(3).integers(30, size=size)
    rows = gathered.rows[places]
    many = Gathered(
        np.arange(size),
        gathered.present[rows],
        gathered.total[rows],
        gathered.largest[rows],
        gathered.phi[places],
        gathered.allowance[places],
        gathered.known[places],
    )
    for by in (compiled, None):
        one, all_of_them = log.copy(), log[rows]
        moved = bank(by).move_on(all_of_them, many)
        alone = bank(by).move_on(one, gathered)
        np.testing.assert_array_equal(all_of_them, one[rows])
        np.testing.assert_array_equal(moved.level, alone.level[places])


def test_one_alternative_of_a_side_gains_what_moves_its_evidence_on() -> None:
    log, gathered = drawn(np.random.default_rng(4), 80.0)
    finite = gathered._replace(phi=np.full((30, SERIES), 1.5))
    log[:] = -np.inf
    constants = bank(None)
    constants.move_on(log, finite)
    at, side, alternative = (
        np.random.default_rng(5).integers(top, size=200) for top in (30, SIDES, ALTERNATIVES)
    )
    known = finite.known[at].astype(np.intp)
    allowance = finite.allowance[at] + constants.shares[known, side]
    found = constants.gains(finite, at, side, alternative)
    grown = log[finite.rows[at], alternative, side] - allowance
    np.testing.assert_allclose(found, grown, rtol=1e-5, atol=5e-5)
