"""State records: one part of the state as records of the compacted state topic.

A part becomes one chunk or several, each a record under a key of its own, so that compaction keeps
the latest of each. Every record names the generation that wrote it, its number and how many belong
together, and carries a checksum over all of that, its key and its body: a flipped bit, a cut, a
missing chunk or chunks of two generations never go unnoticed.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from streamgauge.core.state import Plain
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.plain_data import DamagedError, NotPlainError, pieces, unpack

VERSION: Final = 1
CHUNK_BYTES: Final = 880_000
"""Body of a record at most: with key and header it stays below 900 kB, under Kafka's default."""
LONGEST_KEY: Final = 1024
"""Bytes of a part's key at most."""
PART, MANIFEST = b"p", b"m"
"""What a record's key begins with: parts of the state, or what tells that they are complete."""

_MAGIC: Final = b"SGst"
_HEAD: Final = struct.Struct("<4sBIQII")
"""Magic, format version, owner epoch, sequence number, chunk number, chunk count; the checksum
follows. These stay the same in every format, so that a newer one is told from damage."""
DIGEST_BYTES: Final = 16
_LARGEST_DIGEST: Final = (1 << 8 * DIGEST_BYTES) - 1
_REMEDY: Final = (
    "start with --discard-state to begin anew from the committed offsets, without what was learned"
    " and counted so far"
)

Record = tuple[bytes, bytes]
"""Key and value."""
Records = Mapping[bytes, tuple[int, bytes]]
"""What a compacted topic comes down to: the latest value of each key, with its offset."""


class StateError(StreamgaugeError):
    """What the state topic holds cannot be taken for the state; the text says which record."""

    @classmethod
    def at(cls, where: str, what: str) -> "StateError":
        """Return the error for one place in the state topic, with the remedy."""
        return cls(f"state topic: {where}: {what}; {_REMEDY}")


class Generation(NamedTuple):
    """The checkpoint that wrote a record: its owner's epoch and its sequence number."""

    epoch: int
    sequence: int


class Chunk(NamedTuple):
    """One record, verified: which part it belongs to and where in it."""

    kind: bytes
    part: str
    number: int
    of: int
    """How many chunks the part has."""
    generation: Generation
    digest: int
    body: memoryview


def encode(key: str, data: Plain, generation: Generation, kind: bytes = PART) -> list[Record]:
    """Return the records of a part, in the order of their chunks.

    Raises NotPlainError for data that would not come back the same, or a key that is too long.
    """
    try:
        bodies = deque(_bodies(pieces(data)))
    except NotPlainError as error:
        raise NotPlainError(f"state part {key!r}{error}") from None
    if len(key.encode()) > LONGEST_KEY:
        raise NotPlainError(f"state part {key[:80]!r}...: the key has over {LONGEST_KEY} bytes")
    count = len(bodies)
    # What is in a record is let go of: of a large part there is never more than all of it.
    return [
        _record(kind, key, number, count, generation, bodies.popleft()) for number in range(count)
    ]


def _bodies(packed: Iterable[bytes]) -> Iterator[list[memoryview]]:
    """Cut packed data into parts of `CHUNK_BYTES`, the last of which may have less.

    Yields each as the views that it consists of.
    """
    body: list[memoryview] = []
    room = CHUNK_BYTES
    for piece in packed:
        rest = memoryview(piece)
        while rest:
            body.append(rest[:room])
            room -= len(body[-1])
            rest = rest[len(body[-1]) :]
            if not room:
                yield body
                body, room = [], CHUNK_BYTES
    if body:
        yield body


def decode(chunks: Iterable[Chunk]) -> Plain:
    """Return the data of a part from all its chunks, in any order.

    Raises StateError where one is missing or they are of several generations.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.number)
    first = ordered[0]
    where = "the manifest" if first.kind == MANIFEST else f"part {first.part!r}"
    generations = {chunk.generation for chunk in ordered}
    if len(generations) > 1:
        raise StateError.at(where, f"has chunks of {len(generations)} checkpoints")
    if [chunk.number for chunk in ordered] != list(range(first.of)):
        there = ", ".join(str(chunk.number) for chunk in ordered)
        raise StateError.at(where, f"has {first.of} chunks, and only {there} are there")
    try:
        return unpack(b"".join(chunk.body for chunk in ordered))
    except DamagedError as error:
        raise StateError.at(where, str(error)) from error


def state_key(part: str, number: int = 0, kind: bytes = PART) -> bytes:
    """Return the key of the record of one chunk of a part."""
    return b"%s:%s#%d" % (kind, part.encode(), number)


def read(key: bytes, value: bytes, offset: int) -> Chunk:
    """Return a record of the state topic, verified. Raises StateError, naming it."""
    where = f"record {_shown(key)} at offset {offset}"
    if key[:2] not in (PART + b":", MANIFEST + b":"):
        raise StateError.at(where, "was not written by streamgauge")
    if len(value) < _HEAD.size + DIGEST_BYTES or value[: len(_MAGIC)] != _MAGIC:
        raise StateError.at(where, "is damaged or was not written by streamgauge")
    head: tuple[bytes, int, int, int, int, int] = _HEAD.unpack_from(value)
    _, version, epoch, sequence, number, count = head
    digest = value[_HEAD.size : _HEAD.size + DIGEST_BYTES]
    body = memoryview(value)[_HEAD.size + DIGEST_BYTES :]
    if _digest(key, value[: _HEAD.size], body) != digest:
        raise StateError.at(where, "is damaged: its checksum is wrong")
    if version != VERSION:
        raise StateError.at(
            where, f"has format {version}, this release reads {VERSION}: run the one that wrote it"
        )
    part, _, last = key[2:].rpartition(b"#")
    if last != b"%d" % number or number >= count:
        raise StateError.at(where, f"says that it is chunk {number} of {count}")
    return Chunk(
        key[:1], part.decode(), number, count, Generation(epoch, sequence), digest_of(value), body
    )


def digest_of(value: bytes) -> int:
    """Return the checksum that a record carries, as a number."""
    return int.from_bytes(value[_HEAD.size : _HEAD.size + DIGEST_BYTES], "little")


def total(digests: Iterable[int]) -> int:
    """Return the digest of a set of records or parts: the sum of theirs, in any order."""
    return sum(digests) & _LARGEST_DIGEST


def _record(
    kind: bytes,
    part: str,
    number: int,
    count: int,
    generation: Generation,
    body: Iterable[memoryview],
) -> Record:
    key = state_key(part, number, kind)
    head = _HEAD.pack(_MAGIC, VERSION, *generation, number, count)
    return key, b"".join((head, _digest(key, head, *body), *body))


def _digest(key: bytes, head: bytes, *body: memoryview) -> bytes:
    state = hashlib.blake2b(struct.pack("<I", len(key)), digest_size=DIGEST_BYTES)
    state.update(key)
    state.update(head)
    for each in body:
        state.update(each)
    return state.digest()


def _shown(key: bytes) -> str:
    return repr(key[:120].decode(errors="replace"))
