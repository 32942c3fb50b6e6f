"""Libraries of compiled code for tests: built now, so that they are never of an earlier source."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from hatch_build import SOURCES, compile_library, find_compiler
from streamgauge.core.joining import hashing, keys, repeats, table
from streamgauge.core.outcomes import compiled_counts, counting
from streamgauge.io.joining import compiled_rows, rows, run


class Compiled(NamedTuple):
    """The calls of all libraries but that of the reader."""

    hashing: hashing.Hashing
    rows: compiled_rows.CompiledRows
    counts: compiled_counts.CompiledCounts


def compiled(folder: Path) -> Compiled:
    """Compile into a folder; skip the test where there is no compiler."""
    if find_compiler() is None:
        pytest.skip("needs a C compiler")
    built = {}
    for source in SOURCES:
        built[source.stem] = folder / f"lib{source.stem}.so"
        assert compile_library(built[source.stem], "-Werror", source=source) is None
    found = (
        hashing.of(built["hashed"]),
        compiled_rows.of(built["rows"]),
        compiled_counts.of(built["counts"]),
    )
    assert None not in found
    return Compiled(*found)  # type: ignore[arg-type]  # none of them is None


@contextmanager
def working_with(libraries: Compiled | None) -> Iterator[None]:
    """Let the join and its outcomes be worked on by these libraries, by numpy where it is None."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (keys, repeats, table):
            patch.setattr(module, "hashing", lambda: libraries and libraries.hashing)
        for module in (rows, run):
            patch.setattr(module, "compiled_rows", lambda: libraries and libraries.rows)
        patch.setattr(counting, "compiled_counts", lambda: libraries and libraries.counts)
        yield
