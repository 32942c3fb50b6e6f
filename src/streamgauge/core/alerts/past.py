"""The past: what long windows still see of a change after it is over.

```
 change    .......|=========|......................
 1d window                  |====] clear a day after the change ended,
 7d window      |================================] and that moves for days to come
```
A shorter window that saw the change and is clear again says that it is over, so what longer
windows see is the past: it keeps no alert firing and, once that has ended, starts none. Slow and
small changes move long windows first or alone, so there no shorter window can say that they are
over; nor can one that was clear before the long window began. Small slices that a fault moves in
long windows alone go by the row that speaks for the alert.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

from streamgauge.core.alerts.grouping import Member
from streamgauge.core.alerts.news import effect_changed
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.slices import RowKey


def split_past(
    members: Collection[Member], speaker: RowKey, now: int, hold: int
) -> tuple[Collection[Member], Collection[Member]]:
    """Return the members that count, and those that only see the past.

    The shortest window of a member's row decides; for a row that never moved in so short a window
    as the `speaker` did, that of the speaker, which explains it. The member sees the past where
    the deciding window moved no later than it, was clear for `hold` milliseconds, and became so
    within the member's window.
    """
    if not any(_clear_for(member, now, hold) for member in members):
        return members, ()
    shortest: dict[RowKey, Member] = {}
    for member in members:
        row = member.finding.row
        if row not in shortest or _length(member) < _length(shortest[row]):
            shortest[row] = member
    leader = shortest.get(speaker)
    least = -1 if leader is None else _length(leader)[0]
    counting: list[Member] = []
    past: list[Member] = []
    for member in members:
        deciding = shortest[member.finding.row]
        if leader is not None and least < _length(deciding)[0]:
            deciding = leader
        over = _clear_for(deciding, now, hold) and _sees_past(member, deciding)
        (past if over else counting).append(member)
    return counting, past


class Spent(NamedTuple):
    """Evidence of a place whose alert ended: it starts nothing until it is about something new.

    `effect` is the smallest since, `until` the event time in milliseconds from which on the
    window holds nothing of the time before the end.
    """

    effect: Effect
    until: int


def spend(member: Member, ended: int) -> Spent:
    """Return what is spent when an alert ends at `ended` while a member still sees the past."""
    return Spent(member.finding.effect, ended + member.finding.end - member.finding.start)


def still_spent(spent: Spent, finding: Finding, factor: float) -> Spent | None:
    """Return what stays spent after a finding of the place: nothing once it was clear or grew.

    What a window sees of the past only shrinks, so growth counts from the smallest effect.
    """
    if finding.verdict is Verdict.CLEAR:
        return None
    if finding.verdict is not Verdict.DRIFT:
        return spent
    last, new = spent.effect, finding.effect
    if new.measure != last.measure or math.isnan(last.value):
        return spent._replace(effect=new)
    if last.value * new.value > 0 and abs(new.value) <= abs(last.value):
        return spent._replace(effect=new)
    return None if effect_changed(last, new, factor) else spent


def _clear_for(member: Member, now: int, hold: int) -> bool:
    return (
        member.verdict is Verdict.CLEAR
        and member.clear_since is not None
        and now >= member.clear_since + hold
    )


def _sees_past(member: Member, deciding: Member) -> bool:
    assert deciding.clear_since is not None
    return (
        member.verdict is not Verdict.CLEAR
        and deciding.joined <= member.joined
        and member.finding.start < deciding.clear_since
    )


def _length(member: Member) -> tuple[int, str]:
    return member.finding.end - member.finding.start, member.finding.window
