"""Grouping: many rows and windows of one subject make one alert; which row speaks for it.

The row with the largest statistic explains a change best. With n events of distribution q in the
whole and n_s of q_s in slice s, q = Σ (n_s/n) q_s, and a divergence D that is convex (all of
STATISTICS.md §2 are), n·D(q) <= Σ n_s·D(q_s). So where a fault is confined to one slice, D(q_s)
is 0 elsewhere and that slice's total n_s·D(q_s) is at least the whole's; and where every slice
moved alike, the whole's total n·D is the sum of theirs. On equal statistics the row with fewer
dimensions speaks, which is the more general statement.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamgauge.core.alerts.lifecycle import NO_DATA, Observation
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


class Place(NamedTuple):
    """A row in a window: what one detector judges on its own within an alert."""

    row: RowKey
    window: str


@dataclass(frozen=True, slots=True)
class Member:
    """The last judgement on one place of an alert.

    `verdict` is the newest, `finding` the newest that was no THIN one, `seen` the event time of
    that in milliseconds: rows that only ever are too thin to judge are forgotten by it.
    """

    verdict: Verdict
    finding: Finding
    seen: int


def update_member(member: Member | None, finding: Finding, now: int) -> Member | None:
    """Return the member after a finding; a place joins an alert with a DRIFT alone."""
    if member is None:
        return Member(finding.verdict, finding, now) if finding.verdict is Verdict.DRIFT else None
    if finding.verdict is Verdict.THIN:
        return Member(Verdict.THIN, member.finding, member.seen)
    return Member(finding.verdict, finding, now)


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
    counting = [finding for finding in evidence if not policy.excluded(finding)]
    silenced = all(policy.silence(finding, now) for finding in counting or evidence)
    return Observation(Verdict.DRIFT, excluded=not counting, silenced=silenced)


def rank(finding: Finding) -> tuple[float, int, RowKey, int, str]:
    """Return the sort key that puts the finding first that explains a group best."""
    statistic = -math.inf if math.isnan(finding.statistic) else finding.statistic
    length = finding.end - finding.start
    return (-statistic, len(finding.row.slice), finding.row, length, finding.window)


def represent(
    current: RowKey | None, members: Iterable[Member], now: int, policy: AlertPolicy
) -> Finding | None:
    """Return the finding that speaks for the group, or None where no member has evidence.

    The current row keeps speaking until it is clear or another one's statistic is
    `takeover_factor` times larger, so that an alert does not hop between equals. Rows that are
    excluded or silenced speak only when there is no other.
    """
    members = tuple(members)
    pool = [m.finding for m in members if m.verdict is Verdict.DRIFT]
    pool = [f for f in pool if not policy.excluded(f)] or pool
    pool = [f for f in pool if policy.silence(f, now) is None] or pool
    if not pool:
        return None
    best = min(pool, key=rank)
    own = [finding for finding in pool if finding.row == current] or [
        m.finding
        for m in members
        if m.finding.row == current
        and m.verdict not in (Verdict.DRIFT, Verdict.CLEAR)
        and policy.silence(m.finding, now) is None
    ]
    if not own:
        return best
    held = min(own, key=rank)
    return best if _beats(best, held, policy.takeover_factor) else held


def moved_rows(members: Iterable[Member], but: RowKey) -> tuple[RowKey, ...]:
    """Return the other rows with evidence, the strongest first."""
    evidence = sorted((m.finding for m in members if m.verdict is Verdict.DRIFT), key=rank)
    return tuple(dict.fromkeys(finding.row for finding in evidence if finding.row != but))


def _beats(best: Finding, held: Finding, factor: float) -> bool:
    if math.isnan(held.statistic):
        return not math.isnan(best.statistic)
    needed = factor * max(held.statistic, 0.0)
    return best.statistic > held.statistic and best.statistic >= needed
