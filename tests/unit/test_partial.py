"""Merging partials by pane, and the unseen values that go with them."""

from streamgauge.core.partial import Partial, merge
from tests.support.counted import Small, block_of, counted, read

EARLY = [Small(3, row=1, cell=0, value=2), Small(3, row=2, cell=2, value=-1)]
LATE = [Small(9, row=1, cell=1, value=4)]


def test_panes_come_out_ascending_with_one_block_each() -> None:
    first = Partial(((9, block_of(LATE)), (3, block_of(EARLY))))
    second = Partial(((9, block_of(LATE)),))
    merged = merge(first, second)
    assert [pane for pane, _ in merged.pieces] == [3, 9]
    assert [read(block) for _, block in merged.pieces] == [counted(EARLY), counted(LATE * 2)]


def test_several_blocks_of_one_pane_add_up() -> None:
    merged = merge(Partial(((3, block_of(EARLY)), (3, block_of(EARLY)))), Partial(()))
    ((pane, block),) = merged.pieces
    assert pane == 3
    assert read(block) == counted(EARLY * 2)


def test_unseen_values_add_up_by_feature_and_value() -> None:
    first = Partial((), {"carrier": {"ZZ": 2, "YY": 1}})
    second = Partial((), {"carrier": {"ZZ": 3}, "origin": {"XXX": 1}})
    expected = {"carrier": {"ZZ": 5, "YY": 1}, "origin": {"XXX": 1}}
    assert merge(first, second).unseen == merge(second, first).unseen == expected
    assert first.unseen == {"carrier": {"ZZ": 2, "YY": 1}}


def test_merging_leaves_both_partials_as_they_were() -> None:
    first, second = Partial(((3, block_of(EARLY)),)), Partial(((3, block_of(EARLY)),))
    merge(merge(first, second), second)
    for part in (first, second):
        assert read(part.pieces[0][1]) == counted(EARLY)
