"""Space: which parts of a file are in use."""

from bisect import bisect_left


class Space:
    """Hands out extents of a file, the first that is large enough, and takes them back."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        """Of the free extents below the end, ascending; no two touch."""
        self._sizes: list[int] = []
        self.end = 0
        """What the file is in use up to."""

    @property
    def used(self) -> int:
        """How many bytes are in use."""
        return self.end - sum(self._sizes)

    def take(self, size: int) -> int:
        """Return where there is room for `size` bytes, which are in use from now on."""
        for i, free in enumerate(self._sizes):
            if free >= size:
                start = self._starts[i]
                if free == size:
                    del self._starts[i], self._sizes[i]
                else:
                    self._starts[i], self._sizes[i] = start + size, free - size
                return start
        start = self.end
        self.end += size
        return start

    def give(self, start: int, size: int) -> None:
        """Note that an extent that was taken is free again."""
        at = bisect_left(self._starts, start)
        if at < len(self._starts) and self._starts[at] == start + size:
            size += self._sizes[at]
            del self._starts[at], self._sizes[at]
        if at and self._starts[at - 1] + self._sizes[at - 1] == start:
            at -= 1
            start, size = self._starts[at], size + self._sizes[at]
            del self._starts[at], self._sizes[at]
        if start + size == self.end:
            self.end = start
        else:
            self._starts.insert(at, start)
            self._sizes.insert(at, size)
