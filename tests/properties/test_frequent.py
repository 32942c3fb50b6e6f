"""The Misra–Gries bound holds for any stream, however it is cut up and merged."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.frequent import FrequentValues

STREAM = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=60), max_size=8)


@settings(max_examples=150)
@given(STREAM, st.integers(1, 12), st.booleans())
def test_no_count_is_too_high_or_low_by_more_than_the_bound(
    parts: list[list[str]], capacity: int, merged: bool
) -> None:
    whole = FrequentValues(capacity)
    for values in parts:
        if merged:
            part = FrequentValues(capacity)
            part.add(Counter(values))
            whole.add(part.counts)
        else:
            whole.add(Counter(values))
    truth = Counter(value for values in parts for value in values)
    bound = truth.total() / (capacity + 1)
    assert len(whole.counts) <= capacity
    for value, count in truth.items():
        assert count - bound <= whole.counts.get(value, 0) <= count
    assert set(whole.counts) <= set(truth)
