"""Ids: prediction ids as they lie in memory, of which no text is made before it is wanted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class PackedIds(Sequence[str]):
    """Ids out of a text, in UTF-8: id i is `text[begins[i]:ends[i]]`, `begins`, `ends (n,) int64`.

    >>> import numpy as np
    >>> text = np.frombuffer(b"p1 p22 p3", np.uint8)
    >>> list(PackedIds(text, np.array([7, 3]), np.array([9, 6])))
    ['p3', 'p22']
    """

    text: npt.NDArray[np.uint8]
    begins: IntArray
    ends: IntArray

    @classmethod
    def of(cls, ids: Iterable[str]) -> "PackedIds":
        """Return ids packed, such as are already as they are."""
        if isinstance(ids, PackedIds):
            return ids
        texts = list(ids)
        together = "\0".join(texts)
        if together.isascii():
            data = together.encode("ascii")
            lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        else:
            parts = [text.encode("utf-8", "surrogatepass") for text in texts]
            data = b"\0".join(parts)
            lengths = np.fromiter(map(len, parts), np.int64, len(parts))
        ends = np.cumsum(lengths + 1) - 1
        return cls(np.frombuffer(data, np.uint8), ends - lengths, ends)

    @classmethod
    def joined(cls, parts: Iterable[Iterable[str]]) -> "PackedIds":
        """Return the ids of one or more parts, one after the other."""
        packed = [*map(cls.of, parts)]
        shifts = np.cumsum([0, *(len(each.text) for each in packed)])
        return cls(
            np.concatenate([each.text for each in packed]),
            np.concatenate([each.begins + at for each, at in zip(packed, shifts, strict=False)]),
            np.concatenate([each.ends + at for each, at in zip(packed, shifts, strict=False)]),
        )

    def take(self, order: IntArray) -> "PackedIds":
        """Return the ids at these places."""
        return PackedIds(self.text, self.begins[order], self.ends[order])

    def __len__(self) -> int:
        return len(self.begins)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "PackedIds": ...
    def __getitem__(self, place: int | slice) -> "str | PackedIds":
        if isinstance(place, slice):
            return PackedIds(self.text, self.begins[place], self.ends[place])
        return self.bytes_of(place).decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def bytes_of(self, place: int) -> bytes:
        """Return an id as it lies in the text."""
        return self.text[self.begins[place] : self.ends[place]].tobytes()
