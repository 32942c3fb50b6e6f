"""Run: a file of rows sorted by key, and in memory what tells where in it a key would be."""

import contextlib
import os
import zlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import Keys
from streamgauge.io.joining.compiled_rows import Prefixes, Rows, compiled_rows
from streamgauge.io.joining.filters import prefixes_of
from streamgauge.io.joining.rows import WORD_BYTES, keys_of, row_bytes, sound

_PREFIX_BYTES: Final = 4
_PREFIX_BITS: Final = 32
_ROWS_OF_START: Final = 16
"""Of so many rows or up to twice as many it is known where they begin."""


class DamageError(Exception):
    """A file is not what was written; the text says which and how."""


class RunEntry(msgspec.Struct, frozen=True, array_like=True):
    """What the catalogue says of a run.

    Its file is named by its number. It has `rows` of records of `record_bytes`, then their keys'
    prefixes, the upper halves of their first words (four bytes each); `check` is the CRC-32 of what
    follows the rows.
    """

    number: int
    rows: int
    record_bytes: int
    check: int

    @property
    def rows_bytes(self) -> int:
        """Where in the file the rows end."""
        return self.rows * row_bytes(self.record_bytes)

    @property
    def nbytes(self) -> int:
        """How many bytes the file has."""
        return self.rows_bytes + _PREFIX_BYTES * self.rows


class Run:
    """A run that does not change any more."""

    def __init__(self, entry: RunEntry, path: Path, prefixes: Prefixes) -> None:
        self.entry = entry
        self.file = path
        self.prefixes = prefixes
        self._row_bytes = row_bytes(entry.record_bytes)
        bits = max(0, (len(prefixes) // _ROWS_OF_START).bit_length() - 1)
        self._shift = _PREFIX_BITS - bits
        edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(self._shift)
        starts = np.searchsorted(prefixes, edges.astype(np.uint32))
        self._starts = np.append(starts, len(prefixes)).astype(np.uint32)
        """Where prefixes with the same upper bits begin."""

    @classmethod
    def open(cls, folder: Path, entry: RunEntry) -> "Run":
        """Open the run that an entry describes; DamageError where its file is another."""
        path = folder / file_name(entry.number)
        try:
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(entry.rows_bytes)
                tail = file.readall()
        except FileNotFoundError as error:
            raise DamageError(f"{path.name} is missing") from error
        if size != entry.nbytes or zlib.crc32(tail) != entry.check:
            raise DamageError(f"{path.name} is not what was written")
        prefixes = np.frombuffer(tail, "<u4", entry.rows).astype(np.uint32)
        return cls(entry, path, prefixes)

    def places(self, keys: Keys) -> tuple[IntArray, IntArray]:
        """Return pairs of a key's place and a row's, where the keys may be."""
        compiled = compiled_rows()
        pairs = compiled and compiled.search(self.prefixes, self._starts, self._shift, keys)
        if pairs:
            return pairs
        perhaps, prefix = np.arange(len(keys)), prefixes_of(keys)
        at = np.searchsorted(self.prefixes, prefix)
        which, rows = [perhaps[:0]], [at[:0]]
        while len(perhaps):  # several rows with one prefix are rare
            there = at < len(self.prefixes)
            there[there] = self.prefixes[at[there]] == prefix[there]
            perhaps, prefix, at = perhaps[there], prefix[there], at[there]
            which.append(perhaps)
            rows.append(at)
            at = at + 1
        return np.concatenate(which), np.concatenate(rows)

    def cuts(self, edges: Prefixes) -> IntArray:
        """Return where parts begin, and the last ends, of a run that is cut at these prefixes."""
        return np.concatenate(([0], np.searchsorted(self.prefixes, edges), [self.entry.rows]))

    def read(self, first: int, after: int) -> Rows:
        """Return the rows from the first up to, not including, another."""
        with self.file.open("rb", buffering=0) as file:
            return self._checked(self._span(file.fileno(), first, after))

    def read_apart(self, at: IntArray) -> Rows:
        """Return the rows at these places, which are read one by one."""
        order = np.argsort(at)  # a disk reads forward faster
        with self.file.open("rb", buffering=0) as file:
            rows = self._read_each(file.fileno(), at[order])
        found = np.empty_like(rows)
        found[order] = self._checked(rows)
        return found

    def remove(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)

    def _read_each(self, fd: int, at: IntArray) -> Rows:
        size = self._row_bytes
        compiled = compiled_rows()
        if compiled is None:
            data = b"".join([os.pread(fd, size, place * size) for place in at.tolist()])
            return self._whole(data, len(at))
        rows = compiled.read(fd, size // WORD_BYTES, at)
        if rows is None:
            raise self._ends_early()
        return rows

    def _span(self, fd: int, first: int, after: int) -> Rows:
        size = self._row_bytes
        return self._whole(os.pread(fd, (after - first) * size, first * size), after - first)

    def _whole(self, data: bytes, rows: int) -> Rows:
        if len(data) < rows * self._row_bytes:
            raise self._ends_early()
        words = np.frombuffer(data, "<u8").astype(np.uint64, copy=False)
        return words.reshape(rows, self._row_bytes // WORD_BYTES)

    def _ends_early(self) -> DamageError:
        return DamageError(f"{self.file.name} ends early")

    def _checked(self, rows: Rows) -> Rows:
        if not sound(rows):
            raise DamageError(f"{self.file.name}: a row is not what was written")
        return rows


class RunWriter:
    """Writes a run, part by part in the order of keys."""

    def __init__(self, folder: Path, number: int, record_bytes: int) -> None:
        self._number = number
        self._record_bytes = record_bytes
        self._path = folder / file_name(number)
        self._file = self._path.open("wb", buffering=0)
        self._prefixes: list[Prefixes] = []

    def append(self, rows: Rows) -> None:
        """Write rows whose keys are above all before."""
        self._write(np.ascontiguousarray(rows, "<u8").data)
        self._prefixes.append(prefixes_of(keys_of(rows)))

    def finish(self) -> Run:
        """Write the rest and return the run."""
        prefixes = np.concatenate(self._prefixes)
        tail = prefixes.astype("<u4").tobytes()
        self._write(memoryview(tail))
        self._file.close()
        entry = RunEntry(self._number, len(prefixes), self._record_bytes, zlib.crc32(tail))
        return Run(entry, self._path, prefixes)

    def abandon(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, data: memoryview) -> None:
        rest = data.cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]


def bytes_of_row(record_bytes: int) -> int:
    """Return how many bytes a row takes in a run, with what tells where it is."""
    return row_bytes(record_bytes) + _PREFIX_BYTES


def file_name(number: int) -> str:
    """Return the name of a run's file."""
    return f"run-{number}"
