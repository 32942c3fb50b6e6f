"""Compiled code: one library of all C files beside the modules that call them.

It is built where there is a C compiler (see hatch_build.py). Without it everything works all the
same, in more time.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Final

LIBRARY: Final = Path(__file__).with_name("libstreamgauge.so")
_LAYOUT: Final = 2
"""Of what is handed over: it grows with each change of a structure or of arguments. compiled.c has
the same number."""


@cache
def library() -> ctypes.CDLL | None:
    """The library, None where it was not built or is of another version."""
    return load(LIBRARY) if LIBRARY.exists() else None


def load(path: Path) -> ctypes.CDLL | None:
    """A library in a file, None where it is of another version or another machine.

    Calls let the interpreter's lock go.
    """
    try:
        found = ctypes.CDLL(str(path))
        found.streamgauge_layout.restype = ctypes.c_int64
    except (OSError, AttributeError):
        return None
    return found if found.streamgauge_layout() == _LAYOUT else None
