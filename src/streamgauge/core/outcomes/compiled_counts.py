"""Counting by compiled code (counts.c)."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import beside, pointer
from streamgauge.core.batch import CodeArray, FloatArray, IntArray
from streamgauge.core.grouping import Places

LAYOUT: Final = 2
"""Of the calls; counts.c has the same number."""


MOST_CELLS: Final = 1 << 16
"""Of a column."""


class Columns(NamedTuple):
    """The bins of n events in k columns `(k, n) uint16`.

    A column has `widths (k,) int64` cells from `firsts (k,) int64` on.
    """

    bins: npt.NDArray[np.uint16]
    firsts: IntArray
    widths: IntArray


@dataclass(frozen=True, slots=True)
class CompiledCounts:
    """The calls of a library."""

    library: ctypes.CDLL

    def add(
        self, counts: IntArray, at: Places, columns: Columns, chosen: Places | None = None
    ) -> None:
        """Add events to the counts of their groups `(groups, width)`.

        `at (n,)` are the events' groups; `chosen (m,)` are the events to count, None for all.
        """
        bins, firsts, widths = columns
        if not bins.size:
            return
        at, bins = np.ascontiguousarray(at, np.int64), np.ascontiguousarray(bins, np.uint16)
        k, n = bins.shape
        assert len(at) == n
        assert at.min() >= 0
        assert at.max() < len(counts)
        assert (bins.max(axis=1) < widths).all(), "a bin that its column does not have"
        assert firsts.min() >= 0
        assert (firsts + widths).max() <= counts.shape[1]
        self.library.streamgauge_count(
            pointer(at),
            ctypes.c_int64(n),
            pointer(bins),
            ctypes.c_int64(k),
            pointer(firsts),
            None if chosen is None else pointer(chosen),
            ctypes.c_int64(0 if chosen is None else len(chosen)),
            pointer(counts),
            ctypes.c_int64(counts.shape[1]),
        )

    def by_row(
        self,
        rows: CodeArray,
        cells: IntArray,
        width: int,
        sign: npt.NDArray[np.int8] | None,
        values: FloatArray,
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return what `row_counts.count_by_row` does, of values `(V, n)`."""
        n, specs = rows.shape
        rows, cells = np.ascontiguousarray(rows, np.int32), np.ascontiguousarray(cells, np.int64)
        values = np.ascontiguousarray(values, np.float64)
        many = len(values)
        assert len(cells) == n
        assert not many or values.shape == (many, n)
        assert not n or (cells.min() >= 0 and cells.max() < width)
        if sign is not None:
            sign = np.ascontiguousarray(sign, np.int8)
            assert len(sign) == n
        size = int(rows.max(initial=-1)) + 1
        table, known = np.zeros(size, np.int32), np.empty(size, np.int64)
        found = self.library.streamgauge_number(
            pointer(rows),
            ctypes.c_int64(rows.size),
            pointer(table),
            ctypes.c_int64(size),
            pointer(known),
        )
        assert found >= 0, "rows are not below zero"
        counts, sums = np.zeros((found, width), np.int64), np.zeros((found, many))
        self.library.streamgauge_add(
            pointer(rows),
            ctypes.c_int64(n),
            ctypes.c_int64(specs),
            pointer(table),
            pointer(cells),
            None if sign is None else pointer(sign),
            ctypes.c_int64(width),
            pointer(counts),
            pointer(values),
            ctypes.c_int64(many),
            pointer(sums),
        )
        return known[:found], counts, sums


@cache
def compiled_counts() -> CompiledCounts | None:
    """Return the calls of the library beside this file, None where it was not built."""
    found = beside(__file__, "counts", LAYOUT)
    return None if found is None else calls(found)


def calls(library: ctypes.CDLL) -> CompiledCounts:
    """Return the calls of a library."""
    for name in ("count", "add"):
        library[f"streamgauge_{name}"].restype = None
    library.streamgauge_number.restype = ctypes.c_int64
    return CompiledCounts(library)
