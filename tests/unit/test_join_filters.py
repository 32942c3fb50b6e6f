"""Filters: no key is missed, few are taken for others."""

import numpy as np
import pytest

from streamgauge.io.joining.filters import Filter, Marks, marks


@pytest.mark.parametrize("keys", [1, 4096, 1 << 16, 1_000_000])
def test_a_filter_has_all_its_keys_and_few_others(keys: int) -> None:
    rng = np.random.default_rng(3)
    all_marks = marks(rng.integers(0, 2**64, (keys + 200_000, 2), np.uint64))
    inside, outside = (
        Marks(*(column[chosen] for column in all_marks))
        for chosen in (slice(0, keys), slice(keys, None))
    )
    filter_ = Filter.empty(keys)
    filter_.add(inside)
    assert filter_.perhaps(inside).all()
    assert filter_.perhaps(outside).mean() < 0.005
    assert filter_.words.nbytes <= max(8, 4 * keys)
