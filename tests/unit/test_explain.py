"""Explanations of planted changes: how large, since when, in which words."""

import numpy as np
import pytest

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.blocks import SUM
from streamgauge.core.detectors.series import series_table
from streamgauge.core.explain import Explainer, Size
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import STATUS, Subject, SubjectKind
from streamgauge.core.slices import RowKey
from streamgauge.core.variation import variation
from streamgauge.core.windows import WindowSpec, WindowState
from tests.support.drawn import (
    COLOUR,
    LAW,
    LAYOUT,
    LENGTH,
    RED,
    block_of,
    cells_of,
    draw,
    known_reference,
    moved,
)

STEP = 10_000
START = 1_764_000_000_000
PERIOD = (START, START + 64 * STEP)
ALL = RowKey("1")
REFERENCE = known_reference()
TABLE = series_table(LAYOUT, REFERENCE.block.counts[0].astype(np.int64), None)
EXPLAINER = Explainer(REFERENCE, TABLE, np.ones(len(TABLE.series)))
MISSING = Subject(SubjectKind.DATA_QUALITY, "length.missing")
OUTSIDE = Subject(SubjectKind.DATA_QUALITY, "length.out_of_range")
CELLS = cells_of(LENGTH)
BINS = LAYOUT.fields[5].bins
MISSING_CELL = CELLS.start + BINS.value_bins


def number(subject: Subject) -> int:
    return TABLE.subjects.index(subject)


def size(subject: Subject, known: int, counts: IntArray, phi: float = 1.0) -> Size:
    [found] = EXPLAINER.sizes(
        number(subject), np.array([known]), counts[None], np.array([phi]), PERIOD
    )
    return found


def missing_more(share: float) -> FloatArray:
    """The law with a share more of the lengths missing."""
    return moved(LAW, LENGTH, BINS.value_bins, share)


def played(
    laws: list[FloatArray], events: int = 300, seed: int = 1
) -> tuple[WindowState, list[IntArray]]:
    """A window after steps of these laws in row 0; the last step is still open."""
    rng = np.random.default_rng(seed)
    window = WindowState(WindowSpec("w", 64 * STEP, STEP), LAYOUT.width, len(LAYOUT.numeric))
    seen = []
    for i, law in enumerate(laws):
        counts = draw(rng, law, events)
        start = START + i * STEP
        block = block_of({0: counts})
        block.sums[:, :, SUM] = 2.5 * events
        window.add(start, block)
        if i < len(laws) - 1:
            window.advance(start + STEP)
        seen.append(counts)
    return window, seen


def finding(subject: Subject, row: RowKey = ALL) -> Finding:
    nothing = Effect("", 0.0, 0.0, 0.0)
    return Finding(
        model="made-up",
        row=row,
        subject=subject,
        detector="e_detector",
        verdict=Verdict.DRIFT,
        statistic=1.0,
        threshold=0.5,
        effect=nothing,
        samples=0,
        start=START,
        end=PERIOD[1],
    )


def explained(
    subject: Subject, window: WindowState, row: RowKey = ALL, phi: float = 1.0
) -> Finding:
    return EXPLAINER.explain(finding(subject, row), number(subject), window, 0, phi)


@pytest.mark.parametrize("known", [0, 1])
def test_a_shape_has_moved_by_its_total_variation(known: int) -> None:
    counts = draw(np.random.default_rng(2), moved(LAW, LENGTH, 4, 0.1), 900)
    found = size(LENGTH, known, counts, phi=3.0)
    now = fold(counts[CELLS], BINS)[None].astype(np.float64)
    before = fold(REFERENCE.block.counts[known][CELLS].astype(np.int64), BINS)[None]
    value, lower, upper = (part[0] for part in variation(now, before, np.array([3.0])))
    assert found.effect == Effect("tvd", value, lower, upper)
    assert found.samples == now.sum()
    assert found.explains == pytest.approx(now.sum() * value**2)


def test_a_rate_has_moved_by_a_difference_of_shares() -> None:
    counts = draw(np.random.default_rng(3), missing_more(0.1), 900)
    found = size(MISSING, 1, counts, phi=2.0)
    q = counts[MISSING_CELL] / counts[CELLS].sum()
    before = REFERENCE.block.counts[1]
    p = before[MISSING_CELL] / before[CELLS].sum()
    error = 1.96 * np.sqrt(q * (1 - q) * 2.0 / 900)
    assert found.effect.measure == "share"
    assert found.effect.value == pytest.approx(q - p)
    assert found.effect.lower == pytest.approx(q - p - error)
    assert found.effect.upper == pytest.approx(q - p + error)
    assert found.samples == 900
    assert found.explains == pytest.approx(900 * (q - p) ** 2)


def test_a_rate_of_two_kinds_counts_both() -> None:
    counts = draw(np.random.default_rng(4), LAW, 500)
    counts[CELLS.start] += 7
    counts[MISSING_CELL - 1] += 5
    outside = counts[CELLS.start] + counts[MISSING_CELL - 1]
    before = REFERENCE.block.counts[0]
    expected = (
        outside / counts[CELLS].sum()
        - (before[CELLS.start] + before[MISSING_CELL - 1]) / before[CELLS].sum()
    )
    assert size(OUTSIDE, 0, counts).effect.value == pytest.approx(expected)


def test_of_an_unknown_row_the_whole_is_what_was_before() -> None:
    counts = draw(np.random.default_rng(5), LAW, 500)
    for subject in TABLE.subjects:
        assert size(subject, -1, counts) == size(subject, 0, counts)


def test_rows_without_events_have_not_moved() -> None:
    nothing = np.zeros(LAYOUT.width, np.int64)
    for subject in TABLE.subjects:
        found = size(subject, 0, nothing)
        assert found.samples == 0
        assert found.explains == 0.0
        assert np.isfinite([found.effect.value, found.effect.lower, found.effect.upper]).all()


@pytest.mark.parametrize("begun", [0, 12, 30, 39])
def test_the_onset_of_a_step_change_is_found(begun: int) -> None:
    changed = moved(LAW, LENGTH, 4, 0.4)
    for seed in range(5):
        window, seen = played([LAW] * begun + [changed] * (40 - begun), seed=seed)
        found = explained(LENGTH, window)
        assert found.onset is not None
        first = (found.onset - START) // STEP
        assert abs(first - begun) <= 1
        since = np.sum(seen[first:], axis=0)
        assert found.start == found.onset
        assert found.samples == since[CELLS][: BINS.value_bins].sum()
        assert found.effect == size(LENGTH, 0, since).effect


def test_the_onset_of_missing_values_is_found_and_their_shares_are_told() -> None:
    window, seen = played([LAW] * 20 + [missing_more(0.2)] * 10)
    found = explained(MISSING, window)
    assert found.onset == START + 20 * STEP
    since = np.sum(seen[20:], axis=0)
    before = REFERENCE.block.counts[0]
    old, new = (c[MISSING_CELL] / c[CELLS].sum() for c in (before, since))
    assert found.detail == f"{old:.2%} to {new:.2%}"
    assert found.effect == size(MISSING, 0, since).effect


def test_errors_of_the_service_are_explained_as_a_rate() -> None:
    window, _ = played([LAW] * 20 + [moved(LAW, STATUS, 1, 0.2)] * 10)
    found = explained(STATUS, window)
    assert found.effect.measure == "share"
    assert found.effect.value == pytest.approx(0.2, abs=0.03)
    assert found.onset == START + 20 * STEP


def test_of_a_number_the_means_before_and_after_are_told() -> None:
    window, seen = played([LAW] * 20 + [moved(LAW, LENGTH, 4, 0.5)] * 10)
    detail = explained(LENGTH, window).detail
    numbers = np.sum(seen[20:], axis=0)[CELLS][: BINS.value_bins].sum()
    # Every step was given sums of 2.5 an event, the reference none.
    assert isinstance(BINS, NumericBins)
    after = BINS.center + 2.5 * 3_000 / numbers
    assert detail.startswith(f"mean {BINS.center:,.4g} to {after:,.4g} (+")


def test_of_a_category_what_moved_most_is_told() -> None:
    window, _ = played([LAW] * 20 + [moved(LAW, COLOUR, 1, 0.3)] * 10)
    assert "green" in explained(COLOUR, window).detail


def test_a_slice_is_held_against_its_own_reference() -> None:
    window, seen = played([moved(LAW, LENGTH, 4, 0.3)] * 5)
    found = explained(LENGTH, window, RowKey("1", RED))
    assert found.effect == size(LENGTH, 1, np.sum(seen, axis=0)).effect
    assert found.effect != explained(LENGTH, window).effect


def test_dispersion_widens_the_effects_interval() -> None:
    window, _ = played([moved(LAW, LENGTH, 4, 0.3)] * 5)
    narrow, wide = (explained(LENGTH, window, phi=phi).effect for phi in (1.0, 9.0))
    assert wide.value == narrow.value
    assert wide.upper - wide.lower > 2 * (narrow.upper - narrow.lower)
