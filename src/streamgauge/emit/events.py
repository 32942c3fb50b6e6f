"""Arguments of a service as the fields of an event; wrong types are the caller's error."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

MAX_ID_BYTES: Final = 1024
_PLAIN: Final[frozenset[Any]] = frozenset({str, int, float, bool, type(None)})
_NUMBER: Final[frozenset[Any]] = frozenset({int, float, type(None)})
_NAME: Final[frozenset[Any]] = frozenset({str, int, type(None)})
_CLASS_OR_NUMBER: Final[frozenset[Any]] = frozenset({str, int, float, type(None)})
_TEXT: Final[frozenset[Any]] = frozenset({str, type(None)})

Scalar = str | int | float | bool | None
Fields = dict[str, Any]


def prediction_event(
    prediction_id: str,
    model: str,
    features: Mapping[str, Scalar] | None,
    prediction: str | float | None,
    score: float | Mapping[str, float] | None,
    model_version: str | int | None,
    tags: Mapping[str, Scalar] | None,
    latency_ms: float | None,
    status: str | None,
    timestamp: int | datetime | None,
) -> Fields:
    """Return the fields of a prediction event. Raises TypeError for arguments of a wrong type."""
    fields = _identity(prediction_id, model, timestamp)
    given: Fields = {
        "model_version": _one_of(model_version, _NAME, "model_version", "a string or an integer"),
        "features": _scalars(features, "features"),
        "prediction": _one_of(prediction, _CLASS_OR_NUMBER, "prediction", "a class or a number"),
        "score": (
            _scalars(score, "score")
            if isinstance(score, Mapping)
            else _one_of(score, _NUMBER, "score", "a number or a mapping of class to number")
        ),
        "tags": _scalars(tags, "tags"),
        "latency_ms": _one_of(latency_ms, _NUMBER, "latency_ms", "a number"),
        "status": _one_of(status, _TEXT, "status", "a string"),
    }
    fields |= {name: value for name, value in given.items() if value is not None}
    return fields


def label_event(
    prediction_id: str,
    model: str,
    label: str | float,
    label_version: int | None,
    timestamp: int | datetime | None,
) -> Fields:
    """Return the fields of a label event. Raises TypeError for arguments of a wrong type."""
    fields = _identity(prediction_id, model, timestamp)
    fields["label"] = _one_of(label, _CLASS_OR_NUMBER, "label", "a class or a number")
    if fields["label"] is None:
        raise TypeError("label: expected a class or a number, got None")
    if label_version is not None:
        if type(label_version) is not int:
            raise TypeError(f"label_version: expected an integer, got {_name(label_version)}")
        fields["label_version"] = label_version
    return fields


def id_problem(prediction_id: str) -> str:
    """Return why no event can have such an id; empty where it can."""
    try:
        length = len(prediction_id.encode())
    except UnicodeEncodeError:
        return "prediction_id: half a surrogate pair has no bytes"
    if not 0 < length <= MAX_ID_BYTES:
        return f"prediction_id: expected 1 to {MAX_ID_BYTES} bytes, got {length}"
    return "prediction_id: holds a NUL character" if "\0" in prediction_id else ""


def _identity(prediction_id: str, model: str, timestamp: int | datetime | None) -> Fields:
    if type(prediction_id) is not str:
        raise TypeError(f"prediction_id: expected a string, got {_name(prediction_id)}")
    if type(model) is not str:
        raise TypeError(f"model: expected a string, got {_name(model)}")
    if timestamp is None:
        timestamp = time.time_ns() // 1_000_000
    elif isinstance(timestamp, datetime):
        if timestamp.tzinfo is None:
            raise TypeError("timestamp: a datetime needs a time zone; use datetime.now(UTC)")
        timestamp = round(timestamp.timestamp() * 1000)
    elif type(timestamp) is not int:
        detail = f"expected integer milliseconds or a datetime, got {_name(timestamp)}"
        raise TypeError(f"timestamp: {detail}")
    return {"prediction_id": prediction_id, "timestamp": timestamp, "model": model}


def _one_of(value: Any, types: frozenset[Any], field: str, expected: str) -> Any:
    if type(value) not in types:
        value = _unwrapped(value)
        if type(value) not in types:
            raise TypeError(f"{field}: expected {expected}, got {_name(value)}")
    return value


def _scalars(values: Mapping[str, Any] | None, field: str) -> dict[str, Any] | None:
    """A copy, which nothing that the service does later can change."""
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise TypeError(f"{field}: expected a mapping, got {_name(values)}")
    copy = dict(values)
    if not set(map(type, copy)) <= {str}:
        raise TypeError(f"{field}: expected strings for names")
    if not set(map(type, copy.values())) <= _PLAIN:
        for name, value in copy.items():
            copy[name] = plain = _unwrapped(value)
            if type(plain) not in _PLAIN:
                expected = "a string, a number, a boolean or None"
                raise TypeError(f"{field}.{name}: expected {expected}, got {_name(plain)}")
    return copy


def _unwrapped(value: Any) -> Any:
    """A numpy scalar as Python's; without numpy being imported for it."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    if isinstance(value, bool):
        return value
    # Enumerations of strings or integers, and other subclasses, as what they are in JSON.
    return next((kind(value) for kind in (str, int, float) if isinstance(value, kind)), value)


def _name(value: object) -> str:
    return "None" if value is None else type(value).__name__
