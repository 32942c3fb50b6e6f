"""A pipeline that ends without warning, and the next one: the join goes on as if nothing had been.

The store is lost, or left behind by some polls, or current; what was counted before the last
checkpoint is read again into the store alone.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgauge.core.engine import ModelEngine
from streamgauge.core.joining.fronts import numbered as further
from streamgauge.core.joining.keys import keys
from streamgauge.core.joining.store import Space
from streamgauge.core.slices import RowKey
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.stores import DiskStores, Partition
from tests.support.label_checks import assert_identities, join_counts, stream_of
from tests.support.label_judge import counted, judge, rows_of
from tests.support.label_streams import (
    LABELS,
    MAX_DELAY_MS,
    MODELS,
    NOW,
    Event,
    arrived,
    begun,
    draw,
    numbered,
    raw,
    settle,
)

PARTITIONS = 2
POLL = 20
CHECKPOINT = 3
"""Polls between two checkpoints."""
EVENTS = arrived(draw(21, 60, 360), PARTITIONS, 4)
LOGS: Mapping[Partition, list[Event]] = {
    place: [event for event in EVENTS if (event.topic, event.partition) == place]
    for place in numbered(PARTITIONS)
}


@dataclass
class Life:
    """One process that reads the partitions, each from a position of its own."""

    folder: Path
    positions: dict[Partition, int] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    floors: dict[Partition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.positions = self.positions or dict.fromkeys(numbered(PARTITIONS), 0)
        self.pipeline = begun(PARTITIONS, DiskStores(self.folder))
        self.polls = 0

    def read(self, until: int, *, flush: Callable[[int], bool] = lambda _: True) -> None:
        """Take in the events that have come by `until` (a number of events), in the order they
        came, with a checkpoint every few polls; stores are written where `flush(checkpoint)` says.
        """
        due = [e for e in EVENTS[:until] if e.offset >= self.positions[e.topic, e.partition]]
        for begin in range(0, len(due), POLL):
            self.take(due[begin : begin + POLL])
            self.polls += 1
            if self.polls % CHECKPOINT == 0:
                self.checkpoint(flush=flush(self.polls // CHECKPOINT))

    def take(self, events: Sequence[Event]) -> None:
        """Take in one poll."""
        poll = raw(events, PARTITIONS)
        assert not self.pipeline.process(poll, frozenset(), NOW).rejected
        for event in events:
            self.positions[event.topic, event.partition] = event.offset + 1

    def checkpoint(self, *, flush: bool) -> None:
        """Commit, and then write the stores, unless it ends before."""
        changed = {p: o for p, o in self.positions.items() if self.committed.get(p, -1) < o}
        if changed:
            self.floors |= self.pipeline.checkpoint(changed)
            self.committed |= changed
            if flush:
                self.pipeline.flush(self.positions)

    def die(self) -> None:
        """End as if killed: a store that is closed forgets what was not flushed."""
        self.pipeline.close()

    def next(self) -> "Life":
        """Begin anew where this one ended, its stores brought up to what was committed."""
        after = Life(self.folder, committed=dict(self.committed), floors=dict(self.floors))
        start = after.pipeline.resume(self.committed, self.floors)
        after.positions = dict(start)
        again = [
            event
            for place, log in LOGS.items()
            for event in log[start.get(place, 0) : self.committed.get(place, 0)]
        ]
        for begin in range(0, len(again), POLL):
            after.take(again[begin : begin + POLL])
        return after


def finish(life: Life) -> Pipeline:
    """Read all that is left, and let time pass until every pane is closed."""
    life.read(len(EVENTS))
    settle(life.pipeline, PARTITIONS)
    return life.pipeline


def records(engine: ModelEngine, model: str) -> Iterator[tuple[Any, ...]]:
    """Yield what the store of a model holds, with slices in place of row numbers."""
    assert engine.outcomes is not None
    form, store = engine.outcomes.join._form, engine.outcomes.join._store
    names = sorted({event.name for event in EVENTS if event.body["model"] == model})
    found = store.get(Space.PREDICTIONS, keys(model, names))
    for place, record in zip(
        found.place.tolist(), found.records.view(form.prediction), strict=True
    ):
        told = dict(zip(form.prediction.names or (), record.tolist(), strict=True))
        told["rows"] = [engine.registry.keys[row] for row in record["rows"].tolist()]
        told["bins"] = record["bins"].tolist()
        yield names[place], repr(told)
    found = store.get(Space.LABELS, keys(model, names))
    for place, record in zip(found.place.tolist(), found.records.view(form.waiting), strict=True):
        for number in range(record["count"]):
            key = further(keys(model, [names[place]]), np.array([number]))
            (item,) = store.get(Space.LABELS, key).records.view(form.waiting)
            yield names[place], number, repr(item.tolist())


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A run that nothing interrupts."""
    pipeline = finish(Life(tmp_path_factory.mktemp("through")))
    yield pipeline
    pipeline.close()


def lost(life: Life) -> None:
    shutil.rmtree(life.folder)


def kept(life: Life) -> None:
    """The folder is still there."""


CASES = {
    "lost": (lambda _: True, lost),
    "behind": (lambda checkpoint: checkpoint % 4 == 1, kept),
    "current": (lambda _: True, kept),
    "never written": (lambda _: False, kept),
}


@pytest.mark.parametrize("case", CASES)
def test_the_next_life_goes_on_as_if_nothing_had_been(
    through: Pipeline, tmp_path: Path, case: str
) -> None:
    flush, accident = CASES[case]
    first = Life(tmp_path / "stores")
    first.read(len(EVENTS) // 2, flush=flush)
    assert case != "behind" or first.committed != first.pipeline.joins["sort"].offsets
    first.die()
    accident(first)
    second = first.next()
    pipeline = finish(second)

    counted_before = [
        e for e in EVENTS if e.offset < first.committed.get((e.topic, e.partition), 0)
    ]
    newest = max(event.body["timestamp"] for event in counted_before)
    for model in MODELS:
        engine, other = pipeline.engines[model], through.engines[model]
        assert_identities(join_counts(engine))
        assert_pairs_since(engine, model, counted_before)
        assert_what_begins_later(engine, other, newest)
        assert sorted(records(engine, model)) == sorted(records(other, model))
        if case == "current":
            assert join_counts(engine) == join_counts(other)
        elif case == "behind":
            # Of labels that came to nothing, the reason depends on what was read first.
            mine, theirs = (join_counts(e)._asdict() for e in (engine, other))
            sure = ("predictions", "duplicates", "joined", "pending", "expired", "labels")
            assert [mine[name] for name in sure] == [theirs[name] for name in sure]
    pipeline.close()


def assert_pairs_since(engine: ModelEngine, model: str, before: Sequence[Event]) -> None:
    """What was counted is what all events give, less what those before the checkpoint gave."""
    stream = stream_of(engine)
    rates = None if stream.estimator is None else stream.estimator.rates()
    wrong = None if rates is None else rates.wrong
    expected: dict[RowKey, Any] = {}
    for events, sign in ((EVENTS, 1), (before, -1)):
        for key, mine in rows_of(judge(events, model).pairs, [()]):
            counts, _ = counted(stream.layout, mine, wrong)
            expected[key] = expected.get(key, 0) + sign * counts
    block = stream.track.counted()
    found = dict(zip(block.rows.tolist(), block.counts, strict=True))
    for key, counts in expected.items():
        row = engine.registry.find(key)
        mine = found.get(-1 if row is None else row, np.zeros_like(counts))
        np.testing.assert_array_equal(mine, counts, str(key))


def assert_what_begins_later(engine: ModelEngine, other: ModelEngine, newest: int) -> None:
    """Windows and cohorts that begin after the end of the first life are those of one life."""
    mine, theirs = stream_of(engine), stream_of(other)
    pairs = [
        (window.totals(), same.totals())
        for window, same in zip(mine.track.windows, theirs.track.windows, strict=True)
        if window.end is not None and window.end - window.spec.length_ms > newest
    ]
    step = mine.cohorts.step_ms
    pairs += [
        (mine.cohorts._light[number].block(), kept.block())
        for number, kept in theirs.cohorts._light.items()
        if number * step > newest
    ]
    assert len(pairs) > 2
    for block, same in pairs:
        told = [
            {
                where.registry.keys[row]: counts.tolist()
                for row, counts in zip(part.rows.tolist(), part.counts, strict=True)
                if counts.any()
            }
            for where, part in ((engine, block), (other, same))
        ]
        assert told[0] == told[1]


def test_a_lost_store_needs_no_more_than_the_latest_part_of_the_input(tmp_path: Path) -> None:
    life = Life(tmp_path / "stores")
    life.read(len(EVENTS))
    life.die()
    for place, log in LOGS.items():
        floor = life.floors[place]
        assert floor > len(log) // 10
        newest = max(event.body["timestamp"] for event in log[:floor])
        last = max(event.body["timestamp"] for event in log)
        assert newest < last - 2 * MAX_DELAY_MS


def test_a_store_that_is_current_needs_nothing_again(tmp_path: Path) -> None:
    life = Life(tmp_path / "stores")
    life.read(len(EVENTS) // 2)
    life.die()
    again = begun(PARTITIONS, DiskStores(life.folder))
    assert again.resume(life.committed, life.floors) == life.committed
    again.close()
    assert any(topic == LABELS for topic, _ in life.committed)
