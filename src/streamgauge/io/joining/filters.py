"""Filters: which keys a bucket cannot have, told in memory, so that most look-ups touch no table.

A key of a new prediction is in no bucket at all, and that of a label in one of ten: asking every
table costs ten times what asking the right one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.core.joining.store import KEY_BYTES

Words = NDArray[np.uint64]

SEGMENT_KEYS: Final = 1 << 20
"""Keys that a segment takes at most."""
_SMALLEST: Final = 1 << 12
_BITS_PER_KEY: Final = 16
_KEYS_PER_WORD: Final = 64 // _BITS_PER_KEY
_PLACES: Final = 6
_HASH: Final = np.dtype("<u8")


class Marks(NamedTuple):
    """What n keys mark in a segment: `bits (n,) uint64` in one of its words.

    That is `place (n,) uint64` modulo the number of words, a power of two.
    """

    place: Words
    bits: Words

    def some(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Marks":
        """Return the marks of some of the keys."""
        return Marks(self.place[chosen], self.bits[chosen])


def marks(keys: Sequence[bytes]) -> Marks:
    """Return the marks of keys, which are taken for random: a word, and six bits in it."""
    return marks_of(b"".join(keys))


def marks_of(keys: bytes) -> Marks:
    """Return the marks of keys that are one after the other."""
    halves = np.frombuffer(keys, dtype=_HASH).reshape(-1, KEY_BYTES // 8)
    rest = halves[:, 1].astype(np.uint64)
    bits = np.zeros(len(rest), np.uint64)
    one, low, step = np.uint64(1), np.uint64(63), np.uint64(6)
    for _ in range(_PLACES):
        bits |= one << (rest & low)
        rest >>= step
    return Marks(halves[:, 0].astype(np.uint64), bits)


@dataclass(slots=True)
class Segment:
    """A Bloom filter in words of 64 bits: `words (w,) uint64` with the marks of `count` keys.

    All bits of a key are in one word, one memory access a key (Putze, Sanders, Singler, "Cache-,
    hash- and space-efficient Bloom filters", 2007). With four keys a word it says "perhaps" to some
    0.25 % of the keys that it does not have.
    """

    words: Words
    count: int

    @classmethod
    def empty(cls, keys: int) -> "Segment":
        """Return a segment without keys, for so many or the number of keys that comes next."""
        most = max(_SMALLEST, min(keys, SEGMENT_KEYS))
        return cls(np.zeros((1 << (most - 1).bit_length()) // _KEYS_PER_WORD, np.uint64), 0)

    @classmethod
    def restored(cls, data: bytes, count: int) -> "Segment":
        """Return the segment whose `data` this is; ValueError where it cannot be one's."""
        words = len(data) // _HASH.itemsize
        if len(data) % _HASH.itemsize or words & (words - 1) or words * _KEYS_PER_WORD < count:
            raise ValueError(f"a segment of {len(data)} bytes for {count} keys")
        return cls(np.frombuffer(data, dtype=_HASH).astype(np.uint64), count)

    @property
    def data(self) -> bytes:
        """The words as bytes, the same on every machine."""
        return self.words.astype(_HASH).tobytes()

    @property
    def room(self) -> int:
        """How many further keys it takes."""
        return max(0, min(SEGMENT_KEYS, len(self.words) * _KEYS_PER_WORD) - self.count)

    def add(self, keys: Marks) -> None:
        """Add keys."""
        np.bitwise_or.at(self.words, self._within(keys), keys.bits)
        self.count += len(keys.place)

    def perhaps(self, keys: Marks) -> NDArray[np.bool_]:
        """Return which keys it may have; where it says no, it has not."""
        missing: Words = keys.bits & ~self.words[self._within(keys)]
        all_there: NDArray[np.bool_] = missing == 0
        return all_there

    def _within(self, keys: Marks) -> Words:
        return keys.place & np.uint64(len(self.words) - 1)


class Filter:
    """The keys of one bucket, in as many segments as they need.

    Each takes as many as those before together, and the first as many as are `expected`: 2 MB for
    every small bucket of every model would be the largest part of what a process holds.
    """

    def __init__(self, segments: Sequence[Segment] = (), expected: int = 0) -> None:
        self.segments = list(segments)
        self._expected = expected

    @property
    def count(self) -> int:
        """How many keys it has."""
        return sum(segment.count for segment in self.segments)

    def perhaps(self, keys: Marks) -> NDArray[np.bool_]:
        """Return which keys the bucket may have; where this says no, it has not."""
        found = np.zeros(len(keys.place), np.bool_)
        for segment in self.segments:
            found |= segment.perhaps(keys)
        return found

    def add(self, keys: Marks) -> NDArray[np.bool_]:
        """Add keys; return which of them it did not have, the others took no room."""
        new = ~self.perhaps(keys)
        rest = keys.some(new)
        while len(rest.place):
            if not self.segments or not self.segments[-1].room:
                room = max(self._expected, self.count, len(rest.place))
                self.segments.append(Segment.empty(room))
            last = self.segments[-1]
            taken = slice(0, last.room)
            after = slice(last.room, None)
            last.add(rest.some(taken))
            rest = rest.some(after)
        return new
