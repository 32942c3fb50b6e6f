"""Good prediction events become columns: types, missing values, categories, several models."""

import numpy as np
import pytest

from streamgauge.core.batch import Categories, ModelSchema, Task
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.typed import BLOCK
from tests.support.native_events import (
    BINARY,
    T0,
    WRONG_TYPE,
    Event,
    event,
    messages,
    outcomes,
    with_features,
)

SPECIES = ModelSchema(model="species", task=Task.MULTICLASS, numeric=("width",), tags=("region",))
CLOSED = ModelSchema(model="closed", task=Task.MULTICLASS, classes=("a", "b"))
PRICE = ModelSchema(model="price", task=Task.REGRESSION, numeric=("area",))


def _one(schema: ModelSchema, fields: dict[str, object]) -> Event:
    poll = messages([fields])
    (outcome,) = outcomes(NativeDecoder([schema]).decode(poll), 1)
    assert isinstance(outcome, Event), outcome
    return outcome


def _features(**changes: object) -> dict[str, float | str]:
    return _one(BINARY, with_features(**changes)).features


def test_a_full_event_is_read_field_by_field() -> None:
    assert _one(BINARY, event()) == Event(
        model="flight-delay",
        prediction_id="p1",
        timestamp=T0,
        partition=0,
        version="3",
        ok=True,
        features={"distance": 1400.0, "dep_delay": 5.0, "carrier": "UA", "holiday": "false"},
        tags={"region": "eu"},
        prediction="1",
        score=0.83,
        latency=0.0125,
    )


def test_columns_have_the_shapes_and_types_of_the_contract() -> None:
    decoded = NativeDecoder([BINARY]).decode(messages([event(), event(), event()]))
    (batch,) = decoded.batches
    assert batch.schema is BINARY
    assert batch.timestamp.dtype == np.int64
    assert batch.partition.dtype == np.int32
    assert batch.partition.tolist() == [0, 1, 2]
    assert batch.numeric.shape == (2, 3)
    assert batch.numeric.dtype == np.float64
    assert batch.ok.dtype == np.bool_
    assert [column.values for column in batch.categorical] == [("UA",), ("false", "true")]
    assert [column.codes.dtype for column in batch.categorical] == [np.int32, np.int32]
    assert isinstance(batch.prediction, Categories)
    assert decoded.rows[0].tolist() == [0, 1, 2]
    assert list(map(list, decoded.ids)) == [["p1", "p1", "p1"]]
    assert decoded.accepted == 3


@pytest.mark.parametrize("value", [None, ...])
def test_a_null_or_absent_feature_is_missing(value: object) -> None:
    changes = dict.fromkeys(("distance", "carrier", "holiday"), value)
    assert _features(**changes) == {"dep_delay": 5.0}


@pytest.mark.parametrize("value", ["1400", True, [], [1400.0], {}, {"a": 1}])
def test_a_numeric_feature_of_a_wrong_type_is_a_fault_of_that_feature_alone(value: object) -> None:
    features = _features(distance=value)
    assert features.pop("distance") == WRONG_TYPE
    assert features == {"dep_delay": 5.0, "carrier": "UA", "holiday": "false"}


@pytest.mark.parametrize("value", [7, 1.5, False, ["UA"], {"a": "UA"}])
def test_a_category_that_is_no_string_is_a_fault_of_that_feature_alone(value: object) -> None:
    features = _features(carrier=value)
    assert features.pop("carrier") == WRONG_TYPE
    assert features == {"distance": 1400.0, "dep_delay": 5.0, "holiday": "false"}


@pytest.mark.parametrize("value", [0, 1, "true", [True]])
def test_a_boolean_feature_that_is_no_boolean_is_a_fault_of_that_feature_alone(
    value: object,
) -> None:
    assert _features(holiday=value)["holiday"] == WRONG_TYPE


def test_a_category_may_be_an_empty_string() -> None:
    assert _features(carrier="")["carrier"] == ""


@pytest.mark.parametrize("value", [0, -3, 2**53 + 1, 2**63, 2**64 - 1, 10**300, 1e-320, -0.0])
def test_any_finite_number_is_a_numeric_value(value: float) -> None:
    assert _features(distance=value)["distance"] == float(value)


def test_classes_and_versions_may_be_strings_or_integers() -> None:
    poll = messages(
        [
            event(prediction=1, model_version=3),
            event(prediction="1", model_version="3"),
            event(prediction="late", model_version=...),
            event(prediction=-(2**63), model_version=None),
        ]
    )
    (batch,) = NativeDecoder([BINARY]).decode(poll).batches
    assert isinstance(batch.prediction, Categories)
    assert batch.prediction.values == ("1", "late", "-9223372036854775808")
    assert batch.prediction.codes.tolist() == [0, 0, 1, 2]
    assert batch.version.values == ("3", "")
    assert batch.version.codes.tolist() == [0, 0, 1, 1]


def test_tags_of_any_scalar_type_are_text_and_never_run_together() -> None:
    tags = [True, 1, 1.0, "1", False, 0, None, "true", 2**64 - 1]
    poll = messages([event(tags={"region": tag}) for tag in tags] + [event(tags=None)])
    (batch,) = NativeDecoder([BINARY]).decode(poll).batches
    region, desk = batch.tags
    assert region.values == ("true", "1", "1.0", "false", "0", "18446744073709551615")
    assert region.codes.tolist() == [0, 1, 2, 1, 3, 4, -1, 0, 5, -1]
    assert desk.codes.tolist() == [-1] * 10


def test_tags_that_no_schema_names_are_neither_kept_nor_counted() -> None:
    decoded = NativeDecoder([BINARY]).decode(messages([event(tags={"region": "eu", "x": 1})]))
    assert decoded.unknown_fields == 0
    assert [column.values for column in decoded.batches[0].tags] == [("eu",), ()]


def test_optional_fields_that_are_null_are_absent() -> None:
    nulls = dict.fromkeys(("status", "model_version", "tags", "score", "latency_ms"))
    outcome = _one(BINARY, event(**nulls))
    assert outcome.ok
    assert (outcome.version, outcome.tags, outcome.score, outcome.latency) == ("", {}, None, None)


@pytest.mark.parametrize("value", [None, ...])
def test_an_event_with_an_error_status_may_lack_prediction_and_features(value: object) -> None:
    outcome = _one(BINARY, event(status="timeout", prediction=value, features=value))
    assert not outcome.ok
    assert (outcome.features, outcome.prediction, outcome.tags) == ({}, None, {"region": "eu"})
    assert outcome.latency == 0.0125


def test_a_failed_regression_has_no_number() -> None:
    fields = event(model="price", status="timeout", prediction=..., features=..., score=...)
    outcome = _one(PRICE, fields)
    assert (outcome.ok, outcome.prediction) == (False, None)


def test_a_regression_takes_any_finite_number() -> None:
    poll = messages([event(model="price", prediction=value) for value in (3, -1.5, 10**20)])
    (batch,) = NativeDecoder([PRICE]).decode(poll).batches
    assert isinstance(batch.prediction, np.ndarray)
    np.testing.assert_array_equal(batch.prediction, [3.0, -1.5, 1e20])


def test_a_multiclass_score_is_the_probability_of_the_predicted_class() -> None:
    scores = {"1": 0.75, "b": 0.25}
    poll = messages(
        [
            event(model="species", prediction=1, score=scores),
            event(model="species", prediction="1", score=scores),
            event(model="species", prediction="b", score=scores),
            event(model="species", prediction="c", score=scores),
            event(model="species", prediction="b", score=None),
            event(model="species", prediction=..., status="timeout", score={"None": 1}),
        ]
    )
    (batch,) = NativeDecoder([SPECIES]).decode(poll).batches
    np.testing.assert_array_equal(batch.score, [0.75, 0.75, 0.25, np.nan, np.nan, np.nan])


def test_the_classes_of_a_score_may_come_in_any_order() -> None:
    fields = event(model="closed", features={}, prediction="a", score={"b": 0.4, "a": 0.6})
    assert _one(CLOSED, fields).score == 0.6


def test_a_model_without_features_has_empty_columns() -> None:
    schema = ModelSchema(model="bare", task=Task.BINARY)
    decoded = NativeDecoder([schema]).decode(messages([event(model="bare", features={"x": 1})]))
    (batch,) = decoded.batches
    assert batch.numeric.shape == (0, 1)
    assert batch.categorical == ()
    assert decoded.unknown_fields == 1


def test_several_models_on_one_topic_each_get_a_batch_in_the_order_of_the_schemas() -> None:
    poll = messages(
        [
            event(model="price", prediction_id="a"),
            event(prediction_id="b"),
            event(model="unwatched", prediction_id="c"),
            event(model="price", prediction_id="d"),
            None,
            event(prediction_id="e", score=7),
        ]
    )
    decoded = NativeDecoder([BINARY, SPECIES, PRICE]).decode(poll)
    assert [batch.schema.model for batch in decoded.batches] == ["flight-delay", "price"]
    assert [rows.tolist() for rows in decoded.rows] == [[1], [0, 3]]
    assert list(map(list, decoded.ids)) == [["b"], ["a", "d"]]
    assert [batch.partition.tolist() for batch in decoded.batches] == [[1], [0, 0]]
    assert (decoded.unknown_models, decoded.tombstones, len(decoded.rejected)) == (1, 1, 1)


def test_names_that_the_typed_parser_cannot_take_work_all_the_same() -> None:
    names = ('a"b', "\x1b[31m", "back\\slash", "größe", "class", "__init__", "f0")
    schema = ModelSchema(model="../../x", task=Task.BINARY, numeric=names)
    fields = event(model="../../x", features={name: i for i, name in enumerate(names)})
    assert _one(schema, fields).features == {name: float(i) for i, name in enumerate(names)}


def test_faults_and_codes_point_at_the_right_rows_across_blocks() -> None:
    n = 2 * BLOCK + 10
    faulty = [0, 3, BLOCK - 1, BLOCK, n - 1]
    events = [with_features(carrier=f"c{row % 5}") for row in range(n)]
    for row in faulty:
        events[row] = with_features(dep_delay="late", carrier=row)
    (batch,) = NativeDecoder([BINARY]).decode(messages(events)).batches
    assert batch.faults.row.tolist() == faulty
    assert batch.faults.feature.tolist() == [1] * len(faulty)
    assert batch.faults.row.dtype == batch.faults.feature.dtype == np.int32
    carrier = batch.categorical[0]
    expected = [None if row in faulty else f"c{row % 5}" for row in range(n)]
    assert [carrier.values[code] if code >= 0 else None for code in carrier.codes] == expected
    assert np.flatnonzero(np.isnan(batch.numeric[1])).tolist() == faulty


def test_a_later_batch_changes_no_dictionary_of_an_earlier_one() -> None:
    decoder = NativeDecoder([BINARY])
    first = decoder.decode(messages([with_features(carrier="UA")])).batches[0]
    second = decoder.decode(messages([with_features(carrier="AA")])).batches[0]
    assert first.categorical[0].values == ("UA",)
    assert first.categorical[0].codes.tolist() == [0]
    (code,) = second.categorical[0].codes.tolist()
    assert second.categorical[0].values[code] == "AA"


def test_an_empty_poll_gives_nothing() -> None:
    decoded = NativeDecoder([BINARY]).decode(messages([]))
    assert (decoded.batches, decoded.rejected, decoded.accepted) == ((), (), 0)


def test_a_decoder_without_models_counts_every_event_as_unknown() -> None:
    decoded = NativeDecoder([]).decode(messages([event(), b"{", None]))
    assert (decoded.unknown_models, len(decoded.rejected), decoded.tombstones) == (1, 1, 1)


def test_two_schemas_of_one_model_are_refused() -> None:
    with pytest.raises(ValueError, match="same model"):
        NativeDecoder([BINARY, BINARY])


def test_a_feature_named_twice_is_refused() -> None:
    schema = ModelSchema(model="m", task=Task.BINARY, numeric=("a",), categorical=("a",))
    with pytest.raises(ValueError, match="named twice"):
        NativeDecoder([schema])


def test_the_event_of_the_contract_decodes() -> None:
    value = (
        b'{"prediction_id": "p1", "timestamp": 1764000000000, "model": "flight-delay",'
        b' "model_version": "3", "features": {"distance": 1400.0, "carrier": "UA"},'
        b' "prediction": 1, "score": 0.83, "tags": {"region": "eu"}, "latency_ms": 12.5,'
        b' "status": "ok"}'
    )
    decoded = NativeDecoder([BINARY]).decode(messages([value], broker_timestamp=-1))
    assert (decoded.accepted, decoded.unknown_fields) == (1, 0)


@pytest.mark.parametrize("identified", [[], ["flight-delay"], None])
def test_ids_are_made_of_models_that_are_to_be_joined(identified: list[str] | None) -> None:
    events = [event(prediction_id=f"p{i}", status="ok" if i % 3 else "timeout") for i in range(9)]
    decoder = NativeDecoder([BINARY], identified=identified)
    decoded = decoder.decode(messages(events))
    assert decoded.rows[0].tolist() == list(range(9))
    assert decoded.batches[0].ok.tolist() == [i % 3 > 0 for i in range(9)]
    expected = [] if identified == [] else [f"p{i}" for i in range(9)]
    assert list(map(list, decoded.ids)) == [expected]
