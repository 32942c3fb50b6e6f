"""The stores of the join: one suite for all of them, and what holds for the one on disk alone."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Timer

import numpy as np
import pytest

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.store import Keys, Records, Space, Store
from streamgauge.io.joining import catalogue, merging, writing
from streamgauge.io.joining.join_store import JoinStore
from streamgauge.io.joining.opening import RECORDS, Origin
from streamgauge.io.joining.run import Run, RunWriter
from tests.support.stores import ALL_KEYS, Model, assert_same, get, octets, put, words, work

pytestmark = pytest.mark.usefixtures("either_way")


class Flushed:
    """The store on disk, flushed after whatever is done, so that reads come from files."""

    def __init__(self, store: JoinStore) -> None:
        self.store = store
        self.get = store.get
        self.sizes = store.sizes

    def put(
        self,
        space: Space,
        buckets: IntArray,
        keys: Keys,
        records: Records,
        *,
        known: bool | BoolArray,
    ) -> None:
        """Put and flush."""
        self.store.put(space, buckets, keys, records, known=known)
        self.store.flush(b"")

    def drop(self, space: Space, bucket: int) -> None:
        """Drop and flush."""
        self.store.drop(space, bucket)
        self.store.flush(b"")


@pytest.fixture(params=["memory", "disk", "flushed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Every store there is."""
    if request.param == "memory":
        yield MemoryStore()
        return
    on_disk = JoinStore.open(tmp_path / "store", "f")
    yield on_disk if request.param == "disk" else Flushed(on_disk)
    on_disk.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., JoinStore]]:
    """Open the store of this test; opened again, the one before is closed first."""
    stores: list[JoinStore] = []

    def again(fingerprint: str = "f") -> JoinStore:
        while stores:
            stores.pop().close()
        stores.append(JoinStore.open(tmp_path / "store", fingerprint))
        return stores[-1]

    yield again
    while stores:
        stores.pop().close()


# Every store


def test_what_was_put_is_there_for_the_next_get_and_nothing_else_is(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:3]) == [b"one", b"two", None]


def test_a_get_of_no_keys_finds_nothing(store: Store) -> None:
    assert get(store, Space.PREDICTIONS, []) == []
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    assert get(store, Space.PREDICTIONS, []) == []


def test_a_put_of_no_keys_makes_no_bucket(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, [], [])
    assert store.sizes(Space.PREDICTIONS) == {}


def test_a_key_may_be_sought_twice_at_once(store: Store) -> None:
    put(store, Space.LABELS, 3, ALL_KEYS[:1], [b"one"])
    assert get(store, Space.LABELS, [ALL_KEYS[0], ALL_KEYS[1], ALL_KEYS[0]]) == [
        b"one",
        None,
        b"one",
    ]


def test_each_space_has_keys_of_its_own(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"prediction"])
    put(store, Space.LABELS, 3, ALL_KEYS[:1], [b"label"])
    store.drop(Space.PREDICTIONS, 3)
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:1]) == [None]
    assert get(store, Space.LABELS, ALL_KEYS[:1]) == [b"label"]


def test_a_record_that_is_put_again_is_replaced(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[1:3], [b"TWO", b"six"])
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:3]) == [b"one", b"TWO", b"six"]


def test_a_dropped_bucket_is_gone_and_the_others_stay(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    put(store, Space.PREDICTIONS, 4, ALL_KEYS[1:2], [b"two"])
    store.drop(Space.PREDICTIONS, 3)
    store.drop(Space.PREDICTIONS, 99)
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:2]) == [None, b"two"]
    assert list(store.sizes(Space.PREDICTIONS)) == [4]


def test_a_bucket_that_comes_again_does_not_have_what_was_dropped(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    store.drop(Space.PREDICTIONS, 3)
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"ONE"])
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:2]) == [b"ONE", None]


def test_a_key_of_a_dropped_bucket_may_come_in_another_one(store: Store) -> None:
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.drop(Space.PREDICTIONS, 3)
    put(store, Space.PREDICTIONS, 2, ALL_KEYS[:1], [b"ONE"])
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:1]) == [b"ONE"]


def test_what_is_found_comes_in_the_order_of_the_keys_with_its_bucket(store: Store) -> None:
    for bucket, key in enumerate(ALL_KEYS[:50]):
        put(store, Space.LABELS, bucket, [key], [b"%02d" % bucket])
    order = np.random.default_rng(1).permutation(100)
    sought = [ALL_KEYS[place] for place in order.tolist()]
    found = store.get(Space.LABELS, words(sought))
    assert found.place.tolist() == np.flatnonzero(order < 50).tolist()
    assert found.bucket.tolist() == order[order < 50].tolist()


def test_sizes_ascend_by_bucket_and_grow_with_records(store: Store) -> None:
    put(store, Space.LABELS, 7, ALL_KEYS[:1000], [bytes(60)] * 1000)
    put(store, Space.LABELS, -2, ALL_KEYS[1000:1100], [bytes(60)] * 100)
    sizes = store.sizes(Space.LABELS)
    assert list(sizes) == [-2, 7]
    assert 1000 * 76 <= sizes[7] < 1000 * 300
    assert sizes[-2] < sizes[7]
    assert store.sizes(Space.PREDICTIONS) == {}


@pytest.mark.parametrize("seed", range(4))
def test_random_work_leaves_what_dictionaries_hold(store: Store, seed: int) -> None:
    rng, model = random.Random(seed), Model()
    for _ in range(40):
        work(store, model, rng)
        sought = rng.sample(ALL_KEYS, 300)
        for space in Space:
            records = model.records(space)
            assert get(store, space, sought) == [records.get(key) for key in sought]
    assert_same(store, model.content)


# On disk: opening again


def test_a_new_store_has_no_meta(opened: Callable[..., JoinStore]) -> None:
    store = opened()
    assert (store.origin, store.reason, store.meta()) == (Origin.NEW, "", None)
    assert opened().origin is Origin.NEW, "it was never flushed"


def test_what_was_flushed_is_there_when_opened_again_and_what_was_not_is_not(
    opened: Callable[..., JoinStore],
) -> None:
    store = opened()
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.flush(b"offsets")
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[1:2], [b"two"])
    store.drop(Space.PREDICTIONS, 3)
    store = opened()
    assert (store.origin, store.reason, store.meta()) == (Origin.KEPT, "", b"offsets")
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:2]) == [b"one", None]


def test_an_empty_meta_is_told_from_none(opened: Callable[..., JoinStore]) -> None:
    opened().flush(b"")
    assert opened().meta() == b""


@pytest.mark.parametrize("seed", range(3))
def test_random_work_with_openings_leaves_what_dictionaries_hold(
    opened: Callable[..., JoinStore], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small numbers, so that runs are merged in several parts, and openings come in the midst.
    monkeypatch.setattr(merging, "_PART_ROWS", 200)
    monkeypatch.setattr(writing, "_MERGED_FOR_EACH", 1)
    rng, model = random.Random(seed), Model()
    store = opened()
    for step in range(60):
        work(store, model, rng, most=500)
        if rng.random() < 0.8:
            store.flush(b"%d" % step)
            if rng.random() < 0.25:
                store = opened()
                assert store.origin is Origin.KEPT
                assert store.meta() == b"%d" % step
        if step % 10 == 0:
            assert_same(store, model.content)
    assert_same(store, model.content)


def test_every_key_is_found_again_in_runs_that_were_merged(
    opened: Callable[..., JoinStore],
) -> None:
    rng = np.random.default_rng(1)
    keys = octets(rng.integers(0, 2**64, (40_000, 2), np.uint64))
    store = opened()
    for number, start in enumerate(range(0, len(keys), 300)):
        some = keys[start : start + 300]
        put(store, Space.PREDICTIONS, number % 2, some, some)
        store.flush(b"")
        if number == 70:
            store = opened()
            assert store.origin is Origin.KEPT
    assert get(opened(), Space.PREDICTIONS, keys) == keys
    runs = [len(bucket.runs) for bucket in store._buckets.values()]
    assert max(runs) <= 15, "some 70 were written to each bucket"


def test_a_record_that_was_replaced_is_gone_once_runs_are_merged(
    opened: Callable[..., JoinStore],
) -> None:
    store = opened()
    for _ in range(30):
        put(store, Space.LABELS, 3, ALL_KEYS, [bytes(60)] * len(ALL_KEYS))
        store.flush(b"")
        assert store.sizes(Space.LABELS) == {3: len(ALL_KEYS) * (80 + 4)}
    # Eight that were merged go with the next catalogue, what they became is there, and a new one.
    assert store.nbytes < 11 * len(ALL_KEYS) * 84


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Hold back flushes until the event is set."""
    may_go_on, finish = Event(), RunWriter.finish

    def when_it_may(writer: RunWriter) -> Run:
        assert may_go_on.wait(30)
        return finish(writer)

    monkeypatch.setattr(RunWriter, "finish", when_it_may)
    yield may_go_on
    may_go_on.set()


def test_what_is_being_written_is_found_and_may_be_replaced(
    opened: Callable[..., JoinStore], held: Event
) -> None:
    store = opened()
    put(store, Space.PREDICTIONS, 1, ALL_KEYS[:3], [b"one"] * 3)
    store.flush(b"first")
    put(store, Space.PREDICTIONS, 1, ALL_KEYS[1:2], [b"two"])
    put(store, Space.PREDICTIONS, 2, ALL_KEYS[3:4], [b"six"])
    content = [b"one", b"two", b"one", b"six", None]
    assert store.meta() is None
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:5]) == content
    assert get(store, Space.PREDICTIONS, ALL_KEYS[4::-1]) == content[::-1]
    held.set()
    store.settle()
    assert store.meta() == b"first"
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:5]) == content
    store.flush(b"second")
    store = opened()
    assert store.meta() == b"second"
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:5]) == content


def test_what_is_dropped_while_it_is_being_written_stays_dropped(
    opened: Callable[..., JoinStore], held: Event
) -> None:
    store = opened()
    put(store, Space.LABELS, 1, ALL_KEYS[:2], [b"one"] * 2)
    put(store, Space.LABELS, 2, ALL_KEYS[2:4], [b"two"] * 2)
    store.flush(b"first")
    Timer(0.05, held.set).start()
    store.drop(Space.LABELS, 1)
    assert get(store, Space.LABELS, ALL_KEYS[:4]) == [None, None, b"two", b"two"]
    store.flush(b"second")
    assert get(opened(), Space.LABELS, ALL_KEYS[:4]) == [None, None, b"two", b"two"]


def test_closing_waits_until_all_is_written(opened: Callable[..., JoinStore], held: Event) -> None:
    store = opened()
    put(store, Space.LABELS, 1, ALL_KEYS[:2], [b"one"] * 2)
    store.flush(b"first")
    Timer(0.05, held.set).start()
    assert get(opened(), Space.LABELS, ALL_KEYS[:2]) == [b"one"] * 2


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([1] * 7, None),
        ([1] * 8, range(8)),
        ([9, *[1] * 7], None),
        ([9, *[1] * 8], range(1, 9)),
        ([8, 8, 8, *[1] * 8], range(11)),
        ([9, 8, 8, *[1] * 7], None),
        ([1, 9, *[1] * 7, 9, 1], range(10)),
    ],
)
def test_runs_are_merged_that_are_no_larger_than_all_later_ones_together(
    sizes: list[int], chosen: range | None
) -> None:
    assert merging.worth_merging(sizes) == chosen


def test_a_row_is_merged_a_few_times_and_runs_stay_few() -> None:
    sizes: list[int] = []
    written = most = 0
    for _ in range(4_096):
        sizes.append(1)
        while chosen := merging.worth_merging(sizes):
            written += sum(sizes[chosen.start : chosen.stop])
            sizes[chosen.start : chosen.stop] = [sum(sizes[chosen.start : chosen.stop])]
        most = max(most, len(sizes))
    assert written / 4_096 < 6
    assert most < 20


@pytest.mark.parametrize("other", ["g", "", "F"])
def test_a_store_of_another_fingerprint_is_begun_anew(
    opened: Callable[..., JoinStore], other: str
) -> None:
    store = opened("f")
    put(store, Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.flush(b"offsets")
    store = opened(other)
    assert (store.origin, store.meta()) == (Origin.REPLACED, None)
    assert "another configuration" in store.reason
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:1]) == [None]
    store.flush(b"again")
    assert opened(other).meta() == b"again"


def test_a_store_of_another_format_is_begun_anew(
    opened: Callable[..., JoinStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().flush(b"offsets")
    monkeypatch.setattr(catalogue, "FORMAT", catalogue.FORMAT + 1)
    store = opened()
    assert (store.origin, store.reason) == (Origin.REPLACED, "it has another format")


def test_a_file_where_the_store_should_be_is_replaced(tmp_path: Path) -> None:
    (tmp_path / RECORDS).write_text("not a store")
    store = JoinStore.open(tmp_path, "f")
    assert store.origin is Origin.REPLACED
    store.close()


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    JoinStore.open(tmp_path, "f").close()
    (tmp_path / RECORDS / catalogue.NAME).write_bytes(b"?")
    store = JoinStore.open(tmp_path, "f")
    assert store.origin is Origin.REPLACED
    store.close()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_files_of_dropped_buckets_are_given_back(opened: Callable[..., JoinStore]) -> None:
    rng = np.random.default_rng(1)
    store = opened()
    for number in range(3):
        some = [rng.bytes(16) for _ in range(20_000)]
        put(store, Space.LABELS, number, some, [rng.bytes(60) for _ in some])
        store.flush(b"")
    full = store.nbytes
    for number in range(2):
        store.drop(Space.LABELS, number)
    store.flush(b"")
    assert store.nbytes < full - 2 * 20_000 * 76


def test_only_files_that_the_catalogue_lists_are_left(opened: Callable[..., JoinStore]) -> None:
    store = opened()
    for number in range(3):
        put(store, Space.LABELS, number, ALL_KEYS[number : number + 1], [b"label"])
        store.drop(Space.LABELS, number - 1)
        store.flush(b"")
    folder = store._folder / RECORDS
    (folder / "run-99").write_bytes(b"of a flush that did not come to its end")
    opened()
    assert {file.name for file in folder.iterdir()} == {"catalogue", "run-3"}


def test_a_folder_of_an_earlier_version_is_removed(tmp_path: Path) -> None:
    (tmp_path / "join-store.rocksdb").mkdir()
    (tmp_path / "join-store.rocksdb" / "CURRENT").write_bytes(b"MANIFEST-000004")
    store = JoinStore.open(tmp_path, "f")
    assert store.origin is Origin.NEW
    store.close()
    assert not (tmp_path / "join-store.rocksdb").exists()
