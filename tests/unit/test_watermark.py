"""The watermark over partitions that run at different speeds, on a made-up clock."""

import pytest

from streamgauge.core.watermark import Watermark, WatermarkSpec

DISORDER = 100
IDLE_S = 30.0
START = 1_000.0


def follow(*partitions: int) -> Watermark:
    watermark = Watermark(WatermarkSpec(DISORDER, IDLE_S))
    watermark.assign(set(partitions), START)
    return watermark


def test_there_is_none_before_the_first_event() -> None:
    assert follow(0, 1).advance(START) is None
    assert follow().advance(START) is None


def test_it_is_the_slowest_partition_less_the_disorder() -> None:
    watermark = follow(0, 1, 2)
    for partition, largest in ((0, 5_000), (1, 3_000), (2, 9_000)):
        watermark.observe(partition, largest, START)
    assert watermark.advance(START) == 3_000 - DISORDER
    watermark.observe(1, 6_000, START)
    assert watermark.advance(START) == 5_000 - DISORDER


def test_a_partition_without_events_holds_time_until_it_is_idle() -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 5_000, START)
    assert watermark.advance(START + 5) is None
    watermark.set_drained(1, True)
    assert watermark.advance(START + IDLE_S - 0.1) is None
    assert watermark.advance(START + IDLE_S) == 5_000 - DISORDER


@pytest.mark.parametrize(
    ("drained", "quiet_s", "idle"),
    [
        (True, IDLE_S, True),
        (True, IDLE_S - 1, False),  # more may come any moment
        (False, 10 * IDLE_S, False),  # what it holds has not been read: back-pressure
        (False, 0, False),
    ],
)
def test_a_partition_is_idle_only_if_drained_and_quiet(
    drained: bool, quiet_s: float, idle: bool
) -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 5_000, START)
    watermark.observe(1, 2_000, START)
    watermark.set_drained(1, drained)
    now = START + quiet_s
    watermark.observe(0, 6_000, now)
    assert watermark.is_idle(1, now) is idle
    assert watermark.advance(now) == (6_000 if idle else 2_000) - DISORDER


def test_events_end_a_partitions_idleness() -> None:
    watermark = follow(0, 1)
    for partition in (0, 1):
        watermark.observe(partition, 5_000, START)
        watermark.set_drained(partition, True)
    later = START + IDLE_S
    watermark.observe(1, 5_500, later)
    assert watermark.is_idle(0, later)
    assert not watermark.is_idle(1, later)
    assert watermark.advance(later) == 5_500 - DISORDER
    # Its events are behind now, but it does not hold time back for being so.
    watermark.observe(0, 5_100, later)
    assert watermark.advance(later) == 5_500 - DISORDER


def test_when_all_are_idle_the_furthest_speaks_for_all() -> None:
    watermark = follow(0, 1, 2)
    watermark.observe(0, 5_000, START)
    watermark.observe(1, 8_000, START)
    for partition in (0, 1, 2):
        watermark.set_drained(partition, True)
    assert watermark.advance(START + 1) is None
    assert watermark.advance(START + IDLE_S) == 8_000 - DISORDER


def test_all_idle_partitions_that_never_had_an_event_give_none() -> None:
    watermark = follow(0)
    watermark.set_drained(0, True)
    assert watermark.advance(START + IDLE_S) is None


def test_it_never_goes_back() -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 5_000, START)
    watermark.observe(1, 5_000, START)
    assert watermark.advance(START) == 4_900
    watermark.observe(0, 1_000, START + 1)
    assert watermark.advance(START + 1) == 4_900
    watermark.assign({0, 1, 2}, START + 2)
    watermark.observe(2, 10, START + 2)
    assert watermark.advance(START + 2) == 4_900


def test_an_earlier_event_does_not_take_a_partition_back() -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 5_000, START)
    watermark.observe(0, 1_000, START)
    watermark.observe(1, 8_000, START)
    assert watermark.advance(START) == 5_000 - DISORDER


def test_a_partition_with_new_events_is_drained_only_when_that_is_said_again() -> None:
    watermark = follow(0)
    watermark.observe(0, 5_000, START)
    watermark.set_drained(0, True)
    watermark.observe(0, 6_000, START + 1)
    later = START + 10 * IDLE_S
    assert not watermark.is_idle(0, later)
    watermark.set_drained(0, True)
    assert watermark.is_idle(0, later)


def test_a_partition_that_is_taken_away_no_longer_holds_time_back() -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 9_000, START)
    watermark.observe(1, 2_000, START)
    assert watermark.advance(START) == 1_900
    watermark.assign({0}, START)
    assert watermark.advance(START) == 8_900


def test_partitions_that_stay_keep_what_was_seen_of_them() -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 9_000, START)
    watermark.observe(1, 2_000, START)
    watermark.set_drained(1, True)
    watermark.assign({0, 1}, START + IDLE_S)
    assert watermark.is_idle(1, START + IDLE_S)
    assert watermark.advance(START + IDLE_S) == 8_900


def test_a_new_partition_holds_time_from_its_assignment_on() -> None:
    watermark = follow(0)
    watermark.observe(0, 5_000, START)
    assert watermark.advance(START) == 4_900
    late = START + 100
    watermark.assign({0, 1}, late)
    watermark.set_drained(1, True)
    watermark.observe(0, 8_000, late + 1)
    assert watermark.advance(late + 1) == 4_900
    assert watermark.advance(late + IDLE_S) == 7_900


def test_the_drained_state_of_a_foreign_partition_is_nobodys() -> None:
    watermark = follow(0)
    watermark.observe(0, 5_000, START)
    watermark.set_drained(7, True)
    assert watermark.advance(START) == 4_900


def test_partitions_far_ahead_of_the_slowest_are_named() -> None:
    watermark = follow(0, 1, 2)
    assert watermark.ahead(1_000) == set()
    watermark.observe(0, 5_000, START)
    watermark.observe(1, 6_000, START)
    watermark.observe(2, 6_001, START)
    assert watermark.ahead(1_000) == {2}
    watermark.observe(0, 5_500, START)
    assert watermark.ahead(1_000) == set()


def test_a_partition_is_not_ahead_of_those_that_time_has_left_behind() -> None:
    """Partition 1 fell idle at 1,000; the others went on, and need not wait for it."""
    watermark = follow(0, 1)
    watermark.observe(1, 1_000, START)
    watermark.set_drained(1, True)
    now = START + IDLE_S
    watermark.observe(0, 50_000, now)
    assert watermark.ahead(1_000) == {0}
    assert watermark.advance(now) == 50_000 - DISORDER
    assert watermark.ahead(1_000) == set()
    watermark.observe(0, 51_000, now)
    assert watermark.ahead(1_000) == {0}


def test_what_another_process_reads_is_known_as_of_its_last_word() -> None:
    watermark = follow(0, 1)
    watermark.observe(0, 5_000, START)
    watermark.observe(1, 2_000, START)
    watermark.hear({0: True}, START)
    watermark.hear({1: True}, START)
    # By the clock it is idle, but nobody has said so.
    watermark.observe(0, 6_000, START + 2 * IDLE_S)
    watermark.hear({0: False}, START + 2 * IDLE_S)
    assert watermark.advance(START + 2 * IDLE_S) == 2_000 - DISORDER
    # Idle by the word: but what came elsewhere since then may be later than what is in it.
    watermark.hear({1: True}, START + 2 * IDLE_S)
    watermark.observe(0, 9_000, START + 2 * IDLE_S + 1)
    watermark.hear({0: False}, START + 2 * IDLE_S + 1)
    assert watermark.advance(START + 2 * IDLE_S + 1) == 6_000 - DISORDER
    watermark.hear({1: True}, START + 2 * IDLE_S + 2)
    assert watermark.advance(START + 2 * IDLE_S + 2) == 9_000 - DISORDER


def test_labels_do_not_say_how_far_predictions_have_come() -> None:
    watermark = Watermark(WatermarkSpec(DISORDER, IDLE_S))
    watermark.assign({0, 1, 2}, START, followers=frozenset({2}))
    for partition, largest in ((0, 5_000), (1, 4_000), (2, 90_000)):
        watermark.observe(partition, largest, START)
    watermark.hear({0: True, 1: True, 2: True}, START + IDLE_S)
    watermark.observe(0, 8_000, START + IDLE_S + 1)
    watermark.hear({0: False}, START + IDLE_S + 1)
    assert watermark.advance(START + IDLE_S + 1) == 5_000 - DISORDER


def test_labels_alone_do_not_take_time_further_than_predictions_have_come() -> None:
    # A label of days later, in a partition that is not known to be read to its end.
    watermark = follow(0, 1)
    watermark.assign({0, 1}, START, followers=frozenset({1}))
    watermark.observe(1, 900_000, START)
    watermark.observe(0, 5_000, START)
    watermark.set_drained(0, True)
    assert watermark.advance(START) == 5_000 - DISORDER
    later = START + IDLE_S
    assert watermark.is_idle(0, later)
    assert watermark.advance(later) == 5_000 - DISORDER
    watermark.set_drained(1, True)
    assert watermark.advance(later) == 5_000 - DISORDER


def test_labels_that_are_still_to_be_read_hold_time_back_when_all_else_is_idle() -> None:
    watermark = follow(0, 1)
    watermark.assign({0, 1}, START, followers=frozenset({1}))
    watermark.observe(0, 50_000, START)
    watermark.set_drained(0, True)
    later = START + IDLE_S
    assert watermark.advance(later) is None, "it is not known which labels there are"
    watermark.observe(1, 8_000, later)
    assert watermark.advance(later) == 8_000 - DISORDER
    watermark.set_drained(1, True)
    assert watermark.advance(later) == 50_000 - DISORDER
