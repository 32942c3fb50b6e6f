"""The rate test: its bound holds exactly, it finds what turned bad, and answers who asks."""

import numpy as np
import pytest
from scipy.stats import binom

from streamgauge.core.batch import IntArray, ModelSchema, Task
from streamgauge.core.blocks import Block
from streamgauge.core.detectors.rates import RateTest, evidence, rates, upper_limit
from streamgauge.core.detectors.window import Allowance, Watched, WindowCounts
from streamgauge.core.findings import Verdict
from streamgauge.core.layout import Subject, SubjectKind, build_layout
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey
from tests.support import batches, drawn
from tests.support.drawn import (
    BLUE,
    COLOUR,
    LAW,
    LAYOUT,
    LENGTH,
    LOOSE,
    RED,
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

LENGTH_BINS = LAYOUT.fields[5].bins.value_bins
COLOUR_BINS = LAYOUT.fields[7].bins.value_bins


def quality(name: str) -> Subject:
    return Subject(SubjectKind.DATA_QUALITY, name)


MISSING = quality("length.missing")


def detector(
    known: Reference | None = None, allowance: Allowance = STRICT, tolerance: float = 0.01
) -> RateTest:
    return RateTest(*settings(known, allowance, tolerance=tolerance))


def one(
    subject: Subject, into: int, share: float, *, seed: int = 1, events: int = 2_000
) -> IntArray:
    return draw(np.random.default_rng(seed), moved(LAW, subject, into, share), events)


@pytest.mark.parametrize("n", [1, 10, 200, 5_000])
@pytest.mark.parametrize("tolerated", [1e-5, 0.001, 0.03, 0.3, 0.95])
def test_the_evidence_exceeds_a_level_no_more_often_than_the_level_says(
    n: int, tolerated: float
) -> None:
    """Over all numbers of bad values, weighed by their exact law at the largest tolerated rate."""
    k = np.arange(n + 1.0)
    found = evidence(k, np.full(n + 1, float(n)), np.full(n + 1, tolerated))
    weight = binom.pmf(k, n, tolerated)
    for level in (0.05, 1e-3, 1e-6, 1e-9):
        assert weight[found >= np.log(1 / level)].sum() <= level


def test_the_evidence_grows_with_the_rate_and_is_nothing_below_it() -> None:
    k = np.arange(101.0)
    found = evidence(k, np.full(101, 100.0), np.full(101, 0.2))
    assert (found[:21] == 0).all()
    assert (np.diff(found[20:]) > 0).all()


@pytest.mark.parametrize("tolerance", [0.0, 0.01])
def test_clean_windows_have_false_findings_no_more_often_than_a_look_may(tolerance: float) -> None:
    looks, most, false = 300, 0.05, 0
    for seed in range(looks):
        known = known_reference(seed=20_000 + seed, events=4_000)
        rng = np.random.default_rng(seed)
        seen = window_of({WHOLE: draw(rng, LAW, 1_500), RowKey("1", RED): draw(rng, LAW, 800)})
        false += bool(detector(known, LOOSE, tolerance=tolerance).evaluate(seen, frozenset()))
    assert false <= binom.isf(1e-4, looks, most)


@pytest.mark.parametrize(
    ("subject", "into", "name"),
    [
        (LENGTH, LENGTH_BINS, "length.missing"),
        (LENGTH, LENGTH_BINS + 1, "length.wrong_type"),
        (LENGTH, LENGTH_BINS + 2, "length.not_finite"),
        (LENGTH, LENGTH_BINS + 4, "length.not_finite"),
        (LENGTH, 0, "length.out_of_range"),
        (LENGTH, LENGTH_BINS - 1, "length.out_of_range"),
        (COLOUR, COLOUR_BINS, "colour.missing"),
        (COLOUR, COLOUR_BINS + 1, "colour.wrong_type"),
        (COLOUR, COLOUR_BINS - 1, "colour.unseen"),
    ],
)
def test_every_kind_of_bad_value_is_found(subject: Subject, into: int, name: str) -> None:
    counts = one(subject, into, 0.08)
    (finding,) = detector().evaluate(window_of({WHOLE: counts}), frozenset())
    assert (finding.row, finding.subject) == (WHOLE, quality(name))
    assert finding.verdict is Verdict.DRIFT
    assert finding.samples == 2_000
    assert finding.statistic >= finding.threshold
    assert finding.effect.measure == "share"
    assert finding.effect.value == pytest.approx(0.08, abs=0.025)
    assert finding.effect.lower < finding.effect.value < finding.effect.upper
    before, now = (float(text.rstrip("%")) for text in finding.detail.split(" to "))
    assert now - before == pytest.approx(100 * finding.effect.value, abs=0.02)
    assert ("rate", quality(name)) in set(detector().watches())


def test_fewer_bad_values_are_no_finding() -> None:
    law = LAW.copy()
    cells = drawn.cells_of(LENGTH)
    law[cells.start + LENGTH_BINS : cells.stop] = 0
    law[cells] /= law[cells].sum()
    counts = draw(np.random.default_rng(1), law, 50_000)
    assert not detector(tolerance=0.0).evaluate(window_of({WHOLE: counts}), frozenset())


def test_what_is_tolerated_is_no_finding_however_many_events_there_are() -> None:
    counts = one(LENGTH, LENGTH_BINS, 0.009, events=10_000_000)
    seen = window_of({WHOLE: counts})
    known = known_reference(events=10_000_000)
    assert not detector(known, tolerance=0.01).evaluate(seen, frozenset())
    (finding,) = detector(known, tolerance=0.0).evaluate(seen, frozenset())
    assert finding.subject == MISSING


def test_a_kind_that_the_reference_never_held_is_judged_by_what_it_could_have_missed() -> None:
    """None among m may still be a few in m: without a tolerance, one bad value is no alarm."""
    known = known_reference(events=5_000)
    counts = draw(np.random.default_rng(1), LAW, 2_000)
    start = drawn.cells_of(LENGTH).start
    counts[start + 5] -= 1
    counts[start + LENGTH_BINS - 1] += 1
    seen = window_of({WHOLE: counts})
    assert not detector(known, tolerance=0.0).evaluate(seen, frozenset())
    counts[start + LENGTH_BINS - 1] += 60
    (finding,) = detector(known, tolerance=0.0).evaluate(window_of({WHOLE: counts}), frozenset())
    assert finding.subject == quality("length.out_of_range")
    assert np.isfinite(finding.statistic)


@pytest.mark.parametrize("bad", [0, 1, 3, 40, 199, 200])
def test_the_references_limit_is_where_its_count_is_three_errors_too_low(bad: int) -> None:
    """Wilson's limit solves (limit − share)² = 9 · limit · (1 − limit) / n."""
    limit = float(upper_limit(np.array([float(bad)]), np.array([200.0]))[0])
    assert bad / 200 <= limit <= 1
    assert (limit - bad / 200) ** 2 == pytest.approx(9 * limit * (1 - limit) / 200, abs=1e-12)


def test_a_model_without_features_has_no_rates() -> None:
    schema = ModelSchema("plain", Task.BINARY)
    layout = build_layout(schema, (), prediction=batches.CLASSES, label=batches.CLASSES)
    counts = np.zeros((1, layout.width), np.int64)
    counts[0, list(layout.starts)] = 1_000
    nothing = np.zeros((1, len(layout.numeric), 2))
    block = Block(np.zeros(1, np.int64), counts, nothing, nothing)
    known = Reference(layout, (), ((),), block, None, None, None)
    test = RateTest(known, STRICT, 0.01, 200)
    seen = WindowCounts("plain", drawn.SPEC, drawn.END, np.zeros(1, np.int64), (WHOLE,), counts)
    assert test.evaluate(seen, frozenset({(WHOLE, MISSING)})) == []
    assert list(test.watches()) == []


def test_a_feature_that_was_never_there_cannot_get_worse() -> None:
    rng = np.random.default_rng(1)
    absent = draw(rng, LAW, 5_000)
    cells = drawn.cells_of(LENGTH)
    absent[cells] = 0
    absent[cells.start + LENGTH_BINS] = 5_000
    now = draw(rng, LAW, 2_000)
    for counts in (absent, now):
        assert not detector(reference_of({(): absent})).evaluate(
            window_of({WHOLE: counts}), frozenset()
        )


def test_a_slice_that_the_reference_does_not_know_is_held_against_the_whole() -> None:
    unknown = RowKey("1", BLUE)
    seen = window_of({unknown: one(LENGTH, LENGTH_BINS, 0.1)})
    (finding,) = detector().evaluate(seen, frozenset())
    assert (finding.row, finding.subject) == (unknown, MISSING)
    clean = window_of({unknown: draw(np.random.default_rng(1), LAW, 2_000)})
    assert not detector().evaluate(clean, frozenset())


def test_a_known_slice_is_held_against_itself() -> None:
    rng = np.random.default_rng(1)
    bad = moved(LAW, LENGTH, LENGTH_BINS, 0.1)
    known = reference_of({(): draw(rng, LAW, 20_000), RED: draw(rng, bad, 5_000)})
    seen = window_of({RowKey("1", RED): draw(rng, bad, 2_000), WHOLE: draw(rng, bad, 2_000)})
    (finding,) = detector(known).evaluate(seen, frozenset())
    assert finding.row == WHOLE


def test_everyone_who_watches_is_answered_exactly_once() -> None:
    rng = np.random.default_rng(3)
    other, thin, gone = RowKey("2"), RowKey("3"), RowKey("4", RED)
    seen = window_of(
        {
            WHOLE: one(LENGTH, LENGTH_BINS, 0.1),
            other: draw(rng, LAW, 2_000),
            thin: draw(rng, LAW, 199),
        }
    )
    unseen = quality("colour.unseen")
    watched: Watched = frozenset(
        (row, subject)
        for row in (WHOLE, other, thin, gone)
        for subject in (MISSING, unseen, LENGTH)
    )
    findings = detector().evaluate(seen, watched)
    assert verdicts(findings) == {
        (WHOLE, MISSING): Verdict.DRIFT,
        (WHOLE, unseen): Verdict.CLEAR,
        (other, MISSING): Verdict.CLEAR,
        (other, unseen): Verdict.CLEAR,
        **{(row, subject): Verdict.THIN for row in (thin, gone) for subject in (MISSING, unseen)},
    }
    assert {f.row: f.samples for f in findings}[thin] == 199


def test_between_clear_and_drift_nothing_is_decided() -> None:
    watched: Watched = frozenset({(WHOLE, MISSING)})
    order = [Verdict.CLEAR, Verdict.UNDECIDED, Verdict.DRIFT]
    ranks = []
    for share in np.linspace(0.0, 0.08, 17).tolist():
        seen = window_of({WHOLE: one(LENGTH, LENGTH_BINS, share)})
        ranks.append(order.index(verdicts(detector().evaluate(seen, watched))[WHOLE, MISSING]))
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_more_rows_share_the_same_allowance() -> None:
    watched: Watched = frozenset({(WHOLE, MISSING)})
    counts = draw(np.random.default_rng(2), LAW, 2_000)
    (alone,) = detector().evaluate(window_of({WHOLE: counts}), watched)
    crowd = {RowKey(str(i)): counts for i in range(1, 51)}
    (among,) = detector().evaluate(window_of(crowd), watched)
    assert among.statistic == alone.statistic
    assert among.threshold - alone.threshold == pytest.approx(np.log(50))
    tests = len(list(detector().watches()))
    level = STRICT.per_look(drawn.SPEC.step_ms) / tests
    assert alone.threshold == pytest.approx(-np.log(level))


def test_an_empty_window_has_no_findings() -> None:
    assert detector().evaluate(window_of({}), frozenset()) == []


def test_rates_tell_bad_values_from_the_others_of_their_field() -> None:
    counts = np.arange(1, LAYOUT.width + 1)
    for rate in rates(LAYOUT):
        bad, rest = rate.split(counts[rate.of]).tolist()
        assert bad == sum(counts[cell] for cell in rate.cells)
        assert bad + rest == counts[rate.of].sum()
        assert all(rate.of.start <= cell < rate.of.stop for cell in rate.cells)


def test_no_cell_counts_for_two_rates() -> None:
    cells = [cell for rate in rates(LAYOUT) for cell in rate.cells]
    assert len(cells) == len(set(cells))
