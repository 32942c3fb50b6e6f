"""The fields of an event that stand in columns of their own, checked over all rows at once.

A column that is None is absent: its field is absent in every row.
"""

from typing import Final

import numpy as np

from streamgauge.core.batch import (
    MISSING_CODE,
    BoolArray,
    Categories,
    FloatArray,
    IntArray,
)
from streamgauge.formats.arrow_cells import Cells, Kind
from streamgauge.formats.checks import MAX_ID_BYTES, OK
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import MAX_STATUS_LENGTH
from streamgauge.formats.frames import times_of_numbers
from streamgauge.formats.messages import DeadLetterReason, Rejected

NUMBERS: Final = frozenset({Kind.INTEGER, Kind.REAL})
_NUL: Final = "holds a NUL character"


class Verdicts:
    """The first problem of each of n rows, in the order in which problems are looked for."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._problem = np.full(rows, -1, np.int32)
        self._problems: list[tuple[DeadLetterReason, str, str]] = []

    @property
    def accepted(self) -> BoolArray:
        """The rows without a problem `(n,)`."""
        return self._problem < 0

    def refuse(
        self,
        rows: BoolArray,
        field: str,
        detail: str,
        reason: DeadLetterReason = DeadLetterReason.SCHEMA,
    ) -> None:
        """Refuse the rows `(n,)` that are not refused yet."""
        if rows.any():
            self._problem[rows & self.accepted] = len(self._problems)
            self._problems.append((reason, field, detail))

    def refuse_all(self, field: str, detail: str) -> None:
        """Refuse every row that is not refused yet."""
        self.refuse(np.ones(self.rows, np.bool_), field, detail)

    def rejected(self, rows: IntArray) -> list[Rejected]:
        """The dead letters; `rows (n,)` are their places in the message."""
        if not self._problems:
            return []
        refused = np.flatnonzero(~self.accepted)
        problems = [self._problems[problem] for problem in self._problem[refused].tolist()]
        return [
            Rejected(row, *problem)
            for row, problem in zip(rows[refused].tolist(), problems, strict=True)
        ]


def check_ids(cells: Cells | None, verdicts: Verdicts) -> None:
    """Refuse the rows without a sound prediction id."""
    field = "prediction_id"
    if cells is None:
        verdicts.refuse_all(field, "required")
        return
    if cells.kind is not Kind.TEXT:
        verdicts.refuse_all(field, f"expected a string, got {cells.kind.value}")
        return
    verdicts.refuse(~cells.given, field, "expected a string, got null")
    good = cells.are_sound(MAX_ID_BYTES)
    verdicts.refuse(~good, field, f"expected 1 to {MAX_ID_BYTES} bytes and no NUL character")


def read_times(
    cells: Cells | None, verdicts: Verdicts, times: EventTime, broker_timestamp: IntArray
) -> IntArray:
    """Event times in milliseconds `(n,)`; `broker_timestamp (n,)` is -1 where there is none."""
    field = "timestamp"
    none = np.zeros(verdicts.rows, np.int64)
    if cells is None:
        verdicts.refuse_all(field, "required")
        return none
    verdicts.refuse(~cells.given, field, "expected a point in time, got null")
    if cells.kind is Kind.TEXT:
        codes, texts = cells.coded()
        parsed = times.milliseconds_many(texts) if texts else np.empty(0, np.int64)
        milliseconds = np.append(parsed, 0)[codes]
    elif cells.kind in (Kind.INTEGER, Kind.TIME):
        counts, fits = cells.integers()
        verdicts.refuse(~fits, field, "expected an integer of 64 bits")
        unit = cells.time_unit if cells.kind is Kind.TIME else times.unit
        milliseconds = times_of_numbers(counts, unit)
    else:
        detail = "expected an integer, a timestamp or an RFC 3339 string"
        verdicts.refuse_all(field, f"{detail}, got {cells.kind.value}")
        return none
    possible = times.possible_many(milliseconds, broker_timestamp)
    detail = "no RFC 3339 date-time, before 2000 or ahead of the broker's clock; is the unit right?"
    verdicts.refuse(~possible, field, detail, DeadLetterReason.TIMESTAMP)
    return milliseconds


def read_status(cells: Cells | None, verdicts: Verdicts) -> BoolArray:
    """Which rows are no errors `(n,)`; those without a status are none."""
    if cells is None:
        return np.ones(verdicts.rows, np.bool_)
    if cells.kind is not Kind.TEXT:
        _refuse_kind(cells, "status", "a string", verdicts)
        return ~cells.given
    codes, texts = cells.coded()
    good = [0 < len(text) <= MAX_STATUS_LENGTH and "\0" not in text for text in texts]
    detail = f"expected 1 to {MAX_STATUS_LENGTH} characters and no NUL"
    verdicts.refuse(~np.array([*good, True], np.bool_)[codes], "status", detail)
    return np.array([*(text == OK for text in texts), True], np.bool_)[codes]


def names_of(
    cells: Cells | None, field: str, verdicts: Verdicts, missing: str | None = None
) -> Categories:
    """Strings or integers as text; `missing` takes the place of nulls unless it is None."""
    codes = np.full(verdicts.rows, MISSING_CODE, np.int32)
    texts: list[str] = []
    if cells is not None and cells.kind is Kind.TEXT:
        codes, texts = cells.coded()
        refuse_nul(Categories(codes, tuple(texts)), field, verdicts)
    elif cells is not None and cells.kind is Kind.INTEGER:
        _, fits = cells.integers()
        verdicts.refuse(~fits, field, "expected an integer of 64 bits")
        codes, numbers = cells.coded()
        texts = list(map(str, numbers))
    elif cells is not None:
        _refuse_kind(cells, field, "a string or an integer", verdicts)
    if missing is not None and (cells is None or cells.has_nulls or codes.min(initial=0) < 0):
        if missing not in texts:
            texts.append(missing)
        codes = np.where(codes == MISSING_CODE, np.int32(texts.index(missing)), codes)
    return Categories(codes, tuple(texts))


def read_numbers(cells: Cells | None, field: str, verdicts: Verdicts) -> FloatArray:
    """Finite numbers `(n,)`, NaN where null."""
    if cells is None or cells.kind not in NUMBERS:
        if cells is not None:
            _refuse_kind(cells, field, "a number", verdicts)
        return np.full(verdicts.rows, np.nan)
    values = cells.floats()
    verdicts.refuse(~np.isfinite(values) & cells.given, field, "expected a finite number")
    return values


def read_latency(cells: Cells | None, verdicts: Verdicts) -> FloatArray:
    """Latencies in seconds `(n,)`, NaN where null."""
    milliseconds = read_numbers(cells, "latency_ms", verdicts)
    verdicts.refuse(milliseconds < 0, "latency_ms", "expected a number >= 0")
    return milliseconds / 1000.0


def refuse_nul(column: Categories, field: str, verdicts: Verdicts) -> None:
    """Refuse the rows whose text no store or label downstream takes."""
    if "\0" in "".join(column.values):
        nul = np.array([*("\0" in text for text in column.values), False], np.bool_)
        verdicts.refuse(nul[column.codes], field, _NUL)


def _refuse_kind(cells: Cells, field: str, expected: str, verdicts: Verdicts) -> None:
    verdicts.refuse(cells.given, field, f"expected {expected}, got {cells.kind.value}")
