"""Blocks and their sums: rows that come as they like, and arrays that belong to one owner."""

import numpy as np
import pytest

from streamgauge.core.blocks import BlockSum, total
from tests.support.counted import NUMERIC, WIDTH, Small, block_of, counted, read

FIRST = [Small(0, row=7, cell=1, value=3), Small(0, row=2, cell=0, value=-5)]
SECOND = [Small(0, row=2, cell=2, value=9), Small(0, row=4_000, cell=1, value=1)]


def test_rows_are_added_by_their_number_whatever_their_order() -> None:
    whole = total([block_of(FIRST), block_of(SECOND)], WIDTH, NUMERIC)
    assert read(whole) == counted([*FIRST, *SECOND])
    assert len(whole.rows) == 3


@pytest.mark.parametrize(
    "rows", [[3, 4, 5, 6], [4, 5], [6, 5, 4, 3], [3, 5, 4, 6], [3, 6], [3, 9, 4, 6]]
)
def test_rows_in_order_and_out_of_order_are_added_alike(rows: list[int]) -> None:
    first = [Small(0, row=row, cell=1, value=row) for row in range(3, 7)]
    then = [Small(0, row=row, cell=2, value=-7 * row) for row in rows]
    sums = BlockSum(WIDTH, NUMERIC)
    sums.add(block_of(first))
    sums.add(block_of(then))
    assert read(sums.block()) == counted([*first, *then])


def test_a_sum_of_nothing_has_no_rows_and_adding_nothing_changes_nothing() -> None:
    sums = BlockSum(WIDTH, NUMERIC)
    sums.add(block_of([]))
    assert len(sums) == 0
    sums.add(block_of(FIRST))
    sums.add(block_of([]))
    assert read(sums.block()) == counted(FIRST)
    assert len(sums) == 2


def test_a_copy_stays_as_it_was_when_more_is_added() -> None:
    sums = BlockSum(WIDTH, NUMERIC)
    sums.add(block_of(FIRST))
    copy = sums.copy()
    sums.add(block_of(SECOND))
    assert read(copy) == counted(FIRST)
    assert read(sums.block()) == counted([*FIRST, *SECOND])


def test_the_blocks_that_are_added_stay_as_they_were() -> None:
    first = block_of(FIRST)
    sums = BlockSum(WIDTH, NUMERIC)
    sums.add(first)
    sums.add(first)
    assert read(first) == counted(FIRST)


def test_counts_that_are_taken_away_leave_what_is_left_exactly() -> None:
    sums = BlockSum(WIDTH, NUMERIC)
    for events in (FIRST, SECOND):
        sums.add(block_of(events))
    sums.subtract_counts(block_of(FIRST))
    left = counted(SECOND)
    asked = np.array([2, 7, 4_000], np.int64)
    expected = [left.get(int(row), ([0] * WIDTH, []))[0] for row in asked]
    assert sums.counts_of(asked).tolist() == expected


def test_counts_of_rows_are_a_copy() -> None:
    sums = BlockSum(WIDTH, NUMERIC)
    sums.add(block_of(FIRST))
    sums.counts_of(np.array([2, 7]))[:] = 99
    assert read(sums.block()) == counted(FIRST)


@pytest.mark.parametrize("largest", [0, 255, 256, 65_536, 2**32 - 1, 2**32, 2**61])
def test_a_compact_block_holds_the_same_counts_and_still_adds_up(largest: int) -> None:
    block = block_of(FIRST)
    block.counts[0, 0] = largest
    compact = block.compact()
    assert compact.counts.tolist() == block.counts.tolist()
    assert compact.nbytes <= block.nbytes
    doubled = total([compact, compact], WIDTH, NUMERIC)
    assert doubled.counts.dtype.kind == "i"
    assert doubled.counts.tolist() == (2 * block.counts).tolist()


def test_a_row_of_small_counts_takes_a_byte_a_cell() -> None:
    assert block_of(FIRST).compact().counts.dtype == np.uint8


def test_memory_counts_every_array() -> None:
    block = block_of(FIRST)
    rows, counts = block.rows.nbytes, block.counts.nbytes
    assert block.nbytes == rows + counts + block.sums.nbytes + block.extremes.nbytes


@pytest.mark.parametrize("most", [2**15 - 1, 2**15, 2**31 - 1, 2**31, 2**40])
def test_sums_widen_before_a_count_is_too_large(most: int) -> None:
    sums = BlockSum(WIDTH, NUMERIC)
    block = block_of(FIRST)
    block.counts[0, 0] = most - 5
    sums.add(block)
    for _ in range(10):
        sums.add(block_of(FIRST)._replace(counts=np.ones_like(block.counts)))
    assert sums.block().counts.tolist() == (block.counts + 10).tolist()
    sums.subtract_counts(block)
    assert sums.block().counts.tolist() == np.full_like(block.counts, 10).tolist()
