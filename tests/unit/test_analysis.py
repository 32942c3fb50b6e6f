"""Analysis: whose word counts and for how long, and what is not of the same configuration."""

from dataclasses import replace

import numpy as np
import pytest

from streamgauge.core.slices import SliceSpec
from streamgauge.formats.partials import PartialsError
from streamgauge.formats.state_manifest import Position
from streamgauge.runner.plan import Plan, without_labels
from streamgauge.runner.workers.analysis import Analysis
from streamgauge.runner.workers.counting import MOST_PANES_APART, Counting
from tests.support.flights import (
    DISORDER_MS,
    NOW,
    SECOND,
    T0,
    flights,
    planned,
    polled,
    reference_of,
    send,
)
from tests.support.workers import partials

REFERENCE = reference_of(flights(np.random.default_rng(1), 400, -3_600, 0))
PLAN = without_labels(planned(REFERENCE))
INPUTS = [("predictions", 0), ("predictions", 1)]
IDLE_S = 30.0
"""The configuration's `idle_after`."""


def worker(number: int, plan: Plan = PLAN) -> Counting:
    """A worker that reads one partition."""
    counting = Counting(plan, f"w{number}")
    counting.assign([INPUTS[number]], NOW)
    return counting


def analysis() -> Analysis:
    found = Analysis(PLAN)
    found.assign(INPUTS, NOW)
    return found


def count(counting: Counting, until_s: int, *, drained: bool = False) -> None:
    """Let a worker take in an event of this many seconds after T0."""
    [event] = flights(np.random.default_rng(until_s), 1, until_s, until_s + 1)
    at_end = frozenset({0}) if drained else frozenset()
    counting.process(polled([(0, send(event))]), at_end, NOW)


def told(to: Analysis, counting: Counting, now: float = NOW) -> None:
    """Ship what a worker has counted."""
    values = [value for _, value in counting.ship()]
    to.process(partials(values), frozenset(), now)


def silent(to: Analysis, now: float) -> None:
    to.process(partials([]), frozenset(), now)


def reached(to: Analysis) -> int | None:
    """How far time has come, in seconds after T0."""
    value = to.watermark.value
    return None if value is None else (value + DISORDER_MS - T0) // SECOND


def test_time_waits_for_partitions_that_nobody_has_spoken_of() -> None:
    to, first = analysis(), worker(0)
    count(first, 100, drained=True)
    told(to, first)
    assert reached(to) is None
    silent(to, NOW + 1_000)
    assert reached(to) is None, "for however long"


def test_time_is_that_of_the_slowest_worker() -> None:
    to, first, second = analysis(), worker(0), worker(1)
    count(first, 100)
    count(second, 40)
    told(to, first)
    told(to, second)
    assert reached(to) == 40


def test_a_partition_read_to_its_end_is_idle_once_its_reader_says_so() -> None:
    to, first, second = analysis(), worker(0), worker(1)
    count(first, 100)
    count(second, 40, drained=True)
    told(to, second)
    told(to, first)
    silent(to, NOW + IDLE_S + 1)
    assert reached(to) == 40, "it was not idle yet at that one's last word"
    told(to, second, NOW + IDLE_S + 1)
    assert reached(to) == 100


def test_time_goes_no_further_than_it_was_at_the_last_word_on_an_idle_partition() -> None:
    to, first, second = analysis(), worker(0), worker(1)
    count(first, 20)
    told(to, first)
    count(second, 40, drained=True)
    told(to, second, NOW)
    told(to, second, NOW + IDLE_S + 1)
    assert reached(to) == 20
    # There may be older events in the idle partition by now, of which nobody has spoken.
    count(first, 100)
    told(to, first, NOW + IDLE_S + 1.5)
    assert reached(to) == 40
    count(second, 70)
    told(to, second, NOW + IDLE_S + 2)
    assert reached(to) == 70


def test_partitions_that_had_no_events_at_their_last_word_hold_time_up() -> None:
    to, first, second = analysis(), worker(0), worker(1)
    second.process(polled([]), frozenset({0}), NOW)
    told(to, second, NOW + IDLE_S + 1)
    count(first, 100, drained=True)
    told(to, first, NOW + IDLE_S + 2)
    assert reached(to) is None
    told(to, second, NOW + IDLE_S + 3)
    assert reached(to) == 100


def test_a_worker_that_has_died_holds_time_up() -> None:
    to, first, second = analysis(), worker(0), worker(1)
    count(first, 100)
    count(second, 40, drained=True)
    told(to, second)
    told(to, first)
    # Its partition was read to its end, and has been quiet for long: but nobody says so any more.
    told(to, first, NOW + IDLE_S + 1)
    silent(to, NOW + 10 * IDLE_S)
    assert reached(to) == 40


def test_a_partition_that_was_added_is_followed_when_a_worker_names_it() -> None:
    to, first, second = Analysis(PLAN), worker(0), worker(1)
    to.assign(INPUTS[:1], NOW)
    count(second, 40)
    count(first, 100)
    told(to, second)
    told(to, first)
    assert reached(to) == 40


def test_partials_of_another_configuration_are_refused_with_a_remedy() -> None:
    [known] = PLAN.known
    spec = replace(known.spec, slices=(*known.spec.slices, SliceSpec(())))
    other = replace(PLAN, known=(replace(known, spec=spec),))
    foreign = worker(0, other)
    count(foreign, 10)
    with pytest.raises(PartialsError, match="message at offset 0 was made with another") as error:
        told(analysis(), foreign)
    assert "'flight-delay'" in str(error.value)
    assert "--discard-state" in str(error.value)


def test_counts_of_messages_are_those_of_all_workers_together() -> None:
    to, first, second = analysis(), worker(0), worker(1)
    for counting in (first, second):
        for until in (10, 20):
            count(counting, until)
            told(to, counting)
    assert to.counts.consumed == to.counts.accepted == 4
    [event] = flights(np.random.default_rng(1), 1, 0, 1)
    broken = replace(send(event), value=b"{")
    first.process(polled([(0, broken)]), frozenset(), NOW)
    told(to, first)
    assert to.counts.rejected == {"decode": 1}


def test_a_worker_waits_for_others_that_are_far_behind() -> None:
    first = worker(0)
    apart_s = MOST_PANES_APART * 10
    count(first, apart_s + 20)
    assert first.is_apart(T0 + 10 * SECOND)
    assert not first.is_apart(T0 + 60 * SECOND)
    assert first.ahead() == frozenset()
    first.wait_for(T0 + 10 * SECOND)
    assert first.ahead() == {0}
    first.wait_for(None)
    assert first.ahead() == frozenset()


def test_a_worker_goes_on_where_others_have_come_to() -> None:
    first = worker(0)
    first.go_on({INPUTS[0]: Position(10, 5, T0, T0 - DISORDER_MS)})
    assert first.reached(INPUTS[0]) == T0
    count(first, 10)
    newer = first.reached(INPUTS[0])
    assert newer is not None
    assert newer > T0
    first.go_on({INPUTS[0]: Position(10, 5, T0)})
    assert first.reached(INPUTS[0]) == newer, "it never goes back"
