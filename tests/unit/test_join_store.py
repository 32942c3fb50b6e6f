"""The stores of the join: one suite for all of them, and what holds for the one on disk alone."""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.store import Space, Store
from streamgauge.io.joining import bucket as bucket_module
from streamgauge.io.joining import filters
from streamgauge.io.joining.errors import (
    JoinStoreBusyError,
    JoinStoreDamagedError,
    JoinStoreError,
    failure,
)
from streamgauge.io.joining.filters import Segment, marks
from streamgauge.io.joining.join_store import JoinStore, Origin
from tests.support.stores import ALL_KEYS, Content, Model, assert_same, work

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
    monkeypatch.setattr("streamgauge.io.joining.join_store.FORMAT", 2)
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


# On disk: kills

CHILD = """
import random, sys
from pathlib import Path
from streamgauge.io.joining.join_store import JoinStore
from tests.support.stores import Model, work
store = JoinStore.open(Path(sys.argv[1]), "f")
first, rng, model = int(store.meta() or b"0"), random.Random(1), Model()
if first:
    raise SystemExit("the store should be new")
for number in range(1, 10**9):
    for _ in range(3):
        work(store, model, rng)
    store.flush(b"%d" % number)
    print(number, flush=True)
"""


def replayed(flushes: int) -> Content:
    """What the child's store holds after so many flushes."""
    rng, model, scratch = random.Random(1), Model(), MemoryStore()
    for _ in range(3 * flushes):
        work(scratch, model, rng)
    return model.content


@pytest.mark.parametrize("patience", [0.0, 0.05, 0.21])
def test_after_a_kill_the_store_is_what_it_was_after_a_flush(
    tmp_path: Path, patience: float
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child:
        told = [child.stdout.readline()]
        time.sleep(patience)
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    complete = [int(line) for line in told if line.endswith("\n")]
    store = JoinStore.open(tmp_path, "f")
    assert store.origin is Origin.KEPT
    flushes = int(store.meta() or b"0")
    assert flushes in (complete[-1], complete[-1] + 1), "a flush that was reported is lost"
    assert_same(store, replayed(flushes))
    store.close()


# On disk: damage


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, Content]]:
    """A store with records in files and in the log, and what it held at every flush."""
    folder = tmp_path_factory.mktemp("history")
    rng, model = random.Random(5), Model()
    states: dict[bytes, Content] = {}
    for round_ in range(2):
        store = JoinStore.open(folder, "f")
        for number in range(4):
            for _ in range(4):
                work(store, model, rng)
            meta = b"%d-%d" % (round_, number)
            store.flush(meta)
            states[meta] = model.copy()
        store.close()
    return folder / RECORDS, states


def flipped(file: Path, rng: random.Random) -> None:
    """Flip one bit."""
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def truncated(file: Path, rng: random.Random) -> None:
    """Cut the end off."""
    os.truncate(file, rng.randrange(file.stat().st_size))


def removed(file: Path, rng: random.Random) -> None:
    """Remove the file."""
    file.unlink()


@pytest.mark.parametrize("harm", [flipped, truncated, removed])
def test_damage_is_noticed_or_harmless(
    tmp_path: Path,
    history: tuple[Path, dict[bytes, Content]],
    harm: Callable[[Path, random.Random], None],
) -> None:
    rng = random.Random(7)
    whole, states = history
    names = {p.name for p in whole.iterdir() if p.stat().st_size and not p.name.startswith("LOG")}
    ends = []
    for name in sorted(names):
        folder = tmp_path / name
        shutil.copytree(whole, folder / RECORDS)
        harm(folder / RECORDS / name, rng)
        store = JoinStore.open(folder, "f")
        try:
            if store.origin is Origin.KEPT:
                meta = store.meta()
                assert meta is not None
                assert_same(store, states[meta])
            else:
                assert store.meta() is None
                assert_same(store, Model().content)
            ends.append(store.origin)
        except JoinStoreDamagedError:
            store.close()
            store = JoinStore.open(folder, "f")
            assert store.origin is Origin.REPLACED
            assert_same(store, Model().content)
            ends.append(Origin.REPLACED)
        finally:
            store.close()
    assert Origin.REPLACED in ends


def test_damage_that_shows_late_names_the_folder_and_the_next_store_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JoinStore.open(tmp_path, "f")
    store.put(Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)
    store.flush(b"offsets")

    def damaged(name: str, keys: list[bytes]) -> list[bytes | None]:
        raise failure(tmp_path, "reading", Exception("Corruption: block checksum mismatch"))

    with monkeypatch.context() as patched:
        patched.setattr(store._tables, "find", damaged)
        with pytest.raises(JoinStoreDamagedError, match=rf"{tmp_path}.*checksum.*start again"):
            store.get(Space.LABELS, ALL_KEYS[:1])
    store.close()
    store = JoinStore.open(tmp_path, "f")
    assert (store.origin, store.reason) == (Origin.REPLACED, "it was found damaged")
    store.flush(b"again")
    store.close()
    store = JoinStore.open(tmp_path, "f")
    assert (store.origin, store.meta()) == (Origin.KEPT, b"again")
    store.close()


# On disk: what the operating system refuses


def test_a_folder_that_is_open_already_is_refused(tmp_path: Path) -> None:
    store = JoinStore.open(tmp_path, "f")
    store.flush(b"offsets")
    with pytest.raises(JoinStoreBusyError, match=f"{tmp_path}: another process has it open"):
        JoinStore.open(tmp_path, "g")
    program = (
        "import sys; from pathlib import Path;"
        "from streamgauge.io.joining.join_store import JoinStore;"
        "JoinStore.open(Path(sys.argv[1]), 'g')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "JoinStoreBusyError" in done.stderr
    store.close()
    store = JoinStore.open(tmp_path, "f")
    assert store.meta() == b"offsets"
    store.close()


def test_a_folder_that_cannot_be_made_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JoinStoreError, match=r"file/store: Not a directory; choose a path"):
        JoinStore.open(tmp_path / "file" / "store", "f")


LIMITED = """
import resource, sys
from pathlib import Path
from streamgauge.core.joining.store import Space
from streamgauge.errors import StreamgaugeError
from streamgauge.io.joining.join_store import JoinStore
from tests.support.stores import ALL_KEYS
store = JoinStore.open(Path(sys.argv[1]), "f")
store.put(Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)
store.flush(b"good")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for number in range(100):
        store.put(Space.LABELS, 2, ALL_KEYS[1000:], [bytes(60)] * 2000)
        store.flush(b"bad" if number else b"bad too")
except StreamgaugeError as error:
    print(error)
"""


def test_a_refused_write_is_told_with_a_remedy_and_the_flush_before_it_stays(
    tmp_path: Path,
) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY:
        pytest.skip("the size of files is limited here already")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"join store {tmp_path}: writing: ")
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "ulimit -f" in done.stdout
    store = JoinStore.open(tmp_path, "f")
    assert (store.origin, store.meta()) == (Origin.KEPT, b"good")
    assert store.get(Space.LABELS, ALL_KEYS[:9]) == [b"label"] * 9
    store.close()


def test_after_a_refused_write_nothing_is_flushed_until_the_store_is_opened_again(
    opened: Callable[..., JoinStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    store.put(Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)

    def full(batch: object) -> None:
        raise failure(Path("/x"), "writing", Exception(os.strerror(errno.ENOSPC)))

    with monkeypatch.context() as patched:
        patched.setattr(store._tables, "write", full)
        with pytest.raises(JoinStoreError, match="free some space"):
            store.flush(b"one")
    with pytest.raises(JoinStoreError, match="free some space"):
        store.flush(b"two")
    assert store.meta() is None
    store = opened()
    assert store.meta() is None
    store.put(Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)
    store.flush(b"three")
    assert opened().get(Space.LABELS, ALL_KEYS[:9]) == [b"label"] * 9


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "let this user read and write"),
        (errno.EROFS, "can be written"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "check the disk"),
    ],
)
def test_causes_outside_the_store_are_no_damage(number: int, remedy: str) -> None:
    said = Exception(f"IO error: While appending to file: /x/000004.log: {os.strerror(number)}")
    error = failure(Path("/x"), "writing", said)
    assert not isinstance(error, JoinStoreDamagedError)
    assert str(error).startswith("join store /x: writing: IO error")
    assert remedy in str(error)


# Filters


def test_a_full_segment_has_all_its_keys_and_few_others() -> None:
    rng = np.random.default_rng(3)
    data = rng.bytes(16 * (filters.SEGMENT_KEYS + 200_000))
    all_marks = marks([data])
    inside = all_marks.some(slice(0, filters.SEGMENT_KEYS))
    outside = all_marks.some(slice(filters.SEGMENT_KEYS, None))
    segment = Segment.empty()
    segment.add(inside)
    assert segment.room == 0
    assert segment.perhaps(inside).all()
    assert segment.perhaps(outside).mean() < 0.005
    again = Segment.restored(segment.data, segment.count)
    assert (again.words == segment.words).all()


def test_a_segment_that_was_cut_is_no_segment() -> None:
    with pytest.raises(ValueError, match="a segment of 8 bytes"):
        Segment.restored(bytes(8), 1)


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
