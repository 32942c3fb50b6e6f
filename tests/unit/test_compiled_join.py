"""Joining code of the join and its outcomes does what numpy does, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgauge.core.joining.ids import PackedIds
from streamgauge.core.joining.keys import keys
from streamgauge.core.joining.repeats import distinct
from streamgauge.core.joining.store import Keys
from streamgauge.core.outcomes.compiled_counts import Columns
from streamgauge.core.outcomes.row_counts import count_by_row
from streamgauge.io.joining.filters import Filter, prefixes_of
from streamgauge.io.joining.rows import keys_of, latest, rows_of, sound
from streamgauge.io.joining.run import Run, RunWriter
from tests.support.compiled import Joining, compiled_joining, joining_by

WORD = 2**64


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Joining:
    """All libraries, compiled now."""
    return compiled_joining(tmp_path_factory.mktemp("compiled"))


def _both(libraries: Joining, work: Callable[..., Any], *given: Any) -> tuple[Any, Any]:
    """What comes of some work by compiled code and by numpy."""
    found = []
    for each in (libraries, None):
        with joining_by(each):
            found.append(work(*given))
    return found[0], found[1]


def _drawn(rng: np.random.Generator, n: int, alike: int) -> Keys:
    """Distinct keys, some of which have one first word, or one upper half of it."""
    drawn = rng.integers(0, WORD, (n, 2), np.uint64)
    some = rng.integers(0, n, alike)
    drawn[some, 0] = drawn[0, 0]
    drawn[some[: alike // 2], 0] ^= rng.integers(0, 1 << 20, alike // 2, np.uint64)
    return np.unique(drawn, axis=0)[rng.permutation(len(np.unique(drawn, axis=0)))]


def test_keys_are_the_same(libraries: Joining) -> None:
    rng = np.random.default_rng(1)
    letters = np.array(list("abc0123-äß漢😀\0"))
    ids = ["".join(rng.choice(letters, length)) for length in rng.integers(0, 90, 2_000)]
    ids += ["x" * length for length in range(80)]
    for some in (ids, ids[:1], [""], [], ["a" * 64], ["a" * 65]):
        one, other = _both(libraries, keys, "model", some)
        assert np.array_equal(one, other)
        assert one.shape == (len(some), 2)


def test_ids_in_memory_have_the_keys_of_their_text(libraries: Joining) -> None:
    ids = ["p1", "päckchen", "", "x" * 70, "p1"]
    parts = [text.encode() for text in ids]
    ends = np.cumsum([len(part) + 1 for part in parts]) - 1
    begins = ends - [len(part) for part in parts]
    rows = np.array([4, 0, 3, 1, 2, 2])
    packed = PackedIds(np.frombuffer(b"\0".join(parts), np.uint8), begins[rows], ends[rows])
    assert list(packed) == [ids[row] for row in rows]
    assert [packed[place] for place in range(len(packed))] == list(packed)
    assert list(packed[1:3]) == [ids[0], ids[3]]
    for some in (packed, packed[::2]):
        for found in _both(libraries, keys, "m", some):
            assert np.array_equal(found, keys("m", list(some)))


def test_distinct_keys_are_the_same(libraries: Joining) -> None:
    rng = np.random.default_rng(2)
    for n in (0, 1, 2, 33, 1_000):
        drawn = rng.integers(0, max(1, n // 2), (n, 2), np.uint64)
        one, other = _both(libraries, distinct, drawn)
        assert np.array_equal(one.first, other.first)
        assert np.array_equal(one.owner, other.owner)


@pytest.mark.parametrize("alike", [0, 40, 2_000])
@pytest.mark.parametrize("length", [0, 1, 12, 13, 41, 84])
def test_rows_are_the_same(libraries: Joining, alike: int, length: int) -> None:
    rng = np.random.default_rng(3)
    mine = _drawn(rng, 40_000, alike)
    records = np.frombuffer(rng.bytes(length * len(mine)) or b"", f"V{length}") if length else None
    if records is None:
        records = np.zeros(len(mine), "V0")
    one, other = _both(libraries, lambda: np.concatenate(list(rows_of(mine, records))))
    assert np.array_equal(one, other)
    assert np.array_equal(keys_of(one), mine[np.lexsort((mine[:, 1], mine[:, 0]))])
    assert _both(libraries, lambda: sound(one)) == (True, True)
    for bit in rng.integers(0, 64 * one.shape[1], 30).tolist():
        damaged = one.copy()
        damaged[rng.integers(len(one)), bit // 64] ^= np.uint64(1 << (bit % 64))
        assert _both(libraries, sound, damaged) == (False, False)


def test_parts_are_merged_to_the_same(libraries: Joining) -> None:
    rng = np.random.default_rng(4)
    pool = _drawn(rng, 5_000, 300)
    for count in (1, 2, 8, 19):
        parts = []
        plain: dict[tuple[int, ...], bytes] = {}
        for _ in range(count):
            mine = pool[rng.permutation(len(pool))[: rng.integers(0, 3_000)]]
            records = np.frombuffer(rng.bytes(9 * len(mine)), "V9")
            parts.append(np.concatenate([*rows_of(mine, records), np.empty((0, 4), np.uint64)]))
            rows = zip(map(tuple, parts[-1][:, :2].tolist()), map(bytes, parts[-1]), strict=True)
            plain.update(rows)
        one, other = _both(libraries, latest, parts)
        assert np.array_equal(one, other)
        assert list(map(bytes, one)) == [plain[key] for key in sorted(plain)]


@pytest.mark.parametrize("n", [1, 17, 3_000, 50_000])
def test_runs_have_the_same_places(libraries: Joining, tmp_path: Path, n: int) -> None:
    rng = np.random.default_rng(5)
    mine = _drawn(rng, n, n // 300)
    ends = np.array([[0, 1], [WORD - 1, 2]], np.uint64)
    mine = np.unique(np.concatenate((mine, ends)), axis=0)
    records = np.frombuffer(rng.bytes(20 * len(mine)), "V20")

    def written(number: int) -> Run:
        writer = RunWriter(tmp_path, number, 20)
        for rows in rows_of(mine, records):
            writer.append(rows)
        return writer.finish()

    numbers = iter((1, 2))
    one, other = _both(libraries, lambda: written(next(numbers)))
    assert one.file.read_bytes() == other.file.read_bytes()
    sought = np.concatenate((mine[::3], rng.integers(0, WORD, (n, 2), np.uint64), mine[:2]))
    places = _both(libraries, lambda: sorted(np.stack(one.places(sought), 1).tolist()))
    assert places[0] == places[1]
    at = rng.integers(0, len(mine), 50)
    found = _both(libraries, lambda: one.read_apart(at))
    assert np.array_equal(*found)
    assert np.array_equal(found[0], one.read(0, len(mine))[at])


def test_many_keys_with_one_prefix_are_found_all_the_same(
    libraries: Joining, tmp_path: Path
) -> None:
    mine = np.stack((np.full(500, 7 << 32), np.arange(500)), axis=1).astype(np.uint64)
    records = np.zeros(500, "V4")
    for number, each in enumerate((libraries, None)):
        with joining_by(each):
            writer = RunWriter(tmp_path, number, 4)
            for rows in rows_of(mine[::-1], records):
                assert np.array_equal(keys_of(rows), mine)
                writer.append(rows)
            which, at = writer.finish().places(mine)
            assert np.array_equal(which[which == at], np.arange(500))


def test_filters_are_the_same(libraries: Joining) -> None:
    rng = np.random.default_rng(6)
    mine, others = rng.integers(0, WORD, (2, 3_000, 2), np.uint64)
    one, other = _both(libraries, Filter.of, [prefixes_of(mine[:1_000]), prefixes_of(mine[1_000:])])
    assert np.array_equal(one.words, other.words)
    for keys_sought in (mine, others, others[:0]):
        assert np.array_equal(*_both(libraries, one.perhaps, keys_sought))


def test_events_are_counted_as_by_numpy(libraries: Joining) -> None:
    rng = np.random.default_rng(7)
    widths = np.array([3, 65_536, 1, 20])
    firsts = np.array([2, 9, 5, 65_600])
    at = rng.integers(0, 4, 2_000)
    bins = np.array([rng.integers(0, width, 2_000) for width in widths], np.uint16)
    for chosen in (None, np.flatnonzero(rng.random(2_000) < 0.3), np.empty(0, np.int64)):
        counts = rng.integers(0, 9, (4, 65_700))
        expected = counts.copy()
        events = slice(None) if chosen is None else chosen
        for first, column in zip(firsts, bins, strict=True):
            np.add.at(expected, (at[events], first + column[events]), 1)
        # A column of the events' rows has gaps.
        gaps = np.stack((at, at), axis=1)[:, 0]
        libraries.counts.add(counts, gaps, Columns(bins, firsts, widths), chosen)
        assert np.array_equal(counts, expected)


def test_rows_are_counted_as_by_numpy(libraries: Joining) -> None:
    rng = np.random.default_rng(8)
    rows = np.array([0, 20, 1_000], np.int32) + rng.integers(0, 9, (500, 3), np.int32)
    cells, values = rng.integers(0, 5, 500), tuple(rng.normal(size=(2, 500)))
    signs = rng.choice(np.array([1, -1], np.int8), 500)
    for sign in (None, np.abs(signs), signs):
        for some, added in ((slice(None), values), (slice(None), ()), (slice(0), ())):
            signed = None if sign is None else sign[some]
            args = (rows[some], cells[some], 5, signed, added)
            one, other = _both(libraries, count_by_row, *args)
            for mine, theirs in zip(one, other, strict=True):
                assert mine.dtype == theirs.dtype
                assert np.array_equal(mine, theirs)
            weight = np.ones(len(rows[some])) if signed is None else signed
            assert one.counts.sum() == 3 * weight.sum()


def test_a_cell_or_a_row_that_there_is_not_is_not_counted_elsewhere(libraries: Joining) -> None:
    row, cell = np.zeros((1, 1), np.int32), np.zeros(1, np.int64)
    for rows, cells in ((row, cell + 3), (row, cell - 1), (row - 1, cell)):
        with pytest.raises(AssertionError):
            libraries.counts.by_row(rows, cells, 3, None, np.empty(0))


def test_a_bin_that_a_column_does_not_have_is_not_counted_elsewhere(libraries: Joining) -> None:
    columns = Columns(np.array([[3]], np.uint16), np.array([0]), np.array([3]))
    with pytest.raises(AssertionError, match="a bin that its column does not have"):
        libraries.counts.add(np.zeros((1, 9), np.int64), np.array([0]), columns)
