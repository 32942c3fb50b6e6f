"""Parts of state: what changes which of them, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamgauge.core.blocks import GROUP, Block, BlockSum
from streamgauge.core.kept_layout import layout_data, layout_of
from streamgauge.core.packed import PackedCounts
from streamgauge.core.slices import KEYS_PER_PART, OVERFLOW_VALUE, RowKey, SliceRegistry
from streamgauge.core.state import (
    Part,
    block_data,
    block_of,
    check_index,
    counts_data,
    counts_of,
    indexed,
    packed_of,
    refill_parts,
    restore_below,
    sum_parts,
)
from streamgauge.core.track import Track, TrackSpec
from streamgauge.core.windows import WindowSpec, WindowState
from streamgauge.errors import StateError
from tests.support import batches
from tests.support.kept import difference, kept, taken

PANE = 10_000
WINDOW = WindowSpec("40s", 4 * PANE, PANE)
TRACK = TrackSpec(3, 1, 1, (WINDOW, WindowSpec("80s", 8 * PANE, 2 * PANE)), PANE, True)


def block(rows: list[int], seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    size = len(rows)
    return Block(
        np.array(rows, np.int64),
        rng.integers(0, 300, (size, 3)),
        rng.normal(size=(size, 1, 2)),
        np.sort(rng.normal(size=(size, 1, 2))),
    )


def track() -> Track:
    """Panes closed and open, hidden ones, late ones, and one window that has moved on."""
    found = Track(TRACK)
    for pane in range(7):
        found.add(pane, block([pane, 100 + pane], pane))
        found.add(pane, block([2, 5], pane), hidden=pane == 4)
    for pane in range(6):
        found.close((pane + 1) * PANE)
        found.advance((pane + 1) * PANE)
    found.add_late(3 * PANE, block([3], 9), 6 * PANE)
    return found


def test_only_the_groups_of_rows_that_are_added_to_change() -> None:
    total = BlockSum(3, 1)
    total.add(block([*range(3 * GROUP)]))
    before = {part.key: part.token for part in sum_parts(total)}
    total.add(block([GROUP + 3, 3 * GROUP]))
    after = {part.key: part.token for part in sum_parts(total)}
    assert [key for key in after if after[key] != before.get(key)] == ["1", "3"]
    total.subtract_counts(block([0]))
    again = {part.key: part.token for part in sum_parts(total)}
    assert [key for key in again if again[key] != after[key]] == ["0"]


def test_a_sum_is_the_same_after_its_parts_were_added_to_an_empty_one() -> None:
    rng = np.random.default_rng(1)
    total = BlockSum(3, 1)
    for seed in range(20):
        total.add(block(rng.permutation(400)[:30].tolist(), seed))
    again = BlockSum(3, 1)
    refill_parts(again, {part.key: part.data() for part in sum_parts(total)})
    for first, second in zip(total.block(), again.block(), strict=True):
        assert first.tobytes() == second.tobytes()


def test_whole_steps_are_written_once_and_again_only_when_they_are_revised() -> None:
    window = WindowState(WINDOW, 3, 1)
    tokens: dict[str, set[str]] = {}
    for pane in range(12):
        window.add(pane * PANE, block([1, 2], pane))
        window.advance((pane + 1) * PANE)
        if pane == 8:
            window.add(7 * PANE, block([2], 99))
        for part in window.parts():
            tokens.setdefault(part.key, set()).add(repr(part.token))
    assert {key: len(found) for key, found in tokens.items() if key.startswith("step")} == {
        f"step/{pane}": 2 if pane == 7 else 1 for pane in range(12)
    }


def test_a_track_goes_on_where_another_was() -> None:
    first, second = track(), Track(TRACK)
    second.restore(kept(first))
    assert difference(kept(first), kept(second)) == ""
    for each in (first, second):
        each.add(6, block([4, 300], 5))
        each.close(7 * PANE)
        each.advance(7 * PANE)
        each.advance(8 * PANE)
        each.add_late(5 * PANE, block([1], 3), 8 * PANE)
    assert difference(kept(first), kept(second)) == ""
    for one, other in zip(first.windows, second.windows, strict=True):
        assert difference([*one.totals()], [*other.totals()]) == ""
        rows = np.arange(200)
        assert one.latest(rows).tobytes() == other.latest(rows).tobytes()


def test_who_restores_shares_nothing_with_the_data() -> None:
    data, second = kept(track()), Track(TRACK)
    second.restore(data)
    before = kept(second)
    for part in data.values():
        for array in part.values():
            if isinstance(array, np.ndarray) and len(array):
                array += 1
    assert difference(before, kept(second)) == ""


def test_data_may_share_memory_until_the_owner_goes_on() -> None:
    total = BlockSum(3, 1)
    total.add(block([1]))
    data = block_data(total.block())
    sums = data["sums"].copy()
    total.add(block([1], 7))
    assert not np.array_equal(data["sums"], sums), "to be encoded before"


def cut(data: Any) -> Any:
    return {**data, "counts": counts_of(data["counts"])[:, :2]}


def twice(data: Any) -> Any:
    return {**data, "rows": np.zeros_like(data["rows"])}


def fractions(data: Any) -> Any:
    return {**data, "counts": counts_of(data["counts"]) + 0.5}


def shorter(data: Any) -> Any:
    return {**data, "sums": data["sums"][:-1]}


def nameless(data: Any) -> Any:
    return {name: value for name, value in data.items() if name != "extremes"}


@pytest.mark.parametrize("spoil", [cut, twice, fractions, shorter, nameless, lambda _: None])
@pytest.mark.parametrize("key", ["open/6", "window/40s/step/3", "window/80s/open", "totals/0"])
def test_a_part_that_does_not_fit_is_named(key: str, spoil: Callable[[Any], Any]) -> None:
    source = track()
    source.add(6, block([8], 1))
    source.close(7 * PANE)
    source.add(6, block([8, 9], 1))
    data = kept(source)
    # A single row cannot be there twice.
    assert len(data[key]["rows"]) > 1
    with pytest.raises(StateError, match=rf"^state outcomes/track/{key}: ") as caught:
        restore_below(
            "outcomes/track",
            Track(TRACK),
            {f"outcomes/track/{k}": spoil(v) if k == key else v for k, v in data.items()},
        )
    assert caught.value.key == f"outcomes/track/{key}"


@pytest.mark.parametrize("key", ["window/40s/place", "window/40s/step/3", "measured/80s/open"])
def test_a_part_that_is_missing_is_named(key: str) -> None:
    source = track()
    source.close(7 * PANE)
    data = {name: value for name, value in kept(source).items() if name != key}
    with pytest.raises(StateError, match=rf"^state {key}: is missing"):
        Track(TRACK).restore(data)


def test_the_index_tells_what_is_missing_and_what_belongs_to_nothing() -> None:
    parts = [Part(key, 0, lambda: 1) for key in "abc"]
    data = {part.key: part.data() for part in indexed(iter(parts))}
    assert check_index(data) == {"a": 1, "b": 1, "c": 1}
    with pytest.raises(StateError, match="state b: is missing"):
        check_index({key: value for key, value in data.items() if key != "b"})
    with pytest.raises(StateError, match="state d: belongs to nothing"):
        check_index({**data, "d": 2})
    with pytest.raises(StateError, match="state index: is missing"):
        check_index({"a": 1})


def registry(versions: int = 3) -> SliceRegistry:
    found = SliceRegistry(max_slices=150, max_versions=2, reserved=frozenset({(("a", "7"),)}))
    for version in range(versions):
        for value in range(0, 400, 2 + version):
            found.row(RowKey(str(version), (("a", str(value)),)))
        found.row(RowKey(str(version)))
    return found


def test_a_registry_goes_on_with_its_rows_and_what_is_left_of_its_caps() -> None:
    first = registry(1)
    second = SliceRegistry(150, 2, first.reserved)
    second.restore(kept(first))
    for each in (first, second):
        each.reserved = frozenset({(("a", "8"),)})
        for version in ("1", "2"):
            for value in range(300):
                each.row(RowKey(version, (("a", str(value)),)))
    assert first.keys == second.keys
    assert RowKey("1", (("a", OVERFLOW_VALUE),)) in first.keys
    assert difference(kept(first), kept(second)) == ""


def test_keys_are_only_ever_added_to_the_last_part() -> None:
    first = registry()
    before = taken(first)
    assert len(first) > KEYS_PER_PART
    first.row(RowKey("0", (("a", "7"),)))
    after = taken(first)
    changed = [key for key in after.tokens if after.tokens[key] != before.tokens.get(key)]
    assert changed == ["keys/1", "used"]


def test_rows_of_a_join_store_that_is_behind_are_the_first_of_the_state() -> None:
    first, behind, other = registry(), SliceRegistry(), SliceRegistry()
    for key in first.keys[:40]:
        behind.readmit(key)
    behind.restore(kept(first))
    assert behind.keys == first.keys
    other.readmit(RowKey("never seen"))
    with pytest.raises(StateError, match="other rows than the join store"):
        other.restore(kept(first))


def test_layouts_come_back_as_they_were() -> None:
    layout = batches.layout()
    again = layout_of(layout_data(layout))
    assert again == layout
    # Join stores are told apart by it.
    assert repr(again) == repr(layout)


def test_blocks_keep_the_smallest_dtype_and_negative_counts() -> None:
    for counts, dtype in (([[1, 2, 3]], np.uint8), ([[1, 2, 300]], np.uint16), ([[-1, 0, 0]], int)):
        data = block_data(block([4])._replace(counts=np.array(counts)))
        assert data["counts"].dtype == dtype
        assert block_of(data, 3, 1, 1).counts.tolist() == counts


@pytest.mark.parametrize("few", [256, 65_535, 65_536, 2**40, -1, -70_000])
@pytest.mark.parametrize("most", [0, 200, 300])
def test_a_few_large_counts_do_not_make_the_others_large(few: int, most: int) -> None:
    counts = np.full((40, 30), most)
    counts[3, 5:20] = few
    data = counts_data(counts)
    kept = data["low"] if isinstance(data, dict) else data
    assert kept.dtype == (np.uint8 if most < 256 else np.uint16)
    assert counts_of(data).tolist() == counts.tolist()


def test_packed_counts_come_back_and_so_do_whole_ones_of_earlier_versions() -> None:
    counts = np.random.default_rng(4).poisson(0.4, (30, 20))
    counts[2] = 70_000
    for data in (PackedCounts(counts).data(), counts, counts_data(counts)):
        assert packed_of(data).whole().tolist() == counts.tolist()
        assert packed_of(data).take(np.array([2, 7])).tolist() == counts[[2, 7]].tolist()
        assert counts_of(data).tolist() == counts.tolist()


def test_packed_counts_that_do_not_fit_are_refused() -> None:
    counts = np.random.default_rng(4).poisson(0.4, (30, 20))
    counts[2] = 70_000
    data = PackedCounts(counts).data()
    group = next(
        group for group in data["groups"] if group["bits"] and group["low"]["shape"][0] > 1
    )
    others = [each for each in data["groups"] if each is not group]
    for wrong in (
        {"shape": [31, 20]},
        {"shape": [30, 19]},
        {"bits": np.full(30, 3, np.uint8)},
        {"groups": others},
        {"groups": [*others, {**group, "low": group["low"] | {"shape": [1, 1]}}]},
        {"groups": [*others, {**group, "low": group["low"] | {"runs": []}}]},
        {"groups": [*others, {**group, "low": group["low"] | {"runs": [b"damaged"]}}]},
        {"groups": [*others, {**group, "at": np.array([10_000]), "more": np.array([1])}]},
        {"groups": [*others, {**group, "at": np.array([0]), "more": np.array([1, 2])}]},
    ):
        with pytest.raises(ValueError, match=r"cells|bytes|nothing|more|rows"):
            PackedCounts.restored({**data, **wrong})
