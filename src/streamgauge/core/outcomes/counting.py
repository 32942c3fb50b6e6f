"""Counting: labelled events to blocks, with no Python loop over events."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import CodeArray, FloatArray, IntArray, Task
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import SUM, SUM_SQUARES, Block
from streamgauge.core.cells import Where, crossed
from streamgauge.core.columns import Column, Numbers
from streamgauge.core.detectors.series import UNITS
from streamgauge.core.grouping import Places, compact
from streamgauge.core.layout import LABEL, Subject
from streamgauge.core.outcomes.compiled_counts import MOST_CELLS, Columns, compiled_counts
from streamgauge.core.outcomes.layout import (
    ABSOLUTE_ERROR,
    CALIBRATION,
    ERROR,
    LOG_LOSS,
    PREDICTION_ERROR,
    TRUTH_BINS,
    OutcomeLayout,
)
from streamgauge.core.performance.binary import SCORE_BINS, log_loss, score_bin
from streamgauge.core.performance.calibration import GROUPS
from streamgauge.core.performance.counting import check_codes
from streamgauge.core.performance.regression import count_regression
from streamgauge.recycled import recycled_here

LARGEST: Final = 1e70
"""Predictions and truths are clipped to ± this, so that no sum of fourth powers is infinite."""
_AT_ONCE: Final = 1 << 15
"""Bins of features counted at once: what they are made into stays in the processor's cache."""


class Outcomes(NamedTuple):
    """n labelled events, as columns.

    `rows (n, S) int32` are the rows that each counts in, `bins (n, F)` the folded bins of its
    features, `(n, 0)` where these are not to be counted; `predicted` and `label` are class codes
    `(n,) int32` (see `class_codes`) or numbers `(n,) float64`; `score (n,) float64` is NaN where
    absent. Events without a prediction or a label are left out before.
    """

    rows: CodeArray
    bins: npt.NDArray[np.unsignedinteger]
    predicted: CodeArray | FloatArray
    score: FloatArray
    label: CodeArray | FloatArray


class ScoreRates(NamedTuple):
    """How often a prediction is wrong, by what the score says.

    `wrong (2 or 1, SCORE_BINS) float64`, by the predicted class of a binary model and the score's
    bin; of other classifiers by the bin alone.
    """

    wrong: FloatArray


class OutcomeCounter:
    """Counts labelled events into blocks; `rates` are what their scores let expect, if known."""

    def __init__(self, layout: OutcomeLayout, rates: ScoreRates | None = None) -> None:
        self.layout = layout
        self._rates = rates
        self._label_bins = _class_table(layout)
        self._starts = np.asarray(layout.feature_starts[:-1], np.int64)

    def columns(self, events: Outcomes) -> Iterator[Column]:
        """Yield the watched fields of the events; where one has no value it is missing."""
        wrong = self._wrong(events)
        scored = (events.score >= 0.0) & (events.score <= 1.0)
        came_true = events.label == 1 if self.layout.task is Task.BINARY else ~wrong
        for position, item in enumerate(self.layout.watched.fields):
            bins = item.bins
            if item.subject == ERROR:
                yield Column(position, wrong.astype(np.intp), None, served=True)
            elif item.subject in CALIBRATION:
                third = np.minimum((events.score * len(CALIBRATION)), len(CALIBRATION) - 1)
                mine = scored & (np.floor(third) == CALIBRATION.index(item.subject))
                missing = TRUTH_BINS.value_bins + Special.MISSING
                yield Column(position, np.where(mine, came_true, missing), None, served=True)
            elif item.subject == LABEL and isinstance(bins, CategoricalBins):
                yield Column(position, self._label_bins[events.label], None, served=True)
            else:
                assert isinstance(bins, NumericBins)
                numbers = Numbers.of(self._numbers(item.subject, events, scored))
                assigned = bins.assign(*numbers)
                yield Column(position, assigned, numbers, served=True)

    def _numbers(
        self, subject: Subject, events: Outcomes, scored: npt.NDArray[np.bool_]
    ) -> FloatArray:
        if subject == LOG_LOSS:
            loss = np.full(len(events.score), np.nan)
            loss[scored] = log_loss(events.label[scored] == 1, events.score[scored])
            return loss
        label = np.clip(np.asarray(events.label, np.float64), -LARGEST, LARGEST)
        if subject == LABEL:
            return label
        assert subject in (PREDICTION_ERROR, ABSOLUTE_ERROR)
        error = self._predicted(events) - label
        return error if subject == PREDICTION_ERROR else np.abs(error)

    def _predicted(self, events: Outcomes) -> FloatArray:
        return np.clip(np.asarray(events.predicted, np.float64), -LARGEST, LARGEST)

    def _wrong(self, events: Outcomes) -> npt.NDArray[np.bool_]:
        return np.asarray(events.predicted != events.label)

    def blocks(self, events: Outcomes, panes: IntArray) -> list[tuple[int, Block]]:
        """Return the events' statistics by pane `(n,) int64`: blocks, each of one pane.

        A pane may have several, which add up.
        """
        return [found for blocks in self.blocks_by_spec(events, panes) for found in blocks]

    def blocks_by_spec(self, events: Outcomes, panes: IntArray) -> list[list[tuple[int, Block]]]:
        """Return these blocks of the whole version and of each slice specification, in order."""
        found: list[list[tuple[int, Block]]] = [[] for _ in events.rows.T]
        if not len(panes):
            return found
        numbers, codes = compact(panes)
        source = self._source(events)
        alike = None if len(numbers) == 1 else codes
        wheres = [Where.of(rows, alike) for rows in events.rows.T]
        places = {id(where): place for place, where in enumerate(wheres)}
        for each in crossed(wheres):
            at = each.places.astype(np.intp, copy=False)
            counts, sums = self._count(source, at, each.size)
            for member in each.members:
                mine = found[places[id(member.where)]]
                mine += ((int(numbers[code]), block) for code, block in member.blocks(counts, sums))
        return found

    def _source(self, events: Outcomes) -> "_Source":
        layout = self.layout
        counts: list[_Count] = []
        sums: list[_Sum] = []
        for column in self.columns(events):
            cells = layout.watched.cells(column.position)
            counts.append(_Count(cells.start, cells.stop - cells.start, column.bins))
            if column.numbers is not None:
                bins = layout.watched.fields[column.position].bins
                assert isinstance(bins, NumericBins)
                first = 2 * layout.watched.numeric.index(column.position)
                values = column.numbers.values
                shifted = np.where(np.isfinite(values), values - bins.center, 0.0)
                sums += (_Sum(first + SUM, shifted), _Sum(first + SUM_SQUARES, shifted**2))
        if layout.task is Task.REGRESSION:
            wrong = expected = None
        else:
            wrong, scores = self._wrong(events), _Scores.of(events.score)
            counts += self._decided(events, scores)
            if layout.task is Task.BINARY:
                sums += _scored(events, scores, 2 * layout.task_sums.start)
            expected = (
                None
                if self._rates is None
                else np.rint(self._expected_wrong(events, scores) * UNITS)
            )
        # Each feature's bins in a row: counted one by one they are read in order.
        features = np.ascontiguousarray(events.bins.T, np.uint16)
        columns, apart = _together(counts)
        return _Source(events, counts, columns, apart, sums, features, wrong, expected)

    def _decided(self, events: Outcomes, scores: "_Scores") -> "tuple[_Count, _Count]":
        """Return what is counted in the confusion and in the histogram."""
        layout, classes = self.layout, len(self.layout.classes)
        label, predicted = (
            np.asarray(codes, np.int64) for codes in (events.label, events.predicted)
        )
        check_codes(label, classes)
        check_codes(predicted, classes)
        true = label == (1 if layout.task is Task.BINARY else predicted)
        bins = scores.bins + SCORE_BINS * true
        some = None if scores.known.all() else np.flatnonzero(scores.known)
        return (
            _Count(layout.confusion.start, classes**2, label * classes + predicted),
            _Count(layout.histogram.start, 2 * SCORE_BINS, bins, some),
        )

    def _count(self, source: "_Source", at: Places, size: int) -> tuple[IntArray, FloatArray]:
        """Return the counts and sums of `size` places; `at (n,)` tells each event's."""
        layout = self.layout
        counts: IntArray = recycled_here().empty((size, layout.width), np.int64)
        counts.fill(0)
        sums = np.zeros((size, 2 * layout.sums))
        compiled = compiled_counts()
        if compiled is not None:
            compiled.add(counts, at, source.columns)
        for first, width, cell, some in source.counts if compiled is None else source.apart:
            places = at * width + cell
            cells = places if some is None else places[some]
            counts[:, first : first + width] = _by_cell(cells, size, width)
        for first, values, bins, width in source.sums:
            places = at if bins is None else at * width + bins
            total = np.bincount(places, values, size * width).reshape(size, width)
            sums[:, first : first + width] = total
        if layout.task is Task.REGRESSION:
            self._count_regression(source.events, at, counts, sums)
        if layout.expected is not None and source.expected is not None:
            counts[:, layout.expected] = np.bincount(at, source.expected, size).astype(np.int64)
        self._count_features(source, at, counts, sums)
        return counts, sums.reshape(size, layout.sums, 2)

    def _count_regression(
        self, events: Outcomes, at: Places, counts: IntArray, sums: FloatArray
    ) -> None:
        layout = self.layout
        found = count_regression(
            at,
            len(counts),
            truth=np.clip(np.asarray(events.label, np.float64), -LARGEST, LARGEST),
            predicted=self._predicted(events),
            centre=layout.centre,
            edges=np.asarray(layout.edges),
        )
        counts[:, layout.nonzero] = found.nonzero[:, None]
        parts = (found.errors, found.truths, found.products, found.relative)
        first, end = layout.task_sums.start, layout.task_sums.stop
        sums[:, 2 * first : 2 * end] = np.concatenate(parts, axis=1)

    def _expected_wrong(self, events: Outcomes, scores: "_Scores") -> FloatArray:
        """Return how likely each prediction is wrong by its score `(n,)`.

        Without a score nothing else is expected than what came: such events say nothing.
        """
        assert self._rates is not None
        which = np.asarray(events.predicted, np.intp) if len(self._rates.wrong) > 1 else 0
        expected = self._rates.wrong[which, scores.bins]
        return np.where(scores.known, expected, self._wrong(events))

    def _count_features(
        self, source: "_Source", at: Places, counts: IntArray, sums: FloatArray
    ) -> None:
        layout, features, size = self.layout, source.features, len(counts)
        if not len(features):
            return
        starts = layout.feature_starts
        start = layout.feature_counts.start
        compiled = compiled_counts()
        if compiled is not None and source.wrong is not None:
            widths = np.diff(starts)
            errors = layout.feature_errors.start
            compiled.add(counts, at, Columns(features, start + self._starts, widths))
            columns = Columns(features, errors + self._starts, widths)
            compiled.add(counts, at, columns, np.flatnonzero(source.wrong))
            return
        together = max(1, _AT_ONCE // features.shape[1])
        for first in range(0, len(features), together):
            end = min(first + together, len(features))
            low, high = starts[first], starts[end]
            width = high - low
            # Their bins follow one another; counted alone, a feature's need not be shifted.
            shifts = self._starts[first:end, None] - low
            part = features[first:end] + shifts if len(shifts) > 1 else features[first]
            if source.wrong is not None:
                cells = (part + (2 * at + source.wrong) * width).ravel()
                found = _by_cell(cells, 2 * size, width).reshape(size, 2, width)
                np.add(found[:, 0], found[:, 1], out=counts[:, start + low : start + high])
                begin = layout.feature_errors.start
                counts[:, begin + low : begin + high] = found[:, 1]
                continue
            cells = (part + at * width).ravel()
            counts[:, start + low : start + high] = _by_cell(cells, size, width)
            error = self._size(source.events)
            begin = layout.feature_sums.start
            for moment, values in ((SUM, error), (SUM_SQUARES, error**2)):
                total = np.bincount(cells, np.tile(values, end - first), size * width)
                column = slice(2 * (begin + low) + moment, 2 * (begin + high) + moment, 2)
                sums[:, column] = total.reshape(size, width)

    def _size(self, events: Outcomes) -> FloatArray:
        """Return the absolute errors of a regression."""
        label = np.clip(np.asarray(events.label, np.float64), -LARGEST, LARGEST)
        return np.abs(self._predicted(events) - label)


class _Scores(NamedTuple):
    """Which events have a score that is a probability, and these with their bins, else 0."""

    known: npt.NDArray[np.bool_]
    score: FloatArray
    bins: IntArray

    @classmethod
    def of(cls, score: FloatArray) -> "_Scores":
        known = (score >= 0.0) & (score <= 1.0)
        held = np.where(known, score, 0.0)
        return cls(known, held, score_bin(held))


class _Count(NamedTuple):
    """`width` cells of a row of counts from `first` on, each event in one by its `bins`.

    `some` are the places of the events that are counted, None for all.
    """

    first: int
    width: int
    bins: npt.NDArray[np.integer]
    some: npt.NDArray[np.intp] | None = None


class _Sum(NamedTuple):
    """One column of sums, or `width` of them from `first` on, each event in one by its `bins`."""

    first: int
    values: FloatArray
    bins: IntArray | None = None
    width: int = 1


class _Source(NamedTuple):
    """What is counted of n events, whatever their rows.

    Of the counts, `columns` are those that compiled code can count, `apart` all others. `features
    (F, n)` are their bins; `wrong (n,)` and `expected (n,)` are of classifiers.
    """

    events: Outcomes
    counts: list[_Count]
    columns: Columns
    apart: list[_Count]
    sums: list[_Sum]
    features: npt.NDArray[np.uint16]
    wrong: npt.NDArray[np.bool_] | None
    expected: FloatArray | None


def _together(counts: Sequence[_Count]) -> tuple[Columns, list[_Count]]:
    """Return counts of all events, in few cells each, as columns, and the others."""
    fits = [count.some is None and count.width <= MOST_CELLS for count in counts]
    mine = [count for count, ok in zip(counts, fits, strict=True) if ok]
    bins = np.array([count.bins for count in mine], np.uint16)
    firsts = np.array([count.first for count in mine], np.int64)
    widths = np.array([count.width for count in mine], np.int64)
    return Columns(bins, firsts, widths), [c for c, ok in zip(counts, fits, strict=True) if not ok]


def _scored(events: Outcomes, scores: _Scores, first: int) -> tuple[_Sum, ...]:
    """Return a binary model's sums: of scores by their tenth, of (y − score)² and its square."""
    square = np.where(scores.known, ((events.label == 1) - scores.score) ** 2, 0.0)
    tenth = scores.bins // (SCORE_BINS // GROUPS)
    return (
        _Sum(first, scores.score, tenth, GROUPS),
        _Sum(first + GROUPS, square),
        _Sum(first + GROUPS + 1, square**2),
    )


def _by_cell(cells: npt.NDArray[np.integer], size: int, width: int) -> IntArray:
    return np.bincount(cells, minlength=size * width).reshape(size, width)


def _class_table(layout: OutcomeLayout) -> npt.NDArray[np.intp]:
    """Return the bin of each class code in the label's field, that of any else for the rest."""
    if layout.task is Task.REGRESSION:
        return np.empty(0, np.intp)
    position = layout.watched.position(LABEL)
    assert position is not None
    bins = layout.watched.fields[position].bins
    assert isinstance(bins, CategoricalBins)
    index = {name: i for i, name in enumerate(bins.categories)}
    return np.array([index.get(name, bins.unseen) for name in layout.classes], np.intp)
