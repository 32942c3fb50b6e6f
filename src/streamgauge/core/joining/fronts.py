"""Fronts: of the labels of one id that wait, those that may still matter, in the order they came.

Of the labels that are in time the one with the highest version is taken, the first to come among
equals; when the first of them came tells when the pair became known. Which are in time is told when
the prediction comes: those up to some time. So a label changes nothing if one before it was as
early or earlier and as strong; and it gives way to a later one that is as early and stronger,
unless it was earlier than all before it: then it may be the first. Nearly always one label is left.

That label's record is under the key of the id, with the number of labels that wait: 0 once a
prediction took them. Of more than one, each further label has a record of its own, under the id's
key with its number in it. All are in the bucket of the label that came first. Records of further
labels that gave way stay there, and are not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.records import Labels
from streamgauge.core.joining.store import Keys

MOST_LABELS: Final = 8
"""Labels of one id that wait; of more, the earliest ones and the strongest are kept."""


class Item(NamedTuple):
    """One label that waits."""

    time: int
    label: int | float
    version: int


class Added(NamedTuple):
    """What a label did to a front: whether it was dropped, and how many gave way to it."""

    duplicate: bool
    superseded: int


@dataclass(slots=True)
class Front:
    """The labels of one id as they came, and the bucket where their records are."""

    bucket: int
    items: list[Item] = field(default_factory=list)

    def add(self, new: Item) -> Added:
        """Let a label wait that comes after all others."""
        for item in self.items:
            if item.time <= new.time and item.version >= new.version:
                return Added(duplicate=True, superseded=0)
        before = len(self.items)
        kept: list[Item] = []
        earliest = None
        for item in self.items:
            leads = earliest is None or item.time < earliest
            if leads or item.time < new.time or item.version >= new.version:
                kept.append(item)
            earliest = item.time if earliest is None else min(earliest, item.time)
        self.items = [*kept, new]
        if len(self.items) > MOST_LABELS:
            self.items.remove(sorted(self.items, key=lambda item: (item.time, item.version))[-2])
        return Added(duplicate=False, superseded=before + 1 - len(self.items))


class Choice(NamedTuple):
    """What a prediction finds: the label to take, or any where none is in time.

    `first` is the time of the label in time that came first. `others_late`, `superseded` and
    `equals` count the rest: those too late, those of a lower version and those of the same version
    that came later.
    """

    taken: Item
    first: int
    others_late: int
    superseded: int
    equals: int


def choose(items: Sequence[Item], latest: int) -> Choice:
    """Choose among the labels of a front for a prediction that takes labels up to a time."""
    in_time = [item for item in items if item.time <= latest]
    if not in_time:
        return Choice(items[0], items[0].time, len(items) - 1, 0, 0)
    taken = max(in_time, key=lambda item: item.version)
    equals = sum(item.version == taken.version for item in in_time) - 1
    others_late = len(items) - len(in_time)
    return Choice(taken, in_time[0].time, others_late, len(in_time) - 1 - equals, equals)


def numbered(keys: Keys, numbers: IntArray) -> Keys:
    """Return the keys of labels by their `numbers (n,)` in their fronts: 0 is the id's own."""
    found = keys.copy()
    found[:, 0] ^= numbers.astype(np.uint64)
    return found


def items_of(labels: Labels) -> list[Item]:
    """Return labels one by one."""
    return list(map(Item, *(column.tolist() for column in labels)))
