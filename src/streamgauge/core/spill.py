"""Spilling: bytes that are seldom read live outside the process's memory, if there is a place.

What is spilled is written once and read as often as need be. The place is that of this process and
ends with it: whatever has to outlive the process is state.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Pieces = Sequence[bytes]
ROWS_AT_ONCE: Final = 64
"""Rows of a piece: whoever wants one of them has to read no more."""


class Spill(Protocol):
    """A place for bytes outside the process's memory."""

    def put(self, pieces: Pieces) -> Pieces:
        """Return the same pieces, which are read anew each time that they are asked for.

        Their room is free again when nobody holds what is returned. What is not worth it, or has
        no room, comes back as it is.
        """
        ...


class InMemory:
    """No such place: pieces stay where they are."""

    def put(self, pieces: Pieces) -> Pieces:
        """Return the pieces."""
        return pieces


IN_MEMORY: Final = InMemory()


class SpillableArray:
    """An array `(n, ...)` of numbers; until it is spilled it shares memory with the one given.

    What it returns is to be read only.
    """

    __slots__ = ("_array", "_pieces", "dtype", "nbytes", "shape")

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.nbytes = array.nbytes
        """Bytes of the numbers, wherever they are."""
        self._array: npt.NDArray[Any] | None = array
        self._pieces: Pieces = ()

    def spill(self, to: Spill) -> None:
        """Put the numbers there, those of an array of rows in pieces that can be had alone."""
        if self._array is None:
            return
        array = self._array
        at_once = ROWS_AT_ONCE if array.ndim > 1 else max(len(array), 1)
        starts = range(0, len(array), at_once) if array.size else ()
        pieces = [array[at : at + at_once].tobytes() for at in starts]
        put = to.put(pieces)
        if put is not pieces:
            self._array, self._pieces = None, put

    def whole(self) -> npt.NDArray[Any]:
        """Return all of it."""
        if self._array is not None:
            return self._array
        return np.frombuffer(b"".join(self._pieces), self.dtype).reshape(self.shape)

    def take(self, places: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Return the rows at these places."""
        if self._array is not None:
            return self._array[places]
        if len(places) * 2 > len(self._pieces):
            return self.whole()[places]
        pieces, within = np.divmod(places, ROWS_AT_ONCE)
        found = np.empty((len(places), *self.shape[1:]), self.dtype)
        for piece in np.unique(pieces).tolist():
            at = np.flatnonzero(pieces == piece)
            rows = np.frombuffer(self._pieces[piece], self.dtype).reshape(-1, *self.shape[1:])
            found[at] = rows[within[at]]
        return found
