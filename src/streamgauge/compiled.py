"""Compiled code: libraries built from C (see hatch_build.py) that stand beside their callers.

Each caller has a way to do without, with the same result: there may have been no compiler.
"""

import ctypes
from pathlib import Path
from typing import Any

import numpy.typing as npt


def load(path: Path, layout: str, version: int) -> ctypes.CDLL | None:
    """Return a library, None where it was not built or is of another version or machine.

    Its function `layout` tells the version. Calls let the interpreter's lock go.
    """
    try:
        found = ctypes.CDLL(str(path))
        told = found[layout]
    except (OSError, AttributeError):
        return None
    told.restype = ctypes.c_int64
    return found if told() == version else None


def pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    """Return the address of an array without gaps, who must be kept for as long as it is used."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
