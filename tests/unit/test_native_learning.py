"""Unknown fields are counted exactly and learned; schemas are inferred from untyped events."""

from typing import Any

import pytest

from streamgauge.core.batch import FeatureKind, ModelSchema, Task
from streamgauge.formats.learned_names import MAX_LEARNED, SIGHTINGS, LearnedNames
from streamgauge.formats.learning import UntypedDecoder, UntypedEvent, infer_schema
from streamgauge.formats.native import NativeDecoder
from tests.support.native_events import BINARY, T0, Event, event, messages, outcomes


def _with_unknown(row: int) -> dict[str, Any]:
    """An event with 0 to 3 unknown fields on two levels."""
    fields = event(features=event()["features"])
    if row % 2:
        fields |= {"trace": {"id": row}, "größe": None}
    if row % 3 == 0:
        fields["features"]["extra"] = [row]
    return fields


def test_unknown_fields_are_counted_exactly_before_and_after_they_are_learned() -> None:
    values = [_with_unknown(row) for row in range(60)]
    decoder = NativeDecoder([BINARY])
    expected = 30 * 2 + 20
    for _ in range(3):
        decoded = decoder.decode(messages(values))
        assert decoded.unknown_fields == expected
        assert decoded.accepted == 60


def test_unknown_fields_of_messages_that_are_no_events_are_not_counted() -> None:
    values = [event(x=1, score=2), event(x=1, model="other"), event(x=1)]
    decoder = NativeDecoder([BINARY])
    for _ in range(SIGHTINGS + 2):
        assert decoder.decode(messages(values)).unknown_fields == 1


def test_a_flood_of_unknown_names_is_counted_and_bounds_what_is_learned() -> None:
    decoder = NativeDecoder([BINARY])
    values = [event(**{f"name{row}": row}) for row in range(3_000)]
    for _ in range(3):
        decoded = decoder.decode(messages(values))
        assert (decoded.unknown_fields, decoded.accepted) == (3_000, 3_000)


def test_a_feature_that_keeps_a_wrong_type_reads_the_same_once_it_is_learned() -> None:
    odd = [7, 1.5, True, "UA", None, [1], {"a": 1}, 10**30]
    values = [event(features={"distance": v, "carrier": v, "holiday": v}) for v in odd * 4]
    decoder = NativeDecoder([BINARY])
    first = outcomes(decoder.decode(messages(values)), len(values))
    assert all(isinstance(outcome, Event) for outcome in first)
    assert outcomes(decoder.decode(messages(values)), len(values)) == first


def test_a_name_is_learned_once_it_was_seen_often() -> None:
    names = LearnedNames()
    for _ in range(SIGHTINGS - 1):
        names.see("trace")
    assert not names.learn()
    names.see("trace")
    assert names.learn()
    for _ in range(2 * SIGHTINGS):
        names.see("trace")
    assert not names.learn()
    assert names.learned == ("trace",)


@pytest.mark.parametrize("name", ["", 'a"b', "a\\b", "\n", "x" * 1000])
def test_a_name_that_cannot_be_a_field_is_not_learned(name: str) -> None:
    names = LearnedNames()
    for _ in range(2 * SIGHTINGS):
        names.see(name)
    assert not names.learn()


def test_a_flood_of_names_takes_a_bounded_place_and_hides_no_frequent_one() -> None:
    names = LearnedNames()
    for i in range(10_000):
        names.see(f"once{i}")
        if i % 50 == 0:
            names.see("trace")
        if i % 1000 == 0:
            names.learn()
        assert len(names._sightings) <= 1024
    assert names.learned == ("trace",)


def test_no_more_than_a_few_names_are_learned() -> None:
    names = LearnedNames()
    for _ in range(SIGHTINGS):
        for i in range(2 * MAX_LEARNED):
            names.see(f"often{i}")
    assert names.learn()
    assert len(names.learned) == MAX_LEARNED
    names.see("another")
    assert not names.learn()


def test_an_untyped_event_keeps_what_was_sent() -> None:
    fields = event(
        features={"a": 1, "b": "x", "c": True, "d": None, "e": [1]},
        tags={"region": "eu", "desk": 7, "night": True, "none": None},
        timestamp="2025-11-24T16:00:00.5Z",
    )
    decoded = UntypedDecoder({"flight-delay": Task.BINARY}).decode(messages([b"{", fields]))
    assert decoded.events == {
        "flight-delay": [
            UntypedEvent(
                index=1,
                prediction_id="p1",
                timestamp=T0 + 500,
                version="3",
                ok=True,
                features={"a": 1, "b": "x", "c": True, "d": None, "e": [1]},
                prediction="1",
                score=0.83,
                tags={"region": "eu", "desk": "7", "night": "true"},
                latency=0.0125,
            )
        ]
    }
    assert [each.index for each in decoded.rejected] == [0]


def test_untyped_and_typed_decoding_accept_the_same_messages() -> None:
    values = [
        *(event(), event(score=2), event(timestamp=0), event(tags=[]), event(model="other")),
        *(event(features=...), event(status="timeout", features=...), b"{", None, b"[]"),
        *(event(prediction=1.5), event(latency_ms=-1), event(prediction_id=7), event(x=1)),
    ]
    poll = messages(values)
    typed = NativeDecoder([BINARY]).decode(poll)
    untyped = UntypedDecoder({BINARY.model: BINARY.task}).decode(poll)
    assert untyped.rejected == typed.rejected
    assert untyped.accepted == typed.accepted == 3
    assert [each.index for each in untyped.events[BINARY.model]] == typed.rows[0].tolist()
    assert (untyped.tombstones, untyped.unknown_models) == (1, 1)


def _events(*features: dict[str, Any]) -> list[UntypedEvent]:
    decoder = UntypedDecoder({"flight-delay": Task.BINARY})
    poll = messages([event(features=each) for each in features])
    return list(decoder.decode(poll).events["flight-delay"])


def test_a_schema_is_inferred_from_the_types_of_the_values() -> None:
    events = _events({"b": 1, "a": 2.5, "c": "x", "d": True}, {"e": 1.5, "c": None})
    schema = infer_schema(events, "flight-delay", Task.BINARY, tags=["region"])
    assert schema == ModelSchema(
        model="flight-delay",
        task=Task.BINARY,
        numeric=("a", "b", "e"),
        categorical=("c",),
        boolean=("d",),
        tags=("region",),
    )


def test_a_feature_of_mixed_types_goes_by_the_majority() -> None:
    events = _events({"a": 1, "b": "1"}, {"a": "1", "b": True}, {"a": "1", "b": "1"})
    schema = infer_schema(events, "m", Task.BINARY)
    assert (schema.numeric, schema.categorical, schema.boolean) == ((), ("a", "b"), ())


def test_equal_shares_fall_to_numbers_first_in_any_order() -> None:
    for features in ({"a": 1}, {"a": "x"}), ({"a": "x"}, {"a": 1}):
        assert infer_schema(_events(*features), "m", Task.BINARY).numeric == ("a",)


def test_a_feature_that_never_has_a_usable_value_is_left_out() -> None:
    events = _events({"a": None, "b": [1], "c": {"d": 1}, "e": 1}, {"a": None})
    schema = infer_schema(events, "m", Task.BINARY)
    assert (schema.numeric, schema.categorical, schema.boolean) == (("e",), (), ())


def test_overrides_settle_the_kind_of_a_feature() -> None:
    overrides = {"zip": FeatureKind.CATEGORICAL, "never": FeatureKind.NUMERIC}
    schema = infer_schema(_events({"zip": 1, "a": 1}), "m", Task.BINARY, overrides=overrides)
    assert (schema.numeric, schema.categorical) == (("a", "never"), ("zip",))
