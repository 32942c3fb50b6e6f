"""Prediction events of one model as an Arrow IPC stream; the one place that needs pyarrow."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamgauge.emit.events import Fields


def encode(rows: Sequence[Fields]) -> bytes | None:
    """Return prediction events of one model as a stream of one record batch.

    None where they have no common columns: a feature that is a number in one event and text in
    another. NaN and infinity become null, as in JSON.
    """
    try:
        table = _table(rows)
    except (pa.ArrowException, OverflowError, TypeError):
        return None
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _table(rows: Sequence[Fields]) -> Any:
    columns = {
        "prediction_id": pa.array([row["prediction_id"] for row in rows], pa.string()),
        "timestamp": pa.array([row["timestamp"] for row in rows], pa.int64()),
        "model": _column([row["model"] for row in rows]),
    }
    for name in ("model_version", "prediction", "latency_ms", "status"):
        values = [row.get(name) for row in rows]
        if any(value is not None for value in values):
            columns[name] = _column(values)
    for name in ("features", "tags", "score"):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, dict) for value in values):
            columns[name] = _struct(values)
        elif any(value is not None for value in values):
            columns[name] = _column(values)
    return pa.table(columns)


def _struct(values: Sequence[dict[str, Any] | None]) -> Any:
    """A struct of all names, in the order in which they are first seen."""
    names = list(dict.fromkeys(name for value in values if value is not None for name in value))
    if not names:
        raise TypeError("a struct without fields has no place in a stream")
    columns = [
        _column([None if value is None else value.get(name) for value in values]) for name in names
    ]
    absent = pa.array([value is None for value in values])
    return pa.StructArray.from_arrays(columns, names, mask=absent)


def _column(values: Sequence[Any]) -> Any:
    column = pa.array(values)
    if pa.types.is_string(column.type):
        return column.dictionary_encode()
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), column, None)
    return column
