"""Fronts: of the labels of one id that wait, those that may still matter, in the order they came.

Of the labels that are in time the one with the highest version is taken, the first to come among
equals; when the first of them came tells when the pair became known. Which are in time is told when
the prediction comes: those up to some time. So a label changes nothing if one before it was as
early or earlier and as strong; and it gives way to a later one that is as early and stronger,
unless it was earlier than all before it: then it may be the first. Nearly always one label is left.

A record is one label as `RecordFormat.waiting` has it, in the bucket of its time. Where that does
not do, the number of the record's bucket goes first and any number of labels follow: several, or
one in the bucket of another that came first, or none once a prediction took them.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamgauge.core.joining.records import RecordFormat

MOST_LABELS: Final = 8
"""Labels of one id that wait; of more, the earliest ones and the strongest are kept."""
_HEAD: Final = struct.Struct("<q")
TAKEN_BYTES: Final = _HEAD.size
"""Length of the record of an id whose labels a prediction took; with labels it is longer."""


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
    """The labels of one id as they came, and the bucket where their record is."""

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


class FrontCodec:
    """Reads and writes the records of labels that wait."""

    def __init__(self, form: RecordFormat, width_ms: int) -> None:
        self._item = struct.Struct("<qdq" if form.numbers else "<qiq")
        self._width = width_ms
        self.plain = form.waiting.itemsize
        """Length of a record that is one label in the bucket of its time."""
        assert self._item.size == self.plain

    def read(self, record: bytes) -> Front:
        """Return a record's labels."""
        if len(record) == self.plain:
            item = Item(*self._item.unpack(record))
            return Front(item.time // self._width, [item])
        (bucket,) = _HEAD.unpack_from(record)
        return Front(bucket, [Item(*i) for i in self._item.iter_unpack(record[_HEAD.size :])])

    def write(self, front: Front) -> bytes:
        """Return the record of these labels."""
        if len(front.items) == 1 and front.items[0].time // self._width == front.bucket:
            return self.item(front.items[0])
        return _HEAD.pack(front.bucket) + b"".join(map(self.item, front.items))

    def item(self, item: Item) -> bytes:
        """Return one label as a plain record."""
        return self._item.pack(*item)


def taken(bucket: int) -> bytes:
    """Return the record, in this bucket, of an id whose labels a prediction took."""
    return _HEAD.pack(bucket)
