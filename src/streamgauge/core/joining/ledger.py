"""Ledger: what became of every prediction and label, and how far the join has come in time."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.store import Space

NEVER: Final = -(1 << 62)
"""A bucket before all others."""


class JoinCounts(NamedTuple):
    """What became of every event; `pending` and `waiting` are levels, the others only grow.

    predictions = joined + pending + expired + duplicates
    labels = joined + corrections + waiting + orphans + late + duplicate_labels

    `joined` counts predictions by their first label, `corrections` the labels that took the place
    of a lower version, or gave theirs to a higher one while they waited. `expired` are predictions
    whose time for a label is over, or that had to make room; `orphans` labels whose prediction did
    not come in time, or that had to make room; `late` those for a prediction whose time is over.
    """

    predictions: int
    duplicates: int
    joined: int
    pending: int
    expired: int
    labels: int
    waiting: int
    orphans: int
    late: int
    duplicate_labels: int
    corrections: int


GROWING: Final = tuple(name for name in JoinCounts._fields if name not in ("pending", "waiting"))
"""Counts that are no levels."""


@dataclass(slots=True)
class Ledger:
    """Counts of events, levels by bucket, and the first buckets that are still followed."""

    predictions: int = 0
    duplicates: int = 0
    joined: int = 0
    expired: int = 0
    labels: int = 0
    orphans: int = 0
    late: int = 0
    duplicate_labels: int = 0
    corrections: int = 0
    watermark: int = NEVER
    open_from: int = NEVER
    """The first bucket whose predictions still take labels."""
    predictions_from: int = NEVER
    """The first bucket whose predictions are kept."""
    labels_from: int = NEVER
    """The first bucket whose labels may wait."""
    pending: dict[int, int] = field(default_factory=dict)
    """Predictions without a label by bucket."""
    waiting: dict[int, int] = field(default_factory=dict)
    """Labels without a prediction by bucket."""
    surplus: int = 0
    """How many of them are counted as something else: see `Joiner.caught_up`."""

    def counts(self) -> JoinCounts:
        """Return the counts and levels."""
        values = {name: getattr(self, name) for name in JoinCounts._fields}
        waiting = sum(self.waiting.values()) - self.surplus
        values |= {"pending": sum(self.pending.values()), "waiting": max(0, waiting)}
        return JoinCounts(**values)

    def add_pending(self, buckets: IntArray) -> None:
        """Note predictions that wait, by their buckets; those past their time expire at once."""
        for bucket, count in tally(buckets).items():
            if bucket < self.open_from:
                self.expired += count
            else:
                _move(self.pending, bucket, count)

    def take_pending(self, buckets: IntArray) -> None:
        """Note predictions that have got a label."""
        for bucket, count in tally(buckets).items():
            _move(self.pending, bucket, -count)
            self.joined += count

    def add_waiting(self, bucket: int, count: int) -> None:
        """Note labels that wait in a bucket, or with a negative count wait no more."""
        _move(self.waiting, bucket, count)

    def open(self, first: int) -> None:
        """Predictions of earlier buckets take no labels any more."""
        self.open_from = max(self.open_from, first)
        for bucket in [bucket for bucket in self.pending if bucket < first]:
            self.expired += self.pending.pop(bucket)

    def drop_before(self, space: Space, first: int) -> None:
        """Note that all earlier buckets of a space are gone; their like is not kept any more."""
        levels = self.pending if space is Space.PREDICTIONS else self.waiting
        gone = sum(levels.pop(bucket) for bucket in list(levels) if bucket < first)
        if space is Space.PREDICTIONS:
            self.predictions_from = max(self.predictions_from, first)
            self.expired += gone
        else:
            self.labels_from = max(self.labels_from, first)
            counted = min(gone, self.surplus)
            self.surplus -= counted
            self.orphans += gone - counted

    def counted(self) -> dict[str, int]:
        """Return the counts that only grow."""
        return {name: getattr(self, name) for name in GROWING}

    def recount(self, counts: Mapping[str, int]) -> None:
        """Set the counts that only grow."""
        for name in GROWING:
            setattr(self, name, int(counts[name]))

    def overtake(self, state: Mapping[str, Any]) -> None:
        """Take the counts of a state that is as far as this ledger or further.

        Levels stay what the store holds; of predictions that were over by then none wait. Old ones
        are still taken up where the store is built again, or labels that found them would wait
        anew, and old labels still wait, or predictions that found them would be without.
        """
        self.surplus = 0  # of the other store
        self.watermark = max(self.watermark, state["watermark"])
        self.open(state["open_from"])
        self.recount(state)

    def state(self) -> dict[str, object]:
        """Return everything as plain data."""
        state: dict[str, object] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("pending", "waiting"):
            state[name] = [list(pair) for pair in sorted(getattr(self, name).items())]
        return state

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Ledger":
        """Return the ledger that gave this state."""
        values = {f.name: state[f.name] for f in fields(cls) if f.name in state}
        for name in ("pending", "waiting"):
            values[name] = {bucket: count for bucket, count in state[name]}  # noqa: C416
        return cls(**values)


def tally(buckets: IntArray) -> dict[int, int]:
    """Return how often each bucket occurs, in order."""
    if not len(buckets):
        return {}
    if buckets.min() == buckets.max():
        return {int(buckets[0]): len(buckets)}
    found, counts = np.unique(buckets, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _move(levels: dict[int, int], bucket: int, count: int) -> None:
    level = levels.get(bucket, 0) + count
    assert level >= 0
    if level:
        levels[bucket] = level
    else:
        levels.pop(bucket, None)
