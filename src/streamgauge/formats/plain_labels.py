"""Label events of one model by the compiled reader."""

import ctypes
from collections.abc import Iterator
from typing import Final

import numpy as np
import orjson

from streamgauge.core.batch import MISSING_CODE, CodeArray, IntArray, LabelBatch, ModelSchema, Task
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
            # Again, without them: nothing of an event that is left stays in the columns.
            given = found.rows[~improper]
            left = np.setdiff1d(rows, given, assume_unique=True)
            found = self._reader.read(text, given)._replace(left=left)
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
        values = orjson.loads(found.tokens[self._version])
        proper = [type(value) is int and 0 <= value <= INT64_MAX for value in values]
        table = np.array(
            [value if ok else _NO_VERSION for value, ok in zip(values, proper, strict=True)] or [0],
            np.int64,
        )
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
