"""Rows: records with their keys as they are in a file, each with a check of its own.

A row is a number of words of 64 bits, little-endian: the key's two, the record, zeros up to the
upper half of the last word, and there the check.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import shake_256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import KEY_BYTES, Keys, Records
from streamgauge.io.joining.compiled_rows import Rows, Words, compiled_rows

WORD_BYTES: Final = 8
_PIECE: Final = 1 << 14
"""Rows that are made at once: they stay in the processor's cache."""
_KEY_WORDS: Final = KEY_BYTES // WORD_BYTES
_CHECK_BYTES: Final = 4
_HALF: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)


def row_bytes(record_bytes: int) -> int:
    """Return how many bytes a row of such records has."""
    return -(-(KEY_BYTES + record_bytes + _CHECK_BYTES) // WORD_BYTES) * WORD_BYTES


def rows_of(keys: Keys, records: Records) -> Iterator[Rows]:
    """Yield distinct keys and their records as rows in the order of the keys, some at a time."""
    order = _order(keys)
    words = row_bytes(records.itemsize) // WORD_BYTES
    compiled = compiled_rows()
    for first in range(0, len(order), _PIECE):
        mine = order[first : first + _PIECE]
        if compiled is not None:
            yield compiled.rows(keys, records, mine, words, _factors(words))
            continue
        rows = np.zeros((len(mine), words), np.uint64)
        rows[:, :_KEY_WORDS] = keys[mine]
        _records(rows, records.itemsize)[:] = records[mine]
        rows[:, -1] |= _checks(rows) << _HALF
        yield rows


def records_of(rows: Rows, record_bytes: int) -> Records:
    """Return the rows' records."""
    return _records(rows, record_bytes).copy()


def keys_of(rows: Rows) -> Keys:
    """Return the rows' keys."""
    return rows[:, :_KEY_WORDS]


def sound(rows: Rows) -> bool:
    """Return whether all rows are what was written."""
    compiled = compiled_rows()
    if compiled is not None:
        return compiled.sound(rows, _factors(rows.shape[1]))
    return bool((rows[:, -1] >> _HALF == _checks(rows)).all())


def latest(parts: list[Rows]) -> Rows:
    """Return sorted parts as one, of rows with the same key the one in the last of the parts."""
    compiled = compiled_rows()
    if compiled is not None:
        return compiled.merged(parts)
    rows = np.concatenate(parts)
    words = rows[:, 0].copy()
    order: IntArray = np.argsort(words, kind="stable")  # merges what is sorted already
    ordered = words[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return rows[order]
    order = np.lexsort((rows[:, 1], words))
    keys = keys_of(rows)[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (keys[1:] != keys[:-1]).any(axis=1)
    return rows[order[last]]


def _order(keys: Keys) -> Words:
    """Return the places `(n,)` of distinct keys by their first words, then by the second."""
    compiled = compiled_rows()
    order = None if compiled is None else compiled.order(keys)
    if order is not None:
        return order
    words = keys[:, 0].copy()
    places = np.argsort(words)
    ordered = words[places]
    if (ordered[1:] == ordered[:-1]).any():
        places = np.lexsort((keys[:, 1], words))
    return places.astype(np.uint64)


def _records(rows: Rows, record_bytes: int) -> Records:
    """Return the place of the records in the rows, which are one after the other."""
    octets = rows.reshape(-1).view(f"V{rows.shape[1] * WORD_BYTES}")
    return octets.getfield(f"V{record_bytes}", KEY_BYTES)


def _checks(rows: Rows) -> NDArray[np.uint64]:
    """Return what the rows' checks should be, by all their bits but those of the check.

    The upper half of a sum of their words, each times a factor that has nothing to do with the
    others' (multilinear hashing: Lemire and Kaser, "Strongly universal string hashing is fast",
    2014): of what is changed at random one in 2^32 has the same.
    """
    factors = _factors(rows.shape[1])
    sums = rows[:, :-1] @ factors[1:-1]
    sums += (rows[:, -1] & _LOW) * factors[-1] + factors[0]
    found: NDArray[np.uint64] = sums >> _HALF
    return found


@lru_cache
def _factors(words: int) -> NDArray[np.uint64]:
    """Return a start and the factors of the words, `(words + 1,)`, odd."""
    drawn = np.frombuffer(shake_256(b"join store").digest(WORD_BYTES * (words + 1)), "<u8")
    return drawn.astype(np.uint64) | np.uint64(1)
