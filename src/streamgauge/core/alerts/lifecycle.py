"""The life cycle of an alert: a pure decision on (entry, observation, now), with its reason.

```
             DRIFT            DRIFT, held pending_for
 INACTIVE ─────────► PENDING ────────────────────────► FIRING
    ▲                   │ CLEAR, or no data               │ CLEAR held resolve_after, or no data
    │                   ▼                                 ▼
    ├──────────────── INACTIVE                         RESOLVED
    └───────────────────────────────────────────────────┘ cool_down is over
```
Only DRIFT starts anything, only CLEAR and missing data end anything; SMALL, UNDECIDED and THIN
hold what there is.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.findings import Verdict


class State(StrEnum):
    """Where an alert stands."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    """Ended, and cooling down."""


class Reason(StrEnum):
    """Why the life cycle decided what it did: the label of the decisions' metric."""

    QUIET = "quiet"
    """Nothing there, nothing started."""
    STARTED_PENDING = "started_pending"
    STILL_PENDING = "still_pending"
    PENDING_CLEARED = "pending_cleared"
    """The evidence went before it had held long enough."""
    FIRED = "fired"
    SILENCED = "silenced"
    """Fired under a silence, or a silence began to cover a firing alert."""
    UNSILENCED = "unsilenced"
    """The silence that covered a firing alert no longer does."""
    STILL_FIRING = "still_firing"
    REPRESENTATIVE_CHANGED = "representative_changed"
    """Another row explains the firing alert much better now."""
    SEVERITY_RAISED = "severity_raised"
    EFFECT_CHANGED = "effect_changed"
    SMALL_HOLDS = "small_holds"
    UNDECIDED_HOLDS = "undecided_holds"
    THIN_HOLDS = "thin_holds"
    CLEARING = "clearing"
    """Clear, but not for long enough yet."""
    RESOLVED = "resolved"
    COOL_DOWN = "cool_down"
    """Evidence too soon after the last alert ended."""
    EXPIRED_NO_DATA = "expired_no_data"
    """No row was judged for so long that the alert means nothing any more."""
    NO_ROOM = "no_room"
    """The book is full, a new alert was not taken in."""


HOLDS: Final = {
    Verdict.SMALL: Reason.SMALL_HOLDS,
    Verdict.UNDECIDED: Reason.UNDECIDED_HOLDS,
    Verdict.THIN: Reason.THIN_HOLDS,
}


@dataclass(frozen=True, slots=True)
class Observation:
    """What all rows of one alert say together; a verdict of None means that no row is left.

    `silenced`: a silence covers the alert.
    """

    verdict: Verdict | None
    silenced: bool = False


NO_DATA: Final = Observation(None)


@dataclass(frozen=True, slots=True)
class Entry:
    """The state of one alert; times are event time in milliseconds.

    `since` is when the state began (of a firing alert: when it fired), `clear_since` when all its
    rows became clear, None while they are not.
    """

    state: State = State.INACTIVE
    since: int | None = None
    clear_since: int | None = None
    silenced: bool = False


INACTIVE: Final = Entry()


def transition(
    entry: Entry, observation: Observation, now: int, policy: AlertPolicy
) -> tuple[Entry, Reason]:
    """Return what an alert becomes at event time `now`, and why."""
    match entry.state:
        case State.INACTIVE:
            return _from_inactive(observation, now, policy)
        case State.PENDING:
            return _from_pending(entry, observation, now, policy)
        case State.FIRING:
            return _from_firing(entry, observation, now, policy)
        case State.RESOLVED:
            return _from_resolved(entry, observation, now, policy)


def cooled_down(entry: Entry, now: int, policy: AlertPolicy) -> bool:
    """Say whether a resolved alert may be forgotten, and so fire again."""
    return (
        entry.state is State.RESOLVED
        and entry.since is not None
        and now >= entry.since + policy.cool_down
    )


def _from_inactive(observation: Observation, now: int, policy: AlertPolicy) -> tuple[Entry, Reason]:
    if observation.verdict is not Verdict.DRIFT:
        return INACTIVE, Reason.QUIET
    if policy.pending_for > 0:
        return Entry(State.PENDING, now), Reason.STARTED_PENDING
    return _fire(observation, now)


def _from_pending(
    entry: Entry, observation: Observation, now: int, policy: AlertPolicy
) -> tuple[Entry, Reason]:
    assert entry.since is not None
    match observation.verdict:
        case None:
            return INACTIVE, Reason.EXPIRED_NO_DATA
        case Verdict.CLEAR:
            return INACTIVE, Reason.PENDING_CLEARED
        case Verdict.DRIFT if now < entry.since + policy.pending_for:
            return entry, Reason.STILL_PENDING
        case Verdict.DRIFT:
            return _fire(observation, now)
        case held:
            return entry, HOLDS[held]


def _from_firing(
    entry: Entry, observation: Observation, now: int, policy: AlertPolicy
) -> tuple[Entry, Reason]:
    match observation.verdict:
        case None:
            return replace(entry, state=State.RESOLVED, since=now), Reason.EXPIRED_NO_DATA
        case Verdict.DRIFT:
            after = replace(entry, clear_since=None, silenced=observation.silenced)
            if after.silenced == entry.silenced:
                return after, Reason.STILL_FIRING
            return after, Reason.SILENCED if after.silenced else Reason.UNSILENCED
        case Verdict.CLEAR:
            clear_since = now if entry.clear_since is None else entry.clear_since
            after = replace(entry, clear_since=clear_since)
            if now >= clear_since + policy.resolve_after:
                return replace(after, state=State.RESOLVED, since=now), Reason.RESOLVED
            reason = Reason.CLEARING
        case held:
            # Too few events say nothing against being clear; the other two do.
            clear_since_held = entry.clear_since if held is Verdict.THIN else None
            after = replace(entry, clear_since=clear_since_held)
            reason = HOLDS[held]
    if entry.silenced and not observation.silenced:
        return replace(after, silenced=False), Reason.UNSILENCED
    return after, reason


def _from_resolved(
    entry: Entry, observation: Observation, now: int, policy: AlertPolicy
) -> tuple[Entry, Reason]:
    if cooled_down(entry, now, policy):
        return _from_inactive(observation, now, policy)
    if observation.verdict is Verdict.DRIFT:
        return entry, Reason.COOL_DOWN
    return entry, Reason.QUIET


def _fire(observation: Observation, now: int) -> tuple[Entry, Reason]:
    fired = Entry(State.FIRING, now, silenced=observation.silenced)
    return fired, Reason.SILENCED if observation.silenced else Reason.FIRED
