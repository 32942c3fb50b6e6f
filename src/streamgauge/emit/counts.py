"""What became of the events that a client was given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the client was made; every event is in exactly one place.

    `events == waiting + delivered + failed + dropped + invalid`.
    """

    events: int
    """Calls of `prediction` and `label` that raised nothing."""
    waiting: int
    """In the client's queue or on their way to the broker."""
    delivered: int
    """Acknowledged by the broker."""
    failed: int
    """Given up by the Kafka client, or refused by the broker."""
    dropped: int
    """Not taken because the queue was full, the client closed, or the process a fork."""
    invalid: int
    """Not taken because no event can have such an id."""
    problem: str
    """What the latest event that was lost was lost for; empty while none is."""
