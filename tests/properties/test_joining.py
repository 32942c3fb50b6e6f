"""The join equals a plain recount of the events, however they are ordered and cut into batches."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.joining.joiner import Joiner, JoinSpec
from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.records import Joined, Labels, Pending, RecordFormat
from streamgauge.core.joining.store import Keys, Space
from tests.support.stores import words

pytestmark = pytest.mark.usefixtures("either_way")

DELAY = 20
SPEC = JoinSpec(DELAY, max_bytes=1 << 30, max_waiting_bytes=1 << 30, buckets=4)
FORM = RecordFormat(specs=2, features=[10, 20, 30], numbers=False)


class Prediction(NamedTuple):
    """A prediction; its number goes along as its row, so that pairs tell which one they are of."""

    number: int
    name: int
    time: int


class Label(NamedTuple):
    """A label; its number is the class, so that pairs tell which one they are of."""

    number: int
    name: int
    time: int
    version: int


class Mark(NamedTuple):
    """The watermark moves."""

    number: int
    time: int


Event = Prediction | Label | Mark

NAMES = st.integers(0, 3)
# Eight times: no more labels of one id than are kept can wait without one giving way to another.
TIMES = st.integers(0, 7).map(lambda step: step * 7)
PREDICTIONS = st.tuples(st.just("p"), NAMES, TIMES, st.just(0))
LABELS = st.tuples(st.just("l"), NAMES, TIMES, st.integers(-1, 2))
MARKS = st.tuples(st.just("w"), st.just(0), st.integers(0, 90), st.just(0))


def numbered(drawn: Sequence[tuple[str, int, int, int]]) -> list[Event]:
    events: list[Event] = []
    for number, (kind, name, time, version) in enumerate(drawn):
        if kind == "p":
            events.append(Prediction(number, name, time))
        elif kind == "l":
            events.append(Label(number, name, time, version))
        else:
            events.append(Mark(number, time))
    return events


TIMELESS = st.lists(st.one_of(PREDICTIONS, LABELS, LABELS), max_size=40).map(numbered)
STREAM = st.lists(
    st.one_of(PREDICTIONS, PREDICTIONS, LABELS, LABELS, LABELS, MARKS), max_size=50
).map(numbered)
CUTS = st.sets(st.integers(1, 50))


def keys(events: Sequence[Prediction | Label]) -> Keys:
    return words([event.name.to_bytes(16, "big") for event in events])


def batches(events: Sequence[Event], cuts: set[int]) -> Iterator[list[Event]]:
    """Runs of one kind, cut before the events with these numbers."""

    def section(event: Event) -> tuple[int, type]:
        return sum(cut <= event.number for cut in cuts), type(event)

    for _, run in groupby(events, section):
        yield list(run)


def pending(events: Sequence[Prediction]) -> Pending:
    number = np.array([e.number for e in events], np.int64)
    return Pending(
        np.array([e.time for e in events], np.int64),
        np.stack((number, number + 1), axis=1).astype(np.int32),
        np.stack((number % 10, number % 20, number % 30), axis=1).astype(np.uint16),
        (number % 2).astype(np.int32),
        np.where(number % 3, number / 7, np.nan),
    )


def labels(events: Sequence[Label]) -> Labels:
    return Labels(
        np.array([e.time for e in events], np.int64),
        np.array([e.number for e in events], np.int32),
        np.array([e.version for e in events], np.int64),
    )


class Pair(NamedTuple):
    """What came out of a join: the numbers of prediction and label, and when."""

    prediction: int
    label: int
    label_time: int
    sign: int


def pairs(joined: Joined) -> list[Pair]:
    columns = (joined.rows[:, 0], joined.label, joined.label_time, joined.sign)
    return [Pair(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def feed(joiner: Joiner, batch: Sequence[Event]) -> list[Pair]:
    predictions = [e for e in batch if isinstance(e, Prediction)]
    told = [e for e in batch if isinstance(e, Label)]
    if predictions:
        return pairs(joiner.predictions(keys(predictions), pending(predictions)).joined)
    if told:
        return pairs(joiner.labels(keys(told), labels(told)))
    for event in batch:
        joiner.advance(event.time)
    return []


def check(counts: JoinCounts) -> None:
    c = counts
    assert c.predictions == c.joined + c.pending + c.expired + c.duplicates
    assert c.labels == (
        c.joined + c.corrections + c.waiting + c.orphans + c.late + c.duplicate_labels
    )
    assert min(c) >= 0


def contents(store: MemoryStore) -> dict[Space, dict[int, dict[bytes, bytes]]]:
    found = {space: store.contents(space) for space in Space}
    found[Space.LABELS] = {b: looked_at(rows) for b, rows in found[Space.LABELS].items()}
    return found


def looked_at(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Labels that wait, without those that gave way: their records stay, but are not looked at."""
    first, rest = 8 * b"\0", slice(8, None)  # the first word of an id's key is 0 here
    counts = {key[rest]: rows[key][-1] for key in rows if key.startswith(first)}
    numbers = {key: int.from_bytes(key[:8], "little") for key in rows}
    return {
        key: row
        for key, row in rows.items()
        if not numbers[key] or numbers[key] < counts[key[rest]]
    }


def net(found: Sequence[Pair]) -> dict[tuple[int, int], int]:
    sums: Counter[tuple[int, int]] = Counter()
    for pair in found:
        sums[pair.prediction, pair.label] += pair.sign
    return {what: count for what, count in sums.items() if count}


@settings(max_examples=150)
@given(TIMELESS, CUTS)
def test_sums_per_id_equal_a_plain_recount(events: list[Event], cuts: set[int]) -> None:
    joiner = Joiner(SPEC, FORM, MemoryStore())
    found = [pair for batch in batches(events, cuts) for pair in feed(joiner, batch)]

    expected = {}
    since = {}
    late = 0
    for name in range(4):
        mine = [e for e in events if isinstance(e, Prediction) and e.name == name]
        told = [e for e in events if isinstance(e, Label) and e.name == name]
        if not mine:
            continue
        in_time = [e for e in told if e.time - mine[0].time <= DELAY]
        late += len(told) - len(in_time)
        if in_time:
            # `max` returns the first of equals.
            expected[mine[0].number, max(in_time, key=lambda e: e.version).number] = 1
            since[mine[0].number] = max(in_time[0].time, mine[0].time)
    assert net(found) == expected
    counts = joiner.counts()
    check(counts)
    assert counts.joined == len(expected)
    assert counts.late <= late  # the others gave way to earlier ones before
    ids = {e.name for e in events if isinstance(e, Prediction)}
    assert counts.joined + counts.pending == len(ids)
    assert not counts.expired
    assert not counts.orphans
    assert {(pair.prediction, pair.label_time) for pair in found} == set(since.items())


class OneByOne:
    """The rules of the join told in the plainest way: one event after another, nothing packed."""

    def __init__(self) -> None:
        self.open = self.kept = -(10**9)
        self.known: dict[int, Prediction] = {}
        self.taken: dict[int, Label] = {}
        self.since: dict[int, int] = {}
        self.waiting: dict[int, tuple[int, list[Label]]] = {}
        self.pairs: list[Pair] = []
        self.seen = Counter[str]()

    def feed(self, event: Event) -> None:
        if isinstance(event, Mark):
            self.open = max(self.open, (event.time - DELAY) // 5)
            self.kept = self.open - 1
            self.known = {n: p for n, p in self.known.items() if p.time // 5 >= self.kept}
            self.waiting = {n: w for n, w in self.waiting.items() if w[0] >= self.open}
        elif isinstance(event, Prediction):
            self.seen["predictions"] += 1
            if event.name in self.known:
                self.seen["duplicates"] += 1
            elif event.time // 5 >= self.kept:
                self.known[event.name] = event
                self.taken.pop(event.name, None)
                _, queue = self.waiting.get(event.name, (0, []))
                in_time = [e for e in queue if self.in_time(e, event)]
                if in_time:
                    self.since[event.number] = max(in_time[0].time, event.time)
                    self.take(event, max(in_time, key=lambda e: e.version))
                if queue:
                    queue.clear()
        else:
            self.seen["labels"] += 1
            mine = self.known.get(event.name)
            if mine is None:
                if event.time // 5 >= self.open:
                    self.waiting.setdefault(event.name, (event.time // 5, []))[1].append(event)
            elif self.in_time(event, mine):
                before = self.taken.get(event.name)
                if before is None or event.version > before.version:
                    self.take(mine, event)

    def in_time(self, label: Label, prediction: Prediction) -> bool:
        return prediction.time // 5 >= self.open and label.time - prediction.time <= DELAY

    def take(self, prediction: Prediction, label: Label) -> None:
        before = self.taken.get(label.name)
        self.since.setdefault(prediction.number, max(label.time, prediction.time))
        since = self.since[prediction.number]
        if before is not None:
            self.pairs.append(Pair(prediction.number, before.number, since, -1))
        self.pairs.append(Pair(prediction.number, label.number, since, 1))
        self.taken[label.name] = label


@settings(max_examples=200)
@given(STREAM, CUTS, CUTS)
def test_pairs_are_those_of_one_event_after_another_however_batches_are_cut(
    events: list[Event], cuts: set[int], others: set[int]
) -> None:
    plain = OneByOne()
    for event in events:
        plain.feed(event)
    ends = []
    for how in (cuts, others, set(range(51))):
        store = MemoryStore()
        joiner = Joiner(SPEC, FORM, store)
        found = []
        before = joiner.counts()
        for batch in batches(events, how):
            found += feed(joiner, batch)
            now = joiner.counts()
            check(now)
            levels = {"pending", "waiting"}
            assert all(
                getattr(now, name) >= getattr(before, name)
                for name in JoinCounts._fields
                if name not in levels
            )
            before = now
        assert Counter(found) == Counter(plain.pairs)
        counts = joiner.counts()
        assert counts.duplicates == plain.seen["duplicates"]
        assert (counts.predictions, counts.labels) == (
            plain.seen["predictions"],
            plain.seen["labels"],
        )
        open_ids = [p for p in plain.known.values() if p.time // 5 >= plain.open]
        assert counts.pending == sum(p.name not in plain.taken for p in open_ids)
        ends.append((contents(store), joiner.state()))
    assert ends[0] == ends[1] == ends[2]


@settings(max_examples=100)
@given(STREAM, CUTS, CUTS)
def test_going_on_from_a_state_changes_nothing(
    events: list[Event], cuts: set[int], restarts: set[int]
) -> None:
    store, other = MemoryStore(), MemoryStore()
    through, stopping = Joiner(SPEC, FORM, store), Joiner(SPEC, FORM, other)
    for place, batch in enumerate(batches(events, cuts)):
        if place in restarts:
            state = json.loads(json.dumps(stopping.state()))
            stopping = Joiner.restore(SPEC, FORM, other, state)
        assert feed(through, batch) == feed(stopping, batch)
    assert contents(store) == contents(other)
    assert through.state() == stopping.state()


@settings(max_examples=100)
@given(STREAM, CUTS, CUTS, st.integers(0, 50))
def test_a_store_left_behind_catches_up_with_the_events_since(
    events: list[Event], cuts: set[int], others: set[int], flushed: int
) -> None:
    store = MemoryStore()
    joiner = Joiner(SPEC, FORM, store)
    for batch in batches(events[:flushed], cuts):
        feed(joiner, batch)
    kept, state = deepcopy(store), json.dumps(joiner.state())
    for batch in batches(events[flushed:], cuts):
        feed(joiner, batch)
    behind = Joiner.restore(SPEC, FORM, kept, json.loads(state))
    for batch in batches(events[flushed:], others):
        feed(behind, batch)  # what comes out has been counted before the crash
    assert contents(kept) == contents(store)
    assert behind.state() == joiner.state()


@settings(max_examples=100)
@given(TIMELESS, CUTS, CUTS, st.integers(0, 40))
def test_events_read_again_change_no_record_and_give_no_pair(
    events: list[Event], cuts: set[int], others: set[int], first: int
) -> None:
    store = MemoryStore()
    joiner = Joiner(SPEC, FORM, store)
    for batch in batches(events, cuts):
        feed(joiner, batch)
    before, levels = contents(store), joiner.counts()
    for batch in batches(events[first:], others):
        assert feed(joiner, batch) == []
    assert contents(store) == before
    counts = joiner.counts()
    assert (counts.pending, counts.waiting) == (levels.pending, levels.waiting)
    check(counts)


@settings(max_examples=100)
@given(STREAM, CUTS, st.integers(200, 900), st.integers(100, 400))
def test_caps_hold_after_every_call_and_every_event_is_accounted_for(
    events: list[Event], cuts: set[int], most: int, most_waiting: int
) -> None:
    store = MemoryStore()
    joiner = Joiner(JoinSpec(DELAY, most, most_waiting, buckets=4), FORM, store)
    found = []
    for batch in batches(events, cuts):
        found += feed(joiner, batch)
        check(joiner.counts())
        assert sum(store.sizes(Space.PREDICTIONS).values()) <= most
        assert sum(store.sizes(Space.LABELS).values()) <= most_waiting
    # What is dropped is never counted a second time.
    assert set(net(found).values()) <= {1}
    # A restore finds what it knew.
    restored = Joiner.restore(SPEC, FORM, store, json.loads(json.dumps(joiner.state())))
    assert restored.counts() == joiner.counts()
