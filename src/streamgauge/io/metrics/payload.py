"""Payloads: bytes that are joined and compressed once, and served many times with a short tail."""

import zlib
from threading import Lock
from typing import Final, NamedTuple

from streamgauge.deflate import deflated_raw

# Magic, method deflate, no flags, no time, no hints, unknown system (RFC 1952).
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class _Deflated(NamedTuple):
    data: bytes
    checksum: int
    size: int


class Payload:
    """Immutable bytes, given in parts that payloads can have in common.

    The whole and its compressed form are made when they are first asked for, and kept; whoever asks
    meanwhile waits for the one that is being made.
    """

    __slots__ = ("_deflated", "_making", "_parts", "_whole")

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self._whole: bytes | None = None
        self._deflated: _Deflated | None = None
        self._making = Lock()

    @property
    def data(self) -> bytes:
        """Return all bytes, the same object every time."""
        if self._whole is None:
            with self._making:
                if self._whole is None:
                    self._whole = b"".join(self._parts)
        return self._whole

    def is_ready(self, *, gzip: bool) -> bool:
        """Tell whether the bytes, or their compressed form, are there already."""
        return (self._deflated if gzip else self._whole) is not None

    def make_ready(self, *, gzip: bool) -> None:
        """Make the bytes, or their compressed form, where they are not there."""
        if gzip:
            self._packed()
        else:
            _ = self.data

    def followed_by(self, tail: bytes) -> bytes:
        """Return the bytes and the tail."""
        return self.data + tail

    def gzip_followed_by(self, tail: bytes) -> bytes:
        """Return the bytes and the tail as one gzip member.

        The kept part ends on a byte boundary without being final, so that the compressed tail can
        follow it: readers that know a single member only read everything.
        """
        head = self._packed()
        end = deflated_raw(tail, final=True)
        checksum = zlib.crc32(tail, head.checksum)
        size = (head.size + len(tail)) & 0xFFFF_FFFF
        trailer = checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
        return b"".join((_GZIP_HEADER, head.data, end, trailer))

    def _packed(self) -> _Deflated:
        if self._deflated is None:
            with self._making:
                if self._deflated is None:
                    self._deflated = self._deflate()
        return self._deflated

    def _deflate(self) -> _Deflated:
        # All at once: the interpreter is let go for as long as that takes, and is waited for once.
        data = b"".join(self._parts) if self._whole is None else self._whole
        return _Deflated(deflated_raw(data, final=False), zlib.crc32(data), len(data))
