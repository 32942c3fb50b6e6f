"""Streams of predictions and labels of three models on two partitioned topics, and their runs.

Labels come before their predictions and long after them, twice, corrected by higher versions and
by lower ones that change nothing, too late, and without any prediction. Predictions come twice,
with and without scores and features, served and failed. Within a partition a message comes less
than the allowed disorder after later ones, and whole partitions are behind others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np

from streamgauge.core.batch import Task
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.formats.messages import RawMessages
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import KnownModel, Plan, model_spec
from streamgauge.runner.stores import Partition, Stores
from tests.support import labelled_batches as drawn
from tests.support.flights import configured

SECOND: Final = 1_000
T0: Final = 1_764_000_000_000 // 3_600_000 * 3_600_000
DISORDER_MS: Final = 10 * SECOND
MAX_DELAY_MS: Final = 60 * SECOND
MODELS: Final = {"approve": Task.BINARY, "sort": Task.MULTICLASS, "price": Task.REGRESSION}
PREDICTIONS, LABELS = "predictions", "labels"
SLICES: Final = (
    SliceSpec((Dimension("colour"),)),
    SliceSpec((Dimension("colour"), Dimension("region"))),
)
NOW: Final = 5_000.0
"""Processing time of the first poll in seconds."""


@dataclass(frozen=True, slots=True)
class Event:
    """A prediction or a label as it was sent; `arrival` is when the broker has it (ms)."""

    topic: str
    body: Mapping[str, Any]
    arrival: int
    partition: int = 0
    offset: int = 0

    @property
    def name(self) -> str:
        """The prediction's id."""
        return str(self.body["prediction_id"])


class Poll(NamedTuple):
    """What one poll brings, and the partitions that it read to their end."""

    messages: RawMessages
    drained: frozenset[int] = frozenset()


def draw(seed: int, n: int, seconds: int) -> list[Event]:
    """Draw about n predictions of every model, and their labels, in no order yet."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for model, task in MODELS.items():
        for number in range(n):
            events += _story(rng, model, task, f"{model}-{number}", T0, seconds * SECOND)
    return events


def _story(
    rng: np.random.Generator, model: str, task: Task, name: str, start: int, length: int
) -> Iterator[Event]:
    """Everything that is sent about one prediction."""
    time = start + int(rng.integers(length))

    def jitter() -> int:
        return int(rng.integers(DISORDER_MS))

    made = _prediction(rng, model, task, name, time)
    arrival = time + jitter()
    if rng.random() < 0.97:
        yield Event(PREDICTIONS, made, arrival)
        if rng.random() < 0.1:
            again = _prediction(rng, model, task, name, time)
            yield Event(PREDICTIONS, again, arrival + int(rng.integers(1, MAX_DELAY_MS // 2)))
    if rng.random() < 0.1:
        return
    delay = int(rng.exponential(15 * SECOND)) - 2 * SECOND
    if rng.random() < 0.1:
        delay = MAX_DELAY_MS + int(rng.choice([-1, 0, 1, 20 * SECOND]))
    version = None if rng.random() < 0.7 else int(rng.integers(3))
    at = time + delay
    label = _label(rng, model, task, name, at, version)
    yield Event(LABELS, label, at + jitter())
    while rng.random() < 0.25:
        if rng.random() < 0.4:
            yield Event(LABELS, label, at + jitter() + int(rng.integers(20 * SECOND)))
        at += int(rng.choice([0, 1, 100, 20 * SECOND]))
        version = int(rng.integers(4))
        label = _label(rng, model, task, name, at, version)
        yield Event(LABELS, label, at + jitter())


def _prediction(
    rng: np.random.Generator, model: str, task: Task, name: str, time: int
) -> dict[str, Any]:
    features: dict[str, Any] = {
        "x": round(float(rng.normal()), 3),
        "colour": str(rng.choice(["red", "green", "blue", "mauve"])),
    }
    for feature in [*features]:
        if rng.random() < 0.05:
            del features[feature]
    score = float(rng.choice([0.0, 1.0, 0.5, 1 / 3])) if rng.random() < 0.05 else rng.beta(2, 3)
    body: dict[str, Any] = {
        "prediction_id": name,
        "timestamp": time,
        "model": model,
        "model_version": str(rng.choice(["1", "2"], p=[0.8, 0.2])),
        "features": features,
        "tags": {"region": str(rng.choice(["eu", "us"]))} if rng.random() < 0.95 else {},
        "status": "ok",
    }
    if task is Task.BINARY:
        body["prediction"] = int(score > 0.4)
        body["score"] = float(score)
    elif task is Task.MULTICLASS:
        body["prediction"] = str(rng.choice(["a", "b", "c", "d"], p=[0.4, 0.3, 0.25, 0.05]))
        if body["prediction"] != "d":
            others = [c for c in "abc" if c != body["prediction"]]
            body["score"] = {body["prediction"]: float(score)} | dict.fromkeys(
                others, (1.0 - float(score)) / 2
            )
    else:
        body["prediction"] = round(float(50 + 5 * rng.normal()), 2)
    if rng.random() < 0.1:
        body.pop("score", None)
    if rng.random() < 0.04:
        for field in ("prediction", "features", "score"):
            body.pop(field, None)
        body["status"] = "timeout"
    return body


def _label(
    rng: np.random.Generator, model: str, task: Task, name: str, time: int, version: int | None
) -> dict[str, Any]:
    truth: Any = int(rng.random() < 0.4)
    if task is Task.MULTICLASS:
        truth = str(rng.choice(["a", "b", "c", "e"], p=[0.4, 0.3, 0.25, 0.05]))
    elif task is Task.REGRESSION:
        truth = 0.0 if rng.random() < 0.02 else round(float(50 + 5 * rng.normal()), 2)
    body = {"prediction_id": name, "timestamp": time, "model": model, "label": truth}
    return body if version is None else {**body, "label_version": version}


def arrived(events: Sequence[Event], partitions: int, seed: int) -> list[Event]:
    """Events in the order in which they come, with the partitions and offsets that they have."""
    rng = np.random.default_rng(seed)
    behind = {
        (topic, p): int(rng.integers(30 * SECOND))
        for topic in (PREDICTIONS, LABELS)
        for p in range(partitions)
    }
    placed = [replace(event, partition=crc32(event.name.encode()) % partitions) for event in events]
    placed.sort(key=lambda event: event.arrival + behind[event.topic, event.partition])
    ends: dict[Partition, int] = {}
    found = []
    for event in placed:
        place = event.topic, event.partition
        found.append(replace(event, offset=ends.get(place, 0)))
        ends[place] = found[-1].offset + 1
    return found


def numbered(partitions: int) -> list[Partition]:
    """All partitions, in the order of their numbers."""
    return [(topic, p) for topic in (PREDICTIONS, LABELS) for p in range(partitions)]


def raw(events: Sequence[Event], partitions: int) -> RawMessages:
    """Events as the messages of one poll."""
    places = {partition: i for i, partition in enumerate(numbered(partitions))}
    return RawMessages(
        values=[json.dumps(event.body).encode() for event in events],
        keys=[event.name.encode() for event in events],
        partition=np.array([places[e.topic, e.partition] for e in events], np.int32),
        offset=np.array([event.offset for event in events], np.int64),
        broker_timestamp=np.full(len(events), -1, np.int64),
    )


def polls(events: Sequence[Event], partitions: int, sizes: Sequence[int]) -> Iterator[RawMessages]:
    """Cut events into polls of these sizes, over and over."""
    begin, turn = 0, 0
    while begin < len(events):
        size = sizes[turn % len(sizes)]
        yield raw(events[begin : begin + size], partitions)
        begin, turn = begin + size, turn + 1


@cache
def references() -> Mapping[str, Reference]:
    """A reference with outcomes for every model."""
    found = {}
    for model, task in MODELS.items():
        builder = ReferenceBuilder(drawn.layout(task), SLICES[:1])
        builder.add(drawn.batch(drawn.draw(task, 3_000, 5, trouble=False), task))
        found[model] = builder.finish()
    return found


def planned(**more: Any) -> Plan:
    """A plan of the three models."""
    models = {
        name: {
            "task": task.value,
            "reference": "any.json",
            "slices": ["colour", ["colour", "region"]],
            "windows": ["1m", "2m"],
            "labels": {"max_delay": f"{MAX_DELAY_MS // SECOND}s"},
        }
        for name, task in MODELS.items()
    }
    config = configured(models, **more)
    return Plan(
        config,
        tuple(KnownModel(model_spec(config, name), references()[name], "ref") for name in models),
        (),
    )


def begun(partitions: int, stores: Stores | None = None) -> Pipeline:
    """A pipeline that reads all partitions."""
    pipeline = Pipeline(planned(), stores)
    pipeline.assign(numbered(partitions), NOW)
    return pipeline


def settle(pipeline: Pipeline, partitions: int) -> None:
    """Let all fall silent, until the last events' panes are closed."""
    everyone = frozenset(range(2 * partitions))
    pipeline.process(raw([], partitions), everyone, NOW + 1_000)
