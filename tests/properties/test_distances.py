"""What holds for every histogram: bounds, symmetries, and rows that do not touch each other."""

from random import Random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import NORMS, Measure, distances
from streamgauge.core.null_laws import NullLaws

EVERY = tuple(Measure)
AT_MOST_ONE = (
    Measure.JS,
    Measure.JS_DISTANCE,
    Measure.HELLINGER,
    Measure.TVD,
    Measure.LINF,
    Measure.KS,
)
SYMMETRIC = tuple(m for m in Measure if m not in (Measure.KL, Measure.CHI2))
COUNT = st.one_of(st.integers(0, 3), st.integers(0, 400), st.integers(0, 10**7))


@st.composite
def tables(draw: st.DrawFn) -> tuple[IntArray, IntArray]:
    """Current and reference counts of one shape, with an event on each side of every row."""
    rows, bins = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    row = st.lists(COUNT, min_size=bins, max_size=bins).filter(any)
    side = st.lists(row, min_size=rows, max_size=rows)
    return np.array(draw(side), np.int64), np.array(draw(side), np.int64)


def grid(counts: IntArray) -> FloatArray:
    """Bin positions for these counts."""
    return np.arange(counts.shape[1], dtype=np.float64)[None, :] * 1.5


@given(tables())
def test_distances_are_never_negative_and_bounded_where_they_should_be(
    table: tuple[IntArray, IntArray],
) -> None:
    found = distances(*table, measures=EVERY, sigma=2.0, positions=grid(table[0]))
    for measure, values in found.items():
        assert (values >= 0).all()
        if measure in AT_MOST_ONE:
            assert (values <= 1 + 1e-12).all()


@given(tables())
def test_symmetric_distances_do_not_care_which_side_is_which(
    table: tuple[IntArray, IntArray],
) -> None:
    there = distances(*table, measures=SYMMETRIC, sigma=2.0, positions=grid(table[0]))
    back = distances(*table[::-1], measures=SYMMETRIC, sigma=2.0, positions=grid(table[0]))
    for measure in SYMMETRIC:
        assert np.allclose(there[measure], back[measure], rtol=1e-9, atol=1e-7)


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_bins_matters_to_ordered_measures_alone(
    table: tuple[IntArray, IntArray], random: Random
) -> None:
    order = list(range(table[0].shape[1]))
    random.shuffle(order)
    plain = distances(*table, measures=EVERY)
    shuffled = distances(table[0][:, order], table[1][:, order], measures=EVERY)
    for measure, values in plain.items():
        assert np.allclose(values, shuffled[measure], rtol=1e-9, atol=1e-7)


@given(tables(), st.integers(2, 50))
def test_norms_depend_on_frequencies_alone(table: tuple[IntArray, IntArray], factor: int) -> None:
    plain = distances(*table, measures=NORMS, sigma=2.0, positions=grid(table[0]))
    more = distances(
        table[0] * factor, table[1], measures=NORMS, sigma=2.0, positions=grid(table[0])
    )
    for measure in NORMS:
        assert np.allclose(plain[measure], more[measure], rtol=1e-12, atol=1e-14)


@settings(max_examples=40)
@given(tables(), st.floats(1, 20))
def test_evaluations_are_probabilities_and_corrections_only_take_away(
    table: tuple[IntArray, IntArray], phi: float
) -> None:
    found = NullLaws().evaluate(*table, sigma=2.0, phi=phi, positions=grid(table[0]))
    for measure in EVERY:
        assert ((found.p_value[measure] >= 0) & (found.p_value[measure] <= 1)).all()
        assert (found.corrected[measure] >= 0).all()
        assert (found.corrected[measure] <= found.raw[measure]).all()


@settings(max_examples=40)
@given(tables(), tables())
def test_what_was_evaluated_before_leaves_no_trace(
    table: tuple[IntArray, IntArray], other: tuple[IntArray, IntArray]
) -> None:
    laws = NullLaws(capacity=2)
    laws.evaluate(*other, sigma=2.0, positions=grid(other[0]))
    laws.evaluate(table[0], table[1][::-1], sigma=2.0, positions=grid(table[0]))
    later = laws.evaluate(*table, sigma=2.0, positions=grid(table[0]))
    first = NullLaws().evaluate(*table, sigma=2.0, positions=grid(table[0]))
    for measure in EVERY:
        assert np.array_equal(later.p_value[measure], first.p_value[measure])
        assert np.array_equal(later.corrected[measure], first.corrected[measure])


@settings(max_examples=40)
@example((np.array([[1, 0, 0], [2701, 0, 2]]), np.array([[0, 1, 3], [155_161, 3, 3]])))
@given(tables())
def test_rows_are_evaluated_alone_as_among_others(table: tuple[IntArray, IntArray]) -> None:
    together = NullLaws().evaluate(*table, sigma=2.0, positions=grid(table[0]))
    for row in range(len(table[0])):
        one = [side[[row]] for side in table]
        alone = NullLaws().evaluate(one[0], one[1], sigma=2.0, positions=grid(table[0]))
        for measure in EVERY:
            for figures, single in (
                (together.p_value, alone.p_value),
                (together.corrected, alone.corrected),
            ):
                assert np.allclose(figures[measure][row], single[measure], rtol=1e-4, atol=1e-9)


@settings(max_examples=40)
@given(tables(), st.sampled_from(EVERY))
def test_the_true_effect_lies_in_a_proper_interval(
    table: tuple[IntArray, IntArray], measure: Measure
) -> None:
    narrow, wide = (
        NullLaws().effect_interval(
            measure, *table, sigma=2.0, level=level, positions=grid(table[0])
        )
        for level in (0.5, 0.99)
    )  # fmt: skip
    assert (wide[0] >= 0).all()
    assert (wide[0] <= narrow[0]).all()
    assert (narrow[0] <= narrow[1]).all()
    assert (narrow[1] <= wide[1] + 1e-12).all()
