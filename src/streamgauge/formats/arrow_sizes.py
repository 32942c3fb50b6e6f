"""How large an Arrow IPC stream becomes, read off its headers before a byte is decompressed.

Arrow takes a compressed buffer's claim of its size at its word and allocates that much. The claims
stand in front of the buffers; where those are stands in the header of each message, a flatbuffer
(https://arrow.apache.org/docs/format/Columnar.html, format/Message.fbs).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, NamedTuple

_U16: Final = Struct("<H").unpack_from
_I32: Final = Struct("<i").unpack_from
_U32: Final = Struct("<I").unpack_from
_I64: Final = Struct("<q").unpack_from
_PAIR: Final = Struct("<qq")
_DICTIONARY, _RECORDS = 2, 3
_KEPT_PLAIN: Final = -1
"""The claim of a buffer that compression would not have made smaller."""


class Size(NamedTuple):
    """What one message of a stream declares: bytes of its buffers, longest array in it."""

    bytes: int
    longest: int


def message_size(metadata: bytes, body: memoryview) -> Size:
    """Return what a message declares.

    Raises ValueError, IndexError or struct.error if the header is no message's.
    """
    message = _Table.root(metadata)
    kind = message.byte(1)
    if kind not in (_DICTIONARY, _RECORDS):
        return Size(0, 0)
    records = message.table(2)
    if records is not None and kind == _DICTIONARY:
        records = records.table(1)
    if records is None:
        return Size(0, 0)
    longest = max(records.pairs(1), default=(0, 0))[0]
    if records.table(3) is None:
        return Size(len(body), max(longest, records.int64(0)))
    total = 0
    for offset, length in records.pairs(2):
        if length == 0:
            continue
        if offset < 0:
            raise ValueError("a buffer begins before its message")
        (claim,) = _I64(body, offset)
        # A negative claim other than this one is an error, which Arrow reports.
        total += length if claim == _KEPT_PLAIN else max(claim, 0)
    return Size(total, max(longest, records.int64(0)))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a flatbuffer: where it begins."""

    data: Any
    start: int

    @classmethod
    def root(cls, data: bytes) -> "_Table":
        return cls(data, _U32(data, 0)[0])

    def byte(self, field: int) -> int:
        place = self._place(field)
        return 0 if place is None else int(self.data[place])

    def int64(self, field: int) -> int:
        place = self._place(field)
        return 0 if place is None else int(_I64(self.data, place)[0])

    def table(self, field: int) -> "_Table | None":
        place = self._place(field)
        return None if place is None else _Table(self.data, place + _U32(self.data, place)[0])

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """Yield the entries of a vector of structs of two 64-bit integers."""
        place = self._place(field)
        if place is None:
            return iter(())
        vector = place + _U32(self.data, place)[0]
        first, size = vector + 4, _U32(self.data, vector)[0] * _PAIR.size
        if first + size > len(self.data):
            raise ValueError("a vector ends behind its header")
        return _PAIR.iter_unpack(self.data[first : first + size])

    def _place(self, field: int) -> int | None:
        """Where a field's value stands; None where it has its default."""
        if self.start < 0:
            raise ValueError("a table begins before its header")
        table = self.start - _I32(self.data, self.start)[0]
        if table < 0:
            raise ValueError("a table begins before its header")
        entry = 4 + 2 * field
        if entry + 2 > _U16(self.data, table)[0]:
            return None
        offset = _U16(self.data, table + entry)[0]
        return self.start + offset if offset else None
