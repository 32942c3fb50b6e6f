"""Label events become columns; the catalogue of bad input becomes dead letters one by one."""

import json
from typing import Any

import numpy as np
import pytest

from streamgauge.core.batch import Categories, ModelSchema, Task
from streamgauge.formats.event_time import EventTime, TimestampUnit
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.learned_names import SIGHTINGS
from streamgauge.formats.messages import DeadLetterReason, DecodedLabels, RawMessages, Rejected
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.typed_labels import TypedLabelDecoder
from tests.support.broken_json import TOKENS, not_json
from tests.support.label_events import Label, label, read_back
from tests.support.native_events import BINARY, T0, event, messages

GOOD = json.dumps(label()).encode()
NOT_JSON = not_json(GOOD)
SPECIES = ModelSchema(model="species", task=Task.MULTICLASS, classes=("a", "b"))
PRICE = ModelSchema(model="price", task=Task.REGRESSION)


def _decode(poll: RawMessages, *schemas: ModelSchema) -> DecodedLabels:
    """What becomes of a poll: the same with compiled code, where it was built, and without."""
    schemas = schemas or (BINARY, SPECIES, PRICE)
    decoded = LabelDecoder(schemas).decode(poll)
    typed = TypedLabelDecoder(schemas).decode(poll)
    assert read_back(decoded, len(poll)) == read_back(typed, len(poll))
    return decoded


def _labels(*values: dict[str, Any]) -> list[Label]:
    """The labels of a poll of one model, all of which are good."""
    (labels,) = read_back(_decode(messages(values)), len(values)).labels.values()
    assert len(labels) == len(values)
    return labels


def _reject_between(value: bytes | dict[str, Any]) -> Rejected:
    """The dead letter that a message becomes; its neighbours go on."""
    decoded = _decode(messages([label(), value, label(label=0)]))
    (rejected,) = decoded.rejected
    (batch,) = decoded.batches
    assert rejected.index == 1
    assert isinstance(batch.label, Categories)
    assert (batch.label.values, batch.label.codes.tolist()) == (("1", "0"), [0, 1])
    assert rejected.detail
    return rejected


def _raw(field: str, token: bytes) -> bytes:
    """A good label whose field holds raw JSON text."""
    return json.dumps(label(**{field: "@"})).encode().replace(b'"@"', token)


def test_a_full_label_is_read_field_by_field() -> None:
    assert _labels(label(prediction_id="größe", label_version=7)) == [
        Label(prediction_id="größe", timestamp=T0, partition=0, label="1", version=7)
    ]


def test_columns_have_the_shapes_and_types_of_the_contract() -> None:
    decoded = _decode(messages([label(), label(), label()]))
    (batch,) = decoded.batches
    assert batch.schema is BINARY
    assert list(batch.ids) == ["p1", "p1", "p1"]
    assert batch.timestamp.dtype == batch.version.dtype == np.int64
    assert batch.partition.dtype == np.int32
    assert batch.partition.tolist() == [0, 1, 2]
    assert isinstance(batch.label, Categories)
    assert batch.label.codes.dtype == np.int32
    assert len(batch) == decoded.accepted == 3


@pytest.mark.parametrize("version", [None, ..., 0])
def test_a_label_without_a_version_has_version_0(version: object) -> None:
    read = _labels(label(label_version=version), label(label_version=2**63 - 1))
    assert [each.version for each in read] == [0, 2**63 - 1]


def test_an_integer_and_its_text_are_one_class() -> None:
    decoded = _decode(messages([label(label=1), label(label="1"), label(label=-1)]))
    (batch,) = decoded.batches
    assert isinstance(batch.label, Categories)
    assert batch.label.values == ("1", "-1")
    assert batch.label.codes.tolist() == [0, 0, 1]


def test_a_class_has_the_same_text_in_predictions_and_in_labels() -> None:
    classes: list[int | str] = [1, "1", 0, "01", "é", "", -(2**63), 2**63 - 1, "1.0", " 1"]
    told = _decode(messages([label(label=each) for each in classes])).batches[0].label
    poll = messages([event(prediction=each) for each in classes])
    predicted = NativeDecoder([BINARY]).decode(poll).batches[0].prediction
    assert isinstance(told, Categories)
    assert isinstance(predicted, Categories)
    texts = [str(each) for each in classes]
    assert [told.values[code] for code in told.codes] == texts
    assert [predicted.values[code] for code in predicted.codes] == texts


def test_a_class_that_the_schema_does_not_name_is_taken_as_in_predictions() -> None:
    assert _labels(label(model="species", label="z"))[0].label == "z"


@pytest.mark.parametrize("number", [0, -7, 2.5, 1e300, -0.0, 2**53 + 1, 2**64 - 1])
def test_the_label_of_a_regression_is_a_number(number: float) -> None:
    assert _labels(label(model="price", label=number))[0].label == float(number)


def test_models_of_different_tasks_share_a_topic() -> None:
    values = [
        label(model="price", label=12.5, prediction_id="a"),
        label(label="late", prediction_id="b"),
        label(model="price", label="12.5", prediction_id="c"),
        label(label=12.5, prediction_id="d"),
        label(model="price", label=3, prediction_id="e", label_version=...),
        label(model="other", label=True),
    ]
    decoded = _decode(messages(values), BINARY, PRICE)
    assert [batch.schema.model for batch in decoded.batches] == ["flight-delay", "price"]
    read = read_back(decoded, len(values))
    assert read.labels == {
        "flight-delay": [Label("b", T0, 1, "late", 1)],
        "price": [Label("a", T0, 0, 12.5, 1), Label("e", T0, 1, 3.0, 0)],
    }
    assert [(each.index, each.field) for each in decoded.rejected] == [(2, "label"), (3, "label")]
    assert decoded.unknown_models == 1


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_document_is_a_dead_letter(name: str) -> None:
    rejected = _reject_between(NOT_JSON[name])
    assert (rejected.reason, rejected.field) == (DeadLetterReason.DECODE, "")


@pytest.mark.parametrize("field", ["prediction_id", "timestamp", "label", "label_version", "trace"])
@pytest.mark.parametrize("name", TOKENS)
def test_a_broken_token_is_a_dead_letter_in_whichever_field_it_stands(
    name: str, field: str
) -> None:
    rejected = _reject_between(_raw(field, TOKENS[name]))
    assert (rejected.reason, rejected.field) == (DeadLetterReason.DECODE, "")


@pytest.mark.parametrize("name", TOKENS)
def test_a_broken_number_is_no_label_of_a_regression(name: str) -> None:
    value = _raw("label", TOKENS[name]).replace(b"flight-delay", b"price")
    rejected = _reject_between(value)
    assert (rejected.reason, rejected.field) == (DeadLetterReason.DECODE, "")


@pytest.mark.parametrize("name", TOKENS)
def test_a_broken_token_in_an_unknown_field_that_is_learned_is_a_dead_letter(name: str) -> None:
    decoder = LabelDecoder([BINARY])
    decoder.decode(messages([label(trace="x")] * 2 * SIGHTINGS))
    decoded = decoder.decode(messages([label(trace="y"), _raw("trace", TOKENS[name])]))
    assert [(each.index, each.reason) for each in decoded.rejected] == [
        (1, DeadLetterReason.DECODE)
    ]
    assert (decoded.accepted, decoded.unknown_fields) == (1, 1)


WRONG_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no id": (label(prediction_id=...), "prediction_id"),
    "null id": (label(prediction_id=None), "prediction_id"),
    "number as id": (label(prediction_id=7), "prediction_id"),
    "empty id": (label(prediction_id=""), "prediction_id"),
    "NUL in the id": (label(prediction_id="a\0b"), "prediction_id"),
    "id over 1 KiB": (label(prediction_id="x" * 1025), "prediction_id"),
    "id over 1 KiB in bytes": (label(prediction_id="ä" * 513), "prediction_id"),
    "no model": (label(model=...), "model"),
    "number as model": (label(model=7), "model"),
    "null model": (label(model=None), "model"),
    "no timestamp": (label(timestamp=...), "timestamp"),
    "null timestamp": (label(timestamp=None), "timestamp"),
    "boolean timestamp": (label(timestamp=True), "timestamp"),
    "whole float as timestamp": (label(timestamp=float(T0)), "timestamp"),
    "timestamp of 65 bits": (label(timestamp=2**64), "timestamp"),
    "no label": (label(label=...), "label"),
    "null label": (label(label=None), "label"),
    "boolean label": (label(label=True), "label"),
    "float class": (label(label=1.0), "label"),
    "class of 65 bits": (label(label=2**63), "label"),
    "NUL in a class": (label(label="\0"), "label"),
    "array of labels": (label(label=[1]), "label"),
    "object as label": (label(label={"1": 1.0}), "label"),
    "no label of a regression": (label(model="price", label=...), "label"),
    "null label of a regression": (label(model="price", label=None), "label"),
    "text for a regression": (label(model="price", label="7"), "label"),
    "boolean for a regression": (label(model="price", label=False), "label"),
    "array for a regression": (label(model="price", label=[7.0]), "label"),
    "negative version": (label(label_version=-1), "label_version"),
    "version of 65 bits": (label(label_version=2**63), "label_version"),
    "boolean version": (label(label_version=True), "label_version"),
    "float version": (label(label_version=1.0), "label_version"),
    "text as version": (label(label_version="1"), "label_version"),
    "array of versions": (label(label_version=[1]), "label_version"),
}


@pytest.mark.parametrize("name", WRONG_FIELDS)
def test_a_field_that_breaks_the_schema_is_a_dead_letter_with_its_path(name: str) -> None:
    value, field = WRONG_FIELDS[name]
    rejected = _reject_between(value)
    assert (rejected.reason, rejected.field) == (DeadLetterReason.SCHEMA, field)
    if value.get("model") != PRICE.model:
        # Alone on its topic a model is held to the same.
        assert _decode(messages([label(), value]), BINARY).rejected == (rejected,)


@pytest.mark.parametrize("value", [b"null", b"[]", b"1", b'"text"', b"true", b"[{}]"])
def test_a_document_that_is_no_object_breaks_the_schema(value: bytes) -> None:
    rejected = _reject_between(value)
    assert (rejected.reason, rejected.field) == (DeadLetterReason.SCHEMA, "")


@pytest.mark.parametrize("key", [None, b"", b"p2", b"p1 ", b"\xff"])
def test_a_key_that_is_not_the_prediction_id_is_a_dead_letter(key: bytes | None) -> None:
    decoded = _decode(messages([label(), label(), label()], keys=[b"p1", key, b"p1"]))
    (rejected,) = decoded.rejected
    assert (rejected.index, rejected.reason, rejected.field) == (1, DeadLetterReason.KEY, "")
    assert decoded.accepted == 2


UNITS: list[TimestampUnit] = ["s", "ms", "us", "ns"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "time",
    [
        *(T0 // 1000, T0, T0 * 1000, T0 * 10**6, 0, -1, -T0, 2**63 - 1, T0 + 301_001, T0 + 301_000),
        *("2025-11-24T16:00:00Z", "2025-11-24T17:00:00.1239+01:00", "2025-11-24T16:00:60Z"),
        *("2025-11-24T16:00:00", "2025-11-24", "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", ""),
        *("2025-11-24T16:00:00+25:00", "Mon, 24 Nov 2025 16:00:00 +0000"),
    ],
)
@pytest.mark.parametrize("broker", [T0 + 1000, -1])
def test_times_are_read_and_refused_as_those_of_predictions(
    time: int | str, unit: TimestampUnit, broker: int
) -> None:
    labels = LabelDecoder([BINARY], EventTime(unit=unit))
    read = labels.decode(messages([label(timestamp=time)], broker_timestamp=broker))
    predictions = NativeDecoder([BINARY], EventTime(unit=unit))
    expected = predictions.decode(messages([event(timestamp=time)], broker_timestamp=broker))
    assert read.rejected == expected.rejected
    assert [each.timestamp.tolist() for each in read.batches] == [
        each.timestamp.tolist() for each in expected.batches
    ]


def test_each_label_is_held_to_its_own_broker_time_and_the_allowance() -> None:
    poll = messages([label()] * 3, broker_timestamp=[T0 - 11, T0 - 10, -1])
    decoded = LabelDecoder([BINARY], EventTime(max_future_ms=10)).decode(poll)
    assert [(each.index, each.reason) for each in decoded.rejected] == [
        (0, DeadLetterReason.TIMESTAMP)
    ]


@pytest.mark.parametrize("key", [None, b"p1"])
def test_a_tombstone_is_counted_and_no_dead_letter(key: bytes | None) -> None:
    decoded = _decode(messages([label(), None], keys=[b"p1", key]))
    assert (decoded.tombstones, decoded.accepted, decoded.rejected) == (1, 1, ())


@pytest.mark.parametrize("model", ["other", "", "\0", "a\0b", "FLIGHT-DELAY", "../../x"])
def test_a_label_of_a_model_that_is_not_watched_is_counted_whatever_else_it_holds(
    model: str,
) -> None:
    poll = messages([label(model=model, prediction_id=..., label=[]), label()], keys=[None, b"p1"])
    for schemas in ((BINARY,), (BINARY, PRICE)):
        decoded = _decode(poll, *schemas)
        assert (decoded.unknown_models, decoded.accepted, decoded.rejected) == (1, 1, ())


def test_unknown_fields_of_labels_are_counted_before_and_after_they_are_learned() -> None:
    odd = label(trace={"id": [1]}, model_version="3")
    values = [odd, label(größe=None), label(), label(trace=1, label=None)] * SIGHTINGS
    decoder = LabelDecoder([BINARY])
    for _ in range(3):
        decoded = decoder.decode(messages(values))
        assert (decoded.accepted, decoded.unknown_fields) == (3 * SIGHTINGS, 3 * SIGHTINGS)


def test_a_flood_of_unknown_names_is_counted() -> None:
    decoder = LabelDecoder([BINARY])
    values = [label(**{f"name{row}": row}) for row in range(3_000)]
    for _ in range(2):
        decoded = decoder.decode(messages(values))
        assert (decoded.accepted, decoded.unknown_fields) == (3_000, 3_000)


def test_the_last_of_several_equal_keys_counts() -> None:
    twice = GOOD[:-1] + b', "label": "late", "label_version": 2}'
    broken_first = b'{"label": [], "model": "other", ' + GOOD[1:]
    (labels,) = read_back(_decode(messages([twice, broken_first])), 2).labels.values()
    assert [(each.label, each.version) for each in labels] == [("late", 2), ("1", 1)]


def test_the_first_problem_is_the_one_reported() -> None:
    broken = {"prediction_id": "", "timestamp": 0, "label": None, "label_version": -1}
    for field in list(broken):
        assert _reject_between(label(**broken)).field == field
        del broken[field]


def test_a_dead_letter_never_holds_text_of_the_message() -> None:
    secret = "s3cr3t"
    values: list[bytes | dict[str, Any]] = [
        f'{{"{secret}": '.encode(),
        label(label=[secret]),
        label(model="price", label=secret),
        label(label_version=secret),
        label(prediction_id=secret, timestamp=0),
        label(prediction_id=f"{secret}\0"),
    ]
    decoded = _decode(messages(values))
    assert len(decoded.rejected) == len(values)
    assert secret not in repr(decoded.rejected)


def test_an_empty_poll_and_one_of_broken_messages_alone_have_no_batches() -> None:
    assert _decode(messages([])) == DecodedLabels((), (), (), 0, 0, 0)
    decoded = _decode(messages([*NOT_JSON.values()] * 200))
    assert (len(decoded.rejected), decoded.batches) == (len(NOT_JSON) * 200, ())


def test_a_decoder_of_no_models_counts_what_it_sees() -> None:
    decoded = LabelDecoder([]).decode(messages([label(), None, b"{"]))
    assert (decoded.unknown_models, decoded.tombstones, len(decoded.rejected)) == (1, 1, 1)


def test_two_schemas_of_one_model_are_refused() -> None:
    with pytest.raises(ValueError, match="same model"):
        LabelDecoder([BINARY, ModelSchema(model=BINARY.model, task=Task.REGRESSION)])
