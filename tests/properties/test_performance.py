"""What holds for all labelled events: parts add up, rows stand alone, bounds are never broken."""

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from streamgauge.core.batch import BoolArray
from streamgauge.core.performance.binary import binary_figures
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.performance.sums import Sums, added
from tests.support.labelled import (
    BinaryEvents,
    ClassEvents,
    NumberEvents,
    binary_events,
    class_events,
    number_events,
)

ROWS = 3
SCORE = st.one_of(
    st.floats(0.0, 1.0),
    st.integers(0, 100).map(lambda i: i / 100),
    st.floats(0.5, 0.515),
)


@st.composite
def scored_events(draw: st.DrawFn) -> BinaryEvents:
    """Few events of any scores, with ties, on bin edges and crowded in a bin, of both labels."""
    events = draw(st.lists(st.tuples(st.booleans(), SCORE), min_size=2, max_size=60))
    truth = np.array([label for label, _ in events])
    truth[:2] = False, True
    score = np.array([value for _, value in events])
    return BinaryEvents(np.zeros(len(events), int), truth, score)


@settings(max_examples=300)
@given(scored_events())
def test_ranking_figures_are_never_further_from_those_of_the_scores_than_their_bound(
    events: BinaryEvents,
) -> None:
    found = binary_figures(events.sums(1))
    for figure, oracle in (
        (found.auc, metrics.roc_auc_score),
        (found.average_precision, metrics.average_precision_score),
    ):
        exact = oracle(events.truth, events.score)
        assert abs(figure.estimate.value[0] - exact) <= figure.bound[0] + 1e-12


@given(scored_events())
def test_limits_enclose_their_figure_and_stay_in_its_range(events: BinaryEvents) -> None:
    found = binary_figures(events.sums(1))
    shares = [
        *found.decisions[:-1], found.auc.estimate, found.average_precision.estimate, found.ece,
        found.brier,
    ]  # fmt: skip
    for low, estimate in [(0.0, each) for each in shares] + [(-1.0, found.decisions.mcc)]:
        value, lower, upper = (limit[0] for limit in estimate)
        if not np.isnan(value):
            assert low - 1e-12 <= lower <= value + 1e-12
            assert value - 1e-12 <= upper <= 1.0 + 1e-12


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 40), parts=st.integers(1, 4))
def test_sums_of_parts_in_any_order_are_those_of_the_whole(seed: int, n: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    part = rng.integers(0, parts, n * ROWS)
    order = rng.permutation(parts)
    binary = binary_events(n, ROWS, seed)
    pieces = [BinaryEvents(*picked(binary, part == k)).sums(ROWS) for k in order]
    alike(total(pieces), binary.sums(ROWS))
    classes = class_events(n, ROWS, seed)
    counts = [ClassEvents(*picked(classes, part == k)).sums(ROWS) for k in order]
    alike(total(counts), classes.sums(ROWS))
    numbers = number_events(n, ROWS, seed)
    moments = [NumberEvents(*picked(numbers, part == k)).sums(ROWS) for k in order]
    alike(total(moments), numbers.sums(ROWS))


def picked(events: Iterable[Any], rows: BoolArray) -> Iterator[Any]:
    return (column[rows] for column in events)


def total(parts: list[Sums]) -> Sums:
    return reduce(added, parts)


def alike(parts: Iterable[Any], whole: Iterable[Any]) -> None:
    for mine, theirs in zip(parts, whole, strict=True):
        assert mine.dtype == theirs.dtype
        if mine.dtype == np.int64:
            assert (mine == theirs).all()
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-6)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30))
def test_a_rows_figures_are_the_same_alone(seed: int, n: int) -> None:
    events = binary_events(n, ROWS, seed)
    together = binary_figures(events.sums(ROWS))
    for row in range(ROWS):
        mine = events.rows == row
        alone = binary_figures(
            BinaryEvents(events.rows[mine] - row, events.truth[mine], events.score[mine]).sums(1)
        )
        for left, right in (
            (together.auc.estimate, alone.auc.estimate),
            (together.average_precision.estimate, alone.average_precision.estimate),
            (together.decisions.mcc, alone.decisions.mcc),
            (together.ece, alone.ece),
            (together.log_loss, alone.log_loss),
        ):
            same(left, right, row)


def same(together: Estimate, alone: Estimate, row: int) -> None:
    np.testing.assert_allclose([limit[row] for limit in together], [limit[0] for limit in alone])


def test_sums_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        added(binary_events(5, 2, seed=1).sums(2), binary_events(5, 1, seed=1).sums(1))
