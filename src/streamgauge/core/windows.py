"""Windows: running totals over the last whole steps of event time.

A window of length L advances by steps of L/64 or a little more, each a whole number of panes, so a
long window costs no more memory than a short one.

    panes    |.|.|.|.|.|.|.|.|.|.|.|.|          closed one by one, in order
    steps    |.......|.......|.......|          four panes each
    window   [===============)                  covers whole steps, advances at their ends
                     [===============)
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.blocks import SUM, Block, BlockSum, total
from streamgauge.core.state import (
    Kept,
    Part,
    block_data,
    block_of,
    needed,
    reading,
    refill,
    value_part,
)


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A window's name, length and step in milliseconds; the step divides the length."""

    name: str
    length_ms: int
    step_ms: int

    @property
    def steps(self) -> int:
        """Number of steps in the window."""
        return self.length_ms // self.step_ms


class Step(NamedTuple):
    """A whole step: its number, its statistics, and where each row stands in them."""

    number: int
    block: Block
    places: dict[int, int]
    version: int = 0
    """How often it was revised."""

    @classmethod
    def of(cls, number: int, block: Block, version: int = 0) -> "Step":
        """Return the step, its counts made small."""
        places = {row: place for place, row in enumerate(block.rows.tolist())}
        return cls(number, block.compact(), places, version)


@dataclass(slots=True)
class WindowState:
    """One window's steps and their total.

    `end` is the end of the last whole step (ms), None before the first event. Counts are added
    and taken away exactly; sums and extremes are added anew from the steps, since floating-point
    numbers cannot be taken away without a trace.
    """

    spec: WindowSpec
    width: int
    numeric: int
    extremes: int | None = None
    """Fields that have extremes, all of the numeric ones where it is None."""
    end: int | None = None
    revision: int = 0
    """Changes whenever what the window covers does."""
    _total: BlockSum = field(init=False)
    _steps: deque[Step] = field(default_factory=deque)
    _open: BlockSum | None = None
    _open_step: int = 0

    def __post_init__(self) -> None:
        self._total = self._empty()

    @property
    def nbytes(self) -> int:
        """Memory of the kept steps in bytes."""
        return sum(step.block.nbytes for step in self._steps)

    @property
    def next_end(self) -> int | None:
        """End of the next step worth stopping at, None while the window is and stays empty."""
        if self._steps and self.end is not None:
            return self.end + self.spec.step_ms
        if self._open is not None:
            return (self._open_step + 1) * self.spec.step_ms
        return None

    def add(self, start: int, block: Block) -> None:
        """Add a pane that begins at `start` (ms).

        A pane in an earlier step (a late one within the grace) revises that step, if it is still
        in the window.
        """
        step = start // self.spec.step_ms
        if self.end is not None and start < self.end:
            self._revise(step, block)
            return
        if self._open is None:
            self._open = self._empty()
            self._open_step = step
        assert step == self._open_step, "panes close in order and steps are closed between them"
        self._open.add(block)

    def add_late(self, start: int, block: Block, closed: int) -> None:
        """Add a pane that begins at `start` although all up to `closed` (ms) are closed."""
        end = closed // self.spec.step_ms * self.spec.step_ms
        if self.end is None or self.end < end:
            self.advance(end)
        self.add(start, block)

    def advance(self, end: int) -> None:
        """Move to `end` (ms), the end of a step: no earlier pane will come on time any more."""
        assert end % self.spec.step_ms == 0
        self.revision += 1
        if self._open is not None and self._open_step < end // self.spec.step_ms:
            step = Step.of(self._open_step, self._open.block())
            self._steps.append(step)
            self._total.add(step.block)
            self._open = None
        self.end = end
        first = (end - self.spec.length_ms) // self.spec.step_ms
        while self._steps and self._steps[0].number < first:
            self._total.subtract_counts(self._steps.popleft().block)

    def step_counts(self, row: int) -> tuple[IntArray, IntArray]:
        """Return the numbers `(S,)` of the steps and the open one, and a row's counts `(S, W)`."""
        steps = self._steps_of(row)
        counts = np.zeros((len(steps), self.width), np.int64)
        for i, (_, block, place) in enumerate(steps):
            if place is not None:
                counts[i] = block.counts[place]
        return np.array([number for number, _, _ in steps], np.int64), counts

    def step_sums(self, row: int) -> FloatArray:
        """Return one row's Σ(x−c) of all numeric fields in the same steps `(S, M)`."""
        steps = self._steps_of(row)
        sums = np.zeros((len(steps), self.numeric))
        for i, (_, block, place) in enumerate(steps):
            if place is not None:
                sums[i] = block.sums[place, :, SUM]
        return sums

    def latest(self, rows: IntArray) -> IntArray:
        """Return the counts of some rows in the window and the open step after it `(k, W)`."""
        counts = self._total.counts_of(rows)
        if self._open is not None:
            counts += self._open.counts_of(rows)
        return counts

    def _steps_of(self, row: int) -> list[tuple[int, Block, int | None]]:
        """Return the numbers and statistics of the steps, and the row's place in each."""
        steps = [(step.number, step.block, step.places.get(row)) for step in self._steps]
        if self._open is not None:
            steps.append((self._open_step, self._open.block(), self._open.place(row)))
        return steps

    def counts(self) -> tuple[IntArray, IntArray]:
        """Return the rows with events in the window `(k,)` and their counts `(k, W)`."""
        kept = self._total.block()
        present = np.flatnonzero(kept.counts.any(axis=1))
        return kept.rows[present], kept.counts[present].astype(np.int64, copy=False)

    def totals(self, chosen: Collection[int] | None = None) -> Block:
        """Return the window's statistics over those of the chosen rows that have events in it.

        None stands for all rows.
        """
        moments = BlockSum(0, self.numeric, self.extremes)
        for step in self._steps:
            block = step.block._replace(counts=step.block.counts[:, :0])
            if chosen is not None:
                block = block.take(
                    np.array([step.places[x] for x in chosen if x in step.places], np.intp)
                )
            moments.add(block)
        rows, _, sums, extremes = moments.block()
        return Block(rows, self._total.counts_of(rows), sums, extremes)

    def _revise(self, step: int, block: Block) -> None:
        assert self.end is not None
        if step < (self.end - self.spec.length_ms) // self.spec.step_ms:
            return
        self.revision += 1
        self._total.add(block)
        for i, known in enumerate(self._steps):
            if known.number == step:
                both = total([known.block, block], self.width, self.numeric, self.extremes)
                self._steps[i] = Step.of(step, both, known.version + 1)
                return
        at = sum(known.number < step for known in self._steps)
        self._steps.insert(at, Step.of(step, block))

    def parts(self) -> Iterator[Part]:
        """Yield how far the window has come, each whole step, and the open one."""
        numbers = [step.number for step in self._steps]
        opened = None if self._open is None else self._open_step
        yield value_part("place", {"end": self.end, "steps": numbers, "open": opened})
        for step in self._steps:
            yield Part(f"step/{step.number}", step.version, partial(block_data, step.block))
        if self._open is not None:
            version = (self._open_step, self._open.version)
            yield Part("open", version, partial(block_data, self._open.block()))

    def restore(self, kept: Kept) -> None:
        """Take back the parts; the total is that of the steps."""
        place = needed(kept, "place")
        with reading("place"):
            self.end, numbers, opened = place["end"], list(place["steps"]), place["open"]
        extremes = self._total.extremes
        for number in numbers:
            key = f"step/{number}"
            data = needed(kept, key)
            with reading(key):
                step = Step.of(number, block_of(data, self.width, self.numeric, extremes))
            self._steps.append(step)
            self._total.add(step.block)
        if opened is not None:
            self._open, self._open_step = self._empty(), opened
            data = needed(kept, "open")
            with reading("open"):
                refill(self._open, data)

    def _empty(self) -> BlockSum:
        return BlockSum(self.width, self.numeric, self.extremes)
