"""Compiled code: built where it can be, and not used where it is of another version."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest

from hatch_build import (
    COUNTING,
    DISPERSION,
    PANE_FEED,
    PLAIN_EVENTS,
    SIDE_BANK,
    SOURCES,
    Source,
    compile_library,
)
from streamgauge.core import counting
from streamgauge.core.compiled import load
from streamgauge.core.detectors import dispersion, pane_feed, side_bank
from streamgauge.formats import plain_events
from tests.support.compiled import needs_compiler

LIBRARIES: dict[Source, Callable[[], ctypes.CDLL | None]] = {
    COUNTING: counting.library,
    PLAIN_EVENTS: plain_events.library,
    SIDE_BANK: side_bank.library,
    DISPERSION: dispersion.library,
    PANE_FEED: pane_feed.library,
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path.stem)
def test_where_there_is_a_compiler_it_was_built(source: Source) -> None:
    needs_compiler()
    assert LIBRARIES[source]() is not None, "run make setup again"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path.stem)
def test_a_library_of_another_version_is_not_used(source: Source, tmp_path: Path) -> None:
    needs_compiler()
    path = tmp_path / "other.so"
    assert compile_library(source, path, "-DLAYOUT=0") is None
    assert load(path, 0) is not None
    assert load(path, 1) is None


def test_what_is_no_library_of_this_machine_is_not_used(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.so"
    assert load(foreign, 1) is None
    foreign.write_bytes(b"of another machine")
    assert load(foreign, 1) is None
