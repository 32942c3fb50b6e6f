"""Gathering: small batches of events that come one after the other become one large one.

Counting a batch has a price of its own, which Arrow batches of some thousand rows pay too often.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from streamgauge.core.batch import EventBatch
from streamgauge.core.concatenation import concatenated

LARGE: Final = 40_000
"""Events of one batch, from which on more would gain little."""

Add = Callable[[EventBatch, Sequence[str]], None]


class Gathering:
    """Batches of each model that wait for more; all must be `released` before any other is added.

    `add` takes the large batches, with the ids of their events.
    """

    def __init__(self, add: Add) -> None:
        self._add = add
        self._waiting: dict[str, list[tuple[EventBatch, Sequence[str]]]] = {}

    def take(self, batch: EventBatch, ids: Sequence[str]) -> None:
        """Take a batch, and pass it on with those before once they are large together."""
        name = batch.schema.model
        waiting = self._waiting.setdefault(name, [])
        waiting.append((batch, ids))
        if sum(len(each) for each, _ in waiting) >= LARGE:
            self._release(name)

    def release(self) -> None:
        """Pass on all that wait."""
        for name in list(self._waiting):
            self._release(name)

    def _release(self, name: str) -> None:
        waiting = self._waiting.pop(name)
        ids = [ids for _, ids in waiting]
        together = ids[0] if len(ids) == 1 else list(chain.from_iterable(ids))
        self._add(concatenated([batch for batch, _ in waiting]), together)
