"""Rows of Arrow batches as the JSON events that say the same: slow, for single rows and samples.

What JSON has no room for stands as something that is refused or of a wrong type where the Arrow
cell is too: a time that is not the event's, bytes, lists and other types as a list of one text.
Fields that no event has are left out.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from streamgauge.formats.arrow_cells import Cells, Kind
from streamgauge.formats.arrow_stream import ARROW_ERRORS, Frame, read_frame, refusal
from streamgauge.formats.event_types import KNOWN_FIELDS

_FIELDS: Final = frozenset({*KNOWN_FIELDS, "model"})
_PREFIX: Final = "features."
_ABSENT_IF_NULL: Final = frozenset({"score", "tags"})
"""A null in a struct of these is an absent entry, as the struct has no other way to say so."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NotFinite = Callable[[float], str | None]
"""What stands in the place of NaN and infinity."""


class JsonRow(NamedTuple):
    """An event in JSON and its key, None where the prediction id is no text."""

    key: bytes | None
    value: bytes


def rows_in_json(
    value: bytes, rows: Sequence[int], not_finite: NotFinite, *, max_bytes: int, max_rows: int
) -> list[JsonRow]:
    """Some rows of a message. Raises RejectedError if its columns cannot all be read."""
    frame = read_frame(value, _wanted, max_bytes=max_bytes, max_rows=max_rows)
    try:
        table = frame.columns.take(pa.array(rows, pa.int64()))
        return list(_rows(Frame(len(rows), table, ()), not_finite))
    except (*ARROW_ERRORS, ValueError, OverflowError, TypeError) as error:
        raise refusal(f"columns that cannot be read ({type(error).__name__})") from error


def _wanted(column: str) -> bool:
    return column in _FIELDS or column.startswith(_PREFIX)


def _rows(frame: Frame, not_finite: NotFinite) -> Iterable[JsonRow]:
    documents: list[dict[str, Any]] = [{} for _ in range(frame.rows)]
    flat: list[dict[str, Any]] = [{} for _ in range(frame.rows)]
    for name in frame.names:
        if name.startswith(_PREFIX):
            place, into = name[len(_PREFIX) :], flat
        elif name in _FIELDS:
            place, into = name, documents
        else:  # read because there was no other
            continue
        for row, cell in zip(into, _plain(frame.cells(name), name, not_finite), strict=True):
            row[place] = cell
    for document, features in zip(documents, flat, strict=True):
        nested = document.get("features")
        if features and (nested is None or isinstance(nested, dict)):
            document["features"] = features | (nested or {})
        prediction_id = document.get("prediction_id")
        key = prediction_id.encode() if isinstance(prediction_id, str) else None
        yield JsonRow(key, orjson.dumps(document))


def _plain(cells: Cells, field: str, not_finite: NotFinite) -> list[Any]:
    """The cells of a column as values that JSON has."""
    match cells.kind:
        case Kind.NOTHING | Kind.BOOLEAN | Kind.INTEGER | Kind.TEXT:
            return cells.values()
        case Kind.REAL:
            values, given = cells.floats(), cells.given
            found: list[Any] = values.tolist()
            for row in np.flatnonzero(~np.isfinite(values) | ~given).tolist():
                found[row] = not_finite(found[row]) if given[row] else None
            return found
        case Kind.TIME if field == "timestamp":
            counts, _ = cells.integers()
            given = cells.given.tolist()
            texts = (_time(count, cells.time_unit) for count in counts.tolist())
            return [text if known else None for text, known in zip(texts, given, strict=True)]
        case Kind.STRUCT:
            return _objects(cells, field, not_finite)
        case Kind.MAP:
            rows, keys, entries = cells.entries()
            objects: list[Any] = [{} if known else None for known in cells.given.tolist()]
            names, plain = _plain(keys, "", not_finite), _plain(entries, "", not_finite)
            for row, name, cell in zip(rows.tolist(), names, plain, strict=True):
                objects[row][name if isinstance(name, str) else str(name)] = cell
            return objects
        case _:
            return [None if cell is None else [str(cell)] for cell in cells.values()]


def _objects(cells: Cells, field: str, not_finite: NotFinite) -> list[Any]:
    objects: list[Any] = [{} if known else None for known in cells.given.tolist()]
    for name, column in cells.fields():
        for found, cell in zip(objects, _plain(column, "", not_finite), strict=True):
            if found is not None and (cell is not None or field not in _ABSENT_IF_NULL):
                found.setdefault(name, cell)
    return objects


def _time(count: int, unit: str) -> str:
    """An RFC 3339 string, floored to milliseconds; of times out of every bound what is none."""
    milliseconds = count * 1000 // _PER_SECOND[unit]
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{count} {unit}"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
