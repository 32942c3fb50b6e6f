"""Outcomes add up: however labelled events are divided, and when they are taken away again."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.batch import CodeArray, FloatArray, Task
from streamgauge.core.blocks import Block, total
from streamgauge.core.outcomes.counting import OutcomeCounter, Outcomes
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.performance.binary import SCORE_BINS
from streamgauge.core.reference import ReferenceBuilder
from tests.support import labelled_batches as drawn

EVENTS = 120
ROWS = 5
LAYOUTS = {task: OutcomeLayout(drawn.layout(task)) for task in Task}

SEEDS = st.integers(0, 2**32 - 1)
TASKS = st.sampled_from(Task)


def outcomes(task: Task, seed: int, n: int = EVENTS) -> Outcomes:
    """Labelled events at random, in the whole and in one slice of `ROWS`."""
    rng = np.random.default_rng(seed)
    layout = LAYOUTS[task]
    widths = np.diff(layout.feature_starts)
    score = rng.random(n)
    score[rng.random(n) < 0.2] = np.nan

    def side() -> CodeArray | FloatArray:
        if task is Task.REGRESSION:
            return rng.normal(50.0, 5.0, n)
        return rng.integers(0, len(layout.classes), n, dtype=np.int32)

    return Outcomes(
        np.stack([np.zeros(n, np.int32), rng.integers(1, ROWS, n, np.int32)], axis=1),
        (rng.random((n, len(widths))) * widths).astype(np.uint16),
        side(),
        score,
        side(),
    )


def take(events: Outcomes, at: npt.NDArray[np.intp]) -> Outcomes:
    return Outcomes(
        events.rows[at], events.bins[at], events.predicted[at], events.score[at], events.label[at]
    )


def added(layout: OutcomeLayout, blocks: list[Block]) -> Block:
    """The sum of blocks over all rows, in their order."""
    zeros = Block(
        np.arange(ROWS),
        np.zeros((ROWS, layout.width), np.int64),
        np.zeros((ROWS, layout.sums, 2)),
        np.empty((ROWS, 0, 2)),
    )
    found = total([zeros, *blocks], layout.width, layout.sums, 0)
    return found.take(np.argsort(found.rows))


def assert_equal(first: Block, second: Block) -> None:
    """The counts are the same, the sums to the last digits."""
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.counts, second.counts)
    np.testing.assert_allclose(first.sums, second.sums, rtol=1e-9, atol=1e-9)


@settings(max_examples=40)
@given(TASKS, SEEDS, st.lists(st.integers(0, EVENTS), max_size=5))
def test_batches_add_up_to_all_events(task: Task, seed: int, cuts: list[int]) -> None:
    events, layout = outcomes(task, seed), LAYOUTS[task]
    counter = OutcomeCounter(layout)
    order = np.random.default_rng(seed).permutation(EVENTS)
    whole = counter.blocks(events, np.zeros(EVENTS, np.int64))
    parts = [
        counter.blocks(take(events, at), np.zeros(len(at), np.int64))
        for at in np.split(order, sorted(cuts))
    ]
    assert_equal(
        added(layout, [block for _, block in whole]),
        added(layout, [block for part in parts for _, block in part]),
    )


@settings(max_examples=40)
@given(TASKS, SEEDS, st.integers(1, 9))
def test_every_pane_holds_its_own_events(task: Task, seed: int, panes: int) -> None:
    events, layout = outcomes(task, seed), LAYOUTS[task]
    counter = OutcomeCounter(layout)
    pane = np.random.default_rng(seed).integers(-3, panes, EVENTS)
    found = counter.blocks(events, pane)
    assert {number for number, _ in found} == set(pane.tolist())
    for number in np.unique(pane).tolist():
        at = np.flatnonzero(pane == number)
        alone = counter.blocks(take(events, at), np.zeros(len(at), np.int64))
        assert_equal(
            added(layout, [block for its, block in found if its == number]),
            added(layout, [block for _, block in alone]),
        )


@pytest.mark.parametrize("task", Task)
def test_specifications_that_are_counted_together_have_what_each_has_alone(task: Task) -> None:
    rng = np.random.default_rng(5)
    counter, held = OutcomeCounter(LAYOUTS[task]), []
    for n, panes in ((30_000, 1), (30_000, 3), (3_000, 40)):
        sizes = (1, 3, 4, 9, 700)
        firsts = np.cumsum((0, *sizes[:-1]))
        rows = np.stack(
            [first + rng.integers(0, k, n) for first, k in zip(firsts, sizes, strict=True)], axis=1
        )
        events = outcomes(task, n + panes, n)._replace(rows=rows.astype(np.int32))
        pane = rng.integers(7, 7 + panes, n)
        together = counter.blocks_by_spec(events, pane)
        held.append(
            (
                together,
                [[(p, b.take(np.arange(len(b.rows)))) for p, b in spec] for spec in together],
            )
        )
        for spec, blocks in enumerate(together):
            (alone,) = counter.blocks_by_spec(
                events._replace(rows=events.rows[:, spec : spec + 1]), pane
            )
            for (number, mine), (other, theirs) in zip(blocks, alone, strict=True):
                assert number == other
                assert_equal(mine, theirs)
                members = (pane == number) & np.isin(rows[:, spec], mine.rows)
                assert mine.counts[:, LAYOUTS[task].watched.cells(0)].sum() == members.sum()
    for together, before in held:
        # What later calls count into is no memory that somebody still has.
        for blocks, copies in zip(together, before, strict=True):
            for (_, mine), (_, theirs) in zip(blocks, copies, strict=True):
                assert np.array_equal(mine.counts, theirs.counts)


@settings(max_examples=40)
@given(TASKS, SEEDS)
def test_what_is_taken_away_leaves_nothing(task: Task, seed: int) -> None:
    events, layout = outcomes(task, seed), LAYOUTS[task]
    blocks = [
        block for _, block in OutcomeCounter(layout).blocks(events, np.zeros(EVENTS, np.int64))
    ]
    left = added(layout, [*blocks, *(block.negated() for block in blocks)])
    assert not left.counts.any()
    largest = max(float(np.abs(block.sums).max(initial=1.0)) for block in blocks)
    np.testing.assert_allclose(left.sums, 0.0, atol=1e-12 * largest)


@settings(max_examples=40)
@given(TASKS, SEEDS)
def test_all_sections_count_the_same_events(task: Task, seed: int) -> None:
    events, layout = outcomes(task, seed), LAYOUTS[task]
    block = added(
        layout,
        [b for _, b in OutcomeCounter(layout).blocks(events, np.zeros(EVENTS, np.int64))],
    )
    counts = block.counts
    expected = np.bincount(events.rows.ravel(), minlength=ROWS)
    for position in range(len(layout.watched.fields)):
        np.testing.assert_array_equal(
            counts[:, layout.watched.cells(position)].sum(axis=1), expected
        )
    features = counts[:, layout.feature_counts].sum(axis=1)
    np.testing.assert_array_equal(features, expected * len(layout.features))
    if task is Task.REGRESSION:
        return
    confusion = counts[:, layout.confusion].reshape(ROWS, len(layout.classes), -1)
    np.testing.assert_array_equal(confusion.sum(axis=(1, 2)), expected)
    wrong = confusion.sum(axis=(1, 2)) - np.trace(confusion, axis1=1, axis2=2)
    errors = counts[:, layout.feature_errors].sum(axis=1)
    np.testing.assert_array_equal(errors, wrong * len(layout.features))
    scored = np.bincount(events.rows[np.isfinite(events.score)].ravel(), minlength=ROWS)
    histogram = counts[:, layout.histogram].reshape(ROWS, 2, SCORE_BINS)
    np.testing.assert_array_equal(histogram.sum(axis=(1, 2)), scored)


@settings(max_examples=20)
@given(TASKS, SEEDS, st.lists(st.integers(0, EVENTS), max_size=4), st.booleans())
def test_a_reference_does_not_depend_on_batches(
    task: Task, seed: int, cuts: list[int], label_times: bool
) -> None:
    frame = drawn.draw(task, EVENTS, seed)
    order = np.random.default_rng(seed).permutation(EVENTS)
    parts = [frame.iloc[at] for at in np.split(order, sorted(cuts))]
    found = []
    for frames in ([frame], parts):
        builder = ReferenceBuilder(drawn.layout(task), drawn.SLICES)
        for part in frames:
            builder.add(drawn.batch(pd.DataFrame(part), task, label_times=label_times))
        found.append(builder.finish().outcomes)
    one, two = found
    assert one is not None
    assert two is not None
    assert_equal(one.block, two.block)
    assert one.rows == two.rows
    assert one.span == two.span
    assert one.panes is not None
    assert two.panes is not None
    np.testing.assert_array_equal(one.hour_of_week, two.hour_of_week)
    np.testing.assert_array_equal(one.panes.panes, two.panes.panes)
    np.testing.assert_array_equal(one.panes.counts, two.panes.counts)


def test_an_empty_batch_has_no_blocks() -> None:
    for task, layout in LAYOUTS.items():
        events = take(outcomes(task, 1), np.empty(0, np.intp))
        assert OutcomeCounter(layout).blocks(events, np.empty(0, np.int64)) == []
