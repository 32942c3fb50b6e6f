"""Filters: no key is missed, few are taken for others."""

import numpy as np
import pytest

from streamgauge.io.joining import filters
from streamgauge.io.joining.filters import Filter, Segment, marks


@pytest.mark.parametrize("keys", [4096, 1 << 16, filters.SEGMENT_KEYS])
def test_a_full_segment_has_all_its_keys_and_few_others(keys: int) -> None:
    rng = np.random.default_rng(3)
    data = rng.bytes(16 * (keys + 200_000))
    all_marks = marks([data])
    inside = all_marks.some(slice(0, keys))
    outside = all_marks.some(slice(keys, None))
    segment = Segment.empty(keys - 10)
    segment.add(inside)
    assert segment.room == 0
    assert segment.perhaps(inside).all()
    assert segment.perhaps(outside).mean() < 0.005
    again = Segment.restored(segment.data, segment.count)
    assert (again.words == segment.words).all()


@pytest.mark.parametrize(("size", "count"), [(8, 5), (0, 1), (24, 1), (12, 1)])
def test_a_segment_that_was_cut_is_no_segment(size: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"a segment of {size} bytes for {count} keys"):
        Segment.restored(bytes(size), count)


@pytest.mark.parametrize("expected", [0, 300_000])
def test_a_filter_grows_with_its_keys_and_stays_small(expected: int) -> None:
    rng = np.random.default_rng(4)
    filter_ = Filter(expected=expected)
    data = rng.bytes(16 * 300_000)
    for start in range(0, len(data), 16 * 1_000):
        new = filter_.add(marks([data[start : start + 16 * 1_000]]))
        assert new.mean() > 0.95
    assert filter_.perhaps(marks([data])).all()
    nbytes = sum(segment.words.nbytes for segment in filter_.segments)
    assert nbytes <= 8 * 300_000, "at most 8 bytes a key"
    assert len(filter_.segments) <= (1 if expected else 9)
    assert filter_.perhaps(marks([rng.bytes(16 * 300_000)])).mean() < 0.03
