"""Merging is concatenation: any grouping of the events gives the statistics of all of them."""

from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.partial import Partial, merge
from tests.support.counted import WIDTH, Counted, Small, block_of, counted, read

EVENTS = st.lists(
    st.builds(
        Small,
        pane=st.integers(0, 4),
        row=st.integers(0, 40),
        cell=st.integers(0, WIDTH - 1),
        value=st.integers(-1000, 1000),
    ),
    max_size=40,
)


def partial_of(events: list[Small]) -> Partial:
    panes = sorted({event.pane for event in events})
    return Partial(tuple((p, block_of([e for e in events if e.pane == p])) for p in panes))


def read_panes(partial: Partial) -> dict[int, Counted]:
    return {pane: read(block) for pane, block in partial.pieces}


@settings(max_examples=60)
@given(st.lists(EVENTS, max_size=6))
def test_merging_partials_is_counting_all_of_their_events(groups: list[list[Small]]) -> None:
    every = [event for events in groups for event in events]
    expected = {p: counted(e for e in every if e.pane == p) for p in {e.pane for e in every}}
    partials = [partial_of(events) for events in groups]
    forward = reduce(merge, partials, Partial(()))
    backward = reduce(lambda whole, part: merge(part, whole), partials, Partial(()))
    assert read_panes(forward) == read_panes(backward) == expected


@settings(max_examples=40)
@given(EVENTS, EVENTS, EVENTS)
def test_merging_is_associative(a: list[Small], b: list[Small], c: list[Small]) -> None:
    first, second, third = partial_of(a), partial_of(b), partial_of(c)
    left = merge(merge(first, second), third)
    right = merge(first, merge(second, third))
    assert read_panes(left) == read_panes(right)
