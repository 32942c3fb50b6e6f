"""Pipelines that are stopped at some poll and go on in another process, as far as a test can.

What lasts is taken part by part, and what the join's stores had flushed is on a disk that is a
dictionary.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.state import Kept
from streamgauge.formats.messages import RawMessages
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.stores import KeptStore, Partition
from tests.support.flights import NOW, Sent, polled
from tests.support.kept import Checkpoint, adopt, delivered, difference, taken


@dataclass
class Disk:
    """Stores that outlive their process as they were flushed last."""

    flushed: dict[tuple[str, str], tuple[bytes, Any]] = field(default_factory=dict)

    def open(self, model: str, fingerprint: str) -> KeptStore:
        """Return a model's store as it was flushed last; one of another fingerprint is new."""
        return DiskStore(self, (model, fingerprint))

    def copy(self) -> "Disk":
        """Return a disk with the same content, of which neither changes the other's."""
        return Disk(dict(self.flushed))


class DiskStore(MemoryStore):
    """A store of a disk."""

    def __init__(self, disk: Disk, name: tuple[str, str]) -> None:
        super().__init__()
        self._disk, self._name = disk, name
        self._meta: bytes | None = None
        if name in disk.flushed:
            self._meta, tables = disk.flushed[name]
            self._tables = copy.deepcopy(tables)

    def meta(self) -> bytes | None:
        """Return what the last flush was given."""
        return self._meta

    def flush(self, meta: bytes) -> None:
        """Write everything to the disk."""
        self._meta = meta
        self._disk.flushed[self._name] = meta, copy.deepcopy(self._tables)

    def unflushed(self) -> int:
        """Return 0: nobody waits for this disk."""
        return 0

    def close(self) -> None:
        """Do nothing."""


class Step(NamedTuple):
    """A poll, and the partitions that were read to their end in it."""

    messages: RawMessages
    drained: frozenset[int] = frozenset()
    now: float = NOW


@dataclass
class Life:
    """A pipeline in one process, and what it published."""

    pipeline: Pipeline
    disk: Disk
    partitions: tuple[Partition, ...]
    alerts: list[str] = field(default_factory=list)
    steps: int = 0

    def take(self, steps: Sequence[Step]) -> "Life":
        """Process polls."""
        for step in steps:
            outcome = self.pipeline.process(step.messages, step.drained, step.now)
            self.alerts += map(repr, outcome.alerts)
            self.steps += 1
        return self

    def checkpoint(self) -> Checkpoint:
        """Take all state, and flush the stores."""
        found = taken(self.pipeline)
        self.pipeline.flush(dict.fromkeys(self.partitions, self.steps))
        return found


def born(make: Callable[[Disk], Pipeline], partitions: Sequence[Partition]) -> Life:
    """Return a pipeline's first life."""
    disk = Disk()
    life = Life(make(disk), disk, tuple(partitions))
    life.pipeline.assign(life.partitions, NOW)
    return life


def reborn(make: Callable[[Disk], Pipeline], life: Life, data: Kept) -> Life:
    """Return a life that goes on from a checkpoint's data."""
    disk = life.disk.copy()
    new = Life(make(disk), disk, life.partitions, list(life.alerts), life.steps)
    new.pipeline.restore(delivered(data))
    adopt(new.pipeline, data)
    new.pipeline.assign(new.partitions, NOW)
    return new


def steps_of(messages: Sequence[tuple[int, Sent]], sizes: Sequence[int]) -> list[Step]:
    """Cut messages into polls of these sizes, over and over."""
    found: list[Step] = []
    begin = 0
    while begin < len(messages):
        size = sizes[len(found) % len(sizes)]
        found.append(Step(polled(messages[begin : begin + size])))
        begin += size
    return found


def plain(value: Any) -> Any:
    """Return nested values as lists, dicts and arrays, for `kept.difference`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.compare}
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {repr(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, np.ndarray) else repr(value)


def assert_same(first: Life, second: Life) -> None:
    """Compare what was published and what would be kept, bit by bit."""
    assert first.alerts == second.alerts
    snapshots = [plain(life.pipeline.snapshot(NOW)) for life in (first, second)]
    assert difference(*snapshots) == ""
    assert difference(first.checkpoint().data, second.checkpoint().data) == ""


def assert_goes_on(
    make: Callable[[Disk], Pipeline],
    partitions: Sequence[Partition],
    steps: Sequence[Step],
    cut: int,
    every: int,
) -> None:
    """Stop after `cut` steps, with checkpoints on the way, and go on in two processes."""
    first = born(make, partitions)
    for at in range(0, cut, every):
        first.take(steps[at : min(at + every, cut)])
        first.checkpoint()
    point = first.checkpoint()
    second = reborn(make, first, point.data)
    assert difference(point.data, second.checkpoint().data) == ""
    first.take(steps[cut:])
    second.take(steps[cut:])
    assert_same(first, second)


def assert_tokens_tell(
    make: Callable[[Disk], Pipeline],
    partitions: Sequence[Partition],
    steps: Sequence[Step],
    every: int,
) -> None:
    """Compare every checkpoint with the next: what has the same token has the same data."""
    life = born(make, partitions)
    starts = range(0, len(steps), every)
    points = [life.take(steps[at : at + every]).checkpoint() for at in starts]
    for before, after in pairwise(points):
        for key in before.tokens.keys() & after.tokens.keys():
            if before.tokens[key] == after.tokens[key]:
                assert difference(before.data[key], after.data[key], key) == ""
