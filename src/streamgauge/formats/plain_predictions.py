"""Prediction events of one model by the compiled reader."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    Fault,
    FloatArray,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.formats.checks import PROBABILITY_TOLERANCE
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import can_be_field, is_typed
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.plain_events import (
    WRONG_NUMBER,
    Field,
    Kind,
    PlainColumns,
    PlainReader,
    PlainText,
)

_FEATURES: Final = 1
_TAGS: Final = 2
_SCORES: Final = 3
_MILLISECONDS: Final = 1000.0
_ROUNDING: Final = 1e-9
"""A sum of probabilities this near to the tolerance is left to the rules, who sum exactly."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Names that a stream keeps bringing besides those of its schema."""

    fields: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class PlainPredictions:
    """Reads a model's prediction events into batches.

    Columns of numbers: the numeric features, the latency, then the score or each class's
    probability, then the prediction of a regression. Columns of codes: the categorical features,
    the boolean ones, the tags, the version, then the predicted class.
    """

    def __init__(self, library: ctypes.CDLL, schema: ModelSchema, times: EventTime) -> None:
        self.schema = schema
        self._library = library
        self._times = times
        self._learned = Learned()
        self._reader = self._build_reader()

    @staticmethod
    def reads(schema: ModelSchema) -> bool:
        """Whether there is anything to gain: the classes of a score must be known."""
        return is_typed(schema) and (
            schema.task is not Task.MULTICLASS
            or (len(schema.classes) > 0 and all(map(can_be_field, schema.classes)))
        )

    def learn(self, learned: Learned) -> None:
        """Make room for what was learned, if that is new."""
        if learned != self._learned:
            self._learned = learned
            self._reader = self._build_reader()

    def read(self, text: PlainText, rows: CodeArray) -> PlainColumns:
        """Read some of the messages, ascending; those that are no plain events are left."""
        found = self._reader.read(text, rows)
        improper = self._improper(found)
        if improper is not None and improper.any():
            # Again, without them: nothing of an event that is left stays in the columns.
            given = found.rows[~improper]
            left = np.setdiff1d(rows, given, assume_unique=True)
            found = self._reader.read(text, given)._replace(left=left)
        return found

    def batch(self, found: PlainColumns, messages: RawMessages) -> EventBatch:
        """The batch of events that were read."""
        schema, taken = self.schema, len(found.rows)
        numeric, texts = len(schema.numeric), len(schema.categorical)
        booleans = texts + len(schema.boolean)
        tags = booleans + len(schema.tags)
        regression = schema.task is Task.REGRESSION
        prediction: Categories | FloatArray
        prediction = found.numbers[numeric + 2] if regression else found.categories(tags + 1)
        if schema.task is Task.MULTICLASS and isinstance(prediction, Categories):
            score = self._score_of(prediction, found.numbers[numeric + 1 :])
        else:
            score = found.numbers[numeric + 1]
        return EventBatch(
            schema=schema,
            timestamp=found.times,
            partition=messages.partition[found.rows],
            version=found.categories(tags, missing_text=""),
            numeric=found.numbers[:numeric],
            faults=_faults(found.numbers[:numeric]) if found.faults else NumericFaults.none(),
            categorical=tuple(
                [found.categories(column) for column in range(texts)]
                + [Categories(found.codes[c], ("false", "true")) for c in range(texts, booleans)]
            ),
            tags=tuple(found.categories(column) for column in range(booleans, tags)),
            prediction=prediction,
            score=score,
            latency=found.numbers[numeric] / _MILLISECONDS,
            ok=np.ones(taken, np.bool_),
        )

    def _build_reader(self) -> PlainReader:
        fields = tuple(_fields(self.schema, self._learned))
        return PlainReader(self._library, self.schema.model, fields, self._times)

    def _improper(self, found: PlainColumns) -> BoolArray | None:
        """Which events have probabilities whose sum is not surely 1."""
        if self.schema.task is not Task.MULTICLASS:
            return None
        sums = found.numbers[len(self.schema.numeric) + 1 :].sum(axis=0)
        # An event without a score has no probability at all: its sum is NaN.
        improper: BoolArray = np.abs(sums - 1) > PROBABILITY_TOLERANCE - _ROUNDING
        return improper

    def _score_of(self, prediction: Categories, probabilities: FloatArray) -> FloatArray:
        """The probability `(n,)` of each event's predicted class, NaN where it has none."""
        classes = {name: place for place, name in enumerate(self.schema.classes)}
        place = np.array([classes.get(value, -1) for value in prediction.values] or [-1])
        of_event = place[prediction.codes]
        known = probabilities[of_event, np.arange(len(of_event))]
        return np.where(of_event >= 0, known, np.nan)


def _faults(numeric: FloatArray) -> NumericFaults:
    """The values of numeric features `(F, n)` that are no numbers."""
    feature, row = np.nonzero(numeric.view(np.uint64) == WRONG_NUMBER)
    return NumericFaults(
        feature=feature.astype(np.int32),
        row=row.astype(np.int32),
        fault=np.full(len(row), Fault.WRONG_TYPE, np.int32),
    )


def _fields(schema: ModelSchema, learned: Learned) -> Iterator[Field]:
    numeric, texts = len(schema.numeric), len(schema.categorical)
    booleans = texts + len(schema.boolean)
    tags = booleans + len(schema.tags)
    yield Field("prediction_id", Kind.IDENTITY, required=True)
    yield Field("model", Kind.MODEL, required=True)
    yield Field("timestamp", Kind.TIME, required=True)
    yield Field("status", Kind.STATUS)
    yield Field("model_version", Kind.NAME, column=tags)
    yield Field("latency_ms", Kind.NUMBER, column=numeric, low=0.0)
    if schema.task is Task.REGRESSION:
        yield Field("prediction", Kind.NUMBER, column=numeric + 2, required=True)
    else:
        yield Field("prediction", Kind.NAME, column=tags + 1, required=True)
    if schema.task is Task.MULTICLASS:
        yield Field("score", Kind.OBJECT, column=_SCORES)
        for place, name in enumerate(schema.classes):
            yield _probability(name, _SCORES, numeric + 1 + place, required=True)
    else:
        yield _probability("score", 0, numeric + 1)
    yield Field("features", Kind.OBJECT, column=_FEATURES, required=True)
    yield Field("tags", Kind.OBJECT, column=_TAGS)
    yield from _columns(schema.numeric, Kind.NUMBER, 0)
    yield from _columns(schema.categorical, Kind.TEXT, 0)
    yield from _columns(schema.boolean, Kind.BOOLEAN, texts)
    for column, name in enumerate(schema.tags, booleans):
        yield Field(name, Kind.TAG, _TAGS, column)
    for name in learned.fields:
        yield Field(name, Kind.UNKNOWN)
    for name in learned.features:
        yield Field(name, Kind.UNKNOWN, _FEATURES)
    for name in learned.tags:
        yield Field(name, Kind.SCALAR, _TAGS)


def _probability(name: str, home: int, column: int, *, required: bool = False) -> Field:
    return Field(name, Kind.NUMBER, home, column, required=required, low=0.0, high=1.0)


def _columns(names: Sequence[str], kind: Kind, first: int) -> Iterator[Field]:
    """Features, of which one of a wrong type is a fault and no reason to refuse the event."""
    for column, name in enumerate(names, first):
        yield Field(name, kind, _FEATURES, column, tolerant=True)
