import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.alerts.identity import alert_id, fingerprint, topic_of
from streamgauge.core.alerts.lifecycle import Reason
from streamgauge.core.alerts.policy import AlertPolicy, Grade, Severity, Silence
from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import SCORE, Subject, SubjectKind
from streamgauge.errors import StateError
from tests.support.alert_findings import (
    AIR_TIME,
    DISTANCE,
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
from tests.support.kept import kept

POLICY = AlertPolicy(resolve_after=10 * MINUTE, cool_down=10 * MINUTE, expire_after=HOUR)


def book(policy: AlertPolicy = POLICY) -> AlertBook:
    return AlertBook("flights", policy)


def feed(alerts: AlertBook, minute: int, *findings: Finding) -> tuple[AlertRecord, ...]:
    """Give findings to the book at a minute after T0, moved there."""
    now = T0 + minute * MINUTE
    moved = [replace(f, start=f.start - f.end + now, end=now) for f in findings]
    return alerts.update(moved, now)


def annotations(record: AlertRecord) -> dict[str, str]:
    return dict(record.annotations)


def replay(alerts: AlertBook, script: Iterable[tuple[int, list[Finding]]]) -> list[AlertRecord]:
    return [record for minute, findings in script for record in feed(alerts, minute, *findings)]


def test_evidence_fires_an_alert_with_everything_that_the_finding_says() -> None:
    alerts = book(replace(POLICY, labels=(("team", "pricing"),)))
    drift = finding(at=UA, onset=T0 - MINUTE, excess=6.2)
    (record,) = alerts.update([drift], T0)
    print_ = fingerprint("flights", topic_of(drift))
    assert record == AlertRecord(
        alert_id=alert_id(print_, T0),
        fingerprint=print_,
        revision=1,
        status=AlertStatus.FIRING,
        severity=Severity.WARNING,
        model="flight-delay",
        model_version="4",
        slice=(("carrier", "UA"),),
        subject=DISTANCE,
        detector="distribution",
        statistic=100.0,
        threshold=40.0,
        effect=drift.effect,
        samples=1240,
        start=T0 - 5 * MINUTE,
        end=T0,
        onset=T0 - MINUTE,
        starts_at=T0,
        ends_at=None,
        summary=record.summary,
        labels=(("team", "pricing"),),
        annotations=(("reason", "fired"),),
    )
    assert "carrier=UA" in record.summary
    assert "evidence 490 times what the budget of false alarms asks for" in record.summary
    (active,) = alerts.active()
    assert (active.alert_id, active.summary) == (record.alert_id, record.summary)
    assert (active.slice, active.subject, active.severity) == (UA.slice, DISTANCE, "warning")
    assert (active.starts_at, active.onset) == (T0, T0 - MINUTE)
    assert alerts.fired == {("feature", "distribution", "warning"): 1}
    assert alerts.watched() == {(UA, DISTANCE)}


def test_two_hundred_slices_of_one_feature_are_one_alert() -> None:
    alerts = book()
    rows = [row(("carrier", f"C{i}")) for i in range(200)]
    (record,) = alerts.update([finding(at=r, statistic=100.0 + i) for i, r in enumerate(rows)], T0)
    assert record.slice == (("carrier", "C199"),)
    assert record.summary.endswith("; also carrier=C198 and 198 more slices.")
    assert annotations(record)["also_moved"] == (
        "carrier=C198, carrier=C197, carrier=C196 and 196 more slices"
    )
    assert len(alerts.watched()) == 200


def test_versions_detectors_and_subjects_have_alerts_of_their_own() -> None:
    alerts = book()
    records = alerts.update(
        [
            finding(),
            finding(detector="adwin"),
            finding(subject=AIR_TIME),
            finding(at=row(version="5")),
        ],
        T0,
    )
    assert len({record.fingerprint for record in records}) == 4


def test_what_fires_together_names_its_relatives() -> None:
    alerts = book()
    records = alerts.update(
        [
            finding(),
            finding(subject=AIR_TIME),
            finding(subject=SCORE, detector="adwin"),
            finding(at=row(version="5")),
        ],
        T0,
    )
    related = {(r.model_version, r.subject.name): annotations(r).get("related") for r in records}
    assert related == {
        ("4", "distance"): "air_time and score",
        ("4", "air_time"): "distance and score",
        ("4", "score"): "air_time and distance",
        ("5", "distance"): None,
    }
    # What fires later is not told of what fires already.
    (late,) = feed(alerts, 1, finding(), finding(subject=Subject(SubjectKind.FEATURE, "dep_hour")))
    assert "related" not in annotations(late)


def test_a_firing_alert_that_goes_on_is_not_repeated() -> None:
    alerts = book()
    assert len(feed(alerts, 0, finding(at=UA))) == 1
    for minute in range(1, 60):
        assert feed(alerts, minute, finding(at=UA, statistic=100.0 + minute)) == ()
    assert alerts.active()[0].statistic == 159.0
    assert alerts.decisions == {Reason.FIRED: 1, Reason.STILL_FIRING: 59}


def test_an_alert_resolves_after_everything_was_clear_for_a_while() -> None:
    alerts = book()
    clear = finding(Verdict.CLEAR, UA, statistic=5.0, effect=Effect("tvd", 0.01, 0.0, 0.02))
    feed(alerts, 0, finding(at=UA, onset=T0 - MINUTE))
    assert feed(alerts, 30, clear) == ()
    assert feed(alerts, 39, clear) == ()
    (record,) = feed(alerts, 40, clear)
    assert (record.status, record.revision) == (AlertStatus.RESOLVED, 2)
    assert (record.starts_at, record.ends_at) == (T0, T0 + 40 * MINUTE)
    # The figures are those of now, the onset that of the change.
    assert (record.statistic, record.onset) == (5.0, T0 - MINUTE)
    assert "since 2013-10-08 04:30 UTC" in record.summary
    assert annotations(record)["reason"] == "resolved"
    assert alerts.active() == ()
    assert alerts.watched() == frozenset()


def test_one_row_that_still_moves_keeps_the_alert_firing() -> None:
    alerts = book()
    feed(alerts, 0, finding(at=UA, statistic=300), finding(at=EWR))
    clear = finding(Verdict.CLEAR, UA, statistic=5)
    (record,) = feed(alerts, 1, clear, finding(at=EWR))
    assert annotations(record)["reason"] == "representative_changed"
    assert (record.revision, record.slice) == (2, EWR.slice)
    assert feed(alerts, 60, clear, finding(at=EWR)) == ()
    feed(alerts, 61, clear, finding(Verdict.CLEAR, EWR))
    (record,) = feed(alerts, 71, clear, finding(Verdict.CLEAR, EWR))
    assert record.status is AlertStatus.RESOLVED


def test_a_row_that_was_not_looked_at_again_keeps_its_verdict() -> None:
    alerts = book()
    small = finding(at=EWR)
    feed(alerts, 0, finding(), small)
    for minute in range(2, 22):
        feed(alerts, minute, finding(Verdict.CLEAR))
    assert len(alerts.active()) == 1
    assert feed(alerts, 22, finding(Verdict.CLEAR), finding(Verdict.CLEAR, EWR)) == ()
    (record,) = feed(alerts, 32, finding(Verdict.CLEAR))
    assert record.status is AlertStatus.RESOLVED


def test_the_speaker_changes_only_for_a_row_that_is_a_quarter_stronger() -> None:
    alerts = book()
    feed(alerts, 0, finding(at=UA, statistic=100))
    assert feed(alerts, 1, finding(at=UA, statistic=100), finding(at=EWR, statistic=120)) == ()
    (record,) = feed(alerts, 2, finding(at=UA, statistic=100), finding(at=EWR, statistic=130))
    assert (record.slice, record.revision) == (EWR.slice, 2)
    assert record.alert_id == alert_id(record.fingerprint, T0)
    assert "also carrier=UA" in record.summary
    assert feed(alerts, 3, finding(at=UA, statistic=150), finding(at=EWR, statistic=130)) == ()


def test_an_alert_rises_to_the_severity_whose_budget_its_evidence_reaches_and_keeps_it() -> None:
    levels = ((Severity.INFO, 0.0), (Severity.WARNING, 2.0), (Severity.CRITICAL, 6.0))
    alerts = book(replace(POLICY, levels=levels))
    [record] = alerts.update([replace(finding(at=UA), excess=2.5)], T0)
    assert record.severity is Severity.WARNING
    assert alerts.fired == {("feature", "distribution", "warning"): 1}
    later = T0 + MINUTE
    assert alerts.update([replace(finding(at=UA, now=later), excess=5.9)], later) == ()
    later += MINUTE
    [record] = alerts.update([replace(finding(at=UA, now=later), excess=6.1)], later)
    assert (record.severity, annotations(record)["reason"]) == ("critical", "severity_raised")
    later += MINUTE
    assert alerts.update([replace(finding(at=UA, now=later), excess=0.1)], later) == ()
    assert alerts.active()[0].severity == "critical"


def test_a_graver_effect_raises_the_severity_and_a_smaller_one_leaves_it() -> None:
    grades = (Grade(Severity.WARNING), Grade(Severity.CRITICAL, measure="tvd", at_least=0.4))
    alerts = book(replace(POLICY, grades=grades))
    feed(alerts, 0, finding(effect=Effect("tvd", 0.45, 0.35, 0.55)))
    (record,) = feed(alerts, 1, finding(effect=Effect("tvd", 0.5, 0.45, 0.55)))
    assert (record.severity, record.revision) == (Severity.CRITICAL, 2)
    assert annotations(record)["reason"] == "severity_raised"
    assert feed(alerts, 2, finding(effect=Effect("tvd", 0.45, 0.35, 0.55))) == ()
    (record,) = feed(alerts, 6, finding(effect=Effect("tvd", 0.2, 0.15, 0.25)))
    assert (record.severity, annotations(record)["reason"]) == ("critical", "effect_changed")
    # It counts as what it was when it fired.
    assert alerts.fired == {("feature", "distribution", "warning"): 1}


def test_evidence_must_hold_where_the_policy_says_so() -> None:
    alerts = book(replace(POLICY, pending_for=5 * MINUTE))
    assert feed(alerts, 0, finding()) == ()
    assert alerts.watched() == {(WHOLE, DISTANCE)}
    assert alerts.active() == ()
    assert feed(alerts, 4, finding()) == ()
    (record,) = feed(alerts, 5, finding())
    assert record.starts_at == T0 + 5 * MINUTE
    other = book(replace(POLICY, pending_for=5 * MINUTE))
    feed(other, 0, finding())
    feed(other, 4, finding(Verdict.CLEAR))
    assert feed(other, 5, finding()) == ()
    assert other.decisions[Reason.PENDING_CLEARED] == 1


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.DRIFT])
def test_nothing_but_drift_starts_an_alert(verdict: Verdict) -> None:
    alerts = book()
    assert feed(alerts, 0, finding(verdict)) == ()
    assert alerts.watched() == frozenset()
    assert alerts.decisions == {Reason.QUIET: 1}


@pytest.mark.parametrize("verdict", [Verdict.SMALL, Verdict.UNDECIDED])
def test_small_and_undecided_findings_keep_an_alert_as_it_is(verdict: Verdict) -> None:
    alerts = book()
    feed(alerts, 0, finding())
    for minute in range(1, 300):
        assert feed(alerts, minute, finding(verdict)) == ()
    assert len(alerts.active()) == 1


def test_a_row_that_never_had_evidence_holds_nothing() -> None:
    alerts = book()
    feed(alerts, 0, finding(at=UA))
    clear, small = finding(Verdict.CLEAR, UA), finding(Verdict.SMALL, EWR)
    feed(alerts, 1, clear, small)
    (record,) = feed(alerts, 11, clear, small)
    assert record.status is AlertStatus.RESOLVED


def test_an_alert_whose_row_is_never_judged_again_ends_at_its_deadline() -> None:
    alerts = book()
    feed(alerts, 0, finding())
    assert feed(alerts, 30, finding()) == ()
    assert feed(alerts, 90) == ()
    (record,) = feed(alerts, 200)
    assert record.status is AlertStatus.RESOLVED
    assert record.ends_at == T0 + 90 * MINUTE
    assert annotations(record)["reason"] == "expired_no_data"
    assert "too few events since 2013-10-08 04:30 UTC" in record.summary
    assert record.revision == 2


def test_alerts_that_ended_between_two_calls_come_in_the_order_of_their_ends() -> None:
    alerts = book()
    feed(alerts, 0, finding(), finding(subject=AIR_TIME))
    feed(alerts, 5, finding(subject=AIR_TIME))
    records = feed(alerts, 200)
    assert [record.subject for record in records] == [DISTANCE, AIR_TIME]
    assert [record.ends_at for record in records] == [T0 + 60 * MINUTE, T0 + 65 * MINUTE]


def test_a_row_that_stays_too_thin_ends_like_one_without_data() -> None:
    alerts = book()
    feed(alerts, 0, finding())
    for minute in range(1, 61):
        assert feed(alerts, minute, finding(Verdict.THIN, statistic=0.0, samples=3)) == ()
    (record,) = feed(alerts, 61, finding(Verdict.THIN, statistic=0.0, samples=3))
    assert record.ends_at == T0 + 60 * MINUTE
    # The last figures that meant something.
    assert (record.statistic, record.samples) == (100.0, 1240)


def test_a_vanished_slice_does_not_keep_the_others_from_resolving() -> None:
    alerts = book()
    feed(alerts, 0, finding(at=UA, statistic=300), finding(at=WHOLE))
    records: list[AlertRecord] = []
    for minute in range(1, 80):
        records += feed(alerts, minute, finding(Verdict.CLEAR, WHOLE))
    # carrier=UA is forgotten after 60 minutes; then the whole must be clear for 10 more.
    (record,) = records
    assert record.status is AlertStatus.RESOLVED
    assert record.ends_at == T0 + 71 * MINUTE
    assert record.slice == UA.slice


def test_a_pending_alert_without_data_goes_without_a_word() -> None:
    alerts = book(replace(POLICY, pending_for=5 * MINUTE))
    feed(alerts, 0, finding())
    assert feed(alerts, 61) == ()
    assert alerts.watched() == frozenset()
    assert alerts.decisions == {Reason.STARTED_PENDING: 1, Reason.EXPIRED_NO_DATA: 1}


def test_an_alert_that_just_ended_may_not_fire_again_at_once() -> None:
    alerts = book()
    feed(alerts, 0, finding())
    feed(alerts, 1, finding(Verdict.CLEAR))
    (resolved,) = feed(alerts, 11, finding(Verdict.CLEAR))
    assert feed(alerts, 12, finding()) == ()
    assert alerts.watched() == frozenset()
    assert feed(alerts, 20, finding()) == ()
    (again,) = feed(alerts, 21, finding())
    assert again.fingerprint == resolved.fingerprint
    assert again.alert_id != resolved.alert_id
    assert again.revision == 1
    assert alerts.decisions[Reason.COOL_DOWN] == 2
    assert alerts.fired.total() == 2


def test_an_alert_may_end_for_lack_of_data_and_fire_anew_in_one_evaluation() -> None:
    alerts = book()
    (first,) = feed(alerts, 0, finding())
    ended, fired = feed(alerts, 600, finding())
    assert (ended.alert_id, ended.revision) == (first.alert_id, 2)
    assert ended.ends_at == T0 + HOUR
    assert (fired.starts_at, fired.revision) == (T0 + 600 * MINUTE, 1)
    assert fired.alert_id != first.alert_id


def test_a_silenced_alert_is_tracked_and_marked_but_not_active() -> None:
    silence = Silence(T0 + HOUR, name="distance", comment="known, ticket 7")
    alerts = book(replace(POLICY, silences=(silence,)))
    (record,) = feed(alerts, 0, finding())
    assert annotations(record)["silenced"] == "known, ticket 7"
    assert annotations(record)["reason"] == "silenced"
    assert alerts.active() == ()
    assert [alert.alert_id for alert in alerts.silenced()] == [record.alert_id]
    assert alerts.fired.total() == 1
    # When the silence ends and the alert still stands, people hear of it.
    assert feed(alerts, 59, finding()) == ()
    (record,) = feed(alerts, 60, finding())
    assert annotations(record)["reason"] == "unsilenced"
    assert "silenced" not in annotations(record)
    assert record.revision == 2
    assert len(alerts.active()) == 1
    assert alerts.silenced() == ()


def test_a_silence_of_one_slice_does_not_silence_the_others() -> None:
    silence = Silence(T0 + HOUR, slice=UA.slice)
    alerts = book(replace(POLICY, silences=(silence,)))
    (record,) = feed(alerts, 0, finding(at=UA_EWR, statistic=500), finding(at=EWR))
    assert record.slice == EWR.slice
    assert len(alerts.active()) == 1
    # Once the other slice is clear, all that is left is silenced.
    clear = finding(Verdict.CLEAR, EWR)
    (record,) = feed(alerts, 1, finding(at=UA_EWR, statistic=500), clear)
    assert annotations(record)["reason"] == "silenced"
    assert annotations(record)["silenced"] == "until 2013-10-08 05:00 UTC"
    assert alerts.active() == ()


def test_a_full_book_counts_the_alerts_that_it_does_not_take_in() -> None:
    alerts = book(replace(POLICY, max_alerts=2))
    subjects = [Subject(SubjectKind.FEATURE, name) for name in "abcd"]
    records = alerts.update([finding(subject=subject) for subject in subjects], T0)
    assert [record.subject.name for record in records] == ["a", "b"]
    assert alerts.refused_alerts == 2
    assert alerts.decisions[Reason.NO_ROOM] == 2
    # Those that fire already are not touched by it.
    feed(alerts, 1, *(finding(Verdict.CLEAR, subject=subject) for subject in subjects))
    records = feed(alerts, 11, *(finding(Verdict.CLEAR, subject=s) for s in subjects))
    assert [record.status for record in records] == ["resolved", "resolved"]


def test_rows_over_the_limit_are_counted_and_the_strongest_are_kept() -> None:
    alerts = book(replace(POLICY, max_rows=3))
    rows = [row(("carrier", f"C{i}")) for i in range(5)]
    moved = [finding(at=r, statistic=100.0 + i) for i, r in enumerate(rows)]
    (record,) = feed(alerts, 0, *moved)
    assert alerts.watched() == {(r, DISTANCE) for r in rows[2:]}
    assert alerts.refused_rows == 2
    assert record.summary.endswith("; also carrier=C3 and 1 more slice.")
    # Another alert may always follow one row.
    feed(alerts, 1, finding(subject=AIR_TIME), finding(at=UA, subject=AIR_TIME))
    assert (WHOLE, AIR_TIME) in alerts.watched() or (UA, AIR_TIME) in alerts.watched()
    assert len(alerts.watched()) == 4
    # What resolves makes room.
    clear = [finding(Verdict.CLEAR, r) for r in rows]
    feed(alerts, 2, *clear, finding(Verdict.CLEAR, subject=AIR_TIME))
    feed(alerts, 12, *clear, finding(Verdict.CLEAR, subject=AIR_TIME))
    assert alerts.watched() == frozenset()
    feed(alerts, 30, *moved)
    assert len(alerts.watched()) == 3


def test_of_two_findings_for_one_row_the_more_serious_counts() -> None:
    for findings in ([finding(), finding(Verdict.CLEAR)], [finding(Verdict.CLEAR), finding()]):
        alerts = book()
        assert len(alerts.update(findings, T0)) == 1
        assert len(alerts.active()) == 1


def test_event_time_that_goes_back_is_refused() -> None:
    alerts = book()
    alerts.update([], T0)
    alerts.update([], T0)
    with pytest.raises(ValueError, match=f"event time went back from {T0} to {T0 - 1}"):
        alerts.update([], T0 - 1)


def test_what_is_kept_is_json_and_restores_every_state() -> None:
    policy = replace(POLICY, silences=(Silence(T0 + 300 * MINUTE, name="dep_hour"),))
    dep_hour = Subject(SubjectKind.FEATURE, "dep_hour")
    alerts = book(policy)
    odd = Effect("psi", float("inf"), float("nan"), float("-inf"))
    feed(alerts, 0, finding(subject=AIR_TIME))
    feed(alerts, 1, finding(Verdict.CLEAR, subject=AIR_TIME))
    feed(alerts, 11, finding(Verdict.CLEAR, subject=AIR_TIME))
    feed(
        alerts,
        12,
        finding(at=UA, statistic=float("inf"), effect=odd, onset=T0, excess=float("inf")),
        finding(at=EWR),
        finding(subject=dep_hour),
    )
    again = book(policy)
    again.restore(json.loads(json.dumps(kept(alerts), allow_nan=False)))
    assert kept(again) == kept(alerts)
    assert repr(again) == repr(alerts)


def test_state_of_another_format_is_refused() -> None:
    data = kept(book())
    with pytest.raises(StateError, match="state book: has format 99"):
        book().restore({"book": {**data["book"], "format": 99}})


def test_what_is_kept_shares_nothing_with_the_book() -> None:
    alerts = book()
    feed(alerts, 0, finding(at=UA))
    data = {part.key: part.data() for part in alerts.parts()}
    text = json.dumps(data)
    feed(alerts, 1, finding(at=UA, statistic=500), finding(at=EWR, statistic=5000))
    assert json.dumps(data) == text


def test_a_replay_gives_the_same_records() -> None:
    script = [
        (0, [finding(at=UA)]),
        (1, [finding(at=UA), finding(at=EWR, statistic=900)]),
        (2, [finding(Verdict.CLEAR, UA), finding(Verdict.CLEAR, EWR)]),
        (12, [finding(Verdict.CLEAR, UA), finding(Verdict.CLEAR, EWR)]),
        (30, [finding(at=UA)]),
        (200, []),
    ]
    first, second = replay(book(), script), replay(book(), script)
    assert first == second
    assert [r.revision for r in first] == [1, 2, 3, 1, 2]
