"""Counting by compiled code (counts.c)."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import beside, pointer
from streamgauge.core.batch import IntArray
from streamgauge.core.grouping import Places

LAYOUT: Final = 1
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


@cache
def compiled_counts() -> CompiledCounts | None:
    """Return the calls of the library beside this file, None where it was not built."""
    found = beside(__file__, "counts", LAYOUT)
    return None if found is None else calls(found)


def calls(library: ctypes.CDLL) -> CompiledCounts:
    """Return the calls of a library."""
    library.streamgauge_count.restype = None
    return CompiledCounts(library)
