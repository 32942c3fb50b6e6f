"""Sorted rows of the join store by compiled code (rows.c)."""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses, beside, pointer
from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import Keys, Records

LAYOUT: Final = 1
"""Of the calls; rows.c has the same number."""
_ENDS_EARLY: Final = -1

Rows = npt.NDArray[np.uint64]
Prefixes = npt.NDArray[np.uint32]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class CompiledRows:
    """The calls of a library; whose arrays are those of `rows` and `run`."""

    library: ctypes.CDLL

    def order(self, keys: Keys) -> Words | None:
        """Return the places `(n,)` of keys in their order; None where too many are nearly alike."""
        keys = np.ascontiguousarray(keys)
        order, other = np.empty(len(keys), np.uint64), np.empty(len(keys), np.uint64)
        done = self.library.streamgauge_order(
            pointer(keys), _int(len(keys)), pointer(order), pointer(other)
        )
        return order if done else None

    def rows(self, keys: Keys, records: Records, places: Words, words: int, factors: Words) -> Rows:
        """Return the keys and records at these places as rows of so many words."""
        keys, records = np.ascontiguousarray(keys), np.ascontiguousarray(records)
        found = np.empty((len(places), words), np.uint64)
        self.library.streamgauge_rows(
            pointer(keys),
            pointer(records),
            _int(records.itemsize),
            pointer(places),
            _int(len(places)),
            _int(words),
            pointer(factors),
            pointer(found),
        )
        return found

    def sound(self, rows: Rows, factors: Words) -> bool:
        """Return whether all rows are what was written."""
        n, words = rows.shape
        found = self.library.streamgauge_sound(
            pointer(rows), _int(n), _int(words), pointer(factors)
        )
        return bool(found == n)

    def merged(self, parts: Sequence[Rows]) -> Rows:
        """Return sorted parts as one, of rows with the same key the one in the last of them."""
        parts = [np.ascontiguousarray(part) for part in parts]
        counts = np.array([len(part) for part in parts], np.int64)
        words = parts[0].shape[1]
        found = np.empty((int(counts.sum()), words), np.uint64)
        begins = (ctypes.c_void_p * len(parts))(*addresses(*parts))
        rows = self.library.streamgauge_merge(
            begins,
            pointer(counts),
            pointer(np.empty_like(counts)),
            _int(len(parts)),
            _int(words),
            pointer(found),
        )
        return found[:rows]

    def mark(self, filter_words: Words, prefixes: Prefixes) -> None:
        """Mark prefixes in a filter."""
        self.library.streamgauge_mark(
            pointer(filter_words),
            _int(len(filter_words) - 1),
            pointer(prefixes),
            _int(len(prefixes)),
        )

    def sift(self, filter_words: Words, keys: Keys) -> IntArray:
        """Return the places of the keys that a filter may have."""
        keys = np.ascontiguousarray(keys)
        places = np.empty(len(keys) + 1, np.int64)
        found = self.library.streamgauge_sift(
            pointer(filter_words),
            _int(len(filter_words) - 1),
            pointer(keys),
            _int(len(keys)),
            pointer(places),
        )
        return places[:found]

    def search(
        self, prefixes: Prefixes, starts: Prefixes, shift: int, keys: Keys
    ) -> tuple[IntArray, IntArray] | None:
        """Return pairs of a key's place and that of a row with its prefix.

        `starts[u]` is the first of the prefixes whose bits above the lowest `shift` are u or more.
        None where far more rows than keys share their prefixes.
        """
        keys = np.ascontiguousarray(keys)
        room = 2 * len(keys)
        which, at = np.empty(room, np.int64), np.empty(room, np.int64)
        found = self.library.streamgauge_search(
            pointer(prefixes),
            pointer(starts),
            _int(shift),
            pointer(keys),
            _int(len(keys)),
            pointer(which),
            pointer(at),
            _int(room),
        )
        return None if found < 0 else (which[:found], at[:found])

    def read(self, file: int, words: int, at: IntArray) -> Rows | None:
        """Return the rows at these places of a file, None where it ends before.

        Raises OSError where the operating system refuses to.
        """
        found = np.empty((len(at), words), np.uint64)
        problem = self.library.streamgauge_read_rows(
            ctypes.c_int(file), _int(8 * words), pointer(at), _int(len(at)), pointer(found)
        )
        if problem > 0:
            raise OSError(problem, os.strerror(problem))
        return None if problem == _ENDS_EARLY else found


@cache
def compiled_rows() -> CompiledRows | None:
    """Return the calls of the library beside this file, None where it was not built."""
    found = beside(__file__, "rows", LAYOUT)
    return None if found is None else calls(found)


def calls(library: ctypes.CDLL) -> CompiledRows:
    """Return the calls of a library."""
    for name in ("order", "sound", "merge", "sift", "search", "read_rows"):
        library[f"streamgauge_{name}"].restype = ctypes.c_int64
    for name in ("rows", "mark"):
        library[f"streamgauge_{name}"].restype = None
    return CompiledRows(library)


def _int(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
