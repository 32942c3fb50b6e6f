"""The rules of `checks` over whole Arrow columns: rows in, batches and dead letters out."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.core.batch import (
    Categories,
    CodeArray,
    EventBatch,
    FloatArray,
    IntArray,
    ModelSchema,
    Task,
)
from streamgauge.formats.arrow_batches import DecodedRows, refused
from streamgauge.formats.arrow_cells import Cells, Kind
from streamgauge.formats.arrow_features import is_feature, read_features
from streamgauge.formats.arrow_fields import (
    Verdicts,
    check_ids,
    names_of,
    read_latency,
    read_numbers,
    read_status,
    read_times,
)
from streamgauge.formats.arrow_scores import read_scores
from streamgauge.formats.arrow_stream import (
    ARROW_ERRORS,
    Frame,
    read_frame,
    refusal,
    together,
)
from streamgauge.formats.arrow_tags import read_tags
from streamgauge.formats.checks import RejectedError
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import KNOWN_FIELDS, feature_names

TOGETHER_ROWS: Final = 40_000
"""Rows of several messages that are decoded as one, at most."""
TOGETHER_BYTES: Final = 32 << 20
"""Bytes of their columns, at most."""
_FIELDS: Final = frozenset({*KNOWN_FIELDS, "model"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What rows are judged by, and how large a message may be; see `decode_together`."""

    schemas: Sequence[ModelSchema]
    times: EventTime
    identified: Collection[str] | None
    max_bytes: int
    max_rows: int


class _Stream(NamedTuple):
    """A message that was read, with its partition and the broker's time of it."""

    frame: Frame
    partition: int
    broker_timestamp: int


def decode_streams(
    values: Sequence[bytes | None], partition: CodeArray, broker_timestamp: IntArray, rules: Rules
) -> Iterator[DecodedRows]:
    """What `decode_together` promises."""
    wanted = _wanted(rules.schemas)
    waiting: list[_Stream] = []
    rows = size = 0
    for place, where in enumerate(zip(partition.tolist(), broker_timestamp.tolist(), strict=True)):
        value = values[place]  # one by one, as each is copied out of a poll's text
        try:
            frame = read_frame(
                value or b"", wanted, max_bytes=rules.max_bytes, max_rows=rules.max_rows
            )
        except RejectedError as error:
            yield from _decoded(waiting, rules)
            waiting, rows, size = [], 0, 0
            yield refused(error)
            continue
        rows, size = rows + frame.rows, size + frame.nbytes
        full = rows > TOGETHER_ROWS or size > TOGETHER_BYTES
        if waiting and (full or not frame.is_like(waiting[0].frame)):
            yield from _decoded(waiting, rules)
            waiting, rows, size = [], frame.rows, frame.nbytes
        waiting.append(_Stream(frame, *where))
    yield from _decoded(waiting, rules)


def _decoded(streams: Sequence[_Stream], rules: Rules) -> list[DecodedRows]:
    """Decode messages that are alike as one, or where that cannot be each by itself."""
    if not streams:
        return []
    sizes = np.array([stream.frame.rows for stream in streams], np.int64)
    try:
        found = _decode(
            together([stream.frame for stream in streams]),
            np.repeat(np.array([stream.partition for stream in streams], np.int32), sizes),
            np.repeat(np.array([stream.broker_timestamp for stream in streams], np.int64), sizes),
            rules,
        )
    except ARROW_ERRORS as error:
        if len(streams) == 1:
            return [refused(refusal(f"columns that cannot be read ({type(error).__name__})"))]
        return [found for stream in streams for found in _decoded([stream], rules)]
    return [replace(found, sizes=sizes)]


def _decode(
    frame: Frame, partition: CodeArray, broker_timestamp: IntArray, rules: Rules
) -> DecodedRows:
    """Decode rows, each with its partition `(n,)` and the broker's time of it `(n,)`."""
    schemas = rules.schemas
    verdicts = Verdicts(frame.rows)
    model_of, unknown_models = _models(frame, schemas, verdicts)
    rejected = verdicts.rejected(np.arange(frame.rows))
    batches: list[EventBatch] = []
    rows_of: list[IntArray] = []
    ids: list[list[str]] = []
    unknown_fields = 0
    for place, schema in enumerate(schemas):
        rows = np.flatnonzero(model_of == place)
        if not len(rows):
            continue
        mine = frame if len(rows) == frame.rows else frame.take(model_of == place)
        reading = _Reading(mine, schema, rules.times, broker_timestamp[rows])
        rejected += reading.verdicts.rejected(rows)
        accepted = reading.verdicts.accepted
        if not accepted.any():
            continue
        batches.append(reading.batch(partition[rows]))
        rows_of.append(rows[accepted])
        wanted = rules.identified is None or schema.model in rules.identified
        ids.append(reading.accepted_ids() if wanted else [])
        unknown_fields += reading.unknown_fields
    return DecodedRows(
        sizes=np.array([frame.rows], np.int64),
        batches=tuple(batches),
        rows_of=tuple(rows_of),
        ids=tuple(ids),
        rejected=tuple(sorted(rejected, key=lambda each: each.index)),
        refused=None,
        unknown_models=unknown_models,
        unknown_fields=unknown_fields,
    )


def _wanted(schemas: Sequence[ModelSchema]) -> Callable[[str], bool]:
    features = {name for schema in schemas for name in feature_names(schema)}

    def wanted(column: str) -> bool:
        return column in _FIELDS or is_feature(column, features)

    return wanted


def _models(
    frame: Frame, schemas: Sequence[ModelSchema], verdicts: Verdicts
) -> tuple[IntArray, int]:
    """The place of each row's schema `(n,)`, -1 where it has none; how many are not watched."""
    nobody = np.full(frame.rows, -1)
    if "model" not in frame.names:
        verdicts.refuse_all("model", "required")
        return nobody, 0
    cells = frame.cells("model")
    if cells.kind is not Kind.TEXT:
        verdicts.refuse_all("model", f"expected a string, got {cells.kind.value}")
        return nobody, 0
    codes, texts = cells.coded()
    place_of = {schema.model: place for place, schema in enumerate(schemas)}
    places = np.array([*(place_of.get(text, -1) for text in texts), -1])[codes]
    verdicts.refuse(~cells.given, "model", "expected a string, got null")
    return places, int(np.count_nonzero((places < 0) & cells.given))


class _Reading:
    """The rows of one model, every column read and judged in the order of `checks`."""

    def __init__(
        self, frame: Frame, schema: ModelSchema, times: EventTime, broker_timestamp: IntArray
    ) -> None:
        self._schema = schema
        verdicts = self.verdicts = Verdicts(frame.rows)
        names = set(frame.names)

        def cells(name: str) -> Cells | None:
            return frame.cells(name) if name in names else None

        self._ids = cells("prediction_id")
        check_ids(self._ids, verdicts)
        self._timestamp = read_times(cells("timestamp"), verdicts, times, broker_timestamp)
        self._ok = read_status(cells("status"), verdicts)
        self._version = names_of(cells("model_version"), "model_version", verdicts, missing="")
        self._tags = read_tags(cells("tags"), schema.tags, verdicts)
        self._latency = read_latency(cells("latency_ms"), verdicts)
        self._features = read_features(frame, schema, verdicts, self._ok)
        self._prediction = self._read_prediction(cells("prediction"))
        self._score = read_scores(cells("score"), schema, self._prediction, verdicts)
        self._unknown = len(frame.unread) + self._features.unknown

    @property
    def unknown_fields(self) -> int:
        """How many fields of accepted rows no schema names."""
        return int(self._unknown[self.verdicts.accepted].sum())

    def accepted_ids(self) -> list[Any]:
        """The prediction ids of the accepted rows."""
        if self._ids is None:
            return []
        ids, accepted = self._ids.strings(), self.verdicts.accepted
        if accepted.all():
            return ids
        return [ids[row] for row in np.flatnonzero(accepted).tolist()]

    def batch(self, partition: CodeArray) -> EventBatch:
        """The accepted rows as a batch; `partition (n,)` is that of each row."""
        accepted = self.verdicts.accepted
        every = bool(accepted.all())

        def floats(values: FloatArray) -> FloatArray:
            return values if every else values[..., accepted]

        def coded(column: Categories) -> Categories:
            return column if every else column.take(accepted)

        prediction = self._prediction
        return EventBatch(
            schema=self._schema,
            timestamp=self._timestamp if every else self._timestamp[accepted],
            partition=partition if every else partition[accepted],
            version=coded(self._version),
            numeric=floats(self._features.numeric),
            faults=self._features.faults(accepted),
            categorical=tuple(map(coded, self._features.categorical)),
            tags=tuple(map(coded, self._tags)),
            prediction=(
                coded(prediction) if isinstance(prediction, Categories) else floats(prediction)
            ),
            score=floats(self._score),
            latency=floats(self._latency),
            ok=self._ok if every else self._ok[accepted],
        )

    def _read_prediction(self, cells: Cells | None) -> Categories | FloatArray:
        field, verdicts = "prediction", self.verdicts
        given = np.zeros(verdicts.rows, np.bool_) if cells is None else cells.given
        verdicts.refuse(self._ok & ~given, field, "required unless the status is an error")
        if self._schema.task is Task.REGRESSION:
            return read_numbers(cells, field, verdicts)
        return names_of(cells, field, verdicts)
