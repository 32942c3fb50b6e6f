"""Showing: figures are shown when they are abreast of what has been shown before.

What is taken in after a checkpoint is shown before the next one, and taken back where the replica
dies or its transaction fails. Its successor begins at the checkpoint: were it to show figures at
once, counters would fall, which Prometheus takes for a new beginning, and counts all that was
before once more.
"""

from streamgauge.runner.stores import Offsets, Partition


class Showing:
    """Says whether figures of some positions may be shown.

    `patience` (s) is how long at most figures are held back that another process may have shown:
    longer than it takes to read again what that can have read since its last checkpoint.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._shown: dict[Partition, int] = {}
        self._until: float | None = None

    def begin(self, now: float, *, restored: bool) -> None:
        """Begin at a checkpoint (`restored`) or from nothing, at `now` (s)."""
        self._until = now + self._patience if restored else None

    def may(self, now: float, positions: Offsets, *, behind: bool) -> bool:
        """Say whether figures of all before these positions may be shown now (s).

        `behind` is whether more is known to be there to read.
        """
        if self._until is not None and behind and now < self._until:
            return False
        if any(positions.get(p, offset) < offset for p, offset in self._shown.items()):
            return False
        self._until = None
        self._shown = dict(positions)
        return True
