"""Compiled code: built where it can be, and not used where it is of another version."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hatch_build import SOURCES, compile_library
from streamgauge.compiled import addresses, load, pointer
from streamgauge.core import counting
from streamgauge.core.detectors import dispersion, pane_feed, side_bank
from streamgauge.core.joining.hashing import hashing
from streamgauge.core.nulls import spread
from streamgauge.core.outcomes.compiled_counts import compiled_counts
from streamgauge.formats import plain_events
from streamgauge.io.joining.compiled_rows import compiled_rows
from streamgauge.io.kafka import native_client
from tests.support.compiled import needs_compiler

LIBRARIES: dict[str, Callable[[], object | None]] = {
    "counting": counting.library,
    "counts": compiled_counts,
    "dispersion": dispersion.library,
    "hashed": hashing,
    "messages": native_client.library,
    "pane_feed": pane_feed.library,
    "plain_events": plain_events.library,
    "rows": compiled_rows,
    "side_bank": side_bank.library,
    "spread": spread.library,
}


@pytest.mark.parametrize("name", SOURCES)
def test_where_there_is_a_compiler_it_was_built(name: str) -> None:
    needs_compiler()
    assert LIBRARIES[name]() is not None, "run make setup again"


@pytest.mark.parametrize("name", SOURCES)
def test_a_library_of_another_version_is_not_used(name: str, tmp_path: Path) -> None:
    needs_compiler()
    path = tmp_path / "other.so"
    assert compile_library(SOURCES[name], path, "-DLAYOUT=0") is None
    assert load(path, 0) is not None
    assert load(path, 1) is None


def test_what_is_no_library_of_this_machine_is_not_used(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.so"
    assert load(foreign, 1) is None
    foreign.write_bytes(b"of another machine")
    assert load(foreign, 1) is None


def test_addresses_are_those_of_arrays_without_gaps() -> None:
    fixed = np.arange(4.0)
    fixed.flags.writeable = False
    whole = np.zeros((3, 4), np.int16)
    arrays = whole, whole[1:], fixed, np.empty(0), np.empty((0, 3))
    assert addresses(*arrays) == tuple(array.ctypes.data for array in arrays)
    for gaps in (whole[:, 1:], whole.T, fixed[::2], fixed[::-1]):
        with pytest.raises(AssertionError):
            addresses(gaps)


def test_an_array_is_there_for_as_long_as_its_pointer() -> None:
    # Calls let the interpreter's lock go: what nobody holds is another thread's memory then.
    array = np.arange(3)
    gone = weakref.ref(array)
    held = pointer(array)
    del array
    gc.collect()
    assert gone() is not None
    del held
    gc.collect()
    assert gone() is None
