"""Filters: no key is missed, few are taken for others."""

import numpy as np
import pytest

from streamgauge.io.joining.filters import Filter, prefixes_of

pytestmark = pytest.mark.usefixtures("either_way")


@pytest.mark.parametrize("keys", [1, 4096, 1 << 16, 1_000_000])
def test_a_filter_has_all_its_keys_and_few_others(keys: int) -> None:
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 2**64, (2 * keys + 200_000, 2), np.uint64)
    inside, outside = drawn[: 2 * keys], drawn[2 * keys :]
    filter_ = Filter.of([prefixes_of(inside[:keys])])
    assert filter_.has_room(keys)
    filter_.add(prefixes_of(inside[keys:]))
    assert np.array_equal(filter_.perhaps(inside), np.arange(2 * keys))
    assert len(filter_.perhaps(outside)) < 0.005 * len(outside)
    assert filter_.words.nbytes <= max(8, 4 * 2 * keys)
    assert not filter_.has_room(4 * keys + 4)
