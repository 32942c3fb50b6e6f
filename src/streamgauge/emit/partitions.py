"""Which partition the Kafka client would send a key to, so that batches can be of one partition.

The hash functions of librdkafka's partitioners `consistent` (CRC-32, the default of its clients)
and `murmur2` (the Java client's); held against the client by a test.
"""

from collections.abc import Callable
from typing import Final
from zlib import crc32

DEFAULT: Final = "consistent_random"
_MASK: Final = 0xFFFFFFFF
_MIX: Final = 0x5BD1E995


def murmur2(key: bytes) -> int:
    """Return Kafka's 32-bit MurmurHash2 of a key, seed 0x9747b28c (Austin Appleby, 2008)."""
    mixed = (0x9747B28C ^ len(key)) & _MASK
    whole = len(key) & ~3
    for place in range(0, whole, 4):
        word = int.from_bytes(key[place : place + 4], "little") * _MIX & _MASK
        word = (word ^ word >> 24) * _MIX & _MASK
        mixed = mixed * _MIX & _MASK ^ word
    if len(key) > whole:
        mixed = (mixed ^ int.from_bytes(key[whole:], "little")) * _MIX & _MASK
    mixed = (mixed ^ mixed >> 13) * _MIX & _MASK
    return mixed ^ mixed >> 15


def _positive_murmur2(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


HASHES: Final[dict[str, Callable[[bytes], int]]] = {
    "consistent": crc32,
    "consistent_random": crc32,
    "murmur2": _positive_murmur2,
    "murmur2_random": _positive_murmur2,
}
"""The hash of each partitioner that depends on the key alone; keys are never empty here."""
