"""Filters: which keys a run cannot have, told in memory, so that most look-ups read no file.

A key of a new prediction is in no run at all, and that of a label in one of some ten: looking for
it in every run costs ten times what looking in the right one does.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray
from streamgauge.core.joining.store import Keys
from streamgauge.io.joining.compiled_rows import Words

_KEYS_PER_WORD: Final = 4
_PLACES: Final = 6


class Marks(NamedTuple):
    """What n keys mark in a filter: `bits (n,) uint64` in one of its words.

    That is `place (n,) uint64` modulo the number of words, a power of two.
    """

    place: Words
    bits: Words


def marks(keys: Keys) -> Marks:
    """Return the marks of keys, which are taken for random: a word, and six bits in it."""
    rest = keys[:, 1].copy()
    bits = np.zeros(len(keys), np.uint64)
    one, low, step = np.uint64(1), np.uint64(63), np.uint64(6)
    for _ in range(_PLACES):
        bits |= one << (rest & low)
        rest >>= step
    return Marks(keys[:, 0].copy(), bits)


@dataclass(slots=True, frozen=True)
class Filter:
    """A Bloom filter in `words (w,) uint64`, of which a key marks six bits in one.

    So a key costs one memory access (Putze, Sanders, Singler, "Cache-, hash- and space-efficient
    Bloom filters", 2007). With four keys a word it says "perhaps" to some 0.25 % of the keys that
    it does not have.
    """

    words: Words

    @classmethod
    def empty(cls, keys: int) -> "Filter":
        """Return a filter without keys, for so many."""
        words = max(1, -(-keys // _KEYS_PER_WORD))
        return cls(np.zeros(1 << (words - 1).bit_length(), np.uint64))

    def add(self, keys: Marks) -> None:
        """Add keys."""
        np.bitwise_or.at(self.words, self._within(keys), keys.bits)

    def perhaps(self, keys: Marks) -> BoolArray:
        """Return which keys it may have; where it says no, it has not."""
        missing: Words = keys.bits & ~self.words[self._within(keys)]
        all_there: BoolArray = missing == 0
        return all_there

    def _within(self, keys: Marks) -> Words:
        return keys.place & np.uint64(len(self.words) - 1)
