from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streamgauge.formats.event_schema import event_schema, label_schema, prediction_schema

PREDICTIONS = Draft202012Validator(prediction_schema())
LABELS = Draft202012Validator(label_schema())
EVENTS = Draft202012Validator(event_schema())

PREDICTION: dict[str, Any] = {
    "prediction_id": "p1",
    "timestamp": 1764000000000,
    "model": "flight-delay",
    "model_version": "3",
    "features": {"distance": 1400.0, "carrier": "UA"},
    "prediction": 1,
    "score": 0.83,
    "tags": {"region": "eu"},
    "latency_ms": 12.5,
    "status": "ok",
}
LABEL: dict[str, Any] = {
    "prediction_id": "p1",
    "timestamp": 1764003600000,
    "model": "flight-delay",
    "label": 1,
    "label_version": 1,
}


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def test_the_schemas_are_valid_themselves() -> None:
    for schema in (prediction_schema(), label_schema(), event_schema()):
        Draft202012Validator.check_schema(schema)


def test_the_examples_of_the_contract_are_valid_and_stand_in_the_schemas() -> None:
    assert prediction_schema()["examples"] == [PREDICTION]
    assert label_schema()["examples"] == [LABEL]
    assert PREDICTIONS.is_valid(PREDICTION)
    assert LABELS.is_valid(LABEL)
    assert EVENTS.is_valid(PREDICTION)
    assert EVENTS.is_valid(LABEL)


def test_every_field_has_a_description() -> None:
    for schema in (prediction_schema(), label_schema()):
        assert all(field["description"] for field in schema["properties"].values())


@pytest.mark.parametrize(
    "event",
    [
        without(PREDICTION, "model_version", "score", "tags", "latency_ms", "status"),
        PREDICTION | {"prediction": "late", "score": {"late": 0.8, "on time": 0.2}},
        PREDICTION | {"prediction": 12.75},
        PREDICTION | {"timestamp": "2025-11-24T17:00:00.25+01:00"},
        PREDICTION | {"model_version": 3},
        PREDICTION | {"features": {"distance": None, "carrier": 7, "night": True}},
        PREDICTION | {"tags": {"region": "eu", "canary": True, "shard": 7, "desk": None}},
        PREDICTION | {"score": None, "tags": None, "latency_ms": None, "status": None},
        PREDICTION | {"a field of the future": [1, 2]},
        # An error may lack what a served event must have.
        without(PREDICTION, "features", "prediction") | {"status": "timeout"},
        PREDICTION | {"features": None, "prediction": None, "status": "timeout"},
    ],
)
def test_what_the_decoder_takes_is_valid(event: dict[str, Any]) -> None:
    assert PREDICTIONS.is_valid(event)


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        without(PREDICTION, "prediction_id"),
        without(PREDICTION, "timestamp"),
        without(PREDICTION, "model"),
        without(PREDICTION, "features"),
        without(PREDICTION, "prediction"),
        without(PREDICTION, "features", "status"),
        PREDICTION | {"features": None},
        PREDICTION | {"prediction": None},
        PREDICTION | {"prediction_id": ""},
        PREDICTION | {"prediction_id": "x" * 1025},
        PREDICTION | {"prediction_id": 7},
        PREDICTION | {"prediction_id": "a\0b"},
        PREDICTION | {"model": None},
        PREDICTION | {"prediction": True},
        PREDICTION | {"score": 1.1},
        PREDICTION | {"score": "0.5"},
        PREDICTION | {"score": {"late": -0.1}},
        PREDICTION | {"features": {"": 1}},
        PREDICTION | {"features": {"distance": [1]}},
        PREDICTION | {"tags": {"region": ["eu"]}},
        PREDICTION | {"latency_ms": -1},
        PREDICTION | {"latency_ms": "12"},
        PREDICTION | {"status": ""},
        PREDICTION | {"timestamp": -1},
        PREDICTION | {"timestamp": 1.5},
        PREDICTION | {"timestamp": "2025-11-24T17:00:00"},
        PREDICTION | {"timestamp": "2025-11-24"},
    ],
)
def test_what_becomes_a_dead_letter_is_not_valid(event: object) -> None:
    assert not PREDICTIONS.is_valid(event)


@pytest.mark.parametrize(
    "event",
    [
        without(LABEL, "label_version"),
        LABEL | {"label": "late"},
        LABEL | {"label": 12.75},
        LABEL | {"label_version": None},
    ],
)
def test_labels_are_classes_or_numbers_with_an_optional_version(event: dict[str, Any]) -> None:
    assert LABELS.is_valid(event)


@pytest.mark.parametrize(
    "event",
    [
        without(LABEL, "label"),
        without(LABEL, "model"),
        LABEL | {"label": None},
        LABEL | {"label": [1]},
        LABEL | {"label_version": "1"},
        LABEL | {"label_version": -1},
    ],
)
def test_a_label_without_a_value_is_not_valid(event: dict[str, Any]) -> None:
    assert not LABELS.is_valid(event)
