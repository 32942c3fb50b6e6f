"""Client settings: how long a group waits for its members, and a client for its broker."""

from collections.abc import Mapping
from typing import Any, Final

from streamgauge.config.librdkafka import Setting

SESSION_TIMEOUT_MS: Final = 10_000
LONGEST_PAUSE_MS: Final = 20_000
"""Between two polls at most, and so long a group waits for a member that does not join again.

Apache Kafka 4.1 can begin anew without counting the time of the members that it knew; one that is
gone then counts as there, and nobody works until this is over: five minutes, by the client's own
default.
"""
RECONNECT_MS: Final = 1_000
"""Longest wait before a broker that was not there is tried again, by a client that runs on.

By the client's own default it is ten seconds after a longer absence, and those would be lost.
"""
_SESSION: Final = "session.timeout.ms"
_PAUSE: Final = "max.poll.interval.ms"


def as_member(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return settings with those of a group's member added where they say nothing.

    The client wants the time between two polls to be no shorter than a session.
    """
    found: dict[str, Any] = {_SESSION: SESSION_TIMEOUT_MS, **settings}
    return {_PAUSE: max(LONGEST_PAUSE_MS, 2 * int(found[_SESSION])), **found}


def lasting(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return settings with that of a client that goes on through a broker's absence."""
    if "reconnect.backoff.ms" in settings:
        return dict(settings)
    return {"reconnect.backoff.max.ms": RECONNECT_MS, **settings}


def longest_pause_s(settings: Mapping[str, Any]) -> float:
    """Return how long a member with these settings may go without a poll (s)."""
    return float(settings[_PAUSE]) / 1000


def session_s(settings: Mapping[str, Any]) -> float:
    """Return how long the group does without a word from a member with these settings (s)."""
    return float(settings[_SESSION]) / 1000


def as_single(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings of a consumer that joins no group: without those that contradict."""
    return {key: value for key, value in settings.items() if key not in (_SESSION, _PAUSE)}
