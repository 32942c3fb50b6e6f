"""The join store on disk in trouble: kills, damaged files, refused writes."""

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
from threading import Event, Thread

import numpy as np
import pytest

from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.store import Space
from streamgauge.io.joining import catalogue
from streamgauge.io.joining.errors import (
    JoinStoreBusyError,
    JoinStoreDamagedError,
    JoinStoreError,
    os_failure,
)
from streamgauge.io.joining.join_store import JoinStore
from streamgauge.io.joining.opening import RECORDS, Origin
from streamgauge.io.joining.rows import latest
from streamgauge.io.joining.run import RunWriter
from tests.support.stores import ALL_KEYS, Content, Model, assert_same, get, put, work

pytestmark = pytest.mark.usefixtures("either_way")


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
    store.settle()
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


# Beside other threads


def test_runs_are_merged_while_other_threads_use_memory() -> None:
    rng = np.random.default_rng(3)
    keys = np.unique(rng.integers(1 << 62, size=(40_000, 2), dtype=np.uint64), axis=0)
    parts = [keys[number::8].copy() for number in range(8)]
    stop = Event()

    def work_beside() -> None:
        kept: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        while not stop.is_set():
            kept = [np.full(8, -1) for _ in range(64)]
        assert kept

    thread = Thread(target=work_beside)
    thread.start()
    try:
        for _ in range(50):
            assert np.array_equal(latest(parts), keys)
    finally:
        stop.set()
        thread.join()


# On disk: damage


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, Content]]:
    """A store with records in several files, and what it held at every flush."""
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
    names = {p.name for p in whole.iterdir()}
    assert len(names) > 5
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


def test_damage_that_shows_late_names_the_folder_and_the_next_store_is_new(tmp_path: Path) -> None:
    store = JoinStore.open(tmp_path, "f")
    put(store, Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)
    store.flush(b"offsets")
    store.settle()
    (file,) = (tmp_path / RECORDS).glob("run-*")
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    with pytest.raises(JoinStoreDamagedError, match=rf"{tmp_path}.*run-1: a row.*start again"):
        get(store, Space.LABELS, ALL_KEYS[:9])
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
from tests.support.stores import ALL_KEYS, put
store = JoinStore.open(Path(sys.argv[1]), "f")
put(store, Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)
store.flush(b"good")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for number in range(100):
        put(store, Space.LABELS, 2, ALL_KEYS[1000:], [bytes(60)] * 2000)
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
    assert done.stdout.startswith(f"join store {tmp_path}: {os.strerror(errno.EFBIG)}; ")
    assert "ulimit -f" in done.stdout
    store = JoinStore.open(tmp_path, "f")
    assert (store.origin, store.meta()) == (Origin.KEPT, b"good")
    assert get(store, Space.LABELS, ALL_KEYS[:9]) == [b"label"] * 9
    store.close()


@pytest.mark.parametrize("refused", ["run", "catalogue"])
def test_a_refused_flush_changes_nothing_and_may_be_tried_again(
    opened: Callable[..., JoinStore], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    store = opened()
    put(store, Space.PREDICTIONS, 1, ALL_KEYS[:9], [b"one"] * 9)
    store.flush(b"one")
    put(store, Space.PREDICTIONS, 1, ALL_KEYS[:9], [b"two"] * 9)
    put(store, Space.LABELS, 1, ALL_KEYS[:9], [b"label"] * 9)
    store.settle()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        if refused == "run":
            patched.setattr(RunWriter, "finish", full)
        else:
            patched.setattr(catalogue, "write", full)
        store.flush(b"two")
        put(store, Space.PREDICTIONS, 1, ALL_KEYS[8:10], [b"six"] * 2)
        with pytest.raises(JoinStoreError, match="free some space"):
            store.settle()
    assert store.meta() == b"one"
    assert len(list((store._folder / RECORDS).glob("run-*"))) == 1
    all_put = [*[b"two"] * 8, b"six", b"six"]
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:10]) == all_put
    store.flush(b"two")
    store = opened()
    assert store.meta() == b"two"
    assert get(store, Space.PREDICTIONS, ALL_KEYS[:10]) == all_put
    assert get(store, Space.LABELS, ALL_KEYS[:9]) == [b"label"] * 9


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
    error = os_failure(Path("/x"), OSError(number, os.strerror(number)))
    assert not isinstance(error, JoinStoreDamagedError)
    assert str(error).startswith(f"join store /x: {os.strerror(number)}; ")
    assert remedy in str(error)
