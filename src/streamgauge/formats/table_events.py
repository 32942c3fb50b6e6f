"""The rows of a table as events: which column is what, and the batches that are counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import (
    MISSING_CODE,
    WRONG_TYPE_CODE,
    BoolArray,
    Categories,
    EventBatch,
    Fault,
    FloatArray,
    IntArray,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.errors import DataError
from streamgauge.formats.checks import OK
from streamgauge.formats.event_time import EARLIEST_MS, LATEST_MS, TimestampUnit
from streamgauge.formats.frames import NO_TIME, Column, ColumnType, Frame, Rows
from streamgauge.formats.table import TableOptions

NOT_FEATURES: Final = frozenset(
    {
        "prediction_id",
        "model_version",
        "status",
        "latency_ms",
        "tags",
        "label_timestamp",
        "label_version",
    }
)
"""Columns of the events' own form that are no features; those that can be renamed come on top."""
UNITS: Final[tuple[TimestampUnit, ...]] = ("s", "ms", "us", "ns")


@dataclass(frozen=True, slots=True)
class Events:
    """Some events of a table, their columns by what they are; None where there is no such column.

    `times (n,)` are event times in ms, `label_times (n,)` when labels became known, `NO_TIME` where
    that is not said. `untimed` rows were left out for want of a time, `others`
    because they are of another model; `models` are the models named.
    """

    frame: Frame
    features: Mapping[str, Column]
    tags: Mapping[str, Column]
    prediction: Column | None
    score: Column | None
    label: Column | None
    status: Column | None
    latency: Column | None
    times: IntArray | None
    label_times: IntArray | None
    untimed: int
    others: int
    models: frozenset[str]

    def __len__(self) -> int:
        return self.frame.rows


def read_events(frame: Frame, options: TableOptions) -> Events:
    """Tell what the columns of a frame are, and leave out the rows that are no events of ours.

    A column `features` of objects marks the form of the events' contract: then the features are
    its fields. In any other table they are the columns that are nothing else. As in production, an
    event needs a time where there are times. Raises DataError for times that cannot be true.
    """
    rows = frame.rows
    is_nested = _is_nested(frame)
    models = frozenset[str]()
    if is_nested and "model" in frame.columns:
        names = frame.columns["model"].texts()
        models = frozenset(names.values)
        if options.model is not None:
            mine = np.array([*(name == options.model for name in names.values), False], bool)
            frame = _only(frame, mine[names.codes])
    others = rows - frame.rows
    times = _times(frame, options.timestamp, options)
    label_times = _times(frame, options.label_timestamp, options)
    if times is not None:
        known = times != NO_TIME
        frame, times = _only(frame, known), times[known]
        label_times = None if label_times is None else label_times[known]
    columns = frame.columns
    if is_nested:
        features = columns["features"].fields()
        features = {n: c for n, c in features.items() if n not in options.ignored}
    else:
        special = {options.prediction, options.score, options.label}
        special |= {options.timestamp, options.label_timestamp} | NOT_FEATURES | options.tags
        features = {name: column for name, column in columns.items() if name not in special}
    tags = {name: column for name, column in columns.items() if name in options.tags}
    if "tags" in columns:
        tags |= columns["tags"].fields()
    return Events(
        frame=frame,
        features=features,
        tags=tags,
        # A prediction column that is called the score is the score alone.
        prediction=columns.get(options.prediction) if options.prediction != options.score else None,
        score=columns.get(options.score),
        label=columns.get(options.label),
        status=columns.get("status"),
        latency=columns.get("latency_ms"),
        times=times,
        label_times=label_times,
        untimed=rows - others - frame.rows,
        others=others,
        models=models,
    )


def _is_nested(frame: Frame) -> bool:
    column = frame.columns.get("features")
    return column is not None and column.type is ColumnType.OBJECTS


def _only(frame: Frame, rows: BoolArray) -> Frame:
    return frame if rows.all() else frame.take(rows)


def _times(frame: Frame, name: str, options: TableOptions) -> IntArray | None:
    """Return the times `(n,)` in a column, `NO_TIME` where there is none; None without a column."""
    column = frame.columns.get(name)
    if column is None:
        return None
    times = column.times(options.timestamp_unit)
    impossible = (times != NO_TIME) & ~_possible(times)
    if impossible.any():
        row = int(np.argmax(impossible))
        better = [unit for unit in UNITS if _possible(column.times(unit)[row : row + 1]).all()]
        remedy = f"--timestamp-unit {better[0]}" if better else f"--ignore {name}"
        raise DataError(
            f"{frame.file}: {name} in row {frame.first + row:,} is before 2000 or after 2100 if it"
            f" counts in {options.timestamp_unit}; try {remedy}"
        )
    return times


def says_label_times(rows: Events) -> bool:
    """Tell whether events say of any label when it became known."""
    return rows.label_times is not None and bool((rows.label_times != NO_TIME).any())


def _possible(times: IntArray) -> BoolArray:
    return (times >= EARLIEST_MS) & (times <= LATEST_MS)


class BatchMaker:
    """Makes the batches of one model's schema from a table's events.

    `class_scores` are the features that hold the probabilities of the classes, by class, where
    the score is no column of its own. `positive` is the positive class of a binary model, the last
    in order where it is empty. `label_timed` tells whether the data say when labels became known.
    """

    def __init__(
        self,
        schema: ModelSchema,
        class_scores: Mapping[str, str] | None = None,
        *,
        positive: str = "",
        label_timed: bool = False,
    ) -> None:
        self.schema = schema
        self._class_scores = class_scores or {}
        self._positive = positive
        self._label_timed = label_timed

    def batch(self, rows: Events) -> EventBatch:
        """Return the events as a batch; a feature without a column is missing everywhere."""
        schema, n = self.schema, len(rows)
        numeric = np.empty((len(schema.numeric), n))
        faults: list[tuple[int, Rows, Fault]] = []
        for i, name in enumerate(schema.numeric):
            column = rows.features.get(name)
            if column is None:
                numeric[i] = np.nan
                continue
            numbers = column.numbers()
            numeric[i] = numbers.values
            faults += [(i, numbers.wrong, Fault.WRONG_TYPE), (i, numbers.nan, Fault.NAN)]
        texts = [_texts(rows.features.get(name), n) for name in schema.categorical]
        texts += [_booleans(rows.features.get(name), n) for name in schema.boolean]
        prediction = self._outcome(rows.prediction, n)
        ok = np.ones(n, bool)
        if rows.status is not None:
            status = rows.status.texts()
            fine = np.array([*(value == OK for value in status.values), True], bool)
            ok = fine[status.codes]
        latency = np.full(n, np.nan)
        if rows.latency is not None:
            latency = rows.latency.numbers().values / 1_000
        return EventBatch(
            schema=schema,
            timestamp=np.zeros(n, np.int64) if rows.times is None else rows.times,
            partition=np.zeros(n, np.int32),
            version=Categories(np.zeros(n, np.int32), ("",)),
            numeric=numeric,
            faults=_faults(faults),
            categorical=tuple(texts),
            tags=tuple(_texts(rows.tags.get(name), n) for name in schema.tags),
            prediction=prediction,
            score=self._score(rows, prediction),
            latency=latency,
            ok=ok,
            label=None if rows.label is None else self._outcome(rows.label, n),
            label_time=self._label_times(rows) if self._label_timed else None,
        )

    def _label_times(self, rows: Events) -> IntArray:
        times = rows.label_times
        return np.full(len(rows), NO_TIME, np.int64) if times is None else times

    def _outcome(self, column: Column | None, n: int) -> Categories | FloatArray:
        if self.schema.task is not Task.REGRESSION:
            return _texts(column, n)
        return np.full(n, np.nan) if column is None else column.numbers().values

    def _score(self, rows: Events, prediction: Categories | FloatArray) -> FloatArray:
        n = len(rows)
        if self.schema.task is Task.REGRESSION:
            return np.full(n, np.nan)
        by_class: Mapping[str, Column] = {
            class_: rows.features[name]
            for class_, name in self._class_scores.items()
            if name in rows.features
        }
        if rows.score is not None:
            by_class = rows.score.fields()
            if not by_class:
                return rows.score.numbers().values
        if not by_class:
            return np.full(n, np.nan)
        if self.schema.task is Task.BINARY:
            # Of two classes the positive one comes last, as scikit-learn orders them.
            chosen = by_class.get(self._positive or max(by_class))
            return np.full(n, np.nan) if chosen is None else chosen.numbers().values
        assert isinstance(prediction, Categories)
        return _score_of_prediction(by_class, prediction)


def _score_of_prediction(by_class: Mapping[str, Column], prediction: Categories) -> FloatArray:
    """Return the probability of each event's predicted class `(n,)`, NaN where it has none."""
    score = np.full(len(prediction.codes), np.nan)
    for code, class_ in enumerate(prediction.values):
        if class_ in by_class:
            mine = prediction.codes == code
            score[mine] = by_class[class_].numbers().values[mine]
    return score


def _texts(column: Column | None, n: int) -> Categories:
    return Categories(np.full(n, -1, np.int32), ()) if column is None else column.texts()


def _booleans(column: Column | None, n: int) -> Categories:
    if column is None or column.type in {ColumnType.BOOLEANS, ColumnType.NOTHING}:
        return _texts(column, n)
    texts = column.texts()
    wrong = np.where(texts.codes == MISSING_CODE, MISSING_CODE, WRONG_TYPE_CODE)
    return Categories(wrong.astype(np.int32), ())


def _faults(found: list[tuple[int, Rows, Fault]]) -> NumericFaults:
    found = [entry for entry in found if len(entry[1])]
    if not found:
        return NumericFaults.none()
    return NumericFaults(
        np.concatenate([np.full(len(rows), i, np.int32) for i, rows, _ in found]),
        np.concatenate([rows.astype(np.int32) for _, rows, _ in found]),
        np.concatenate([np.full(len(rows), fault, np.int32) for _, rows, fault in found]),
    )
