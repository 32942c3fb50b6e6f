"""Whatever detectors find, in whatever order: the alert book's promises hold."""

import json
from collections import defaultdict
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.alerts.identity import AlertKey
from streamgauge.core.alerts.policy import AlertPolicy, Severity, Silence
from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.slices import RowKey
from streamgauge.formats.alert_event import encode
from tests.support.alert_findings import (
    AIR_TIME,
    DISTANCE,
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
from tests.support.kept import kept

FEW = settings(max_examples=60)

AA = row(("carrier", "AA"))
NEWER = row(("carrier", "UA"), version="5")
EFFECTS = [
    Effect("tvd", 0.1, 0.08, 0.12),
    Effect("tvd", 0.3, 0.25, 0.35),
    Effect("tvd", float("nan"), float("nan"), float("inf")),
]

durations = st.sampled_from([0, MINUTE, 10 * MINUTE])
policies = st.builds(
    AlertPolicy,
    pending_for=durations,
    resolve_after=durations,
    cool_down=durations,
    expire_after=st.sampled_from([5 * MINUTE, HOUR]),
    together=st.sampled_from([0, 5 * MINUTE, 6 * HOUR]),
    max_alerts=st.sampled_from([2, 2_000]),
    max_rows=st.sampled_from([2, 20_000]),
    silences=st.sampled_from([(), (Silence(T0 + 50 * MINUTE, slice=UA.slice),)]),
    levels=st.sampled_from([(), ((Severity.INFO, 0.0), (Severity.CRITICAL, 100.0))]),
)
Draft = tuple[RowKey, bool, Verdict, float, int, bool]
drafts = st.tuples(
    st.sampled_from([WHOLE, UA, EWR, UA_EWR, EV_LGA, AA, NEWER]),
    st.booleans(),
    st.sampled_from([*Verdict, Verdict.DRIFT, Verdict.DRIFT, Verdict.CLEAR]),
    st.sampled_from([0.0, 50.0, 100.0, 100.0, 300.0, float("inf"), float("nan")]),
    st.integers(0, len(EFFECTS) - 1),
    st.booleans(),
)
Script = list[tuple[int, list[Finding]]]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Evaluations in the order of event time, each with at most one finding per row and subject."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([1, 1, 2, 5, 12, 90]),
                st.lists(drafts, max_size=8, unique_by=lambda d: d[:2]),
            ),
            max_size=25,
        )
    )
    script, minute = [], 0
    for gap, items in steps:
        minute += gap
        script.append((T0 + minute * MINUTE, [build(item, T0 + minute * MINUTE) for item in items]))
    return script


def build(draft: Draft, now: int) -> Finding:
    at, is_distance, verdict, statistic, effect, is_long = draft
    drift = finding(
        verdict,
        at,
        statistic=statistic,
        now=now,
        subject=DISTANCE if is_distance else AIR_TIME,
        effect=EFFECTS[effect],
        length=HOUR if is_long else 5 * MINUTE,
        onset=now - effect * 4 * MINUTE if is_long else None,
    )
    return replace(drift, excess=None if is_long else statistic)


def run(alerts: AlertBook, script: Script) -> list[AlertRecord]:
    return [record for now, findings in script for record in alerts.update(findings, now)]


def state(alerts: AlertBook) -> str:
    return json.dumps(kept(alerts), allow_nan=False)


def texts(records: list[AlertRecord]) -> list[str]:
    """Records as text, so that NaN equals NaN."""
    return [repr(record) for record in records]


@FEW
@given(policies, scripts())
def test_revisions_count_from_one_without_gaps_and_end_with_resolved(
    policy: AlertPolicy, script: Script
) -> None:
    by_id: defaultdict[str, list[AlertRecord]] = defaultdict(list)
    for record in run(AlertBook("flights", policy), script):
        by_id[record.alert_id].append(record)
    for records in by_id.values():
        assert [r.revision for r in records] == list(range(1, len(records) + 1))
        assert records[0].status is AlertStatus.FIRING
        assert all(r.status is AlertStatus.FIRING for r in records[1:-1])
        assert len({(r.fingerprint, r.starts_at) for r in records}) == 1
        for record in records:
            assert (record.status is AlertStatus.RESOLVED) == (record.ends_at is not None)
            assert record.ends_at is None or record.ends_at >= record.starts_at
        ranks = [r.severity.rank for r in records]
        assert ranks == sorted(ranks)


@FEW
@given(policies, scripts())
def test_at_most_one_alert_fires_per_fingerprint_and_the_active_ones_are_those(
    policy: AlertPolicy, script: Script
) -> None:
    alerts = AlertBook("flights", policy)
    firing: dict[str, str] = {}
    for now, findings in script:
        for record in alerts.update(findings, now):
            if record.status is AlertStatus.RESOLVED:
                assert firing.pop(record.fingerprint) == record.alert_id
            else:
                assert firing.setdefault(record.fingerprint, record.alert_id) == record.alert_id
        shown = [alert.alert_id for alert in (*alerts.active(), *alerts.silenced())]
        assert sorted(shown) == sorted(firing.values())


@FEW
@given(policies, scripts())
def test_an_evaluation_publishes_at_most_one_revision_of_an_alert(
    policy: AlertPolicy, script: Script
) -> None:
    alerts = AlertBook("flights", policy)
    for now, findings in script:
        ids = [record.alert_id for record in alerts.update(findings, now)]
        assert len(ids) == len(set(ids))


@FEW
@given(policies, scripts(), st.integers(0, 2**32))
def test_the_order_of_findings_and_calls_without_findings_change_nothing(
    policy: AlertPolicy, script: Script, seed: int
) -> None:
    random = Random(seed)
    plain, shuffled = AlertBook("flights", policy), AlertBook("flights", policy)
    expected = run(plain, script)
    records: list[AlertRecord] = []
    before = T0
    for now, findings in script:
        for _ in range(random.randrange(3)):
            before = random.randint(before, now)
            records += shuffled.update([], before)
        records += shuffled.update(random.sample(findings, len(findings)), now)
        before = now
    assert texts(records) == texts(expected)
    assert state(shuffled) == state(plain)


@FEW
@given(policies, scripts())
def test_versions_may_come_in_one_call_or_in_several(policy: AlertPolicy, script: Script) -> None:
    # Full books are a matter of who comes first.
    policy = replace(policy, max_alerts=2_000, max_rows=20_000)
    together, apart = AlertBook("flights", policy), AlertBook("flights", policy)
    for now, findings in script:
        one = list(together.update(findings, now))
        several = [
            record
            for version in ("5", "4")
            for record in apart.update([f for f in findings if f.row.version == version], now)
        ]
        assert sorted(texts(one)) == sorted(texts(several))
        # The second call has ended cool-downs of no length already.
        together.update([], now)
    assert state(apart) == state(together)


@FEW
@given(policies, scripts(), st.integers(0, 25))
def test_a_restart_at_any_point_changes_nothing(
    policy: AlertPolicy, script: Script, at: int
) -> None:
    plain, first = AlertBook("flights", policy), AlertBook("flights", policy)
    expected = run(plain, script)
    records = run(first, script[:at])
    second = AlertBook("flights", policy)
    second.restore(json.loads(state(first)))
    assert repr(second.active()) == repr(first.active())
    assert second.watched() == first.watched()
    records += run(second, script[at:])
    assert texts(records) == texts(expected)
    assert state(second) == state(plain)


@FEW
@given(policies, scripts())
def test_the_caps_hold(policy: AlertPolicy, script: Script) -> None:
    alerts = AlertBook("flights", policy)
    for now, findings in script:
        alerts.update(findings, now)
        members = [len(group.members) for group in alerts._groups.values()]
        assert alerts._members == sum(members)
        assert len(members) <= policy.max_alerts
        assert sum(members) <= policy.max_rows + policy.max_alerts


@FEW
@given(policies, scripts())
def test_a_row_belongs_to_one_alert_of_a_subject_and_speaks_for_one(
    policy: AlertPolicy, script: Script
) -> None:
    alerts = AlertBook("flights", policy)
    for now, findings in script:
        alerts.update(findings, now)
        homes: dict[tuple[object, ...], AlertKey] = {}
        for key, group in alerts._groups.items():
            for at in group.members:
                assert homes.setdefault((*key[:4], at), key) == key
        shown = [
            (alert.model_version, alert.slice, alert.subject, alert.detector)
            for alert in (*alerts.active(), *alerts.silenced())
        ]
        assert len(shown) == len(set(shown))


@FEW
@given(policies, scripts())
def test_the_onset_of_an_alert_changes_only_with_its_row(
    policy: AlertPolicy, script: Script
) -> None:
    last: dict[str, AlertRecord] = {}
    for record in run(AlertBook("flights", policy), script):
        before = last.get(record.alert_id, record)
        assert record.onset == before.onset or record.slice != before.slice
        last[record.alert_id] = record


@FEW
@given(policies, scripts())
def test_every_record_can_be_published(policy: AlertPolicy, script: Script) -> None:
    ids = set()
    for record in run(AlertBook("flights", policy), script):
        message = encode(record, "flights", T0)
        body = json.loads(message.value, parse_constant=lambda name: f"not JSON: {name}")
        assert "not JSON" not in repr(body)
        assert record.summary.isprintable()
        ids.add(dict(message.headers)["ce_id"])
    assert len(ids) == len(run(AlertBook("flights", policy), script))


@FEW
@given(st.integers(1, 200), st.integers(0, 2**32))
def test_any_number_of_slices_that_move_together_is_one_alert(slices: int, seed: int) -> None:
    random = Random(seed)
    findings = [
        finding(at=row(("carrier", f"C{i}")), statistic=random.expovariate(0.01))
        for i in range(slices)
    ]
    (record,) = AlertBook("flights").update(findings, T0)
    strongest = max(findings, key=lambda f: f.statistic)
    assert record.slice == strongest.row.slice
    assert record.statistic == strongest.statistic


@FEW
@given(st.integers(1, 200), st.integers(1, 6), st.booleans(), st.integers(0, 2**32))
def test_slices_that_cross_the_threshold_over_some_evaluations_are_one_alert(
    slices: int, evaluations: int, dated: bool, seed: int
) -> None:
    random = Random(seed)
    rows = [row(("carrier", f"C{i}")) for i in range(slices)]
    begins = [random.randrange(evaluations) for _ in rows]
    alerts = AlertBook("flights")
    records: list[AlertRecord] = []
    for step in range(evaluations):
        moved = [
            finding(
                at=at,
                statistic=100.0 + random.random(),
                onset=T0 - random.randrange(6 * HOUR) if dated else None,
                now=T0 + step * MINUTE,
            )
            for at, begin in zip(rows, begins, strict=True)
            if begin <= step
        ]
        records += alerts.update(moved, T0 + step * MINUTE)
    assert [record.revision for record in records] == [1]
    assert len(alerts.active()) == 1
