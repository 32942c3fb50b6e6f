import pytest

from streamgauge.core.alerts.group import Group
from streamgauge.core.alerts.grouping import Member
from streamgauge.core.alerts.identity import topic_of
from streamgauge.core.alerts.lifecycle import Entry, State
from streamgauge.core.alerts.placing import place_findings
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.slices import RowKey
from tests.support.alert_findings import (
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

POLICY = AlertPolicy(together=6 * HOUR)
TOPIC = topic_of(finding())
AA = row(("carrier", "AA"))
DAY = 24 * HOUR


def alert(
    anchor: str,
    speaker: Finding,
    *,
    state: State = State.PENDING,
    since: int = T0 - DAY,
    rows: tuple[RowKey, ...] = (),
) -> Group:
    members = {
        f.row: Member(f.verdict, f, T0, f.onset)
        for f in (speaker, *(finding(at=at) for at in rows))
    }
    return Group(TOPIC._replace(anchor=anchor), speaker, Entry(state, since), members)


def homes(findings: list[Finding], *groups: Group) -> dict[str, str]:
    """Return the anchor of each row's alert, by the rows' labels."""
    shares = place_findings(TOPIC, findings, groups, T0, POLICY)
    return {f.row.label(): group.key.anchor for group, share in shares for f in share}


OLD = finding(at=EV_LGA, statistic=500, onset=T0 - 7 * DAY)


@pytest.mark.parametrize(
    ("onset", "anchor"),
    [
        (T0 - 7 * DAY, ""),
        (T0 - 7 * DAY + 6 * HOUR, ""),
        (T0 - 7 * DAY - 6 * HOUR, ""),
        (T0 - 7 * DAY + 6 * HOUR + 1, "carrier=UA"),
        # Unknown, and the alert is old.
        (None, "carrier=UA"),
    ],
)
def test_a_row_apart_joins_only_what_began_together_with_it(onset: int | None, anchor: str) -> None:
    assert homes([finding(at=UA, onset=onset)], alert("", OLD)) == {"carrier=UA": anchor}


@pytest.mark.parametrize(
    ("since", "anchor"), [(T0, ""), (T0 - 6 * HOUR, ""), (T0 - 6 * HOUR - 1, "carrier=UA")]
)
def test_where_an_onset_is_unknown_the_beginning_of_the_alert_counts(
    since: int, anchor: str
) -> None:
    undated = alert("", finding(at=EV_LGA), since=since)
    assert homes([finding(at=UA, onset=T0 - 30 * DAY)], undated) == {"carrier=UA": anchor}


def test_a_row_that_overlaps_joins_whenever_it_began() -> None:
    assert homes([finding(at=WHOLE, onset=T0)], alert("", OLD)) == {"": ""}
    assert homes([finding(at=row(("origin", "LGA")), onset=T0)], alert("", OLD)) == {
        "origin=LGA": ""
    }


def test_findings_of_one_evaluation_gather_around_the_strongest() -> None:
    fault = [
        finding(at=at, statistic=s, onset=T0 - HOUR)
        for at, s in ((UA_EWR, 210), (UA, 200), (EWR, 150), (WHOLE, 100))
    ]
    apart = [finding(at=AA, statistic=90, onset=T0 - 3 * DAY)]
    assert homes([*fault, *apart], alert("", OLD)) == {
        "carrier=UA,origin=EWR": "carrier=UA,origin=EWR",
        "carrier=UA": "carrier=UA,origin=EWR",
        "origin=EWR": "carrier=UA,origin=EWR",
        "": "carrier=UA,origin=EWR",
        "carrier=AA": "carrier=AA",
    }
    # Without an alert before them, the first one needs no anchor.
    assert homes([*fault, *apart]) == {
        "carrier=UA,origin=EWR": "",
        "carrier=UA": "",
        "origin=EWR": "",
        "": "",
        "carrier=AA": "carrier=AA",
    }


def test_of_overlapping_alerts_the_one_that_began_together_and_then_the_largest_is_joined() -> None:
    ua = finding(at=UA, statistic=100, onset=T0 - DAY)
    whole = finding(at=WHOLE, statistic=50)
    groups = alert("", OLD), alert("carrier=UA", ua)
    assert homes([finding(at=WHOLE, onset=T0 - DAY)], *groups) == {"": "carrier=UA"}
    assert homes([whole], *groups) == {"": ""}
    assert homes([whole], *groups[::-1]) == {"": ""}
    larger = finding(at=UA, statistic=600, onset=T0 - DAY)
    assert homes([whole], alert("", OLD), alert("carrier=UA", larger)) == {"": "carrier=UA"}


def test_a_row_stays_where_it_is() -> None:
    old = alert("", OLD, rows=(UA,))
    new = alert("carrier=AA", finding(at=AA, statistic=900, onset=T0), since=T0)
    for onset in (OLD.onset, T0):
        for verdict in Verdict:
            moved = finding(verdict, UA, statistic=999, onset=onset)
            ((group, share),) = place_findings(TOPIC, [moved], [old, new], T0, POLICY)
            assert (group, share) == (old, [moved])


def test_what_the_representative_says_now_explains_a_row_that_began_later() -> None:
    before = finding(at=WHOLE, statistic=50, onset=OLD.onset)
    joining = finding(at=UA, statistic=100, onset=T0)
    assert homes([joining], alert("", before)) == {"carrier=UA": "carrier=UA"}
    # Both are of the same period, and so can be compared.
    for verdict, statistic, anchor in (
        (Verdict.DRIFT, 150, ""),
        (Verdict.UNDECIDED, 150, ""),
        (Verdict.DRIFT, 99, "carrier=UA"),
        (Verdict.CLEAR, 150, "carrier=UA"),
        (Verdict.THIN, 150, "carrier=UA"),
    ):
        now = finding(verdict, WHOLE, statistic=statistic)
        assert homes([joining, now], alert("", before))["carrier=UA"] == anchor


def test_the_representative_of_an_alert_stays_even_if_it_was_forgotten() -> None:
    silent = alert("", OLD, rows=(UA,))
    del silent.members[EV_LGA]
    stronger = alert("carrier=AA", finding(at=WHOLE, statistic=900))
    assert homes([finding(at=EV_LGA)], silent, stronger) == {"carrier=EV,origin=LGA": ""}


def test_nothing_but_drift_has_a_home_of_its_own() -> None:
    for verdict in Verdict:
        placed = homes([finding(verdict, UA)], alert("", finding(at=WHOLE)))
        assert placed == ({"carrier=UA": ""} if verdict is Verdict.DRIFT else {})


def test_an_alert_that_stands_comes_before_one_that_cools_down() -> None:
    cooling = alert("", finding(at=UA, statistic=900), state=State.RESOLVED)
    standing = alert("carrier=EV,origin=LGA", OLD)
    assert homes([finding(at=WHOLE)], cooling, standing) == {"": "carrier=EV,origin=LGA"}
    assert homes([finding(at=WHOLE)], cooling) == {"": ""}
    assert homes([finding(at=UA)], cooling, standing) == {"carrier=UA": ""}
    # What is apart from it need not wait for it to cool down.
    assert homes([finding(at=AA)], cooling) == {"carrier=AA": "carrier=AA"}


def test_an_alert_that_is_named_after_a_row_takes_it_back() -> None:
    old = alert("", OLD)
    named = alert("carrier=UA", finding(at=AA, onset=T0 - 3 * DAY))
    assert homes([finding(at=UA, onset=T0)], old, named) == {"carrier=UA": "carrier=UA"}
