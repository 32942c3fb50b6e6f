"""The flights with their labels through a broker and `streamgauge run`, against a recount."""

import contextlib
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from sklearn import metrics

from benchmarks.common import Row
from benchmarks.labels_recount import HOUR, Flights, configure
from streamgauge.io.embedded import EmbeddedBroker
from streamgauge.io.loopback import free_port
from tests.support.label_judge import rows_of
from tests.support.monitors import Monitor, wait_until
from tests.support.topics import create_topics, unique_name

PARTITIONS: Final = 4
DISORDER: Final = HOUR // 2
WINDOWS: Final = {"1d": (24 * HOUR, HOUR), "1w": (168 * HOUR, 3 * HOUR)}
"""Length and step."""
_TINY: Final = 2.0**-52


@dataclass(frozen=True)
class Compared:
    """How many numbers were compared, what was not the same, and how long reading took (s)."""

    numbers: int
    different: tuple[str, ...]
    seconds: float
    told: str
    """What the monitor said of itself: its status, how far its models were, and its log."""


def through_a_broker(found: Flights) -> list[Row]:
    """Return what was compared, as a row of the benchmark's table."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        compared = monitored(found, broker.bootstrap_servers, Path(folder), timeout=3_000.0)
    for text in compared.different[:10]:
        print("different:", text)
    return [
        {
            "compared": f"metrics after Kafka, {compared.seconds:.0f} s",
            "number": compared.numbers,
            "different": len(compared.different),
            "largest_bound": "-",
            "largest_error": "-",
        }
    ]


def monitored(found: Flights, bootstrap: str, folder: Path, timeout: float = 90.0) -> Compared:
    """Send all messages, let a monitor read them, and compare its metrics with a recount.

    Raises AssertionError where the monitor ends or is not done in `timeout` seconds.
    """
    app = unique_name("flights")
    topics = {0: f"{app}.predictions", 1: f"{app}.labels"}
    outputs = {"alerts": f"{app}.alerts", "dead": f"{app}.dead"}
    create_topics(bootstrap, dict.fromkeys(topics.values(), PARTITIONS))
    kept = [*outputs.values(), f"streamgauge.{app}.state"]
    create_topics(bootstrap, dict.fromkeys(kept, 1), {"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    for message in found.messages:
        producer.produce(topics[message.topic], message.value, message.key)
        producer.poll(0)
    assert producer.flush(60) == 0
    port = free_port()
    config = configure(
        folder,
        bootstrap=bootstrap,
        predictions=topics[0],
        labels=topics[1],
        **outputs,
        more=f"http: {{port: {port}}}\njoin_store: {{folder: {folder / app}}}",
    )
    config.write_text(config.read_text().replace("app: flights", f"app: {app}"))
    began = time.monotonic()
    with Monitor(config, port) as monitor:
        total = len(found.messages)
        wait_until(
            "everything is read",
            lambda: monitor.value("streamgauge_messages_consumed_total") == total,
            timeout,
        )
        seconds = time.monotonic() - began
        expected = recounted(found)
        seen: dict[str, float] = {}

        def settled() -> bool:
            seen.update(read(monitor.get("/metrics").decode()))
            return not differing(seen, expected)

        # A snapshot may be 10 s old before the next, and on a busy machine that takes a while too.
        # What is still different then is told by its name.
        with contextlib.suppress(AssertionError):
            wait_until("the metrics are those of the recount", settled, 30.0)
        told = [str(monitor.json("/api/v1/status")), str(monitor.json("/api/v1/models"))]
        assert monitor.stop() == 0, monitor.log.read_text()
    told.append(monitor.log.read_text())
    return Compared(len(expected), tuple(differing(seen, expected)), seconds, "\n".join(told))


def differing(seen: Mapping[str, float], expected: Mapping[str, float]) -> list[str]:
    """Tell which numbers are not what they should be."""
    return [
        f"{name}: {seen.get(name)}, not {value}"
        for name, value in expected.items()
        if not math.isclose(seen.get(name, math.nan), value, rel_tol=1e-9, abs_tol=1e-9)
    ]


def read(text: str) -> dict[str, float]:
    """Return the samples that a recount knows, by name and the labels that tell them apart."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {
                k: v for k, v in sample.labels.items() if k not in ("model", "exported_model")
            }
            found[_name(sample.name, **labels)] = sample.value
    return found


def _name(name: str, **labels: str) -> str:
    return f"{name}{sorted(labels.items())}"


def recounted(found: Flights) -> dict[str, float]:
    """Return what the monitor's samples must be, but for figures that depend on bins."""
    pairs = found.pairs.assign(label=found.pairs["corrected"].astype(np.int64))
    expected: dict[str, float] = {}
    for key, mine in rows_of(pairs, [()]):
        expected[_name("streamgauge_labels_joined_total", model_version=key.version)] = len(mine)
    closed = (int(found.predictions["time"].max()) - DISORDER) // HOUR * HOUR
    panes = pairs["since"] // HOUR * HOUR
    for window, (length, step) in WINDOWS.items():
        end = closed // step * step
        inside = pairs[(panes >= end - length) & (panes < end)]
        for key, mine in rows_of(inside, [()]):
            where = {"model_version": key.version, "window": window}
            expected[_name("streamgauge_performance_samples", **where)] = len(mine)
            for metric, value in figures(mine).items():
                expected[_name("streamgauge_performance", **where, metric=metric)] = value
    return expected


def figures(pairs: pd.DataFrame) -> dict[str, float]:
    """Return figures as scikit-learn has them."""
    y, predicted, score = (pairs[name] for name in ("label", "prediction", "score"))
    predicted = predicted.astype(np.int64)
    return {
        "accuracy": metrics.accuracy_score(y, predicted),
        "precision": metrics.precision_score(y, predicted),
        "recall": metrics.recall_score(y, predicted),
        "f1": metrics.f1_score(y, predicted),
        "brier": metrics.brier_score_loss(y, score),
        "log_loss": metrics.log_loss(y, score.clip(_TINY, 1 - _TINY)),
    }
