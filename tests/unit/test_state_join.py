"""State and the join's stores, which are local, and may be behind the state or lost."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.slices import RowKey
from streamgauge.errors import StateError
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.stores import Partition
from tests.support.kept import difference, kept, taken
from tests.support.label_streams import (
    MODELS,
    NOW,
    Event,
    arrived,
    draw,
    numbered,
    planned,
    raw,
    settle,
)
from tests.support.restarts import Disk

PARTITIONS = 2
EVENTS = arrived(draw(5, 150, 240), PARTITIONS, 5)
POLL = 150
CUT = len(EVENTS) // 2 // POLL * POLL
"""Half of the events, in whole polls."""


def offsets(events: Sequence[Event]) -> dict[Partition, int]:
    """Where to go on after these events."""
    found = dict.fromkeys(numbered(PARTITIONS), 0)
    for event in events:
        found[event.topic, event.partition] = event.offset + 1
    return found


def begun(disk: Disk) -> Pipeline:
    pipeline = Pipeline(planned(), disk)
    pipeline.assign(numbered(PARTITIONS), NOW)
    return pipeline


def read(pipeline: Pipeline, events: Sequence[Event]) -> list[str]:
    alerts: list[str] = []
    for at in range(0, len(events), POLL):
        poll = raw(events[at : at + POLL], PARTITIONS)
        alerts += map(repr, pipeline.process(poll, frozenset(), NOW).alerts)
    return alerts


def joined(pipeline: Pipeline) -> dict[str, JoinCounts]:
    found = {}
    for name in MODELS:
        outcomes = pipeline.engines[name].outcomes
        assert outcomes is not None
        found[name] = outcomes.counts()
    return found


def counted(pipeline: Pipeline, name: str) -> dict[tuple[str, RowKey], list[int]]:
    """Everything counted of labels since the start, by kind and row."""
    engine = pipeline.engines[name]
    assert engine.outcomes is not None
    stream = engine.outcomes._stream
    return {
        (kind, engine.registry.keys[row]): counts
        for kind, block in (("pairs", stream.track.counted()), ("delays", stream.delays.block()))
        for row, counts in zip(block.rows.tolist(), block.counts.tolist(), strict=True)
    }


def whole() -> Pipeline:
    pipeline = begun(Disk())
    read(pipeline, EVENTS)
    return pipeline


def current(pipeline: Pipeline) -> None:
    pipeline.flush(offsets(EVENTS[:CUT]))


def behind(pipeline: Pipeline) -> None:
    """Do not flush what came after the last flush."""


FLUSHES: Mapping[str, Callable[[Pipeline], None]] = {"current": current, "behind": behind}


@pytest.mark.parametrize("store", ["behind", "lost"])
def test_building_a_store_again_goes_on_after_a_crash_in_the_midst_of_it(store: str) -> None:
    disk = Disk()
    first = begun(disk)
    read(first, EVENTS[: CUT // 2])
    first.flush(offsets(EVENTS[: CUT // 2]))
    read(first, EVENTS[CUT // 2 : CUT])
    data, committed = kept(first), offsets(EVENTS[:CUT])
    there = Disk() if store == "lost" else disk
    sizes = []
    for crash_after in (50, 100, None):
        again = begun(there)
        again.restore(data)
        start = again.resume(committed, dict.fromkeys(committed, 0))
        old = [e for e in EVENTS[:CUT] if e.offset >= start[e.topic, e.partition]]
        sizes.append(len(old))
        for at in range(0, len(old[:crash_after]), 50):
            again.index(raw(old[at : at + 50], PARTITIONS))
        if crash_after is not None:
            read_up_to = EVENTS[: CUT - len(old) + crash_after]
            again.flush_indexed(offsets(read_up_to))
    assert sizes[1:] == [sizes[0] - 50, sizes[0] - 150]
    again.caught_up()
    assert joined(again) == joined(first)
    read(again, EVENTS[CUT:])
    expected = whole()
    for pipeline in (again, expected):
        settle(pipeline, PARTITIONS)
    assert joined(again) == joined(expected)
    for name in MODELS:
        assert counted(again, name) == counted(expected, name)


def test_a_store_in_the_midst_of_being_built_again_knows_no_more_than_was_counted() -> None:
    first = begun(Disk())
    read(first, EVENTS[:CUT])
    committed = offsets(EVENTS[:CUT])
    again = begun(Disk())
    again.restore(kept(first))
    again.resume(committed, dict.fromkeys(committed, 0))
    # A poll takes no notice of where the committed offsets are.
    beyond = EVENTS[: CUT + POLL]
    again.index(raw(beyond, PARTITIONS))
    again.flush_indexed(offsets(beyond))
    for name in MODELS:
        assert again.joins[name].offsets == committed


@pytest.mark.parametrize("store", ["current", "behind", "lost"])
def test_nothing_is_counted_twice_and_nothing_lost_whatever_is_left_of_the_stores(
    store: str,
) -> None:
    disk = Disk()
    first = begun(disk)
    read(first, EVENTS[: CUT // 2])
    first.flush(offsets(EVENTS[: CUT // 2]))
    read(first, EVENTS[CUT // 2 : CUT])
    data = kept(first)
    FLUSHES.get(store, behind)(first)
    second = begun(Disk() if store == "lost" else disk.copy())
    second.restore(data)
    counts, committed = joined(first), offsets(EVENTS[:CUT])
    start = second.resume(committed, dict.fromkeys(committed, 0))
    again = [e for e in EVENTS if e.offset >= start[e.topic, e.partition]]
    assert len(EVENTS) - len(again) == {"current": CUT, "behind": CUT // 2, "lost": 0}[store]
    # What was counted comes first, as it does from a topic.
    old = [e for e in again if e.offset < committed[e.topic, e.partition]]
    read(second, old)
    second.caught_up()
    assert joined(second) == counts
    assert second.counts == first.counts
    if store == "current":
        assert difference(data, kept(second)) == ""
    read(second, EVENTS[CUT:])
    expected = whole()
    for pipeline in (second, expected):
        settle(pipeline, PARTITIONS)
    assert joined(second) == joined(expected)
    assert second.counts == expected.counts
    for name in MODELS:
        assert counted(second, name) == counted(expected, name)


def test_counts_are_those_of_the_state_before_the_store_has_caught_up() -> None:
    first = begun(Disk())
    read(first, EVENTS[:CUT])
    second = begun(Disk())
    second.restore(kept(first))
    for name, counts in joined(first).items():
        mine = joined(second)[name]
        assert mine._replace(pending=0, waiting=0) == counts._replace(pending=0, waiting=0)
        assert (mine.pending, mine.waiting) == (0, 0), "levels are what the store holds"


def test_state_of_other_records_is_refused_by_name() -> None:
    first = begun(Disk())
    read(first, EVENTS[:CUT])
    data: dict[str, Any] = copy.deepcopy(taken(first).data)
    data["model/approve/outcomes/joiner"]["max_delay_ms"] = 1
    with pytest.raises(StateError, match=r"^state model/approve/outcomes/joiner: .*max_delay_ms"):
        begun(Disk()).restore(data)
