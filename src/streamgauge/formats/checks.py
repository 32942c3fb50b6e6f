"""The rules of events in plain Python: one message at a time, first problem first.

The order: the document; model; prediction id; key; timestamp. Then of a prediction: status;
version; tags; latency; features; prediction; score. Of a label: label; label version. An optional
field that is null is absent.

The typed decoder is only a short cut past these checks. Whatever it is not sure of comes here, and
what is written here decides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import orjson

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.event_types import INT64_MAX, INT64_MIN, MAX_STATUS_LENGTH
from streamgauge.formats.messages import ARROW_BEGINS, ARROW_TYPE, DeadLetterReason

MAX_ID_BYTES: Final = 1024
PROBABILITY_TOLERANCE: Final = 1e-3
"""How far from 1 the probabilities of a multiclass score may sum."""
OK: Final = "ok"

Scalar = int | float | bool | str


class RejectedError(ValueError):
    """A message that becomes a dead letter: reason, path of the field, what was expected."""

    def __init__(self, reason: DeadLetterReason, field: str, detail: str) -> None:
        super().__init__(f"{reason} {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of an event that do not depend on the model's schema, checked.

    `timestamp` is in milliseconds since the epoch, `latency` in seconds; `ok` is False for an
    error status.
    """

    prediction_id: str
    timestamp: int
    ok: bool
    version: str
    tags: Mapping[str, Scalar | None]
    latency: float | None


def parse_document(value: bytes) -> dict[str, Any]:
    """The JSON object in a message; strict (RFC 8259, no NaN, finite numbers, depth <= 1024)."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        detail = f"{error.msg[:80]} at character {error.pos}"
        if value.startswith(ARROW_BEGINS):
            wanted = f"content-type: {ARROW_TYPE.decode()}"
            detail = f"an Arrow IPC stream: only predictions may be, with the header {wanted}"
        raise RejectedError(DeadLetterReason.DECODE, "", detail) from error
    if not isinstance(document, dict):
        _refuse("", "an object", document)
    return document


def read_model(document: Mapping[str, Any]) -> str:
    """The name of the model an event is of."""
    model = _required(document, "model")
    if not isinstance(model, str):
        _refuse("model", "a string", model)
    return model


def read_identity(
    document: Mapping[str, Any], key: bytes | None, broker_timestamp: int, times: EventTime
) -> tuple[str, int]:
    """An event's prediction id, whose bytes must be the key, and its time in milliseconds."""
    prediction_id = _text(_required(document, "prediction_id"), "prediction_id")
    id_bytes = prediction_id.encode()
    if not 0 < len(id_bytes) <= MAX_ID_BYTES:
        _schema("prediction_id", f"expected 1 to {MAX_ID_BYTES} bytes, got {len(id_bytes)}")
    if not key:
        raise RejectedError(DeadLetterReason.KEY, "", "the message has no key")
    if key != id_bytes:
        raise RejectedError(DeadLetterReason.KEY, "", "the key is not the prediction id")
    timestamp = _read_timestamp(_required(document, "timestamp"), broker_timestamp, times)
    return prediction_id, timestamp


def read_envelope(
    document: Mapping[str, Any], key: bytes | None, broker_timestamp: int, times: EventTime
) -> Envelope:
    """The checked envelope of a prediction event."""
    prediction_id, timestamp = read_identity(document, key, broker_timestamp, times)
    status = document.get("status")
    if status is not None and not 0 < len(_text(status, "status")) <= MAX_STATUS_LENGTH:
        _schema("status", f"expected 1 to {MAX_STATUS_LENGTH} characters, got {len(status)}")
    version = document.get("model_version")
    version_text = "" if version is None else _name(version, "model_version")
    tags = document.get("tags")
    checked_tags = {} if tags is None else _read_tags(tags)
    latency = document.get("latency_ms")
    if latency is not None and _number(latency, "latency_ms") < 0:
        _schema("latency_ms", "expected a number >= 0")
    return Envelope(
        prediction_id=prediction_id,
        timestamp=timestamp,
        ok=status is None or status == OK,
        version=version_text,
        tags=checked_tags,
        latency=None if latency is None else latency / 1000,
    )


def read_features(document: Mapping[str, Any], ok: bool) -> Mapping[str, Any] | None:
    """The features object of an event, values unchecked; None where an error event lacks it."""
    features = document.get("features")
    if features is None:
        if ok:
            _schema("features", "required unless the status is an error")
        return None
    if not isinstance(features, dict):
        _refuse("features", "an object", features)
    if "" in features:
        _schema("features", "a feature has an empty name")
    return features


def read_values(
    features: Mapping[str, Any], schema: ModelSchema
) -> tuple[list[float | str | bool | None], list[int]]:
    """The features of a schema out of an event's, and which of them have a wrong type.

    In the order numeric, categorical, boolean; missing and wrong values are None.
    """
    values: list[float | str | bool | None] = []
    wrong: list[int] = []
    # `type() is` rather than isinstance: JSON has no subclasses, and a bool is no number here.
    for name in schema.numeric:
        value = features.get(name)
        if value is not None and type(value) is not float and type(value) is not int:
            wrong.append(len(values))
            value = None
        values.append(value)
    for name in schema.categorical:
        value = features.get(name)
        if type(value) is str:
            check_text(value, f"features.{name}")
        elif value is not None:
            wrong.append(len(values))
            value = None
        values.append(value)
    for name in schema.boolean:
        value = features.get(name)
        if value is not None and type(value) is not bool:
            wrong.append(len(values))
            value = None
        values.append(value)
    return values, wrong


def read_prediction(document: Mapping[str, Any], task: Task, ok: bool) -> str | float | None:
    """The predicted class as text or the predicted number; None where an error event lacks it."""
    prediction = document.get("prediction")
    if prediction is None:
        if ok:
            _schema("prediction", "required unless the status is an error")
        return None
    return _outcome(prediction, task, "prediction")


def read_score(
    document: Mapping[str, Any], task: Task, classes: tuple[str, ...]
) -> float | dict[str, float] | None:
    """The score: a probability, for a multiclass model class -> probability, or None."""
    score = document.get("score")
    if score is None:
        return None
    if task is not Task.MULTICLASS:
        return _probability(score)
    if not isinstance(score, dict):
        _refuse("score", "an object of class to probability", score)
    probabilities = {
        _text(name, "score"): _probability(probability) for name, probability in score.items()
    }
    if classes and set(probabilities) != set(classes):
        _schema("score", "the classes are not those of the model")
    if abs(math.fsum(probabilities.values()) - 1) > PROBABILITY_TOLERANCE:
        _schema("score", f"the probabilities do not sum to 1 within {PROBABILITY_TOLERANCE}")
    return probabilities


def read_label(document: Mapping[str, Any], task: Task) -> str | float:
    """The true class as text or the true number."""
    return _outcome(_required(document, "label"), task, "label")


def read_label_version(document: Mapping[str, Any]) -> int:
    """The version of a label; 0 where it has none."""
    version = document.get("label_version")
    if version is None:
        return 0
    if type(version) is not int:
        _refuse("label_version", "an integer", version)
    if not 0 <= version <= INT64_MAX:
        _schema("label_version", "expected an integer >= 0 of 64 bits")
    return version


def tag_text(value: Scalar | None) -> str | None:
    """A tag's value as the text that slices are named by; None stays missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check_text(value: str, field: str) -> str:
    """The string itself; refuses the one character that no store or label downstream takes."""
    if "\0" in value:
        _schema(field, "holds a NUL character")
    return value


def _read_timestamp(value: object, broker_timestamp: int, times: EventTime) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        _refuse("timestamp", "an integer or an RFC 3339 string", value)
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        _schema("timestamp", "expected an integer of 64 bits")
    milliseconds = times.milliseconds(value)
    if milliseconds is None:
        detail = "not an RFC 3339 date-time with an offset"
    elif not times.possible(milliseconds, broker_timestamp):
        detail = "before 2000 or ahead of the broker's clock; is the unit right?"
    else:
        return milliseconds
    raise RejectedError(DeadLetterReason.TIMESTAMP, "timestamp", detail)


def _read_tags(tags: object) -> dict[str, Scalar | None]:
    if not isinstance(tags, dict):
        _refuse("tags", "an object", tags)
    for name, value in tags.items():
        check_text(name, "tags")
        if isinstance(value, str):
            check_text(value, "tags")
        elif value is not None and not isinstance(value, int | float):
            _refuse("tags", "strings, numbers or booleans", value)
    return tags


def _required(document: Mapping[str, Any], field: str) -> Any:
    if field not in document:
        _schema(field, "required")
    return document[field]


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        _refuse(field, "a string", value)
    return check_text(value, field)


def _name(value: object, field: str) -> str:
    """A string or an integer as text; 1 and "1" name the same class and the same version."""
    if isinstance(value, str):
        return check_text(value, field)
    if type(value) is not int:
        _refuse(field, "a string or an integer", value)
    if not INT64_MIN <= value <= INT64_MAX:
        _schema(field, "expected an integer of 64 bits")
    return str(value)


def _outcome(value: object, task: Task, field: str) -> str | float:
    """What is predicted or was true: a class as text, or a number."""
    if task is Task.REGRESSION:
        return float(_number(value, field))
    return _name(value, field)


def _number(value: object, field: str) -> int | float:
    if type(value) is not float and type(value) is not int:
        _refuse(field, "a number", value)
    return value


def _probability(value: object) -> float:
    probability = float(_number(value, "score"))
    if not 0 <= probability <= 1:
        _schema("score", "expected a probability in [0, 1]")
    return probability


def _refuse(field: str, expected: str, value: object) -> NoReturn:
    _schema(field, f"expected {expected}, got {_json_type(value)}")


def _schema(field: str, detail: str) -> NoReturn:
    raise RejectedError(DeadLetterReason.SCHEMA, field, detail)


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
