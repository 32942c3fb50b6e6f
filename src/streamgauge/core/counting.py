"""Compiled code (counting.c) that looks values up, tells slices apart, and counts events.

It is there where it was built; `lookup`, `grouping` and `cells` have the same of numpy. What is
counted is handed over by `one_pass`.
"""

import ctypes
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses, arrays, beside, integers, reals
from streamgauge.core.batch import FloatArray

LAYOUT: Final = 4
"""Of what is handed over; counting.c has the same number."""
_NUMBER: Final = ctypes.c_int64
_COUNTS: Final = {2: "streamgauge_count_16", 4: "streamgauge_count_32"}


class LookUp(ctypes.Structure):
    """What a lookup is handed over as; see `lookup`."""

    _fields_ = reals("low factor") + integers("cells") + arrays("base edges") + integers("count")


class HandedColumn(ctypes.Structure):
    """What a field's values are handed over as; counting.c says more."""

    _fields_ = (
        ("lookup", LookUp),
        *arrays("numbers codes of_codes"),
        *integers("many"),
        *reals("center"),
        *integers("moment missing above below served faults"),
        *arrays("fault_rows fault_bins fewer"),
        *integers("start width fewer_start fewer_width"),
        *arrays("bins"),
    )


class HandedMember(ctypes.Structure):
    """What the rows are handed over as that places are added up in."""

    _fields_ = (*integers("size"), *arrays("rows counts sums extremes"))


class HandedTally(ctypes.Structure):
    """What is handed over of where events fall."""

    _fields_ = (
        *integers("places"),
        *arrays("place served"),
        *integers("fewer width moments members"),
        *arrays("member counts sums extremes"),
    )


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
        columns, tallies = ctypes.POINTER(HandedColumn), ctypes.POINTER(HandedTally)
        call.argtypes = (_NUMBER, columns, _NUMBER, tallies, _NUMBER)
    part = found.streamgauge_part
    part.restype = _NUMBER
    array = ctypes.c_void_p
    part.argtypes = (_NUMBER, array, _NUMBER, array, _NUMBER, array, array, array)
    look_up = found.streamgauge_look_up
    look_up.restype = None
    look_up.argtypes = (ctypes.POINTER(LookUp), _NUMBER, ctypes.c_void_p, ctypes.c_void_p)
    return found


def look_up(compiled: ctypes.CDLL, lookup: LookUp, values: FloatArray) -> npt.NDArray[np.intp]:
    """Return the bins of values `(n,)`, an arbitrary one of a NaN."""
    values = np.ascontiguousarray(values, np.float64)
    bins = np.empty(len(values), np.intp)
    compiled.streamgauge_look_up(ctypes.byref(lookup), len(values), *addresses(values, bins))
    return bins


def count(
    compiled: ctypes.CDLL,
    events: int,
    columns: "ctypes.Array[HandedColumn]",
    tallies: "ctypes.Array[HandedTally]",
    dtype: npt.DTypeLike,
) -> None:
    """Count so many events' columns in all tallies, whose counts have this dtype (2 or 4 bytes)."""
    call = getattr(compiled, _COUNTS[np.dtype(dtype).itemsize])
    done = call(events, columns, len(columns), tallies, len(tallies))
    assert done, "every event has a place, every code and fault a bin"
