"""Merging: many small runs become a large one, a part at a time after each flush."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from streamgauge.io.joining.rows import latest
from streamgauge.io.joining.run import Run, RunWriter

LEAST_RUNS: Final = 8
"""Runs that are merged at once, at least."""
_PART_ROWS: Final = 1 << 16


def worth_merging(sizes: Sequence[int]) -> range | None:
    """Return which runs to merge by their `sizes`, oldest first; None where it is not worth it.

    Those are neighbours, the newest ones there are, none larger than all later ones of them
    together. So a row is written again only into a run that is a multiple of its own, and runs that
    are left grow as fast from the newest to the oldest.
    """
    for end in range(len(sizes), LEAST_RUNS - 1, -1):
        first, total = end - 1, sizes[end - 1]
        while first and sizes[first - 1] <= total:
            first -= 1
            total += sizes[first]
        if end - first >= LEAST_RUNS:
            return range(first, end)
    return None


class Merge:
    """Some runs on their way to be one: their rows in parts, by ranges of the key."""

    def __init__(self, runs: Sequence[Run], writer: RunWriter) -> None:
        self.runs = tuple(runs)
        rows = sum(run.entry.rows for run in runs)
        parts = -(-rows // _PART_ROWS)
        edges = (np.arange(1, parts) * ((1 << 32) / parts)).astype(np.uint32)
        self._cuts = [run.cuts(edges) for run in runs]
        self._parts = parts
        self._done = 0
        self._writer = writer

    def step(self) -> int:
        """Merge one part more; return how many rows were read."""
        parts = [
            run.read(int(cuts[self._done]), int(cuts[self._done + 1]))
            for run, cuts in zip(self.runs, self._cuts, strict=True)
        ]
        self._writer.append(latest(parts))
        self._done += 1
        return sum(map(len, parts))

    @property
    def done(self) -> bool:
        """Whether all parts are merged."""
        return self._done == self._parts

    def finish(self) -> Run:
        """Return the run that all have become."""
        return self._writer.finish()

    def abandon(self) -> None:
        """Leave it, and remove what was written."""
        self._writer.abandon()
