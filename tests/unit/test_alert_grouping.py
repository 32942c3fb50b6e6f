import math

import numpy as np
import pytest

from streamgauge.core.alerts.grouping import (
    Member,
    Place,
    moved_rows,
    observe,
    rank,
    represent,
    update_member,
)
from streamgauge.core.alerts.lifecycle import NO_DATA, Observation
from streamgauge.core.alerts.policy import AlertPolicy, Exclusion, Silence
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.slices import RowKey
from tests.support.alert_findings import (
    EV_LGA,
    EWR,
    HOUR,
    MINUTE,
    T0,
    UA,
    UA_EWR,
    WHOLE,
    finding,
    row,
)

POLICY = AlertPolicy(takeover_factor=2.0)
QUIET_UA = AlertPolicy(silences=(Silence(T0 + HOUR, slice=UA.slice),))


def member(of: Finding, verdict: Verdict | None = None) -> Member:
    return Member(verdict or of.verdict, of, T0, T0, of.onset)


def moved(at: RowKey, statistic: float, window: str = "5m", length: int = 5 * MINUTE) -> Member:
    return member(finding(at=at, statistic=statistic, window=window, length=length))


def pearson(current: np.ndarray, reference: np.ndarray) -> float:
    """Return n·D of counts against probabilities, D the chi-square divergence."""
    n = current.sum()
    return float(((current - n * reference) ** 2 / (n * reference)).sum())


def count_slices(shares: np.ndarray, seed: int) -> list[Member]:
    """Return members for the whole and ten slices whose distributions are the rows of `shares`."""
    rng = np.random.default_rng(seed)
    reference = np.full(8, 1 / 8)
    counts = np.stack([rng.multinomial(2_000, q) for q in shares])
    rows = [row(("carrier", str(i))) for i in range(len(shares))]
    members = [moved(r, pearson(c, reference)) for r, c in zip(rows, counts, strict=True)]
    return [*members, moved(WHOLE, pearson(counts.sum(axis=0), reference))]


@pytest.mark.parametrize("seed", range(20))
def test_a_fault_in_one_slice_is_explained_by_that_slice(seed: int) -> None:
    shares = np.full((10, 8), 1 / 8)
    shares[3] = np.array([4, 4, 2, 2, 1, 1, 1, 1]) / 16
    speaker = represent(None, count_slices(shares, seed), T0, POLICY)
    assert speaker is not None
    assert speaker.row == row(("carrier", "3"))


@pytest.mark.parametrize("seed", range(20))
def test_a_shift_of_every_slice_is_explained_by_the_whole(seed: int) -> None:
    shares = np.tile(np.array([4, 4, 2, 2, 1, 1, 1, 1]) / 16, (10, 1))
    speaker = represent(None, count_slices(shares, seed), T0, POLICY)
    assert speaker is not None
    assert speaker.row == WHOLE


def test_a_place_joins_with_drift_alone() -> None:
    for verdict in Verdict:
        joined = update_member(None, finding(verdict), T0)
        assert (joined is not None) == (verdict is Verdict.DRIFT)


def test_a_thin_finding_keeps_the_last_judgement_and_its_time() -> None:
    drift = finding(now=T0)
    after = update_member(Member(Verdict.DRIFT, drift, T0, T0), finding(Verdict.THIN), T0 + MINUTE)
    assert after == Member(Verdict.THIN, drift, T0, T0)
    clear = finding(Verdict.CLEAR)
    late = T0 + HOUR
    assert update_member(after, clear, late) == Member(Verdict.CLEAR, clear, late, T0, None, late)


@pytest.mark.parametrize(
    ("verdicts", "clear_since"),
    [
        ([Verdict.CLEAR, Verdict.CLEAR], 1),
        # Too few events say nothing against being clear; whatever else was said does.
        ([Verdict.CLEAR, Verdict.THIN, Verdict.CLEAR], 1),
        ([Verdict.CLEAR, Verdict.UNDECIDED], None),
        ([Verdict.CLEAR, Verdict.SMALL, Verdict.CLEAR], 3),
        ([Verdict.CLEAR, Verdict.DRIFT, Verdict.THIN, Verdict.CLEAR], 4),
        ([Verdict.THIN], None),
    ],
)
def test_a_place_is_clear_since_its_first_clear_finding_in_a_row(
    verdicts: list[Verdict], clear_since: int | None
) -> None:
    after = update_member(None, finding(), 0)
    for now, verdict in enumerate(verdicts, start=1):
        after = update_member(after, finding(verdict), now)
    assert after is not None
    assert after.clear_since == clear_since


def test_the_onset_of_a_place_is_the_first_one_known() -> None:
    after = update_member(None, finding(), T0)
    for onset in (None, T0 - HOUR, T0 - MINUTE, None):
        after = update_member(after, finding(onset=onset), T0)
    assert after is not None
    assert after.onset == T0 - HOUR


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        ([Verdict.CLEAR, Verdict.CLEAR], Verdict.CLEAR),
        ([Verdict.CLEAR, Verdict.THIN], Verdict.THIN),
        ([Verdict.THIN, Verdict.UNDECIDED], Verdict.UNDECIDED),
        ([Verdict.UNDECIDED, Verdict.SMALL], Verdict.SMALL),
        ([Verdict.CLEAR, Verdict.SMALL, Verdict.DRIFT], Verdict.DRIFT),
    ],
)
def test_the_most_serious_verdict_decides(verdicts: list[Verdict], together: Verdict) -> None:
    members = [member(finding(verdict)) for verdict in verdicts]
    assert observe(members, T0, POLICY) == Observation(together)


def test_a_group_without_members_has_no_data() -> None:
    assert observe([], T0, POLICY) == NO_DATA
    assert represent(Place(WHOLE, "5m"), [], T0, POLICY) is None


def test_evidence_is_excluded_only_if_all_of_it_is() -> None:
    policy = AlertPolicy(exclusions=(Exclusion(T0 - HOUR, T0 - 30 * MINUTE),))
    short, long = moved(WHOLE, 50), moved(WHOLE, 90, "1h", HOUR)
    assert observe([long], T0, policy) == Observation(Verdict.DRIFT, excluded=True)
    assert observe([short, long], T0, policy) == Observation(Verdict.DRIFT)
    # What is not excluded speaks, although its statistic is smaller.
    assert represent(None, [short, long], T0, policy) == short.finding
    assert represent(None, [long], T0, policy) == long.finding


def test_a_group_is_silenced_only_if_all_its_evidence_is() -> None:
    ua, ewr = moved(UA, 90), moved(EWR, 50)
    assert observe([ua], T0, QUIET_UA) == Observation(Verdict.DRIFT, silenced=True)
    assert observe([ua, ewr], T0, QUIET_UA) == Observation(Verdict.DRIFT)
    clear = member(finding(Verdict.CLEAR, EWR))
    assert observe([ua, clear], T0, QUIET_UA).silenced
    assert represent(None, [ua, ewr], T0, QUIET_UA) == ewr.finding
    # Nor does it go on speaking for others that are not silenced.
    assert represent(Place(UA, "5m"), [ua, ewr], T0, QUIET_UA) == ewr.finding


def test_without_evidence_a_silence_of_any_row_covers_the_group() -> None:
    ua = member(finding(Verdict.UNDECIDED, UA))
    ewr = member(finding(Verdict.UNDECIDED, EWR))
    assert observe([ua, ewr], T0, QUIET_UA) == Observation(Verdict.UNDECIDED, silenced=True)
    assert observe([ua, ewr], T0 + HOUR, QUIET_UA) == Observation(Verdict.UNDECIDED)


@pytest.mark.parametrize(
    ("statistics", "chosen"),
    [
        ((100, 100, 100), WHOLE),
        # Nearly the same statistic is mostly nearly the same set of events.
        ((100, 98.1, 97), UA),
        ((100, 97.9, 97), UA_EWR),
        ((math.inf, math.inf, 97), UA),
    ],
)
def test_on_nearly_equal_statistics_the_row_with_fewer_dimensions_speaks(
    statistics: tuple[float, float, float], chosen: RowKey
) -> None:
    members = [moved(at, s) for at, s in zip((UA_EWR, UA, WHOLE), statistics, strict=True)]
    speaker = represent(None, members, T0, POLICY)
    assert speaker is not None
    assert speaker.row == chosen


def test_on_equal_statistics_the_shorter_window_speaks() -> None:
    long, short = moved(UA, 100, "1h", HOUR), moved(UA, 100)
    assert represent(None, [long, short], T0, POLICY) == short.finding


def test_the_speaker_stays_until_another_row_is_twice_as_strong() -> None:
    ua, ewr = moved(UA, 100), moved(EWR, 199)
    assert represent(Place(UA, "5m"), [ua, ewr], T0, POLICY) == ua.finding
    stronger = moved(EWR, 200)
    assert represent(Place(UA, "5m"), [ua, stronger], T0, POLICY) == stronger.finding


def test_within_its_row_the_window_that_was_published_speaks_while_it_moves() -> None:
    short, long = moved(UA, 100), moved(UA, 950, "1h", HOUR)
    assert represent(None, [short, long], T0, POLICY) == long.finding
    assert represent(Place(UA, "5m"), [short, long], T0, POLICY) == short.finding
    assert represent(Place(UA, "1h"), [short, long], T0, POLICY) == long.finding
    # All windows of the row count against others.
    other = moved(EWR, 1500, "1h", HOUR)
    assert represent(Place(UA, "5m"), [short, long, other], T0, POLICY) == short.finding
    quiet = member(finding(Verdict.UNDECIDED, UA))
    assert represent(Place(UA, "5m"), [quiet, long], T0, POLICY) == long.finding


@pytest.mark.parametrize(
    ("statistic", "window", "takes_over"),
    [
        # It holds all events of carrier=UA,origin=EWR and more: any larger statistic will do.
        (101, "5m", True),
        (100, "5m", False),
        (99, "5m", False),
        # But statistics of different windows are compared by the factor.
        (199, "1h", False),
        (200, "1h", True),
    ],
)
def test_a_row_that_contains_the_speaker_needs_no_factor(
    statistic: float, window: str, takes_over: bool
) -> None:
    inner, outer = moved(UA_EWR, 100), moved(UA, statistic, window)
    speaker = represent(Place(UA_EWR, "5m"), [inner, outer], T0, POLICY)
    assert speaker == (outer if takes_over else inner).finding
    # A row that the speaker contains does need it.
    assert represent(Place(UA, window), [inner, outer], T0, POLICY) == outer.finding


def test_what_another_alert_explains_better_does_not_speak_for_this_one() -> None:
    own, whole, rival = moved(EV_LGA, 100), moved(WHOLE, 250), finding(at=UA, statistic=300)
    assert represent(Place(EV_LGA, "5m"), [own, whole], T0, POLICY, [rival]) == own.finding
    assert represent(None, [own, whole], T0, POLICY, [rival]) == own.finding
    # Where the whole moves more than the other alert can account for, it does.
    weak = finding(at=UA, statistic=200)
    assert represent(Place(EV_LGA, "5m"), [own, whole], T0, POLICY, [weak]) == whole.finding
    # The other alert has no say in what it shares no event with, nor where there is no other.
    other = moved(row(("carrier", "EV")), 250)
    assert represent(Place(EV_LGA, "5m"), [own, other], T0, POLICY, [rival]) == other.finding
    assert represent(None, [whole], T0, POLICY, [rival]) == whole.finding


def test_a_speaker_that_is_undecided_stays_but_a_clear_one_goes() -> None:
    ewr = moved(EWR, 60)
    undecided = member(finding(Verdict.UNDECIDED, UA, statistic=35))
    assert represent(Place(UA, "5m"), [undecided, ewr], T0, POLICY) == undecided.finding
    clear = member(finding(Verdict.CLEAR, UA, statistic=35))
    assert represent(Place(UA, "5m"), [clear, ewr], T0, POLICY) == ewr.finding
    assert represent(Place(UA, "5m"), [ewr], T0, POLICY) == ewr.finding


def test_statistics_that_are_no_numbers_or_negative_never_confuse_the_choice() -> None:
    unknown, known, negative = moved(UA, math.nan), moved(EWR, 50), moved(WHOLE, -5)
    assert represent(None, [unknown, known, negative], T0, POLICY) == known.finding
    assert represent(Place(UA, "5m"), [unknown, known], T0, POLICY) == known.finding
    assert represent(Place(UA, "5m"), [unknown], T0, POLICY) == unknown.finding
    assert represent(Place(EWR, "5m"), [unknown, known], T0, POLICY) == known.finding
    assert represent(Place(WHOLE, "5m"), [negative, moved(UA, -1)], T0, POLICY) == negative.finding
    endless, other = moved(UA, math.inf), moved(EWR, math.inf)
    assert represent(Place(EWR, "5m"), [endless, other], T0, POLICY) == other.finding


def test_the_other_moved_rows_come_once_each_and_the_strongest_first() -> None:
    members = [
        moved(UA, 100),
        moved(EWR, 60),
        moved(EWR, 90, "1h", HOUR),
        moved(WHOLE, 70),
        member(finding(Verdict.CLEAR, UA_EWR, statistic=500)),
    ]
    assert moved_rows(members, UA) == ((EWR, WHOLE), 0)


def test_rows_apart_come_first_and_slices_of_the_speaker_are_counted() -> None:
    jfk, aa = row(("origin", "JFK")), row(("carrier", "AA"))
    ua_jfk = row(("carrier", "UA"), ("origin", "JFK"))
    members = [
        moved(at, s) for s, at in enumerate([aa, EV_LGA, jfk, WHOLE, UA, UA_EWR, ua_jfk], start=1)
    ]
    assert moved_rows(members, UA) == ((EV_LGA, aa, WHOLE, jfk), 2)
    assert moved_rows(members, WHOLE) == ((), 6)


def test_the_rank_is_a_total_order_of_places() -> None:
    findings = [
        finding(at=at, statistic=s, window=w)
        for at in (WHOLE, UA, EWR, UA_EWR)
        for s in (1.0, 2.0)
        for w in ("5m", "1h")
    ]
    assert len({rank(f) for f in findings}) == len(findings)
