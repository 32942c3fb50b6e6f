"""Compiled: loads what hatch_build.py has built of C sources, for those who can do without."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Single = npt.NDArray[np.float32]


def load(path: Path, layout: int) -> ctypes.CDLL | None:
    """Return a compiled library, None where there is none for this machine or of this `layout`.

    Its calls let the interpreter's lock go.
    """
    try:
        found = ctypes.CDLL(str(path))
        found.streamgauge_layout.restype = ctypes.c_int64
    except (OSError, AttributeError):
        return None
    return found if found.streamgauge_layout() == layout else None


def addresses(*arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return where arrays' numbers begin, which have to follow one another in C's order."""
    assert all(array.flags.c_contiguous for array in arrays)
    return tuple(array.ctypes.data for array in arrays)
