"""Whatever comes in, valid or broken: the decoder agrees with the oracle, however it is chunked."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.batch import Categories, FloatArray, ModelSchema, Task
from streamgauge.core.grouping import slice_rows
from streamgauge.core.slices import Dimension, RowKey, SliceRegistry, SliceSpec
from streamgauge.formats.learned_names import SIGHTINGS
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.typed import TypedDecoder
from tests.support.native_draws import anything, mutate, part, sent, timestamps
from tests.support.native_events import BINARY, T0, Outcome, event, messages, outcomes
from tests.support.native_oracle import judge

SCHEMAS = (
    BINARY,
    ModelSchema(
        model="species",
        task=Task.MULTICLASS,
        numeric=("width",),
        tags=("region",),
        classes=("a", "b", "c"),
    ),
    ModelSchema(model="open", task=Task.MULTICLASS, categorical=("carrier", "größe")),
    ModelSchema(model="price", task=Task.REGRESSION, numeric=("distance", 'a"b', "\x1b[31m")),
    ModelSchema(model="bare", task=Task.BINARY),
)

class_scores = st.one_of(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0, 0.25, 0.5, 1, 1.0, 2])),
    st.sampled_from(
        [
            {"a": 0.2, "b": 0.3, "c": 0.5},
            {"a": 0.2, "b": 0.3, "c": 0.501},
            {"a": 0.2, "b": 0.3, "c": 0.5011},
            {"a": 1, "b": 0, "c": 0},
        ]
    ),
)
field_changes = st.one_of(
    st.tuples(
        st.sampled_from([*event(), "trace", "größe", "x y", 'a"b', ""]),
        st.one_of(anything, st.just(...)),
    ),
    st.tuples(st.just("timestamp"), timestamps),
    st.tuples(st.just("status"), st.sampled_from(["ok", "timeout", "\0"])),
    st.tuples(st.just("score"), class_scores),
    st.tuples(st.just("prediction"), st.sampled_from(["a", "b", 1, 2, "1", 0.25, "\0"])),
    st.tuples(st.just("tags"), st.dictionaries(st.sampled_from(["region", "desk", "q"]), anything)),
)
feature_changes = st.tuples(
    st.sampled_from(["distance", "dep_delay", "carrier", "holiday", "width", "größe", 'a"b', "zz"]),
    st.one_of(anything, st.just(...)),
)


@st.composite
def message(draw: st.DrawFn) -> tuple[bytes | None, bytes | None]:
    """The value and key of one message: a good event with a few changes, or bytes of any kind."""
    schema = draw(st.sampled_from(SCHEMAS))
    fields = event(model=schema.model)
    fields["features"] = dict.fromkeys(schema.numeric, 1.5)
    fields["features"] |= dict.fromkeys(schema.categorical, "UA")
    fields["features"] |= dict.fromkeys(schema.boolean, True)
    if schema.task is Task.MULTICLASS:
        fields |= {"prediction": "a", "score": {"a": 0.5, "b": 0.25, "c": 0.25}}
    for name, value in draw(st.lists(feature_changes, max_size=2)):
        fields["features"][name] = value
    for name, value in draw(st.lists(field_changes, max_size=2)):
        fields[name] = value
    for holder in (fields, fields.get("features")):
        if isinstance(holder, dict):
            for name in [name for name, value in holder.items() if value is ...]:
                del holder[name]
    return draw(sent(fields))


Decoder = type[NativeDecoder] | type[TypedDecoder]
each_decoder = pytest.mark.parametrize("decoder", [NativeDecoder, TypedDecoder])
polls = st.lists(message(), min_size=1, max_size=12)
clocks = st.sampled_from([T0 + 1000, -1])


def _poll(
    pairs: Sequence[tuple[bytes | None, bytes | None]], clock: int = T0 + 1000
) -> RawMessages:
    return messages([value for value, _ in pairs], [key for _, key in pairs], clock)


def _judge(poll: RawMessages) -> tuple[list[Outcome], int]:
    judged = [
        judge(SCHEMAS, value, key, clock, partition)
        for value, key, clock, partition in zip(
            poll.values,
            poll.keys,
            poll.broker_timestamp.tolist(),
            poll.partition.tolist(),
            strict=True,
        )
    ]
    return [outcome for outcome, _ in judged], sum(unknown for _, unknown in judged)


def _result(decoded: Decoded, n: int) -> tuple[list[Outcome], int]:
    return outcomes(decoded, n), decoded.unknown_fields


@each_decoder
@settings(max_examples=200)
@given(pairs=polls, clock=clocks)
def test_a_poll_becomes_what_the_oracle_says(
    decoder: Decoder, pairs: list[tuple[bytes | None, bytes | None]], clock: int
) -> None:
    poll = _poll(pairs, clock)
    assert _result(decoder(SCHEMAS).decode(poll), len(poll)) == _judge(poll)


@settings(max_examples=60)
@given(polls, st.integers(0, 12))
def test_a_poll_decodes_the_same_whole_or_in_parts(
    pairs: list[tuple[bytes | None, bytes | None]], cut: int
) -> None:
    poll = _poll(pairs)
    cut = min(cut, len(poll))
    whole = _result(NativeDecoder(SCHEMAS).decode(poll), len(poll))
    decoder = NativeDecoder(SCHEMAS)
    halves = [part(poll, 0, cut), part(poll, cut, len(poll))]
    singles = [part(poll, row, row + 1) for row in range(len(poll))]
    for parts in (halves, singles):
        results = [_result(decoder.decode(each), len(each)) for each in parts]
        joined = [outcome for outcomes_, _ in results for outcome in outcomes_]
        assert (joined, sum(unknown for _, unknown in results)) == whole


@each_decoder
@settings(max_examples=60)
@given(pairs=polls)
def test_what_a_decoder_learns_changes_no_result(
    decoder: Decoder, pairs: list[tuple[bytes | None, bytes | None]]
) -> None:
    poll = _poll(pairs)
    fresh = _result(decoder(SCHEMAS).decode(poll), len(poll))
    taught = decoder(SCHEMAS)
    taught.decode(_poll(pairs * SIGHTINGS))
    assert _result(taught.decode(poll), len(poll)) == fresh


@pytest.mark.parametrize("number", [b"0", b"-7", b"12345678901234567890123", b"1" + b"0" * 400])
@each_decoder
def test_whole_numbers_are_numbers_where_wrong_types_have_been_seen_often(
    decoder: Decoder, number: bytes
) -> None:
    text = (
        b'{"prediction_id": "p1", "timestamp": 1764000000000, "model": "flight-delay",'
        b' "features": {"distance": %s, "dep_delay": 1.5, "carrier": "UA", "holiday": true},'
        b' "prediction": 1, "score": 0.83}'
    )
    pairs = [(text % number, b"p1")]
    fresh = _result(decoder(SCHEMAS).decode(_poll(pairs)), 1)
    taught = decoder(SCHEMAS)
    taught.decode(_poll([(text % b"true", b"p1")] * SIGHTINGS * 3))
    assert _result(taught.decode(_poll(pairs)), 1) == fresh


@each_decoder
def test_two_thousand_mutated_messages_are_each_judged_as_the_oracle_says(decoder: Decoder) -> None:
    rng = Random(20_250_101)
    unknown: dict[str, Any] = {"trace": "4bf92f", "größe": [1, {"a": "é"}]}
    good = [
        event(**unknown),
        event(features=event()["features"] | {"extra": 1e5, "carrier": 7}),
        event(model="species", score={"a": 0.5, "b": 0.25, "c": 0.25}, prediction="a"),
        event(model="open", features={"carrier": "Ü", "größe": "xl"}, score={"1": 1}),
        event(model="price", prediction=-1.5e3, timestamp="2025-11-24T16:00:00.5Z"),
        event(model="bare", status="timeout", features=..., prediction=...),
        event(model="bare", tags={"a": True, "b": 1, "c": 1.5, "d": None}, features={}),
    ]
    values = [json.dumps(fields, ensure_ascii=False).encode() for fields in good]
    mutated = [mutate(rng, rng.choice(values)) for _ in range(2_000)]
    poll = _poll([(value, b"p1") for value in mutated])
    expected = _judge(poll)
    taught = decoder(SCHEMAS)
    assert _result(taught.decode(poll), len(poll)) == expected
    # Once more, now that the unknown fields and the loose feature are learned.
    assert _result(taught.decode(poll), len(poll)) == expected
    kinds = {type(outcome).__name__ for outcome in expected[0]}
    assert kinds == {"Event", "Refused", "NoneType"}


def _values(column: Categories | FloatArray) -> list[str | int]:
    """The value of each event, or the code of what is none."""
    assert isinstance(column, Categories)
    return [column.values[code] if code >= 0 else code for code in column.codes.tolist()]


def test_slices_have_the_same_rows_however_events_are_decoded() -> None:
    rng = Random(7)
    sent = []
    for row in range(2_000):
        tags = {"region": f"r{rng.randrange(9)}", "desk": rng.choice([None, 1, "1", 0.5, "x"])}
        fields = event(
            prediction_id=f"p{row}",
            tags=tags,
            model_version=rng.choice([None, 1, "1", "2"]),
            prediction=rng.choice([0, 1, "0", "b"]),
            features=event()["features"] | {"carrier": f"c{rng.randrange(30)}"},
            status=rng.choice(["ok", "ok", None, "timeout"]),
        )
        if rng.random() < 0.2:
            fields["trace"] = 1
        sent.append((json.dumps(fields).encode(), f"p{row}".encode()))
    for some in (sent, sent[:1], sent[:40]):
        poll = _poll(some)
        (mine,), (other,) = (
            NativeDecoder([BINARY]).decode(poll).batches,
            TypedDecoder([BINARY]).decode(poll).batches,
        )
        found: list[list[list[Any]]] = []
        keys: list[list[RowKey]] = []
        for batch in (mine, other):
            columns = (batch.version, batch.prediction, *batch.tags, *batch.categorical)
            found.append([*map(_values, columns)])
            # Caps let in who comes first.
            registry = SliceRegistry(max_slices=6, max_versions=2)
            for names in ((), ("carrier",), ("desk",), ("region", "carrier")):
                spec = SliceSpec(tuple(map(Dimension, names)))
                rows, at = slice_rows(batch, spec, registry)
                found[-1].append(rows[at].tolist())
            keys.append(registry.keys)
        assert found[0] == found[1]
        assert keys[0] == keys[1]


@each_decoder
def test_blocks_leave_no_seam_in_a_long_poll(decoder: Decoder) -> None:
    rng = np.random.default_rng(3)
    pairs: list[tuple[bytes | None, bytes | None]] = []
    for row in range(3_000):
        fields = event(prediction_id=f"p{row}", tags={"region": f"r{rng.integers(40)}"})
        if row % 1024 in (0, 1023):
            fields["score"] = 2
        elif row % 7 == 0:
            fields["features"] = {"distance": "far", "carrier": 1, "dep_delay": None}
        pairs.append((json.dumps(fields).encode(), f"p{row}".encode()))
    poll = _poll(pairs)
    assert _result(decoder([BINARY]).decode(poll), len(poll)) == _judge(poll)
