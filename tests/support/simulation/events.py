"""Events of the simulation: what is sent, and what has to become of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from streamgauge.runner.plan import KnownModel, Plan, model_spec
from tests.support.flights import configured
from tests.support.label_streams import references
from tests.support.simulation.broker import EPOCH_MS

MODEL: Final = "approve"
T0: Final = EPOCH_MS // 3_600_000 * 3_600_000
PREDICTIONS, LABELS = "predictions", "labels"
ALERTS, LETTERS = "streamgauge.alerts", "streamgauge.dead-letters"
STATE: Final = "streamgauge.streamgauge.state"
APP: Final = "streamgauge"
PARTITIONS: Final = 2
TOPICS: Final = {PREDICTIONS: PARTITIONS, LABELS: PARTITIONS, ALERTS: 1, LETTERS: 1, STATE: 1}
INPUTS: Final = [(topic, p) for topic in (PREDICTIONS, LABELS) for p in range(PARTITIONS)]

FAILED: Final = 5
"""The kind of predictions that failed."""


class Fate(StrEnum):
    """What has to become of a message."""

    ACCEPTED = "accepted"
    DECODE = "decode"
    SCHEMA = "schema"
    UNKNOWN = "unknown model"
    TOMBSTONE = "tombstone"


REJECTED: Final = (Fate.DECODE, Fate.SCHEMA)


@dataclass(frozen=True)
class Sent:
    """One message, and its fate; `name` is the prediction's id."""

    topic: str
    name: str
    value: bytes | None
    fate: Fate = Fate.ACCEPTED
    joins: bool = True
    """Whether it waits for its other half, once it is accepted; what failed has none."""

    @property
    def partition(self) -> int:
        return crc32(self.name.encode()) % PARTITIONS


def prediction(name: str, time: int, kind: int) -> Sent:
    """A prediction; of some kinds there are many, others make alerts."""
    body = {
        "prediction_id": name,
        "timestamp": time,
        "model": MODEL,
        "model_version": "1",
        "features": {"x": kind / 2, "colour": ("red", "green", "mauve")[kind % 3]},
        "tags": {"region": "eu"},
        "status": "timeout" if kind == FAILED else "ok",
        "prediction": kind % 2,
        "score": (0.3, 0.7)[kind % 2],
    }
    return _sent(PREDICTIONS, body, joins=kind != FAILED)


def label(name: str, time: int, truth: int, version: int) -> Sent:
    """A label, or a correction where the version is higher than before."""
    body = {"prediction_id": name, "timestamp": time, "model": MODEL, "label": truth}
    return _sent(LABELS, {**body, "label_version": version})


def bad(topic: str, name: str, fate: Fate) -> Sent:
    """A message that is not counted."""
    values = {
        Fate.DECODE: b"{",
        Fate.SCHEMA: b"[]",
        Fate.UNKNOWN: json.dumps(
            {"prediction_id": name, "timestamp": T0, "model": "nobody's", "label": 1}
        ).encode(),
        Fate.TOMBSTONE: None,
    }
    return Sent(topic, name, values[fate], fate)


def _sent(topic: str, body: Mapping[str, Any], *, joins: bool = True) -> Sent:
    return Sent(topic, str(body["prediction_id"]), json.dumps(body).encode(), joins=joins)


@cache
def planned() -> Plan:
    """A plan of one small model with labels."""
    model = {
        "task": "binary",
        "reference": "any.json",
        "slices": ["colour"],
        "windows": ["10s", "20s"],
        "min_samples": 20,
        "labels": {"max_delay": "10m"},
    }
    config = configured(
        {MODEL: model},
        checkpoint_interval="1s",
        time={"idle_after": "5s"},
        events={"dead_letter_storm": {"min_events": 1_000_000, "ratio": 1.0}},
    )
    known = KnownModel(model_spec(config, MODEL), references()[MODEL], "ref")
    return Plan(config, (known,), (), Path("join"))
