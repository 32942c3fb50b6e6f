"""Frames: some rows of a table of events, column by column, whatever the file format."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, Categories, FloatArray, IntArray
from streamgauge.formats.event_time import TimestampUnit, parse_rfc3339

Rows = npt.NDArray[np.intp]


class ColumnType(StrEnum):
    """What the values of a column are, as a reader would say it."""

    NOTHING = "no values"
    NUMBERS = "numbers"
    TEXT = "text"
    BOOLEANS = "booleans"
    TIMES = "dates or times"
    OBJECTS = "objects"
    OTHER = "lists or binary data"
    MIXED = "values of several types"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers: `values (n,) float64`, NaN where there is none.

    `wrong` are the rows whose value is no number, `nan` those with a NaN that was sent as one.
    """

    values: FloatArray
    wrong: Rows
    nan: Rows


class Column(Protocol):
    """Some values of one column; absent values are missing in all that it gives."""

    @property
    def type(self) -> ColumnType:
        """What the values are."""

    def numbers(self) -> Numbers:
        """Return the values as numbers; text is parsed, false and true are 0 and 1."""

    def texts(self) -> Categories:
        """Return the values as text; whole numbers without a decimal point."""

    def times(self, unit: TimestampUnit) -> IntArray:
        """Return event times `(n,)` in ms since the epoch, `NO_TIME` where there is none.

        Integers count in `unit`; a time without an offset is in UTC.
        """

    def fields(self) -> Mapping[str, "Column"]:
        """Return the columns inside a column of objects; none of other columns."""

    def take(self, rows: BoolArray) -> Self:
        """Return the values of the rows where `(n,)` is true."""

    def odd_one(self, usual: ColumnType) -> "tuple[int, ColumnType]":
        """Return the first value that is of another type: its row and its type.

        Where nothing is usual yet, the first value is.
        """


NO_TIME: Final = np.iinfo(np.int64).min
"""Stands for a time that is missing or cannot be read."""
NO_ROWS: Final[Rows] = np.empty(0, np.intp)


class ReadAgain(Exception):  # noqa: N818, a request, not an error
    """A column holds what nothing before it did: everything is to be read anew."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Some rows of a file: its columns by name, and where they come from.

    `file` names the file, `first` is the number of the first row in it, from 1.
    """

    columns: Mapping[str, Column]
    rows: int
    file: str
    first: int

    def take(self, rows: BoolArray) -> "Frame":
        """Return the rows where `(rows,)` is true; they keep the first one's number."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Frame(columns, int(np.count_nonzero(rows)), self.file, self.first)


def parse_number(text: str) -> float | None:
    """Return the number that a text writes, None where it writes none."""
    if "_" in text:  # Python reads 1_000; nobody else does
        return None
    try:
        return float(text)
    except ValueError:
        return None


def parse_time(text: str) -> int | None:
    """Return a date-time as ms since the epoch, None where it is none; without an offset in UTC."""
    milliseconds = parse_rfc3339(text)
    if milliseconds is not None:
        return milliseconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp() * 1000)


def numbers_of_texts(column: Categories) -> Numbers:
    """Parse a column of text; what writes no number is of a wrong type."""
    parsed = [parse_number(text) for text in column.values]
    table = np.array([*(math.nan if v is None else v for v in parsed), math.nan])
    bad = np.array([*(v is None for v in parsed), False], bool)
    values = table[column.codes]  # -1, missing, is the last
    wrong = bad[column.codes]
    present = column.codes >= 0
    return Numbers(
        values, np.flatnonzero(wrong), np.flatnonzero(present & ~wrong & np.isnan(values))
    )


def texts_of_numbers(values: FloatArray) -> Categories:
    """Name numbers `(n,)`: whole ones as integers; NaN is missing."""
    distinct, codes = np.unique(values, return_inverse=True)
    present = ~np.isnan(distinct)
    texts = tuple(_number_text(value) for value in distinct[present].tolist())
    # NaN is last after sorting.
    return Categories(np.where(codes < len(texts), codes, -1).astype(np.int32), texts)


def times_of_texts(column: Categories) -> IntArray:
    """Parse a column of date-times."""
    parsed = [parse_time(text) for text in column.values]
    table = np.array([*(NO_TIME if time is None else time for time in parsed), NO_TIME], np.int64)
    return table[column.codes]


def times_of_numbers(values: FloatArray | IntArray, unit: TimestampUnit) -> IntArray:
    """Return times `(n,)` in ms, floored; NaN and infinity are none."""
    per_ms = {"s": 1_000, "ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
    largest = 2.0**62 / (per_ms if unit == "s" else 1)
    finite = np.isfinite(values) & (np.abs(values) < largest)
    whole = np.where(finite, np.floor(values), 0).astype(np.int64)
    times = whole * per_ms if unit == "s" else whole // per_ms
    return np.where(finite, times, NO_TIME)


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
