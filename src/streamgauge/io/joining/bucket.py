"""A bucket: how many records it has, and its runs on disk, oldest first."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import Keys, Records, alike
from streamgauge.io.joining.filters import Filter
from streamgauge.io.joining.kept_rows import KeptRows
from streamgauge.io.joining.merging import Merge, worth_merging
from streamgauge.io.joining.rows import keys_of, records_of
from streamgauge.io.joining.run import Run


class Sought(NamedTuple):
    """n keys that are looked for: `place (n,) int64` says which of a call's each of `keys` is."""

    place: IntArray
    keys: Keys

    def some(self, which: IntArray) -> "Sought":
        """Return these of the n."""
        return Sought(self.place[which], self.keys.take(which, axis=0))


@dataclass(slots=True)
class DiskBucket:
    """Runs, of which a later one is right about a key that several have; some may be merged.

    `records` is how many keys have one, here or not yet written.
    """

    records: int = 0
    runs: list[Run] = field(default_factory=list)
    merge: Merge | None = None
    filter: Filter | None = None
    """Of all keys in the runs, until it is too small for them."""

    def find(self, sought: Sought, kept: KeptRows) -> list[tuple[IntArray, Records]]:
        """Look for keys; return places and records of those that are found."""
        found: list[tuple[IntArray, Records]] = []
        if not self.runs:
            return found
        mine = sought.some(self._filter_of_all().perhaps(sought.keys))
        for run in reversed(self.runs):
            if not len(mine.place):
                break
            which, at = run.places(mine.keys)
            if not len(which):
                continue
            rows = kept.rows(run, at)
            same = alike(keys_of(rows), mine.keys.take(which, axis=0))
            if not same.all():
                which, rows = which[same], rows[same]
            found.append((mine.place[which], records_of(rows, run.entry.record_bytes)))
            left = np.ones(len(mine.place), np.bool_)
            left[which] = False
            mine = mine.some(np.flatnonzero(left))
        return found

    def add(self, run: Run) -> None:
        """Put a run behind the others."""
        self.runs.append(run)
        if self.filter is not None:
            if self.filter.has_room(len(run.prefixes)):
                self.filter.add(run.prefixes)
            else:
                self.filter = None

    def _filter_of_all(self) -> Filter:
        """Return the filter of all runs; it is made when it is first needed."""
        if self.filter is None:
            self.filter = Filter.of(run.prefixes for run in self.runs)
        return self.filter

    def to_merge(self) -> list[Run]:
        """Return the runs that are worth merging now."""
        if self.merge is not None:
            return []
        chosen = worth_merging([run.entry.rows for run in self.runs])
        return [] if chosen is None else [self.runs[i] for i in chosen]

    def leave_merge(self) -> None:
        """Leave what was being merged as it was."""
        if self.merge is not None:
            self.merge.abandon()
            self.merge = None

    def replace(self, run: Run) -> tuple[Run, ...]:
        """Put a run in the place of those that were merged into it; return those."""
        assert self.merge is not None
        merged = self.merge.runs
        first = self.runs.index(merged[0])
        assert self.runs[first : first + len(merged)] == list(merged)
        self.runs[first : first + len(merged)] = [run]
        self.merge = None
        return merged
