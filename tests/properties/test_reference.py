"""References add up: any order, chunks and split of the events give the same counts."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.batch import EventBatch
from streamgauge.core.reference import Reference, ReferenceBuilder, merge_references
from tests.support import batches

LAYOUT = batches.layout()
EVENTS = 200
SPANS = st.sampled_from([60_000, 86_400_000, 100 * 86_400_000, 2_000 * 86_400_000])
SEEDS = st.integers(0, 2**32)


def build(parts: Sequence[EventBatch]) -> Reference:
    builder = ReferenceBuilder(LAYOUT, batches.SLICES)
    for part in parts:
        builder.add(part)
    return builder.finish()


def assert_same(first: Reference, second: Reference) -> None:
    assert first.rows == second.rows
    assert first.span == second.span
    assert first.panes is not None
    assert second.panes is not None
    assert first.panes.length_ms == second.panes.length_ms
    for one, two in (
        (first.block.counts, second.block.counts),
        (first.block.extremes, second.block.extremes),
        (first.hour_of_week, second.hour_of_week),
        (first.panes.panes, second.panes.panes),
        (first.panes.counts, second.panes.counts),
    ):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(first.block.sums, second.block.sums, rtol=1e-12, atol=1e-9)


@settings(max_examples=25)
@given(SEEDS, SPANS, st.lists(st.integers(0, EVENTS), max_size=5))
def test_any_order_and_chunks_give_the_same_reference(
    seed: int, span_ms: int, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    batch = batches.events(rng, EVENTS, span_ms=span_ms)
    order = rng.permutation(EVENTS)
    parts = [batches.take(batch, at) for at in np.split(order, sorted(cuts))]
    assert_same(build([batch]), build(parts))


@settings(max_examples=25)
@given(SEEDS, SPANS, st.integers(1, EVENTS - 1))
def test_two_halves_merge_to_the_whole_in_either_order(seed: int, span_ms: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    batch = batches.events(rng, EVENTS, span_ms=span_ms)
    order = rng.permutation(EVENTS)
    one, two = build([batches.take(batch, order[:cut])]), build([batches.take(batch, order[cut:])])
    whole = build([batch])
    assert_same(merge_references(one, two), whole)
    assert_same(merge_references(two, one), whole)
