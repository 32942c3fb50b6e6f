"""Joiner: labels meet the predictions that they are about, whichever comes first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.ledger import JoinCounts, Ledger
from streamgauge.core.joining.records import UNLABELLED, Joined, Labels, Pending, RecordFormat
from streamgauge.core.joining.repeats import distinct
from streamgauge.core.joining.revisions import revisions
from streamgauge.core.joining.shelf import Shelf
from streamgauge.core.joining.store import Keys, Records, Space, Store
from streamgauge.core.joining.waiting import WaitingLabels
from streamgauge.errors import DataError

KEPT_BUCKETS: Final = 1
"""Buckets of predictions kept after their time, so that what comes is told late, not orphaned."""
_NO_TIME: Final = np.iinfo(np.int64).min


class Arrived(NamedTuple):
    """What came of prediction events: the places of those with a new id, and pairs with labels."""

    new: IntArray
    joined: Joined


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """How long predictions wait for a label, and how many bytes both sides may take.

    A label is late whose time is more than `max_delay_ms` after its prediction's. `max_bytes`
    bounds the predictions, `max_waiting_bytes` the labels that come before theirs. Both are
    forgotten in buckets of event time, `buckets` of them in `max_delay_ms`.
    """

    max_delay_ms: int
    max_bytes: int
    max_waiting_bytes: int
    buckets: int = 8

    def __post_init__(self) -> None:
        for name in ("max_delay_ms", "max_bytes", "max_waiting_bytes", "buckets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def width_ms(self) -> int:
        """Width of a bucket in milliseconds."""
        return max(1, self.max_delay_ms // self.buckets)


class Joiner:
    """Joins the labels of one model with its predictions; all that waits is in the store.

    Events are taken in the order they come. The first prediction of an id counts; the label with
    the highest version does, the first of equals, among those in time. Once the watermark says that
    a bucket's time is over, all labels for its predictions are late.

    When a space exceeds its bytes, its oldest buckets are dropped. The newest stays, but admits no
    new ids once it alone takes `shelf.FULL` of them: until a later bucket begins, new predictions
    expire and labels without a prediction are orphans at once. Should what it has outgrow the bytes
    all the same, it goes too. A space is above its cap during a call at most, by that call's batch.

    To bring a store up to date after a crash, call the same methods with the events that came since
    and leave what they return. Events that the store knows already change no record; only a label
    whose prediction has been dropped since waits anew, as an orphan.
    """

    def __init__(
        self, spec: JoinSpec, form: RecordFormat, store: Store, ledger: Ledger | None = None
    ) -> None:
        self._spec = spec
        self._form = form
        self._width = spec.width_ms
        self._ledger = ledger or Ledger()
        self._shelf = Shelf(Space.PREDICTIONS, spec.max_bytes, form.prediction, store, self._ledger)
        self._labels = Shelf(
            Space.LABELS, spec.max_waiting_bytes, form.waiting, store, self._ledger
        )
        self._waiting = WaitingLabels(self._labels, form, spec.width_ms, self._ledger)
        self._over: tuple[int, int] | None = None
        """The first buckets of predictions and of labels to keep once the store has caught up."""

    @classmethod
    def restore(
        cls, spec: JoinSpec, form: RecordFormat, store: Store, state: Mapping[str, Any]
    ) -> "Joiner":
        """Go on with a store where a joiner left it when its state was taken.

        Raises:
            DataError: the state was left with other records or buckets.
        """
        difference = _difference(spec, form, state)
        if difference:
            raise DataError(
                f"join state: {difference}; remove the join store, it is built again from the "
                "inputs"
            )
        return cls(spec, form, store, Ledger.restore(state["ledger"]))

    @property
    def width_ms(self) -> int:
        """Width of a bucket in milliseconds."""
        return self._width

    def state(self) -> dict[str, object]:
        """Return what the joiner knows besides the store, as plain data."""
        ledger = self._ledger.state()
        if self._over is not None:  # not forgotten yet, but by whoever left the state
            for name, first in zip(("predictions_from", "labels_from"), self._over, strict=True):
                ledger[name] = max(getattr(self._ledger, name), first)
        return _identity(self._spec, self._form) | {"ledger": ledger}

    def overtake(self, state: Mapping[str, Any]) -> None:
        """Count what a state does, whose events the store may still have to learn: see `indexing`.

        Raises:
            ValueError: the state was left with other records or buckets.
        """
        difference = _difference(self._spec, self._form, state)
        if difference:
            raise ValueError(difference)
        self._ledger.overtake(state["ledger"])
        self._over = state["ledger"]["predictions_from"], state["ledger"]["labels_from"]

    @contextmanager
    def indexing(self) -> Iterator[None]:
        """Take events in the meantime that are counted already: only the store learns of them."""
        counted = self._ledger.counted()
        yield
        self._ledger.recount(counted)

    def caught_up(self) -> None:
        """Note that the store knows all that is counted, having been built again.

        `advance` does so too, when it was not told before. What was over by then goes now: a store
        that is only ever brought up to date would grow without end.
        Labels that waited although their prediction had been there, and was forgotten before they
        came, do not wait in it: read again, they find that prediction. Nothing can come of them, so
        they count as orphans now. The other way round, labels wait in a store that was only brought
        up to date although they are counted otherwise, as their prediction has been dropped from it
        since: they do not count as waiting, nor as orphans when their time is over.
        """
        if self._over is None:
            return
        predictions_from, labels_from = self._over
        with self.indexing():
            self._shelf.drop_before(predictions_from)
            self._labels.drop_before(labels_from)
        self._over = None
        counts = self.counts()
        found = counts.joined + counts.corrections + counts.waiting + counts.orphans
        found += counts.late + counts.duplicate_labels
        self._ledger.orphans += max(0, counts.labels - found)
        self._ledger.surplus = max(0, found - counts.labels)

    def counts(self) -> JoinCounts:
        """Return what became of all events so far."""
        return self._ledger.counts()

    def predictions(self, keys: Keys, pending: Pending, not_before: int = _NO_TIME) -> Arrived:
        """Let predictions wait for their labels, and return the pairs with labels that did.

        `keys` are those of the n events; no pair becomes known before `not_before` (ms).
        """
        self._ledger.predictions += len(keys)
        buckets = pending.time // self._width
        chosen, first = self._new_ids(keys, buckets)
        if len(chosen) < len(keys):
            keys, pending, buckets = keys[chosen], pending.take(chosen), buckets[chosen]
        found, labels, came = self._waiting.take(keys, self._latest(pending.time, buckets))
        if not len(found):
            self._ledger.add_pending(buckets)
            self._shelf.put(buckets, keys, self._form.pack_pending(pending), known=False)
            self._shelf.make_room()
            return Arrived(first, self._form.none())
        rest = np.delete(np.arange(len(keys)), found)
        self._ledger.add_pending(buckets[rest])
        records = self._form.pack_pending(pending.take(rest))
        self._shelf.put(buckets[rest], keys[rest], records, known=False)
        events = pending.take(found)
        label_time = np.maximum(np.maximum(came, events.time), not_before)
        self._ledger.joined += len(found)
        records = self._form.pack_labelled(events, labels, label_time)
        self._shelf.put(buckets[found], keys[found], records, known=False)
        self._shelf.make_room()
        ones = np.ones(len(found), np.int8)
        fresh = np.ones(len(found), bool)
        return Arrived(first, self._form.pairs(events, labels.label, label_time, ones, fresh))

    def labels(self, keys: Keys, labels: Labels, not_before: int = _NO_TIME) -> Joined:
        """Give labels to their predictions, and return the pairs to add and to take away.

        `keys` are those of the n events; no pair becomes known before `not_before` (ms). A
        correction takes the pair with the label before away and adds the one with the new label,
        both with the label time of the first.
        """
        self._ledger.labels += len(keys)
        found = self._shelf.get(keys)
        if len(found.place) < len(keys):
            unknown = np.delete(np.arange(len(keys)), found.place)
            self._waiting.add(keys[unknown], labels.take(unknown))
            keys, labels = keys[found.place], labels.take(found.place)
        if not len(keys):
            return self._form.none()
        first, owner = distinct(keys)
        return self._revise(keys[first], found.records[first], owner, labels, not_before)

    def advance(self, watermark_ms: int) -> None:
        """Forget what the watermark says can find no partner any more; it never goes back."""
        self.caught_up()
        ledger, spec = self._ledger, self._spec
        if watermark_ms <= ledger.watermark:
            return
        ledger.watermark = watermark_ms
        first = (watermark_ms - spec.max_delay_ms) // spec.width_ms
        if first <= ledger.open_from:
            return
        ledger.open(first)
        self._shelf.drop_before(first - KEPT_BUCKETS)
        self._labels.drop_before(first)

    def _new_ids(self, keys: Keys, buckets: IntArray) -> tuple[IntArray, IntArray]:
        """Find the events whose id is new and that may be kept, and all whose id is new.

        The others are counted.
        """
        stored = self._shelf.get(keys).place
        first = max(self._ledger.predictions_from, self._shelf.full_up_to() + 1)
        kept = buckets >= first
        ids = distinct(keys)
        everything = np.arange(len(keys))
        if kept.all() and not len(stored) and len(ids.first) == len(keys):
            return everything, everything
        new = np.ones(len(keys), np.bool_)
        new[stored] = False
        candidates = np.flatnonzero(new & kept)
        # Of each id the first event that may be kept: the last to be written here.
        chosen_of = np.full(len(ids.first), len(keys))
        chosen_of[ids.owner[candidates[::-1]]] = candidates[::-1]
        before = everything < chosen_of[ids.owner]
        passed = new & ~kept & before
        chosen = np.sort(chosen_of[chosen_of < len(keys)])
        self._ledger.expired += int(np.count_nonzero(passed))
        self._ledger.duplicates += len(keys) - len(chosen) - int(np.count_nonzero(passed))
        return chosen, np.union1d(chosen, np.flatnonzero(passed))

    def _revise(
        self,
        keys: Keys,
        records: Records,
        owner: IntArray,
        labels: Labels,
        not_before: int,
    ) -> Joined:
        """Label known predictions; `owner (n,) int64` says whose each label is."""
        ledger = self._ledger
        labelled = records["label_time"] != UNLABELLED
        time, version = records["time"].astype(np.int64), records["version"].astype(np.int64)
        buckets = time // self._width
        in_time = np.flatnonzero(labels.time <= self._latest(time, buckets)[owner])
        ledger.late += len(owner) - len(in_time)
        if len(in_time) < len(owner):
            owner, labels = owner[in_time], labels.take(in_time)
        taken = revisions(owner, labels.version, labelled, version)
        ledger.duplicate_labels += len(owner) - len(taken.label)
        if not len(taken.label):
            return self._form.none()
        # A prediction's first label sets the time when the pair became known.
        first = taken.first & ~labelled[taken.prediction]
        fresh = taken.prediction[first]
        label_time = records["label_time"].astype(np.int64)
        came = np.maximum(labels.time[taken.label[first]], time[fresh])
        label_time[fresh] = np.maximum(came, not_before)
        ledger.take_pending(buckets[fresh])
        ledger.corrections += len(first) - len(fresh)
        new = labels.label[taken.label]
        before = np.where(taken.first, records["label"][taken.prediction], np.roll(new, 1))
        events = self._form.events(records)
        is_fresh = np.zeros(len(keys), bool)
        is_fresh[fresh] = True
        whose, label, sign = taken.prediction, new, np.ones(len(new), np.int8)
        if not first.all():
            whose = np.concatenate((whose[~first], whose))
            label = np.concatenate((before[~first], new))
            sign = np.concatenate((np.full(np.count_nonzero(~first), -1, np.int8), sign))
        touched = taken.prediction[taken.last]
        final = taken.label[taken.last]
        records["label"][touched] = labels.label[final]
        records["version"][touched] = labels.version[final]
        records["label_time"] = label_time
        if len(touched) == len(keys):
            self._shelf.put(buckets, keys, records, known=True)
        else:
            self._shelf.put(buckets[touched], keys[touched], records[touched], known=True)
        self._shelf.make_room()
        if len(whose) < len(keys) or not first.all():
            events, label_time = events.take(whose), label_time[whose]
        return self._form.pairs(events, label, label_time, sign, is_fresh[whose])

    def _latest(self, time: IntArray, buckets: IntArray) -> IntArray:
        """Return up to when labels are in time: for predictions whose time is over, never."""
        latest = time + self._spec.max_delay_ms
        latest[buckets < self._ledger.open_from] = _NO_TIME
        return latest


def _difference(spec: JoinSpec, form: RecordFormat, state: Mapping[str, Any]) -> str:
    """Return what a state was left with that is another now, empty where nothing is."""
    for name, value in _identity(spec, form).items():
        if state[name] != value:
            return f"{name} was {state[name]}, now it is {value}"
    return ""


def _identity(spec: JoinSpec, form: RecordFormat) -> dict[str, object]:
    return {
        "records": form.signature,
        "max_delay_ms": spec.max_delay_ms,
        "bucket_ms": spec.width_ms,
    }
