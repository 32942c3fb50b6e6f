"""State: whatever is plain comes back the same, and no damage to it goes unnoticed."""

import math
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from streamgauge.core.state import Part, Plain
from streamgauge.formats.plain_data import pack, unpack
from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_manifest import Position
from streamgauge.formats.state_records import Records, StateError
from streamgauge.formats.state_restore import restore

APP = "flights"

numbers = (
    arrays_of.boolean_dtypes()
    | arrays_of.integer_dtypes()
    | arrays_of.unsigned_integer_dtypes()
    | arrays_of.floating_dtypes()
    | arrays_of.complex_number_dtypes()
)
arrays = arrays_of.arrays(
    numbers, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | text
    | st.binary(max_size=20)
    | arrays
)
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


def same(left: Plain, right: Plain) -> bool:
    """Tell whether two pieces of plain data are of the same types and values, signs of 0 too."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        alike = left.shape == right.shape and left.dtype.newbyteorder("<") == right.dtype
        signs = left.dtype.kind != "f" or np.array_equal(np.signbit(left), np.signbit(right))
        nan = left.dtype.kind in "fc"
        return bool(alike and signs and np.array_equal(left, right, equal_nan=nan))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(v, right[k]) for k, v in left.items())
    return bool(left == right)


@given(plain)
def test_plain_data_comes_back_the_same(data: Plain) -> None:
    assert same(data, unpack(pack(data)))


@given(arrays)
def test_arrays_that_came_back_can_be_written_to(array: Any) -> None:
    again = unpack(pack(array))
    again[...] = 0
    assert not again.any()


states = st.dictionaries(text, plain, max_size=5)


def parts(state: dict[str, Plain], tokens: dict[str, int]) -> list[Part]:
    return [Part(key, tokens[key], partial(copy, data)) for key, data in state.items()]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(states, st.booleans(), st.booleans()), min_size=1, max_size=6),
    st.booleans(),
)
def test_the_topic_holds_what_the_last_committed_checkpoint_left(
    steps: list[tuple[dict[str, Plain], bool, bool]], adopting: bool
) -> None:
    topic: Records = {}
    journal = StateJournal(APP)
    left: dict[str, Plain] | None = None
    state: dict[str, Plain] = {}
    tokens: dict[str, int] = {}
    epochs = []
    for number, (news, commits, restarts) in enumerate(steps):
        state = {**dict(list(state.items())[::2]), **news}
        tokens |= dict.fromkeys(news, number)
        changes = journal.changes(parts(state, tokens), {("in", 3): Position(number, 0)})
        if commits:
            topic = written(topic, changes.messages())
            journal.committed()
            left = state
        found = restore(topic, APP)
        if left is None:
            assert found is None
            continue
        assert found is not None
        assert same(dict(sorted(left.items())), dict(sorted(found.kept.items())))
        if restarts:
            state = dict(found.kept)
            tokens = dict.fromkeys(state, -1)
            journal = StateJournal(APP, found)
            epochs.append(journal.epoch)
            if adopting:
                journal.adopt(parts(state, tokens))
    assert epochs == sorted(epochs)


@settings(max_examples=60)
@given(states, st.data())
def test_no_damage_to_any_record_goes_unnoticed(
    state: dict[str, Plain], data: st.DataObject
) -> None:
    topic = written(
        {}, StateJournal(APP).changes(parts(state, dict.fromkeys(state, 0)), {}).messages()
    )
    key = data.draw(st.sampled_from(sorted(topic)))
    offset, value = topic[key]
    kind = data.draw(st.sampled_from(["bit", "cut", "longer", "missing", "moved"]))
    rest = {k: v for k, v in topic.items() if k != key}
    if kind == "missing" and not rest:
        return  # An empty topic cannot be told from a new one.
    if kind == "bit":
        at = data.draw(st.integers(0, 8 * len(value) - 1))
        flipped = bytearray(value)
        flipped[at // 8] ^= 1 << at % 8
        rest[key] = offset, bytes(flipped)
    elif kind == "cut":
        rest[key] = offset, value[: data.draw(st.integers(0, len(value) - 1))]
    elif kind == "longer":
        rest[key] = offset, value + b"\x00"
    elif kind == "moved":
        rest[data.draw(st.binary(max_size=12).filter(lambda other: other not in topic))] = (
            offset,
            value,
        )
    with pytest.raises(StateError, match="--discard-state"):
        restore(rest, APP)


def written(topic: Records, messages: Any) -> Records:
    """Return a compacted topic after these messages."""
    after = dict(topic)
    for number, (key, value) in enumerate(messages):
        after.pop(key, None)
        if value is not None:
            after[key] = number, value
    return after
