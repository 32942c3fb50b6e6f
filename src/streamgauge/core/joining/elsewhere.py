"""Elsewhere: what became of events that other processes join, added up from what they tell."""

from collections.abc import Mapping
from typing import Any

from streamgauge.core.joining.ledger import GROWING, JoinCounts


class JoinedElsewhere:
    """Counts of several joiners, in the place of one.

    They tell only what grows. The levels follow from that: what is none of the rest still waits.
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(GROWING, 0)

    def add(self, more: Mapping[str, int]) -> None:
        """Add counts that have grown by so much."""
        for name, count in more.items():
            self._counts[name] += count

    def counts(self) -> JoinCounts:
        """Return what became of all events so far."""
        c = self._counts
        over = c["joined"] + c["expired"] + c["duplicates"]
        taken = c["joined"] + c["corrections"] + c["orphans"] + c["late"] + c["duplicate_labels"]
        levels = {
            "pending": max(0, c["predictions"] - over),
            "waiting": max(0, c["labels"] - taken),
        }
        return JoinCounts(**c, **levels)

    def state(self) -> dict[str, object]:
        """Return everything as plain data, as a joiner does."""
        return {"ledger": dict(self._counts)}

    def overtake(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of another, or of a joiner. Raises KeyError where it is neither."""
        self._counts = {name: int(state["ledger"][name]) for name in GROWING}
