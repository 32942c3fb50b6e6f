"""The cells of Arrow columns as the types that JSON tells apart, and as numpy arrays."""

from enum import Enum
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import lib

from streamgauge.core.batch import MISSING_CODE, BoolArray, CodeArray, FloatArray, IntArray

_MANY_UNUSED: Final = 4
"""A dictionary with this many times more entries than there are rows is cut to what is used."""
_FEW: Final = 32
"""Of so many entries Python finds out sooner than Arrow whether each is there once."""


class Kind(Enum):
    """What the cells of a column are; the value is how a message to a person says it."""

    NOTHING = "null"
    BOOLEAN = "a boolean"
    INTEGER = "an integer"
    REAL = "a number with a fraction"
    TEXT = "a string"
    TIME = "a timestamp"
    STRUCT = "a struct"
    MAP = "a map"
    OTHER = "another Arrow type"


_DECIMALS: Final = (
    lib.Type_DECIMAL32,
    lib.Type_DECIMAL64,
    lib.Type_DECIMAL128,
    lib.Type_DECIMAL256,
)
_KINDS: Final = {
    lib.Type_NA: Kind.NOTHING,
    lib.Type_BOOL: Kind.BOOLEAN,
    **dict.fromkeys((lib.Type_INT8, lib.Type_INT16, lib.Type_INT32, lib.Type_INT64), Kind.INTEGER),
    **dict.fromkeys(
        (lib.Type_UINT8, lib.Type_UINT16, lib.Type_UINT32, lib.Type_UINT64), Kind.INTEGER
    ),
    **dict.fromkeys((lib.Type_HALF_FLOAT, lib.Type_FLOAT, lib.Type_DOUBLE), Kind.REAL),
    **dict.fromkeys(_DECIMALS, Kind.REAL),
    **dict.fromkeys((lib.Type_STRING, lib.Type_LARGE_STRING), Kind.TEXT),
    lib.Type_TIMESTAMP: Kind.TIME,
    lib.Type_STRUCT: Kind.STRUCT,
    lib.Type_MAP: Kind.MAP,
}
_DTYPES: Final[dict[int, type[np.generic]]] = {
    lib.Type_INT8: np.int8,
    lib.Type_INT16: np.int16,
    lib.Type_INT32: np.int32,
    lib.Type_INT64: np.int64,
    lib.Type_UINT8: np.uint8,
    lib.Type_UINT16: np.uint16,
    lib.Type_UINT32: np.uint32,
    lib.Type_UINT64: np.uint64,
    lib.Type_FLOAT: np.float32,
    lib.Type_DOUBLE: np.float64,
}
_NESTED: Final = frozenset({Kind.STRUCT, Kind.MAP})


def kind_of(type_: Any) -> Kind:
    """Return what the values of an Arrow type are; a dictionary's are those that it encodes."""
    if type_.id == lib.Type_DICTIONARY:
        kind = _KINDS.get(type_.value_type.id, Kind.OTHER)
        return Kind.OTHER if kind in _NESTED else kind
    return _KINDS.get(type_.id, Kind.OTHER)


def plain(array: Any) -> Any:
    """Return a column as a numpy array `(n,)`, as its own `to_numpy` would.

    Arrow's way imports pandas where that is installed, and so do its scalars, which holds the first
    message up for seconds; numbers without nulls, the usual case, are their buffer.
    """
    if array.null_count:
        return array.to_numpy(zero_copy_only=False)
    return _raw(array)


def filled(array: Any, value: float) -> Any:
    """Return a column of numbers or booleans `(n,)` with a value in place of nulls."""
    found = _raw(array)
    if array.null_count:
        found = np.where(_raw(array.is_valid()), found, np.array(value, found.dtype))
    return found


def _raw(array: Any) -> Any:
    """Return a column's buffer, where nulls may be anything; unusual types as Arrow has them."""
    if array.type.id == lib.Type_BOOL:
        return _raw(array.cast(pa.uint8())).astype(np.bool_)
    dtype, data = _DTYPES.get(array.type.id), array.buffers()[-1]
    if dtype is None:
        return array.to_numpy(zero_copy_only=False)
    if data is None or not len(array):
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype, array.offset + len(array))[array.offset :]


class Cells:
    """One column of n cells; null is None."""

    def __init__(self, array: Any) -> None:
        self.kind = kind_of(array.type)
        if array.type.id == lib.Type_DICTIONARY:
            if self.kind is Kind.TEXT:
                array = _without_null_entries(array)
            elif self.kind is not Kind.OTHER:
                array = array.dictionary_decode()
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @cached_property
    def given(self) -> BoolArray:
        """Which cells are not null `(n,)`."""
        if not self.has_nulls:
            return np.ones(len(self), np.bool_)
        return np.asarray(plain(self._array.is_valid()), np.bool_)

    @property
    def has_nulls(self) -> bool:
        """Whether any cell is null."""
        return bool(self._array.null_count > 0)

    def floats(self) -> FloatArray:
        """Return integers or reals `(n,)`, NaN where null."""
        array = self._array
        if array.type.id in _DECIMALS:
            array = array.cast(pa.float64(), safe=False)
        if array.type.id in (lib.Type_FLOAT, lib.Type_DOUBLE):
            return np.asarray(filled(array, np.nan), np.float64)
        return np.asarray(plain(array), np.float64)

    def integers(self) -> tuple[IntArray, BoolArray]:
        """Return integers or the counts of timestamps `(n,)`, 0 where null; which fit 64 bits."""
        array = self._array
        if self.kind is Kind.TIME:
            array = array.cast(pa.int64())
        values = filled(array, 0)
        fits = np.ones(len(values), np.bool_)
        if values.dtype == np.uint64:
            fits = values <= np.iinfo(np.int64).max
        return values.astype(np.int64, copy=False), fits

    @property
    def time_unit(self) -> Any:
        """The unit of timestamps: s, ms, us or ns."""
        return self._array.type.unit

    def booleans(self) -> CodeArray:
        """Return 0 and 1 `(n,)` for booleans, `MISSING_CODE` where null."""
        codes = filled(self._array.cast(pa.int8()), MISSING_CODE)
        return np.asarray(codes, np.int32)

    def coded(self) -> tuple[CodeArray, list[Any]]:
        """Return codes `(n,)`, `MISSING_CODE` where null, and the distinct values they index.

        Of strings that come dictionary-encoded the codes are the column's own.
        """
        array = self._array
        if array.type.id != lib.Type_DICTIONARY:
            if self.kind is Kind.REAL:
                array = pa.array(self.floats(), mask=~self.given)
            array = array.dictionary_encode()
        codes = array.indices
        if codes.null_count:
            # Signed before it is filled: an unsigned index has no room for the code.
            codes = filled(codes.cast(pa.int32()), MISSING_CODE)
        else:
            codes = plain(codes).astype(np.int32, copy=False)
        entries = array.dictionary
        if len(entries) > _MANY_UNUSED * len(codes):
            used = np.unique(codes[codes >= 0])
            table = np.full(len(entries) + 1, MISSING_CODE, np.int32)
            table[used] = np.arange(len(used))
            codes, entries = table[codes], entries.take(pa.array(used))
        return codes, entries.to_pylist()

    def strings(self) -> list[Any]:
        """Return strings as a list, None where null."""
        array = self._array
        if array.type.id == lib.Type_DICTIONARY:
            codes, texts = self.coded()
            # The list refers to each text; it does not copy it.
            return list(np.array([*texts, None], object)[codes].tolist())
        return list(array.to_numpy(zero_copy_only=False).tolist())

    def are_sound(self, longest: int) -> BoolArray:
        """Say which strings `(n,)` are 1 to `longest` bytes without NUL."""
        array = self._array
        if array.type.id == lib.Type_DICTIONARY:
            codes, texts = self.coded()
            good = [0 < len(text.encode()) <= longest and "\0" not in text for text in texts]
            return np.array([*good, False], np.bool_)[codes]
        lengths = pc.binary_length(array)
        nul = pc.match_substring(array, "\0")
        sizes = filled(lengths, 0)
        good = (sizes > 0) & (sizes <= longest)
        return np.asarray(good & ~filled(nul, False), np.bool_)

    def values(self) -> list[Any]:
        """Return the values as Python has them, None where null."""
        return list(self._array.to_pylist())

    def fields(self) -> list[tuple[str, "Cells"]]:
        """Return the columns inside structs; null structs are null in each."""
        array = self._array
        names = [field.name for field in array.type]
        return [(name, Cells(child)) for name, child in zip(names, array.flatten(), strict=True)]

    def entries(self) -> tuple[IntArray, "Cells", "Cells"]:
        """Return the entries of all maps: their rows `(m,)`, keys and values."""
        array = self._array
        offsets = plain(array.offsets)
        first, last = int(offsets[0]), int(offsets[-1])
        rows = np.repeat(np.arange(len(array)), np.diff(offsets))
        keys = array.keys.slice(first, last - first)
        values = array.items.slice(first, last - first)
        # A null map may have entries in the buffers; they are nobody's.
        mine = self.given[rows]
        if not mine.all():
            keep = pa.array(mine)
            rows, keys, values = rows[mine], keys.filter(keep), values.filter(keep)
        return rows, Cells(keys), Cells(values)


def _without_null_entries(array: Any) -> Any:
    """Return the column with codes of null entries as nulls, and codes of equal texts as one."""
    if len(array.dictionary) <= _FEW:
        texts = array.dictionary.to_pylist()
        if None not in texts and len(set(texts)) == len(texts):
            return array
    recoded = array.dictionary.dictionary_encode()
    if len(recoded.dictionary) == len(array.dictionary):
        return array
    indices = recoded.indices.take(array.indices)
    return pa.DictionaryArray.from_arrays(indices, recoded.dictionary)
