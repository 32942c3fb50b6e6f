"""Ids: prediction ids as they lie in memory, of which no text is made before it is wanted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from streamgauge.core.batch import CodeArray, IntArray


@dataclass(frozen=True, slots=True)
class PackedIds(Sequence[str]):
    """Some ids out of a text: id i of it is `text[begins[i] : begins[i + 1] - 1]`.

    `begins (m + 1,) int64`; `rows (n,) int32` says which of the text's ids these are.

    >>> import numpy as np
    >>> list(PackedIds(b"p1 p22 p3 ", np.array([0, 3, 7, 10]), np.array([2, 1], np.int32)))
    ['p3', 'p22']
    """

    text: bytes
    begins: IntArray
    rows: CodeArray

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "PackedIds": ...
    def __getitem__(self, place: int | slice) -> "str | PackedIds":
        if isinstance(place, slice):
            return PackedIds(self.text, self.begins, self.rows[place])
        row = self.rows[place]
        return self.text[self.begins[row] : self.begins[row + 1] - 1].decode()

    def __iter__(self) -> Iterator[str]:
        begins, ends = self.begins[self.rows], self.begins[self.rows + 1] - 1
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            yield self.text[begin:end].decode()
