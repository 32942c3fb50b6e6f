"""Inputs: which partitions hold what, how far they have been counted, and from where to begin anew.

Predictions that wait for labels are kept in a store that may be lost. It is built again from the
inputs: from a partition's floor on, the last offset before which nothing matters any more.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, CodeArray, IntArray
from streamgauge.core.grouping import distinct
from streamgauge.core.model_spec import ModelSpec
from streamgauge.formats.messages import RawMessages, Rejected
from streamgauge.runner.stores import Offsets, Partition

MARKS: Final = 64
"""Offsets that are remembered per partition as possible floors, over the time that matters."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a poll's messages, and their places in the poll."""

    messages: RawMessages
    places: npt.NDArray[np.intp]

    def rejected(self, items: Iterable[Rejected]) -> tuple[Rejected, ...]:
        """Return refusals with their places in the poll."""
        return tuple(replace(item, index=int(self.places[item.index])) for item in items)

    def take(self, at: slice) -> "Part":
        """Return some of them."""
        return Part(self.messages.take(np.arange(len(self.places))[at]), self.places[at])

    def runs(self) -> "Iterator[Part]":
        """Yield the messages in parts of one form: events in JSON, or Arrow batches.

        Each partition's come in their order, as of two events with one id the first counts, but
        not those of different partitions, so that parts are as few as can be.
        """
        arrow = self.messages.arrow
        if arrow is None:
            yield self
            return
        turn = _turns(self.messages.partition, arrow)
        for number in range(int(turn.max(initial=-1)) + 1):
            at = np.flatnonzero(turn == number)
            if len(at):
                yield Part(self.messages.take(at), self.places[at])


@dataclass(slots=True)
class Inputs:
    """The partitions that are read, numbered in their order; those of some topics hold labels."""

    partitions: tuple[Partition, ...] = ()
    label_topics: frozenset[str] = frozenset()
    committed: dict[Partition, int] = field(default_factory=dict)
    """Offsets before which everything was counted in an earlier life."""
    behind: bool = True
    """Whether messages may still come that were counted in an earlier life."""

    @property
    def label_numbers(self) -> frozenset[int]:
        """The numbers of the partitions that hold labels."""
        found = (i for i, (topic, _) in enumerate(self.partitions) if topic in self.label_topics)
        return frozenset(found)

    def fresh(self, messages: RawMessages) -> BoolArray:
        """Say which messages `(n,)` have not been counted in an earlier life."""
        if not self.behind:
            return np.ones(len(messages), bool)
        return messages.offset >= self._offsets(self.committed, 0)[messages.partition]

    def unknown(self, messages: RawMessages, reflected: Offsets | None) -> BoolArray:
        """Say which messages `(n,)` were counted, but are not in a store.

        `reflected` are the offsets that the store reflects, None where it is empty.
        """
        known = self._offsets(reflected or {}, 0)[messages.partition]
        return ~self.fresh(messages) & (messages.offset >= known)

    def divided(self, messages: RawMessages, chosen: BoolArray) -> tuple[Part, Part]:
        """Return the predictions and the labels among the messages that are `chosen (n,)`."""
        labels = self.label_numbers
        if not labels and chosen.all():
            everything = Part(messages, np.arange(len(messages)))
            return everything, Part(_some(messages, everything.places[:0]), everything.places[:0])
        is_label = np.zeros(max(len(self.partitions), 1), bool)
        is_label[list(labels)] = True
        of_labels = is_label[messages.partition]
        parts = [np.flatnonzero(chosen & mine) for mine in (~of_labels, of_labels)]
        predictions, labelled = (Part(_some(messages, at), at) for at in parts)
        return predictions, labelled

    def note(self, messages: RawMessages) -> None:
        """Note that these messages are taken in: later ones of a partition come after them."""
        if not self.behind:
            return
        for number in distinct(messages.partition):
            last = int(messages.offset[messages.partition == number].max())
            if last + 1 >= self.committed.get(self.partitions[number], 0):
                self.committed.pop(self.partitions[number], None)
        self.behind = bool(self.committed)

    def _offsets(self, offsets: Mapping[Partition, int], default: int) -> npt.NDArray[np.int64]:
        known = [offsets.get(partition, default) for partition in self.partitions]
        return np.array(known or [default], np.int64)


def _some(messages: RawMessages, at: npt.NDArray[np.intp]) -> RawMessages:
    return messages if len(at) == len(messages) else messages.take(at)


def _turns(partition: CodeArray, arrow: BoolArray) -> IntArray:
    """How often the form changed before each message of its partition `(n,)`: odd where Arrow."""
    turn = np.zeros(len(arrow), np.int64)
    for number in distinct(partition):
        mine = np.flatnonzero(partition == number)
        changes = np.diff(arrow[mine].astype(np.int64), prepend=0)
        turn[mine] = np.cumsum(np.abs(changes))
    return turn


class Floors:
    """From where each partition would have to be read again.

    At checkpoints the newest event time of what came before is remembered with the offset, where it
    is a step later than that of the one before. Once it is older than what any label is waited for,
    nothing before the offset matters.
    """

    def __init__(self, retention_ms: int) -> None:
        self._retention = retention_ms
        self._step = retention_ms // MARKS
        self._newest: dict[Partition, int] = {}
        self._marks: dict[Partition, deque[tuple[int, int]]] = {}
        self._floors: dict[Partition, int] = {}

    def begin(self, floors: Offsets) -> None:
        """Go on with the floors of an earlier life."""
        self._floors = dict(floors)

    def observe(self, partition: Partition, newest: int) -> None:
        """Note the newest event time (ms) of events just read from a partition."""
        self._newest[partition] = max(self._newest.get(partition, newest), newest)

    def at(self, offsets: Offsets, watermark: int | None) -> dict[Partition, int]:
        """Return the floors at a checkpoint with these offsets."""
        for partition, offset in offsets.items():
            newest = self._newest.get(partition)
            marks = self._marks.setdefault(partition, deque())
            self._floors.setdefault(partition, offset if newest is None else 0)
            if newest is not None and _is_later(marks, offset, newest - self._step):
                marks.append((offset, newest))
            if watermark is None:
                continue
            while marks and marks[0][1] < watermark - self._retention:
                self._floors[partition] = marks.popleft()[0]
            _thin(marks)
        return {partition: self._floors[partition] for partition in offsets}


def _is_later(marks: Sequence[tuple[int, int]], offset: int, newest: int) -> bool:
    return not marks or (marks[-1][0] < offset and marks[-1][1] <= newest)


def _thin(marks: deque[tuple[int, int]]) -> None:
    """Forget every other mark where time stands still elsewhere; the oldest is the next floor."""
    if len(marks) > 2 * MARKS:
        kept = list(marks)[::2]
        marks.clear()
        marks.extend(kept)


def retention_ms(specs: Sequence[ModelSpec]) -> int:
    """Return how long after an event (ms) something may still come that needs it."""
    delays = [spec.labels.max_delay_ms for spec in specs if spec.labels is not None]
    return 2 * max(delays, default=0)
