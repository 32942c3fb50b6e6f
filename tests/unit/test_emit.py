"""What a service emits is what the decoders accept, and it never waits for anything."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.emit import Client
from streamgauge.emit.partitions import HASHES
from tests.support.emit_fakes import FakeProducer, read
from tests.support.native_events import BINARY, T0, WRONG_TYPE


@pytest.fixture
def producer() -> Iterator[FakeProducer]:
    """A stand-in that lets go of every thread in the end."""
    fake = FakeProducer()
    yield fake
    fake.back.set()


def client(producer: FakeProducer, **options: Any) -> Client:
    """A client of the stand-in."""
    return Client("broker:9092", make_producer=producer, **options)


def good(row: int, **changes: Any) -> dict[str, Any]:
    """Arguments of a prediction of `BINARY`."""
    arguments = {
        "prediction_id": f"p{row}",
        "model": "flight-delay",
        "features": {"distance": row + 0.5, "carrier": "UA", "holiday": row % 2 == 0},
        "prediction": row % 2,
        "score": 0.25,
        "model_version": 3,
        "tags": {"region": "eu"},
        "latency_ms": 12.5,
        "timestamp": T0 + row,
    }
    return arguments | changes


def test_arrow_and_json_say_the_same() -> None:
    rows = [
        *(good(row) for row in range(20)),
        good(20, features={"distance": float("nan"), "dep_delay": None}),
        good(21, status="timeout", features=None, prediction=None, score=None),
        good(22, features={"distance": np.float32(1.5), "holiday": np.bool_(True)}),
        good(23, prediction=np.int64(7), timestamp=datetime(2025, 11, 24, 16, tzinfo=UTC)),
        good(24, tags=None, latency_ms=None, model_version=None, score=float("nan")),
    ]
    found = {}
    for form in ("json", "arrow"):
        fake = FakeProducer()
        with client(fake, format=form) as emitted:
            assert all(emitted.prediction(**row) for row in rows)
        assert emitted.stats().delivered == len(rows)
        found[form] = read(BINARY, fake.sent, T0 + 100_000)
    assert found["json"] == found["arrow"]
    assert len(found["json"]) == len(rows)
    assert found["json"]["p3"].features == {"distance": 3.5, "carrier": "UA", "holiday": "false"}
    assert found["json"]["p3"].version == "3"
    assert not found["json"]["p21"].ok


def test_the_scores_of_several_classes_arrive_in_both_forms() -> None:
    schema = ModelSchema(model="species", task=Task.MULTICLASS, numeric=("width",))
    for form in ("json", "arrow"):
        fake = FakeProducer()
        with client(fake, format=form) as emitted:
            for row in range(3):
                arguments = good(row, model="species", features={"width": 1.0}, prediction="b")
                emitted.prediction(**arguments | {"score": {"a": 0.25, "b": 0.75}})
        found = read(schema, fake.sent, T0 + 1000)
        assert [event.score for event in found.values()] == [0.75] * 3


def test_rows_without_common_columns_are_sent_one_by_one() -> None:
    fake = FakeProducer()
    with client(fake, format="arrow") as emitted:
        for row in range(8):
            value: Any = "far" if row == 5 else 1.5
            emitted.prediction(**good(row, features={"distance": value}))
    assert emitted.stats().delivered == 8
    found = read(BINARY, fake.sent, T0 + 1000)
    assert found["p5"].features == {"distance": WRONG_TYPE}
    assert len(found) == 8


def test_every_batch_is_of_one_model_and_of_the_partition_of_its_ids(
    producer: FakeProducer,
) -> None:
    with client(producer, format="arrow", batch_rows=10) as emitted:
        for row in range(200):
            emitted.prediction(**good(row, model=("flight-delay", "other")[row % 2]))
    hash_of = HASHES["consistent_random"]
    arrow = [each for each in producer.sent if each.headers]
    assert {each.partition for each in arrow} == {0, 1, 2}
    for each in arrow:
        ids = read(BINARY, [each], T0 + 1000)
        assert len(ids) <= 10
        assert {hash_of(id_.encode()) % 3 for id_ in ids} <= {each.partition}
    assert emitted.stats().delivered == 200


def test_a_batch_larger_than_a_broker_takes_is_split(producer: FakeProducer) -> None:
    with client(producer, format="arrow", batch_seconds=60) as emitted:
        for row in range(300):
            features = {"carrier": f"{row:04d}" * 2_000, "distance": 1.0}
            emitted.prediction(**good(row, features=features))
    assert max(len(each.value) for each in producer.sent) < 1_000_000
    assert emitted.stats().delivered == 300


def test_labels_go_to_their_topic_as_json_under_the_same_key(producer: FakeProducer) -> None:
    with client(producer, format="arrow", labels_topic="truth") as emitted:
        emitted.label(prediction_id="p1", model="m", label=1, label_version=2, timestamp=T0)
    [sent] = producer.sent
    assert (sent.topic, sent.key) == ("truth", b"p1")
    expected = {
        "prediction_id": "p1",
        "timestamp": T0,
        "model": "m",
        "label": 1,
        "label_version": 2,
    }
    assert orjson.loads(sent.value) == expected


@pytest.mark.parametrize("form", ["json", "arrow"])
def test_while_the_broker_hangs_nothing_waits_and_a_full_queue_drops_and_counts(
    producer: FakeProducer, form: str
) -> None:
    producer.back.clear()
    emitted = client(producer, format=form, max_queue=100)
    # Were any call to wait for the stand-in, none of the others would come about.
    taken = [emitted.prediction(**good(row)) for row in range(250)]
    assert taken == [True] * 100 + [False] * 150
    stats = emitted.stats()
    assert (stats.events, stats.waiting, stats.dropped) == (250, 100, 150)
    assert "queue is full" in stats.problem
    assert not emitted.flush(0.05)
    producer.back.set()
    assert emitted.flush(10)
    assert emitted.stats().delivered == 100
    assert emitted.prediction(**good(1_000))
    assert emitted.close()


def test_what_has_not_arrived_at_the_close_has_failed(producer: FakeProducer) -> None:
    producer.back.clear()
    emitted = client(producer)
    emitted.prediction(**good(1))
    # The stand-in comes back only after the client has given up.
    assert not emitted.close(timeout=0.05)
    stats = emitted.stats()
    assert (stats.failed, stats.waiting) == (1, 0)
    assert not emitted.prediction(**good(2))
    assert emitted.stats().dropped == 1


def test_what_the_broker_refuses_has_failed_with_its_reason(producer: FakeProducer) -> None:
    producer.error = "not authorised"
    with client(producer) as emitted:
        emitted.prediction(**good(1))
    stats = emitted.stats()
    assert (stats.failed, stats.problem) == (1, "not authorised")


def test_a_full_kafka_client_is_waited_for_in_the_thread(producer: FakeProducer) -> None:
    producer.room = 2
    with client(producer) as emitted:
        assert all(emitted.prediction(**good(row)) for row in range(50))
    assert emitted.stats().delivered == 50


@pytest.mark.parametrize("bad", ["", "x" * 1025, "a\0b", "\ud800"])
def test_an_id_that_no_event_can_have_is_counted(producer: FakeProducer, bad: str) -> None:
    with client(producer) as emitted:
        assert not emitted.prediction(**good(1, prediction_id=bad))
    stats = emitted.stats()
    assert (stats.invalid, stats.events) == (1, 1)
    assert stats.problem


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_id": 7}, "prediction_id: expected a string, got int"),
        ({"model": None}, "model: expected a string, got None"),
        ({"features": [1.0]}, "features: expected a mapping, got list"),
        ({"features": {"distance": [1.0]}}, "features.distance: expected a string, a number"),
        ({"features": {1: 1.0}}, "features: expected strings for names"),
        ({"prediction": True}, "prediction: expected a class or a number, got bool"),
        ({"score": "high"}, "score: expected a number or a mapping"),
        ({"timestamp": 1.5}, "timestamp: expected integer milliseconds"),
        ({"timestamp": datetime(2025, 1, 1)}, "time zone"),  # noqa: DTZ001, the mistake itself
    ],
)
def test_arguments_of_a_wrong_type_raise_and_say_which(
    producer: FakeProducer, changes: dict[str, Any], message: str
) -> None:
    with client(producer) as emitted, pytest.raises(TypeError, match=message):
        emitted.prediction(**good(1, **changes))
    assert emitted.stats().events == 0


def test_settings_that_cannot_be_are_refused(producer: FakeProducer) -> None:
    for options, message in (
        ({"format": "avro"}, "format"),
        ({"max_queue": 0}, "max_queue"),
        ({"librdkafka": {"enable.idempotence": False}}, "enable.idempotence"),
        ({"format": "arrow", "librdkafka": {"partitioner": "random"}}, "partitioner"),
    ):
        with pytest.raises(ValueError, match=message):
            client(producer, **options)


def test_the_producer_is_idempotent_and_takes_more_settings(producer: FakeProducer) -> None:
    client(producer, librdkafka={"linger.ms": 5, "security.protocol": "SSL"}).close()
    assert producer.settings["enable.idempotence"] is True
    assert producer.settings["linger.ms"] == 5
    assert producer.settings["security.protocol"] == "SSL"


def test_in_a_fork_a_client_takes_nothing_and_counts(
    producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted = client(producer)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: -1)
        emitted._lock.acquire()  # as another thread of the parent may have left it
        assert not emitted.prediction(**good(1))
        assert emitted.stats().dropped == 1
        assert "fork" in emitted.stats().problem
        assert not emitted.flush(0)
        assert not emitted.close(0)
        emitted._lock.release()
    assert emitted.close()
