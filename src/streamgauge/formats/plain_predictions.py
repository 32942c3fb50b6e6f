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
)
from streamgauge.formats.plain_text import PlainText

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


class _Places:
    """Where a model's columns stand.

    Among the numbers, the numeric features come first; the score is as many columns as there are
    probabilities of classes. Among the codes, the categorical features come first.
    """

    def __init__(self, schema: ModelSchema) -> None:
        self.latency = len(schema.numeric)
        self.score = self.latency + 1
        self.value = self.score + 1
        """The prediction of a regression."""
        self.booleans = len(schema.categorical)
        self.tags = self.booleans + len(schema.boolean)
        self.version = self.tags + len(schema.tags)
        self.predicted = self.version + 1
        """The predicted class."""


class PlainPredictions:
    """Reads a model's prediction events into batches."""

    def __init__(self, library: ctypes.CDLL, schema: ModelSchema, times: EventTime) -> None:
        self.schema = schema
        self._places = _Places(schema)
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
            found = self._reader.read_without(improper, found, text)
        return found

    def batch(self, found: PlainColumns, messages: RawMessages) -> EventBatch:
        """The batch of events that were read."""
        schema, places = self.schema, self._places
        numeric = found.numbers[: places.latency]
        score = found.numbers[places.score]
        prediction: Categories | FloatArray
        if schema.task is Task.REGRESSION:
            prediction = found.numbers[places.value]
        else:
            prediction = found.categories(places.predicted)
            if schema.task is Task.MULTICLASS:
                score = self._score_of(prediction, found.numbers[places.score :])
        return EventBatch(
            schema=schema,
            timestamp=found.times,
            partition=messages.partition[found.rows],
            version=found.categories(places.version, missing_text=""),
            numeric=numeric,
            faults=_faults(numeric) if found.faults else NumericFaults.none(),
            categorical=(
                *map(found.categories, range(places.booleans)),
                *(
                    Categories(codes, ("false", "true"))
                    for codes in found.codes[places.booleans : places.tags]
                ),
            ),
            tags=tuple(map(found.categories, range(places.tags, places.version))),
            prediction=prediction,
            score=score,
            latency=found.numbers[places.latency] / _MILLISECONDS,
            ok=np.ones(len(found.rows), np.bool_),
        )

    def _build_reader(self) -> PlainReader:
        fields = tuple(_fields(self.schema, self._places, self._learned))
        return PlainReader(self._library, self.schema.model, fields, self._times)

    def _improper(self, found: PlainColumns) -> BoolArray | None:
        """Which events have probabilities whose sum is not surely 1."""
        if self.schema.task is not Task.MULTICLASS:
            return None
        sums = found.numbers[self._places.score :].sum(axis=0)
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


def _fields(schema: ModelSchema, places: _Places, learned: Learned) -> Iterator[Field]:
    yield Field("prediction_id", Kind.IDENTITY, required=True)
    yield Field("model", Kind.MODEL, required=True)
    yield Field("timestamp", Kind.TIME, required=True)
    yield Field("status", Kind.STATUS)
    yield Field("model_version", Kind.NAME, column=places.version)
    yield Field("latency_ms", Kind.NUMBER, column=places.latency, low=0.0)
    if schema.task is Task.REGRESSION:
        yield Field("prediction", Kind.NUMBER, column=places.value, required=True)
    else:
        yield Field("prediction", Kind.NAME, column=places.predicted, required=True)
    if schema.task is Task.MULTICLASS:
        yield Field("score", Kind.OBJECT, column=_SCORES)
        for column, name in enumerate(schema.classes, places.score):
            yield _probability(name, _SCORES, column, required=True)
    else:
        yield _probability("score", 0, places.score)
    yield Field("features", Kind.OBJECT, column=_FEATURES, required=True)
    yield Field("tags", Kind.OBJECT, column=_TAGS)
    yield from _columns(schema.numeric, Kind.NUMBER, 0)
    yield from _columns(schema.categorical, Kind.TEXT, 0)
    yield from _columns(schema.boolean, Kind.BOOLEAN, places.booleans)
    for column, name in enumerate(schema.tags, places.tags):
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
