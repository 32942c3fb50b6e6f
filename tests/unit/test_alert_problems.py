"""Several problems in one subject, and one problem in many rows, over event time."""

import json
from dataclasses import replace

import pytest

from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.alerts.identity import fingerprint, topic_of
from streamgauge.core.alerts.lifecycle import Reason
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.slices import RowKey
from tests.support.alert_findings import (
    DISTANCE,
    EV_LGA,
    EWR,
    HOUR,
    T0,
    UA,
    UA_EWR,
    WHOLE,
    finding,
    row,
)
from tests.support.kept import kept

DAY = 24 * HOUR
POLICY = AlertPolicy(
    resolve_after=2 * HOUR, cool_down=2 * HOUR, expire_after=21 * DAY, together=6 * HOUR
)
MODERATE = Effect("tvd", 0.2, 0.15, 0.25)
AA = row(("carrier", "AA"))
LGA = row(("origin", "LGA"))


def book(policy: AlertPolicy = POLICY) -> AlertBook:
    return AlertBook("flights", policy)


def seen(
    at: RowKey,
    statistic: float = 100.0,
    *,
    verdict: Verdict = Verdict.DRIFT,
    onset: int | None = None,
    effect: Effect = MODERATE,
) -> Finding:
    """Return a finding about a day, which `feed` puts in its place."""
    return finding(verdict, at, statistic=statistic, length=DAY, onset=onset, effect=effect)


def clear(at: RowKey) -> Finding:
    return seen(at, 5.0, verdict=Verdict.CLEAR, effect=Effect("tvd", 0.01, 0, 0.02))


def feed(alerts: AlertBook, hour: int, *findings: Finding) -> tuple[AlertRecord, ...]:
    """Give findings to the book at an hour after T0, moved there."""
    now = T0 + hour * HOUR
    return alerts.update([replace(f, start=now - f.end + f.start, end=now) for f in findings], now)


def reasons(records: tuple[AlertRecord, ...]) -> list[str]:
    return [dict(record.annotations)["reason"] for record in records]


def test_a_second_problem_in_a_feature_is_an_alert_of_its_own() -> None:
    alerts = book()
    schedule = seen(EV_LGA, 300, onset=T0)
    (first,) = feed(alerts, 0, schedule)
    assert first.fingerprint == fingerprint("flights", topic_of(schedule))
    # A week later carrier=UA breaks; the whole and origin=EWR move because of it.
    since = T0 + 168 * HOUR
    (second,) = feed(
        alerts,
        170,
        schedule,
        seen(WHOLE, 330, onset=since),
        seen(UA, 400, onset=since),
        seen(UA_EWR, 350, onset=since),
        seen(EWR, 310, onset=since),
    )
    assert (second.slice, second.revision, second.status) == (UA.slice, 1, AlertStatus.FIRING)
    assert second.fingerprint == fingerprint(
        "flights", topic_of(schedule)._replace(anchor="carrier=UA")
    )
    assert "also all events and 2 more slices" in second.summary
    assert [alert.slice for alert in alerts.active()] == [EV_LGA.slice, UA.slice]
    # They end on their own.
    feed(alerts, 171, schedule, *(clear(at) for at in (UA, UA_EWR, EWR, WHOLE)))
    (ended,) = feed(alerts, 173, schedule, *(clear(at) for at in (UA, UA_EWR, EWR, WHOLE)))
    assert (ended.alert_id, ended.status) == (second.alert_id, AlertStatus.RESOLVED)
    assert [alert.alert_id for alert in alerts.active()] == [first.alert_id]


def test_what_a_second_problem_moves_does_not_take_over_the_first_alert() -> None:
    alerts = book()
    schedule = [seen(EV_LGA, 300, onset=T0), seen(LGA, 90, onset=T0), seen(WHOLE, 50, onset=T0)]
    feed(alerts, 0, *schedule)
    # The whole belongs to the first alert, contains its representative, and moves more than it.
    (second,) = feed(alerts, 170, *schedule[:2], seen(WHOLE, 700), seen(UA, 900))
    assert second.slice == UA.slice
    assert [alert.slice for alert in alerts.active()] == [EV_LGA.slice, UA.slice]


def test_an_alert_keeps_its_anchor_when_the_first_one_ended() -> None:
    alerts = book()
    feed(alerts, 0, seen(EV_LGA, onset=T0))
    (second,) = feed(alerts, 170, seen(UA, onset=T0 + 168 * HOUR))
    feed(alerts, 171, clear(EV_LGA), seen(UA))
    (ended,) = feed(alerts, 173, clear(EV_LGA), seen(UA))
    feed(alerts, 180, seen(UA))
    (again,) = feed(alerts, 200, seen(UA), seen(EV_LGA, onset=T0 + 199 * HOUR))
    assert again.fingerprint == ended.fingerprint != second.fingerprint
    assert again.alert_id != ended.alert_id


@pytest.mark.parametrize("dated", [True, False])
def test_slices_that_cross_the_threshold_one_after_the_other_are_one_alert(dated: bool) -> None:
    alerts = book()
    rows = [row(("carrier", f"C{i}")) for i in range(200)]
    records: list[AlertRecord] = []
    for hour in range(5):
        moved = [
            seen(at, 100.0 + i / 10, onset=T0 - (i % 5) * HOUR if dated else None)
            for i, at in enumerate(rows[: 40 * (hour + 1)])
        ]
        records += feed(alerts, hour, *moved)
    assert [record.revision for record in records] == [1]
    assert len(alerts.watched()) == 200


def test_a_full_book_counts_each_problem_that_it_does_not_take_in() -> None:
    alerts = book(replace(POLICY, max_alerts=2))
    apart = [
        seen(row(("carrier", name)), 100.0 - i, onset=T0 + i * DAY) for i, name in enumerate("ABCD")
    ]
    records = feed(alerts, 0, *apart)
    assert [dict(record.slice)["carrier"] for record in records] == ["A", "B"]
    assert alerts.refused_alerts == 2
    assert alerts.watched() == {(f.row, DISTANCE) for f in apart[:2]}


def test_the_onset_is_that_of_the_firing_revision_until_another_row_speaks() -> None:
    alerts = book()
    (fired,) = feed(alerts, 0, seen(UA_EWR, onset=T0 - HOUR))
    assert fired.onset == T0 - HOUR
    grown = Effect("tvd", 0.4, 0.35, 0.45)
    (moved_on,) = feed(alerts, 40, seen(UA_EWR, onset=T0 + 17 * HOUR, effect=grown))
    assert reasons((moved_on,)) == ["effect_changed"]
    assert moved_on.onset == T0 - HOUR
    assert "since 2013-10-08 03:00 UTC" in moved_on.summary
    # The other row's own onset is the one that it had when it was seen first.
    feed(alerts, 41, seen(UA_EWR), seen(UA, 90, onset=T0 - 2 * HOUR))
    (other,) = feed(alerts, 60, seen(UA_EWR), seen(UA, 110, onset=T0 + 37 * HOUR))
    assert (other.slice, other.onset) == (UA.slice, T0 - 2 * HOUR)
    # One that has none leaves the alert its own.
    (undated,) = feed(alerts, 61, seen(UA_EWR), seen(UA), seen(WHOLE, 130))
    assert (undated.slice, undated.onset) == ((), T0 - 2 * HOUR)


def test_undecided_findings_in_between_make_no_revisions() -> None:
    alerts = book()
    weak = Effect("tvd", 0.05, 0.03, 0.07)
    assert len(feed(alerts, 0, seen(UA, 100))) == 1
    for hour in range(1, 100):
        verdict = Verdict.UNDECIDED if hour % 7 == 0 else Verdict.DRIFT
        effect = weak if verdict is Verdict.UNDECIDED else MODERATE
        assert feed(alerts, hour, seen(UA, 30.0 * hour, verdict=verdict, effect=effect)) == ()


def test_anchors_are_kept() -> None:
    alerts = book()
    feed(alerts, 0, seen(UA, onset=T0))
    feed(alerts, 40, seen(EV_LGA, onset=T0 + 39 * HOUR))
    # One row of an alert is clear, another is not.
    feed(alerts, 41, seen(AA, onset=T0), clear(EV_LGA), seen(LGA))
    again = book()
    again.restore(json.loads(json.dumps(kept(alerts), allow_nan=False)))
    assert kept(again) == kept(alerts)
    assert again.watched() == alerts.watched() >= {(UA, DISTANCE), (AA, DISTANCE)}
    for alerts_now in (alerts, again):
        assert feed(alerts_now, 42, seen(UA), seen(AA), seen(EV_LGA)) == ()
        assert alerts_now.decisions[Reason.STILL_FIRING] >= 2
