"""Whatever comes in, valid or broken: labels are decoded as the oracle says, however chunked."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.event_schema import event_schema, label_schema
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.learned_names import SIGHTINGS
from streamgauge.formats.messages import DeadLetterReason, RawMessages
from streamgauge.formats.typed_labels import BLOCK, TypedLabelDecoder
from tests.support.label_events import Poll, judge_labels, label, read_back
from tests.support.native_draws import anything, mutate, part, sent, timestamps
from tests.support.native_events import BINARY, T0, messages

SPECIES = ModelSchema(model="species", task=Task.MULTICLASS, classes=("a", "b"))
PRICE = ModelSchema(model="price", task=Task.REGRESSION, numeric=("distance",))
SCHEMAS = (BINARY, SPECIES, PRICE)

changes = st.one_of(
    st.tuples(
        st.sampled_from([*label(), "trace", "features", "x y", 'a"b', ""]),
        st.one_of(anything, st.just(...)),
    ),
    st.tuples(st.just("timestamp"), timestamps),
    st.tuples(st.just("label"), st.sampled_from(["a", "1", 1, 0, 2.5, -(2**63), 2**63, True])),
    st.tuples(st.just("label_version"), st.sampled_from([0, 1, 2, 2**63 - 1, 2**63, -1, None])),
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A good label event with a few changes."""
    schema = draw(st.sampled_from(SCHEMAS))
    drawn = dict(draw(st.lists(changes, max_size=3)))
    return label(**{"model": schema.model, **drawn})


polls = st.lists(documents().flatmap(sent), min_size=1, max_size=12)
clocks = st.sampled_from([T0 + 1000, -1])


def _poll(
    pairs: Sequence[tuple[bytes | None, bytes | None]], clock: int = T0 + 1000
) -> RawMessages:
    return messages([value for value, _ in pairs], [key for _, key in pairs], clock)


Decoder = type[LabelDecoder] | type[TypedLabelDecoder]
both = pytest.mark.parametrize("of", [LabelDecoder, TypedLabelDecoder])


def _decode(decoder: LabelDecoder | TypedLabelDecoder, poll: RawMessages) -> Poll:
    return read_back(decoder.decode(poll), len(poll))


@both
@settings(max_examples=200)
@given(polls, clocks)
def test_a_poll_becomes_what_the_oracle_says(
    of: Decoder, pairs: list[tuple[bytes | None, bytes | None]], clock: int
) -> None:
    poll = _poll(pairs, clock)
    assert _decode(of(SCHEMAS), poll) == judge_labels(SCHEMAS, poll)


@both
@settings(max_examples=60)
@given(polls, st.integers(0, 12))
def test_a_poll_decodes_the_same_whole_or_in_parts(
    of: Decoder, pairs: list[tuple[bytes | None, bytes | None]], cut: int
) -> None:
    poll = _poll(pairs)
    cut = min(cut, len(poll))
    whole = _decode(of(SCHEMAS), poll)
    decoder = of(SCHEMAS)
    joined = Poll()
    for start, stop in ((0, cut), *((row, row + 1) for row in range(cut, len(poll)))):
        piece = _decode(decoder, part(poll, start, stop))
        for model, labels in piece.labels.items():
            joined.labels[model] += labels
        joined.refused |= {start + row: refused for row, refused in piece.refused.items()}
        joined.tombstones += piece.tombstones
        joined.unknown_models += piece.unknown_models
        joined.unknown_fields += piece.unknown_fields
    assert joined == whole


@both
@settings(max_examples=60)
@given(polls)
def test_what_a_decoder_learns_changes_no_result(
    of: Decoder, pairs: list[tuple[bytes | None, bytes | None]]
) -> None:
    poll = _poll(pairs)
    fresh = _decode(of(SCHEMAS), poll)
    decoder = of(SCHEMAS)
    decoder.decode(_poll(pairs * SIGHTINGS))
    assert _decode(decoder, poll) == fresh


@both
def test_two_thousand_mutated_messages_are_each_judged_as_the_oracle_says(of: Decoder) -> None:
    rng = Random(20_250_102)
    good = [
        label(trace="4bf92f", größe=[1, {"a": "é"}]),
        label(model="species", label="Ü", label_version=...),
        label(model="price", label=-1.5e3, timestamp="2025-11-24T16:00:00.5Z"),
        label(model="price", label=7, label_version=None),
    ]
    values = [json.dumps(fields, ensure_ascii=False).encode() for fields in good]
    poll = _poll([(mutate(rng, rng.choice(values)), b"p1") for _ in range(2_000)])
    expected = judge_labels(SCHEMAS, poll)
    decoder = of(SCHEMAS)
    assert _decode(decoder, poll) == expected
    # Once more, now that the unknown fields are learned.
    assert _decode(decoder, poll) == expected
    assert set(expected.labels) == {schema.model for schema in SCHEMAS}
    assert {refused.reason for refused in expected.refused.values()} == set(DeadLetterReason)


@both
def test_blocks_leave_no_seam_in_a_long_poll(of: Decoder) -> None:
    rng = np.random.default_rng(3)
    pairs: list[tuple[bytes | None, bytes | None]] = []
    for row in range(2 * BLOCK + 500):
        fields = label(prediction_id=f"p{row}", label=f"class {rng.integers(40)}")
        if row % BLOCK in (0, BLOCK - 1):
            fields["label"] = None
        elif row % 7 == 0:
            fields["label_version"] = None
        elif row % 11 == 0:
            fields["timestamp"] = 0
        pairs.append((json.dumps(fields).encode(), f"p{row}".encode()))
    poll = _poll(pairs)
    assert _decode(of([BINARY]), poll) == judge_labels([BINARY], poll)


PUBLISHED = (
    Draft202012Validator(label_schema()),
    Draft202012Validator({**event_schema(), "anyOf": [{"$ref": "#/$defs/label"}]}),
)


NAMES = {schema.model for schema in SCHEMAS}


def _can_be_told(document: dict[str, Any]) -> bool:
    """Whether the schema can say it: it takes 1.0 for an integer and knows no watched models."""
    whole = [document.get(name) for name in ("timestamp", "label_version")]
    if any(isinstance(value, float) and value.is_integer() for value in whole):
        return False
    model = document.get("model")
    return not isinstance(model, str) or model in NAMES


def _is_json(document: dict[str, Any]) -> bool:
    text = json.dumps(document)
    return not any(word in text for word in ("@", "NaN", "Infinity"))


@settings(max_examples=300)
@given(documents().filter(_is_json).filter(_can_be_told))
def test_the_published_schema_and_the_decoder_take_the_same_documents(
    document: dict[str, Any],
) -> None:
    model = document.get("model")
    name = model if isinstance(model, str) else "flight-delay"
    reasons: set[DeadLetterReason | None] = set()
    # The schema knows no task, so that a label has to fit some task.
    for task in (Task.BINARY, Task.REGRESSION):
        decoded = LabelDecoder([ModelSchema(name, task)]).decode(messages([document]))
        reasons |= {each.reason for each in decoded.rejected} if decoded.rejected else {None}
    # Nor does it say which times are possible.
    fits = not reasons.isdisjoint({None, DeadLetterReason.TIMESTAMP})
    for schema in PUBLISHED:
        valid = schema.is_valid(document)
        assert fits or not valid, "the schema takes what is a dead letter"
        assert valid or None not in reasons, "the schema refuses a label"
