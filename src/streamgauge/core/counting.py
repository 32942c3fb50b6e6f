"""Counting: values looked up, events counted and values added up, each in one pass.

That is compiled code (counting.c), which is there where it was built; `lookup` and `cells` have the
same of numpy.
"""

import ctypes
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import beside
from streamgauge.core.batch import FloatArray

LAYOUT: Final = 1
"""Of what is handed over; counting.c has the same number."""
_NUMBER: Final = ctypes.c_int64
_ARRAY: Final = ctypes.c_void_p
_COUNTS: Final = {2: "streamgauge_count_16", 4: "streamgauge_count_32"}

Places = npt.NDArray[np.intp]


class LookUp(ctypes.Structure):
    """What a lookup is handed over as; see `lookup`."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("low", "factor")),
        ("cells", _NUMBER),
        *((name, _ARRAY) for name in ("base", "pivot", "edges")),
        ("count", _NUMBER),
    )


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled code, None where it was not built or is of another version."""
    found = beside(__file__, "counting", LAYOUT) if np.dtype(np.intp).itemsize == 8 else None
    return None if found is None else declared(found)


def declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """Return the compiled code with the types of its calls."""
    for name in (*_COUNTS.values(), "streamgauge_add_up"):
        call = getattr(found, name)
        call.restype = _NUMBER
        call.argtypes = (_NUMBER, _ARRAY, _NUMBER, _ARRAY, _NUMBER, _NUMBER, _ARRAY)
    look_up = found.streamgauge_look_up
    look_up.restype = None
    look_up.argtypes = (ctypes.POINTER(LookUp), _NUMBER, _ARRAY, _ARRAY)
    add_up = found.streamgauge_add_up
    add_up.argtypes = (_NUMBER, _ARRAY, _NUMBER, _ARRAY, _ARRAY, _NUMBER, _ARRAY)
    return found


def look_up(compiled: ctypes.CDLL, lookup: LookUp, values: FloatArray) -> Places:
    """Return the bins of values `(n,)`, an arbitrary one of a NaN."""
    values = np.ascontiguousarray(values)
    bins = np.empty(len(values), np.intp)
    given = ctypes.byref(lookup), len(values), values.ctypes.data
    compiled.streamgauge_look_up(*given, bins.ctypes.data)
    return bins


def count(
    compiled: ctypes.CDLL,
    places: Places,
    bins: npt.NDArray[np.intp],
    cells: slice,
    counts: npt.NDArray[np.signedinteger],
) -> None:
    """Add events at `places (n,)` to their `bins (n,)` among the cells of `counts (size, W)`.

    Counts are of two or four bytes, one row after the other.
    """
    size, width = counts.shape
    assert counts.flags.c_contiguous
    assert places.flags.c_contiguous
    assert bins.flags.c_contiguous
    at = counts.ctypes.data + cells.start * counts.itemsize
    given = len(bins), places.ctypes.data, size, bins.ctypes.data, cells.stop - cells.start
    done = getattr(compiled, _COUNTS[counts.itemsize])(*given, width, at)
    assert done == len(bins) == len(places), "every event has a place and a bin"


def add_up(
    compiled: ctypes.CDLL,
    places: Places,
    first: FloatArray,
    second: FloatArray,
    sums: FloatArray,
) -> None:
    """Add two values of events at `places (n,)` to the sums of their place `(size, 2)`.

    Of these the two of a place stand side by side.
    """
    assert sums.strides[1] == sums.itemsize
    assert first.flags.c_contiguous
    assert second.flags.c_contiguous
    assert places.flags.c_contiguous
    given = len(places), places.ctypes.data, len(sums), first.ctypes.data, second.ctypes.data
    width = sums.strides[0] // sums.itemsize
    done = compiled.streamgauge_add_up(*given, width, sums.ctypes.data)
    assert done == len(places) == len(first) == len(second), "every event has a place"
