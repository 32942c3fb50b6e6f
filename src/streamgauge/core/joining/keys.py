"""Keys: prediction ids as hashes of one length, by which records are found again."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b, shake_256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.core.joining.hashing import hashing
from streamgauge.core.joining.ids import PackedIds
from streamgauge.core.joining.store import KEY_BYTES, Keys

SCHEME: Final = 2
"""Grows when keys become others: a store tells by it that its records are found no more."""

LONGEST: Final = 64
"""Ids of more bytes in UTF-8 are hashed one by one."""
_WORDS: Final = LONGEST // 4
_LANES: Final = 4
_HALF: Final = np.uint64(32)

Words = NDArray[np.uint64]


def keys(model: str, ids: Iterable[str]) -> Keys:
    """Return the key of every id, `(n, 2)`, the same in every process and on every machine.

    An id's 32-bit words w_i and its length, as one word more, are hashed four times by
    h = ⌊(m + Σ m_i w_i mod 2^64) / 2^32⌋ with factors drawn from the model's name (multilinear
    hashing: Lemire and Kaser, "Strongly universal string hashing is fast", 2014). Two ids share a
    key with a chance of 2^-128 over the factors, so among n ids of a stream any do with about
    n² / 2^129: 1.5e-23 for 10^8. A mix that loses nothing spreads ids that are counted up. Longer
    ids have the BLAKE2b (RFC 7693) of the model's name, led by its length, and the id.

    The factors are no secret: whoever chooses ids can choose two that share a key. That lets him do
    nothing that sending one id twice would not: the second prediction is a duplicate.

    >>> keys("m", ["p1"]).astype("<u8").tobytes().hex()
    '10a4f5e7da62c62efb97180dcce56ca8'
    """
    packed = PackedIds.of(ids)
    lengths = packed.ends - packed.begins
    if lengths.max(initial=0) <= LONGEST:
        return _short(model, packed)
    found = np.empty((len(packed), 2), np.uint64)
    long = lengths > LONGEST
    digests = [_long(model, packed.bytes_of(place)) for place in np.flatnonzero(long).tolist()]
    found[long] = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
    found[~long] = _short(model, packed.take(np.flatnonzero(~long)))
    return found


def _short(model: str, ids: PackedIds) -> Keys:
    """Return the keys of ids of at most `LONGEST` bytes each."""
    compiled = hashing()
    if compiled is not None:
        return compiled.keys(ids, _factors(model))
    octets = ids.text
    if not len(octets) or not len(ids):
        octets = np.zeros(1, np.uint8)  # something to take nothing from
    lengths = ids.ends - ids.begins
    words = -(-int(lengths.max(initial=0)) // 4)
    place = np.arange(4 * words)
    table = octets.take(ids.begins[:, None] + place, mode="clip")
    table[place >= lengths[:, None]] = 0
    factors = _factors(model)
    lanes = factors[_WORDS] + lengths[:, None].astype(np.uint64) * factors[_WORDS + 1]
    for column, factor in zip(table.view("<u4").T, factors[:words], strict=True):
        lanes += column.astype(np.uint64)[:, None] * factor
    high = lanes >> _HALF
    return _mixed((high[:, ::2] << _HALF) | high[:, 1::2])


def _mixed(words: Words) -> Words:
    """Return words whose bits all depend on all bits of theirs, one to one (MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        words = (words ^ (words >> np.uint64(33))) * np.uint64(factor)
    return words ^ (words >> np.uint64(33))


@lru_cache(maxsize=64)
def _factors(model: str) -> Words:
    """Return what a model's words, the start and the length are multiplied by, `(18, 4)`."""
    drawn = shake_256(_named(model)).digest(8 * _LANES * (_WORDS + 2))
    return np.frombuffer(drawn, "<u8").astype(np.uint64).reshape(_WORDS + 2, _LANES)


def _long(model: str, text: bytes) -> bytes:
    return blake2b(_named(model) + text, digest_size=KEY_BYTES).digest()


def _named(model: str) -> bytes:
    name = model.encode("utf-8", "surrogatepass")
    return len(name).to_bytes(8, "little") + name
