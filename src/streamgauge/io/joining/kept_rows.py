"""Kept rows: runs that are read again and again are in memory, within a bound.

A read of the operating system costs as much as some thousand bytes more in one that is made
anyway. So rows are read one by one until that has cost as much as reading the whole run would,
which is then kept: nothing costs more than twice what the better of the two would have.
"""

from typing import Final

from streamgauge.core.batch import IntArray
from streamgauge.io.joining.compiled_rows import Rows
from streamgauge.io.joining.run import Run

MOST_BYTES: Final = 160 << 20
"""Of rows in memory, of all stores together: two of the largest runs that a flush writes."""
_READ_BYTES: Final = 4096
"""Reading so many bytes more takes as long as reading something else."""


class KeptRows:
    """Reads rows of runs, of any stores, and keeps whole runs: those that were read last."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: dict[Run, Rows] = {}
        """Rows of runs, in the order in which they were last read."""
        self._read: dict[Run, int] = {}
        """How many rows of each other run were read one by one."""

    @property
    def nbytes(self) -> int:
        """How many bytes the rows in memory take."""
        return sum(rows.nbytes for rows in self._kept.values())

    def rows(self, run: Run, at: IntArray) -> Rows:
        """Return the rows of a run at these places.

        Raises DamageError where they are not what was written.
        """
        rows = self._kept.pop(run, None)
        if rows is None:
            size = run.entry.rows_bytes
            read = self._read[run] = self._read.get(run, 0) + len(at)
            if size > self._most or read * _READ_BYTES < size:
                return run.read_apart(at)
            rows = run.read(0, run.entry.rows)
            del self._read[run]
        self._kept[run] = rows
        while self.nbytes > self._most:
            del self._kept[next(iter(self._kept))]
        return rows.take(at, axis=0)

    def forget(self, run: Run) -> None:
        """Let go what is kept of a run."""
        self._kept.pop(run, None)
        self._read.pop(run, None)
