"""E-detectors of many rows: what they spend, what they say, and how an alarm lives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.bank import ALTERNATIVES, TILTS
from streamgauge.core.detectors.e_detectors import CLEAR, EDetectors, Evidence
from streamgauge.core.detectors.series import Kind, Series, SeriesTable
from streamgauge.core.detectors.tolerance import Tolerance
from streamgauge.core.findings import Verdict
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.seasonal import HourShares
from streamgauge.core.zone import UTC_ZONE

PANE = 60_000
HOUR = 3_600_000
T0 = 20_000 * 24 * HOUR
FIRST = Subject(SubjectKind.FEATURE, "first")
SECOND = Subject(SubjectKind.FEATURE, "second")
RATE = Subject(SubjectKind.DATA_QUALITY, "first.missing")
TABLE = SeriesTable(
    (
        Series(FIRST, Kind.ABOVE, 1, 4, 0, 4),
        Series(FIRST, Kind.ABOVE, 3, 4, 0, 4),
        Series(SECOND, Kind.CATEGORY, 4, 5, 4, 6),
        Series(RATE, Kind.MISSING, 6, 7, 6, 8),
    )
)
"""Cells: four bins of `first`, two categories of `second`, missing or not."""
LAW = (np.array([0.3, 0.4, 0.2, 0.1]), np.array([0.6, 0.4]), np.array([0.02, 0.98]))
SHARES = np.array([0.7, 0.1, 0.6, 0.02])


def tolerance(
    *, room: float = 0.0, phi: float = 1.0, known: int = 1, hours: FloatArray | None = None
) -> Tolerance:
    """The shares of LAW, known exactly, with `room` tolerated; `hours (168, Q)` their profile."""
    profile = None if hours is None else HourShares(hours, np.zeros_like(hours))
    share = np.broadcast_to(SHARES, (known, 4)).copy()
    return Tolerance(
        TABLE, share, np.zeros_like(share), np.full(4, room), np.full(4, phi), profile, UTC_ZONE
    )


def detectors(
    *,
    spending: float = 1e-6,
    pool: int = 100,
    rows: Sequence[int] = (0,),
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    tolerated: Tolerance | None = None,
) -> EDetectors:
    found = EDetectors(tolerated or tolerance(room=0.02), spending, np.array(weights), pool)
    found.add_rows(np.array(rows, np.int64))
    return found


def draw(rng: np.random.Generator, events: int, law: Sequence[FloatArray] = LAW) -> IntArray:
    return np.concatenate([rng.multinomial(events, part) for part in law]).astype(np.int64)


def play(found: EDetectors, pane: int, rows: Mapping[int, IntArray]) -> IntArray:
    """Close a pane in which rows have these counts."""
    at = np.array(list(rows), np.int64)
    counts = np.array(list(rows.values()), np.int64).reshape(-1, 8)
    found.feed(at, counts, counts[:, :4].sum(axis=1), T0 + pane * PANE)
    return found.close(at, T0 + (pane + 1) * PANE)


def said(found: EDetectors, row: int = 0) -> dict[Subject, Evidence]:
    """What a row says of all its subjects."""
    watched = {(row, subject) for subject in range(len(TABLE.subjects))}
    evidence = [e for e in found.evidence(np.array([row]), watched) if e.row == row]
    assert len(evidence) == len(TABLE.subjects)
    return {TABLE.subjects[e.subject]: e for e in evidence}


def shifted(share: float) -> list[FloatArray]:
    """The law with a share of `second` moved to its first category."""
    return [LAW[0], LAW[1] + np.array([share, -share]), LAW[2]]


# ---- what is spent -------------------------------------------------------------------------


def spent(found: EDetectors, rows: Iterable[int], known: Sequence[int]) -> float:
    """The allowances of some rows' last updates, added up over series and sides."""
    total = 0.0
    for row in rows:
        _, threshold = found.levels(np.array([row]))
        # The threshold is −log of the largest part of a subject; here all parts are alike.
        sides = 7 if known[row] >= 0 else 1
        total += sides * float(np.exp(-threshold.min()))
    return total


def test_a_pane_spends_what_is_allowed_over_the_rows_that_have_events_in_it() -> None:
    known = (0, 0, -1)
    found = detectors(spending=1e-4, rows=known, pool=1)
    rng = np.random.default_rng(1)
    play(found, 0, {row: draw(rng, 200) for row in range(3)})
    assert spent(found, range(3), known) == pytest.approx(1e-4)
    play(found, 1, {0: draw(rng, 200)})
    assert spent(found, [0], known) == pytest.approx(1e-4)


def test_rows_that_gather_panes_spend_at_once_what_they_were_allowed_meanwhile() -> None:
    found = detectors(spending=1e-4, rows=(0, 0), pool=250)
    rng = np.random.default_rng(2)
    updated = [play(found, i, {0: draw(rng, 300), 1: draw(rng, 100)}) for i in range(3)]
    assert [rows.tolist() for rows in updated] == [[0], [0], [0, 1]]
    assert spent(found, [0], (0, 0)) == pytest.approx(0.5e-4)
    assert spent(found, [1], (0, 0)) == pytest.approx(1.5e-4)


def test_weights_divide_the_allowance_and_a_side_that_is_not_judged_gets_nothing() -> None:
    found = detectors(spending=1e-4, weights=(1.0, 1.0, 4.0, 2.0), pool=1)
    play(found, 0, {0: draw(np.random.default_rng(3), 200)})
    thresholds = found.levels(np.array([0]))[1][0]
    # Two sides of 1, 1 and 4, and the risen one of 2: 14 parts.
    np.testing.assert_allclose(np.exp(-thresholds), 1e-4 * np.array([1, 4, 2]) / 14)


def test_a_weight_of_nothing_takes_a_subject_out() -> None:
    weighty = detectors(spending=1e-4)
    weightless = detectors(spending=1e-4, weights=(1.0, 1.0, 0.0, 1.0))
    rng = np.random.default_rng(4)
    for i in range(5):
        counts = draw(rng, 300, shifted(0.3))
        for found in (weighty, weightless):
            play(found, i, {0: counts})
    assert said(weighty)[SECOND].verdict is Verdict.DRIFT
    assert said(weightless)[SECOND].verdict is not Verdict.DRIFT
    assert said(weightless)[SECOND].threshold > 700.0


# ---- what is said --------------------------------------------------------------------------


def test_evidence_is_the_recursion_over_panes() -> None:
    """One alternative and side of one series, in plain floats, panes gathered by two."""
    spending, room = 1e-3, 0.05
    found = detectors(spending=spending, pool=150, tolerated=tolerance(room=room, phi=2.0))
    rng = np.random.default_rng(5)
    m = SHARES[2] + room
    q = m * np.exp(TILTS) / (1.0 - m + m * np.exp(TILTS))
    evidence = np.zeros(ALTERNATIVES)
    allowance = 2 * spending / 7
    for i in range(10):
        k = n = 0
        for half in range(2):
            counts = draw(rng, 100, shifted(0.08))
            k, n = k + counts[4], n + 100
            play(found, 2 * i + half, {0: counts})
        log_ratio = (k * np.log(q / m) + (n - k) * np.log((1 - q) / (1 - m))) / 2.0
        evidence = (evidence + allowance) * np.exp(log_ratio)
        expected = max(float(np.log(evidence / allowance).max()), 0.0)
        if i < 9:
            assert found.factors(np.array([0]))[0, 1] == 2.0
        level = found.levels(np.array([0]))[0][0, 1]
        # Evidence is kept in 32 bits from one update to the next.
        assert level >= expected - 1e-5
        if expected > 2.0:
            assert level == pytest.approx(expected, rel=1e-5)
    assert expected > 2.0


def test_a_change_shows_where_it_is_and_nowhere_else() -> None:
    found = detectors(rows=(0, 0))
    rng = np.random.default_rng(6)
    for i in range(30):
        play(found, i, {0: draw(rng, 300), 1: draw(rng, 300, shifted(0.15))})
    changed, clean = said(found, 1), said(found, 0)
    assert changed[SECOND].verdict is Verdict.DRIFT
    excess = changed[SECOND].excess
    assert excess is not None
    assert changed[SECOND].statistic == changed[SECOND].threshold + excess
    others = [*clean.values(), changed[FIRST], changed[RATE]]
    assert {e.verdict for e in others} <= {Verdict.CLEAR, Verdict.UNDECIDED}
    assert {e.excess for e in others} == {None}


def test_rows_with_the_same_change_are_told_together_whichever_was_updated() -> None:
    found = detectors(rows=(0, 0))
    rng = np.random.default_rng(6)
    for i in range(30):
        play(found, i, {0: draw(rng, 300, shifted(0.15)), 1: draw(rng, 300, shifted(0.15))})
    both = [(e.row, TABLE.subjects[e.subject]) for e in found.evidence(np.array([0]), ())]
    assert both == [(0, SECOND), (1, SECOND)]


@pytest.mark.parametrize("change", [-0.3, 0.3])
def test_shares_are_seen_to_rise_and_to_fall(change: float) -> None:
    found = detectors()
    rng = np.random.default_rng(7)
    for i in range(10):
        play(found, i, {0: draw(rng, 300, shifted(change))})
    assert said(found)[SECOND].verdict is Verdict.DRIFT


@pytest.mark.parametrize(("share", "verdict"), [(0.0, Verdict.CLEAR), (0.2, Verdict.DRIFT)])
def test_fewer_bad_values_are_no_change_and_more_are(share: float, verdict: Verdict) -> None:
    found = detectors()
    rng = np.random.default_rng(8)
    for i in range(20):
        play(found, i, {0: draw(rng, 300, [*LAW[:2], np.array([share, 1.0 - share])])})
    assert said(found)[RATE].verdict is verdict


def test_of_a_row_without_reference_only_bad_values_are_judged() -> None:
    found = detectors(rows=(-1,))
    rng = np.random.default_rng(9)
    for i in range(40):
        law = [LAW[0][::-1], LAW[1][::-1], np.array([0.2, 0.8])]
        play(found, i, {0: draw(rng, 300, law)})
    assert said(found)[RATE].verdict is Verdict.DRIFT
    assert said(found)[FIRST].verdict is said(found)[SECOND].verdict is Verdict.CLEAR


def test_a_change_within_what_is_tolerated_shows_nothing() -> None:
    found = detectors(tolerated=tolerance(room=0.1))
    rng = np.random.default_rng(10)
    for i in range(200):
        play(found, i, {0: draw(rng, 300, shifted(0.09))})
    assert said(found)[SECOND].verdict is not Verdict.DRIFT


def test_what_nothing_can_be_said_of_stays_clear_for_ever() -> None:
    """Sides that are not judged and series without events only gather allowances."""
    found = detectors()
    rng = np.random.default_rng(11)
    for i in range(200):
        counts = draw(rng, 300)
        counts[4:6] = 0
        play(found, i, {0: counts})
    assert said(found)[SECOND].verdict is Verdict.CLEAR
    assert said(found)[RATE].verdict is Verdict.CLEAR


def test_only_changes_and_what_is_watched_are_reported_of_updated_rows() -> None:
    found = detectors(rows=(0, 0))
    rng = np.random.default_rng(12)
    assert found.evidence(np.array([0, 1]), set()) == []
    for i in range(10):
        updated = play(found, i, {0: draw(rng, 300, shifted(0.3)), 1: draw(rng, 300)})
    second = TABLE.subjects.index(SECOND)
    found_now = found.evidence(updated, {(1, 0), (5, 0)})
    assert [(e.row, e.subject) for e in found_now] == [(0, second), (1, 0)]


def test_a_row_says_nothing_before_it_has_an_update() -> None:
    found = detectors(pool=500)
    rng = np.random.default_rng(13)
    for i in range(4):
        assert len(play(found, i, {0: draw(rng, 100, shifted(0.4))})) == 0
    assert play(found, 4, {0: draw(rng, 100, shifted(0.4))}).tolist() == [0]


def test_an_empty_pane_is_no_update() -> None:
    found = detectors()
    assert len(found.close(np.empty(0, np.int64), T0 + PANE)) == 0


def test_events_that_come_late_count_in_the_rows_next_update() -> None:
    """Judged by the hour in which they happened."""
    hours = np.broadcast_to(SHARES, (168, 4)).copy()
    hours[::2, 2], hours[1::2, 2] = 0.3, 0.9
    first_hour = detectors(tolerated=tolerance(hours=hours))
    [share] = first_hour.tolerance.bounds(np.array([0]), T0).expected[:, 2]
    law = [LAW[0], np.array([share, 1 - share]), LAW[2]]
    rng = np.random.default_rng(14)
    found = {late: detectors(tolerated=tolerance(hours=hours)) for late in (True, False)}
    counts = [draw(rng, 400, law) for _ in range(10)]
    for i, part in enumerate(counts):
        for late, one in found.items():
            start = T0 if late else T0 + HOUR
            one.feed(np.array([0]), part[None], np.array([400]), start)
            one.close(np.array([0]), T0 + HOUR + (i + 1) * PANE)
    assert said(found[True])[SECOND].verdict is Verdict.CLEAR
    assert said(found[False])[SECOND].verdict is Verdict.DRIFT


# ---- the life of an alarm ------------------------------------------------------------------


def life(found: EDetectors, share: float, panes: Iterable[int], seed: int) -> list[Evidence]:
    rng = np.random.default_rng(seed)
    seen = []
    for i in panes:
        play(found, i, {0: draw(rng, 300, shifted(share))})
        seen.append(said(found)[SECOND])
    return seen


def test_an_alarm_lasts_as_long_as_the_change_and_ends_after_it() -> None:
    found = detectors()
    before = life(found, 0.0, range(50), 15)
    during = life(found, 0.1, range(50, 200), 16)
    after = life(found, 0.0, range(200, 300), 17)
    assert Verdict.DRIFT not in {e.verdict for e in before}
    raised = [e.verdict for e in during].index(Verdict.DRIFT)
    assert raised < 20
    assert all(e.excess is not None for e in during[raised:])
    verdicts_during = [e.verdict for e in during[raised:]]
    assert verdicts_during.count(Verdict.DRIFT) > 0.8 * len(verdicts_during)
    assert Verdict.CLEAR not in verdicts_during
    verdicts = [e.verdict for e in after]
    assert verdicts[0] is Verdict.DRIFT, "patience of twice the events that it took"
    assert Verdict.CLEAR in verdicts
    over = verdicts.index(Verdict.CLEAR)
    assert Verdict.DRIFT not in verdicts[over:]
    assert after[over].excess is None
    assert after[over].statistic <= CLEAR * after[over].threshold
    assert over <= 3 * raised + 10


def test_a_change_that_is_not_seen_again_in_time_is_undecided_until_all_is_quiet() -> None:
    found = detectors()
    life(found, 0.3, range(40), 18)
    verdicts = [e.verdict for e in life(found, 0.0, range(40, 120), 19)]
    order = [Verdict.DRIFT, Verdict.UNDECIDED, Verdict.CLEAR]
    places = [order.index(v) for v in verdicts]
    first_clear = places.index(2)
    assert places[:first_clear] == sorted(places[:first_clear])


def test_what_is_beyond_the_threshold_only_grows_during_an_alarm() -> None:
    found = detectors()
    life(found, 0.0, range(20), 20)
    during = life(found, 0.12, range(20, 120), 21)
    excess = [e.excess for e in during if e.excess is not None]
    assert len(excess) > 60
    assert all(b >= a for a, b in pairwise(excess))
    # It goes on although series begin anew, by what one alternative sees of KL(0.72‖0.62).
    most = 300 * (0.72 * np.log(0.72 / 0.62) + 0.28 * np.log(0.28 / 0.38))
    assert 0.1 * most < excess[-1] / len(excess) < 1.1 * most


def test_a_change_that_comes_back_is_a_new_one() -> None:
    found = detectors()
    life(found, 0.2, range(30), 22)
    over = life(found, 0.0, range(30, 130), 23)
    assert over[-1].excess is None
    again = life(found, 0.2, range(130, 150), 24)
    fresh = next(e for e in again if e.excess is not None)
    assert fresh.excess is not None
    assert fresh.excess < 40.0


def test_it_is_told_how_long_a_change_took_to_show() -> None:
    found = detectors()
    life(found, 0.0, range(100), 25)
    during = life(found, 0.06, range(100, 250), 26)
    raised = next(i for i, e in enumerate(during) if e.verdict is Verdict.DRIFT)
    took = during[raised].took_ms
    # Quiet may have lasted into the change, or ended by chance a little before it.
    assert raised / 3 * PANE <= took <= (raised + 20) * PANE
    assert during[-1].took_ms == took


def test_without_anything_known_of_dispersion_there_is_no_evidence_until_it_is() -> None:
    blind = replace(tolerance(), dispersion=None)
    found = detectors(tolerated=blind)
    seen = life(found, 0.3, range(60), 27)
    assert {e.verdict for e in seen[:30]} == {Verdict.CLEAR}
    assert found.factors(np.array([0]))[0, 1] < 5.0
    assert seen[-1].verdict is Verdict.DRIFT


def test_alarmed_subjects_teach_no_dispersion() -> None:
    """A fault that comes and goes is no variation to get used to."""
    found = detectors()
    life(found, 0.0, range(100), 28)
    for start in range(100, 400, 10):
        life(found, 0.3 if start % 20 else -0.3, range(start, start + 10), start)
    assert found.factors(np.array([0]))[0, 1] < 3.0
    assert said(found)[SECOND].verdict is Verdict.DRIFT
