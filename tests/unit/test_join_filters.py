"""Filters: no key is missed, few are taken for others."""

import numpy as np
import pytest

from streamgauge.io.joining import filters
from streamgauge.io.joining.filters import Segment, marks


def test_a_full_segment_has_all_its_keys_and_few_others() -> None:
    rng = np.random.default_rng(3)
    data = rng.bytes(16 * (filters.SEGMENT_KEYS + 200_000))
    all_marks = marks([data])
    inside = all_marks.some(slice(0, filters.SEGMENT_KEYS))
    outside = all_marks.some(slice(filters.SEGMENT_KEYS, None))
    segment = Segment.empty()
    segment.add(inside)
    assert segment.room == 0
    assert segment.perhaps(inside).all()
    assert segment.perhaps(outside).mean() < 0.005
    again = Segment.restored(segment.data, segment.count)
    assert (again.words == segment.words).all()


def test_a_segment_that_was_cut_is_no_segment() -> None:
    with pytest.raises(ValueError, match="a segment of 8 bytes"):
        Segment.restored(bytes(8), 1)
