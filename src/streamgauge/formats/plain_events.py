"""Plain JSON events into columns, by compiled code (plain_events.c): a short cut past the parser.

Without the library (see compiled.py) every message goes to the typed decoder, with the same result.
"""

import ctypes
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from itertools import pairwise
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses, arrays, beside, integers, reals
from streamgauge.core.batch import (
    MISSING_CODE,
    BoolArray,
    Categories,
    CodeArray,
    FloatArray,
    IntArray,
)
from streamgauge.core.concatenation import recoded
from streamgauge.core.joining.ids import PackedIds
from streamgauge.formats.event_time import EARLIEST_MS, EventTime
from streamgauge.formats.joined import PAD
from streamgauge.formats.plain_text import PlainText
from streamgauge.formats.plain_tokens import Dictionary, HandedDictionary, Tokens, power_of_two
from streamgauge.recycled import Recycled

LAYOUT: Final = 4
"""Of what is handed over; plain_events.c has the same number."""
WRONG_NUMBER: Final = np.uint64(0x7FF8000000000001)
"""The bits of what stands for a value that is no number: a NaN."""
_OBJECTS: Final = 4
_LEAST_POWER: Final = -342
_GREATEST_POWER: Final = 308
_MOST_FIELDS: Final = 2**15 - 1
_WHOLE: Final = 0


class Kind(IntEnum):
    """What a field may hold besides null."""

    OBJECT = 0
    """One of our objects, whose number is the field's column."""
    MODEL = 1
    IDENTITY = 2
    """The message's key."""
    TIME = 3
    STATUS = 4
    """"ok": events in error are left to the typed decoder."""
    NUMBER = 5
    BOOLEAN = 6
    TEXT = 7
    """A string."""
    NAME = 8
    """A string or an integer."""
    TAG = 9
    """A string, a number or a boolean."""
    SCALAR = 10
    """The same, of which nothing is kept."""
    UNKNOWN = 11
    """Anything, which is counted."""


class Field(NamedTuple):
    """A field of one of the objects of an event: 0 is the event itself.

    `column` counts among the numbers (NUMBER) or the codes (BOOLEAN, TEXT, NAME, TAG). One that is
    `required` must be there, and not null, wherever its object is. One that is `tolerant`, a
    NUMBER, TEXT or BOOLEAN, may hold a value of another type, which is a fault.
    """

    name: str
    kind: Kind
    home: int = _WHOLE
    column: int = 0
    required: bool = False
    tolerant: bool = False
    low: float = -inf
    high: float = inf


class _Field(ctypes.Structure):
    _fields_ = (
        *arrays("name"),
        *integers("length"),
        *reals("low high"),
        *integers("seen"),
        *arrays("next"),
        ("column", ctypes.c_int32),
        *((name, ctypes.c_uint8) for name in ("home", "kind", "flags")),
    )


class _Table(ctypes.Structure):
    _fields_ = (
        *integers("fields slots_mask"),
        *arrays("field slots model"),
        *integers("model_length time_factor time_divisor"),
        *arrays("powers"),
        *integers("expected"),
    )


class _Messages(ctypes.Structure):
    _fields_ = (
        *integers("count"),
        *arrays("rows text begins ends keys key_begins key_ends"),
        *integers("earliest"),
        *arrays("latest"),
    )


class _Columns(ctypes.Structure):
    _fields_ = (
        *integers("room"),
        *arrays("rows left times numbers codes"),
        *arrays("dictionaries"),
        *integers("looked_at taken unknown faults"),
    )


def library() -> ctypes.CDLL | None:
    """The compiled reader, None where it was not built or is of another version."""
    return beside(__file__, "plain_events", LAYOUT)


class PlainColumns(NamedTuple):
    """Events of one model as columns, and what is left.

    `rows (n,) int32` index the messages, ascending; `left (m,) int32` are all others that were
    given. `ids` are the events' ids, which are their messages' keys. `times (n,) int64` in ms,
    `numbers (k, n) float64`, NaN where there is none, and `codes (c, n) int32`, `MISSING_CODE`
    where there is none: of booleans 0 and 1, of others indices of their column's `tokens`, some of
    which may be of earlier polls. `unknown` counts unknown fields, `faults` values of a wrong type,
    for which there stands `WRONG_NUMBER` or `WRONG_TYPE_CODE`.
    """

    rows: CodeArray
    left: CodeArray
    ids: PackedIds
    times: IntArray
    numbers: FloatArray
    codes: npt.NDArray[np.int32]
    tokens: tuple[Tokens, ...]
    unknown: int
    faults: int

    def categories(self, column: int, missing_text: str | None = None) -> Categories:
        """A column as text; 1 and "1" are one value.

        The texts are the same tuple as in the poll before where there are no others.
        """
        codes, (_, texts, text_of) = self.codes[column], self.tokens[column]
        if text_of is not None:
            codes = recoded(codes, text_of)
        if missing_text is not None and (codes == MISSING_CODE).any():
            if missing_text not in texts:
                texts = (*texts, missing_text)
            codes = np.where(codes == MISSING_CODE, np.int32(texts.index(missing_text)), codes)
        return Categories(codes, texts)


class PlainReader:
    """Reads the events of one model that have these fields, of the types they should have.

    Tokens have the same codes from poll to poll.
    """

    def __init__(
        self, reader: ctypes.CDLL, model: str, fields: Sequence[Field], times: EventTime
    ) -> None:
        assert len(fields) <= _MOST_FIELDS
        assert all(field.home < _OBJECTS for field in fields)
        self._reader = reader
        self._recycled = Recycled()
        self._fills = False
        """Whether most of the last messages were taken: else most of an array has no pages."""
        self._numbers = _count(fields, Kind.NUMBER)
        self._codes = _count(fields, Kind.BOOLEAN, Kind.TEXT, Kind.NAME, Kind.TAG)
        slots = power_of_two(4 * len(fields))
        name = model.encode()
        multiplier, divisor = times.scale
        self._names = [_bytes(b'"%b":' % field.name.encode()) for field in fields]
        self._fields = (_Field * (len(fields) + _OBJECTS))(
            *(_handed(*each) for each in zip(fields, self._names, strict=True))
        )
        self._arrays: dict[str, Any] = {
            "slots": np.full(slots, -1, np.int16),
            "model": _bytes(name),
            "powers": powers_of_ten(),
        }
        self._table = _Table(
            fields=len(fields),
            slots_mask=slots - 1,
            field=ctypes.addressof(self._fields),
            model_length=len(name),
            time_factor=multiplier,
            time_divisor=divisor,
            **_pointers(self._arrays),
        )
        reader.streamgauge_prepare.restype = None
        reader.streamgauge_read.restype = None
        reader.streamgauge_prepare(ctypes.byref(self._table))
        self._handed = (HandedDictionary * self._codes)()
        self._dictionaries = [Dictionary(reader, handed) for handed in self._handed]

    def read(self, text: PlainText, rows: CodeArray) -> PlainColumns:
        """Read some of the messages, ascending."""
        room = len(rows)
        made: dict[str, Any] = {
            "rows": np.empty(room, np.int32),
            "left": np.empty(room, np.int32),
            "times": np.empty(room, np.int64),
            "numbers": self._empty((self._numbers, room)),
            "codes": np.empty((self._codes, room), np.int32),
        }
        given: dict[str, Any] = {
            "rows": rows,
            "text": text.values.text,
            "begins": text.values.begins,
            "ends": text.values.ends,
            "keys": text.keys.text,
            "key_begins": text.keys.begins,
            "key_ends": text.keys.ends,
            "latest": text.latest,
        }
        messages = _Messages(count=room, earliest=EARLIEST_MS, **_pointers(given))
        columns = _Columns(
            room=room, dictionaries=ctypes.addressof(self._handed), **_pointers(made)
        )
        for dictionary in self._dictionaries:
            dictionary.begin()
        while columns.looked_at < room:
            for dictionary in self._dictionaries:
                dictionary.make_room()
            self._reader.streamgauge_read(
                ctypes.byref(self._table),
                ctypes.byref(messages),
                ctypes.byref(columns),
                ctypes.c_int64(self._codes),
            )
        taken = columns.taken
        self._fills = 2 * taken >= room
        found = made["rows"][:taken]
        return PlainColumns(
            rows=found,
            left=made["left"][: room - taken],
            ids=PackedIds(text.keys.text, text.keys.begins[found], text.keys.ends[found]),
            times=made["times"][:taken],
            numbers=made["numbers"][:, :taken],
            codes=made["codes"][:, :taken],
            tokens=tuple(each.tokens(taken) for each in self._dictionaries),
            unknown=columns.unknown,
            faults=columns.faults,
        )

    def read_without(
        self, improper: BoolArray, found: PlainColumns, text: PlainText
    ) -> PlainColumns:
        """Read what was read last again, without improper events `(n,)`: nothing of them stays."""
        for dictionary in self._dictionaries:
            dictionary.take_back()
        left = np.union1d(found.left, found.rows[improper])
        return self.read(text, found.rows[~improper])._replace(left=left)

    def _empty(self, shape: tuple[int, int]) -> FloatArray:
        return self._recycled.empty(shape, np.float64) if self._fills else np.empty(shape)


@cache
def powers_of_ten() -> npt.NDArray[np.uint64]:
    """The 128 leading bits of each power of ten, high ones first: `(651, 2) uint64`.

    From 10^-342 to 10^308, each as an integer c with 2^127 <= c < 2^128, cut off; rounded up for
    exponents from -27 to -1, so that quotients that are whole come out whole (Lemire, Number
    parsing at a gigabyte per second, 2021, section 5).
    """
    rows = []
    for exponent in range(_LEAST_POWER, _GREATEST_POWER + 1):
        power = 5 ** abs(exponent)
        if exponent >= 0:
            shift = 128 - power.bit_length()
            bits = power << shift if shift >= 0 else power >> -shift
        else:
            bits = (1 << (127 + power.bit_length())) // power + (exponent >= -27)
        rows.append(divmod(bits, 1 << 64))
    return np.array(rows, np.uint64)


def _handed(field: Field, name: npt.NDArray[np.uint8]) -> _Field:
    """Return what a field is handed over as; `name` is padded."""
    return _Field(
        name=addresses(name)[0],
        length=len(name) - len(PAD),
        low=field.low,
        high=field.high,
        column=field.column,
        home=field.home,
        kind=field.kind,
        flags=field.required + 2 * field.tolerant,
    )


def _bytes(text: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text + PAD, np.uint8)


def _pointers(arrays: dict[str, Any]) -> dict[str, Any]:
    """The addresses of arrays, who must be kept for as long as these are used."""
    return {name: array.ctypes.data for name, array in arrays.items()}


def _count(fields: Sequence[Field], *kinds: Kind) -> int:
    columns = sorted(field.column for field in fields if field.kind in kinds)
    assert all(after - before == 1 for before, after in pairwise(columns)), "a column each"
    return len(columns)
