"""Compiled code for tests: built anew, so that it is that of the sources as they are."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hatch_build import Source, compile_library, find_compiler
from streamgauge.compiled import load
from streamgauge.core import cells, lookup


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
        for module in (cells, lookup):
            patch.setattr(module, "library", lambda: compiled)
        yield
