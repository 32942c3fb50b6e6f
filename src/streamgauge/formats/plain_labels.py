"""Label events of one model by the compiled reader."""

import ctypes
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from streamgauge.core.batch import MISSING_CODE, CodeArray, IntArray, LabelBatch, ModelSchema, Task
from streamgauge.core.remembered import Remembered
from streamgauge.formats.checks import Scalar
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import INT64_MAX
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.plain_events import Field, Kind, PlainColumns, PlainReader
from streamgauge.formats.plain_text import PlainText

_LABEL: Final = 0
"""The column of the label, among the numbers of a regression, else among the codes."""
_NO_VERSION: Final = -1


class PlainLabels:
    """Reads a model's label events into batches."""

    def __init__(self, library: ctypes.CDLL, schema: ModelSchema, times: EventTime) -> None:
        self.schema = schema
        self._library = library
        self._times = times
        self._unknown_fields: tuple[str, ...] = ()
        self._version = 0 if schema.task is Task.REGRESSION else 1
        """The column of the version among the codes."""
        self._version_of = Remembered(_version_of)
        self._reader = self._build_reader()

    def learn(self, unknown_fields: tuple[str, ...]) -> None:
        """Make room for what was learned, if that is new."""
        if unknown_fields != self._unknown_fields:
            self._unknown_fields = unknown_fields
            self._reader = self._build_reader()

    def read(self, text: PlainText, rows: CodeArray) -> PlainColumns:
        """Read some of the messages, ascending; those that are no plain events are left."""
        found = self._reader.read(text, rows)
        improper = self._versions(found) == _NO_VERSION
        if improper.any():
            found = self._reader.read_without(improper, found, text)
        return found

    def batch(self, found: PlainColumns, messages: RawMessages) -> LabelBatch:
        """The batch of labels that were read."""
        regression = self.schema.task is Task.REGRESSION
        return LabelBatch(
            schema=self.schema,
            ids=found.ids,
            timestamp=found.times,
            partition=messages.partition[found.rows],
            label=found.numbers[_LABEL] if regression else found.categories(_LABEL),
            version=self._versions(found),
        )

    def _versions(self, found: PlainColumns) -> IntArray:
        """The version `(n,)` of each label, `_NO_VERSION` where it is no version."""
        codes = found.codes[self._version]
        table = self._version_of(found.tokens[self._version].values)
        return np.where(codes == MISSING_CODE, 0, table[codes])

    def _build_reader(self) -> PlainReader:
        fields = tuple(self._fields())
        return PlainReader(self._library, self.schema.model, fields, self._times)

    def _fields(self) -> Iterator[Field]:
        kind = Kind.NUMBER if self.schema.task is Task.REGRESSION else Kind.NAME
        yield Field("prediction_id", Kind.IDENTITY, required=True)
        yield Field("model", Kind.MODEL, required=True)
        yield Field("timestamp", Kind.TIME, required=True)
        yield Field("label", kind, column=_LABEL, required=True)
        yield Field("label_version", Kind.NAME, column=self._version)
        for name in self._unknown_fields:
            yield Field(name, Kind.UNKNOWN)


def _version_of(values: Sequence[Scalar]) -> IntArray:
    """The version of each token `(tokens, at least 1)`, `_NO_VERSION` where it is none."""
    found = [
        value if type(value) is int and 0 <= value <= INT64_MAX else _NO_VERSION for value in values
    ]
    return np.array(found or [0], np.int64)
