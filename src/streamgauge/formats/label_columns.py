"""The typed structs of label events, and the columns of a `LabelBatch` made from them."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from msgspec import Meta, Raw, Struct, defstruct

from streamgauge.core.batch import (
    Categories,
    CodeArray,
    FloatArray,
    IntArray,
    LabelBatch,
    ModelSchema,
    Task,
)
from streamgauge.formats.columns import Interner
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import INT64_MAX, Integer
from streamgauge.formats.messages import RawMessages

LABEL_FIELDS: Final = ("prediction_id", "timestamp", "label", "label_version")
"""The fields of a label event besides `model`, in the order of the generated struct."""
_Version = Annotated[int, Meta(ge=0, le=INT64_MAX)]


class LabelColumns(NamedTuple):
    """Some label events of one model, transposed: one entry an event in each sequence.

    `rows (n,) int64` index the poll's messages; `timestamp (n,) int64` is in milliseconds;
    `version (n,) int64`. `unknown_fields` are the columns of what was learned.
    """

    rows: IntArray
    ids: list[str]
    timestamp: IntArray
    labels: list[Any]
    version: IntArray
    unknown_fields: list[list[Raw | None]]


def label_type(schema: ModelSchema, unknown_fields: tuple[str, ...] = ()) -> type[Struct]:
    """The struct of a model's labels: `LABEL_FIELDS`, then a `Raw` field for each unknown field.

    Anything else in a message is an error of the parser's, as in `event_types`.
    """
    label: Any = float if schema.task is Task.REGRESSION else Integer | str
    return defstruct(
        "Label",
        [
            ("prediction_id", str),
            ("timestamp", Integer | str),
            ("label", label),
            ("label_version", _Version | None, 0),
            *((f"u{i}", Raw, None) for i in range(len(unknown_fields))),
        ],
        rename={f"u{i}": name for i, name in enumerate(unknown_fields)},
        tag_field="model",
        tag=schema.model,
        forbid_unknown_fields=True,
        gc=False,
        eq=False,
    )


def transpose_labels(
    rows: IntArray, events: Sequence[Any], unknown_fields: int, times: EventTime
) -> LabelColumns:
    """The fields of events of one `label_type` with so many unknown fields; n at least 1."""
    versions = [event.label_version for event in events]
    if None in versions:
        versions = [version or 0 for version in versions]
    return LabelColumns(
        rows=rows,
        ids=[event.prediction_id for event in events],
        timestamp=times.milliseconds_many([event.timestamp for event in events]),
        labels=[event.label for event in events],
        version=np.fromiter(versions, np.int64, len(versions)),
        unknown_fields=[list(map(attrgetter(f"u{i}"), events)) for i in range(unknown_fields)],
    )


class LabelBatchBuilder:
    """Collects the accepted label events of one model out of one poll, block by block."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self.unknown_fields = 0
        self._rows: list[IntArray] = []
        self._ids: list[str] = []
        self._timestamp: list[IntArray] = []
        self._version: list[IntArray] = []
        self._classes = Interner()
        self._codes: list[CodeArray] = []
        self._numbers: list[FloatArray] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, columns: LabelColumns) -> None:
        """Take up events."""
        self._rows.append(columns.rows)
        self._ids.extend(columns.ids)
        self._timestamp.append(columns.timestamp)
        self._version.append(columns.version)
        if self.schema.task is Task.REGRESSION:
            self._numbers.append(np.fromiter(columns.labels, np.float64, len(columns.labels)))
        else:
            self._codes.append(self._classes.encode(columns.labels))
        for unknown in columns.unknown_fields:
            self.unknown_fields += len(unknown) - unknown.count(None)

    @property
    def rows(self) -> IntArray:
        """Which of the poll's messages they are, ascending."""
        return np.concatenate(self._rows)

    def build(self, messages: RawMessages) -> LabelBatch:
        """The batch of all that was added, in the order of the messages."""
        label: Categories | FloatArray
        if self.schema.task is Task.REGRESSION:
            label = np.concatenate(self._numbers)
        else:
            label = Categories(np.concatenate(self._codes), tuple(self._classes.texts))
        return LabelBatch(
            schema=self.schema,
            ids=self._ids,
            timestamp=np.concatenate(self._timestamp),
            partition=messages.partition[self.rows],
            label=label,
            version=np.concatenate(self._version),
        )
