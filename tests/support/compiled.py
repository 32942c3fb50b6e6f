"""Compiled code for tests: built anew, so that it is that of the sources as they are."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from hatch_build import SOURCES, Source, compile_library, find_compiler
from streamgauge.compiled import load
from streamgauge.core import aggregate, grouping, lookup
from streamgauge.core.joining import hashing, keys, repeats, table
from streamgauge.core.outcomes import compiled_counts, counting, row_counts
from streamgauge.io.joining import compiled_rows, rows, run


def needs_compiler() -> None:
    """Skip the test where there is no C compiler."""
    if find_compiler() is None:
        pytest.skip("needs a C compiler")


def built(source: Source, layout: int, folder: Path) -> ctypes.CDLL:
    """Compile a source into a folder, without any warning, and load it."""
    needs_compiler()
    path = folder / source.library.name
    assert compile_library(source, path, "-Werror") is None
    found = load(path, layout)
    assert found is not None
    return found


@contextmanager
def counting_by(compiled: ctypes.CDLL | None) -> Iterator[None]:
    """Let events be looked up and counted by this code, by numpy where it is None."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (aggregate, grouping, lookup):
            patch.setattr(module, "library", lambda: compiled)
        yield


class Joining(NamedTuple):
    """The calls of what the join and its outcomes have compiled."""

    hashing: hashing.Hashing
    rows: compiled_rows.CompiledRows
    counts: compiled_counts.CompiledCounts


def compiled_joining(folder: Path) -> Joining:
    """Compile what the join and its outcomes have into a folder; skip without a compiler."""
    return Joining(
        hashing.calls(built(SOURCES["hashed"], hashing.LAYOUT, folder)),
        compiled_rows.calls(built(SOURCES["rows"], compiled_rows.LAYOUT, folder)),
        compiled_counts.calls(built(SOURCES["counts"], compiled_counts.LAYOUT, folder)),
    )


@contextmanager
def joining_by(libraries: Joining | None) -> Iterator[None]:
    """Let the join and its outcomes be worked on by these libraries, by numpy where it is None."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (keys, repeats, table):
            patch.setattr(module, "hashing", lambda: libraries and libraries.hashing)
        for module in (rows, run):
            patch.setattr(module, "compiled_rows", lambda: libraries and libraries.rows)
        for module in (counting, row_counts):
            patch.setattr(module, "compiled_counts", lambda: libraries and libraries.counts)
        yield
