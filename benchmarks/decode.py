"""How fast native events are decoded, against generic JSON parsers on the same bytes.

Prediction events unless a line says labels.

Run with `python -m benchmarks.decode [--quick] [--json]`.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import numpy as np
import orjson

from benchmarks.common import Row, arguments, best_seconds, report
from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.event_types import event_types
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.typed import TypedDecoder
from streamgauge.formats.typed_labels import TypedLabelDecoder

START_MS = 1_764_000_000_000
SCHEMA = ModelSchema(
    model="flight-delay",
    task=Task.BINARY,
    numeric=tuple(f"f{i}" for i in range(18)),
    categorical=("carrier", "origin"),
    tags=("region",),
)
Change = Callable[[int, dict[str, Any]], None]


def make_messages(n: int, change: Change | None = None) -> RawMessages:
    """`n` events of 18 numeric and 2 categorical features, about 400 bytes each."""
    rng = np.random.default_rng(7)
    numbers = rng.normal(100, 30, (n, 18)).round(2)
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    for i, row in enumerate(numbers.tolist()):
        features: dict[str, Any] = dict(zip(SCHEMA.numeric, row, strict=True))
        features |= {
            "carrier": ("UA", "AA", "DL", "B6")[i % 4],
            "origin": ("EWR", "JFK", "LGA")[i % 3],
        }
        event = {
            "prediction_id": f"p{i:08d}",
            "timestamp": START_MS + i,
            "model": SCHEMA.model,
            "model_version": "3",
            "features": features,
            "prediction": i % 2,
            "score": round(float(rng.random()), 3),
            "tags": {"region": "eu"},
            "latency_ms": 12.5,
        }
        keys.append(f"p{i:08d}".encode())
        if change is not None:
            change(i, event)
        values.append(json.dumps(event, separators=(",", ":")).encode())
    return _poll(values, keys)


def make_labels(n: int, change: Change | None = None) -> RawMessages:
    """`n` label events of a binary model, about 110 bytes each."""
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    for i in range(n):
        event = {
            "prediction_id": f"p{i:08d}",
            "timestamp": START_MS + i,
            "model": SCHEMA.model,
            "label": i % 2,
            "label_version": 1,
        }
        keys.append(f"p{i:08d}".encode())
        if change is not None:
            change(i, event)
        values.append(json.dumps(event, separators=(",", ":")).encode())
    return _poll(values, keys)


def _poll(values: list[bytes | None], keys: list[bytes | None]) -> RawMessages:
    n = len(values)
    return RawMessages(
        values=values,
        keys=keys,
        partition=np.zeros(n, np.int32),
        offset=np.arange(n, dtype=np.int64),
        broker_timestamp=START_MS + np.arange(n, dtype=np.int64),
    )


def _missing(_: int, event: dict[str, Any]) -> None:
    for name in SCHEMA.numeric[:4]:
        event["features"][name] = None


def _unknown(_: int, event: dict[str, Any]) -> None:
    event["trace_id"] = "4bf92f3577b34da6a3ce929d0e0e4736"


def _one_percent_bad(i: int, event: dict[str, Any]) -> None:
    if i % 100 == 0:
        event["score"] = 1.5


def _wrong_type(_: int, event: dict[str, Any]) -> None:
    event["features"]["f3"] = str(event["features"]["f3"])


def _rfc3339(_: int, event: dict[str, Any]) -> None:
    event["timestamp"] = "2025-11-24T16:00:00.125Z"


def _other_model(_: int, event: dict[str, Any]) -> None:
    event["model"] = "another"


STREAMS: Mapping[str, Change | None] = {
    "clean": None,
    "a fifth of the numbers null": _missing,
    "RFC 3339 timestamps": _rfc3339,
    "an unknown field in each event": _unknown,
    "1 % dead letters": _one_percent_bad,
    "a wrong type in each event": _wrong_type,
    "a model that is not watched": _other_model,
}


def _one_percent_bad_labels(i: int, event: dict[str, Any]) -> None:
    if i % 100 == 0:
        event["label"] = None


LABEL_STREAMS: Mapping[str, Change | None] = {
    "clean": None,
    "RFC 3339 timestamps": _rfc3339,
    "an unknown field in each event": _unknown,
    "1 % dead letters": _one_percent_bad_labels,
}


def main() -> None:
    """Measure and print."""
    options = arguments("Decoding of native events")
    n, repeats = 10_000, 5 if options.quick else 40
    clean = make_messages(n)
    values = [value for value in clean.values if value is not None]
    generic = msgspec.json.Decoder().decode
    typed = msgspec.json.Decoder(event_types(SCHEMA).event).decode
    works: dict[str, Callable[[], object]] = {
        "orjson to dicts": lambda: [orjson.loads(value) for value in values],
        "msgspec to dicts": lambda: [generic(value) for value in values],
        "msgspec to the decoder's structs": lambda: [typed(value) for value in values],
    }
    for name, change in STREAMS.items():
        messages = make_messages(n, change)
        decoder = NativeDecoder([SCHEMA])
        decoder.decode(messages)  # learns what the stream keeps bringing
        works[f"batch: {name}"] = partial(decoder.decode, messages)
        typed_decoder = TypedDecoder([SCHEMA])
        typed_decoder.decode(messages)
        works[f"batch without compiled code: {name}"] = partial(typed_decoder.decode, messages)
    for name, change in LABEL_STREAMS.items():
        messages = make_labels(n, change)
        labels = LabelDecoder([SCHEMA])
        labels.decode(messages)
        works[f"labels: {name}"] = partial(labels.decode, messages)
        typed_labels = TypedLabelDecoder([SCHEMA])
        typed_labels.decode(messages)
        works[f"labels without compiled code: {name}"] = partial(typed_labels.decode, messages)
    seconds = best_seconds(works, repeats)
    rows: list[Row] = [
        {
            "what": name,
            "events per second": round(n / best),
            "microseconds per event": 1e6 * best / n,
        }
        for name, best in seconds.items()
    ]
    size = sum(map(len, values)) / n
    report(f"decode, {size:.0f} bytes a prediction, polls of {n:,}", rows, as_json=options.json)


if __name__ == "__main__":
    main()
