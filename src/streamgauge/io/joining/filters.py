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
"""Keys that a segment takes."""
_BITS_PER_KEY: Final = 16
_PLACES: Final = 6
_SEGMENT_WORDS: Final = SEGMENT_KEYS * _BITS_PER_KEY // 64
_HASH: Final = np.dtype("<u8")
SEGMENT_BYTES: Final = _SEGMENT_WORDS * 8


class Marks(NamedTuple):
    """What n keys mark in a segment: `bits (n,) uint64` in the words `place (n,) uint64`."""

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
    return Marks(halves[:, 0] & np.uint64(_SEGMENT_WORDS - 1), bits)


@dataclass(slots=True)
class Segment:
    """A Bloom filter in words of 64 bits: `words (2^18,) uint64` with the marks of `count` keys.

    All bits of a key are in one word, one memory access a key (Putze, Sanders, Singler, "Cache-,
    hash- and space-efficient Bloom filters", 2007). At 2^20 keys it says "perhaps" to some 0.25 %
    of the keys that it does not have.
    """

    words: Words
    count: int

    @classmethod
    def empty(cls) -> "Segment":
        """Return a segment without keys."""
        return cls(np.zeros(_SEGMENT_WORDS, np.uint64), 0)

    @classmethod
    def restored(cls, data: bytes, count: int) -> "Segment":
        """Return the segment whose `data` this is; ValueError where it cannot be one's."""
        if len(data) != SEGMENT_BYTES:
            raise ValueError(f"a segment of {len(data)} bytes instead of {SEGMENT_BYTES}")
        return cls(np.frombuffer(data, dtype=_HASH).astype(np.uint64), count)

    @property
    def data(self) -> bytes:
        """The words as bytes, the same on every machine."""
        return self.words.astype(_HASH).tobytes()

    @property
    def room(self) -> int:
        """How many further keys it takes."""
        return SEGMENT_KEYS - self.count

    def add(self, keys: Marks) -> None:
        """Add keys."""
        np.bitwise_or.at(self.words, keys.place, keys.bits)
        self.count += len(keys.place)

    def perhaps(self, keys: Marks) -> NDArray[np.bool_]:
        """Return which keys it may have; where it says no, it has not."""
        missing: Words = keys.bits & ~self.words[keys.place]
        all_there: NDArray[np.bool_] = missing == 0
        return all_there


class Filter:
    """The keys of one bucket, in as many segments as they need."""

    def __init__(self, segments: Sequence[Segment] = ()) -> None:
        self.segments = list(segments)

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
                self.segments.append(Segment.empty())
            last = self.segments[-1]
            taken = slice(0, last.room)
            after = slice(last.room, None)
            last.add(rest.some(taken))
            rest = rest.some(after)
        return new
