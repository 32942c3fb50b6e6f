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

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.blocks import SUM, Block, BlockSum, total
from streamgauge.core.spill import IN_MEMORY, Spill
from streamgauge.core.state import (
    Kept,
    Part,
    block_of,
    needed,
    packed_of,
    reading,
    refill,
    sum_part,
    value_part,
)
from streamgauge.core.steps import Step


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
    rounded: bool = False
    """Whether sums of whole steps are kept in single precision: their relative error is up to 6e-8,
    far below what means and spreads of a window are shown with."""
    spill: Spill = IN_MEMORY
    """Where whole steps live: of them little is read before they leave the window."""
    end: int | None = None
    revision: int = 0
    """Changes whenever what the window covers does."""
    _total: BlockSum = field(init=False)
    """Counts alone."""
    _steps: deque[Step] = field(default_factory=deque)
    _open: BlockSum | None = None
    _open_step: int = 0
    _is_shared: bool = False
    """Whether the open step is a pane that others hold as well, and is not to be added to."""

    def __post_init__(self) -> None:
        self._total = BlockSum(self.width, 0, 0)

    @property
    def nbytes(self) -> int:
        """Bytes of the kept steps, wherever they are."""
        return sum(step.nbytes for step in self._steps)

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
        self._opened(step).add(block)

    def close(self, start: int, pane: BlockSum) -> None:
        """Add a pane that began at `start` (ms), which is closed and changes no more.

        The first pane of a step is the step, as long as there is no other.
        """
        step = start // self.spec.step_ms
        if self.end is not None and start < self.end:
            self._revise(step, pane.block())
        elif self._open is None:
            self._open, self._open_step, self._is_shared = pane, step, True
        else:
            self._opened(step).add_all(pane)

    def _opened(self, step: int) -> BlockSum:
        """Return the open step's sum, to be added to."""
        if self._open is None or self._is_shared:
            shared, self._open, self._is_shared = self._open, self._empty(), False
            if shared is None:
                self._open_step = step
            else:
                self._open.add_all(shared)
        assert step == self._open_step, "panes close in order and steps are closed between them"
        return self._open

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
            block, packed = self._open.block(), self._open.packed()
            step = Step.of(self._open_step, block, rounded=self.rounded, packed=packed)
            self._steps.append(step.spill(self.spill))
            self._total.add_all_counts(self._open)
            self._open, self._is_shared = None, False
        self.end = end
        first = (end - self.spec.length_ms) // self.spec.step_ms
        while self._steps and self._steps[0].number < first:
            self._total.subtract_counts(self._steps.popleft().counted())

    def step_counts(self, row: int) -> tuple[IntArray, IntArray]:
        """Return the numbers `(S,)` of the steps and the open one, and a row's counts `(S, W)`."""
        counts = np.zeros((len(self._numbers()), self.width), np.int64)
        for i, step in enumerate(self._steps):
            place = step.place(row)
            if place is not None:
                counts[i] = step.counts.take(np.array([place]))[0]
        if self._open is not None:
            counts[-1] = self._open.counts_of(np.array([row]))[0]
        return np.array(self._numbers(), np.int64), counts

    def step_sums(self, row: int) -> FloatArray:
        """Return one row's Σ(x−c) of all numeric fields in the same steps `(S, M)`."""
        sums = np.zeros((len(self._numbers()), self.numeric))
        for i, step in enumerate(self._steps):
            place = step.place(row)
            if place is not None:
                sums[i] = step.sums.take(np.array([place]))[0, :, SUM]
        if self._open is not None:
            found = self._open.sums_of(row)
            if found is not None:
                sums[-1] = found[:, SUM]
        return sums

    def _numbers(self) -> list[int]:
        """Return the numbers of the steps and of the open one."""
        numbers = [step.number for step in self._steps]
        return numbers if self._open is None else [*numbers, self._open_step]

    def latest(self, rows: IntArray) -> IntArray:
        """Return the counts of some rows in the window and the open step after it `(k, W)`."""
        counts = self._total.counts_of(rows)
        if self._open is not None:
            counts += self._open.counts_of(rows)
        return counts

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
        if chosen is None:
            for step in self._steps:
                moments.add(step.moments())
        else:
            some = self._marked(chosen)
            for step in self._steps:
                moments.add(step.moments_of(some))
        rows, _, sums, extremes = moments.block()
        return Block(rows, self._total.counts_of(rows), sums, extremes)

    def _marked(self, chosen: Collection[int]) -> BoolArray:
        """Return which rows are chosen, by row number, up to the largest of any step."""
        largest = [int(step.rows.max(initial=0)) for step in self._steps]
        marked = np.zeros(max([*largest, *chosen], default=0) + 1, np.bool_)
        marked[[*chosen]] = True
        return marked

    def _revise(self, step: int, block: Block) -> None:
        assert self.end is not None
        if step < (self.end - self.spec.length_ms) // self.spec.step_ms:
            return
        self.revision += 1
        self._total.add_counts(block)
        for i, known in enumerate(self._steps):
            if known.number == step:
                both = total([known.block(), block], self.width, self.numeric, self.extremes)
                revised = Step.of(step, both, known.version + 1, rounded=self.rounded)
                self._steps[i] = revised.spill(self.spill)
                return
        at = sum(known.number < step for known in self._steps)
        self._steps.insert(at, Step.of(step, block, rounded=self.rounded).spill(self.spill))

    def parts(self) -> Iterator[Part]:
        """Yield how far the window has come, each whole step, and the open one."""
        numbers = [step.number for step in self._steps]
        opened = None if self._open is None else self._open_step
        yield value_part("place", {"end": self.end, "steps": numbers, "open": opened})
        for step in self._steps:
            yield Part(f"step/{step.number}", step.version, step.data)
        if self._open is not None:
            version = (self._open_step, self._is_shared, self._open.version)
            yield sum_part("open", version, self._open)

    def restore(self, kept: Kept) -> None:
        """Take back the parts; the total is that of the steps."""
        place = needed(kept, "place")
        with reading("place"):
            self.end, numbers, opened = place["end"], list(place["steps"]), place["open"]
        extremes = self.numeric if self.extremes is None else self.extremes
        for number in numbers:
            key = f"step/{number}"
            data = needed(kept, key)
            with reading(key):
                packed = packed_of(data["counts"])
                data = {**data, "counts": packed.whole()}
                block = block_of(data, self.width, self.numeric, extremes)
            step = Step.of(number, block, rounded=self.rounded, packed=packed)
            self._steps.append(step.spill(self.spill))
            self._total.add_counts(block)
        if opened is not None:
            self._open, self._open_step = self._empty(), opened
            data = needed(kept, "open")
            with reading("open"):
                refill(self._open, data)

    def _empty(self) -> BlockSum:
        return BlockSum(self.width, self.numeric, self.extremes)
