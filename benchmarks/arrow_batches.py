"""How fast Arrow batches of prediction events are decoded, against the same events in JSON.

Run with `python -m benchmarks.arrow_batches [--quick] [--json]`.
"""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.common import Row, arguments, best_seconds, report
from benchmarks.decode import SCHEMA, START_MS, make_messages
from streamgauge.formats.arrow_batches import decode_together
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.native import NativeDecoder


def make_table(n: int, *, coded: bool, flat: bool = False) -> Any:
    """`n` events like those of `benchmarks.decode`: 18 numeric and 2 categorical features."""
    rng = np.random.default_rng(7)
    rows = np.arange(n)

    def texts(values: list[str]) -> Any:
        array = pa.DictionaryArray.from_arrays(
            pa.array((rows % len(values)).astype(np.int32)), pa.array(values)
        )
        return array if coded else array.dictionary_decode()

    features = {name: pa.array(rng.normal(100, 30, n).round(2)) for name in SCHEMA.numeric}
    features |= {
        "carrier": texts(["UA", "AA", "DL", "B6"]),
        "origin": texts(["EWR", "JFK", "LGA"]),
    }
    columns = {
        "prediction_id": pa.array([f"p{row:08d}" for row in range(n)]),
        "timestamp": pa.array(START_MS + rows),
        "model": texts([SCHEMA.model]),
        "model_version": texts(["3"]),
        "prediction": pa.array(rows % 2),
        "score": pa.array(rng.random(n).round(3)),
        "tags": pa.StructArray.from_arrays([texts(["eu"])], ["region"]),
        "latency_ms": pa.array(np.full(n, 12.5)),
    }
    if flat:
        columns |= {f"features.{name}": array for name, array in features.items()}
    else:
        columns["features"] = pa.StructArray.from_arrays(list(features.values()), list(features))
    return pa.table(columns)


def to_bytes(table: Any, compression: str | None = None) -> bytes:
    """The table as one message."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def main() -> None:
    """Measure and print."""
    options = arguments("Decoding of Arrow batches")
    repeats = 5 if options.quick else 40
    total = 20_000
    messages = make_messages(total)
    json_decoder = NativeDecoder([SCHEMA])
    works: dict[str, Callable[[], object]] = {
        "JSON, a message each": partial(json_decoder.decode, messages)
    }
    sizes = {"JSON, a message each": sum(len(value or b"") for value in messages.values) / total}
    for rows in (200, 1_000, 5_000, 20_000):
        for name, coded, flat, compression in (
            ("dictionaries", True, False, None),
            ("plain strings", False, False, None),
            ("flat columns, dictionaries", True, True, None),
            ("dictionaries, zstd", True, False, "zstd"),
        ):
            if rows != 5_000 and (flat or compression):
                continue
            value = to_bytes(make_table(rows, coded=coded, flat=flat), compression)
            what = f"Arrow, {rows:,} rows, {name}"
            works[what] = partial(_decode, value, total // rows)
            sizes[what] = len(value) / rows
    seconds = best_seconds(works, repeats)
    table: list[Row] = [
        {
            "what": name,
            "rows per second": round(total / best),
            "nanoseconds per row": 1e9 * best / total,
            "bytes per row": sizes[name],
        }
        for name, best in seconds.items()
    ]
    report("Arrow batches: 20 features, decode alone", table, as_json=options.json)


def _decode(value: bytes, messages: int) -> None:
    for decoded in decode_together(
        [value] * messages,
        [SCHEMA],
        EventTime(),
        identified=None,
        partition=np.zeros(messages, np.int32),
        broker_timestamp=np.full(messages, -1),
    ):
        assert decoded.accepted == decoded.rows


if __name__ == "__main__":
    main()
