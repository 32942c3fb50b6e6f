"""Inputs and floors: what has been counted, what a store lacks, and from where to begin anew."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.formats.messages import DeadLetterReason, RawMessages, Rejected
from streamgauge.runner.inputs import MARKS, Floors, Inputs, Part

P0, P1, L0 = ("predictions", 0), ("predictions", 1), ("labels", 0)


def messages(*places: tuple[int, int]) -> RawMessages:
    """Messages by partition number and offset; each value tells its place in the poll."""
    return RawMessages(
        [str(i).encode() for i in range(len(places))],
        [None] * len(places),
        np.array([number for number, _ in places], np.int32),
        np.array([offset for _, offset in places], np.int64),
        np.full(len(places), -1, np.int64),
    )


def inputs(**committed: int) -> Inputs:
    named = {"p0": P0, "p1": P1, "l0": L0}
    offsets = {named[name]: offset for name, offset in committed.items()}
    return Inputs((P0, P1, L0), frozenset({"labels"}), offsets)


def test_what_lies_before_the_committed_offset_is_not_fresh() -> None:
    poll = messages((0, 4), (0, 5), (1, 0), (2, 9), (2, 10))
    assert inputs(p0=5, l0=10).fresh(poll).tolist() == [False, True, True, False, True]


def test_a_store_lacks_what_was_counted_after_the_offsets_that_it_reflects() -> None:
    poll = messages((0, 2), (0, 3), (0, 5), (1, 7), (2, 1))
    some = inputs(p0=5, p1=8, l0=2)
    assert some.unknown(poll, {P0: 3, P1: 8}).tolist() == [False, True, False, False, True]
    assert some.unknown(poll, None).tolist() == [True, True, False, True, True]


def test_messages_are_divided_by_topic_and_keep_their_places() -> None:
    poll = messages((0, 0), (2, 0), (1, 0), (2, 1))
    chosen = np.array([True, True, True, False])
    predictions, labels = inputs().divided(poll, chosen)
    assert predictions.messages.values == [b"0", b"2"]
    assert labels.messages.values == [b"1"]
    refused = labels.rejected([Rejected(0, DeadLetterReason.KEY, "", "any")])
    assert [item.index for item in refused] == [1]


def test_parts_are_of_one_form_and_keep_the_order_of_each_partition() -> None:
    """Two partitions, J for JSON and A for Arrow; parts are between the bars.

    partition 0: J J | A A . | J
    partition 1: . . | . . A | .
    """
    places = [(0, 0), (0, 1), (0, 2), (1, 0), (0, 3), (0, 4)]
    arrow = np.array([False, False, True, True, True, False])
    poll = replace(messages(*places), arrow=arrow)
    runs = list(Part(poll, np.arange(6) + 10).runs())
    assert [run.places.tolist() for run in runs] == [[10, 11], [12, 13, 14], [15]]
    assert [run.messages.arrow is not None for run in runs] == [False, True, False]
    assert runs[2].messages.values == [b"5"]


def test_messages_in_json_alone_are_one_part_that_is_not_copied() -> None:
    part = Part(messages((0, 0), (1, 0)), np.arange(2))
    assert list(part.runs()) == [part]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_parts_hold_every_message_once(drawn: list[tuple[int, bool]]) -> None:
    poll = replace(
        messages(*((number, i) for i, (number, _) in enumerate(drawn))),
        arrow=np.array([is_arrow for _, is_arrow in drawn], np.bool_),
    )
    runs = list(Part(poll, np.arange(len(drawn))).runs())
    for number in range(3):
        at = [i for run in runs for i in run.places.tolist() if drawn[i][0] == number]
        assert at == [i for i, (partition, _) in enumerate(drawn) if partition == number]
    for run in runs:
        assert {drawn[i][1] for i in run.places.tolist()} == {run.messages.arrow is not None}
        assert len(run.messages)


def test_without_label_topics_a_poll_is_not_copied() -> None:
    poll = messages((0, 0), (1, 0))
    predictions, labels = Inputs((P0, P1)).divided(poll, np.ones(2, bool))
    assert predictions.messages is poll
    assert not len(labels.messages)


def test_all_is_fresh_once_every_partition_has_come_past_what_was_committed() -> None:
    some = inputs(p0=3, l0=2)
    some.note(messages((0, 2)))
    assert some.committed == {L0: 2}
    assert some.fresh(messages((2, 1), (2, 2))).tolist() == [False, True]
    some.note(messages((2, 0), (2, 5)))
    assert (some.behind, some.committed) == (False, {})
    assert some.fresh(messages((2, 1))).tolist() == [True], "nobody sends it again"


def test_a_floor_stays_until_all_before_an_offset_is_too_old_to_matter() -> None:
    floors = Floors(retention_ms=100)
    floors.observe(P0, 1_000)
    assert floors.at({P0: 10}, 1_000) == {P0: 0}
    floors.observe(P0, 1_050)
    assert floors.at({P0: 20}, 1_050) == {P0: 0}
    floors.observe(P0, 1_120)
    assert floors.at({P0: 30}, 1_100) == {P0: 0}, "the first ten are as old as may be"
    assert floors.at({P0: 30}, 1_101) == {P0: 10}
    assert floors.at({P0: 30}, 1_221) == {P0: 30}


def test_an_old_event_does_not_bring_a_floor_forward() -> None:
    floors = Floors(retention_ms=100)
    floors.observe(P0, 1_000)
    floors.observe(P0, 5)
    assert floors.at({P0: 10}, 1_050) == {P0: 0}


def test_a_partition_without_events_has_its_offset_for_a_floor() -> None:
    floors = Floors(retention_ms=100)
    assert floors.at({P0: 7}, None) == {P0: 7}
    assert floors.at({P0: 9}, 5_000) == {P0: 7}


def test_floors_of_an_earlier_life_stand_until_there_are_later_ones() -> None:
    floors = Floors(retention_ms=100)
    floors.begin({P0: 40})
    floors.observe(P0, 1_000)
    assert floors.at({P0: 60}, 1_000) == {P0: 40}
    assert floors.at({P0: 61}, 1_101) == {P0: 60}


def test_only_partitions_that_are_asked_for_get_a_floor() -> None:
    floors = Floors(retention_ms=100)
    floors.begin({P0: 1, P1: 2})
    assert floors.at({P1: 5}, None) == {P1: 2}


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_matters_lies_before_a_floor(seed: int) -> None:
    """However many checkpoints are remembered, and whatever the order of times."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(0, 20, 4_000)) + rng.integers(0, 50, 4_000)
    floors, newest, moved = Floors(retention_ms=30_000), 0, 0
    for offset in range(0, 4_000, 5):
        part = times[offset : offset + 5]
        floors.observe(P0, int(part.max()))
        newest = max(newest, int(part.max()))
        floor = floors.at({P0: offset + 5}, newest - 60)[P0]
        assert not (times[:floor] >= newest - 60 - 30_000).any()
        assert len(floors._marks[P0]) <= 2 * MARKS
        assert floor >= moved
        moved = floor
    wanted = int(np.argmax(times >= newest - 60 - 30_000))
    assert moved > wanted - 4_000 // MARKS, "and not much more is read again than has to be"


def test_floors_move_on_however_often_there_is_a_checkpoint() -> None:
    """Two days of labels, and a checkpoint every five seconds for eight days."""
    day = 86_400_000
    floors = Floors(retention_ms=2 * 2 * day)
    for number in range(0, 8 * day // 5_000, 10):
        now = number * 5_000
        floors.observe(P0, now)
        floor = floors.at({P0: number}, now - 10_000)[P0]
    assert (now - 4 * day) // 5_000 * 0.95 < floor <= (now - 4 * day) // 5_000


def test_marks_do_not_grow_while_time_stands_still() -> None:
    floors = Floors(retention_ms=64)
    for number in range(1, 5_000):
        floors.observe(P0, 100 * number)
        floors.at({P0: number}, 0)
    assert len(floors._marks[P0]) <= 2 * MARKS
    assert floors.at({P0: 5_000}, 500_000)[P0] > 4_000
