"""Payloads: bytes that are compressed once and served many times, each time with a short tail."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

# Magic, method deflate, no flags, no time, no hints, unknown system (RFC 1952).
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# Level 1 halves the time of the default and still gets a fifteenth of the size or better.
_LEVEL: Final = 1


class _Deflated(NamedTuple):
    data: bytes
    checksum: int


@dataclass(frozen=True)
class Payload:
    """Immutable bytes; their compressed form is made when it is first asked for, and kept."""

    data: bytes

    def followed_by(self, tail: bytes) -> bytes:
        """Return the bytes and the tail."""
        return self.data + tail

    def gzip_followed_by(self, tail: bytes) -> bytes:
        """Return the bytes and the tail as one gzip member.

        The kept part ends on a byte boundary without being final, so that the compressed tail can
        follow it: readers that know a single member only read everything.
        """
        head = self._deflated
        compressor = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        end = compressor.compress(tail) + compressor.flush()
        checksum = zlib.crc32(tail, head.checksum)
        size = (len(self.data) + len(tail)) & 0xFFFF_FFFF
        trailer = checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
        return b"".join((_GZIP_HEADER, head.data, end, trailer))

    @cached_property
    def _deflated(self) -> _Deflated:
        compressor = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        data = compressor.compress(self.data) + compressor.flush(zlib.Z_FULL_FLUSH)
        return _Deflated(data, zlib.crc32(self.data))
