"""Draws of Arrow streams of prediction events, and the JSON events that say the same."""

import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.messages import RawMessages
from tests.support.native_events import BINARY, T0, messages

SCHEMAS = (
    BINARY,
    ModelSchema(
        model="species",
        task=Task.MULTICLASS,
        numeric=("width",),
        tags=("region",),
        classes=("a", "b", "c"),
    ),
    ModelSchema(model="open", task=Task.MULTICLASS, categorical=("carrier", "größe")),
    ModelSchema(model="price", task=Task.REGRESSION, numeric=("distance", 'a"b')),
    ModelSchema(model="bare", task=Task.BINARY),
)
TEXTS = ["", "a", "b", "1", "ok", "UA", "\0", "\\u0000", "é", "😀", "x" * 65, "x" * 1025]
TEXT_TIMES = ["2025-11-24T16:00:00Z", "2025-11-24t17:00:00.1239+01:00", "2025-11-24T16:00:00"]
REALS = [0.0, 0.25, 0.5, 1.0, 1.5, -1.5, 1e300, 0.1]
# Every type of cell, with values; what a field makes of it is for the rules to say.
CELLS: list[tuple[Any, Sequence[Any]]] = [
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.int64(), [0, 1, -1, 7, 2**53 + 1, -(2**63), 2**63 - 1]),
    (pa.int8(), [0, 1, -1, 7]),
    (pa.uint64(), [0, 1, 2**63, 2**64 - 1]),
    (pa.float64(), REALS),
    (pa.float32(), [0.0, 0.25, 0.5, 1.0, 1.5]),
    (pa.bool_(), [False, True]),
    (pa.null(), [None]),
    (pa.list_(pa.int8()), [[], [1, 2]]),
    (pa.struct({"a": pa.float64(), "b": pa.float64()}), [{"a": 1.0, "b": 0.0}, {"a": 7.0}]),
]
SCORES = [
    {"a": 0.5, "b": 0.25, "c": 0.25},
    {"a": 0.2, "b": 0.3, "c": 0.501},
    {"a": 0.2, "b": 0.3, "c": 0.5011},
    {"a": 1.0, "b": 0.0},
    {"a": 2.0, "b": -1.0, "c": 0.0},
    {},
]
Column = tuple[Any, list[Any]]


@st.composite
def _cells(draw: st.DrawFn, n: int, kinds: Sequence[tuple[Any, Sequence[Any]]]) -> Column:
    kind, values = draw(st.sampled_from(kinds))
    one = st.one_of(st.none(), *[st.sampled_from(list(values))] * 3)
    return kind, draw(st.lists(one, min_size=n, max_size=n))


def _good(schema: ModelSchema, n: int) -> dict[str, Column]:
    columns: dict[str, Column] = {
        "prediction_id": (pa.string(), [f"p{row}" for row in range(n)]),
        "timestamp": (pa.int64(), [T0] * n),
        "model_version": (pa.string(), ["3"] * n),
        "prediction": (pa.string(), ["a"] * n),
        "status": (pa.string(), ["ok"] * n),
        "latency_ms": (pa.float64(), [12.5] * n),
    }
    if schema.task is Task.REGRESSION:
        columns["prediction"] = (pa.float64(), [1.5] * n)
    elif schema.task is Task.MULTICLASS:
        columns["score"] = (
            pa.struct(dict.fromkeys("abc", pa.float64())),
            [dict.fromkeys("abc", 1 / 3)] * n,
        )
    else:
        columns["score"] = (pa.float64(), [0.83] * n)
    return columns


_KINDS_OF: Mapping[str, list[tuple[Any, Sequence[Any]]]] = {
    "timestamp": [
        (pa.int64(), [T0, T0 + 301_000, T0 + 301_001, 0, -1, T0 * 1000, 946_684_800_000]),
        (pa.string(), TEXT_TIMES),
        *(
            (pa.timestamp(unit, "UTC"), [datetime(2025, 11, 24, 16, tzinfo=UTC)])
            for unit in ("s", "ms", "ns")
        ),
        (
            pa.timestamp("us"),
            [datetime(2025, 11, 24, 16, 0, 0, 1999, UTC), datetime(1999, 1, 1, tzinfo=UTC)],
        ),
    ],
    "status": [(pa.string(), ["ok", "timeout", "\0", ""])],
    "prediction": [(pa.string(), ["a", "b", "1", "\0"]), (pa.int32(), [1, 2]), *CELLS],
    "score": [
        (pa.struct(dict.fromkeys("abc", pa.float64())), SCORES),
        (pa.struct(dict.fromkeys("abcd", pa.float64())), SCORES),
        (pa.map_(pa.string(), pa.float64()), [list(score.items()) for score in SCORES]),
        (
            pa.map_(pa.string(), pa.float64()),
            [[("a", 2.0), ("a", 1.0)], [("a", None)], [("\0", 1.0)]],
        ),
    ],
    "tags": [
        (
            pa.struct({"region": pa.string(), "desk": kind, "q": pa.float64()}),
            [{"region": "eu", "desk": value, "q": 1.5} for value in values] + [{}],
        )
        for kind, values in CELLS
    ]
    + [
        (
            pa.map_(pa.string(), kind),
            [[("desk", value), ("q", value)] for value in values]
            + [[], [("\0", None)], [("desk", values[0]), ("desk", values[-1])]],
        )
        for kind, values in CELLS
    ],
}


@st.composite
def tables(draw: st.DrawFn) -> Any:
    """A table of prediction events of one or several models, with a few columns changed."""
    n = draw(st.integers(1, 8))
    schema = draw(st.sampled_from(SCHEMAS))
    models = draw(
        st.lists(st.sampled_from([None, "nobody", *(s.model for s in SCHEMAS)]), max_size=3)
    )
    names = [schema.model, *models]
    columns = _good(schema, n)
    columns["model"] = (pa.string(), [names[row % len(names)] for row in range(n)])
    features: dict[str, Column] = dict.fromkeys(schema.numeric, (pa.float64(), [1.5] * n))
    features |= dict.fromkeys(schema.categorical, (pa.string(), ["UA"] * n))
    features |= dict.fromkeys(schema.boolean, (pa.bool_(), [True] * n))
    feature_names = ["distance", "dep_delay", "carrier", "holiday", "width", "größe", 'a"b', "zz"]
    for name in draw(st.lists(st.sampled_from(feature_names), max_size=3)):
        features[name] = draw(_cells(n, CELLS))
    changed = st.sampled_from([*columns, "score", "tags", "trace", "größe", ""])
    for name in draw(st.lists(changed, max_size=3)):
        columns[name] = draw(_cells(n, draw(st.sampled_from([_KINDS_OF.get(name, CELLS), CELLS]))))
    for name in draw(st.lists(st.sampled_from(list(columns)), max_size=1)):
        del columns[name]
    arrays = {name: pa.array(values, kind) for name, (kind, values) in columns.items()}
    parts = {name: pa.array(values, kind) for name, (kind, values) in features.items()}
    if draw(st.booleans()):
        arrays |= {f"features.{name}": part for name, part in parts.items()}
    elif parts:
        null = draw(st.lists(st.sampled_from([False, False, True]), min_size=n, max_size=n))
        arrays["features"] = pa.StructArray.from_arrays(
            list(parts.values()), list(parts), mask=pa.array(null)
        )
    for name, array in arrays.items():
        if pa.types.is_string(array.type) and draw(st.booleans()):
            arrays[name] = array.dictionary_encode()
    order = draw(st.permutations(list(arrays)))
    return pa.table({name: arrays[name] for name in order})


def stream(table: Any, rows: int = 1000, compression: str | None = None) -> bytes:
    """The table as an IPC stream, in record batches of so many rows."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def as_json(table: Any, clock: int) -> RawMessages:
    """The same rows as JSON events, each under its own key."""
    maps = {field.name for field in table.schema if pa.types.is_map(field.type)}
    structs = {field.name for field in table.schema if pa.types.is_struct(field.type)}
    documents = []
    for row in table.to_pylist():
        for name in maps:
            row[name] = None if row[name] is None else dict(row[name])
        if "score" in structs and row["score"] is not None:
            row["score"] = {name: p for name, p in row["score"].items() if p is not None}
        documents.append(_document(row))
    values = [json.dumps(document, ensure_ascii=False).encode() for document in documents]
    keys = [_key(document.get("prediction_id")) for document in documents]
    return messages(list(values), keys, clock)


def _key(prediction_id: object) -> bytes:
    return prediction_id.encode() if isinstance(prediction_id, str) else b"p1"


def _document(row: dict[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in row.items() if name.startswith("features.")}
    document: dict[str, Any] = {name: row[name] for name in row.keys() - flat.keys()}
    if flat:
        document["features"] = {name.removeprefix("features."): flat[name] for name in flat}
    time = document.get("timestamp")
    if isinstance(time, datetime):
        document["timestamp"] = time.replace(tzinfo=None).isoformat() + "Z"
    return document
