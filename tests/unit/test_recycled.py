"""Memory is given out again once nobody looks at it, and not before."""

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from streamgauge.recycled import PATIENCE, Recycled


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _given(recycled: Recycled, size: int) -> int:
    """Return where an array stood that is let go of at once."""
    return _address(recycled.empty((size,), np.uint8))


def test_memory_comes_again_once_nobody_looks_at_it() -> None:
    recycled = Recycled(least=100)
    first = recycled.empty((10, 20), np.float64)
    assert first.shape == (10, 20)
    assert first.dtype == np.float64
    place = _address(first)
    view = first[3:5, ::2]
    del first
    view[:] = 7.0
    second = recycled.empty((10, 20), np.float64)
    second[:] = 1.0
    assert (view == 7.0).all()
    assert _address(second) != place
    del view
    assert _given(recycled, 1_000) == place


def test_a_little_more_fits_and_much_more_is_made_anew() -> None:
    recycled = Recycled(least=100)
    place = _given(recycled, 1_000)
    assert _given(recycled, 1_200) == place
    large = recycled.empty((2_000,), np.uint8)
    assert large.nbytes == 2_000
    assert _given(recycled, 1_000) != _address(large)


@pytest.mark.parametrize("size", [0, 99, 1_001])
def test_small_and_very_large_arrays_are_not_kept(size: int) -> None:
    recycled = Recycled(least=100, most=1_000)
    array = recycled.empty((size,), np.uint8)
    assert array.base is None
    assert len(array) == size


def test_what_is_not_needed_for_long_is_let_go_of() -> None:
    recycled = Recycled(least=100)
    memory = recycled.empty((1_000,), np.uint8).base
    assert memory is not None
    kept = weakref.ref(memory)
    del memory
    for _ in range(PATIENCE):
        _given(recycled, 1)
    assert kept() is not None
    _given(recycled, 1)
    assert kept() is None
