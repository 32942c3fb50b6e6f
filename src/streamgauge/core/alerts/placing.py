"""Placing: which alert of a subject a finding belongs to.

What overlaps may be one change seen twice, and what began together has one cause; so a row that
does neither with any alert is another problem, and starts an alert of its own.
"""

from collections.abc import Iterable, Mapping

from streamgauge.core.alerts.group import Group
from streamgauge.core.alerts.grouping import rank, update_member
from streamgauge.core.alerts.identity import AlertKey
from streamgauge.core.alerts.lifecycle import State
from streamgauge.core.alerts.overlap import disjoint
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.slices import RowKey


def place_findings(
    topic: AlertKey,
    findings: Iterable[Finding],
    groups: Iterable[Group],
    now: int,
    policy: AlertPolicy,
) -> list[tuple[Group, list[Finding]]]:
    """Share findings out to the alerts that they belong to, new ones among them.

    `findings` are those of one topic, the key without an anchor, drift by descending statistic
    first; `groups` are the topic's alerts. A row stays where it is. A new row with drift goes to
    the alert that suits it best, or to a new one; without drift, it goes nowhere.
    """
    known = {group.key.anchor: group for group in groups}
    homes: dict[RowKey, Group] = {}
    for group in known.values():
        homes.update(dict.fromkeys(group.members, group))
    for group in known.values():
        if group.entry.state is not State.RESOLVED:
            homes.setdefault(group.speaker.row, group)
    shares: dict[str, list[Finding]] = {}
    said = {finding.row: finding for finding in findings}
    for finding in said.values():
        home = homes.get(finding.row)
        if home is None:
            if finding.verdict is not Verdict.DRIFT:
                continue
            home = _find_home(finding, known, said, now, policy) or _found(topic, finding, known)
            homes[finding.row] = home
        shares.setdefault(home.key.anchor, []).append(finding)
    return [(known[anchor], share) for anchor, share in shares.items()]


def _find_home(
    finding: Finding,
    known: Mapping[str, Group],
    said: Mapping[RowKey, Finding],
    now: int,
    policy: AlertPolicy,
) -> Group | None:
    """Return the alert that a new row joins.

    A row that began at another time joins an alert only where the representative explains it: they
    overlap, and the representative weighs more, as it must if the row moved because of it (n·D of a
    part is at most that of what moved). Alerts that stand come before those that cool down, alerts
    whose representative overlaps the row before those that began together with it. Among
    overlapping ones those that began together with it are preferred, then the one whose
    representative has the largest statistic.
    """
    best = None
    for group in known.values():
        apart = disjoint(group.speaker.row, finding.row)
        near = _began_together(group, finding, now, policy)
        if not near and (apart or not _explained(group, finding, said, now)):
            continue
        cooling = group.entry.state is State.RESOLVED
        order = (cooling, apart, not near, rank(group.speaker), group.key)
        if best is None or order < best[0]:
            best = order, group
    return None if best is None else best[1]


def _explained(group: Group, finding: Finding, said: Mapping[RowKey, Finding], now: int) -> bool:
    """Say whether the alert's representative, where it still moves, weighs at least as much.

    What `said` has of it is of the same period as the finding.
    """
    row = group.speaker.row
    member = group.members.get(row)
    if member is not None and row in said:
        member = update_member(member, said[row], now)
    if member is None or member.verdict not in (Verdict.DRIFT, Verdict.UNDECIDED):
        return False
    return member.finding.weight >= finding.weight


def _began_together(group: Group, finding: Finding, now: int, policy: AlertPolicy) -> bool:
    """Compare onsets; where one is unknown, when the alert began stands for both."""
    onset = group.onset()
    if onset is None or finding.onset is None:
        return now - group.began(now) <= policy.together
    return abs(finding.onset - onset) <= policy.together


def _found(topic: AlertKey, finding: Finding, known: dict[str, Group]) -> Group:
    """Return a new alert around a finding, or the one that is named after its row already."""
    anchor = finding.row.label() if "" in known else ""
    if anchor not in known:
        known[anchor] = Group(topic._replace(anchor=anchor), finding)
    return known[anchor]
