"""Compiled code: loads what hatch_build.py has built of the C files beside their callers.

Each caller has a way to do without, with the same result: there may have been no compiler.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_NOTHING: Final[Any] = ctypes.c_char * 0
Single = npt.NDArray[np.float32]


def load(path: Path, layout: int) -> ctypes.CDLL | None:
    """Return a library, None where there is none for this machine or of this `layout`.

    The layout is that of what is handed over; it grows with each change of it. Calls let the
    interpreter's lock go.
    """
    try:
        found = ctypes.CDLL(str(path))
        found.streamgauge_layout.restype = ctypes.c_int64
    except (OSError, AttributeError):
        return None
    return found if found.streamgauge_layout() == layout else None


@cache
def beside(module: str, name: str, layout: int) -> ctypes.CDLL | None:
    """Return the library that was built of `name`.c beside a module's file; see `load`."""
    return load(Path(module).with_name(f"lib{name}.so"), layout)


Members = tuple[tuple[str, type[Any]], ...]
"""Fields of a structure."""


def integers(names: str) -> Members:
    """Return members of a structure that are an int64_t each."""
    return tuple((name, ctypes.c_int64) for name in names.split())


def reals(names: str) -> Members:
    """Return members of a structure that are a double each."""
    return tuple((name, ctypes.c_double) for name in names.split())


def arrays(names: str) -> Members:
    """Return members of a structure that are a pointer each."""
    return tuple((name, ctypes.c_void_p) for name in names.split())


def addresses(*arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return where arrays' numbers begin, which have to follow one another in C's order.

    Whoever hands them on must keep the arrays until the call is over: as calls let the
    interpreter's lock go, another thread gets the memory of one that nobody has any more.
    """
    return tuple(map(_address, arrays))


def _address(array: npt.NDArray[Any]) -> int:
    try:
        # A quarter of the time that `array.ctypes.data` takes, of which large polls need thousands.
        return ctypes.addressof(_NOTHING.from_buffer(array))
    except TypeError:  # read-only ones are fine
        assert array.flags.c_contiguous
        return int(array.ctypes.data)


class _Pointer(ctypes.c_void_p):
    """The address of an array, which is there for as long as this is."""

    array: npt.NDArray[Any]


def pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    """Return the address of an array without gaps, and keep the array for as long as it is used."""
    found = _Pointer(*addresses(array))
    found.array = array
    return found
