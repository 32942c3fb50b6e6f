"""Narrow counts against sums in 64 bits."""

import numpy as np
import pytest

from streamgauge.core.batch import IntArray
from streamgauge.core.narrow import NarrowCounts

ROWS, W = 30, 12


def added(narrow: NarrowCounts, whole: IntArray, counts: IntArray, places: IntArray) -> None:
    at = slice(0, len(places)) if (places == np.arange(len(places))).all() else places
    narrow.add(places, at, counts)
    whole[places] += counts


def narrow_of(counts: IntArray) -> NarrowCounts:
    found = NarrowCounts(W)
    found.grow(len(counts), len(counts) + 3)
    found.add(np.arange(len(counts)), slice(0, len(counts)), counts)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("columns", [0, 2, 11])
@pytest.mark.parametrize("tall", [1, 300, 20_000, 40_000, 2**31, 2**45])
def test_sums_are_exact_however_tall_some_rows_and_columns_are(
    tall: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = np.where(rng.random(ROWS) < 0.2, tall, 3)[:, None]
    scale = np.where(np.arange(W) < columns, 7 * tall, scale)
    narrow, whole = NarrowCounts(W), np.zeros((ROWS, W), np.int64)
    narrow.grow(ROWS, ROWS + 5)
    for turn in range(80):
        places = np.arange(ROWS) if turn % 2 else np.sort(rng.permutation(ROWS)[:7])
        counts = rng.integers(0, scale[places] + 1)
        added(narrow, whole, counts if turn % 5 else -counts, places)
        assert narrow.rows(slice(0, ROWS)).tolist() == whole.tolist()
        assert narrow.rows(slice(5, 9)).tolist() == whole[5:9].tolist()
        chosen = rng.integers(0, ROWS, 6)
        assert narrow.rows(chosen).tolist() == whole[chosen].tolist()


def test_a_column_that_is_tall_in_all_rows_stands_apart() -> None:
    narrow, whole = NarrowCounts(W), np.zeros((ROWS + 9, W), np.int64)
    narrow.grow(ROWS, ROWS)
    counts = np.full((ROWS, W), 3)
    counts[:, 5] = 2**20
    for _ in range(50):
        added(narrow, whole, counts, np.arange(ROWS))
    for row in range(ROWS):  # also where few rows are added, or little to each
        added(narrow, whole, counts[:1] // 4, np.array([row]))
        added(narrow, whole, counts[:1] // 2**7, np.array([row]))
    assert [*narrow.columns_apart] == [5]
    assert not narrow.rows_apart
    narrow.grow(ROWS + 9, ROWS + 20)
    sums, places = NarrowCounts(W), np.arange(ROWS + 8, 8, -1)
    sums.grow(ROWS, ROWS + 5)
    sums.add_all(np.arange(ROWS), slice(0, ROWS), narrow_of(counts))
    assert [*sums.columns_apart] == [5]
    narrow.add_all(places, places, sums)
    whole[places] += counts
    assert narrow.rows(slice(0, ROWS + 9)).tolist() == whole.tolist()
    assert narrow.rows(places[:3]).tolist() == whole[places[:3]].tolist()


def test_a_column_that_has_become_tall_in_all_rows_stands_apart() -> None:
    narrow, whole = NarrowCounts(W), np.zeros((ROWS, W), np.int64)
    narrow.grow(ROWS, ROWS)
    counts = np.full((ROWS, W), 3)
    counts[:, 7] = 4_000
    for _ in range(20):
        added(narrow, whole, counts, np.arange(ROWS))
    assert [*narrow.columns_apart] == [7]
    assert not narrow.rows_apart
    assert narrow.rows(slice(0, ROWS)).tolist() == whole.tolist()


def test_additions_up_to_the_end_of_two_bytes_do_not_wrap() -> None:
    narrow, whole = NarrowCounts(W), np.zeros((ROWS, W), np.int64)
    narrow.grow(ROWS, ROWS)
    for most in (1, 4_095, 4_096, 28_671, 28_672, 28_673, 32_767, 32_768, 65_535, 65_536):
        for sign in (1, 1, -1, -1, -1):
            added(narrow, whole, np.full((ROWS, W), sign * most), np.arange(ROWS))
            assert narrow.rows(slice(0, ROWS)).tolist() == whole.tolist()


def test_rows_that_are_added_hold_nothing_and_others_what_they_did() -> None:
    narrow = NarrowCounts(W)
    narrow.grow(1, 1)
    narrow.add(np.array([0]), slice(0, 1), np.full((1, W), 100_000))
    narrow.grow(3, 8)
    assert narrow.rows(slice(0, 3)).tolist() == [[100_000] * W, [0] * W, [0] * W]
    assert len(narrow) == 3
