"""Cohorts: predictions by when they were made, kept until no label comes for them any more.

Steps of event time are long enough that at most `MOST_STEPS` of them span the largest delay and
the longest window. Each counts, for every slice, its predictions by what was predicted and its
labelled events by outcome; for whole versions also all that figures need.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, CodeArray, FloatArray, IntArray, Task
from streamgauge.core.blocks import SUM, SUM_SQUARES, Block, BlockSum
from streamgauge.core.cohorts.arrival import Ages, delay_bins, delay_edges, learn_delays
from streamgauge.core.cohorts.figures import predicted_classes
from streamgauge.core.cohorts.maturity import matured
from streamgauge.core.cohorts.weighting import expected_labels, label_weights, labelled_share
from streamgauge.core.grouping import by_value
from streamgauge.core.outcomes.cohort_figures import plain_figures, weighted_figures
from streamgauge.core.outcomes.figures import Figures, performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.row_counts import count_by_row, signed_counts
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.state import (
    Kept,
    Part,
    Plain,
    block_data,
    needed,
    reading,
    refill,
    value_part,
    within,
)
from streamgauge.core.windows import WindowSpec

MOST_STEPS: Final = 128


class CohortStats(NamedTuple):
    """Figures of the predictions made in a window, over R rows; NaN where there are none.

    `predicted` and `labelled (R,) int64` count the window's events so far; `early` figures are of
    the labels that have come, `weighted` those with each label weighing as much as labels like it
    are still to come. `matured` figures are of the latest window that has its labels, which ends at
    `matured_end (R,)` (ms, −1 where there is none) and has the `coverage (R,)`.
    """

    window: str
    start: int
    end: int
    predicted: IntArray
    labelled: IntArray
    early: Figures
    weighted: Figures
    matured: Figures
    matured_end: IntArray
    coverage: FloatArray


@dataclass(slots=True)
class Cohorts:
    """Predictions and labelled events by step of the prediction's time."""

    layout: OutcomeLayout
    windows: tuple[WindowSpec, ...]
    pane_ms: int
    max_delay_ms: int
    step_ms: int = field(init=False)
    groups: int = field(init=False)
    """Kinds of predictions: the two classes of a binary model, one of others."""
    strata: int = field(init=False)
    """Kinds of outcomes: those of a binary model are [label, prediction], of other classifiers
    wrong or right, of regressions all one."""
    _edges: FloatArray = field(init=False)
    _light: dict[int, BlockSum] = field(default_factory=dict)
    _full: dict[int, BlockSum] = field(default_factory=dict)
    _delays: dict[int, IntArray] = field(default_factory=dict)
    _first: int = 0
    _changes: dict[int, int] = field(default_factory=dict)
    """Changes of each step so far."""

    def __post_init__(self) -> None:
        span = self.max_delay_ms + max(window.length_ms for window in self.windows)
        panes = -(-span // (MOST_STEPS * self.pane_ms))
        self.step_ms = panes * self.pane_ms
        binary = self.layout.task is Task.BINARY
        self.groups = 2 if binary else 1
        self.strata = {Task.BINARY: 4, Task.MULTICLASS: 2, Task.REGRESSION: 1}[self.layout.task]
        self._edges = delay_edges(self.max_delay_ms)

    @property
    def delay_edges_ms(self) -> FloatArray:
        """The edges of label delays `(D + 1,)`, from 0 to the largest."""
        return self._edges

    def delay_bins(self, delay_ms: IntArray) -> IntArray:
        """Return the bin of label delays `(n,)`, none below 0 or above the largest."""
        return delay_bins(delay_ms, self._edges)

    def add_predictions(self, time: IntArray, rows: CodeArray, predicted: CodeArray) -> None:
        """Count predictions: `time (n,)`, `rows (n, S)`, class codes `predicted (n,)`."""
        group = (np.asarray(predicted) == 1).astype(np.int64) if self.groups == 2 else None
        for step, chosen in self._steps(time):
            mine = rows[chosen]
            kinds = np.zeros(len(mine), np.int64) if group is None else group[chosen]
            self._add_light(step, mine, kinds, None, None)

    def add_labels(
        self,
        time: IntArray,
        rows: CodeArray,
        stratum: IntArray,
        delay_bin: IntArray,
        sign: npt.NDArray[np.int8],
        error: FloatArray | None,
    ) -> None:
        """Count labelled events, or take them away again where `sign (n,)` is −1.

        `delay_bin (n,)` are from `delay_bins`; `error (n,)` is that of regressions.
        """
        for step, chosen in self._steps(time):
            mine, signs = rows[chosen], sign[chosen]
            errors = None if error is None else error[chosen]
            self._add_light(step, mine, self.groups + stratum[chosen], signs, errors)
            delays = self._delays.setdefault(step, self._no_delays())
            self._note(step)
            cells = stratum[chosen] * delays.shape[1] + delay_bin[chosen]
            delays += signed_counts(cells, signs, delays.size).reshape(delays.shape)

    def add_block(self, step: int, block: Block) -> None:
        """Add the statistics of whole versions' labelled events to a step."""
        if step < self._first:
            return
        if step not in self._full:
            self._full[step] = self._new_full()
        cut = block._replace(
            counts=block.counts[:, : self._full_width], sums=block.sums[:, : self._full_sums]
        )
        self._full[step].add(cut)
        self._note(step)

    def parts(self) -> Iterator[Part]:
        """Yield the first step that is kept, and all that is known of every step."""
        yield value_part("place", {"first": self._first})
        for step, changes in self._changes.items():
            yield Part(f"step/{step}", changes, partial(self._data, step))

    def restore(self, kept: Kept) -> None:
        """Take back the parts."""
        place = needed(kept, "place")
        with reading("place"):
            self._first = place["first"]
        for name, data in within("step", kept).items():
            with reading(f"step/{name}"):
                step = int(name)
                for kind, empty, sums in (
                    ("light", self._new_light, self._light),
                    ("full", self._new_full, self._full),
                ):
                    if data[kind] is not None:
                        sums[step] = empty()
                        refill(sums[step], data[kind])
                if data["delays"] is not None:
                    delays, none = np.array(data["delays"], np.int64), self._no_delays()
                    if delays.shape != none.shape:
                        raise ValueError(f"delays are {delays.shape}, not {none.shape}")
                    self._delays[step] = delays
                self._note(step)

    def _data(self, step: int) -> Plain:
        light, full = self._light.get(step), self._full.get(step)
        return {
            "light": None if light is None else block_data(light.block()),
            "full": None if full is None else block_data(full.block()),
            "delays": self._delays.get(step),
        }

    def _note(self, step: int) -> None:
        self._changes[step] = self._changes.get(step, 0) + 1

    def _new_light(self) -> BlockSum:
        return BlockSum(self.groups + self.strata, self._light_sums, 0)

    def _new_full(self) -> BlockSum:
        return BlockSum(self._full_width, self._full_sums, 0)

    def _no_delays(self) -> IntArray:
        return np.zeros((self.strata, len(self._edges) - 1), np.int64)

    def between(self, first: int | None, end: int) -> Iterator[Block]:
        """Yield what is counted of every step from `first`, or the oldest, up to before `end`.

        Of each row the predictions by group, then the labelled events by stratum.
        """
        for step in sorted(self._light):
            if step < end and (first is None or step >= first):
                yield self._light[step].block()

    def forget(self, now: int) -> None:
        """Drop the steps that no window and no label needs any more at `now` (ms)."""
        span = self.max_delay_ms + max(window.length_ms for window in self.windows)
        first = (now - span) // self.step_ms
        if first <= self._first:
            return
        self._first = first
        for kept in (self._light, self._full, self._delays, self._changes):
            for step in [step for step in kept if step < first]:
                del kept[step]

    def stats(self, now: int, rows: IntArray, whole: IntArray) -> tuple[CohortStats, ...]:
        """Return the figures of some rows at `now` (ms), for every window that is long enough.

        `rows (R,)` are registry rows; `whole (V,)` those of them that are whole versions, whose
        labels teach how late labels come.
        """
        if not self._light or not len(rows):
            return ()
        task = self.layout.task
        last = max(*self._light, (now - 1) // self.step_ms)
        first = max(min(self._light), last - MOST_STEPS)
        steps = np.arange(first, last + 1)
        light = np.zeros((len(rows), len(steps), self.groups + self.strata), np.int64)
        sums = np.zeros((len(rows), len(steps), self._light_sums, 2))
        for at, step in enumerate(steps.tolist()):
            kept = self._light.get(step)
            if kept is None:
                continue
            block = kept.block().of_rows(rows)
            light[:, at] = block.counts
            sums[:, at] = block.sums
        predicted, labelled = light[:, :, : self.groups], light[:, :, self.groups :]
        is_whole = np.isin(rows, whole)
        ages = Ages.of(steps * self.step_ms, self.step_ms, now)
        none = self._no_delays()
        delays = np.stack([self._delays.get(step, none) for step in steps.tolist()])
        law = learn_delays(np.maximum(delays, 0), self._edges, ages)
        weights = label_weights(law, ages)
        group = predicted_classes(2) if self.groups == 2 else np.zeros(self.strata, np.int64)
        share = labelled_share(
            labelled[is_whole].sum(axis=0), predicted[is_whole].sum(axis=0), group, weights
        )
        aged = ages.youngest >= self.max_delay_ms
        found = []
        for window in self.windows:
            length = window.length_ms // self.step_ms
            if not 0 < length <= len(steps):
                continue
            part = slice(len(steps) - length, len(steps))
            expected = expected_labels(predicted[:, part], group, share)
            mature = matured(labelled.sum(axis=2), predicted.sum(axis=2), aged, length)
            found.append(
                CohortStats(
                    window.name,
                    int(steps[part.start]) * self.step_ms,
                    (int(steps[-1]) + 1) * self.step_ms,
                    predicted[:, part].sum(axis=(1, 2)),
                    labelled[:, part].sum(axis=(1, 2)),
                    plain_figures(task, labelled[:, part].sum(axis=1), sums[:, part].sum(axis=1)),
                    weighted_figures(
                        task, labelled[:, part], sums[:, part], weights.of(part), expected
                    )
                    # Before that nobody knows how late the last labels come.
                    if law.complete
                    else {},
                    self._matured(mature.end, length, labelled, sums, rows, steps, is_whole),
                    np.where(mature.end >= 0, (first + mature.end) * self.step_ms, -1),
                    mature.coverage,
                )
            )
        return tuple(found)

    def projected(self, figures: Figures) -> tuple[CohortStats, ...]:
        """Return statistics that have all their figures; `figures` are those of matured windows."""
        rows = len(next(iter(figures.values())).value)
        none = np.zeros(rows, np.int64)
        early = plain_figures(
            self.layout.task,
            np.zeros((rows, self.strata), np.int64),
            np.zeros((rows, self._light_sums, 2)),
        )
        return tuple(
            CohortStats(window.name, 0, 0, none, none, early, early, figures, none, np.zeros(rows))
            for window in self.windows
            if window.length_ms >= self.step_ms
        )

    @property
    def _light_sums(self) -> int:
        """Errors and squared errors of regressions."""
        return 2 if self.layout.task is Task.REGRESSION else 0

    @property
    def _full_width(self) -> int:
        width: int = self.layout.feature_counts.start
        return width

    @property
    def _full_sums(self) -> int:
        sums: int = self.layout.feature_sums.start
        return sums

    def _steps(self, time: IntArray) -> Iterator[tuple[int, BoolArray | slice]]:
        """Yield each step that is kept and which of the times `(n,)` are in it."""
        for step, chosen in by_value(time // self.step_ms):
            if step >= self._first:
                yield step, chosen

    def _add_light(
        self,
        step: int,
        rows: CodeArray,
        kind: IntArray,
        sign: npt.NDArray[np.int8] | None,
        error: FloatArray | None,
    ) -> None:
        """Count events by row and kind; `sign (n,)` is 1 or −1, of all 1 where it is None."""
        if step not in self._light:
            self._light[step] = self._new_light()
        powers = () if error is None else (np.abs(error), error**2, error**4)
        found = count_by_row(rows, kind, self.groups + self.strata, sign, powers)
        sums = np.zeros((len(found.rows), self._light_sums, 2))
        if error is not None:
            size, square, fourth = found.sums.T
            for moment, (first, second) in enumerate(((size, square), (square, fourth))):
                sums[:, moment, SUM], sums[:, moment, SUM_SQUARES] = first, second
        self._light[step].add(Block(found.rows, found.counts, sums, np.empty((len(sums), 0, 2))))
        self._note(step)

    def _matured(
        self,
        end: IntArray,
        length: int,
        labelled: IntArray,
        sums: FloatArray,
        rows: IntArray,
        steps: IntArray,
        whole: BoolArray,
    ) -> Figures:
        """Return the figures of each row's latest mature window, which ends at step `end (R,)`."""
        mine = np.arange(len(steps))
        inside = (mine < end[:, None]) & (mine >= end[:, None] - length)
        counts = np.where(inside[:, :, None], labelled, 0).sum(axis=1)
        found = plain_figures(
            self.layout.task, counts, np.where(inside[:, :, None, None], sums, 0.0).sum(axis=1)
        )
        for at in np.flatnonzero(whole & (end >= 0)).tolist():
            total = BlockSum(self.layout.width, self.layout.sums, 0)
            for step in steps[inside[at]].tolist():
                kept = self._full.get(step)
                place = None if kept is None else kept.place(int(rows[at]))
                if kept is not None and place is not None:
                    total.add(self._widened(kept.block().take(np.array([place]))))
            if len(total):
                for name, estimate in performance(self.layout, total.block()).items():
                    column = found.setdefault(name, _nothing(len(rows)))
                    for part, value in zip(column, estimate, strict=True):
                        part[at] = value[0]
        return found

    def _widened(self, block: Block) -> Block:
        rows = len(block.rows)
        counts = np.zeros((rows, self.layout.width), np.int64)
        counts[:, : self._full_width] = block.counts
        sums = np.zeros((rows, self.layout.sums, 2))
        sums[:, : self._full_sums] = block.sums
        return block._replace(counts=counts, sums=sums)


def _nothing(rows: int) -> Estimate:
    return Estimate(*(np.full(rows, np.nan) for _ in range(3)))
