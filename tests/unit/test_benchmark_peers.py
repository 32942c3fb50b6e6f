"""The benchmark of peers: the same rows for everybody, and ratios of medians."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import Measured, cpu_ratio, ratio, row
from benchmarks.peers_environments import PeerError, environment, requirements
from benchmarks.peers_rows import (
    CATEGORICAL,
    DIMENSIONS,
    EVENTS_PER_MS,
    NUMERIC,
    START_MS,
    TAGS,
    Rows,
    columns,
    events,
    load,
    make,
)
from benchmarks.peers_theirs import PEERS, river
from benchmarks.peers_worker import Took, timed

N = 3_000


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make(N, seed=1)


def test_rows_are_the_same_for_the_same_seed_and_others_for_another(rows: Rows) -> None:
    again, other = make(N, seed=1), make(N, seed=2)
    for mine, same, different in zip(rows, again, other, strict=True):
        np.testing.assert_array_equal(mine, same)
        assert not np.array_equal(mine, different)


def test_a_file_gives_back_the_rows(rows: Rows, tmp_path: Path) -> None:
    rows.save(tmp_path / "rows.npz")
    for mine, read in zip(rows, load(tmp_path / "rows.npz"), strict=True):
        np.testing.assert_array_equal(mine, read)


def test_rows_have_five_dimensions_with_a_hundred_slices(rows: Rows) -> None:
    found = [len(set(rows.words(name))) for name in DIMENSIONS]
    assert found == list(DIMENSIONS.values())
    assert len(found) == 5
    assert sum(found) >= 100


def test_a_frame_of_the_features_has_what_the_json_events_have(rows: Rows) -> None:
    frame = pd.DataFrame(columns(rows))
    read = [json.loads(value) for _, value in events(rows)]
    pd.testing.assert_frame_equal(frame, pd.DataFrame([event["features"] for event in read]))
    assert list(frame) == [*NUMERIC, *CATEGORICAL]
    assert [event["score"] for event in read] == rows.score.tolist()
    assert [event["prediction"] for event in read] == (rows.score >= 0.5).astype(int).tolist()
    for tag in TAGS:
        assert [event["tags"][tag] for event in read] == rows.words(tag)


def test_events_have_their_own_ids_as_keys_and_come_in_the_order_of_their_times(
    rows: Rows,
) -> None:
    pairs = [(key.decode(), json.loads(value)) for key, value in events(rows)]
    assert [key for key, _ in pairs] == [event["prediction_id"] for _, event in pairs]
    assert len({key for key, _ in pairs}) == N
    times = [event["timestamp"] for _, event in pairs]
    assert times == [START_MS + i // EVENTS_PER_MS for i in range(N)]


def test_a_part_of_the_rows_is_a_run_of_them(rows: Rows) -> None:
    pd.testing.assert_frame_equal(
        pd.DataFrame(columns(rows.part(1_000, 500))),
        pd.DataFrame(columns(rows)).iloc[1_000:1_500].reset_index(drop=True),
    )


def test_pieces_are_worked_through_until_the_time_is_over() -> None:
    ticks: Iterator[float] = itertools.count(0.0, 1.0)
    worked: list[int] = []
    took = timed(worked.append, itertools.count(), 100, 3.0, lambda: next(ticks))
    assert worked == [0, 1, 2]
    assert took.rows == 300
    assert took.seconds == 4.0
    assert took.rate == 75.0


def test_one_piece_is_worked_through_however_short_the_time() -> None:
    worked: list[int] = []
    assert timed(worked.append, itertools.count(), 100, 0.0).rows == 100
    assert worked == [0]


def test_rates_are_medians_and_ratios_are_of_medians() -> None:
    ours = Measured("ours", "1", "", took=[Took(100, s, 2.0) for s in (1.0, 2.0, 10.0)])
    peer = Measured("peer", "2", "", took=[Took(100, s, 8.0) for s in (4.0, 4.0, 5.0)])
    assert ours.rate == 50.0
    assert ratio(ours, peer) == 2.0
    assert cpu_ratio(ours, peer) == 4.0
    assert row(peer, ours)["rows/s"] == 25


def test_a_peer_that_cannot_be_run_has_no_ratio_and_says_why() -> None:
    ours = Measured("ours", "1", "", took=[Took(100, 1.0, 1.0)])
    peer = Measured("peer", "-", "-", failed="cannot be installed: no wheel")
    assert ratio(ours, peer) is None
    assert cpu_ratio(ours, peer) is None
    told = row(peer, ours)
    assert "cannot be installed: no wheel" in str(told["setting"])
    assert list(told) == list(row(ours, ours))


@pytest.mark.parametrize("name", PEERS)
def test_every_package_of_a_peer_is_pinned(name: str) -> None:
    lines = requirements(name).read_text().splitlines()
    assert all(len(line.split("==")) == 2 for line in lines)
    assert name in {line.split("==")[0].lower() for line in lines}


def test_an_environment_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "river"
    home.mkdir()
    (home / "installed.txt").write_text(requirements("river").read_text())
    assert environment("river", tmp_path) == home / "bin" / "python"


def test_where_no_python_can_install_a_peer_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peers_environments._pythons", list)
    with pytest.raises(PeerError, match="cannot be installed"):
        environment("river", tmp_path)


def test_river_gets_every_number_and_every_category_of_a_piece(rows: Rows) -> None:
    whole = make(5_000, seed=3)
    peer = river(rows, whole)
    ((numbers, words),) = peer.pieces
    assert peer.rows == 5_000
    np.testing.assert_array_equal(np.array(numbers).T, whole.numbers)
    assert words == [whole.words(name) for name in CATEGORICAL]
    (learn,) = peer.settings.values()
    assert learn(peer.pieces[0]) == 0  # they do not drift
