"""How norms vary with the direction: compiled code and numpy against each other, and by recount."""

import numpy as np
import pytest

from streamgauge.core.batch import BoolArray, FloatArray
from streamgauge.core.distances import NORMS, Measure
from streamgauge.core.nulls import spread
from streamgauge.core.nulls.spread import LOGARITHMS, Spread, directions_of, simulated
from tests.support.compiled import needs_compiler

ROWS = 30


def some_rows(seed: int, bins: int) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Shares, bins that exist, and distances between them of very different size."""
    rng = np.random.default_rng(seed)
    filled = rng.random((ROWS, bins)) < 0.9
    filled[:, 0] = True
    p = rng.dirichlet(np.full(bins, 0.5), ROWS) * filled
    p[:, 0] += 1e-4
    gaps = rng.random((ROWS, bins - 1)) * rng.lognormal(0.0, 5.0, (ROWS, 1))
    return p / p.sum(axis=1, keepdims=True), filled, gaps


def by_numpy(patch: pytest.MonkeyPatch, *given: object) -> Spread:
    with patch.context() as patched:
        patched.setattr(spread, "library", lambda: None)
        return simulated(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("bins", [1, 2, 5, 22, 70])
def test_compiled_code_finds_what_numpy_does(
    monkeypatch: pytest.MonkeyPatch, bins: int, ordered: bool
) -> None:
    needs_compiler()
    p, filled, gaps = some_rows(bins, bins)
    given = p, filled, gaps if ordered else None, directions_of(bins)
    found, expected = simulated(*given), by_numpy(monkeypatch, *given)
    assert np.allclose(found.second, expected.second, rtol=1e-12, atol=0.0)
    assert np.allclose(found.shares.sum(axis=2), 1.0, rtol=0.0, atol=1e-12)
    # Not bin by bin: the seventh digit of a logarithm says on which side of a bin it is.
    above = np.abs(found.shares.cumsum(axis=2) - expected.shares.cumsum(axis=2))
    assert above.max() < 1e-4


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    p, filled, gaps = some_rows(3, 22)
    directions = directions_of(22)
    together = simulated(p, filled, gaps, directions)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = simulated(p[one], filled[one], gaps[one], directions)
        assert np.array_equal(alone.second[0], together.second[row])
        assert np.array_equal(alone.shares[0], together.shares[row])


@pytest.mark.parametrize("compiled", [True, False])
def test_shares_are_those_of_the_norms_of_the_directions(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    if compiled:
        needs_compiler()
    p, filled, gaps = some_rows(4, 12)
    given = p, filled, gaps, directions_of(12)
    found = simulated(*given) if compiled else by_numpy(monkeypatch, *given)
    for row in range(ROWS):
        # In double precision, a matrix at a time: the part of u that differences of p can have.
        there = filled[row]
        root = np.sqrt(p[row, there])
        u = directions_of(12)[there].astype(float)
        inside = u - root[:, None] * (root @ u)
        difference = np.zeros((12, u.shape[1]))
        difference[there] = root[:, None] * inside / np.linalg.norm(inside, axis=0)
        cumulated = np.abs(difference.cumsum(axis=0)[:-1])
        norms = {
            Measure.TVD: np.abs(difference).sum(axis=0) / 2,
            Measure.LINF: np.abs(difference).max(axis=0),
            Measure.KS: cumulated.max(axis=0),
            Measure.WASSERSTEIN: gaps[row] @ cumulated,
        }
        for place, measure in enumerate(NORMS):
            sizes = norms[measure]
            assert found.second[row, place] == pytest.approx((sizes**2).mean(), rel=1e-5)
            logs = np.log(sizes / np.sqrt((sizes**2).mean()))
            mean = found.shares[row, place] @ LOGARITHMS
            assert mean == pytest.approx(np.clip(logs, *LOGARITHMS[[0, -1]]).mean(), abs=1e-4)
