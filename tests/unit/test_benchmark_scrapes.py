"""What the benchmark of scrapes makes of the loop's notes."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.scrapes import Notes
from benchmarks.scrapes_loop import noted

# A turn a second: 100 messages, 0.1 s of the http thread, 0.2 s of metrics, 0.7 s of the loop's.
TURNS = np.arange(11.0)[:, None] * [1.0, 100.0, 0.1, 0.2, 0.7]


def notes(snapshots: list[tuple[float, float]]) -> Notes:
    return Notes(TURNS, np.array(snapshots, float).reshape(-1, 2), np.empty((0, 2)))


def test_the_rate_is_in_proportion_between_turns() -> None:
    assert notes([]).rate((2.5, 4.0)) == pytest.approx(100.0)


def test_snapshots_do_not_count_as_time_of_the_loop() -> None:
    # One inside the phase, one half inside, one outside.
    found = notes([(3.0, 4.0), (5.5, 6.5), (8.0, 9.0)]).rate((2.0, 6.0))
    assert found == pytest.approx(400.0 / (4.0 - 1.0 - 0.5))


def test_shares_are_those_of_all_phases_together() -> None:
    assert notes([]).shares([(0.0, 1.0), (4.0, 7.5)]) == pytest.approx([0.1, 0.2, 0.7])


def test_notes_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "notes.npz"
    np.savez(path, turns=TURNS, snapshots=np.empty((0, 2)), renderings=np.ones((3, 2)))
    found = Notes.read(path)
    assert found.turns.tolist() == TURNS.tolist()
    assert found.renderings.shape == (3, 2)


def test_a_noted_call_gives_what_it_gave() -> None:
    seen = []
    call = noted(lambda first, more: (first, more), lambda *note: seen.append(note))
    assert call("a", "b") == ("a", "b")
    ((began, ended, first),) = seen
    assert began <= ended
    assert first == "a"
