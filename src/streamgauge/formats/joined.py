"""Many byte strings in one array, each followed by a NUL: no object for each until it is asked for.

That is how compiled code reads and writes them (plain_events.c, messages.c).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, IntArray

PAD: Final = bytes(16)
"""Follows the last of them: words of eight bytes are read, beyond its end too."""


@dataclass(frozen=True, slots=True, eq=False)
class JoinedBytes(Sequence[bytes | None]):
    """A sequence of n byte strings, or None, that stand in one array.

    String i is `text[begins[i]:ends[i]]`, with a NUL at `ends[i]`; `begins`, `ends (n,) int64`.
    None ends one before it begins. Whatever shares `text` keeps all of it in memory.
    """

    text: npt.NDArray[np.uint8]
    begins: IntArray
    ends: IntArray

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> "JoinedBytes":
        """Join values, unless they are already."""
        if isinstance(values, JoinedBytes):
            return values
        given, absent = values, None
        if None in values:
            absent = np.fromiter((value is None for value in values), np.bool_, len(values))
            given = [value or b"" for value in values]
        text = np.frombuffer(b"\0".join((*given, PAD)), np.uint8)  # type: ignore[arg-type]
        lengths = np.fromiter(map(len, given), np.int64, len(given))  # type: ignore[arg-type]
        ends = np.cumsum(lengths + 1) - 1
        return cls(text, ends - lengths, ends if absent is None else ends - absent)

    def __len__(self) -> int:
        return len(self.begins)

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes | None]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes | None] | None:
        if isinstance(place, slice):
            return self._list(self.begins[place], self.ends[place])
        begin, end = int(self.begins[place]), int(self.ends[place])
        return self.text[begin:end].tobytes() if end >= begin else None

    def __iter__(self) -> Iterator[bytes | None]:
        return iter(self[:])

    def take(self, places: IntArray) -> "JoinedBytes":
        """Return some of them, in the same text."""
        return JoinedBytes(self.text, self.begins[places], self.ends[places])

    def compact(self) -> "JoinedBytes":
        """Return the same in a text that holds nothing else."""
        return JoinedBytes.of(self[:])

    def begin_with(self, prefix: bytes) -> BoolArray:
        """Say which `(n,)` begin with these bytes, at most as many as `PAD` has."""
        found = self.ends - self.begins >= len(prefix)
        for place, byte in enumerate(prefix):
            found &= self.text[self.begins + place] == byte
        return found

    def _list(self, begins: IntArray, ends: IntArray) -> list[bytes | None]:
        if not len(begins):
            return []
        first = int(begins.min())
        text = self.text[first : int(ends.max()) + 1].tobytes()
        parts = map(slice, (begins - first).tolist(), (ends - first).tolist())
        found: list[bytes | None] = list(map(text.__getitem__, parts))
        for place in np.flatnonzero(ends < begins).tolist():
            found[place] = None
        return found


def begin_with(values: Sequence[bytes | None], prefix: bytes) -> BoolArray | None:
    """Say which `(n,)` begin with these bytes; None where it is soon clear that none does.

    That is where the greatest is less than the prefix, as JSON is less than what is no text.
    """
    if isinstance(values, JoinedBytes):
        return values.begin_with(prefix)
    given: Any = filter(None, values) if None in values else values
    if max(given, default=b"") < prefix:
        return None
    found = (value is not None and value.startswith(prefix) for value in values)
    return np.fromiter(found, np.bool_, len(values))
