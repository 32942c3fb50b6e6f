"""Native prediction events for tests, and a plain reading of what a decoder made of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.core.batch import (
    MISSING_CODE,
    WRONG_TYPE_CODE,
    Categories,
    EventBatch,
    Fault,
    ModelSchema,
    Task,
)
from streamgauge.formats.messages import Decoded, RawMessages

T0 = 1_764_000_000_000
WRONG_TYPE = "<wrong type>"

BINARY = ModelSchema(
    model="flight-delay",
    task=Task.BINARY,
    numeric=("distance", "dep_delay"),
    categorical=("carrier",),
    boolean=("holiday",),
    tags=("region", "desk"),
)


def event(**changes: Any) -> dict[str, Any]:
    """A good event of `BINARY`; changes replace its fields, `...` takes one away."""
    fields = {
        "prediction_id": "p1",
        "timestamp": T0,
        "model": "flight-delay",
        "model_version": "3",
        "features": {"distance": 1400.0, "dep_delay": 5, "carrier": "UA", "holiday": False},
        "prediction": 1,
        "score": 0.83,
        "tags": {"region": "eu"},
        "latency_ms": 12.5,
        "status": "ok",
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def with_features(**changes: Any) -> dict[str, Any]:
    """A good event of `BINARY` with some features replaced; `...` takes one away."""
    features = event()["features"] | changes
    return event(features={name: value for name, value in features.items() if value is not ...})


def messages(
    values: Sequence[bytes | Mapping[str, Any] | None],
    keys: Sequence[bytes | None] | None = None,
    broker_timestamp: int | Sequence[int] = T0 + 1000,
) -> RawMessages:
    """One poll; events are written as JSON, and the key is the prediction id unless given."""
    n = len(values)
    return RawMessages(
        values=[
            value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            for value in values
        ],
        keys=[_key(value) for value in values] if keys is None else keys,
        partition=np.arange(n, dtype=np.int32) % 3,
        offset=np.arange(n, dtype=np.int64) + 100,
        broker_timestamp=np.broadcast_to(np.asarray(broker_timestamp, np.int64), (n,)).copy(),
    )


def _key(value: bytes | Mapping[str, Any] | None) -> bytes:
    if isinstance(value, Mapping):
        prediction_id = value.get("prediction_id")
        if isinstance(prediction_id, str):
            return prediction_id.encode(errors="surrogatepass")
    return b"p1"


@dataclass(frozen=True)
class Event:
    """One event as plain values; features and tags that are missing are absent."""

    model: str
    prediction_id: str
    timestamp: int
    partition: int
    version: str
    ok: bool
    features: dict[str, float | str]
    tags: dict[str, str]
    prediction: str | float | None
    score: float | None
    latency: float | None


@dataclass(frozen=True)
class Refused:
    """One dead letter."""

    reason: str
    field: str


Outcome = Event | Refused | None
"""None for a tombstone or an event of a model that is not watched."""


def outcomes(decoded: Decoded, n: int) -> list[Outcome]:
    """What became of each of `n` messages; every index must occur once at most."""
    result: dict[int, Outcome] = {}
    for batch, rows, ids in zip(decoded.batches, decoded.rows, decoded.ids, strict=True):
        assert len(batch) == len(rows) == len(ids) > 0
        assert np.all(np.diff(rows) > 0)
        faults = read_faults(batch)
        for place, row in enumerate(rows.tolist()):
            assert row not in result
            result[row] = read_back(batch, place, ids[place], faults.get(place, {}))
    for rejected in decoded.rejected:
        assert rejected.index not in result
        result[rejected.index] = Refused(rejected.reason.value, rejected.field)
    assert len(result) + decoded.tombstones + decoded.unknown_models == n
    return [result.get(row) for row in range(n)]


def read_faults(batch: EventBatch) -> dict[int, dict[str, str]]:
    """The numeric features of a wrong type, by place in the batch."""
    result: dict[int, dict[str, str]] = {}
    faults = batch.faults
    for index, place, fault in zip(
        faults.feature.tolist(), faults.row.tolist(), faults.fault.tolist(), strict=True
    ):
        assert fault == Fault.WRONG_TYPE
        assert np.isnan(batch.numeric[index, place])
        name = batch.schema.numeric[index]
        assert name not in result.setdefault(place, {})
        result[place][name] = WRONG_TYPE
    return result


def read_back(
    batch: EventBatch, place: int, prediction_id: str, faults: Mapping[str, str]
) -> Event:
    """One event out of a batch's columns; `faults` are its numeric features of a wrong type."""
    schema = batch.schema
    features: dict[str, float | str] = dict(faults)
    for name, column in zip(schema.numeric, batch.numeric, strict=True):
        if not np.isnan(column[place]):
            features[name] = float(column[place])
    coded = zip(schema.categorical + schema.boolean, batch.categorical, strict=True)
    features |= {name: text for name, column in coded if (text := _text(column, place)) is not None}
    tags = zip(schema.tags, batch.tags, strict=True)
    prediction: str | float | None
    if isinstance(batch.prediction, Categories):
        prediction = _text(batch.prediction, place)
    else:
        prediction = _number(batch.prediction[place])
    version = _text(batch.version, place)
    assert version is not None
    return Event(
        model=schema.model,
        prediction_id=prediction_id,
        timestamp=int(batch.timestamp[place]),
        partition=int(batch.partition[place]),
        version=version,
        ok=bool(batch.ok[place]),
        features=features,
        tags={name: text for name, column in tags if (text := _text(column, place)) is not None},
        prediction=prediction,
        score=_number(batch.score[place]),
        latency=_number(batch.latency[place]),
    )


def _text(column: Categories, place: int) -> str | None:
    code = int(column.codes[place])
    if code == MISSING_CODE:
        return None
    return WRONG_TYPE if code == WRONG_TYPE_CODE else column.values[code]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
