import pytest

from streamgauge.core.alerts.lifecycle import (
    INACTIVE,
    NO_DATA,
    Entry,
    Observation,
    Reason,
    State,
    cooled_down,
    transition,
)
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.findings import Verdict

POLICY = AlertPolicy(pending_for=30, resolve_after=60, cool_down=100)
AT_ONCE = AlertPolicy(pending_for=0, resolve_after=0, cool_down=0)

DRIFT = Observation(Verdict.DRIFT)
SILENCED = Observation(Verdict.DRIFT, silenced=True)
SMALL = Observation(Verdict.SMALL)
UNDECIDED = Observation(Verdict.UNDECIDED)
THIN = Observation(Verdict.THIN)
CLEAR = Observation(Verdict.CLEAR)
QUIET_SILENCED = Observation(Verdict.UNDECIDED, silenced=True)

PENDING = Entry(State.PENDING, since=1000)
FIRING = Entry(State.FIRING, since=1000)
CLEARING = Entry(State.FIRING, since=1000, clear_since=2000)
HUSHED = Entry(State.FIRING, since=1000, silenced=True)
RESOLVED = Entry(State.RESOLVED, since=1000)

TABLE = [
    # Nothing but evidence with size and coverage starts anything.
    (INACTIVE, SMALL, 5, INACTIVE, Reason.QUIET),
    (INACTIVE, UNDECIDED, 5, INACTIVE, Reason.QUIET),
    (INACTIVE, THIN, 5, INACTIVE, Reason.QUIET),
    (INACTIVE, CLEAR, 5, INACTIVE, Reason.QUIET),
    (INACTIVE, NO_DATA, 5, INACTIVE, Reason.QUIET),
    (INACTIVE, DRIFT, 1000, PENDING, Reason.STARTED_PENDING),
    # A silence keeps people from being called, not the alert from being tracked.
    (INACTIVE, SILENCED, 1000, PENDING, Reason.STARTED_PENDING),
    # Evidence must hold for 30 before the alert fires, and be there when it does.
    (PENDING, DRIFT, 1029, PENDING, Reason.STILL_PENDING),
    (PENDING, DRIFT, 1030, Entry(State.FIRING, 1030), Reason.FIRED),
    (PENDING, SILENCED, 1030, Entry(State.FIRING, 1030, silenced=True), Reason.SILENCED),
    (PENDING, SMALL, 1030, PENDING, Reason.SMALL_HOLDS),
    (PENDING, UNDECIDED, 1030, PENDING, Reason.UNDECIDED_HOLDS),
    (PENDING, THIN, 1030, PENDING, Reason.THIN_HOLDS),
    # What clears before it fired was never an alert.
    (PENDING, CLEAR, 1010, INACTIVE, Reason.PENDING_CLEARED),
    (PENDING, NO_DATA, 1010, INACTIVE, Reason.EXPIRED_NO_DATA),
    # A firing alert stands until it is clear for 60.
    (FIRING, DRIFT, 1500, FIRING, Reason.STILL_FIRING),
    (FIRING, SMALL, 1500, FIRING, Reason.SMALL_HOLDS),
    (FIRING, UNDECIDED, 1500, FIRING, Reason.UNDECIDED_HOLDS),
    (FIRING, THIN, 1500, FIRING, Reason.THIN_HOLDS),
    (FIRING, CLEAR, 2000, CLEARING, Reason.CLEARING),
    (CLEARING, CLEAR, 2059, CLEARING, Reason.CLEARING),
    (CLEARING, CLEAR, 2060, Entry(State.RESOLVED, 2060, 2000), Reason.RESOLVED),
    # Whatever speaks against being clear starts the count anew; too few events do not.
    (CLEARING, DRIFT, 2059, FIRING, Reason.STILL_FIRING),
    (CLEARING, SMALL, 2059, FIRING, Reason.SMALL_HOLDS),
    (CLEARING, UNDECIDED, 2059, FIRING, Reason.UNDECIDED_HOLDS),
    (CLEARING, THIN, 2059, CLEARING, Reason.THIN_HOLDS),
    # But they never resolve it: only a clear judgement does.
    (CLEARING, THIN, 9000, CLEARING, Reason.THIN_HOLDS),
    # Without data nobody can say that it still stands.
    (FIRING, NO_DATA, 1500, Entry(State.RESOLVED, 1500), Reason.EXPIRED_NO_DATA),
    (CLEARING, NO_DATA, 2500, Entry(State.RESOLVED, 2500, 2000), Reason.EXPIRED_NO_DATA),
    # Silences come and go while an alert fires.
    (FIRING, SILENCED, 1500, HUSHED, Reason.SILENCED),
    (HUSHED, SILENCED, 1500, HUSHED, Reason.STILL_FIRING),
    (HUSHED, DRIFT, 1500, FIRING, Reason.UNSILENCED),
    (HUSHED, UNDECIDED, 1500, FIRING, Reason.UNSILENCED),
    (HUSHED, QUIET_SILENCED, 1500, HUSHED, Reason.UNDECIDED_HOLDS),
    (HUSHED, CLEAR, 2000, CLEARING, Reason.UNSILENCED),
    # A silence that begins without evidence changes nothing: nobody is being called anew.
    (FIRING, QUIET_SILENCED, 1500, FIRING, Reason.UNDECIDED_HOLDS),
    # After the end it may not fire again for 100.
    (RESOLVED, DRIFT, 1099, RESOLVED, Reason.COOL_DOWN),
    (RESOLVED, CLEAR, 1099, RESOLVED, Reason.QUIET),
    (RESOLVED, NO_DATA, 1099, RESOLVED, Reason.QUIET),
    (RESOLVED, DRIFT, 1100, Entry(State.PENDING, 1100), Reason.STARTED_PENDING),
    (RESOLVED, CLEAR, 1100, INACTIVE, Reason.QUIET),
]


@pytest.mark.parametrize(("entry", "observation", "now", "after", "reason"), TABLE)
def test_the_life_cycle_follows_its_table(
    entry: Entry, observation: Observation, now: int, after: Entry, reason: Reason
) -> None:
    assert transition(entry, observation, now, POLICY) == (after, reason)


def test_the_table_covers_every_state_with_every_verdict() -> None:
    covered = {(entry.state, observation.verdict) for entry, observation, *_ in TABLE}
    # Verdicts that hold are all one to a resolved alert.
    expected = {(state, verdict) for state in State for verdict in (*Verdict, None)} - {
        (State.RESOLVED, verdict) for verdict in (Verdict.SMALL, Verdict.UNDECIDED, Verdict.THIN)
    }
    assert covered == expected


def test_the_table_covers_every_reason_that_the_life_cycle_gives() -> None:
    elsewhere = {
        # News of a firing alert, and a book that is full.
        Reason.REPRESENTATIVE_CHANGED,
        Reason.SEVERITY_RAISED,
        Reason.EFFECT_CHANGED,
        Reason.NO_ROOM,
    }
    assert {reason for *_, reason in TABLE} == set(Reason) - elsewhere


def test_without_durations_an_alert_fires_and_resolves_at_once() -> None:
    entry, reason = transition(INACTIVE, DRIFT, 7, AT_ONCE)
    assert (entry, reason) == (Entry(State.FIRING, 7), Reason.FIRED)
    entry, reason = transition(entry, CLEAR, 8, AT_ONCE)
    assert (entry, reason) == (Entry(State.RESOLVED, 8, 8), Reason.RESOLVED)
    assert transition(entry, DRIFT, 8, AT_ONCE) == (Entry(State.FIRING, 8), Reason.FIRED)


def test_only_a_resolved_alert_cools_down() -> None:
    assert not cooled_down(RESOLVED, 1099, POLICY)
    assert cooled_down(RESOLVED, 1100, POLICY)
    assert not cooled_down(FIRING, 9999, POLICY)
