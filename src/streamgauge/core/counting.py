"""Counting: values looked up in one pass, events counted and values added up in another.

That is compiled code (counting.c), which is there where it was built; `lookup` and `cells` have the
same of numpy.
"""

import ctypes
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses, arrays, beside, integers, reals
from streamgauge.core.batch import FloatArray

LAYOUT: Final = 2
"""Of what is handed over; counting.c has the same number."""
_NUMBER: Final = ctypes.c_int64
_ARRAY: Final = ctypes.c_void_p
_COUNTS: Final = {2: "streamgauge_count_16", 4: "streamgauge_count_32"}

Places = npt.NDArray[np.intp]


class LookUp(ctypes.Structure):
    """What a lookup is handed over as; see `lookup`."""

    _fields_ = reals("low factor") + integers("cells") + arrays("base edges") + integers("count")


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled code, None where it was not built or is of another version."""
    found = beside(__file__, "counting", LAYOUT) if np.dtype(np.intp).itemsize == 8 else None
    return None if found is None else declared(found)


def declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """Return the compiled code with the types of its calls."""
    for name in _COUNTS.values():
        call = getattr(found, name)
        call.restype = _NUMBER
        counted = _NUMBER, _ARRAY, _NUMBER, _ARRAY, _NUMBER, _NUMBER, _ARRAY
        call.argtypes = (*counted, _ARRAY, _ARRAY, _NUMBER, _ARRAY)
    look_up = found.streamgauge_look_up
    look_up.restype = None
    look_up.argtypes = (ctypes.POINTER(LookUp), _NUMBER, _ARRAY, _ARRAY)
    return found


def look_up(compiled: ctypes.CDLL, lookup: LookUp, values: FloatArray) -> Places:
    """Return the bins of values `(n,)`, an arbitrary one of a NaN."""
    values = np.ascontiguousarray(values)
    bins = np.empty(len(values), np.intp)
    compiled.streamgauge_look_up(ctypes.byref(lookup), len(values), *addresses(values, bins))
    return bins


class Sums(NamedTuple):
    """Two values of n events `(n,)`, and the sums `(size, fields, 2)` of which those of a field."""

    first: FloatArray
    second: FloatArray
    sums: FloatArray
    field: int

    def handed(self, size: int, events: int) -> tuple[int, ...]:
        """Return what compiled code needs to add up so many events at so many places."""
        assert len(self.first) == len(self.second) == events
        assert len(self.sums) == size
        first, second, sums = addresses(self.first, self.second, self.sums)
        width = 2 * self.sums.shape[1]
        return first, second, width, sums + 2 * self.sums.itemsize * self.field


def count(
    compiled: ctypes.CDLL,
    places: Places,
    bins: npt.NDArray[np.intp],
    cells: slice,
    counts: npt.NDArray[np.signedinteger],
    sums: Sums | None = None,
) -> None:
    """Add events at `places (n,)` to their `bins (n,)` among the cells of `counts (size, W)`.

    Counts are of two or four bytes, one row after the other. Two values of each event are added
    to `sums` by the way, in the order of the events.
    """
    size, width = counts.shape
    at = addresses(counts)[0] + cells.start * counts.itemsize
    placed, binned = addresses(places, bins)
    summed = (None, None, 0, None) if sums is None else sums.handed(size, len(bins))
    given = len(bins), placed, size, binned, cells.stop - cells.start, width, at
    done = getattr(compiled, _COUNTS[counts.itemsize])(*given, *summed)
    assert done == len(bins) == len(places), "every event has a place and a bin"
