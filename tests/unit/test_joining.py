"""Labels meet their predictions: what comes out, what is counted, and what stays within bounds."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pytest

from streamgauge.core.joining.fronts import MOST_LABELS, Front, Item, choose
from streamgauge.core.joining.joiner import Joiner, JoinSpec
from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.records import UNLABELLED, Joined, Labels, Pending, RecordFormat
from streamgauge.core.joining.repeats import distinct
from streamgauge.core.joining.revisions import revisions
from streamgauge.core.joining.store import KEY_BYTES, Keys, Space
from streamgauge.core.joining.table import RecordTable
from streamgauge.errors import DataError
from tests.support.stores import get, octets, put, words

pytestmark = pytest.mark.usefixtures("either_way")

DELAY = 80
SPEC = JoinSpec(DELAY, max_bytes=1 << 20, max_waiting_bytes=1 << 20, buckets=8)
FORM = RecordFormat(specs=1, features=[10], numbers=False)


def keys(*names: int) -> Keys:
    return words([name.to_bytes(KEY_BYTES, "big") for name in names])


def pending(*times: int) -> Pending:
    n = len(times)
    return Pending(
        np.array(times, np.int64),
        np.arange(n, dtype=np.int32)[:, None],
        np.zeros((n, 1), np.uint16),
        np.zeros(n, np.int32),
        np.full(n, 0.25),
    )


def labels(*events: tuple[int, int, int]) -> Labels:
    """Labels from (time, label, version)."""
    time, label, version = np.array(events, np.int64).reshape(-1, 3).T
    return Labels(time, label.astype(np.int32), version)


def told(joined: Joined) -> list[tuple[int, int, int]]:
    """Pairs as (label, label time, sign)."""
    columns = (joined.label, joined.label_time, joined.sign)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def counted(joiner: Joiner) -> dict[str, int]:
    """The counts that are not zero; their sums are right."""
    c = joiner.counts()
    assert c.predictions == c.joined + c.pending + c.expired + c.duplicates
    told = c.joined + c.corrections + c.waiting + c.orphans + c.late + c.duplicate_labels
    assert c.labels == told
    return {name: count for name, count in zip(JoinCounts._fields, c, strict=True) if count}


def joiner(spec: JoinSpec = SPEC) -> tuple[Joiner, MemoryStore]:
    store = MemoryStore()
    return Joiner(spec, FORM, store), store


def nbytes(store: MemoryStore, space: Space) -> int:
    return sum(store.sizes(space).values())


# What comes out


@pytest.mark.parametrize("labelled", [True, False])
def test_a_label_of_a_forgotten_prediction_is_accounted_for_in_a_store_built_anew(
    labelled: bool,
) -> None:
    late = 100 + 3 * DELAY
    first, _ = joiner()
    again, _ = joiner()
    for join in (first, again):
        if join is again:
            join.overtake(first.state())
        with join.indexing() if join is again else nullcontext():
            join.predictions(keys(1), pending(100))
            if labelled:
                join.labels(keys(1), labels((110, 3, 1)))
            if join is first:
                join.advance(late)
            join.labels(keys(1), labels((late - 5, 3, 2)))
    again.caught_up()
    before = counted(first)
    assert before.pop("waiting") == 1
    assert counted(again) == {**before, "orphans": 1}


def test_a_label_that_waits_anew_in_a_store_that_forgot_its_prediction_is_counted_once() -> None:
    late = 100 + 3 * DELAY
    label = labels((late - 5, 3, 1))
    other, _ = joiner()
    other.predictions(keys(1), pending(100))
    other.labels(keys(1), label)  # its prediction is still there: late
    other.advance(late)
    assert counted(other) == {"predictions": 1, "labels": 1, "late": 1, "expired": 1}
    there, store = joiner()
    there.predictions(keys(1), pending(100))
    there.advance(late)
    again = Joiner.restore(SPEC, FORM, store, there.state())
    again.overtake(other.state())
    with again.indexing():
        again.labels(keys(1), label)
    again.caught_up()
    assert counted(again) == counted(other)
    again = Joiner.restore(SPEC, FORM, store, again.state())
    again.labels(keys(2), labels((late, 3, 1)))
    assert counted(again) == {**counted(other), "labels": 2, "waiting": 1}
    again.advance(late + 3 * DELAY)
    assert counted(again) == {**counted(other), "labels": 2, "orphans": 1}


def test_the_next_to_go_on_is_told_what_was_forgotten_before_this_one_has_caught_up() -> None:
    owner, _ = joiner()
    owner.predictions(keys(1), pending(100))
    owner.advance(100 + 3 * DELAY)
    kept = owner.state()["ledger"]
    again, _ = joiner()
    again.overtake(owner.state())
    found = again.state()["ledger"]
    assert isinstance(found, dict)
    assert isinstance(kept, dict)
    for name in ("predictions_from", "labels_from", "open_from"):
        assert found[name] == kept[name] > -(2**62)


def test_a_store_that_is_behind_still_has_labels_that_its_state_has_forgotten() -> None:
    there, store = joiner()
    early = [(100, 3, 1), (101, 4, 2)]
    for label in early:
        there.labels(keys(1), labels(label))
    there.labels(keys(2), labels((100, 5, 1)))
    behind = there.state()
    other, _ = joiner()
    for label in early:
        other.labels(keys(1), labels(label))
    other.labels(keys(2), labels((100, 5, 1)))
    other.predictions(keys(1), pending(150))
    other.advance(100 + 3 * DELAY)
    again = Joiner.restore(SPEC, FORM, store, behind)
    again.overtake(other.state())
    with again.indexing():
        again.predictions(keys(1), pending(150))
    again.caught_up()
    assert counted(again) == counted(other)
    assert store.sizes(Space.LABELS) == {}


def test_a_store_that_is_only_brought_up_to_date_forgets_what_its_owner_does() -> None:
    owner, owned = joiner()
    store = MemoryStore()
    behind = joiner()[0].state()
    for step in range(60):
        now = 100 + step * SPEC.width_ms
        name = keys(step)
        owner.predictions(name, pending(now))
        owner.labels(name, labels((now, 3, 1)))
        owner.labels(keys(1000 + step), labels((now, 3, 1)))  # nobody's
        owner.advance(now)
        standby = Joiner.restore(SPEC, FORM, store, behind)
        standby.overtake(owner.state())
        with standby.indexing():
            standby.predictions(name, pending(now))
            standby.labels(name, labels((now, 3, 1)))
            standby.labels(keys(1000 + step), labels((now, 3, 1)))
        standby.caught_up()
        behind = standby.state()
        assert counted(standby) == counted(owner)
        for space in Space:
            assert store.sizes(space) == owned.sizes(space)
    assert 1 < len(store.sizes(Space.PREDICTIONS)) < 15


@pytest.mark.parametrize(("label_at", "known_at"), [(130, 130), (90, 100)])
def test_a_pair_becomes_known_with_the_later_of_both(label_at: int, known_at: int) -> None:
    there, _ = joiner()
    there.predictions(keys(1), pending(100))
    after = there.labels(keys(1), labels((label_at, 7, 0)))
    other, _ = joiner()
    assert told(other.labels(keys(1), labels((label_at, 7, 0)))) == []
    before = other.predictions(keys(1), pending(100)).joined
    assert told(after) == told(before) == [(7, known_at, 1)]
    assert counted(there) == counted(other) == {"predictions": 1, "labels": 1, "joined": 1}
    for mine, expected in zip(before[:5], pending(100), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_correction_takes_the_old_pair_away_at_its_own_time() -> None:
    join, _ = joiner()
    join.predictions(keys(1), pending(100))
    join.labels(keys(1), labels((110, 3, 1)))
    assert told(join.labels(keys(1), labels((120, 4, 2)))) == [(3, 110, -1), (4, 110, 1)]
    assert told(join.labels(keys(1), labels((121, 5, 2)))) == []
    assert told(join.labels(keys(1), labels((122, 5, 1)))) == []
    assert counted(join) == {
        "predictions": 1,
        "joined": 1,
        "labels": 4,
        "corrections": 1,
        "duplicate_labels": 2,
    }


def test_labels_of_one_id_in_a_batch_come_out_as_if_one_after_the_other() -> None:
    events = [(110, 1, 1), (111, 2, 0), (190, 3, 9), (112, 4, 2), (113, 5, 2), (114, 6, 5)]
    join, store = joiner()
    join.predictions(keys(1, 2), pending(100, 100))
    at_once = told(join.labels(keys(1, 1, 1, 1, 1, 1), labels(*events)))
    one, other = joiner()
    one.predictions(keys(1, 2), pending(100, 100))
    in_turn = [pair for event in events for pair in told(one.labels(keys(1), labels(event)))]
    assert sorted(at_once) == sorted(in_turn)
    assert counted(join) == counted(one)
    assert store.contents(Space.PREDICTIONS) == other.contents(Space.PREDICTIONS)


def test_of_predictions_with_one_id_the_first_counts() -> None:
    join, _ = joiner()
    join.predictions(keys(1, 1), pending(100, 101))
    join.predictions(keys(1), pending(102))
    found = join.labels(keys(1), labels((110, 1, 0)))
    assert found.time.tolist() == [100]
    assert counted(join) == {"predictions": 3, "duplicates": 2, "labels": 1, "joined": 1}


def test_regression_keeps_values_bit_for_bit() -> None:
    form = RecordFormat(specs=0, features=[], numbers=True)
    join = Joiner(SPEC, form, MemoryStore())
    values = np.array([0.1, -0.0, 1e-320, 1.7e308])
    events = Pending(
        np.arange(4), np.empty((4, 0), np.int64), np.empty((4, 0), np.uint16), values, values[::-1]
    )
    join.predictions(keys(1, 2, 3, 4), events)
    truth = np.array([np.pi, 0.1 + 0.2, -1e300, 5e-324])
    found = join.labels(keys(1, 2, 3, 4), Labels(np.arange(4) + 1, truth, np.zeros(4, np.int64)))
    for mine, expected in ((found.predicted, values), (found.score, values[::-1])):
        assert mine.tobytes() == np.ascontiguousarray(expected).tobytes()
    assert found.label.tobytes() == truth.tobytes()


# Time


def test_a_label_is_late_when_more_than_the_delay_after_its_prediction() -> None:
    join, _ = joiner()
    join.predictions(keys(1, 2), pending(100, 100))
    found = join.labels(keys(1, 2), labels((100 + DELAY, 1, 0), (101 + DELAY, 1, 0)))
    assert told(found) == [(1, 180, 1)]
    join.labels(keys(3), labels((200, 1, 0)))
    assert told(join.predictions(keys(3), pending(100)).joined) == []
    assert counted(join) == {"predictions": 3, "joined": 1, "pending": 2, "labels": 3, "late": 2}


def test_a_higher_version_that_is_late_does_not_hide_one_in_time() -> None:
    join, _ = joiner()
    join.labels(keys(1), labels((150, 1, 1)))
    join.labels(keys(1), labels((190, 2, 2)))
    assert told(join.predictions(keys(1), pending(100)).joined) == [(1, 150, 1)]
    assert counted(join) == {"predictions": 1, "joined": 1, "labels": 2, "late": 1}


def test_predictions_expire_then_are_late_to_label_then_are_gone() -> None:
    #   bucket 10: 100 to 109 · its time is over at 190 · it is kept until 200
    join, store = joiner()
    join.predictions(keys(1, 2, 3), pending(100, 109, 119))
    join.labels(keys(1), labels((150, 1, 1)))
    join.advance(189)
    assert counted(join)["pending"] == 2
    join.advance(190)
    assert (counted(join)["pending"], counted(join)["expired"]) == (1, 1)
    # Its event time is in time, but the watermark has passed all that is.
    assert told(join.labels(keys(2), labels((189, 1, 0)))) == []
    assert told(join.labels(keys(1), labels((180, 2, 2)))) == []
    assert counted(join)["late"] == 2
    assert told(join.predictions(keys(2), pending(109)).joined) == []
    assert told(join.predictions(keys(4), pending(105)).joined) == []
    assert (counted(join)["duplicates"], counted(join)["expired"]) == (1, 2)
    join.advance(150)  # never back
    join.advance(200)
    assert list(store.sizes(Space.PREDICTIONS)) == [11]
    join.labels(keys(2), labels((189, 1, 0)))
    assert counted(join)["waiting"] == 1
    join.predictions(keys(5, 5), pending(100, 100))  # below all that is kept
    join.advance(1_000)
    assert nbytes(store, Space.PREDICTIONS) == nbytes(store, Space.LABELS) == 0
    assert counted(join) == {
        "predictions": 7,
        "duplicates": 1,
        "joined": 1,
        "expired": 5,
        "labels": 4,
        "late": 2,
        "orphans": 1,
    }


def test_a_label_without_prediction_is_an_orphan_when_its_time_is_over() -> None:
    join, store = joiner()
    join.labels(keys(1, 2), labels((100, 1, 0), (110, 1, 0)))
    join.labels(keys(1), labels((150, 1, 1)))  # stays where the first one is, and goes with it
    assert counted(join) == {"labels": 3, "waiting": 3}
    join.advance(190)
    assert counted(join) == {"labels": 3, "waiting": 1, "orphans": 2}
    join.labels(keys(3), labels((109, 1, 0)))
    assert counted(join) == {"labels": 4, "waiting": 1, "orphans": 3}
    assert list(store.sizes(Space.LABELS)) == [11]


# Bounds


def test_a_flood_of_orphans_stays_under_its_cap_and_harms_no_other() -> None:
    spec = JoinSpec(DELAY, max_bytes=1 << 20, max_waiting_bytes=100_000)
    join, store = joiner(spec)
    join.predictions(keys(1, 2), pending(500, 500))
    for first in range(1_000, 41_000, 1_000):
        flood = labels(*[(510, 1, 0)] * 1_000)
        join.labels(keys(*range(first, first + 1_000)), flood)
        assert nbytes(store, Space.LABELS) <= 100_000
        counted(join)
    assert told(join.labels(keys(1), labels((520, 1, 0)))) == [(1, 520, 1)]
    waiting = counted(join)["waiting"]
    assert 1_000 < waiting == counted(join)["labels"] - 1 - counted(join)["orphans"]
    # The next bucket of event time begins anew.
    join.labels(keys(3), labels((520, 1, 0)))
    assert told(join.predictions(keys(3), pending(500)).joined) == [(1, 520, 1)]


def test_the_oldest_predictions_make_room() -> None:
    each = KEY_BYTES + FORM.prediction.itemsize
    join, store = joiner(JoinSpec(DELAY, max_bytes=each * 25, max_waiting_bytes=1_000))
    for bucket in range(4):
        names = keys(*range(bucket * 10, bucket * 10 + 10))
        join.predictions(names, pending(*[bucket * 10] * 10))
    assert list(store.sizes(Space.PREDICTIONS)) == [2, 3]
    assert counted(join) == {"predictions": 40, "pending": 20, "expired": 20}
    # What made room is not let in again.
    join.predictions(keys(5), pending(0))
    assert counted(join) == {"predictions": 41, "pending": 20, "expired": 21}


def test_a_bucket_that_fills_its_space_admits_no_more_but_all_its_labels() -> None:
    each = KEY_BYTES + FORM.prediction.itemsize
    join, store = joiner(JoinSpec(DELAY, max_bytes=each * 100, max_waiting_bytes=1_000))
    for name in range(100):
        join.predictions(keys(name), pending(5))
    let_in = counted(join)["pending"]
    assert 60 <= let_in <= 62
    assert counted(join)["expired"] == 100 - let_in
    join.labels(keys(*range(let_in)), labels(*[(6, 1, 0)] * let_in))
    assert counted(join)["joined"] == let_in
    assert nbytes(store, Space.PREDICTIONS) <= each * 100
    join.predictions(keys(1_000, 1_001), pending(9, 10))
    assert counted(join)["expired"] == 101 - let_in
    assert counted(join)["pending"] == 1  # a later bucket has begun


def test_a_batch_larger_than_the_cap_is_gone_but_counted() -> None:
    join, store = joiner(JoinSpec(DELAY, max_bytes=500, max_waiting_bytes=500))
    join.predictions(keys(*range(100)), pending(*[5] * 100))
    join.labels(keys(*range(200, 300)), labels(*[(5, 1, 0)] * 100))
    assert nbytes(store, Space.PREDICTIONS) == nbytes(store, Space.LABELS) == 0
    assert counted(join) == {"predictions": 100, "expired": 100, "labels": 100, "orphans": 100}


def test_a_flood_of_labels_on_one_id_takes_the_room_of_a_few() -> None:
    join, store = joiner()
    many = [(number, number, number) for number in range(5_000)]
    join.labels(keys(*[1] * 5_000), labels(*many))
    assert nbytes(store, Space.LABELS) <= MOST_LABELS * (KEY_BYTES + FORM.waiting.itemsize)
    assert counted(join) == {"labels": 5_000, "waiting": MOST_LABELS, "corrections": 4_992}
    assert told(join.predictions(keys(1), pending(4_990)).joined) == [(4_999, 4_990, 1)]


# Records


def test_records_are_packed_and_lose_nothing() -> None:
    form = RecordFormat(specs=2, features=[255, 3], numbers=False)
    assert form.prediction.itemsize == 8 + 8 + 4 + 2 * 4 + 2 * 1 + 4 + 8 + 8
    assert RecordFormat(2, [256, 3], False).prediction.itemsize == form.prediction.itemsize + 2
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    events = Pending(
        np.array([low, high]),
        np.array([[0, 2**31 - 1], [7, 8]], np.int32),
        np.array([[254, 0], [1, 2]], np.uint16),
        np.array([-(2**31), 2**31 - 1], np.int32),
        np.array([0x7FF8_0000_0000_1234, 1], np.uint64).view(np.float64),
    )
    marks = Labels(np.array([high, low]), np.array([5, -6], np.int32), np.array([low, high]))
    without = form.pack_pending(events)
    assert (without["label_time"] == UNLABELLED).all()
    records = form.pack_labelled(events, marks, np.array([0, high]))
    for some in without, records:
        for mine, expected in zip(form.events(some), events, strict=True):
            assert (mine.dtype, mine.tobytes()) == (expected.dtype, expected.tobytes())
    assert records["label"].tolist() == [5, -6]
    assert records["version"].tolist() == [low, high]
    assert records["label_time"].tolist() == [0, high]
    back = form.unpack_waiting(form.pack_waiting(marks))
    assert [column.tolist() for column in back] == [column.tolist() for column in marks]


def test_a_record_of_another_length_is_refused_with_a_remedy() -> None:
    join, store = joiner()
    put(store, Space.PREDICTIONS, 1, octets(keys(1)), [b"what?"])
    with pytest.raises(DataError, match="another length; remove the store"):
        join.labels(keys(1), labels((1, 1, 1)))


@pytest.mark.parametrize(
    ("spec", "form"),
    [
        (JoinSpec(DELAY + 1, 1, 1), FORM),
        (JoinSpec(DELAY, 1, 1, buckets=4), FORM),
        (SPEC, RecordFormat(1, [11], False)),
        (SPEC, RecordFormat(1, [10], True)),
    ],
)
def test_a_state_of_other_records_or_buckets_is_refused(spec: JoinSpec, form: RecordFormat) -> None:
    join, store = joiner()
    with pytest.raises(DataError, match=r"join state: .* was .*, now it is .*; remove the join"):
        Joiner.restore(spec, form, store, join.state())


@pytest.mark.parametrize("name", ["max_delay_ms", "max_bytes", "max_waiting_bytes", "buckets"])
def test_a_spec_without_room_is_refused(name: str) -> None:
    values = {"max_delay_ms": 1, "max_bytes": 1, "max_waiting_bytes": 1, "buckets": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        JoinSpec(**values)


# The parts


def test_revisions_equal_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        n, u = int(random.integers(0, 30)), int(random.integers(1, 8))
        prediction = random.integers(0, u, n)
        version = random.integers(-2, 3, n)
        labelled = random.random(u) < 0.5
        known = np.where(labelled, random.integers(-2, 3, u), 0)
        best: dict[int, int] = {i: int(known[i]) for i in range(u) if labelled[i]}
        taken: list[tuple[int, int]] = []
        for place, (owner, value) in enumerate(zip(prediction.tolist(), version.tolist())):  # noqa: B905
            if owner not in best or value > best[owner]:
                best[owner] = value
                taken.append((owner, place))
        found = revisions(prediction, version, labelled, known)
        owners = [owner for owner, _ in sorted(taken)]
        assert list(zip(found.prediction, found.label, strict=True)) == sorted(taken)
        changes = [a != b for a, b in zip(owners, [-1, *owners], strict=False)]
        assert found.first.tolist() == changes
        assert found.last.tolist() == [*changes[1:], True][: len(owners)]


def plain_choice(items: Sequence[Item], latest: int) -> Item | None:
    return max((i for i in items if i.time <= latest), key=lambda i: i.version, default=None)


def test_a_front_keeps_the_labels_that_are_taken_and_come_first_whatever_the_time() -> None:
    random = np.random.default_rng(5)
    for _ in range(300):
        items = [
            Item(int(time), label, int(version))
            for label, (time, version) in enumerate(random.integers(0, 7, (12, 2)))
        ]
        front = Front(0)
        gone = 0
        for item in items:
            added = front.add(item)
            gone += added.duplicate + added.superseded
        assert len(front.items) + gone == len(items)
        for latest in range(8):
            expected = plain_choice(items, latest)
            choice = choose(front.items, latest)
            late = [item for item in front.items if item.time > latest]
            assert choice.taken == (expected or front.items[0])
            came = next((item for item in items if item.time <= latest), front.items[0])
            assert choice.first == came.time
            rest = choice.others_late + choice.superseded + choice.equals
            assert rest == len(front.items) - 1
            assert choice.others_late == len(late) - (expected is None)


def test_distinct_keys_equal_a_plain_loop() -> None:
    random = np.random.default_rng(7)
    for n in range(60):
        some = random.integers(0, 3, (n, 2), np.uint64)  # many with one first word
        places: dict[tuple[int, ...], int] = {}
        firsts, owners = [], []
        for place, key in enumerate(map(tuple, some.tolist())):
            if key not in places:
                places[key] = len(places)
                firsts.append(place)
            owners.append(places[key])
        found = distinct(some)
        assert (found.first.tolist(), found.owner.tolist()) == (firsts, owners)


def test_the_memory_store_knows_its_size_and_keeps_a_key_in_one_bucket() -> None:
    store = MemoryStore()
    put(store, Space.LABELS, 2, octets(keys(1, 2)), [b"one", b"two"])
    put(store, Space.LABELS, 2, octets(keys(1)), [b"ONE"])
    put(store, Space.LABELS, 1, octets(keys(3)), [b"six"])
    assert get(store, Space.LABELS, octets(keys(1, 2, 3, 4))) == [b"ONE", b"two", b"six", None]
    assert get(store, Space.PREDICTIONS, octets(keys(1))) == [None]
    assert list(store.sizes(Space.LABELS).items()) == [(1, 19), (2, 38)]
    store.drop(Space.LABELS, 2)
    assert get(store, Space.LABELS, octets(keys(1, 3))) == [None, b"six"]
    assert store.sizes(Space.LABELS) == {1: 19}
    with pytest.raises(AssertionError, match="a key in two buckets"):
        put(store, Space.LABELS, 5, octets(keys(3)), [b"SIX"])


def test_a_table_finds_keys_that_would_have_the_same_place() -> None:
    random = np.random.default_rng(8)
    table, plain = RecordTable(), dict[tuple[int, ...], bytes]()
    for _ in range(40):
        some = random.integers(0, 30, (50, 2), np.uint64)
        some[:, 1] <<= np.uint64(50)  # the same place in any table
        some = some[distinct(some).first]
        records = np.frombuffer(random.bytes(5 * len(some)), "V5")
        table.put(np.zeros(len(some), np.int64), some, records)
        plain |= zip(map(tuple, some.tolist()), [r.tobytes() for r in records], strict=True)
    pairs = np.stack(np.meshgrid(np.arange(31), np.arange(31)), -1).reshape(-1, 2)
    everything = pairs.astype(np.uint64) << np.array([0, 50], np.uint64)
    found = table.get(everything)
    sought = list(map(tuple, everything[found.place].tolist()))
    values = [record.tobytes() for record in found.records]
    assert dict(zip(sought, values, strict=True)) == plain
    assert len(table) == len(plain)
