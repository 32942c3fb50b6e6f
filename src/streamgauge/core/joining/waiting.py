"""Waiting labels: those that came before their predictions."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.fronts import (
    TAKEN_BYTES,
    Front,
    FrontCodec,
    Item,
    choose,
    taken,
)
from streamgauge.core.joining.ledger import Ledger, tally
from streamgauge.core.joining.records import Labels, RecordFormat
from streamgauge.core.joining.shelf import Shelf, pick


class Taken(NamedTuple):
    """Labels that waited for k predictions.

    `places (k,) int64` are those of the predictions, ascending; `first (k,) int64` is the time (ms)
    of the label that came first of those in time, not always the one that is taken.
    """

    places: IntArray
    labels: Labels
    first: IntArray


class WaitingLabels:
    """Keeps labels until their predictions come, in the buckets of the first label's time."""

    def __init__(self, shelf: Shelf, form: RecordFormat, width_ms: int, ledger: Ledger) -> None:
        self._shelf = shelf
        self._form = form
        self._width = width_ms
        self._ledger = ledger
        self._codec = FrontCodec(form, width_ms)

    def add(self, keys: Sequence[bytes], labels: Labels) -> None:
        """Let labels wait whose predictions are not known."""
        ledger = self._ledger
        buckets = labels.time // self._width
        raw = self._shelf.get(keys)
        first = max(ledger.labels_from, self._shelf.full_up_to() + 1)
        plain = buckets >= first
        if raw.count(None) < len(keys) or len(set(keys)) < len(keys):
            often = Counter(keys)
            alone = [r is None and often[k] == 1 for k, r in zip(keys, raw, strict=True)]
            kept = buckets >= ledger.labels_from
            crowd = np.flatnonzero(~np.array(alone, np.bool_) & kept)
            self._add_in_turn(pick(keys, crowd), labels.take(crowd), pick(raw, crowd), first)
            plain &= alone
            ledger.orphans -= len(crowd)
        chosen = np.flatnonzero(plain)
        ledger.orphans += len(keys) - len(chosen)
        if len(chosen) < len(keys):
            keys, labels, buckets = pick(keys, chosen), labels.take(chosen), buckets[chosen]
        for bucket, count in tally(buckets).items():
            ledger.add_waiting(bucket, count)
        self._shelf.put(buckets, keys, self._form.pack_waiting(labels))
        self._shelf.make_room()

    def _add_in_turn(
        self, keys: Sequence[bytes], labels: Labels, raw: Sequence[bytes | None], first: int
    ) -> None:
        """Let labels wait of which there may be several of one id; new ids from a bucket on."""
        ledger = self._ledger
        fronts: dict[bytes, Front] = {}
        changed: dict[int, dict[bytes, Front]] = {}
        columns = (column.tolist() for column in labels)
        for key, record, *values in zip(keys, raw, *columns, strict=True):
            item = Item(*values)
            front = fronts.get(key)
            if front is None:
                if record is not None:
                    front = self._codec.read(record)
                elif item.time // self._width < first:
                    ledger.orphans += 1
                    continue
                else:
                    front = Front(item.time // self._width)
                fronts[key] = front
            added = front.add(item)
            if added.duplicate:
                ledger.duplicate_labels += 1
                continue
            ledger.corrections += added.superseded
            ledger.add_waiting(front.bucket, 1 - added.superseded)
            changed.setdefault(front.bucket, {})[key] = front
        for bucket, those in changed.items():
            records = list(map(self._codec.write, those.values()))
            self._shelf.write(bucket, list(those), records)

    def take(self, keys: Sequence[bytes], latest: IntArray) -> Taken:
        """Take labels that wait for new predictions, up to a latest time `(n,) int64` of each."""
        ledger, codec = self._ledger, self._codec
        raw = self._shelf.get(keys) if ledger.waiting else []
        sizes = (0 if record is None else len(record) for record in raw)
        hits = [place for place, size in enumerate(sizes) if size > TAKEN_BYTES]
        if not hits:
            nothing = np.empty(0, np.int64)
            return Taken(nothing, self._form.unpack_waiting([]), nothing)
        found = np.array(hits, np.int64)
        records = [record for record in map(raw.__getitem__, hits) if record is not None]
        moved: dict[int, int] = {}
        came: dict[int, int] = {}
        for place, size in enumerate(map(len, records)):
            if size != codec.plain:
                front = codec.read(records[place])
                choice = choose(front.items, int(latest[hits[place]]))
                ledger.late += choice.others_late
                ledger.corrections += choice.superseded
                ledger.duplicate_labels += choice.equals
                ledger.add_waiting(front.bucket, 1 - len(front.items))
                records[place] = codec.item(choice.taken)
                moved[place] = front.bucket
                came[place] = choice.first
        labels = self._form.unpack_waiting(records)
        homes = labels.time // self._width
        homes[list(moved)] = list(moved.values())
        for bucket, count in tally(homes).items():
            gone = np.flatnonzero(homes == bucket)
            ledger.add_waiting(bucket, -count)
            marks = [taken(bucket)] * len(gone)
            self._shelf.write(bucket, pick(keys, found[gone]), marks)
        in_time = labels.time <= latest[found]
        ledger.late += len(found) - int(np.count_nonzero(in_time))
        first = labels.time.copy()
        first[list(came)] = list(came.values())
        return Taken(found[in_time], labels.take(np.flatnonzero(in_time)), first[in_time])
