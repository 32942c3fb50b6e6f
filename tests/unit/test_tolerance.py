"""What a reference tolerates, against the formulas and against laws whose spread is known."""

import numpy as np
import pytest
from scipy.special import expit, logit

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import fold
from streamgauge.core.detectors.series import Kind, SeriesTable, series_table
from streamgauge.core.detectors.specs import LatencyLimit
from streamgauge.core.detectors.tolerance import ERRORS, Tolerance, folded_counts, measure_tolerance
from streamgauge.core.layout import LATENCY, SCORE, STATUS, Subject, SubjectKind
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.reference import Reference
from tests.support.drawn import COLOUR, LAW, LAYOUT, RED, cells_of, draw, known_reference

HOUR = 3_600_000
WEEK = 168 * HOUR
MONDAY = 4 * 24 * HOUR
"""The first Monday after the epoch, 00:00 UTC."""
RED_CELL = cells_of(COLOUR).start
LIMIT = LatencyLimit(0.1, 0.01)


def folded(counts: IntArray) -> IntArray:
    """Counts `(T, W)` folded field by field: distance groups, then special bins."""
    parts = []
    for start, item in LAYOUT:
        end = start + item.bins.width
        parts += [
            fold(counts[:, start:end], item.bins),
            counts[:, start + item.bins.value_bins : end],
        ]
    return np.concatenate(parts, axis=1)


def coloured(share: FloatArray, events: int, seed: int) -> IntArray:
    """Counts of hours `(T, W)` in which `share (T,)` of the events are red."""
    rng = np.random.default_rng(seed)
    hours = []
    for p in share:
        law = LAW.copy()
        cells = cells_of(COLOUR)
        law[cells] = 0.0
        law[RED_CELL : RED_CELL + 2] = p, 1.0 - p
        hours.append(draw(rng, law, events))
    return np.array(hours)


def timed(hours: IntArray) -> Reference:
    """A reference of the counts of hours `(T, W)` from a Monday on, with a red slice beside."""
    flat = known_reference()
    weekly = np.zeros((168, folded(hours[:1]).shape[1]), np.int64)
    np.add.at(weekly, np.arange(len(hours)) % 168, folded(hours))
    counts = np.array([hours.sum(axis=0), flat.block.counts[1]])
    panes = PaneTable(HOUR, MONDAY // HOUR + np.arange(len(hours)), folded(hours))
    return Reference(
        flat.layout,
        flat.slices,
        ((), RED),
        flat.block._replace(counts=counts),
        weekly,
        panes,
        (MONDAY, MONDAY + len(hours) * HOUR - 1),
    )


def table_of(reference: Reference, latency: LatencyLimit | None = None) -> SeriesTable:
    return series_table(LAYOUT, reference.block.counts[0].astype(np.int64), latency)


def measured(reference: Reference, tolerance: float = 0.02) -> Tolerance:
    return measure_tolerance(reference, table_of(reference), tolerance)


def at(table: SeriesTable, subject: Subject, kind: Kind) -> int:
    """The first series of a subject and kind."""
    return next(i for i, s in enumerate(table.series) if (s.subject, s.kind) == (subject, kind))


def red(found: Tolerance) -> int:
    return at(found.table, COLOUR, Kind.CATEGORY)


def rows(*known: int) -> IntArray:
    return np.array(known, np.int64)


def test_a_share_is_allowed_its_tolerance_and_three_errors_either_way() -> None:
    reference = known_reference()
    found = measured(reference, 0.03)
    present, total = found.table.counts(reference.block.counts.astype(np.int64))
    share = present / total
    safe = (present + 0.5) / (total + 1.0)
    room = 0.03 + ERRORS * np.sqrt(safe * (1 - safe) / total)
    bounds = found.bounds(rows(0, 1), MONDAY)
    compared = found.table.compared
    np.testing.assert_allclose(bounds.expected, share)
    np.testing.assert_allclose(bounds.largest[..., 0], np.minimum(share + room, 1.0))
    fallen = np.minimum(1.0 - share + room, 1.0)
    np.testing.assert_allclose(bounds.largest[:, compared, 1], fallen[:, compared])


def test_fewer_bad_values_than_usual_are_always_allowed() -> None:
    found = measured(known_reference())
    assert (found.bounds(rows(0, 1), 0).largest[:, ~found.table.compared, 1] == 1.0).all()


def test_of_rows_that_the_reference_does_not_know_only_bad_values_are_judged() -> None:
    found = measured(known_reference())
    known, unknown = found.bounds(rows(0), 0), found.bounds(rows(-1), 0)
    compared = found.table.compared
    assert (unknown.largest[:, compared] == 1.0).all()
    np.testing.assert_array_equal(unknown.largest[:, ~compared], known.largest[:, ~compared])
    assert (unknown.largest[:, ~compared, 0] < 1.0).all()


def test_without_timestamps_nothing_is_known_of_dispersion_or_hours() -> None:
    found = measured(known_reference())
    assert found.dispersion is None
    assert found.profile is None


def test_folded_counts_are_those_of_the_cells() -> None:
    rng = np.random.default_rng(5)
    counts = np.stack([draw(rng, LAW, 300) for _ in range(4)])
    # Some of the events out of range and unseen, which the law does not draw.
    counts[2] += 3
    reference = known_reference()
    table = table_of(reference)
    found = folded_counts(reference, table, folded(counts))
    lost = np.array(
        [s.kind in (Kind.BELOW_RANGE, Kind.ABOVE_RANGE, Kind.UNSEEN) for s in table.series]
    )
    for part, expected in zip(found, table.counts(counts), strict=True):
        np.testing.assert_array_equal(part[:, ~lost], expected[:, ~lost])
        assert (part[:, lost] == 0).all()


def test_hours_that_do_not_differ_are_one() -> None:
    found = measured(timed(coloured(np.full(4 * 168, 0.3), 200, seed=1)))
    assert found.profile is not None
    # A single hour's own share has an error of 0.016.
    np.testing.assert_allclose(found.profile.share[:, red(found)], 0.3, atol=0.006)
    np.testing.assert_allclose(found.profile.error[:, red(found)], 0.0, atol=0.006)


def test_hours_that_differ_much_keep_their_own_shares() -> None:
    truth = 0.3 + 0.2 * np.sin(np.arange(168) * 2 * np.pi / 24)
    found = measured(timed(coloured(np.tile(truth, 4), 500, seed=2)))
    assert found.profile is not None
    assert found.dispersion is not None
    error = np.sqrt(truth * (1 - truth) / 2_000)
    assert (np.abs(found.profile.share[:, red(found)] - truth) < 4 * error).all()
    np.testing.assert_allclose(found.profile.error[:, red(found)], error, rtol=0.35)
    assert found.dispersion[red(found)] < 1.5, "what the hours explain is no dispersion"
    for hour in (6, 18, 100):
        expected = found.bounds(rows(0), MONDAY + WEEK + hour * HOUR).expected[0, red(found)]
        assert expected == pytest.approx(truth[hour], abs=4 * error[hour])


def test_slices_follow_the_whole_on_the_logit_scale() -> None:
    truth = 0.3 + 0.2 * np.sin(np.arange(168) * 2 * np.pi / 24)
    found = measured(timed(coloured(np.tile(truth, 4), 500, seed=2)))
    assert found.profile is not None
    own = found.share[1, red(found)]
    for hour in (0, 6, 18):
        shift = logit(found.profile.share[hour, red(found)]) - logit(found.share[0, red(found)])
        bounds = found.bounds(rows(1), MONDAY + hour * HOUR + HOUR // 2)
        expected = expit(logit(own) + shift)
        assert bounds.expected[0, red(found)] == pytest.approx(expected)
        error = np.hypot(found.error[1, red(found)], found.profile.error[hour, red(found)])
        assert bounds.largest[0, red(found), 0] == pytest.approx(expected + 0.02 + ERRORS * error)


def test_what_folding_loses_is_tolerated_as_the_whole_has_it() -> None:
    """A reference whose bins are another one's may hold values out of range."""
    hours = coloured(np.full(200, 0.3), 100, seed=3)
    cells = cells_of(Subject(SubjectKind.FEATURE, "length"))
    hours[:, cells.start] += 20
    found = measured(timed(hours))
    below = at(
        found.table, Subject(SubjectKind.DATA_QUALITY, "length.out_of_range"), Kind.BELOW_RANGE
    )
    expected = found.bounds(rows(0), MONDAY + 7 * HOUR).expected
    assert expected[0, below] == pytest.approx(20 / 120)


@pytest.mark.parametrize("phi", [1.0, 4.0, 15.0])
def test_the_dispersion_of_beta_binomial_panes_is_found(phi: float) -> None:
    events, share = 400, 0.3
    concentration = np.inf if phi == 1.0 else (events - phi) / (phi - 1.0)
    found = []
    for seed in range(6):
        rng = np.random.default_rng(100 + seed)
        p = np.full(900, share)
        if np.isfinite(concentration):
            p = rng.beta(share * concentration, (1 - share) * concentration, 900)
        tolerance = measured(timed(coloured(p, events, seed)))
        assert tolerance.dispersion is not None
        found.append(tolerance.dispersion[red(tolerance)])
    # Of the 900 panes' mean the upper limit is 1.08 times the truth, of the 37 days' 1.4 times.
    assert min(found) >= 0.9 * phi
    assert np.median(found) <= 1.65 * phi


@pytest.mark.parametrize("days", [2, 7, 14, 19])
def test_a_short_references_variation_does_not_pass_for_hours_of_the_week(days: int) -> None:
    """φ = 4, hours alike: each hour of the week is seen up to three times."""
    concentration = (400 - 4.0) / (4.0 - 1.0)
    found = []
    for seed in range(5):
        rng = np.random.default_rng(200 + seed)
        p = rng.beta(0.3 * concentration, 0.7 * concentration, 24 * days)
        tolerance = measured(timed(coloured(p, 400, seed)))
        assert tolerance.dispersion is not None
        assert tolerance.profile is not None
        found.append(tolerance.dispersion[red(tolerance)])
        # The shares that were drawn differ by 0.04.
        assert np.std(tolerance.profile.share[:, red(tolerance)]) < 0.01
    assert 3.5 <= np.median(found) <= 8.0


def test_hours_that_were_seen_but_once_are_not_told_from_variation() -> None:
    truth = 0.3 + 0.2 * np.sin(np.arange(168) * 2 * np.pi / 24)
    found = measured(timed(coloured(truth, 400, seed=2)))
    assert found.profile is not None
    assert found.dispersion is not None
    np.testing.assert_allclose(
        found.profile.share[:, red(found)], found.share[0, red(found)], rtol=1e-9
    )
    variance = 0.02 * 400 / (0.3 * 0.7)
    assert found.dispersion[red(found)] == pytest.approx(1 + variance, rel=0.25)


def test_variation_that_lasts_for_days_shows_though_hours_look_alike() -> None:
    rng = np.random.default_rng(7)
    days = np.repeat(0.3 + 0.02 * rng.standard_normal(60), 24)
    tolerance = measured(timed(coloured(days, 200, seed=8)))
    assert tolerance.dispersion is not None
    # A day has 4800 events: 0.02²·4800/(0.3·0.7) and 1 for chance; of an hour 0.4 and 1.
    assert tolerance.dispersion[red(tolerance)] > 6.0


def test_dispersion_makes_the_references_own_errors_larger() -> None:
    p = np.random.default_rng(9).beta(3.0, 7.0, 400)
    reference = timed(coloured(p, 200, seed=9))
    found = measured(reference)
    assert found.dispersion is not None
    [share] = found.share[0, [red(found)]]
    n = 400 * 200
    at_red = found.table.counts(reference.block.counts.astype(np.int64))[1][0, red(found)]
    assert at_red <= n
    expected = np.sqrt(share * (1 - share) * found.dispersion[red(found)] / at_red)
    assert found.error[0, red(found)] == pytest.approx(expected, rel=1e-3)


def test_the_latency_limit_says_itself_what_is_tolerated() -> None:
    for reference in (known_reference(), timed(coloured(np.full(200, 0.3), 100, seed=3))):
        table = table_of(reference, LIMIT)
        found = measure_tolerance(reference, table, 0.05, LIMIT)
        bounds = found.bounds(rows(0, 1, -1), MONDAY + 5 * HOUR)
        slow = at(table, LATENCY, Kind.SLOW)
        np.testing.assert_allclose(bounds.largest[:, slow, 0], LIMIT.share)
        np.testing.assert_allclose(bounds.expected[:, slow], LIMIT.share)


def test_shares_that_never_happened_are_not_known_for_certain() -> None:
    reference = known_reference()
    counts = reference.block.counts.copy()
    status = LAYOUT.starts[0]
    counts[:, status : status + 2] = [[1_000, 0], [50, 0]]
    bare = Reference(
        reference.layout, reference.slices, reference.rows, reference.block._replace(counts=counts),
        None, None, None,
    )  # fmt: skip
    found = measured(bare, 0.0)
    largest = found.bounds(rows(0, 1), 0).largest[:, at(found.table, STATUS, Kind.ERROR), 0]
    assert 0.0 < largest[0] < largest[1] < 0.1


def test_every_subject_of_the_layout_is_tolerated_something() -> None:
    found = measured(known_reference(), 0.0)
    assert (found.bounds(rows(0, 1), 0).largest > 0).all()
    assert SCORE in found.table.subjects
