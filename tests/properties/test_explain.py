"""A change is never larger in the whole than in its slices together."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamgauge.core.batch import IntArray
from streamgauge.core.detectors.series import series_table
from streamgauge.core.explain import Explainer
from tests.support.drawn import COLOUR, LAW, LAYOUT, cells_of, draw, reference_of

MISSING = "colour.missing"
BEFORE = draw(np.random.default_rng(1), LAW, 5_000)
WIDTH = cells_of(COLOUR).stop - cells_of(COLOUR).start


@settings(max_examples=60)
@given(
    st.integers(1, 6).flatmap(
        lambda k: arrays.arrays(np.int64, (k, WIDTH), elements=st.integers(0, 500))
    ),
    st.integers(0, 2**32),
)
def test_what_a_whole_explains_is_at_most_what_its_slices_explain_together(
    colours: npt.NDArray[np.int64], seed: int
) -> None:
    """Where slices expect what the whole expects: n·d² is convex in the counts."""
    reference = reference_of({(): BEFORE})
    table = series_table(LAYOUT, BEFORE, None)
    explainer = Explainer(reference, table, None)
    rng = np.random.default_rng(seed)
    slices: IntArray = np.stack([draw(rng, LAW, 10) for _ in colours])
    slices[:, cells_of(COLOUR)] = colours
    counts = np.concatenate([slices.sum(axis=0, keepdims=True), slices])
    known = np.full(len(counts), 0)
    for number, subject in enumerate(table.subjects):
        if subject == COLOUR or subject.name == MISSING:
            sizes = explainer.sizes(number, known, counts, np.ones(len(counts)), (0, 3_600_000))
            whole, *parts = (size.explains for size in sizes)
            assert whole <= sum(parts) * (1 + 1e-9) + 1e-9
            assert sizes[0].samples == sum(size.samples for size in sizes[1:])
