"""Events: what of a batch is needed once its labels come, as columns."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    FloatArray,
    IntArray,
)
from streamgauge.core.columns import Column
from streamgauge.core.outcomes.layout import OutcomeLayout


class Predicted(NamedTuple):
    """The events of a batch that can have an outcome: those served, with a prediction.

    `at (n,)` are their places in the batch; the other columns are those of `Outcomes`.
    """

    at: npt.NDArray[np.intp]
    rows: CodeArray
    bins: npt.NDArray[np.uint16]
    predicted: CodeArray | FloatArray
    score: FloatArray

    def take(self, places: IntArray) -> "Predicted":
        """Return the events at these places."""
        return Predicted(
            self.at[places],
            self.rows[places],
            self.bins[places],
            self.predicted[places],
            self.score[places],
        )


class PredictionTap:
    """Takes from an aggregation of a batch what an outcome will be counted by.

    `rows` and `add` are what `Aggregator.aggregate` calls. `threshold` is the score from which on a
    binary model's prediction counts as positive, None where the event's own word is taken.
    """

    def __init__(
        self, layout: OutcomeLayout, batch: EventBatch, threshold: float | None = None
    ) -> None:
        self._layout = layout
        self._batch = batch
        self._threshold = threshold
        self._folds = layout.folds()
        self._places = {position: i for i, position in enumerate(layout.features)}
        self._bins = np.zeros((len(batch), len(layout.features)), np.uint16)
        self._rows: list[IntArray] = []

    def rows(self, rows: IntArray) -> None:
        """Take each event's row under one more slice specification `(n,) int64`."""
        self._rows.append(rows)

    def add(self, part: slice, column: Column) -> None:
        """Take one column of a part of the batch."""
        place = self._places.get(column.position)
        if place is None:
            return
        folded = self._folds[place][column.bins]
        ok = self._batch.ok[part]
        if ok.all():
            self._bins[part, place] = folded
        else:
            self._bins[np.flatnonzero(ok) + part.start, place] = folded

    def predicted(self) -> Predicted:
        """Return the events that can have an outcome."""
        batch = self._batch
        predicted, known = predicted_classes(
            self._layout, batch.prediction, batch.score, self._threshold
        )
        rows = np.empty((len(batch), len(self._rows)), np.int32)
        for place, column in enumerate(self._rows):
            rows[:, place] = column
        there = batch.ok & known
        at = np.flatnonzero(there)
        found = Predicted(np.arange(len(batch)), rows, self._bins, predicted, batch.score)
        return found if len(at) == len(batch) else found.take(at)


def predicted_classes(
    layout: OutcomeLayout,
    prediction: Categories | FloatArray,
    score: FloatArray,
    threshold: float | None,
) -> tuple[CodeArray | FloatArray, BoolArray]:
    """Return predictions `(n,)` as class codes or numbers, and which of them there are."""
    if not isinstance(prediction, Categories):
        return prediction, np.isfinite(prediction)
    codes = layout.class_codes(prediction)
    if threshold is not None:
        decided = (score >= threshold).astype(np.int32)
        codes = np.where(np.isfinite(score), decided, codes).astype(np.int32)
    return codes, codes >= 0


def true_classes(
    layout: OutcomeLayout, label: Categories | FloatArray
) -> tuple[CodeArray | FloatArray, BoolArray]:
    """Return labels `(n,)` as class codes or numbers, and which of them there are."""
    if not isinstance(label, Categories):
        return label, np.isfinite(label)
    codes = layout.class_codes(label)
    return codes, codes >= 0
