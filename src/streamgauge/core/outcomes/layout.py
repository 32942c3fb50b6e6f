"""Outcome layout: where the statistics of labelled events stand in a row of counts and of sums."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import Categories, CodeArray, FloatArray, Task
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins, fold_table
from streamgauge.core.layout import (
    LABEL,
    PREDICTION,
    Field,
    Layout,
    Subject,
    SubjectKind,
    folded_widths,
)
from streamgauge.core.performance.binary import SCORE_BINS
from streamgauge.core.performance.calibration import GROUPS
from streamgauge.core.performance.regression import error_edges

ERROR: Final = Subject(SubjectKind.PERFORMANCE, "error_rate")
LOG_LOSS: Final = Subject(SubjectKind.PERFORMANCE, "log_loss")
ABSOLUTE_ERROR: Final = Subject(SubjectKind.PERFORMANCE, "absolute_error")
PREDICTION_ERROR: Final = Subject(SubjectKind.PERFORMANCE, "prediction_error")
"""Prediction − truth, with its sign."""
ESTIMATE_GAP: Final = Subject(SubjectKind.PERFORMANCE, "estimate_gap")
"""How much more often predictions are wrong than their scores say."""
CALIBRATION: Final = tuple(
    Subject(SubjectKind.PERFORMANCE, f"calibration_{part}") for part in ("low", "middle", "high")
)
"""How often what the score speaks of comes true, for scores in each third of their range."""

RIGHT, WRONG = 0, 1
DECISION_BINS: Final = CategoricalBins(("right", "wrong"))
TRUTH_BINS: Final = CategoricalBins(("no", "yes"))
"""Whether what a score is the probability of came true."""

_LOG_LOSS_EDGES: Final = tuple(float(f"{x:.6g}") for x in np.geomspace(0.005, 37.0, 61))
LOG_LOSS_BINS: Final = NumericBins((0.0, *_LOG_LOSS_EDGES), (0, *range(2, 62)))
"""Log-loss in nats: the largest that a score can have is −ln 2⁻⁵² = 36.04."""
_LARGEST_SCALE: Final = 1e70
"""Errors are not much larger, see `counting`, and edges past them would be infinite."""


@dataclass(frozen=True, slots=True)
class OutcomeLayout:
    """What is counted of labelled events, a function of what is counted of all events.

    A row of counts `(width,) int64` holds, in this order: the cells of the `watched` fields, which
    detectors follow; `confusion`, [label, prediction] over `classes` (classification); `histogram`,
    [whether what the score is the probability of came true, score bin] (classification); `nonzero`,
    events with a truth that is not 0 (regression); `feature_counts`, events by the folded bin of
    every feature; `feature_errors`, how many of these were predicted wrongly (classification);
    `expected`, how many events the scores let expect to be wrong, in units of 1 / `UNITS`
    (classification, where a calibration is known). Of a regression the prediction counts as the
    last feature.

    A row of sums `(sums, 2) float64` holds Σx and Σx²: of the watched numeric fields about their
    centres; then, as pairs of other sums, what the task's figures need (see `counting`); then, for
    regressions, Σ|e| and Σe² by the folded bin of every feature.
    """

    base: Layout
    """Of all events."""
    positive: str = ""
    """The positive class of a binary model, the last in order where it is empty."""
    task: Task = field(init=False)
    classes: tuple[str, ...] = field(init=False)
    """Of classification: for binary models the negative and the positive one, for others those of
    the reference and one for any else."""
    watched: Layout = field(init=False)
    features: tuple[int, ...] = field(init=False)
    """Positions of the features in the base layout, of regressions that of the prediction last."""
    feature_starts: tuple[int, ...] = field(init=False)
    """Where each feature's bins begin among all features' bins, and where the last ends."""
    confusion: slice = field(init=False)
    histogram: slice = field(init=False)
    nonzero: slice = field(init=False)
    feature_counts: slice = field(init=False)
    feature_errors: slice = field(init=False)
    expected: int | None = field(init=False)
    width: int = field(init=False)
    task_sums: slice = field(init=False)
    feature_sums: slice = field(init=False)
    sums: int = field(init=False)

    def __post_init__(self) -> None:
        task = self.base.schema.task
        classes = _classes(self.base, task, self.positive)
        watched = Layout(self.base.schema, tuple(_watched(self.base, task)))
        kinds = [item.subject.kind for item in self.base.fields]
        features = tuple(i for i, kind in enumerate(kinds) if kind is SubjectKind.FEATURE)
        if task is Task.REGRESSION:
            features += (kinds.index(SubjectKind.PREDICTION),)
        widths = folded_widths(self.base)
        starts = tuple(accumulate((widths[i] for i in features), initial=0))
        binned = starts[-1]
        sizes = (
            watched.width,
            len(classes) ** 2,
            0 if task is Task.REGRESSION else 2 * SCORE_BINS,
            1 if task is Task.REGRESSION else 0,
            binned,
            0 if task is Task.REGRESSION else binned,
            0 if task is Task.REGRESSION else 1,
        )
        ends = list(accumulate(sizes))
        places = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        own = len(watched.numeric)
        sums = own + _TASK_SUMS[task]
        values = {
            "task": task,
            "classes": classes,
            "watched": watched,
            "features": features,
            "feature_starts": starts,
            "confusion": places[1],
            "histogram": places[2],
            "nonzero": places[3],
            "feature_counts": places[4],
            "feature_errors": places[5],
            "expected": None if task is Task.REGRESSION else places[6].start,
            "width": ends[-1],
            "task_sums": slice(own, sums),
            "feature_sums": slice(sums, sums + (binned if task is Task.REGRESSION else 0)),
            "sums": sums + (binned if task is Task.REGRESSION else 0),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def centre(self) -> float:
        """The centre about which the truths of a regression are summed."""
        bins = self._label_bins
        return bins.center if isinstance(bins, NumericBins) else 0.0

    @property
    def edges(self) -> tuple[float, ...]:
        """The edges of a regression's errors."""
        position = self.watched.position(PREDICTION_ERROR)
        assert position is not None
        bins = self.watched.fields[position].bins
        assert isinstance(bins, NumericBins)
        return bins.edges

    @property
    def prediction_groups(self) -> int:
        """The distance groups of a regression's predictions."""
        position = self.base.position(PREDICTION)
        assert position is not None
        return len(self.base.fields[position].bins.groups)

    @property
    def _label_bins(self) -> Bins:
        position = self.base.position(LABEL)
        assert position is not None
        return self.base.fields[position].bins

    def class_codes(self, column: Categories) -> CodeArray:
        """Return each value's place among the classes `(n,) int32`; −1 where there is none.

        For binary models all but the positive class are negative.
        """
        if self.task is Task.BINARY:
            index, other = {self.classes[1]: 1}, 0
        else:
            index = {name: i for i, name in enumerate(self.classes[:-1])}
            other = len(self.classes) - 1
        table = np.array([*(index.get(v, other) for v in column.values), -1, -1], np.int32)
        # Negative codes, of what is missing, index from the end of the table.
        codes: CodeArray = table[column.codes]
        return codes

    def worth(self, values: Sequence[tuple[str, str, float]]) -> FloatArray | None:
        """Return what an event of [label, prediction] is worth, None where nothing is said.

        `values` are (label, prediction, worth). Raises ValueError for a class that is none of the
        model's.
        """
        if not values:
            return None
        table = np.zeros((len(self.classes), len(self.classes)))
        for label, prediction, value in values:
            for name in (label, prediction):
                if name not in self.classes:
                    known = ", ".join(self.classes)
                    raise ValueError(f"names class {name!r}, but the classes are {known}")
            table[self.classes.index(label), self.classes.index(prediction)] = value
        return table

    def folds(self) -> list[npt.NDArray[np.intp]]:
        """Return, for each feature, the folded bin of each of its bins `(width,)`."""
        return [fold_table(self.base.fields[position].bins) for position in self.features]


_TASK_SUMS: Final = {
    # Σ score in each tenth of its range, in pairs; Σ and Σ² of (y − score)².
    Task.BINARY: GROUPS // 2 + 1,
    Task.MULTICLASS: 0,
    # Those of errors, truths, products and relative errors.
    Task.REGRESSION: 6,
}


def _classes(base: Layout, task: Task, positive: str) -> tuple[str, ...]:
    if task is Task.REGRESSION:
        return ()
    position = base.position(LABEL)
    assert position is not None
    bins = base.fields[position].bins
    assert isinstance(bins, CategoricalBins)
    known = sorted(bins.categories)
    if task is Task.MULTICLASS:
        return (*known, "(other)")
    chosen = positive or (known[-1] if known else "1")
    negatives = [name for name in known if name != chosen]
    return (negatives[0] if len(negatives) == 1 else "(other)", chosen)


def _watched(base: Layout, task: Task) -> Sequence[Field]:
    """Return the fields that detectors follow; every labelled event counts in the first."""
    position = base.position(LABEL)
    assert position is not None
    label = Field(LABEL, base.fields[position].bins)
    if task is not Task.REGRESSION:
        thirds = [Field(subject, TRUTH_BINS) for subject in CALIBRATION]
        loss = [Field(LOG_LOSS, LOG_LOSS_BINS)] if task is Task.BINARY else []
        return [Field(ERROR, DECISION_BINS), label, *loss, *thirds]
    bins = label.bins
    assert isinstance(bins, NumericBins)
    edges = error_edges(min(bins.scale, _LARGEST_SCALE))
    sizes = edges[len(edges) // 2 :]
    signed = NumericBins(tuple(edges.tolist()), tuple(range(len(edges) + 1)), 0.0, bins.scale)
    absolute = NumericBins((0.0, *sizes.tolist()), (0, *range(2, len(sizes) + 2)), 0.0, bins.scale)
    return [Field(PREDICTION_ERROR, signed), Field(ABSOLUTE_ERROR, absolute), label]
