"""The catalogue of bad input: each entry is one dead letter with its reason, nothing else stops."""

import json
from typing import Any

import numpy as np
import pytest

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.messages import DeadLetterReason, RawMessages, Rejected
from streamgauge.formats.native import NativeDecoder
from tests.support.broken_json import TOKENS, not_json
from tests.support.native_events import BINARY, T0, event, messages, with_features

GOOD = json.dumps(event()).encode()
NOT_JSON = not_json(GOOD)
SPECIES = ModelSchema(model="species", task=Task.MULTICLASS, classes=("a", "b"))
PRICE = ModelSchema(model="price", task=Task.REGRESSION)


def _raw(field: str, token: bytes) -> bytes:
    """A good event whose field (of any level) holds raw JSON text."""
    fields: dict[str, Any] = event(features={"distance": "@"} if field == "distance" else {})
    if field != "distance":
        fields[field] = "@"
    return json.dumps(fields).encode().replace(b'"@"', token)


def _bare(model: str, **changes: Any) -> dict[str, Any]:
    """A good event, but for the changes, of a model without features."""
    return event(model=model, **{"features": {}, "score": None, "prediction": 1, **changes})


def _reject(poll: RawMessages) -> Rejected:
    """The only dead letter of a poll whose other messages are good."""
    decoded = NativeDecoder([BINARY, SPECIES, PRICE]).decode(poll)
    assert len(decoded.rejected) == 1
    assert decoded.accepted == len(poll) - 1
    return decoded.rejected[0]


def _reject_between(value: bytes | dict[str, Any]) -> Rejected:
    """The dead letter that a message becomes; its neighbours go on."""
    rejected = _reject(messages([event(), value, event()]))
    assert rejected.index == 1
    return rejected


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_document_is_a_dead_letter(name: str) -> None:
    rejected = _reject_between(NOT_JSON[name])
    assert (rejected.reason, rejected.field) == (DeadLetterReason.DECODE, "")
    assert rejected.detail


@pytest.mark.parametrize("field", ["prediction_id", "distance", "tags", "trace", "score"])
@pytest.mark.parametrize("name", TOKENS)
def test_a_broken_token_is_a_dead_letter_in_whichever_field_it_stands(
    name: str, field: str
) -> None:
    rejected = _reject_between(_raw(field, TOKENS[name]))
    assert (rejected.reason, rejected.field) == (DeadLetterReason.DECODE, "")


@pytest.mark.parametrize("name", TOKENS)
def test_a_broken_token_in_an_unknown_field_that_is_learned_is_a_dead_letter(name: str) -> None:
    decoder = NativeDecoder([BINARY])
    decoder.decode(messages([event(trace="x")] * 20))
    decoded = decoder.decode(messages([event(trace="y"), _raw("trace", TOKENS[name])]))
    assert [(each.index, each.reason) for each in decoded.rejected] == [
        (1, DeadLetterReason.DECODE)
    ]
    assert (decoded.accepted, decoded.unknown_fields) == (1, 1)


def test_nesting_up_to_the_limit_is_fine() -> None:
    value = _raw("trace", b"[" * 1023 + b"]" * 1023)
    decoder = NativeDecoder([BINARY])
    assert decoder.decode(messages([value] * 20)).accepted == 20
    assert decoder.decode(messages([value])).accepted == 1


def test_the_last_of_several_equal_keys_counts() -> None:
    twice = GOOD[:-1] + b', "score": 0.5, "model_version": "4", "latency_ms": 1000}'
    broken_first = b'{"score": "high", "model": "other", ' + GOOD[1:]
    decoded = NativeDecoder([BINARY]).decode(messages([twice, broken_first]))
    (batch,) = decoded.batches
    assert batch.score.tolist() == [0.5, 0.83]
    assert batch.version.values == ("4", "3")


WRONG_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no id": (event(prediction_id=...), "prediction_id"),
    "null id": (event(prediction_id=None), "prediction_id"),
    "number as id": (event(prediction_id=7), "prediction_id"),
    "empty id": (event(prediction_id=""), "prediction_id"),
    "NUL in the id": (event(prediction_id="a\0b"), "prediction_id"),
    "id over 1 KiB": (event(prediction_id="x" * 1025), "prediction_id"),
    "id over 1 KiB in bytes": (event(prediction_id="ä" * 513), "prediction_id"),
    "no model": (event(model=...), "model"),
    "number as model": (event(model=7), "model"),
    "null model": (event(model=None), "model"),
    "no timestamp": (event(timestamp=...), "timestamp"),
    "null timestamp": (event(timestamp=None), "timestamp"),
    "boolean timestamp": (event(timestamp=True), "timestamp"),
    "fractional timestamp": (event(timestamp=T0 + 0.5), "timestamp"),
    "whole float as timestamp": (event(timestamp=float(T0)), "timestamp"),
    "timestamp of 65 bits": (event(timestamp=2**64), "timestamp"),
    "empty status": (event(status=""), "status"),
    "long status": (event(status="x" * 65), "status"),
    "number as status": (event(status=500), "status"),
    "NUL in the status": (event(status="\0"), "status"),
    "boolean version": (event(model_version=True), "model_version"),
    "float version": (event(model_version=3.1), "model_version"),
    "NUL in the version": (event(model_version="\0"), "model_version"),
    "array of tags": (event(tags=["eu"]), "tags"),
    "nested tag": (event(tags={"region": {"a": 1}}), "tags"),
    "nested tag that no schema names": (event(tags={"x": []}), "tags"),
    "NUL in a tag": (event(tags={"region": "\0"}), "tags"),
    "NUL in a tag's name": (event(tags={"\0": "eu"}), "tags"),
    "negative latency": (event(latency_ms=-1), "latency_ms"),
    "latency as a string": (event(latency_ms="12"), "latency_ms"),
    "boolean latency": (event(latency_ms=True), "latency_ms"),
    "no features": (event(features=...), "features"),
    "null features": (event(features=None), "features"),
    "array of features": (event(features=[1.0]), "features"),
    "empty feature name": (event(features={"": 1.0}), "features"),
    "NUL in a category": (with_features(carrier="U\0A"), "features.carrier"),
    "no prediction": (event(prediction=...), "prediction"),
    "null prediction": (event(prediction=None), "prediction"),
    "boolean class": (event(prediction=True), "prediction"),
    "float class": (event(prediction=1.0), "prediction"),
    "class of 65 bits": (event(prediction=2**63), "prediction"),
    "NUL in a class": (event(prediction="\0"), "prediction"),
    "score above 1": (event(score=1.0000001), "score"),
    "score below 0": (event(score=-0.1), "score"),
    "score as a string": (event(score="0.5"), "score"),
    "boolean score": (event(score=True), "score"),
    "object for a binary score": (event(score={"1": 1.0}), "score"),
    "error event with broken features": (event(status="timeout", features=7), "features"),
    "text for a regression": (_bare("price", prediction="7"), "prediction"),
    "boolean for a regression": (_bare("price", prediction=False), "prediction"),
    "number for a multiclass score": (_bare("species", score=0.5), "score"),
    "empty multiclass score": (_bare("species", score={}), "score"),
    "sum below 1": (_bare("species", score={"a": 0.5, "b": 0.4}), "score"),
    "sum above 1": (_bare("species", score={"a": 0.6, "b": 0.5}), "score"),
    "probability below 0": (_bare("species", score={"a": 1.5, "b": -0.5}), "score"),
    "null probability": (_bare("species", score={"a": 1.0, "b": None}), "score"),
    "a class too few": (_bare("species", score={"a": 1.0}), "score"),
    "a class too many": (_bare("species", score={"a": 1, "b": 0, "c": 0}), "score"),
}


@pytest.mark.parametrize("name", WRONG_FIELDS)
def test_a_field_that_breaks_the_schema_is_a_dead_letter_with_its_path(name: str) -> None:
    value, field = WRONG_FIELDS[name]
    rejected = _reject_between(value)
    assert (rejected.reason, rejected.field) == (DeadLetterReason.SCHEMA, field)
    assert rejected.detail


@pytest.mark.parametrize("name", ["no model", "number as model", "null model"])
def test_an_event_names_its_model_even_where_only_one_is_watched(name: str) -> None:
    value, field = WRONG_FIELDS[name]
    (rejected,) = NativeDecoder([BINARY]).decode(messages([value])).rejected
    assert (rejected.reason, rejected.field) == (DeadLetterReason.SCHEMA, field)


@pytest.mark.parametrize("value", [b"null", b"[]", b"1", b'"text"', b"true", b"[{}]"])
def test_a_document_that_is_no_object_breaks_the_schema(value: bytes) -> None:
    rejected = _reject_between(value)
    assert (rejected.reason, rejected.field) == (DeadLetterReason.SCHEMA, "")


def test_a_sum_of_probabilities_may_miss_one_by_a_thousandth() -> None:
    scores = [{"a": 0.5, "b": 0.5009}, {"a": 0.5, "b": 0.5011}]
    values = [_bare("species", prediction="a", score=score) for score in scores]
    assert _reject(messages(values)).index == 1


@pytest.mark.parametrize("key", [None, b"", b"p2", b"p1 ", b"\xff"])
def test_a_key_that_is_not_the_prediction_id_is_a_dead_letter(key: bytes | None) -> None:
    rejected = _reject(messages([event(), event()], keys=[b"p1", key]))
    assert (rejected.index, rejected.reason) == (1, DeadLetterReason.KEY)


def test_a_key_is_compared_as_utf8() -> None:
    value = event(prediction_id="größe")
    keys = ["größe".encode(), "größe".encode("latin-1")]
    assert _reject(messages([value, value], keys=keys)).index == 1


@pytest.mark.parametrize("key", [None, b"p1"])
def test_a_tombstone_is_counted_and_no_dead_letter(key: bytes | None) -> None:
    decoded = NativeDecoder([BINARY]).decode(messages([event(), None], keys=[b"p1", key]))
    assert (decoded.tombstones, decoded.accepted, decoded.rejected) == (1, 1, ())


@pytest.mark.parametrize("model", ["other", "", "a\0b", "FLIGHT-DELAY", "flight-delay "])
def test_an_event_of_a_model_that_is_not_watched_is_counted_whatever_else_it_holds(
    model: str,
) -> None:
    poll = messages([event(model=model, prediction_id=..., score=9), event()], keys=[None, b"p1"])
    decoded = NativeDecoder([BINARY]).decode(poll)
    assert (decoded.unknown_models, decoded.accepted, decoded.rejected) == (1, 1, ())


def test_the_first_problem_is_the_one_reported() -> None:
    value = event(prediction_id="", timestamp=0, score=9, tags=[])
    assert _reject_between(value).field == "prediction_id"
    value = event(timestamp=0, score=9, tags=[])
    assert _reject_between(value).field == "timestamp"


def test_dead_letters_come_in_the_order_of_the_messages() -> None:
    values: list[bytes | dict[str, Any] | None]
    values = [event(timestamp=0), b"{", event(score=2), event(), event(timestamp=0), b"["]
    decoded = NativeDecoder([BINARY]).decode(messages(values))
    assert [each.index for each in decoded.rejected] == [0, 1, 2, 4, 5]


def test_a_dead_letter_never_holds_text_of_the_message() -> None:
    secret = "s3cr3t"
    values: list[bytes | dict[str, Any] | None] = [
        f'{{"{secret}": '.encode(),
        event(score=secret),
        event(prediction_id=secret, timestamp=0),
        event(timestamp=secret),
        event(tags={secret: [secret]}),
        event(features={secret: 1.0, "carrier": f"{secret}\0"}),
        _bare("species", score={secret: 1.0}),
        event(status=secret * 20),
        event(prediction=[secret]),
        secret.encode(),
    ]
    poll = messages(values)
    decoded = NativeDecoder([BINARY, SPECIES]).decode(poll)
    assert len(decoded.rejected) == len(values)
    assert secret not in repr(decoded.rejected)


def test_a_poll_of_nothing_but_broken_messages_is_all_dead_letters() -> None:
    values: list[bytes | dict[str, Any] | None] = [*NOT_JSON.values()]
    decoded = NativeDecoder([BINARY]).decode(messages(values * 100))
    assert (len(decoded.rejected), decoded.batches) == (len(values) * 100, ())


def test_random_bytes_are_dead_letters() -> None:
    rng = np.random.default_rng(5)
    values = [rng.bytes(int(size)) for size in rng.integers(0, 64, 500)]
    decoded = NativeDecoder([BINARY]).decode(messages(values))
    assert len(decoded.rejected) == 500
