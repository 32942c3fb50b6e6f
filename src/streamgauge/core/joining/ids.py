"""Ids: prediction ids as they lie in memory, of which no text is made before it is wanted."""

from collections.abc import Iterator, Sequence
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

    def __len__(self) -> int:
        return len(self.begins)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "PackedIds": ...
    def __getitem__(self, place: int | slice) -> "str | PackedIds":
        if isinstance(place, slice):
            return PackedIds(self.text, self.begins[place], self.ends[place])
        return self.bytes_of(place).decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def bytes_of(self, place: int) -> bytes:
        """Return an id as it lies in the text."""
        return self.text[self.begins[place] : self.ends[place]].tobytes()
