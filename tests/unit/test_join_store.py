"""The stores of the join: one suite for all of them, and what holds for the one on disk alone."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.store import KEY_BYTES, Space, Store
from streamgauge.io.joining import bucket as bucket_module
from streamgauge.io.joining import catalogue, filters
from streamgauge.io.joining.join_store import JoinStore
from streamgauge.io.joining.opening import Origin
from tests.support.stores import ALL_KEYS, Model, assert_same, work

RECORDS = "join-store.rocksdb"


class Flushed:
    """The store on disk, flushed after whatever is done, so that reads come from files."""

    def __init__(self, store: JoinStore) -> None:
        self.store = store
        self.get = store.get
        self.sizes = store.sizes

    def put(self, space: Space, bucket: int, keys: list[bytes], values: list[bytes]) -> None:
        """Put and flush."""
        self.store.put(space, bucket, keys, values)
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
    yield on_disk if request.param == "disk" else Flushed(on_disk)  # type: ignore[misc]
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
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b""])
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:3]) == [b"one", b"", None]


def test_a_get_of_no_keys_finds_nothing(store: Store) -> None:
    assert store.get(Space.PREDICTIONS, []) == []
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    assert store.get(Space.PREDICTIONS, []) == []


def test_a_put_of_no_keys_makes_no_bucket(store: Store) -> None:
    store.put(Space.PREDICTIONS, 3, [], [])
    assert store.sizes(Space.PREDICTIONS) == {}


def test_a_key_may_be_sought_twice_at_once(store: Store) -> None:
    store.put(Space.LABELS, 3, ALL_KEYS[:1], [b"one"])
    assert store.get(Space.LABELS, [ALL_KEYS[0], ALL_KEYS[1], ALL_KEYS[0]]) == [
        b"one",
        None,
        b"one",
    ]


def test_each_space_has_keys_of_its_own(store: Store) -> None:
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"prediction"])
    store.put(Space.LABELS, 3, ALL_KEYS[:1], [b"label"])
    store.drop(Space.PREDICTIONS, 3)
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:1]) == [None]
    assert store.get(Space.LABELS, ALL_KEYS[:1]) == [b"label"]


def test_a_record_that_is_put_again_is_replaced(store: Store) -> None:
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[1:3], [b"TWO", b"three"])
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:3]) == [b"one", b"TWO", b"three"]


def test_a_dropped_bucket_is_gone_and_the_others_stay(store: Store) -> None:
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.put(Space.PREDICTIONS, 4, ALL_KEYS[1:2], [b"two"])
    store.drop(Space.PREDICTIONS, 3)
    store.drop(Space.PREDICTIONS, 99)
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:2]) == [None, b"two"]
    assert list(store.sizes(Space.PREDICTIONS)) == [4]


def test_a_bucket_that_comes_again_does_not_have_what_was_dropped(store: Store) -> None:
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:2], [b"one", b"two"])
    store.drop(Space.PREDICTIONS, 3)
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"ONE"])
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:2]) == [b"ONE", None]


def test_a_key_of_a_dropped_bucket_may_come_in_another_one(store: Store) -> None:
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.drop(Space.PREDICTIONS, 3)
    store.put(Space.PREDICTIONS, 2, ALL_KEYS[:1], [b"ONE"])
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:1]) == [b"ONE"]


def test_sizes_ascend_by_bucket_and_grow_with_records(store: Store) -> None:
    store.put(Space.LABELS, 7, ALL_KEYS[:1000], [bytes(60)] * 1000)
    store.put(Space.LABELS, -2, ALL_KEYS[1000:1100], [bytes(60)] * 100)
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
            assert store.get(space, sought) == [records.get(key) for key in sought]
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
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.flush(b"offsets")
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[1:2], [b"two"])
    store.drop(Space.PREDICTIONS, 3)
    store = opened()
    assert (store.origin, store.reason, store.meta()) == (Origin.KEPT, "", b"offsets")
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:2]) == [b"one", None]


def test_an_empty_meta_is_told_from_none(opened: Callable[..., JoinStore]) -> None:
    opened().flush(b"")
    assert opened().meta() == b""


@pytest.mark.parametrize("seed", range(3))
def test_random_work_with_openings_leaves_what_dictionaries_hold(
    opened: Callable[..., JoinStore], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small numbers, so that filters have several segments and are saved now and then.
    monkeypatch.setattr(filters, "SEGMENT_KEYS", 500)
    monkeypatch.setattr(bucket_module, "_SAVE_EVERY", 350)
    rng, model = random.Random(seed), Model()
    store = opened()
    for step in range(40):
        work(store, model, rng, most=500)
        if rng.random() < 0.5:
            store.flush(b"%d" % step)
            if rng.random() < 0.25:
                store = opened()
                assert store.origin is Origin.KEPT
                assert store.meta() == b"%d" % step
        if step % 10 == 0:
            assert_same(store, model.content)
    assert_same(store, model.content)


@pytest.mark.parametrize("seed", range(3))
def test_every_key_is_found_again_however_full_its_filter_was(
    opened: Callable[..., JoinStore], seed: int
) -> None:
    # A key that a full filter took for one that it has is not listed: when the store is opened its
    # marks have to be there all the same.
    data = np.random.default_rng(seed).bytes(KEY_BYTES * 40_000)
    keys = [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]
    store = opened()
    for bucket in range(2):
        mine = keys[bucket::2]
        for start in range(0, len(mine), 300):
            some = mine[start : start + 300]
            store.put(Space.PREDICTIONS, bucket, some, some)
            store.flush(b"")
            if start % 9_000 == 6_000:
                store = opened()
                assert store.origin is Origin.KEPT
    assert opened().get(Space.PREDICTIONS, keys) == keys


@pytest.mark.parametrize("other", ["g", "", "F"])
def test_a_store_of_another_fingerprint_is_begun_anew(
    opened: Callable[..., JoinStore], other: str
) -> None:
    store = opened("f")
    store.put(Space.PREDICTIONS, 3, ALL_KEYS[:1], [b"one"])
    store.flush(b"offsets")
    store = opened(other)
    assert (store.origin, store.meta()) == (Origin.REPLACED, None)
    assert "another configuration" in store.reason
    assert store.get(Space.PREDICTIONS, ALL_KEYS[:1]) == [None]
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
    (tmp_path / RECORDS / "CURRENT").write_bytes(b"?")
    store = JoinStore.open(tmp_path, "f")
    assert store.origin is Origin.REPLACED
    store.close()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_files_of_dropped_buckets_are_given_back(opened: Callable[..., JoinStore]) -> None:
    rng = np.random.default_rng(1)
    store = opened()
    for number in range(3):
        some = [rng.bytes(16) for _ in range(20_000)]
        store.put(Space.LABELS, number, some, [rng.bytes(60) for _ in some])
        store.flush(b"")
        store = opened()  # what is in the log goes to files
    full = store.nbytes
    for number in range(2):
        store.drop(Space.LABELS, number)
    store.flush(b"")
    assert store.nbytes < full - 2 * 20_000 * 76


def test_the_catalogue_lists_every_live_table(opened: Callable[..., JoinStore]) -> None:
    store = opened()
    for number in range(3):
        store.put(Space.LABELS, number, ALL_KEYS[:1], [b"label"])
        store.drop(Space.LABELS, number - 1)
        store.flush(b"")
    (encoded,) = store._tables.find("head", [b"catalogue"])
    assert encoded is not None
    listed = {entry["table"] for entry in msgspec.json.decode(encoded)["buckets"]}
    assert store._tables.names == listed | {"head"}
