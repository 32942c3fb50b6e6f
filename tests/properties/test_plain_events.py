"""Plain events decoded in another thread: what they become is what the typed decoder makes of them.

Whatever is not plain is declined; nothing may be taken that the rules refuse or read otherwise.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats import sharing
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.plain_events import PlainEvents
from streamgauge.formats.predictions import PredictionDecoder
from tests.support.broken_json import TOKENS, not_json
from tests.support.native_draws import anything, mutate, sent, timestamps
from tests.support.native_events import BINARY, T0, Outcome, event, messages, outcomes

REGRESSION = ModelSchema(
    model="price", task=Task.REGRESSION, numeric=("distance",), categorical=("größe",)
)
Pair = tuple[bytes | None, bytes | None]


def by_type(schema: ModelSchema, poll: RawMessages) -> list[Outcome]:
    return outcomes(NativeDecoder([schema]).decode(poll), len(poll))


def in_thread(schema: ModelSchema, poll: RawMessages) -> list[Outcome] | None:
    """What the reader in the other thread makes of a poll; None where it declines."""
    reader = PlainEvents(schema, EventTime())
    begun = reader.begin(poll, schema.tags)
    found = None if begun is None else reader.finish(begun, with_ids=True)
    if found is None:
        return None
    batch, ids = found
    decoded = Decoded((batch,), (_rows(len(poll)),), (ids,), (), 0, 0, 0)
    return outcomes(decoded, len(poll))


def _rows(n: int) -> Any:
    return messages([b""] * n).offset - 100


def of(pairs: Sequence[Pair], clock: int = T0 + 1000) -> RawMessages:
    return messages([value for value, _ in pairs], [key for _, key in pairs], clock)


def good(schema: ModelSchema, row: int) -> dict[str, Any]:
    """A plain event of a schema, which others of a poll are alike."""
    fields = event(model=schema.model, prediction_id=f"p{row}")
    if schema is REGRESSION:
        fields |= {"features": {"distance": row / 7, "größe": "xl"}, "prediction": row * 1e3}
        del fields["tags"]
    return fields


plain_changes = st.sampled_from(
    [
        {},
        {"status": "timeout"},
        {"status": None},
        {"score": ...},
        {"score": 1},
        {"latency_ms": None},
        {"model_version": ...},
        {"features": {}},
        {"features": {"distance": -0.0, "carrier": None}},
        {"features": {"distance": 12345678901234567890123, "dep_delay": 1e-320}},
        {"features": {"distance": 0.1 + 0.2, "dep_delay": 5e-324, "carrier": "é😀"}},
        {"tags": None},
        {"tags": {"desk": "", "region": "x" * 300}},
    ]
)


@settings(deadline=None, max_examples=80)
@given(st.lists(plain_changes, min_size=1, max_size=8), st.sampled_from([T0 + 1000, -1]))
def test_plain_events_are_read(changes: list[dict[str, Any]], clock: int) -> None:
    rows = [event(prediction_id=f"p{row}", **change) for row, change in enumerate(changes)]
    values = [json.dumps(fields, ensure_ascii=False).encode() for fields in rows]
    poll = of([(value, b"p%d" % row) for row, value in enumerate(values)], clock)
    assert in_thread(BINARY, poll) == by_type(BINARY, poll)


@pytest.mark.parametrize("version", ["3", 3, 0])
@pytest.mark.parametrize("timestamp", [T0, "2025-11-24T16:00:00.25Z"])
@pytest.mark.parametrize("prediction", ["delayed", 1])
def test_fields_of_two_types_are_read_as_they_come(
    version: Any, timestamp: Any, prediction: Any
) -> None:
    fields = event(model_version=version, timestamp=timestamp, prediction=prediction)
    poll = messages([fields] * 3)
    assert in_thread(BINARY, poll) == by_type(BINARY, poll) != [None] * 3
    # And both in one poll are not plain.
    assert in_thread(BINARY, messages([fields, event(model_version=7.5)])) is None


def test_numbers_are_predicted() -> None:
    poll = messages([good(REGRESSION, row) for row in range(5)])
    assert in_thread(REGRESSION, poll) == by_type(REGRESSION, poll)


changes = st.one_of(
    st.tuples(st.sampled_from([*event(), "trace", ""]), st.one_of(anything, st.just(...))),
    st.tuples(st.just("timestamp"), timestamps),
    st.tuples(st.just("features"), st.dictionaries(st.sampled_from(["distance", "zz"]), anything)),
    st.tuples(st.just("tags"), st.dictionaries(st.sampled_from(["region", "q"]), anything)),
)


@st.composite
def odd(draw: st.DrawFn, schema: ModelSchema) -> Pair:
    """A message with a change or two."""
    fields = good(schema, draw(st.integers(0, 9)))
    for name, value in draw(st.lists(changes, min_size=1, max_size=2)):
        fields[name] = value
    pair: Pair = draw(sent({name: value for name, value in fields.items() if value is not ...}))
    return pair


@settings(deadline=None, max_examples=250)
@given(st.data(), st.sampled_from([BINARY, REGRESSION]))
def test_what_is_not_plain_is_declined_or_read_alike(
    data: st.DataObject, schema: ModelSchema
) -> None:
    pairs: list[Pair] = [
        (json.dumps(good(schema, row)).encode(), f"p{row}".encode())
        for row in range(data.draw(st.integers(0, 2)))
    ]
    pairs.insert(data.draw(st.integers(0, len(pairs))), data.draw(odd(schema)))
    poll = of(pairs)
    assert in_thread(schema, poll) in (None, by_type(schema, poll))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", [*TOKENS])
def test_tokens_that_are_no_value_are_declined(name: str, place: int) -> None:
    for around in (event(latency_ms="@"), event(tags={"region": "@"}), event(features="@")):
        text = json.dumps(around).encode().replace(b'"@"', TOKENS[name])
        values: list[Any] = [event(), event()]
        values.insert(place, text)
        poll = messages(values)
        assert in_thread(BINARY, poll) is None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_document_is_declined(place: int) -> None:
    whole = json.dumps(event()).encode()
    bad = not_json(whole) | {
        "twice, in braces": b"{" + whole + whole + b"}",
        "goes on behind a NUL": whole + b"\0}",
        "a line feed within": whole.replace(b", ", b",\n", 1),
        "a field twice": whole[:-1] + b', "score": 0.5}',
        "a feature twice": whole.replace(b'{"distance"', b'{"distance": 1, "distance"'),
        "two, and one that is none": whole + whole,
    }
    for value in bad.values():
        values: list[Any] = [event(), event()]
        values.insert(place, value)
        assert in_thread(BINARY, messages(values)) is None
    # As many documents as messages, but not one in each.
    halves = [whole + b"{", whole[1:], whole[: len(whole) // 2], whole[len(whole) // 2 :]]
    assert in_thread(BINARY, messages([whole, *halves[:2]])) is None
    assert in_thread(BINARY, messages([whole + whole, *halves[2:]])) is None


def test_mutated_messages_are_declined_or_read_alike() -> None:
    rng = Random(20_261_129)
    texts = [json.dumps(good(BINARY, 1), ensure_ascii=False).encode() for _ in range(3)]
    texts.append(json.dumps(good(BINARY, 1), separators=(",", ":")).encode())
    taken = 0
    for _ in range(1_500):
        values = [rng.choice(texts), mutate(rng, rng.choice(texts))]
        poll = of([(value, b"p1") for value in values])
        found = in_thread(BINARY, poll)
        taken += found is not None
        assert found in (None, by_type(BINARY, poll))
    assert taken > 50, "some mutations leave an event an event"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(plain_changes, odd(BINARY)), min_size=1, max_size=12), st.data())
def test_a_poll_that_is_shared_out_becomes_the_same(drawn: list[Any], data: st.DataObject) -> None:
    pairs: list[Pair] = [
        each
        if isinstance(each, tuple)
        else (json.dumps(event(**{"prediction_id": f"p{row}", **each})).encode(), b"p%d" % row)
        for row, each in enumerate(drawn)
    ]
    poll = of(pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "LEAST", 1)
        patch.setattr(sharing, "FIRST", data.draw(st.floats(0, 0.9)))
        decoder = PredictionDecoder([BINARY], identified=["flight-delay"], threads=2)
        whole = NativeDecoder([BINARY]).decode(poll)
        for _ in range(2):
            found = decoder.decode(poll)
            assert outcomes(found, len(poll)) == outcomes(whole, len(poll))
            assert found.unknown_fields == whole.unknown_fields
            assert found.rejected == whole.rejected
