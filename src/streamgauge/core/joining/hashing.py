"""Hashing: keys of ids and tables of keys by compiled code (hashed.c)."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import beside, pointer
from streamgauge.core.batch import IntArray
from streamgauge.core.joining.ids import PackedIds
from streamgauge.core.joining.store import Keys

LAYOUT: Final = 1
"""Of the calls; hashed.c has the same number."""

Slots = npt.NDArray[np.int32]
"""Rows of a table by the low bits of their keys' second words, -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """The calls of a library."""

    library: ctypes.CDLL

    def keys(self, ids: PackedIds, factors: Keys) -> Keys:
        """Return the keys `(n, 2)` of ids of at most `keys.LONGEST` bytes each."""
        begins = np.ascontiguousarray(ids.begins, np.int64)
        ends = np.ascontiguousarray(ids.ends, np.int64)
        found = np.empty((len(ids), 2), np.uint64)
        self.library.streamgauge_hash(
            pointer(ids.text),
            pointer(begins),
            pointer(ends),
            _int(len(ids)),
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
    found = beside(__file__, "hashed", LAYOUT)
    return None if found is None else calls(found)


def calls(library: ctypes.CDLL) -> Hashing:
    """Return the calls of a library."""
    for name in ("hash", "find", "enter"):
        library[f"streamgauge_{name}"].restype = None
    library.streamgauge_distinct.restype = ctypes.c_int64
    return Hashing(library)


def _int(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
