"""Filters: which keys a bucket cannot have, told in memory, so that most look-ups go no further.

A key of a new prediction is in no bucket at all, and that of a label in one of some ten: looking
for it in every run of every bucket costs a hundred times what looking in the right one does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import Keys
from streamgauge.io.joining.compiled_rows import Prefixes, Words, compiled_rows

_KEYS_PER_WORD: Final = 4
_BITS: Final = 6
_PLACE: Final = np.uint64(36)
"""The bits of a number above those that say which six."""
_FACTORS: Final = np.array([0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD], np.uint64)
"""Odd, with bits of no order: what prefixes are spread by."""
_HALF: Final = np.uint64(32)


@dataclass(slots=True)
class Filter:
    """A Bloom filter in `words (w,) uint64`, of which a key marks six bits in one.

    So a key costs one memory access (Putze, Sanders, Singler, "Cache-, hash- and space-efficient
    Bloom filters", 2007). With four keys a word it says "perhaps" to some 0.25 % of the keys that
    it does not have. It goes by the keys' prefixes alone, which are random: they are in memory, so
    a filter that has become too small is made anew from them.
    """

    words: Words
    keys: int = 0
    """How many were added."""

    @classmethod
    def of(cls, parts: Iterable[Prefixes]) -> "Filter":
        """Return a filter of these keys, with room for as many more."""
        parts = list(parts)
        words = max(1, -(-2 * sum(map(len, parts)) // _KEYS_PER_WORD))
        found = cls(np.zeros(1 << (words - 1).bit_length(), np.uint64))
        for part in parts:
            found.add(part)
        return found

    def has_room(self, keys: int) -> bool:
        """Return whether so many keys can be added."""
        return self.keys + keys <= _KEYS_PER_WORD * len(self.words)

    def add(self, prefixes: Prefixes) -> None:
        """Add keys by their prefixes."""
        self.keys += len(prefixes)
        compiled = compiled_rows()
        if compiled is not None:
            compiled.mark(self.words, prefixes)
            return
        place, bits = self._marks(prefixes)
        np.bitwise_or.at(self.words, place, bits)

    def perhaps(self, keys: Keys) -> IntArray:
        """Return the places of keys that it may have; the others it has not."""
        compiled = compiled_rows()
        if compiled is not None:
            return compiled.sift(self.words, keys)
        place, bits = self._marks(prefixes_of(keys))
        return np.flatnonzero(bits & ~self.words[place] == 0)

    def _marks(self, prefixes: Prefixes) -> tuple[Words, Words]:
        """Return the word that each key marks, and the bits in it."""
        rest = prefixes.astype(np.uint64) * _FACTORS[0]
        rest = (rest ^ (rest >> _HALF)) * _FACTORS[1]
        place = (rest >> _PLACE) & np.uint64(len(self.words) - 1)
        bits = np.zeros(len(prefixes), np.uint64)
        one, low, step = np.uint64(1), np.uint64(63), np.uint64(6)
        for _ in range(_BITS):
            bits |= one << (rest & low)
            rest >>= step
        return place, bits


def prefixes_of(keys: Keys) -> Prefixes:
    """Return the upper halves of the keys' first words."""
    found: Prefixes = (keys[:, 0] >> _HALF).astype(np.uint32)
    return found
