"""A bucket: how many records it has, and its runs on disk, oldest first."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import Keys, Records, alike
from streamgauge.io.joining.kept_rows import KeptRows
from streamgauge.io.joining.merging import Merge, worth_merging
from streamgauge.io.joining.rows import keys_of, records_of
from streamgauge.io.joining.run import Run


class Sought(NamedTuple):
    """n keys that are looked for: `place (n,) int64` says which of a call's each of `keys` is."""

    place: IntArray
    keys: Keys

    def without(self, found: IntArray) -> "Sought":
        """Return all but these of the n."""
        kept = np.ones(len(self.place), np.bool_)
        kept[found] = False
        rest = np.flatnonzero(kept)
        return Sought(self.place[rest], self.keys.take(rest, axis=0))


@dataclass(slots=True)
class DiskBucket:
    """Runs, of which a later one is right about a key that several have; some may be merged.

    `records` is how many keys have one, here or not yet written.
    """

    records: int = 0
    runs: list[Run] = field(default_factory=list)
    merge: Merge | None = None

    def find(self, sought: Sought, kept: KeptRows) -> tuple[Sought, list[tuple[IntArray, Records]]]:
        """Look for keys; return those not found, and places and records of the others."""
        found = []
        for run in reversed(self.runs):
            which, at = run.places(sought.keys)
            if not len(which):
                continue
            rows = kept.rows(run, at)
            same = alike(keys_of(rows), sought.keys.take(which, axis=0))
            if not same.all():
                which, rows = which[same], rows[same]
            found.append((sought.place[which], records_of(rows, run.entry.record_bytes)))
            sought = sought.without(which)
        return sought, found

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
