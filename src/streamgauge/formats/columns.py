"""Turns decoded events of one model into the columns of an `EventBatch`."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, starmap
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Raw
from msgspec.structs import astuple

from streamgauge.core.batch import (
    MISSING_CODE,
    WRONG_TYPE_CODE,
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    Fault,
    FloatArray,
    IntArray,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.formats.checks import OK, tag_text
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import EventTypes, field_name, tag_field
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.numbers import doubles, int32s

_BOOLEAN_CODES: Final = {None: MISSING_CODE, False: 0, True: 1}
_BOOLEAN_VALUES: Final = ("false", "true")
_MILLISECONDS: Final = 1000.0


class Interner(dict[Any, int]):
    """Codes of a column's values as text, in the order in which they are first seen.

    1 and "1" are one value; None is missing unless a text for it is given. Not for columns that
    hold booleans or floats, which Python takes for equal to integers.
    """

    def __init__(self, missing_text: str | None = None) -> None:
        super().__init__()
        self.texts: dict[str, int] = {}
        if missing_text is None:
            self[None] = MISSING_CODE
        self._missing_text = missing_text

    def __missing__(self, value: str | int | None) -> int:
        text = self._missing_text if value is None else str(value)
        assert text is not None
        code = self[value] = self.texts.setdefault(text, len(self.texts))
        return code

    def encode(self, values: Sequence[Any]) -> CodeArray:
        """The codes of a column: `(n,) int32`."""
        return int32s(map(self.__getitem__, values))


class Columns(NamedTuple):
    """Some events of one model, transposed: one entry an event in each sequence.

    `rows (n,) int64` index the poll's messages; `timestamp (n,) int64` is in milliseconds.
    `features` are the structs of `EventTypes.features` and `tags` those of `EventTypes.tags`, empty
    ones where an event has none; no tags where the schema has none.
    `unknown_fields` and `unknown_features` are the columns of what was learned.
    """

    rows: IntArray
    ids: list[str]
    timestamp: IntArray
    statuses: list[str | None]
    versions: list[int | str | None]
    has_features: BoolArray
    features: list[Any]
    predictions: list[Any]
    scores: list[Any]
    tags: list[Any]
    latencies: list[float | None]
    unknown_fields: list[list[Raw | None]]
    unknown_features: list[list[Raw | None]]


def transpose(
    rows: IntArray, events: Sequence[Any], types: EventTypes, times: EventTime
) -> Columns:
    """The fields of events that are all of `types.event`; n must be at least 1."""
    # Comprehensions: the interpreter reads a slot faster than attrgetter, and no tuple an event
    # is made that the garbage collector would have to look at.
    features = [event.features for event in events]
    has_features = np.ones(len(events), np.bool_)
    if None in features:
        has_features = np.array([value is not None for value in features], np.bool_)
        none = types.features()
        features = [none if value is None else value for value in features]
    tags = [event.tags for event in events] if types.tag_names else []
    if None in tags:
        untagged = types.tags()
        tags = [untagged if value is None else value for value in tags]
    return Columns(
        rows=rows,
        ids=[event.prediction_id for event in events],
        timestamp=times.milliseconds_many([event.timestamp for event in events]),
        statuses=[event.status for event in events],
        versions=[event.model_version for event in events],
        has_features=has_features,
        features=features,
        predictions=[event.prediction for event in events],
        scores=[event.score for event in events],
        tags=tags,
        latencies=[event.latency_ms for event in events],
        unknown_fields=[list(map(attrgetter(name), events)) for name in types.unknown_fields],
        unknown_features=[list(map(attrgetter(name), features)) for name in types.unknown_features],
    )


def is_ok(statuses: Sequence[str | None]) -> BoolArray:
    """Which of `(n,)` statuses say that the event is no error; an absent one does."""
    if set(statuses) <= {None, OK}:
        return np.ones(len(statuses), np.bool_)
    return np.fromiter((status is None or status == OK for status in statuses), np.bool_)


class BatchBuilder:
    """Collects the accepted events of one model out of one poll, block by block."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self.unknown_fields = 0
        self._numbers_of = struct.Struct(f"{len(schema.numeric)}d").pack
        self._rows: list[IntArray] = []
        self._ids: list[str] = []
        self._timestamp: list[IntArray] = []
        self._ok: list[BoolArray] = []
        self._numeric: list[FloatArray] = []
        self._score: list[FloatArray] = []
        self._latency: list[FloatArray] = []
        self._faults: list[tuple[int, int]] = []
        self._version = _CodeColumn(Interner(missing_text=""))
        self._categorical = [_CodeColumn(Interner()) for _ in schema.categorical]
        self._boolean = [_CodeColumn(None) for _ in schema.boolean]
        self._tags = [_CodeColumn(Interner()) for _ in schema.tags]
        self._classes = _CodeColumn(Interner())
        self._numbers: list[FloatArray] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, columns: Columns, wrong_types: Mapping[int, Sequence[int]]) -> None:
        """Take up events; `wrong_types` has, for some of their rows, the features at fault.

        The features count in the order of `feature_names`; their values are None in `columns`.
        """
        schema = self.schema
        start = len(self._ids)
        self._rows.append(columns.rows)
        self._ids.extend(columns.ids)
        self._timestamp.append(columns.timestamp)
        self._ok.append(is_ok(columns.statuses))
        self._version.add(columns.versions)
        self._latency.append(doubles(columns.latencies) / _MILLISECONDS)
        self._score.append(_scores(columns, schema.task))
        if schema.task is Task.REGRESSION:
            self._numbers.append(doubles(columns.predictions))
        else:
            self._classes.add(columns.predictions)
        self._add_tags(columns.tags)
        self._add_features(columns.features)
        for position, row in enumerate(columns.rows.tolist()) if wrong_types else ():
            for feature in wrong_types.get(row, ()):
                self._add_fault(start + position, position, feature)
        for unknown in (*columns.unknown_fields, *columns.unknown_features):
            self.unknown_fields += len(unknown) - unknown.count(None)

    def build(self, messages: RawMessages) -> tuple[EventBatch, IntArray, list[str]]:
        """The batch, its rows in `messages` `(n,) int64`, and its prediction ids."""
        rows = np.concatenate(self._rows)
        if self.schema.task is Task.REGRESSION:
            prediction: Categories | FloatArray = np.concatenate(self._numbers)
        else:
            prediction = self._classes.build()
        batch = EventBatch(
            schema=self.schema,
            timestamp=np.concatenate(self._timestamp),
            partition=messages.partition[rows],
            version=self._version.build(),
            numeric=np.concatenate(self._numeric, axis=1),
            faults=self._build_faults(),
            categorical=tuple(column.build() for column in self._categorical + self._boolean),
            tags=tuple(column.build() for column in self._tags),
            prediction=prediction,
            score=np.concatenate(self._score),
            latency=np.concatenate(self._latency),
            ok=np.concatenate(self._ok),
        )
        return batch, rows, self._ids

    def _add_tags(self, tags: Sequence[Any]) -> None:
        for place, column in enumerate(self._tags):
            values = list(map(attrgetter(tag_field(place)), tags))
            if not set(map(type, values)) <= {str, type(None)}:
                values = list(map(tag_text, values))
            column.add(values)

    def _add_features(self, features: Sequence[Any]) -> None:
        """Columns out of structs, without a line of Python for each event and feature."""
        width = len(self.schema.numeric)
        first = itemgetter(slice(0, width))
        try:
            packed = b"".join(starmap(self._numbers_of, map(first, map(astuple, features))))
            flat = np.frombuffer(packed, np.float64) if width else np.empty(0)
        except struct.error:  # a null, which packs as no number but converts to NaN
            numbers = chain.from_iterable(map(first, map(astuple, features)))
            flat = np.fromiter(numbers, np.float64, width * len(features))
        # Each feature's numbers in a row of memory, while the block is in the processor's cache:
        # they are gone through many times.
        self._numeric.append(np.ascontiguousarray(flat.reshape(len(features), width).T))
        for place, column in enumerate(self._categorical + self._boolean, start=width):
            column.add(list(map(attrgetter(field_name(place)), features)))

    def _add_fault(self, row: int, position: int, feature: int) -> None:
        width = len(self.schema.numeric)
        if feature < width:
            self._faults.append((feature, row))
        else:
            (self._categorical + self._boolean)[feature - width].mark_wrong_type(position)

    def _build_faults(self) -> NumericFaults:
        if not self._faults:
            return NumericFaults.none()
        feature, row = np.array(self._faults, np.int32).T.copy()
        fault = np.full(len(feature), Fault.WRONG_TYPE, np.int32)
        return NumericFaults(feature=feature, row=row, fault=fault)


class _CodeColumn:
    """One dictionary-encoded column in the making; without an interner, of booleans."""

    def __init__(self, interner: Interner | None) -> None:
        self._interner = interner
        self._codes: list[CodeArray] = []

    def add(self, values: Sequence[Any]) -> None:
        if self._interner is None:
            codes = np.fromiter(map(_BOOLEAN_CODES.__getitem__, values), np.int32, len(values))
        else:
            codes = self._interner.encode(values)
        self._codes.append(codes)

    def mark_wrong_type(self, position: int) -> None:
        """Overwrite the code at a position of the block that was added last."""
        self._codes[-1][position] = WRONG_TYPE_CODE

    def build(self) -> Categories:
        values = _BOOLEAN_VALUES if self._interner is None else tuple(self._interner.texts)
        return Categories(codes=np.concatenate(self._codes), values=values)


def _scores(columns: Columns, task: Task) -> FloatArray:
    if task is not Task.MULTICLASS:
        return doubles(columns.scores)
    pairs: Iterable[tuple[dict[str, float] | None, int | str | None]] = zip(
        columns.scores, columns.predictions, strict=True
    )
    return np.fromiter(
        (
            np.nan if score is None or predicted is None else score.get(str(predicted), np.nan)
            for score, predicted in pairs
        ),
        np.float64,
        len(columns.scores),
    )
