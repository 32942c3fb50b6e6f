"""Hashing: keys of ids and tables of keys by compiled code (hashed.c)."""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import load, pointer
from streamgauge.core.batch import CodeArray, IntArray
from streamgauge.core.joining.store import Keys

LIBRARY: Final = Path(__file__).with_name("libhashed.so")
_LAYOUT: Final = 1
"""Of the calls; hashed.c has the same number."""

Slots = npt.NDArray[np.int32]
"""Rows of a table by the low bits of their keys' second words, -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """The calls of a library."""

    library: ctypes.CDLL

    def keys(
        self, text: npt.NDArray[np.uint8], begins: IntArray, rows: CodeArray, factors: Keys
    ) -> Keys:
        """Return the keys `(n, 2)` of some of the texts, of at most `keys.LONGEST` bytes each.

        Text i is `text[begins[i] : begins[i + 1] - 1]`; `rows (n,) int32` says which.
        """
        begins = np.ascontiguousarray(begins, np.int64)
        rows = np.ascontiguousarray(rows, np.int32)
        found = np.empty((len(rows), 2), np.uint64)
        self.library.streamgauge_hash(
            pointer(text),
            pointer(begins),
            pointer(rows),
            _int(len(rows)),
            pointer(factors),
            pointer(found),
        )
        return found

    def find(self, slots: Slots, table: Keys, keys: Keys) -> IntArray:
        """Return each key's row in a table `(n,)`, -1 where it has none."""
        found = np.empty(len(keys), np.int64)
        keys = np.ascontiguousarray(keys)
        self.library.streamgauge_find(
            pointer(slots),
            _int(len(slots) - 1),
            pointer(table),
            pointer(keys),
            _int(len(keys)),
            pointer(found),
        )
        return found

    def enter(self, slots: Slots, table: Keys, begin: int, end: int) -> None:
        """Give rows of a table from one up to another, whose keys are in no slot, one each."""
        self.library.streamgauge_enter(
            pointer(slots), _int(len(slots) - 1), pointer(table), _int(begin), _int(end)
        )

    def distinct(self, keys: Keys, slots: Slots) -> tuple[IntArray, IntArray]:
        """Return where each distinct key comes first, ascending, and which of them each is.

        The slots, a power of two and more than there are keys, are free; they are filled.
        """
        first, owner = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        keys = np.ascontiguousarray(keys)
        found = self.library.streamgauge_distinct(
            pointer(keys),
            _int(len(keys)),
            pointer(slots),
            _int(len(slots) - 1),
            pointer(first),
            pointer(owner),
        )
        return first[:found], owner


@cache
def hashing() -> Hashing | None:
    """Return the calls of the library beside this file, None where it was not built."""
    return of(LIBRARY)


def of(path: Path) -> Hashing | None:
    """Return the calls of a library, None where it is of another version or machine."""
    library = load(path, "streamgauge_hashed_layout", _LAYOUT)
    if library is None:
        return None
    for name in ("hash", "find", "enter"):
        library[f"streamgauge_{name}"].restype = None
    library.streamgauge_distinct.restype = ctypes.c_int64
    return Hashing(library)


def _int(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
