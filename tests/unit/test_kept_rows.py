"""Kept rows: what is read is what is in the file, and what is kept stays within its bound."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamgauge.io.joining.kept_rows import KeptRows
from streamgauge.io.joining.rows import rows_of
from streamgauge.io.joining.run import DamageError, Run, RunWriter

pytestmark = pytest.mark.usefixtures("either_way")
Write = Callable[[int], Run]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a run of so many rows of 32 bytes."""
    rng = np.random.default_rng(1)

    def written(rows: int) -> Run:
        writer = RunWriter(tmp_path, len(list(tmp_path.iterdir())), 12)
        keys = rng.integers(0, 2**64, (rows, 2), np.uint64)
        for some in rows_of(keys, np.frombuffer(rng.bytes(12 * rows), "V12")):
            writer.append(some)
        return writer.finish()

    return written


def test_any_reads_of_any_runs_give_the_rows_of_the_files(write: Write) -> None:
    rng = np.random.default_rng(2)
    runs = [write(rows) for rows in (1, 10, 400, 3_000, 5_000)]
    contents = [run.read(0, run.entry.rows) for run in runs]
    most = 120_000  # not two of the larger ones, and not the largest
    kept = KeptRows(most)
    for _ in range(300):
        which = int(rng.integers(len(runs)))
        run, rows = runs[which], contents[which]
        at = rng.integers(0, len(rows), rng.integers(1, 9))
        assert np.array_equal(kept.rows(run, at), rows[at])
        assert kept.nbytes <= most
        if rng.random() < 0.05:
            kept.forget(run)


def test_a_run_is_kept_once_reading_it_one_by_one_has_cost_as_much(write: Write) -> None:
    run = write(1_000)  # 32,000 bytes: those of eight reads
    kept = KeptRows(32_000)
    for reads, expected in ((3, 0), (4, 0), (1, 32_000)):
        kept.rows(run, np.arange(reads))
        assert kept.nbytes == expected
    run.file.unlink()
    assert len(kept.rows(run, np.arange(1_000))) == 1_000, "nothing is read any more"
    kept.forget(run)
    assert kept.nbytes == 0


def test_a_run_that_is_not_what_was_written_is_not_kept(write: Write) -> None:
    run = write(100)
    data = bytearray(run.file.read_bytes())
    data[50] ^= 1
    run.file.write_bytes(data)
    kept = KeptRows()
    with pytest.raises(DamageError, match="a row is not what was written"):
        kept.rows(run, np.array([7]))
    assert kept.nbytes == 0
