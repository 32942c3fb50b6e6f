"""Compiled counting against numpy's, and what it refuses."""

import ctypes

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.core.counting import LAYOUT, Sums, count, declared
from tests.support.compiled import built

PLACES, WIDTH, CELLS, EVENTS = 300, 50, slice(20, 33), 5_000


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code, compiled now."""
    return declared(built(SOURCES["counting"], LAYOUT, tmp_path_factory.mktemp("compiled")))


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_events_are_added_to_the_cells_of_their_field(
    compiled: ctypes.CDLL, dtype: type[np.int16 | np.int32]
) -> None:
    rng = np.random.default_rng(1)
    places, bins = rng.integers(PLACES, size=EVENTS), rng.integers(13, size=EVENTS)
    counts = np.ones((PLACES, WIDTH), dtype)
    count(compiled, places, bins, CELLS, counts)
    expected = np.ones((PLACES, WIDTH), np.int64)
    np.add.at(expected, (places, CELLS.start + bins), 1)
    np.testing.assert_array_equal(counts, expected)


def test_values_are_added_in_the_order_of_events(compiled: ctypes.CDLL) -> None:
    rng = np.random.default_rng(2)
    places, bins = rng.integers(PLACES, size=EVENTS), rng.integers(13, size=EVENTS)
    first, second = rng.normal(size=(2, EVENTS))
    counts, sums = np.zeros((PLACES, WIDTH), np.int16), np.zeros((PLACES, 4, 2))
    count(compiled, places, bins, CELLS, counts, Sums(first, second, sums, 2))
    for which, values in enumerate((first, second)):
        due = np.bincount(places, values, minlength=PLACES)
        np.testing.assert_array_equal(sums[:, 2, which], due)
    assert not sums[:, [0, 1, 3]].any()
    alone = np.zeros_like(counts)
    count(compiled, places, bins, CELLS, alone)
    np.testing.assert_array_equal(counts, alone)


def test_a_place_or_bin_that_is_not_there_is_refused(compiled: ctypes.CDLL) -> None:
    counts = np.zeros((PLACES, WIDTH), np.int16)
    values = Sums(np.zeros(2), np.zeros(2), np.zeros((PLACES, 1, 2)), 0)
    good = np.zeros(2, np.intp)
    for sums in (None, values):
        for bad in (-1, PLACES):
            with pytest.raises(AssertionError, match="a place and a bin"):
                count(compiled, np.array([0, bad]), good, CELLS, counts, sums)
        for bad in (-1, CELLS.stop - CELLS.start):
            with pytest.raises(AssertionError, match="a place and a bin"):
                count(compiled, good, np.array([0, bad]), CELLS, counts, sums)
