"""Features in Arrow columns: fields of a struct `features`, or columns `features.NAME`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import (
    MISSING_CODE,
    WRONG_TYPE_CODE,
    BoolArray,
    Categories,
    CodeArray,
    Fault,
    FloatArray,
    IntArray,
    ModelSchema,
    NumericFaults,
)
from streamgauge.formats.arrow_cells import Cells, Kind
from streamgauge.formats.arrow_fields import NUMBERS, Verdicts, refuse_nul
from streamgauge.formats.arrow_stream import Frame
from streamgauge.formats.event_types import feature_names

_PREFIX: Final = "features."


def is_feature(column: str, features: Collection[str]) -> bool:
    """Whether a column is one of the features, or of a feature without a name, which is refused."""
    return column.startswith(_PREFIX) and (column == _PREFIX or column[len(_PREFIX) :] in features)


@dataclass(frozen=True, slots=True)
class Features:
    """The features of n rows of one model, as in `EventBatch`, before rows are refused.

    `odd` are the features that have numeric faults: place, rows `(n,) bool`, fault.
    `unknown (n,) int64` counts each row's features that the schema does not name.
    """

    numeric: FloatArray
    categorical: tuple[Categories, ...]
    odd: tuple[tuple[int, BoolArray, Fault], ...]
    unknown: IntArray

    def faults(self, accepted: BoolArray) -> NumericFaults:
        """The numeric faults of the accepted rows, which are numbered anew."""
        if not self.odd:
            return NumericFaults.none()
        place = np.cumsum(accepted) - 1
        rows = [place[wrong & accepted] for _, wrong, _ in self.odd]
        sizes = list(map(len, rows))
        return NumericFaults(
            feature=np.repeat(np.array([i for i, _, _ in self.odd], np.int32), sizes),
            row=np.concatenate(rows).astype(np.int32),
            fault=np.repeat(np.array([fault for _, _, fault in self.odd], np.int32), sizes),
        )


def read_features(frame: Frame, schema: ModelSchema, verdicts: Verdicts, ok: BoolArray) -> Features:
    """The features of a schema; rows that are `ok` must have some."""
    n = frame.rows
    known = set(feature_names(schema))
    columns: dict[str, Cells] = {}
    unknown = np.zeros(n, np.int64)
    given = np.zeros(n, np.bool_)

    def add(name: str, cells: Cells, rows: BoolArray) -> None:
        if name == "":
            verdicts.refuse(rows, "features", "a feature has an empty name")
        elif name not in known:
            np.add(unknown, rows, out=unknown)
        elif name in columns:
            verdicts.refuse(rows, f"features.{name}", "two columns are of this feature")
        else:
            columns[name] = cells

    if "features" in frame.names:
        nested = frame.cells("features")
        if nested.kind is Kind.STRUCT:
            given |= nested.given
            for name, cells in nested.fields():
                add(name, cells, nested.given)
        else:
            detail = f"expected a struct, got {nested.kind.value}"
            verdicts.refuse(nested.given, "features", detail)
    # A feature that no schema names is one too.
    given |= any(column.startswith(_PREFIX) for column in frame.unread)
    for column in frame.names:
        if column.startswith(_PREFIX):
            given[:] = True
            add(column[len(_PREFIX) :], frame.cells(column), given)
    verdicts.refuse(ok & ~given, "features", "required unless the status is an error")
    numeric, odd = _numeric([columns.get(name) for name in schema.numeric], n)
    texts = [_texts(columns.get(name), name, verdicts) for name in schema.categorical]
    flags = [_flags(columns.get(name), n) for name in schema.boolean]
    return Features(numeric, (*texts, *flags), tuple(odd), unknown)


def _numeric(
    columns: list[Cells | None], n: int
) -> tuple[FloatArray, list[tuple[int, BoolArray, Fault]]]:
    numeric = np.empty((len(columns), n))
    odd: list[tuple[int, BoolArray, Fault]] = []
    for place, cells in enumerate(columns):
        if cells is None or cells.kind not in NUMBERS:
            numeric[place] = np.nan
            if cells is not None and cells.kind is not Kind.NOTHING:
                odd.append((place, cells.given, Fault.WRONG_TYPE))
            continue
        values = numeric[place] = cells.floats()
        finite = np.isfinite(values)
        if finite.all():
            continue
        no_numbers = ~finite & cells.given
        if no_numbers.any():
            numeric[place, no_numbers] = np.nan
            odd.append((place, no_numbers, Fault.NAN))
    return numeric, odd


def _texts(cells: Cells | None, name: str, verdicts: Verdicts) -> Categories:
    if cells is None or cells.kind is not Kind.TEXT:
        return Categories(_wrong(cells, verdicts.rows), ())
    codes, texts = cells.coded()
    column = Categories(codes, tuple(texts))
    refuse_nul(column, f"features.{name}", verdicts)
    return column


def _flags(cells: Cells | None, n: int) -> Categories:
    is_flag = cells is not None and cells.kind is Kind.BOOLEAN
    codes = cells.booleans() if cells is not None and is_flag else _wrong(cells, n)
    return Categories(codes, ("false", "true"))


def _wrong(cells: Cells | None, n: int) -> CodeArray:
    """The codes of a column that is absent or of a wrong type throughout."""
    given = np.zeros(n, np.bool_) if cells is None else cells.given
    return np.where(given, np.int32(WRONG_TYPE_CODE), np.int32(MISSING_CODE))
