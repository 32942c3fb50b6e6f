"""Catalogue: the one file that says what a store is, and which runs its buckets have."""

import zlib
from pathlib import Path
from typing import Final

import msgspec

from streamgauge.core.joining.store import Space
from streamgauge.io.joining.run import RunEntry

FORMAT: Final = 4
"""Version of what is in the folder; a store of another one is begun anew."""
NAME: Final = "catalogue"
_NEW: Final = "catalogue.new"
_CHECK_BYTES: Final = 4


class UnusableError(Exception):
    """A folder holds a store that cannot be gone on with; the text says why."""


class BucketEntry(msgspec.Struct, frozen=True, array_like=True):
    """A bucket, how many records it has, and its runs, oldest first."""

    space: Space
    bucket: int
    records: int
    runs: tuple[RunEntry, ...]


class Catalogue(msgspec.Struct, frozen=True):
    """What a store is made for, its buckets, and the caller's value.

    `begun` is how many runs were ever begun.
    """

    format: int
    fingerprint: str
    begun: int
    buckets: tuple[BucketEntry, ...]
    meta: bytes


def write(folder: Path, catalogue: Catalogue) -> None:
    """Put a catalogue in the place of the one before, all or nothing."""
    data = msgspec.msgpack.encode(catalogue)
    check = zlib.crc32(data).to_bytes(_CHECK_BYTES, "little")
    (folder / _NEW).write_bytes(check + data)
    (folder / _NEW).replace(folder / NAME)


def read(folder: Path, fingerprint: str) -> Catalogue | None:
    """Return the catalogue, None where there is none.

    Raises UnusableError where it is damaged, or of another format or fingerprint.
    """
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return None
    check, data = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if zlib.crc32(data).to_bytes(_CHECK_BYTES, "little") != check:
        raise UnusableError("its catalogue is not what was written")
    try:
        head = msgspec.msgpack.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise UnusableError("it has another format")
        catalogue = msgspec.convert(head, Catalogue)
    except msgspec.MsgspecError as error:
        raise UnusableError(f"its catalogue cannot be read: {error}") from error
    if catalogue.fingerprint != fingerprint:
        raise UnusableError("it was made for another configuration")
    return catalogue
