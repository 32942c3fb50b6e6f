"""Counting: labelled events to blocks, with no Python loop over events."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import CodeArray, FloatArray, IntArray, Task
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import SUM, SUM_SQUARES, Block
from streamgauge.core.columns import Column
from streamgauge.core.detectors.series import UNITS
from streamgauge.core.grouping import Places, compact
from streamgauge.core.layout import LABEL, Subject
from streamgauge.core.outcomes.layout import (
    ABSOLUTE_ERROR,
    CALIBRATION,
    ERROR,
    LOG_LOSS,
    PREDICTION_ERROR,
    TRUTH_BINS,
    OutcomeLayout,
)
from streamgauge.core.performance.binary import SCORE_BINS, count_binary, log_loss, score_bin
from streamgauge.core.performance.counting import confusion_counts
from streamgauge.core.performance.regression import count_regression

LARGEST: Final = 1e70
"""Predictions and truths are clipped to ± this, so that no sum of fourth powers is infinite."""


class Outcomes(NamedTuple):
    """n labelled events, as columns.

    `rows (n, S) int64` are the rows that each counts in, `bins (n, F)` the folded bins of its
    features, `(n, 0)` where these are not to be counted; `predicted` and `label` are class codes
    `(n,) int32` (see `class_codes`) or numbers `(n,) float64`; `score (n,) float64` is NaN where
    absent. Events without a prediction or a label are left out before.
    """

    rows: IntArray
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
                numbers = self._numbers(item.subject, events, scored)
                yield Column(position, bins.assign(numbers), numbers, served=True)

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
        if not len(panes):
            return []
        numbers, codes = compact(panes)
        columns = list(self.columns(events))
        found: list[tuple[int, Block]] = []
        for rows in events.rows.T:
            known, places = compact(rows)
            keys, at = compact(codes * len(known) + places)
            counts, sums = self._count(events, columns, at, len(keys))
            pane, row = np.divmod(keys, len(known))
            block = Block(known[row], counts, sums, np.empty((len(keys), 0, 2)))
            bounds = [*np.flatnonzero(np.diff(pane, prepend=-1)).tolist(), len(pane)]
            for low, high in pairwise(bounds):
                found.append((int(numbers[pane[low]]), block.take(slice(low, high))))
        return found

    def _count(
        self, events: Outcomes, columns: list[Column], at: Places, size: int
    ) -> tuple[IntArray, FloatArray]:
        layout = self.layout
        counts = np.zeros((size, layout.width), np.int64)
        sums = np.zeros((size, layout.sums, 2))
        for column in columns:
            cells = layout.watched.cells(column.position)
            counts[:, cells] = _counted(at, size, column.bins, cells.stop - cells.start)
            if column.numbers is not None:
                bins = layout.watched.fields[column.position].bins
                assert isinstance(bins, NumericBins)
                moment = layout.watched.numeric.index(column.position)
                shifted = np.where(np.isfinite(column.numbers), column.numbers - bins.center, 0.0)
                sums[:, moment, SUM] = np.bincount(at, shifted, size)
                sums[:, moment, SUM_SQUARES] = np.bincount(at, shifted**2, size)
        self._count_task(events, at, size, counts, sums)
        self._count_features(events, at, size, counts, sums)
        return counts, sums

    def _count_task(
        self, events: Outcomes, at: Places, size: int, counts: IntArray, sums: FloatArray
    ) -> None:
        layout = self.layout
        task = sums[:, layout.task_sums].reshape(size, -1)
        if layout.task is Task.REGRESSION:
            found = count_regression(
                at,
                size,
                truth=np.clip(np.asarray(events.label, np.float64), -LARGEST, LARGEST),
                predicted=self._predicted(events),
                centre=layout.centre,
                edges=np.asarray(layout.edges),
            )
            counts[:, layout.nonzero] = found.nonzero[:, None]
            parts = (found.errors, found.truths, found.products, found.relative)
            task[:] = np.concatenate(parts, axis=1)
        elif layout.task is Task.BINARY:
            binary = count_binary(
                at,
                size,
                truth=events.label == 1,
                predicted=events.predicted == 1,
                score=events.score,
            )
            counts[:, layout.confusion] = binary.confusion.reshape(size, -1)
            counts[:, layout.histogram] = binary.histogram.reshape(size, -1)
            task[:] = np.concatenate([binary.score_sums, binary.losses[:, 2:]], axis=1)
        else:
            classes = len(layout.classes)
            label, predicted = (
                np.asarray(codes, np.int64) for codes in (events.label, events.predicted)
            )
            confusion = confusion_counts(at, size, classes, label, predicted)
            counts[:, layout.confusion] = confusion.reshape(size, -1)
            scored = (events.score >= 0.0) & (events.score <= 1.0)
            cell = np.where(label == predicted, SCORE_BINS, 0)[scored]
            cell += score_bin(events.score[scored])
            counts[:, layout.histogram] = _counted(at[scored], size, cell, 2 * SCORE_BINS)
        if layout.expected is not None and self._rates is not None:
            wrong = np.bincount(at, np.rint(self._expected_wrong(events) * UNITS), size)
            counts[:, layout.expected] = wrong.astype(np.int64)
        sums[:, layout.task_sums] = task.reshape(size, -1, 2)

    def _expected_wrong(self, events: Outcomes) -> FloatArray:
        """Return how likely each prediction is wrong by its score `(n,)`.

        Without a score nothing else is expected than what came: such events say nothing.
        """
        assert self._rates is not None
        scored = (events.score >= 0.0) & (events.score <= 1.0)
        bins = score_bin(np.where(scored, events.score, 0.0))
        which = np.asarray(events.predicted, np.intp) if len(self._rates.wrong) > 1 else 0
        expected = self._rates.wrong[which, bins]
        return np.where(scored, expected, self._wrong(events))

    def _count_features(
        self, events: Outcomes, at: Places, size: int, counts: IntArray, sums: FloatArray
    ) -> None:
        layout = self.layout
        width = layout.feature_starts[-1]
        if not events.bins.shape[1]:
            return
        cells = (at[:, None] * width + self._starts + events.bins).ravel()
        counts[:, layout.feature_counts] = _by_cell(cells, size, width)
        features = len(self._starts)
        if layout.task is not Task.REGRESSION:
            wrong = np.repeat(self._wrong(events), features)
            counts[:, layout.feature_errors] = _by_cell(cells[wrong], size, width)
            return
        label = np.clip(np.asarray(events.label, np.float64), -LARGEST, LARGEST)
        error = np.abs(self._predicted(events) - label)
        for moment, values in ((SUM, error), (SUM_SQUARES, error**2)):
            total = np.bincount(cells, np.repeat(values, features), size * width)
            sums[:, layout.feature_sums, moment] = total.reshape(size, width)


def _counted(at: Places, size: int, bins: npt.NDArray[np.intp], width: int) -> IntArray:
    return np.bincount(at * width + bins, minlength=size * width).reshape(size, width)


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
