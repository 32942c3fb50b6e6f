"""Alerts about outcomes: what raises them when labels tell that a model has got worse."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.runner.learning import fit_layout
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import KnownModel, Plan, model_spec
from streamgauge.runner.stores import MemoryStores, Stores
from tests.support.flights import NOW, T0, configured
from tests.support.kept import difference
from tests.support.native_events import BINARY
from tests.support.restarts import Step, born, plain, reborn

MINUTE = 60_000
HOUR = 60 * MINUTE
PER_MINUTE = 60
MODEL = {
    "task": "binary",
    "reference": "flights.json",
    "slices": ["carrier"],
    "windows": ["1h"],
    "min_samples": 60,
    "tolerance": 0.02,
    "labels": {"max_delay": "30m", "coverage": 0.9},
}
PARTITIONS = [("predictions", 0), ("labels", 0)]
Truth = Callable[[np.random.Generator, float], int]


def honest(rng: np.random.Generator, score: float) -> int:
    """What happens as often as the score says."""
    return int(rng.random() < score)


def upside_down(rng: np.random.Generator, score: float) -> int:
    """The same inputs, another world."""
    return int(rng.random() < 1.0 - score)


def events(seed: int, minutes: int, begin: int) -> list[dict[str, Any]]:
    """Predictions of some minutes from `begin` minutes after T0, evenly spread."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(minutes * PER_MINUTE):
        score = float(rng.beta(2, 2))
        found.append(
            {
                "prediction_id": f"{seed}-{begin}-{i}",
                "timestamp": T0 + begin * MINUTE + i * MINUTE // PER_MINUTE,
                "model": "flight-delay",
                "features": {
                    "distance": float(rng.lognormal(7, 0.5)),
                    "dep_delay": float(rng.normal(10, 5)),
                    "carrier": str(rng.choice(["UA", "AA"])),
                    "holiday": bool(rng.random() < 0.1),
                },
                "prediction": int(score > 0.5),
                "score": score,
            }
        )
    return found


def labels(
    predictions: Sequence[dict[str, Any]], truth: Truth, delay: int, share: float = 1.0
) -> list[dict[str, Any]]:
    """Labels of a share of predictions, `delay` minutes later."""
    rng = np.random.default_rng(len(predictions))
    return [
        {
            "prediction_id": event["prediction_id"],
            "timestamp": event["timestamp"] + delay * MINUTE,
            "model": event["model"],
            "label": truth(rng, event["score"]),
        }
        for event in predictions
        if rng.random() < share
    ]


def messages(documents: Sequence[dict[str, Any]], partition: int) -> RawMessages:
    return RawMessages(
        [json.dumps(document).encode() for document in documents],
        [document["prediction_id"].encode() for document in documents],
        np.full(len(documents), partition, np.int32),
        np.zeros(len(documents), np.int64),
        np.full(len(documents), -1, np.int64),
    )


def known() -> Reference:
    past = events(1, 24 * 60, -3 * 24 * 60)
    decoded = NativeDecoder((BINARY,)).decode(messages(past, 0))
    layout = fit_layout(BINARY, [*decoded.batches])
    config = configured({"flight-delay": MODEL})
    builder = ReferenceBuilder(layout, model_spec(config, "flight-delay").slices)
    rng = np.random.default_rng(2)
    [batch] = decoded.batches
    truth = np.array([honest(rng, score) for score in batch.score.tolist()])
    names = replace(batch.version, codes=truth.astype(np.int32), values=("0", "1"))
    builder.add(replace(batch, label=names, label_time=batch.timestamp + 5 * MINUTE))
    return builder.finish()


REFERENCE = known()


def watched(
    stages: Sequence[tuple[int, Truth, float]], budget: str = "1 per day"
) -> tuple[Pipeline, list[AlertRecord]]:
    """Watch stages of (minutes, what comes true, share that is labelled); return the alerts."""
    pipeline = monitor(MemoryStores(), budget)
    pipeline.assign(PARTITIONS, NOW)
    alerts: list[AlertRecord] = []
    for partition, raw in polls(stages):
        alerts += pipeline.process(raw, frozenset({partition}), NOW).alerts
    return pipeline, alerts


def monitor(stores: Stores, budget: str = "1 per day") -> Pipeline:
    config = configured({"flight-delay": MODEL}, alerts={"budget": budget})
    spec = model_spec(config, "flight-delay")
    return Pipeline(Plan(config, (KnownModel(spec, REFERENCE, "ref"),), ()), stores)


def polls(stages: Sequence[tuple[int, Truth, float]]) -> list[tuple[int, RawMessages]]:
    """The messages of stages in polls, each of one partition."""
    documents: list[tuple[int, int, dict[str, Any]]] = []
    begin = 0
    for number, (minutes, truth, share) in enumerate(stages):
        made = events(10 + number, minutes, begin)
        documents += [(event["timestamp"], 0, event) for event in made]
        documents += [(event["timestamp"], 1, event) for event in labels(made, truth, 5, share)]
        begin += minutes
    documents.sort(key=lambda entry: entry[0])
    found = []
    for at in range(0, len(documents), 500):
        part = documents[at : at + 500]
        for partition in (0, 1):
            mine = [document for _, p, document in part if p == partition]
            found.append((partition, messages(mine, partition)))
    return found


def fired(alerts: Sequence[AlertRecord]) -> dict[str, AlertRecord]:
    found: dict[str, AlertRecord] = {}
    for record in alerts:
        if record.status is AlertStatus.FIRING:
            found.setdefault(record.subject.name, record)
    return found


def test_a_model_that_is_as_good_as_it_was_raises_nothing() -> None:
    pipeline, alerts = watched([(8 * 60, honest, 1.0)])
    assert not alerts
    outcomes = pipeline.engines["flight-delay"].outcomes
    assert outcomes is not None
    counts = outcomes.counts()
    # Labels of the last five minutes lie ahead of the last prediction, and are read all the same.
    assert counts.joined == counts.predictions == 8 * 60 * PER_MINUTE


def test_another_world_behind_the_same_scores_is_found_by_its_errors_alone() -> None:
    _, alerts = watched([(4 * 60, honest, 1.0), (60, upside_down, 1.0)])
    found = fired(alerts)
    assert {"error_rate", "estimate_gap", "log_loss"} <= set(found)
    begin = T0 + 4 * HOUR
    for name in ("error_rate", "estimate_gap"):
        record = found[name]
        assert record.slice == ()
        # By when labels come, five minutes after their predictions.
        assert record.starts_at - begin < 10 * MINUTE
        assert record.onset is not None
        assert abs(record.onset - begin) <= 10 * MINUTE
        assert record.effect.measure == "share"
        assert record.effect.lower > 0.1
    assert not {"distance", "dep_delay", "carrier", "score"} & set(found)


def test_labels_that_stop_raise_an_alert_once_they_are_overdue() -> None:
    _, alerts = watched([(3 * 60, honest, 1.0), (3 * 60, honest, 0.3)])
    found = fired(alerts)
    assert set(found) == {"label_coverage"}
    record = found["label_coverage"]
    overdue = T0 + 3 * HOUR + 30 * MINUTE
    assert 0 <= record.starts_at - overdue < 30 * MINUTE
    assert record.effect.value > 0.5


def test_alerts_about_outcomes_go_on_in_other_processes() -> None:
    stages = [(60, honest, 1.0), (90, upside_down, 0.4), (30, honest, 1.0)]
    steps = [Step(raw, frozenset({partition})) for partition, raw in polls(stages)]
    whole = born(monitor, PARTITIONS).take(steps)
    life = born(monitor, PARTITIONS)
    # After even numbers of polls: one of each partition.
    for begin, end in pairwise([0, 20, 34, 50, len(steps)]):
        data = life.checkpoint().data
        life = reborn(monitor, life, data)
        assert difference(data, life.checkpoint().data) == ""
        for partition in (0, 1) if begin else ():
            # Read to their ends, as the next poll would tell.
            life.pipeline.watermark.set_drained(partition, True)
        life.take(steps[begin:end])
    assert life.alerts == whole.alerts
    names = {alert.subject.name for alert in life.pipeline.engines["flight-delay"].book.active()}
    assert {"error_rate", "label_coverage"} & names
    snapshots = [plain(each.pipeline.snapshot(NOW)) for each in (life, whole)]
    assert difference(*snapshots) == ""
