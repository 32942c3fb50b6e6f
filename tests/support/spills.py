"""A place to spill to that can be full now and then."""

from collections.abc import Iterator, Sequence
from typing import overload

from streamgauge.core.spill import Pieces


class Elsewhere:
    """Takes what one put in `every` brings, and leaves the others in memory; 0 takes nothing."""

    def __init__(self, every: int = 1) -> None:
        self.puts = 0
        self._every = every

    def put(self, pieces: Pieces) -> Pieces:
        """Return the pieces as something that keeps copies of them, or as they are."""
        self.puts += 1
        if not self._every or self.puts % self._every:
            return pieces
        return Copies(pieces)


class Copies(Sequence[bytes]):
    """Pieces that are new objects each time."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = [bytearray(piece) for piece in pieces]

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return [*self][index]

    def __iter__(self) -> Iterator[bytes]:
        return map(bytes, self._pieces)
