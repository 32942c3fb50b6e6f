"""Catalogue: the one record that says what a store is and which buckets it has."""

from typing import Final

import msgspec

from streamgauge.io.joining.bucket import BucketEntry

FORMAT: Final = 2
"""Version of what is in the folder; a store of another one is begun anew."""


class UnusableError(Exception):
    """A folder holds a store that cannot be gone on with; the text says why."""


class Catalogue(msgspec.Struct, frozen=True):
    """What a store is made for, how many tables it has ever made, and its buckets."""

    format: int
    fingerprint: str
    made: int
    buckets: tuple[BucketEntry, ...]


def encoded(fingerprint: str, made: int, buckets: tuple[BucketEntry, ...]) -> bytes:
    """Return the catalogue as it is written."""
    return msgspec.json.encode(Catalogue(FORMAT, fingerprint, made, buckets))


def decoded(data: bytes, fingerprint: str) -> Catalogue:
    """Return a catalogue; UnusableError where it is of another format or fingerprint."""
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise UnusableError("it has another format")
        catalogue = msgspec.convert(head, Catalogue)
    except msgspec.MsgspecError as error:
        raise UnusableError(f"its catalogue cannot be read: {error}") from error
    if catalogue.fingerprint != fingerprint:
        raise UnusableError("it was made for another configuration")
    return catalogue
