"""What rows gather of panes, by compiled code and by numpy, against a recount of the cells."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.pane_feed import LAYOUT, PaneFeed, Sums
from streamgauge.core.detectors.sides import Sides
from streamgauge.core.detectors.tolerance import Tolerance
from tests.support.compiled import built
from tests.unit.test_e_detectors import HOUR, SHARES, T0, TABLE, tolerance

REFERENCE, ROWS, CELLS = 9, 30, 8


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code, compiled now."""
    return built(SOURCES["pane_feed"], LAYOUT, tmp_path_factory.mktemp("compiled"))


def tolerated(rng: np.random.Generator, *, by_hour: bool) -> Tolerance:
    """Shares of several rows, some 0 or 1, with errors, and hours that differ if asked for."""
    hours = rng.uniform(0.01, 0.99, (168, 4)) if by_hour else None
    found = tolerance(room=0.02, known=REFERENCE, hours=hours)
    share = rng.choice([0.0, 1e-7, 0.3, 0.97, 1.0], found.share.shape)
    share[0] = SHARES
    return replace(found, share=share, error=rng.uniform(0.0, 0.1, share.shape))


def empty() -> Sums:
    """Sums of no pane."""
    widths = 4, 4, 4, len(Sides(TABLE))
    return Sums(*(np.zeros((ROWS, width), np.float32) for width in widths))


def recounted(
    tolerance: Tolerance, known: IntArray, counts: IntArray, start: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The same of one pane, cell by cell."""
    bounds, sides = tolerance.bounds(known, start), Sides(TABLE)
    size = len(known)
    present, total = np.zeros((size, 4)), np.zeros((size, 4))
    largest = np.zeros((size, len(sides)))
    for q, series in enumerate(TABLE.series):
        present[:, q] = counts[:, series.first : series.last].sum(axis=1)
        total[:, q] = counts[:, series.whole : series.end].sum(axis=1)
    for side, code in enumerate(sides.code.tolist()):
        series, fall = divmod(code, 2)
        largest[:, side] = bounds.largest[:, series, fall] * total[:, series]
    return present, total, bounds.expected * total, largest


@pytest.mark.parametrize("by_hour", [False, True])
def test_rows_gather_what_cells_count(compiled: ctypes.CDLL, *, by_hour: bool) -> None:
    rng = np.random.default_rng(1)
    own = tolerated(rng, by_hour=by_hour)
    both = [PaneFeed(own, Sides(TABLE), by) for by in (compiled, None)]
    gathered = [empty(), empty()]
    due = [array.astype(np.float64) for array in empty()]
    known = rng.integers(-1, REFERENCE, ROWS)
    assert (known < 0).any()
    for pane in range(20):
        rows = rng.permutation(ROWS)[: rng.integers(1, ROWS)]
        counts = rng.poisson(rng.choice([0.1, 20.0, 1e4], (len(rows), 1)), (len(rows), CELLS))
        start = T0 + pane * HOUR
        for feed, sums in zip(both, gathered, strict=True):
            feed.add(sums, rows, known[rows], counts, start)
        for sums_due, more in zip(due, recounted(own, known[rows], counts, start), strict=True):
            sums_due[rows] += more
    for one, other, array_due in zip(*gathered, due, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, array_due, rtol=1e-6)
