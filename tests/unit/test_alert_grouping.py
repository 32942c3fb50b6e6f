import math

import numpy as np
import pytest

from streamgauge.core.alerts.grouping import (
    Member,
    moved_rows,
    observe,
    rank,
    represent,
    update_member,
)
from streamgauge.core.alerts.lifecycle import NO_DATA, Observation
from streamgauge.core.alerts.policy import AlertPolicy, Silence
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
    return Member(verdict or of.verdict, of, T0, of.onset)


def moved(at: RowKey, statistic: float) -> Member:
    return member(finding(at=at, statistic=statistic))


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


def test_a_row_joins_with_drift_alone() -> None:
    for verdict in Verdict:
        joined = update_member(None, finding(verdict), T0)
        assert (joined is not None) == (verdict is Verdict.DRIFT)


def test_a_thin_finding_keeps_the_last_judgement_and_its_time() -> None:
    drift = finding(now=T0)
    after = update_member(Member(Verdict.DRIFT, drift, T0), finding(Verdict.THIN), T0 + MINUTE)
    assert after == Member(Verdict.THIN, drift, T0)
    clear = finding(Verdict.CLEAR)
    assert update_member(after, clear, T0 + HOUR) == Member(Verdict.CLEAR, clear, T0 + HOUR)


def test_the_onset_of_a_row_is_the_first_one_known() -> None:
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
    assert represent(WHOLE, [], T0, POLICY) is None


def test_a_group_is_silenced_only_if_all_its_evidence_is() -> None:
    ua, ewr = moved(UA, 90), moved(EWR, 50)
    assert observe([ua], T0, QUIET_UA) == Observation(Verdict.DRIFT, silenced=True)
    assert observe([ua, ewr], T0, QUIET_UA) == Observation(Verdict.DRIFT)
    clear = member(finding(Verdict.CLEAR, EWR))
    assert observe([ua, clear], T0, QUIET_UA).silenced
    assert represent(None, [ua, ewr], T0, QUIET_UA) == ewr.finding
    # Nor does it go on speaking for others that are not silenced, whatever it says.
    undecided = member(ua.finding, Verdict.UNDECIDED)
    assert represent(UA, [ua, ewr], T0, QUIET_UA) == ewr.finding
    assert represent(UA, [undecided, ewr], T0, QUIET_UA) == ewr.finding
    # Where all are silenced, it does.
    assert represent(UA, [ua, moved(UA_EWR, 95)], T0, QUIET_UA) == ua.finding


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


def test_the_speaker_stays_until_another_row_is_twice_as_strong() -> None:
    ua, ewr = moved(UA, 100), moved(EWR, 199)
    assert represent(UA, [ua, ewr], T0, POLICY) == ua.finding
    stronger = moved(EWR, 200)
    assert represent(UA, [ua, stronger], T0, POLICY) == stronger.finding


def test_only_what_the_same_evaluation_found_takes_over() -> None:
    # Other evaluations may have measured another period, in which there was more to be seen.
    ua, whole = moved(UA, 100), moved(WHOLE, 900)
    earlier = member(finding(at=WHOLE, statistic=900, now=T0 - MINUTE))
    assert represent(UA, [ua, whole], T0, POLICY) == whole.finding
    assert represent(UA, [ua, earlier], T0, POLICY) == ua.finding
    assert represent(None, [ua, earlier], T0, POLICY) == earlier.finding


@pytest.mark.parametrize(("statistic", "takes_over"), [(101, True), (100, False), (99, False)])
def test_a_row_that_contains_the_speaker_needs_no_factor(
    statistic: float, takes_over: bool
) -> None:
    # It holds all events of carrier=UA,origin=EWR and more: any larger statistic will do.
    inner, outer = moved(UA_EWR, 100), moved(UA, statistic)
    speaker = represent(UA_EWR, [inner, outer], T0, POLICY)
    assert speaker == (outer if takes_over else inner).finding
    # A row that the speaker contains does need it.
    assert represent(UA, [inner, outer], T0, POLICY) == outer.finding


def test_what_another_alert_explains_better_does_not_speak_for_this_one() -> None:
    own, whole, rival = moved(EV_LGA, 100), moved(WHOLE, 250), finding(at=UA, statistic=300)
    assert represent(EV_LGA, [own, whole], T0, POLICY, [rival]) == own.finding
    assert represent(None, [own, whole], T0, POLICY, [rival]) == own.finding
    # Where the whole moves more than the other alert can account for, it does.
    weak = finding(at=UA, statistic=200)
    assert represent(EV_LGA, [own, whole], T0, POLICY, [weak]) == whole.finding
    # The other alert has no say in what it shares no event with, nor where there is no other.
    other = moved(row(("carrier", "EV")), 250)
    assert represent(EV_LGA, [own, other], T0, POLICY, [rival]) == other.finding
    assert represent(None, [whole], T0, POLICY, [rival]) == whole.finding


def test_a_speaker_that_is_undecided_stays_but_a_clear_one_goes() -> None:
    ewr = moved(EWR, 60)
    undecided = member(finding(Verdict.UNDECIDED, UA, statistic=35))
    assert represent(UA, [undecided, ewr], T0, POLICY) == undecided.finding
    clear = member(finding(Verdict.CLEAR, UA, statistic=35))
    assert represent(UA, [clear, ewr], T0, POLICY) == ewr.finding
    assert represent(UA, [ewr], T0, POLICY) == ewr.finding


def test_statistics_that_are_no_numbers_or_negative_never_confuse_the_choice() -> None:
    unknown, known, negative = moved(UA, math.nan), moved(EWR, 50), moved(WHOLE, -5)
    assert represent(None, [unknown, known, negative], T0, POLICY) == known.finding
    assert represent(UA, [unknown, known], T0, POLICY) == known.finding
    assert represent(UA, [unknown], T0, POLICY) == unknown.finding
    assert represent(EWR, [unknown, known], T0, POLICY) == known.finding
    assert represent(WHOLE, [negative, moved(UA, -1)], T0, POLICY) == negative.finding
    endless, other = moved(UA, math.inf), moved(EWR, math.inf)
    assert represent(EWR, [endless, other], T0, POLICY) == other.finding


def test_of_the_other_moved_rows_the_strongest_comes_first() -> None:
    members = [
        moved(UA, 100),
        moved(WHOLE, 70),
        moved(EWR, 90),
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


def test_the_rank_is_a_total_order_of_rows() -> None:
    findings = [finding(at=at, statistic=s) for at in (WHOLE, UA, EWR, UA_EWR) for s in (1.0, 2.0)]
    assert len({rank(f) for f in findings}) == len(findings)
