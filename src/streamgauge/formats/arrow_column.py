"""Arrow arrays as columns."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamgauge.core.batch import BoolArray, Categories, IntArray
from streamgauge.formats.event_time import TimestampUnit
from streamgauge.formats.frames import (
    NO_ROWS,
    NO_TIME,
    Column,
    ColumnType,
    Numbers,
    numbers_of_texts,
    texts_of_numbers,
    times_of_numbers,
    times_of_texts,
)

_MANY_UNUSED: Final = 4
"""A dictionary with this many times more entries than there are rows is cut to what is used."""


def column_type(type_: Any) -> ColumnType:
    """Return what the values of an Arrow type are."""
    if pa.types.is_dictionary(type_):
        return column_type(type_.value_type)
    if pa.types.is_boolean(type_):
        return ColumnType.BOOLEANS
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return ColumnType.NUMBERS
    if _is_text(type_):
        return ColumnType.TEXT
    if pa.types.is_temporal(type_):
        return ColumnType.TIMES
    if pa.types.is_null(type_):
        return ColumnType.NOTHING
    return ColumnType.OBJECTS if pa.types.is_struct(type_) else ColumnType.OTHER


def _is_text(type_: Any) -> bool:
    return bool(
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


class ArrowColumn:
    """A column held by an Arrow array; null is missing.

    A real NaN counts as one, unless `nan_is_missing`.
    """

    def __init__(self, array: Any, *, nan_is_missing: bool) -> None:
        self._array = array
        self._nan_is_missing = nan_is_missing

    @property
    def type(self) -> ColumnType:
        """What the values are."""
        return column_type(self._array.type)

    def numbers(self) -> Numbers:
        """Return the values as numbers; text is parsed."""
        array = self._array
        match self.type:
            case ColumnType.TEXT:
                return numbers_of_texts(self.texts())
            case ColumnType.NUMBERS | ColumnType.BOOLEANS:
                pass
            case ColumnType.NOTHING:
                return Numbers(np.full(len(array), np.nan), NO_ROWS, NO_ROWS)
            case _:
                valid = array.is_valid().to_numpy(zero_copy_only=False)
                return Numbers(np.full(len(array), np.nan), np.flatnonzero(valid), NO_ROWS)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if not pa.types.is_float64(array.type):
            array = array.cast(pa.float64(), safe=False)
        values = array.to_numpy(zero_copy_only=False)
        nan = np.isnan(values)
        if self._nan_is_missing or not nan.any():
            return Numbers(values, NO_ROWS, NO_ROWS)
        if array.null_count:
            nan &= array.is_valid().to_numpy(zero_copy_only=False)
        return Numbers(values, NO_ROWS, np.flatnonzero(nan))

    def texts(self) -> Categories:
        """Return the values as text."""
        array = self._array
        if self.type is ColumnType.BOOLEANS:
            codes = array.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False)
            return Categories(codes.astype(np.int32), ("false", "true"))
        if self.type is ColumnType.NUMBERS:
            return texts_of_numbers(self.numbers().values)
        if self.type is ColumnType.NOTHING:
            return Categories(np.full(len(array), -1, np.int32), ())
        if not pa.types.is_dictionary(array.type):
            if not _is_text(array.type):
                array = array.cast(pa.string())
            array = array.dictionary_encode()
        codes = array.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
        values = array.dictionary
        if len(values) > _MANY_UNUSED * len(codes) or values.null_count:
            used = np.unique(codes[codes >= 0])
            table = np.full(len(values) + 1, -1, np.int32)
            valid = values.is_valid().to_numpy(zero_copy_only=False)[used]
            table[used[valid]] = np.arange(np.count_nonzero(valid))
            codes, values = table[codes], values.take(pa.array(used[valid]))
        return Categories(codes, tuple(values.cast(pa.string()).to_pylist()))

    def times(self, unit: TimestampUnit) -> IntArray:
        """Return event times `(n,)` in ms."""
        array = self._array
        match self.type:
            case ColumnType.TEXT:
                return times_of_texts(self.texts())
            case ColumnType.NUMBERS if pa.types.is_int64(array.type) and not array.null_count:
                return times_of_numbers(array.to_numpy(), unit)
            case ColumnType.NUMBERS:
                return times_of_numbers(self.numbers().values, unit)
            case ColumnType.TIMES if pa.types.is_timestamp(array.type):
                unit = array.type.unit
            case ColumnType.TIMES if pa.types.is_date(array.type):
                array, unit = array.cast(pa.timestamp("ms")), "ms"
            case _:
                return np.full(len(array), NO_TIME)
        whole = array.cast(pa.int64())
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        times = times_of_numbers(pc.fill_null(whole, 0).to_numpy(zero_copy_only=False), unit)
        return np.where(valid, times, NO_TIME)

    def fields(self) -> Mapping[str, Column]:
        """Return the columns inside a column of structs."""
        if not pa.types.is_struct(self._array.type):
            return {}
        return {
            field.name: ArrowColumn(child, nan_is_missing=self._nan_is_missing)
            for field, child in zip(self._array.type, self._array.flatten(), strict=True)
        }

    def take(self, rows: BoolArray) -> "ArrowColumn":
        """Return the values of some rows."""
        array = self._array.filter(pa.array(rows))
        return ArrowColumn(array, nan_is_missing=self._nan_is_missing)

    def odd_one(self, usual: ColumnType) -> tuple[int, ColumnType]:  # noqa: ARG002
        """Return the first row: all values are of the array's type."""
        return 0, self.type
