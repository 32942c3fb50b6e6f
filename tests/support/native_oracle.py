"""A second reading of the rules of prediction events, on the standard library's json alone.

Slow and plain on purpose: it shares no code with the package and is what its decoder is held to.
"""

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, NoReturn

from streamgauge.core.batch import ModelSchema, Task
from tests.support.native_events import WRONG_TYPE, Event, Outcome, Refused

KNOWN = {
    *("prediction_id", "timestamp", "model", "model_version", "features", "prediction", "score"),
    *("tags", "latency_ms", "status"),
}


class RefusedError(Exception):
    """A dead letter: reason and field."""


def judge(
    schemas: Sequence[ModelSchema],
    value: bytes | None,
    key: bytes | None,
    broker_timestamp: int,
    partition: int,
) -> tuple[Outcome, int]:
    """What has to become of a message, and how many unknown fields it adds."""
    for_model = {schema.model: schema for schema in schemas}
    try:
        document = None if value is None else read_document(value)
        schema = None if document is None else for_model.get(document["model"])
        if document is None or schema is None:
            return None, 0
        return _read(schema, document, key, broker_timestamp, partition)
    except RefusedError as error:
        reason, field = error.args
        return Refused(reason, field), 0


def read_document(value: bytes) -> dict[str, Any]:
    """The object in a message, which names its model."""
    try:
        document = parse(value)
    except (ValueError, RecursionError):
        refuse("decode", "")
    require(isinstance(document, dict), "")
    assert isinstance(document, dict)
    require(isinstance(document.get("model"), str), "model")
    return document


def parse(value: bytes) -> Any:
    """Strict JSON; raises ValueError. Integers beyond 64 bits become floats."""
    text = value.decode()
    if _depth(text) > 1024:
        raise ValueError("too deep")

    def integer(token: str) -> int | float:
        if len(token) < 25 and -(2**63) <= int(token) < 2**64:
            return int(token)
        return real(token)

    def real(token: str) -> float:
        number = float(token)
        if math.isinf(number):
            raise ValueError(token)
        return number

    def constant(token: str) -> NoReturn:
        raise ValueError(token)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, item in items:
            _no_surrogates(name)
            _no_surrogates(item)
        return dict(items)

    document = json.loads(
        text,
        parse_int=integer,
        parse_float=real,
        parse_constant=constant,
        object_pairs_hook=pairs,
    )
    _no_surrogates(document)
    return document


def _no_surrogates(item: object) -> None:
    if isinstance(item, str):
        item.encode()
    elif isinstance(item, list):
        for each in item:
            _no_surrogates(each)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def refuse(reason: str, field: str) -> NoReturn:
    raise RefusedError(reason, field)


def require(condition: object, field: str) -> None:
    if not condition:
        refuse("schema", field)


def is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_name(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return is_text(value)


def _read(
    schema: ModelSchema,
    document: dict[str, Any],
    key: bytes | None,
    broker_timestamp: int,
    partition: int,
) -> tuple[Event, int]:
    prediction_id, timestamp = read_identity(document, key, broker_timestamp)
    given = {name: value for name, value in document.items() if value is not None}
    status = given.get("status", "ok")
    require(is_text(status) and 1 <= len(status) <= 64, "status")
    version = given.get("model_version", "")
    require(is_name(version), "model_version")
    tags = given.get("tags", {})
    require(isinstance(tags, dict), "tags")
    for name, tag in tags.items():
        require(is_text(name), "tags")
        require(tag is None or isinstance(tag, bool) or is_number(tag) or is_text(tag), "tags")
    latency = given.get("latency_ms", 0)
    require(is_number(latency) and latency >= 0, "latency_ms")
    features = given.get("features", None if status == "ok" else {})
    require(isinstance(features, dict) and "" not in features, "features")
    assert isinstance(features, dict)
    values = _features(schema, features)
    prediction = _prediction(schema, given, status)
    score = _score(schema, given, prediction)
    names = {*schema.numeric, *schema.categorical, *schema.boolean}
    known_tags = {name: _tag(tags[name]) for name in schema.tags if tags.get(name) is not None}
    decoded = Event(
        model=schema.model,
        prediction_id=prediction_id,
        timestamp=timestamp,
        partition=partition,
        version=str(version),
        ok=status == "ok",
        features=values,
        tags=known_tags,
        prediction=prediction,
        score=score,
        latency=latency / 1000 if "latency_ms" in given else None,
    )
    return decoded, len(document.keys() - KNOWN) + len(features.keys() - names)


def read_identity(
    document: dict[str, Any], key: bytes | None, broker_timestamp: int
) -> tuple[str, int]:
    """The prediction id, which has to be the key, and the event time in milliseconds."""
    prediction_id = document.get("prediction_id")
    require(is_text(prediction_id), "prediction_id")
    assert isinstance(prediction_id, str)
    require(1 <= len(prediction_id.encode()) <= 1024, "prediction_id")
    if key != prediction_id.encode():
        refuse("key", "")
    return prediction_id, _timestamp(document.get("timestamp"), broker_timestamp)


def _timestamp(value: object, broker_timestamp: int) -> int:
    if isinstance(value, str):
        milliseconds = _rfc3339(value)
    else:
        require(is_name(value), "timestamp")
        assert isinstance(value, int)
        milliseconds = value
    latest = datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000
    if broker_timestamp >= 0:
        latest = min(latest, broker_timestamp + 300_000)
    if not datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000 <= milliseconds <= latest:
        refuse("timestamp", "timestamp")
    return milliseconds


def _rfc3339(text: str) -> int:
    form = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
    upper = text.upper() if text.isascii() else text
    if re.fullmatch(form, upper) is None:
        refuse("timestamp", "timestamp")
    main, fraction, offset = re.split(r"(\.[0-9]+)?(?=Z|[+-][0-9]{2}:[0-9]{2}$)", upper, maxsplit=1)
    leap = main.endswith(":60")
    try:
        moment = datetime.strptime(
            (main[:-2] + "59" if leap else main) + offset, "%Y-%m-%dT%H:%M:%S%z"
        )
    except ValueError:
        refuse("timestamp", "timestamp")
    below = Fraction("0" + fraction) if fraction else Fraction(0)
    whole = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return whole * 1000 + (999 if leap else math.floor(below * 1000))


def _features(schema: ModelSchema, features: dict[str, Any]) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    for name, value in features.items():
        if value is None:
            continue
        if name in schema.numeric:
            values[name] = float(value) if is_number(value) else WRONG_TYPE
        elif name in schema.categorical:
            values[name] = value if isinstance(value, str) else WRONG_TYPE
        elif name in schema.boolean:
            values[name] = str(value).lower() if isinstance(value, bool) else WRONG_TYPE
    for name in schema.categorical:
        require("\0" not in str(values.get(name)), f"features.{name}")
    return values


def _prediction(schema: ModelSchema, given: dict[str, Any], status: str) -> str | float | None:
    prediction = given.get("prediction")
    if prediction is None:
        require(status != "ok", "prediction")
        return None
    if schema.task is Task.REGRESSION:
        require(is_number(prediction), "prediction")
        return float(prediction)
    require(is_name(prediction), "prediction")
    return str(prediction)


def _score(
    schema: ModelSchema, given: dict[str, Any], prediction: str | float | None
) -> float | None:
    score = given.get("score")
    if score is None:
        return None
    if schema.task is not Task.MULTICLASS:
        require(is_number(score) and 0 <= score <= 1, "score")
        return float(score)
    require(isinstance(score, dict), "score")
    for name, probability in score.items():
        require(is_text(name), "score")
        require(is_number(probability) and 0 <= probability <= 1, "score")
    require(not schema.classes or score.keys() == set(schema.classes), "score")
    require(abs(math.fsum(score.values()) - 1) <= 1e-3, "score")
    own = None if prediction is None else score.get(str(prediction))
    return None if own is None else float(own)


def _tag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
