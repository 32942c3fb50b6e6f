"""Grouping: many rows of one subject make one alert; which row speaks for it.

The row with the largest statistic explains a change best. With n events of distribution q in the
whole and n_s of q_s in slice s, q = Σ (n_s/n) q_s, and a divergence D that is convex (all of
STATISTICS.md §2 are), n·D(q) <= Σ n_s·D(q_s). So where a fault is confined to one slice, D(q_s)
is 0 elsewhere and that slice's total n_s·D(q_s) is at least the whole's; and where every slice
moved alike, the whole's total n·D is the sum of theirs. On nearly equal statistics the row with
fewer dimensions speaks, which is the more general statement.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from streamgauge.core.alerts.lifecycle import NO_DATA, Observation
from streamgauge.core.alerts.overlap import contains, disjoint
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.slices import RowKey

SERIOUS: Final = (
    Verdict.DRIFT,
    Verdict.SMALL,
    Verdict.UNDECIDED,
    Verdict.THIN,
    Verdict.CLEAR,
)
"""Verdicts, the one that decides for a group first."""
Rank = tuple[float, int, RowKey]

TIE: Final = 0.02
"""Statistics this close, relatively, are equal: often the rows hold nearly the same events."""


class Member(NamedTuple):
    """The last judgement on one row of an alert.

    `verdict` is the newest, `finding` the newest that was no THIN one, `seen` the event time of
    that in milliseconds: rows that only ever are too thin to judge are forgotten by it. `onset` is
    the first one known: later findings may have left the change behind.
    """

    verdict: Verdict
    finding: Finding
    seen: int
    onset: int | None = None


def update_member(member: Member | None, finding: Finding, now: int) -> Member | None:
    """Return the member after a finding; a row joins an alert with a DRIFT alone."""
    verdict = finding.verdict
    if member is None:
        return Member(verdict, finding, now, finding.onset) if verdict is Verdict.DRIFT else None
    if verdict is Verdict.THIN:
        return member._replace(verdict=verdict)
    onset = finding.onset if member.onset is None else member.onset
    return Member(verdict, finding, now, onset)


def observe(members: Iterable[Member], now: int, policy: AlertPolicy) -> Observation:
    """Return what the members say together: the most serious verdict among them.

    A group is silenced when all its evidence is; without evidence, as long as any silence covers
    one of its rows.
    """
    members = tuple(members)
    if not members:
        return NO_DATA
    evidence = [m.finding for m in members if m.verdict is Verdict.DRIFT]
    if not evidence:
        verdict = min((m.verdict for m in members), key=SERIOUS.index)
        silenced = any(policy.silence(m.finding, now) for m in members)
        return Observation(verdict, silenced=silenced)
    silenced = all(policy.silence(finding, now) for finding in evidence)
    return Observation(Verdict.DRIFT, silenced=silenced)


def rank(finding: Finding) -> Rank:
    """Return the sort key that puts the finding first that explains a group best."""
    weight = -math.inf if math.isnan(finding.weight) else finding.weight
    return (-weight, len(finding.row.slice), finding.row)


def represent(
    current: RowKey | None,
    members: Iterable[Member],
    now: int,
    policy: AlertPolicy,
    rivals: Sequence[Finding] = (),
) -> Finding | None:
    """Return the finding that speaks for the group, or None where no member has evidence.

    `current` is the row that spoke in the last revision. It keeps speaking until it is clear,
    another row's statistic is `takeover_factor` times larger, or a row that contains it has a
    larger one, so that an alert does not hop between equals. Only findings of one evaluation are of
    one period, so others are not compared with its own. Rows that are silenced speak only when
    there is no other; so do those that `rivals`, the representatives of other alerts of the
    subject, explain better.
    """
    members = tuple(members)
    pool = [m.finding for m in members if m.verdict is Verdict.DRIFT]
    pool = [f for f in pool if policy.silence(f, now) is None] or pool
    if not pool:
        return None
    holding = [
        m.finding
        for m in members
        if m.verdict not in (Verdict.DRIFT, Verdict.CLEAR)
        and policy.silence(m.finding, now) is None
    ]
    held = next((finding for finding in (*pool, *holding) if finding.row == current), None)
    if held is None:
        return _strongest([f for f in pool if not _explained(f, rivals)] or pool)
    stronger = [
        finding
        for finding in pool
        if finding.row != held.row
        and finding.end == held.end
        and (_beats(finding, held, policy.takeover_factor) or _includes(finding, held))
        and not _explained(finding, rivals)
    ]
    return _strongest(stronger) if stronger else held


def moved_rows(members: Iterable[Member], speaker: RowKey) -> tuple[tuple[RowKey, ...], int]:
    """Return the other rows with evidence, and how many more are slices of the speaker's.

    Those moved because it did. Rows that share no event with it come first, as it cannot have
    moved them, each kind by descending statistic.
    """
    evidence = sorted((m.finding for m in members if m.verdict is Verdict.DRIFT), key=rank)
    rows = [finding.row for finding in evidence if finding.row != speaker]
    others = [row for row in rows if not contains(speaker, row)]
    others.sort(key=lambda row: not disjoint(speaker, row))
    return tuple(others), len(rows) - len(others)


def _strongest(pool: list[Finding]) -> Finding:
    best = min(pool, key=rank)
    equals = (f for f in pool if math.isclose(f.weight, best.weight, rel_tol=TIE))
    return min(equals, key=_generality, default=best)


def _generality(finding: Finding) -> tuple[int, Rank]:
    return len(finding.row.slice), rank(finding)


def _includes(finding: Finding, held: Finding) -> bool:
    return finding.weight > held.weight and contains(finding.row, held.row)


def _explained(finding: Finding, rivals: Sequence[Finding]) -> bool:
    return any(
        rival.weight >= finding.weight and not disjoint(rival.row, finding.row) for rival in rivals
    )


def _beats(best: Finding, held: Finding, factor: float) -> bool:
    if math.isnan(held.weight):
        return not math.isnan(best.weight)
    needed = factor * max(held.weight, 0.0)
    return best.weight > held.weight and best.weight >= needed
