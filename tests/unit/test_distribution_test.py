"""The distribution test: silent where nothing moved, sure of what did, answering who asks."""

import numpy as np
import pytest
from scipy.stats import binom

from streamgauge.core.batch import IntArray
from streamgauge.core.bins import fold
from streamgauge.core.detectors.distribution import DistributionTest, variation
from streamgauge.core.detectors.window import Allowance, Watched, WindowCounts
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.layout import (
    LATENCY,
    PREDICTION,
    SCORE,
    STATUS_OK,
    Subject,
    SubjectKind,
)
from streamgauge.core.likelihood_ratio import ratio_statistic
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.reference import Reference, SliceKey
from streamgauge.core.slices import RowKey
from streamgauge.core.windows import WindowSpec
from tests.support import drawn
from tests.support.drawn import (
    BLUE,
    COLOUR,
    LAW,
    LAYOUT,
    LENGTH,
    LOOSE,
    RED,
    SPEC,
    STRICT,
    WHOLE,
    draw,
    known_reference,
    moved,
    reference_of,
    settings,
    verdicts,
    window_of,
)

QUALITY = Subject(SubjectKind.DATA_QUALITY, "length.missing")
OTHER = 2
"""The cell of colours that are neither red nor green."""


def detector(
    known: Reference | None = None, allowance: Allowance = STRICT, tolerance: float = 0.0
) -> DistributionTest:
    return DistributionTest(*settings(known, allowance, tolerance=tolerance))


def drifted(findings: list[Finding]) -> set[tuple[RowKey, Subject]]:
    return {of for of, verdict in verdicts(findings).items() if verdict is Verdict.DRIFT}


def window(seed: int, events: int = 2_000, **laws: np.ndarray) -> WindowCounts:
    """A window with the whole, a slice the reference knows and one that it does not."""
    rng = np.random.default_rng(seed)
    keys = {"whole": WHOLE, "red": RowKey("1", RED), "blue": RowKey("1", BLUE)}
    return window_of({key: draw(rng, laws.get(name, LAW), events) for name, key in keys.items()})


def test_clean_windows_have_false_findings_no_more_often_than_a_look_may() -> None:
    looks, most = 300, 0.05
    false = 0
    for seed in range(looks):
        known = known_reference(seed=10_000 + seed, events=4_000)
        found = detector(known, LOOSE).evaluate(window(seed, events=1_500), frozenset())
        false += bool(found)
    assert false <= binom.isf(1e-4, looks, most)
    assert false >= 1, "not so careful that nothing could ever be found"


@pytest.mark.parametrize("events", [300, 3_000, 300_000])
def test_what_moved_no_further_than_is_tolerated_is_no_finding(events: int) -> None:
    """Total variation of 0.4 %, spread over several groups, where 2 % are tolerated."""
    known = known_reference(events=1_000_000)
    small = moved(moved(LAW, COLOUR, OTHER, 0.004), LENGTH, 20, 0.004)
    for seed in range(40):
        seen = window(seed, events, whole=small)
        assert not detector(known, tolerance=0.02).evaluate(seen, frozenset())
        if events == 300_000:
            assert detector(known).evaluate(seen, frozenset())


def test_the_tolerance_is_the_share_of_events_that_may_move() -> None:
    """Between two equal halves the divergence is smallest for what moves: 2 % is just allowed."""
    halves = LAW.copy()
    cells = drawn.cells_of(PREDICTION)
    halves[cells] = [0.5, 0.5, 0, 0, 0, 0]
    rng = np.random.default_rng(1)
    known = reference_of({(): draw(rng, halves, 5_000_000)})
    for share, finds in ((0.018, False), (0.024, True)):
        seen = window_of({WHOLE: draw(rng, moved(halves, PREDICTION, 0, share), 1_000_000)})
        assert bool(detector(known, tolerance=0.02).evaluate(seen, frozenset())) == finds


def test_a_shift_of_one_field_in_one_slice_is_found_there_alone() -> None:
    test = detector()
    for seed in range(10):
        shifted = window(seed, red=moved(LAW, COLOUR, OTHER, 0.2))
        (finding,) = test.evaluate(shifted, frozenset())
        assert (finding.row, finding.subject) == (RowKey("1", RED), COLOUR)
        assert finding.verdict is Verdict.DRIFT
        assert (finding.model, finding.window) == ("made-up", "5m")
        assert (finding.start, finding.end) == (drawn.END - SPEC.length_ms, drawn.END)
        assert finding.statistic >= finding.threshold > 0
        cells = drawn.cells_of(COLOUR)
        counts = shifted.counts[1, cells]
        assert finding.samples == counts[: LAYOUT.fields[7].bins.value_bins].sum()
        assert finding.effect.measure == "tvd"
        assert finding.effect.value == pytest.approx(0.2, abs=0.04)
        assert finding.effect.lower < finding.effect.value < finding.effect.upper


@pytest.mark.parametrize("subject", [SCORE, PREDICTION, LENGTH, COLOUR])
def test_features_score_and_prediction_are_watched(subject: Subject) -> None:
    test = detector()
    shifted = window(1, whole=moved(LAW, subject, 1, 0.3))
    assert drifted(test.evaluate(shifted, frozenset())) == {(WHOLE, subject)}
    assert ("distribution", subject) in set(test.watches())


def test_what_has_no_distribution_to_be_compared_with_is_not_watched() -> None:
    rng = np.random.default_rng(1)
    counts = draw(rng, LAW, 5_000)
    cells = drawn.cells_of(SCORE)
    bins = LAYOUT.fields[4].bins
    counts[cells] = 0
    counts[cells.start + bins.value_bins] = 5_000  # never a score
    watched = {subject for _, subject in detector(reference_of({(): counts})).watches()}
    assert SCORE not in watched
    assert LATENCY not in watched
    assert {LENGTH, COLOUR, PREDICTION} <= watched


def test_statistics_are_those_of_each_fields_own_groups() -> None:
    """Against folding and testing the fields one at a time."""
    known = known_reference()
    test = detector(known)
    seen = window(3)
    everything = frozenset((key, subject) for key in seen.keys[:2] for _, subject in test.watches())
    findings = test.evaluate(seen, everything)
    assert len(findings) == len(everything)
    for finding in findings:
        position = LAYOUT.position(finding.subject)
        row = known.row(finding.row.slice)
        assert position is not None
        assert row is not None
        current = seen.counts[seen.keys.index(finding.row), LAYOUT.cells(position)]
        groups = fold(current, LAYOUT.fields[position].bins)[None]
        before = known.group_counts(position)[row : row + 1]
        expected = ratio_statistic(groups, before, np.ones(1), np.zeros(1, np.intp))
        assert finding.statistic == pytest.approx(expected.statistic[0, 0], abs=1e-9)
        assert finding.samples == groups.sum()


def test_a_slice_that_the_reference_does_not_know_is_not_compared() -> None:
    shifted = window(1, blue=moved(LAW, COLOUR, OTHER, 0.5))
    assert detector().evaluate(shifted, frozenset()) == []


def test_too_few_events_say_nothing_however_different_they_are() -> None:
    wild = moved(LAW, COLOUR, OTHER, 0.6)
    few = window(1, events=199, whole=wild)
    assert detector().evaluate(few, frozenset()) == []
    assert drifted(detector().evaluate(window(1, events=220, whole=wild), frozenset()))


def test_a_field_with_too_few_values_says_nothing() -> None:
    """1,000 events, but the feature is missing in nine of ten."""
    wild = moved(LAW, COLOUR, OTHER, 0.5)
    cells = drawn.cells_of(COLOUR)
    missing = cells.start + LAYOUT.fields[7].bins.value_bins
    wild[cells] *= 0.1
    wild[missing] += 0.9
    seen = window(1, events=1_000, whole=wild)
    assert not drifted(detector().evaluate(seen, frozenset()))
    asked = verdicts(detector().evaluate(seen, frozenset({(WHOLE, COLOUR)})))
    assert asked == {(WHOLE, COLOUR): Verdict.THIN}


def test_everyone_who_watches_is_answered_exactly_once() -> None:
    rng = np.random.default_rng(7)
    other = RowKey("2")
    thin, gone = RowKey("3"), RowKey("4", RED)
    unknown = RowKey("1", BLUE)
    seen = window_of(
        {
            WHOLE: draw(rng, moved(LAW, COLOUR, OTHER, 0.3), 2_000),
            other: draw(rng, LAW, 2_000),
            thin: draw(rng, LAW, 50),
            unknown: draw(rng, LAW, 2_000),
        }
    )
    rows = (WHOLE, other, thin, gone, unknown)
    watched: Watched = frozenset(
        (row, subject) for row in rows for subject in (COLOUR, LENGTH, QUALITY)
    )
    findings = detector().evaluate(seen, watched)
    assert verdicts(findings) == {
        (WHOLE, COLOUR): Verdict.DRIFT,
        (WHOLE, LENGTH): Verdict.CLEAR,
        (other, COLOUR): Verdict.CLEAR,
        (other, LENGTH): Verdict.CLEAR,
        **{
            (row, subject): Verdict.THIN
            for row in (thin, gone, unknown)
            for subject in (COLOUR, LENGTH)
        },
    }
    samples = {finding.row: finding.samples for finding in findings if finding.subject == LENGTH}
    assert (samples[thin], samples[gone]) == (50, 0)


def test_between_clear_and_drift_nothing_is_decided() -> None:
    test = detector(known_reference(events=200_000))
    watched: Watched = frozenset({(WHOLE, COLOUR)})
    shares = np.linspace(0.0, 0.12, 13)
    found = [
        verdicts(test.evaluate(window(4, 3_000, whole=moved(LAW, COLOUR, OTHER, share)), watched))
        for share in shares.tolist()
    ]
    order = [Verdict.CLEAR, Verdict.UNDECIDED, Verdict.DRIFT]
    ranks = [order.index(each[WHOLE, COLOUR]) for each in found]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_events_that_come_in_clusters_count_for_fewer() -> None:
    """The reference's hours vary as if one event in thirty were of its own."""
    rng = np.random.default_rng(8)
    widths = [len(f.bins.groups) + f.bins.width - f.bins.value_bins for f in LAYOUT.fields]
    hours, folded = 400, np.zeros((400, sum(widths)), np.int64)
    start = 0
    for width, item in zip(widths, LAYOUT.fields, strict=True):
        groups = len(item.bins.groups)
        for hour in range(hours):
            share = rng.dirichlet(np.full(groups, 30.0 / groups))
            folded[hour, start : start + groups] = rng.multinomial(900, share)
        start += width
    panes = PaneTable(3_600_000, np.arange(hours), folded)
    counts: dict[SliceKey, IntArray] = {(): draw(rng, LAW, 20_000)}
    spec = WindowSpec("1h", 3_600_000, 60_000)
    seen = window_of({WHOLE: draw(rng, moved(LAW, COLOUR, OTHER, 0.12), 2_000)}, spec)
    assert drifted(detector(reference_of(counts)).evaluate(seen, frozenset()))
    assert not detector(reference_of(counts, panes)).evaluate(seen, frozenset())


def test_more_rows_and_fields_share_the_same_allowance() -> None:
    """The thresholds rise with the number of tests in a look."""
    test = detector()
    watched: Watched = frozenset({(WHOLE, COLOUR)})
    rng = np.random.default_rng(2)
    counts = draw(rng, LAW, 2_000)
    (alone,) = test.evaluate(window_of({WHOLE: counts}), watched)
    crowd = {RowKey(str(i)): counts for i in range(1, 51)}
    (among,) = test.evaluate(window_of(crowd), watched)
    assert among.statistic == alone.statistic
    assert among.threshold > alone.threshold + 2 * np.log(50) * 0.8


def test_an_empty_window_has_no_findings() -> None:
    assert detector().evaluate(window_of({}), frozenset()) == []
    (finding,) = detector().evaluate(window_of({}), frozenset({(WHOLE, COLOUR)}))
    assert finding.verdict is Verdict.THIN


def test_served_events_alone_make_a_row_thick_enough() -> None:
    rng = np.random.default_rng(3)
    counts = draw(rng, moved(LAW, COLOUR, OTHER, 0.5), 150)
    counts[STATUS_OK + 1] = 10_000
    assert detector().evaluate(window_of({WHOLE: counts}), frozenset()) == []


def test_total_variation_is_half_the_absolute_differences() -> None:
    rng = np.random.default_rng(6)
    sizes, starts = (4, 7), np.array([0, 4])
    current, reference_counts = rng.integers(0, 50, (5, 11)), rng.integers(1, 50, (5, 11))
    found = variation(current, reference_counts, np.ones(2), starts)
    for field, (start, size) in enumerate(zip(starts.tolist(), sizes, strict=True)):
        q, p = (part[:, start : start + size] for part in (current, reference_counts))
        q, p = q / q.sum(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found.value[:, field], 0.5 * np.abs(q - p).sum(axis=1))
    assert (found.lower <= found.value).all()
    assert (found.value <= found.upper).all()


def test_dispersion_widens_the_interval_as_fewer_events_would() -> None:
    known = np.array([[4, 3, 2, 1]]) * 10**9
    current = np.array([[200, 300, 300, 200]])
    wide = variation(current, known, np.array([9.0]), np.zeros(1, np.intp))
    narrow = variation(current, known, np.ones(1), np.zeros(1, np.intp))
    assert wide.value == narrow.value
    np.testing.assert_allclose(wide.upper - wide.value, 3 * (narrow.upper - narrow.value))


@pytest.mark.parametrize("events", [300, 3_000])
def test_the_interval_of_a_clear_shift_holds_it_as_often_as_it_says(events: int) -> None:
    p = np.array([0.4, 0.3, 0.2, 0.1])
    q = np.array([0.2, 0.3, 0.3, 0.2])
    rng = np.random.default_rng(7)
    current, known = rng.multinomial(events, q, 2_000), rng.multinomial(5_000, p, 2_000)
    found = variation(current, known, np.ones(1), np.zeros(1, np.intp))
    held = np.mean((found.lower <= 0.2) & (found.upper >= 0.2))
    assert 0.92 <= held <= 0.975
