"""Waiting labels: those that came before their predictions."""

from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.fronts import Front, Item, choose, items_of, numbered
from streamgauge.core.joining.ledger import Ledger, tally
from streamgauge.core.joining.records import Labels, RecordFormat
from streamgauge.core.joining.repeats import distinct
from streamgauge.core.joining.shelf import Shelf
from streamgauge.core.joining.store import Found, Keys


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

    def add(self, keys: Keys, labels: Labels) -> None:
        """Let labels wait whose predictions are not known."""
        ledger = self._ledger
        buckets = labels.time // self._width
        found = self._shelf.get(keys)
        first = max(ledger.labels_from, self._shelf.full_up_to() + 1)
        plain = buckets >= first
        ids = distinct(keys)
        if len(found.place) or len(ids.first) < len(keys):
            alone = np.bincount(ids.owner)[ids.owner] == 1
            alone[found.place] = False
            crowd = np.flatnonzero(~alone & (buckets >= ledger.labels_from))
            held = np.isin(found.place, crowd)
            there = Found(*(column[held] for column in found))
            there = there._replace(place=np.searchsorted(crowd, there.place))
            self._add_in_turn(keys[crowd], labels.take(crowd), there, first)
            plain &= alone
            ledger.orphans -= len(crowd)
        chosen = np.flatnonzero(plain)
        ledger.orphans += len(keys) - len(chosen)
        if len(chosen) < len(keys):
            keys, labels, buckets = keys[chosen], labels.take(chosen), buckets[chosen]
        for bucket, count in tally(buckets).items():
            ledger.add_waiting(bucket, count)
        self._shelf.put(buckets, keys, self._form.pack_waiting(labels), known=False)
        self._shelf.make_room()

    def _add_in_turn(self, keys: Keys, labels: Labels, found: Found, first: int) -> None:
        """Let labels wait of which there may be several of one id; new ids from a bucket on."""
        ledger = self._ledger
        ids = distinct(keys)
        fronts: dict[int, Front] = {}
        there = dict(zip(found.place.tolist(), self._fronts(keys, found), strict=True))
        written = {place: max(1, len(front.items)) for place, front in there.items()}
        changed: dict[int, int] = {}
        for place, (one, item) in enumerate(zip(ids.owner.tolist(), items_of(labels), strict=True)):
            front = fronts.get(one) or there.get(place)
            if front is None:
                if item.time // self._width < first:
                    ledger.orphans += 1
                    continue
                front = Front(item.time // self._width)
            fronts[one] = front
            added = front.add(item)
            if added.duplicate:
                ledger.duplicate_labels += 1
                continue
            ledger.corrections += added.superseded
            ledger.add_waiting(front.bucket, 1 - added.superseded)
            changed.setdefault(one, written.get(int(ids.first[one]), 0))
        self._write(keys[ids.first], {one: fronts[one] for one in changed}, changed)

    def _fronts(self, keys: Keys, found: Found) -> list[Front]:
        """Return the front of each record that was found."""
        firsts = items_of(self._form.unpack_waiting(found.records))
        counts = found.records["count"].tolist()
        rows = zip(found.bucket.tolist(), firsts, counts, strict=True)
        fronts = [Front(bucket, [item] if count else []) for bucket, item, count in rows]
        further = [(i, number) for i, count in enumerate(counts) for number in range(1, count)]
        if further:
            whose, numbers = np.array(further, np.int64).T
            rest = self._shelf.get(numbered(keys[found.place[whose]], numbers))
            assert len(rest.place) == len(further)
            items = items_of(self._form.unpack_waiting(rest.records))
            for place, item in zip(whose.tolist(), items, strict=True):
                fronts[place].items.append(item)
        return fronts

    def _write(self, keys: Keys, fronts: dict[int, Front], before: dict[int, int]) -> None:
        """Write the fronts of some ids, by their places among the keys.

        `before` is how many records each had.
        """
        rows = [
            (one, front.bucket, number, len(front.items), number < before[one], item)
            for one, front in fronts.items()
            for number, item in enumerate(front.items)
        ]
        if not rows:
            return
        whose, buckets, numbers, counts, known, items = zip(*rows, strict=True)
        records = self._form.pack_waiting(self._labels(items))
        records["count"] = counts
        mine = numbered(keys[np.array(whose)], np.array(numbers))
        self._shelf.put(np.array(buckets, np.int64), mine, records, known=np.array(known))

    def take(self, keys: Keys, latest: IntArray) -> Taken:
        """Take labels that wait for new predictions, up to a latest time `(n,) int64` of each."""
        ledger = self._ledger
        if ledger.waiting:
            found = self._shelf.get(keys)
            held = found.records["count"] > 0
            found = Found(*(column[held] for column in found))
        if not ledger.waiting or not len(found.place):
            nothing = np.empty(0, np.int64)
            return Taken(nothing, self._labels(()), nothing)
        place, bucket, records = found
        for home, count in tally(bucket).items():
            ledger.add_waiting(home, -count)
        labels = self._form.unpack_waiting(records)
        first = labels.time.copy()
        crowds = np.flatnonzero(records["count"] > 1)
        several = Found(place[crowds], bucket[crowds], records[crowds])
        for at, front in zip(crowds.tolist(), self._fronts(keys, several), strict=True):
            choice = choose(front.items, int(latest[place[at]]))
            ledger.late += choice.others_late
            ledger.corrections += choice.superseded
            ledger.duplicate_labels += choice.equals
            ledger.add_waiting(front.bucket, 1 - len(front.items))
            for column, value in zip(labels, choice.taken, strict=True):
                column[at] = value
            first[at] = choice.first
        nothing_left = np.zeros(len(place), self._form.waiting)
        self._shelf.put(bucket, keys[place], nothing_left, known=True)
        in_time = labels.time <= latest[place]
        ledger.late += len(place) - int(np.count_nonzero(in_time))
        return Taken(place[in_time], labels.take(np.flatnonzero(in_time)), first[in_time])

    def _labels(self, items: "tuple[Item, ...]") -> Labels:
        dtype = self._form.waiting
        columns = zip(*items, strict=True) if items else ((), (), ())
        return Labels(
            *(np.array(c, dtype[name]) for name, c in zip(Labels._fields, columns, strict=True))
        )
