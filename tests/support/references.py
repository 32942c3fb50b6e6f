"""What it means for two references to be the same."""

import numpy as np

from streamgauge.core.reference import Reference


def assert_identical(first: Reference, second: Reference) -> None:
    """Every count, every float and every text is the same."""
    assert first.layout == second.layout
    assert first.slices == second.slices
    assert first.rows == second.rows
    assert first.span == second.span
    assert first.zone == second.zone
    assert first.meta == second.meta
    assert first.sources == second.sources
    assert first.positive == second.positive
    for one, two in zip(first.block, second.block, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first.panes is None) == (second.panes is None)
    if first.panes is not None and second.panes is not None:
        assert first.panes.length_ms == second.panes.length_ms
        np.testing.assert_array_equal(first.panes.panes, second.panes.panes)
        np.testing.assert_array_equal(first.panes.counts, second.panes.counts)
        np.testing.assert_array_equal(first.hour_of_week, second.hour_of_week)
    assert (first.outcomes is None) == (second.outcomes is None)
    if first.outcomes is not None and second.outcomes is not None:
        assert_identical(first.outcomes, second.outcomes)
