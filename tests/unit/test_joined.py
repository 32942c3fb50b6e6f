"""Joined byte strings: a sequence like any other, in one array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.formats.joined import PAD, JoinedBytes, begin_with

VALUES = st.lists(st.none() | st.binary(max_size=20), max_size=30)
PREFIX = b"\xff\xff"


@given(VALUES, st.data())
def test_joined_bytes_are_what_was_joined(values: list[bytes | None], data: st.DataObject) -> None:
    joined = JoinedBytes.of(values)
    assert len(joined) == len(values)
    assert list(joined) == values
    assert joined.text[-len(PAD) :].tobytes() == PAD
    assert not joined.text[joined.ends[joined.ends >= joined.begins]].any(), "a NUL after each"
    some = slice(*sorted(data.draw(st.tuples(st.integers(0, 30), st.integers(0, 30)))))
    assert joined[some] == values[some]
    places = data.draw(st.lists(st.sampled_from(range(len(values))))) if values else []
    assert list(joined.take(np.array(places, np.int64))) == [values[place] for place in places]
    assert [joined[place] for place in places] == [values[place] for place in places]
    assert JoinedBytes.of(joined) is joined


@given(st.lists(st.none() | st.sampled_from([b"", PREFIX[:1], PREFIX, PREFIX + b"x", b"{"])))
def test_which_begin_with_a_prefix(values: list[bytes | None]) -> None:
    expected = [value is not None and value.startswith(PREFIX) for value in values]
    for sequence in (values, JoinedBytes.of(values)):
        found = begin_with(sequence, PREFIX)
        assert (found is None and not any(expected)) or (
            found is not None and found.tolist() == expected
        )


def test_what_is_compact_holds_nothing_else() -> None:
    whole = JoinedBytes.of([b"x" * 10_000, b"kept", None])
    kept = whole.take(np.array([1, 2]))
    assert kept.text is whole.text
    assert list(kept.compact()) == [b"kept", None]
    assert len(kept.compact().text) == len(b"kept\0\0") + len(PAD)


def test_places_beyond_the_last_are_errors() -> None:
    with pytest.raises(IndexError):
        JoinedBytes.of([b"a"])[1]
