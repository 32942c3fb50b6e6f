"""Spill file: windows' closed steps on the local disk instead of in memory.

The file has no name, so it ends with the process however that ends. It holds nothing that the state
topic has not, or will not have with the next checkpoint: a new process fills its own from there.
"""

import contextlib
import logging
import os
import tempfile
import weakref
import zlib
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import accumulate
from pathlib import Path
from typing import Final, overload

from streamgauge.core.spill import Pieces
from streamgauge.errors import StreamgaugeError
from streamgauge.io.spilling.space import Space

LEAST_BYTES: Final = 4_096
"""What is smaller stays in memory: to tell where it is would take a good part of that."""
_REMEDY: Final = "start again: what was counted is restored from the state topic"

log = logging.getLogger(__name__)


class SpillError(StreamgaugeError):
    """What was spilled cannot be read any more."""


class SpillFile:
    """Bytes in a file without a name, made when it is first needed.

    It is in `folder` if there is one, else where temporary files are. What neither takes, or a full
    disk, stays in memory: that is told once, and counted in `failures`. One thread puts; what was
    put may be read and let go of in any.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: FileIO | None = None
        self._space = Space()
        self._let_go: deque[tuple[int, int]] = deque()
        self.failures = 0
        """How often something stayed in memory because it could not be written."""

    @property
    def nbytes(self) -> int:
        """How many bytes are kept in the file."""
        self._reclaim()
        return self._space.used

    def put(self, pieces: Pieces) -> Pieces:
        """Write pieces and return what reads them, or themselves where they stay in memory.

        What reads them raises SpillError where they are not there any more as they were written.
        """
        body = b"".join(pieces)
        if len(body) < LEAST_BYTES:
            return pieces
        self._reclaim()
        start = self._space.take(len(body))
        try:
            if self._file is None:
                self._file = self._open()
            _write(self._file, body, start)
        except OSError as error:
            self._space.give(start, len(body))
            self.failures += 1
            if self.failures == 1:
                log.warning(
                    "closed steps of windows stay in memory, which takes more of it: %s; free some"
                    " space, or let this user write to %s",
                    error.strerror or error,
                    self._folder or "the folder of temporary files (TMPDIR)",
                )
            return pieces
        record = _Record(self._file, start, pieces)
        weakref.finalize(record, self._let_go.append, (start, len(body))).atexit = False
        return record

    def close(self) -> None:
        """Give up the file; nothing that was put can be read any more."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> FileIO:
        """Make the file. Raises OSError where it cannot be made in either folder."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                return _unnamed(self._folder)
        return _unnamed(None)

    def _reclaim(self) -> None:
        """Make room of what nobody holds any more, and give the disk back what is behind all."""
        before = self._space.end
        while self._let_go:
            self._space.give(*self._let_go.popleft())
        if self._file is not None and self._space.end < before:
            # Where this fails the disk is only given back later.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._space.end)


def _unnamed(folder: Path | None) -> FileIO:
    """Return a new file without a name in a folder, or where temporary files are."""
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (open for the process)
    assert isinstance(file, FileIO)
    return file


def _write(file: FileIO, body: bytes, start: int) -> None:
    """Write all of the body from `start` on."""
    rest = memoryview(body)
    while rest:
        written = os.pwrite(file.fileno(), rest, start)
        rest, start = rest[written:], start + written


class _Record(Sequence[bytes]):
    """Pieces that stand one behind the other in a file, read anew each time."""

    __slots__ = ("__weakref__", "_checks", "_ends", "_file", "_start")

    def __init__(self, file: FileIO, start: int, pieces: Pieces) -> None:
        self._file = file
        self._start = start
        self._ends = array("Q", accumulate(map(len, pieces)))
        self._checks = array("I", map(zlib.crc32, pieces))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [*self][index]
        index = range(len(self))[index]
        first = self._ends[index - 1] if index else 0
        piece = self._read(first, self._ends[index])
        self._check(index, piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        body = self._read(0, self._ends[-1] if self._ends else 0)
        first = 0
        for number, end in enumerate(self._ends):
            piece = body[first:end]
            self._check(number, piece)
            yield piece
            first = end

    def _read(self, first: int, end: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), end - first, self._start + first)
        except OSError as error:
            why = error.strerror or error
            raise SpillError(f"spilled steps of windows: {why}; {_REMEDY}") from error

    def _check(self, number: int, piece: bytes) -> None:
        if zlib.crc32(piece) != self._checks[number]:
            raise SpillError(f"spilled steps of windows: damaged on the disk; {_REMEDY}")
