"""Flights as the pipeline gets them: messages of several models on one partitioned topic."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from streamgauge.config import Config
from streamgauge.config.model import Learn
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.runner.learning import fit_layout
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import KnownModel, LearnedModel, Plan, model_spec
from tests.support.native_events import BINARY

SECOND = 1_000
T0 = 1_764_000_000_000 // 3_600_000 * 3_600_000
"""A full hour."""
NOW = 5_000.0
"""Processing time of the polls in seconds."""
MONTH = 30 * 86_400
"""Seconds of a reference that knows how its panes vary."""
DISORDER_MS = 10_000
MODEL = {
    "task": "binary",
    "reference": "flights.json",
    "slices": ["carrier", ["carrier", "region"]],
    "windows": ["1m", "2m"],
    "min_samples": 60,
    "tolerance": 0.02,
}


@dataclass(frozen=True)
class Sent:
    """One message as a producer sent it."""

    time: int
    partition_key: str
    value: bytes | None
    key: bytes | None


def flight(
    rng: np.random.Generator, time: int, *, model: str = "flight-delay", version: str = "3"
) -> dict[str, Any]:
    """One event, drawn: sometimes without a value, with one of a wrong type, or a failed one."""
    features: dict[str, Any] = {
        "distance": round(float(rng.lognormal(7, 0.5)), 1),
        "dep_delay": int(rng.integers(-10, 60)),
        "carrier": str(rng.choice(["UA", "AA", "DL", "HA"], p=[0.5, 0.3, 0.19, 0.01])),
        "holiday": bool(rng.random() < 0.1),
    }
    if rng.random() < 0.05:
        del features[str(rng.choice([*features]))]
    if rng.random() < 0.02:
        features["distance"] = "far"
    score = float(rng.beta(2, 5))
    event = {
        "prediction_id": f"p{rng.integers(2**62)}",
        "timestamp": time,
        "model": model,
        "model_version": version,
        "features": features,
        "prediction": int(score > 0.5),
        "score": round(score, 4),
        "tags": {"region": str(rng.choice(["eu", "us"]))},
        "latency_ms": round(float(rng.exponential(20)), 2),
        "status": "ok",
    }
    if rng.random() < 0.03:
        event = {
            name: event[name] for name in ("prediction_id", "timestamp", "model", "model_version")
        } | {"status": "timeout"}
    return event


def flights(
    rng: np.random.Generator, n: int, begin: float, end: float, **kind: str
) -> list[dict[str, Any]]:
    """Events between two seconds after T0, ascending in time."""
    times = np.sort(T0 + rng.integers(int(begin * SECOND), int(end * SECOND), n))
    return [flight(rng, int(time), **kind) for time in times]


def send(event: Mapping[str, Any]) -> Sent:
    """The message of an event, keyed as it should be."""
    name = str(event["prediction_id"])
    return Sent(int(event["timestamp"]), name, json.dumps(event).encode(), name.encode())


def arrived(
    sent: Iterable[Sent], partitions: int, rng: np.random.Generator
) -> list[tuple[int, Sent]]:
    """Messages with their partitions, in an order that the allowed disorder allows.

    Within a partition an event comes less than the disorder after later ones; whole partitions
    may be half a minute behind others.
    """
    behind = rng.integers(0, 30 * SECOND, partitions)
    placed = [(crc32(each.partition_key.encode()) % partitions, each) for each in sent]
    jitter = rng.integers(0, DISORDER_MS, len(placed))
    at = [each.time + int(j) + int(behind[p]) for (p, each), j in zip(placed, jitter, strict=True)]
    return [placed[i] for i in np.argsort(at, kind="stable").tolist()]


def polled(messages: Sequence[tuple[int, Sent]]) -> RawMessages:
    """One poll's messages."""
    return RawMessages(
        values=[sent.value for _, sent in messages],
        keys=[sent.key for _, sent in messages],
        partition=np.array([partition for partition, _ in messages], np.int32),
        offset=np.arange(len(messages), dtype=np.int64),
        broker_timestamp=np.array([sent.time for _, sent in messages], np.int64),
    )


def reference_of(events: Sequence[Mapping[str, Any]]) -> Reference:
    """The reference of events, with bins fitted to them."""
    schema = replace(BINARY, tags=("region",))
    decoded = NativeDecoder((schema,)).decode(polled([(0, send(event)) for event in events]))
    builder = ReferenceBuilder(fit_layout(schema, [*decoded.batches]), slices_of("flight-delay"))
    for batch in decoded.batches:
        builder.add(batch)
    return builder.finish()


def configured(models: Mapping[str, Mapping[str, Any]], **more: Any) -> Config:
    """A configuration of these models."""
    kafka = {"bootstrap_servers": "localhost:9092"}
    return Config.model_validate({"kafka": kafka, "models": models, **more})


def slices_of(name: str) -> Any:
    """The slices that `MODEL` names, as the core knows them."""
    return model_spec(configured({name: MODEL}), name).slices


def planned(
    reference: Reference,
    *,
    known: Sequence[str] = ("flight-delay",),
    learned: Mapping[str, str] | None = None,
    section: Mapping[str, Any] | None = None,
    **more: Any,
) -> Plan:
    """A plan of known models, all with the same reference, and of learned ones by learning time.

    `section` is what else all models' sections hold.
    """
    times = learned or {}
    model = MODEL | dict(section or {})
    config = configured(
        dict.fromkeys(known, model)
        | {name: model | {"reference": {"learn": time}} for name, time in times.items()},
        **more,
    )
    return Plan(
        config,
        tuple(KnownModel(model_spec(config, name), reference, "ref") for name in known),
        tuple(
            LearnedModel(model_spec(config, name), model, model.reference.learn)
            for name, model in config.models.items()
            if isinstance(model.reference, Learn)
        ),
    )


def run(
    pipeline: Pipeline, messages: Sequence[tuple[int, Sent]], partitions: int, sizes: Sequence[int]
) -> list[Any]:
    """Process all messages in polls of these sizes, then fall silent; return the alerts."""
    pipeline.assign([("predictions", i) for i in range(partitions)], NOW)
    alerts: list[Any] = []
    begin, turn = 0, 0
    while begin < len(messages):
        size = sizes[turn % len(sizes)]
        poll = polled(messages[begin : begin + size])
        alerts += pipeline.process(poll, frozenset(), NOW).alerts
        begin, turn = begin + size, turn + 1
    everyone = frozenset(range(partitions))
    alerts += pipeline.process(polled([]), everyone, NOW + 1_000).alerts
    return alerts
