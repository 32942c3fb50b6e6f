import math

import pytest

from streamgauge.core.alerts.grouping import Member
from streamgauge.core.alerts.past import Spent, spend, split_past, still_spent
from streamgauge.core.findings import Effect, Verdict
from streamgauge.core.slices import RowKey
from tests.support.alert_findings import EWR, HOUR, MINUTE, T0, UA, WHOLE, finding

HOLD = 10 * MINUTE
DAY = 24 * HOUR
LENGTHS = {"1h": HOUR, "1d": DAY, "7d": 7 * DAY}
LONG_AGO, JUST_NOW = T0 - HOLD, T0 - HOLD + 1


def member(
    window: str,
    verdict: Verdict,
    clear_since: int | None = None,
    *,
    at: RowKey = UA,
    joined: int = T0 - DAY,
) -> Member:
    of = finding(verdict, at, window=window, length=LENGTHS[window])
    return Member(verdict, of, T0, joined, None, clear_since)


TABLE = [
    # The shortest window that saw the change is clear for long enough: longer ones see the past,
    # whatever they say on their way to being clear.
    ([("1d", Verdict.CLEAR, LONG_AGO), ("7d", Verdict.DRIFT, None)], ["7d"]),
    ([("1d", Verdict.CLEAR, LONG_AGO), ("7d", Verdict.UNDECIDED, None)], ["7d"]),
    ([("1d", Verdict.CLEAR, LONG_AGO), ("7d", Verdict.SMALL, None)], ["7d"]),
    ([("1d", Verdict.CLEAR, LONG_AGO), ("7d", Verdict.THIN, None)], ["7d"]),
    ([("1d", Verdict.CLEAR, LONG_AGO), ("7d", Verdict.CLEAR, LONG_AGO)], []),
    # Not for long enough, not clear, or too thin to say.
    ([("1d", Verdict.CLEAR, JUST_NOW), ("7d", Verdict.DRIFT, None)], []),
    ([("1d", Verdict.UNDECIDED, None), ("7d", Verdict.DRIFT, None)], []),
    ([("1d", Verdict.THIN, LONG_AGO), ("7d", Verdict.DRIFT, None)], []),
    # Only the long window ever saw it: a slow or small change.
    ([("7d", Verdict.DRIFT, None)], []),
    # The shortest one decides, not one between.
    (
        [("1h", Verdict.DRIFT, None), ("1d", Verdict.CLEAR, LONG_AGO), ("7d", Verdict.DRIFT, None)],
        [],
    ),
    (
        [("1h", Verdict.CLEAR, LONG_AGO), ("1d", Verdict.DRIFT, None), ("7d", Verdict.DRIFT, None)],
        ["1d", "7d"],
    ),
    # A longer window that is clear says nothing of a shorter one.
    ([("1d", Verdict.DRIFT, None), ("7d", Verdict.CLEAR, LONG_AGO)], []),
]


@pytest.mark.parametrize(("windows", "past"), TABLE)
def test_what_longer_windows_see_is_past_once_the_shortest_is_clear(
    windows: list[tuple[str, Verdict, int | None]], past: list[str]
) -> None:
    members = [member(*window) for window in windows]
    for given in (members, members[::-1]):
        counting, over = split_past(given, UA, T0, HOLD)
        assert sorted(m.finding.window for m in over) == past
        assert {*counting, *over} == {*members}
        assert len(counting) + len(over) == len(members)


@pytest.mark.parametrize(
    ("speaker", "windows", "joined", "is_past"),
    [
        # A row that moved in the long window alone goes by the row that speaks, if by any.
        (UA, ["7d"], T0 - DAY, True),
        (EWR, ["7d"], T0 - DAY, False),
        (WHOLE, ["7d"], T0 - DAY, False),
        # One that moved first did so on its own, and one with a window as short has its own.
        (UA, ["7d"], T0 - DAY - 1, False),
        (UA, ["1d", "7d"], T0 - DAY, False),
        (UA, ["1h", "7d"], T0 - DAY, False),
    ],
)
def test_a_row_without_so_short_a_window_goes_by_the_row_that_speaks(
    speaker: RowKey, windows: list[str], joined: int, is_past: bool
) -> None:
    ua = member("1d", Verdict.CLEAR, LONG_AGO)
    others = [member(window, Verdict.DRIFT, at=EWR, joined=joined) for window in windows]
    counting, past = split_past([ua, *others], speaker, T0, HOLD)
    assert list(past) == (others if is_past else [])
    assert list(counting) == [ua, *([] if is_past else others)]


@pytest.mark.parametrize(("joined", "is_past"), [(T0 - DAY, True), (T0 - DAY - 1, False)])
def test_a_long_window_that_moved_first_saw_something_else(joined: int, is_past: bool) -> None:
    day, week = member("1d", Verdict.CLEAR, LONG_AGO), member("7d", Verdict.DRIFT, joined=joined)
    assert bool(split_past([day, week], UA, T0, HOLD)[1]) is is_past


@pytest.mark.parametrize(
    ("clear_since", "is_past"), [(T0 - 7 * DAY + 1, True), (T0 - 7 * DAY, False)]
)
def test_a_window_that_began_when_the_shorter_one_was_clear_sees_nothing_of_the_past(
    clear_since: int, is_past: bool
) -> None:
    day, week = member("1d", Verdict.CLEAR, clear_since), member("7d", Verdict.DRIFT)
    assert bool(split_past([day, week], UA, T0, HOLD)[1]) is is_past


LAST = Spent(Effect("tvd", 0.2, 0.15, 0.25), until=T0)


@pytest.mark.parametrize(
    ("verdict", "effect", "left"),
    [
        # About the same, or less: still the past, and growth counts from the least.
        (Verdict.DRIFT, ("tvd", 0.2, 0.15, 0.25), 0.2),
        (Verdict.DRIFT, ("tvd", 0.28, 0.24, 0.32), 0.2),
        (Verdict.DRIFT, ("tvd", 0.1, 0.05, 0.15), 0.1),
        # Larger by the factor and beyond the interval, or the other way round: something new.
        (Verdict.DRIFT, ("tvd", 0.31, 0.26, 0.36), None),
        (Verdict.DRIFT, ("tvd", -0.2, -0.25, -0.15), None),
        # Clear once: from now on evidence is new.
        (Verdict.CLEAR, ("tvd", 0.2, 0.15, 0.25), None),
        # No evidence, no news.
        (Verdict.SMALL, ("tvd", 0.9, 0.8, 1.0), 0.2),
        (Verdict.UNDECIDED, ("tvd", 0.9, 0.8, 1.0), 0.2),
        (Verdict.THIN, ("tvd", 0.9, 0.8, 1.0), 0.2),
        # Unknown figures, or those of another measure, cannot be compared.
        (Verdict.DRIFT, ("tvd", math.nan, math.nan, math.nan), 0.2),
        (Verdict.DRIFT, ("psi", 9.0, 8.0, 10.0), 9.0),
    ],
)
def test_spent_evidence_is_fresh_again_once_it_was_clear_or_grew(
    verdict: Verdict, effect: tuple[str, float, float, float], left: float | None
) -> None:
    after = still_spent(LAST, finding(verdict, effect=Effect(*effect)), 1.5)
    assert (after and after.effect.value) == left
    assert after is None or after.until == LAST.until


def test_an_effect_that_was_unknown_is_compared_from_the_first_known_one_on() -> None:
    unknown = Spent(Effect("tvd", math.nan, math.nan, math.nan), until=T0)
    known = still_spent(unknown, finding(effect=LAST.effect), 1.5)
    assert known == LAST


def test_evidence_is_spent_until_its_window_holds_nothing_of_before_the_end() -> None:
    day = member("1d", Verdict.DRIFT)
    assert spend(day, T0 + HOUR) == Spent(day.finding.effect, T0 + HOUR + DAY)
