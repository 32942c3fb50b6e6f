"""The spill file: what is put comes back, room is used again, trouble loses nothing."""

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from streamgauge.core.spill import Pieces
from streamgauge.io.spilling.spill_file import LEAST_BYTES, SpillError, SpillFile


def drawn(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


PIECES = [drawn(LEAST_BYTES, 1), b"", drawn(7, 2), drawn(10 * LEAST_BYTES, 3)]


Opened = Callable[[Path], SpillFile]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Make spill files that are closed when the test is over."""
    files: list[SpillFile] = []

    def make(folder: Path) -> SpillFile:
        files.append(SpillFile(folder))
        return files[-1]

    yield make
    for each in files:
        each.close()


def test_pieces_come_back_all_and_each_alone(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    others = [spill.put([drawn(LEAST_BYTES, seed)]) for seed in range(3)]
    kept = spill.put(PIECES)
    assert kept is not PIECES
    assert [*kept] == PIECES
    assert [kept[i] for i in range(-4, 4)] == PIECES * 2
    assert kept[1:3] == PIECES[1:3]
    assert len(kept) == 4
    with pytest.raises(IndexError):
        kept[4]
    assert [other[0] for other in others] == [drawn(LEAST_BYTES, seed) for seed in range(3)]


def test_what_is_small_stays_in_memory(opened: Opened, tmp_path: Path) -> None:
    spill, pieces = opened(tmp_path), [b"x" * (LEAST_BYTES - 2), b"y"]
    assert spill.put(pieces) is pieces
    assert spill.put([]) == []
    assert (spill.nbytes, spill.failures) == (0, 0)


def test_the_file_has_no_name_and_ends_with_its_owner(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    kept = spill.put(PIECES)
    assert [*tmp_path.iterdir()] == []
    assert open_files(tmp_path) == 1
    assert [*kept] == PIECES
    spill.close()
    assert open_files(tmp_path) == 0


def open_files(folder: Path) -> int:
    """How many files of a folder this process has open, those without a name too."""
    found = 0
    for number in Path("/proc/self/fd").iterdir():
        try:
            found += str(number.readlink()).startswith(f"{folder}/")
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def test_room_that_nobody_needs_any_more_is_used_again(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    rng = np.random.default_rng(4)
    kept: dict[int, tuple[bytes, Pieces]] = {}
    for turn in range(400):
        body = drawn(int(rng.integers(LEAST_BYTES, 4 * LEAST_BYTES)), turn)
        kept[turn % 20] = body, spill.put([body])
    for body, record in kept.values():
        assert [*record] == [body]
    assert spill.nbytes == sum(len(body) for body, _ in kept.values())
    assert spill.nbytes <= spill_end(spill) < 2 * spill.nbytes
    del record
    kept.clear()
    assert spill.nbytes == 0
    assert spill_end(spill) == 0


def spill_end(spill: SpillFile) -> int:
    assert spill._file is not None
    return os.fstat(spill._file.fileno()).st_size


def test_where_the_folder_takes_nothing_it_is_where_temporary_files_are(
    opened: Opened, tmp_path: Path
) -> None:
    spill = opened(tmp_path / "missing")
    kept = spill.put(PIECES)
    assert [*kept] == PIECES
    assert spill.failures == 0
    assert spill.nbytes == sum(map(len, PIECES))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Let writes fail after their first bytes with an error, or work again."""

    def set_error(number: int | None) -> None:
        def pwrite(fd: int, body: memoryview, at: int) -> int:
            if number is not None and len(body) < sum(map(len, PIECES)):
                raise OSError(number, os.strerror(number))
            return write(fd, body[:100], at)

        monkeypatch.setattr(os, "pwrite", pwrite)

    write = os.pwrite
    return set_error


def test_a_full_disk_leaves_what_is_put_in_memory_and_tells_it_once(
    opened: Opened,
    tmp_path: Path,
    broken: Callable[[int | None], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    spill = opened(tmp_path)
    before = spill.put(PIECES)
    broken(errno.ENOSPC)
    with caplog.at_level(logging.WARNING):
        assert spill.put(PIECES) is PIECES
        assert spill.put(PIECES) is PIECES
    [message] = [record.getMessage() for record in caplog.records]
    assert "stay in memory" in message
    assert os.strerror(errno.ENOSPC) in message
    assert str(tmp_path) in message
    assert spill.failures == 2
    assert spill.nbytes == sum(map(len, PIECES))
    broken(None)
    after = spill.put(PIECES)
    assert after is not PIECES
    assert [*before] == [*after] == PIECES


def test_no_folder_that_can_be_written_leaves_it_in_memory(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    spill = opened(tmp_path)
    assert spill.put(PIECES) is PIECES
    assert spill.failures == 1


@pytest.mark.parametrize("piece", [0, 3])
def test_damage_on_the_disk_is_told(opened: Opened, tmp_path: Path, piece: int) -> None:
    spill = opened(tmp_path)
    kept = spill.put(PIECES)
    assert spill._file is not None
    os.pwrite(spill._file.fileno(), b"?", sum(map(len, PIECES[:piece])) + 5)
    with pytest.raises(SpillError, match="damaged"):
        kept[piece]
    with pytest.raises(SpillError, match="start again"):
        list(kept)
    assert kept[2] == PIECES[2]


def test_a_file_that_was_cut_is_told(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    kept = spill.put(PIECES)
    assert spill._file is not None
    os.truncate(spill._file.fileno(), 100)
    with pytest.raises(SpillError, match="damaged"):
        list(kept)


def test_a_disk_that_fails_is_told(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pread(*_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    kept = opened(tmp_path).put(PIECES)
    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(SpillError, match=os.strerror(errno.EIO)):
        kept[0]
