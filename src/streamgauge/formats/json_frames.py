"""NDJSON files as frames: one JSON object a line, read as strictly as events are."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain, compress
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from streamgauge.core.batch import MISSING_CODE, WRONG_TYPE_CODE, BoolArray, Categories, IntArray
from streamgauge.errors import DataError
from streamgauge.formats.event_time import TimestampUnit
from streamgauge.formats.frames import (
    NO_ROWS,
    NO_TIME,
    Column,
    ColumnType,
    Frame,
    Numbers,
    parse_time,
    times_of_numbers,
)

FRAME_BYTES: Final = 8 << 20
"""About this much text makes a frame."""

_TYPES: Final[dict[type, ColumnType]] = {
    int: ColumnType.NUMBERS,
    float: ColumnType.NUMBERS,
    str: ColumnType.TEXT,
    bool: ColumnType.BOOLEANS,
    dict: ColumnType.OBJECTS,
    list: ColumnType.OTHER,
}


class JsonColumn:
    """A column of JSON values; None is missing."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self._kinds = set(map(type, values)) - {type(None)}
        self._fields: dict[str, JsonColumn] | None = None

    @property
    def type(self) -> ColumnType:
        """What the values are."""
        types = {_TYPES[kind] for kind in self._kinds}
        if len(types) > 1:
            return ColumnType.MIXED
        return types.pop() if types else ColumnType.NOTHING

    def numbers(self) -> Numbers:
        """Return the values as numbers; anything but a number is of a wrong type."""
        wrong = NO_ROWS
        values = self._values
        if self._kinds == {bool}:
            values = [None if value is None else float(value) for value in values]
        elif not self._kinds <= {int, float}:
            right = [type(value) in {int, float, type(None)} for value in values]
            wrong = np.flatnonzero(~np.array(right, bool))
            values = [v if ok else None for v, ok in zip(values, right, strict=True)]
        return Numbers(np.array(values, np.float64), wrong, NO_ROWS)

    def texts(self) -> Categories:
        """Return the values as text; fractions, objects and lists are of a wrong type."""
        if self._kinds <= {bool}:
            codes = {None: MISSING_CODE, False: 0, True: 1}
            return Categories(np.array([codes[v] for v in self._values], np.int32), _BOOLEANS)
        codes_of = _Codes()
        encoded = np.fromiter(map(codes_of.__getitem__, map(_text, self._values)), np.int32)
        return Categories(encoded, tuple(codes_of.texts))

    def times(self, unit: TimestampUnit) -> IntArray:
        """Return event times `(n,)` in ms."""
        if self._kinds <= {int, float}:
            if None not in self._values and float not in self._kinds:
                return times_of_numbers(np.array(self._values, np.int64), unit)
            return times_of_numbers(self.numbers().values, unit)
        times = [parse_time(v) if isinstance(v, str) else None for v in self._values]
        return np.array([NO_TIME if time is None else time for time in times], np.int64)

    def fields(self) -> Mapping[str, Column]:
        """Return the columns inside a column of objects."""
        if self._kinds != {dict}:
            return {}
        if self._fields is None:
            rows = [value or {} for value in self._values]
            self._fields = _columns(rows, frozenset())
        return self._fields

    def take(self, rows: BoolArray) -> "JsonColumn":
        """Return the values of some rows."""
        return JsonColumn(list(compress(self._values, rows)))

    def odd_one(self, usual: ColumnType) -> tuple[int, ColumnType]:
        """Return the row and the type of the first value that is of another type."""
        types = [(row, _TYPES[type(v)]) for row, v in enumerate(self._values) if v is not None]
        if usual is ColumnType.NOTHING:
            usual = types[0][1]
        return next((row, type_) for row, type_ in types if type_ is not usual)


_BOOLEANS: Final = ("false", "true")


class _Codes(dict[Any, int]):
    """Codes of texts in the order in which they are first seen."""

    def __init__(self) -> None:
        super().__init__({None: MISSING_CODE, WRONG_TYPE_CODE: WRONG_TYPE_CODE})
        self.texts: list[str] = []

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self.texts)
        self.texts.append(text)
        return code


def _text(value: Any) -> str | int | None:
    """Return a value as text, None where it is missing, `WRONG_TYPE_CODE` where it has none."""
    if type(value) is str or value is None:
        return value
    if type(value) is int or (type(value) is float and value.is_integer()):
        return str(int(value))
    return WRONG_TYPE_CODE


def _columns(rows: list[dict[str, Any]], ignored: frozenset[str]) -> dict[str, JsonColumn]:
    names = dict.fromkeys(chain.from_iterable(rows))
    return {
        name: JsonColumn([row.get(name) for row in rows]) for name in names if name not in ignored
    }


def ndjson_frames(path: Path, ignored: frozenset[str], seen: set[str]) -> Iterator[Frame]:
    """Yield a file's rows, gzipped or not, without the ignored columns.

    The names of all columns go to `seen`, those of the fields of `features` and `tags` too. Raises
    DataError for a line that is no JSON object.
    """
    line = 1
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            while lines := file.readlines(FRAME_BYTES):
                frame = _frame(lines, path, line, ignored, seen)
                if frame.rows:
                    yield frame
                line += len(lines)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read after line {line - 1:,}: {error}") from error


def _frame(
    lines: list[bytes], path: Path, first: int, ignored: frozenset[str], seen: set[str]
) -> Frame:
    rows = [
        _object(text, path, number)
        for number, text in enumerate(lines, first)
        if not text.isspace()
    ]
    seen.update(*rows)
    columns = _columns(rows, ignored)
    for name in ("features", "tags"):
        if name in columns:
            seen.update(columns[name].fields())
    return Frame(columns, len(rows), path.name, first)


def _object(text: bytes, path: Path, line: int) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {line:,}: no valid JSON ({error.msg} at character {error.pos});"
            " write one JSON object a line, numbers without NaN"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: line {line:,}: is no object; write one JSON object a line")
    return value
