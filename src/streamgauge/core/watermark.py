"""Watermark: how far event time has come, over partitions that run at different speeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WatermarkSpec:
    """Allowed disorder and the quiet time after which a partition no longer holds time back."""

    disorder_ms: int
    idle_after_s: float


@dataclass(slots=True)
class PartitionClock:
    """One partition: the largest event time seen, and since when it is quiet (seconds)."""

    largest: int | None
    last_event: float
    drained: bool = False
    heard: float | None = None
    """When its reader has last spoken, where that is another process; see `hear`."""
    furthest: int | None = None
    """How far all partitions together had come by then (ms)."""


@dataclass(slots=True)
class Watermark:
    """The smallest, over partitions that are not idle, of (largest event time − disorder).

    A partition is idle when it is drained (lag 0 and not paused: back-pressure is not idleness)
    and has been quiet for a while. When all are idle, the furthest of them speaks for all. The
    watermark never goes back. Followers, which hold labels, hold it back until they are drained;
    they never take it further than all others have come.

    What another process reads is known as of that one's last word only. By that word it is idle or
    not, and event time goes no further than it had come by then: what has been in the partition
    since may belong before what came later elsewhere.
    """

    spec: WatermarkSpec
    value: int | None = None
    _partitions: dict[int, PartitionClock] = field(default_factory=dict)
    _followers: frozenset[int] = frozenset()

    def assign(
        self, partitions: set[int], now: float, followers: frozenset[int] = frozenset()
    ) -> None:
        """Follow these partitions, from `now` (seconds of processing time), and no others."""
        self._followers = followers
        self._partitions = {
            p: self._partitions.get(p) or PartitionClock(None, now) for p in sorted(partitions)
        }

    def observe(self, partition: int, largest: int, now: float) -> None:
        """Note the largest event time (ms) of events just read from a partition."""
        clock = self._partitions.setdefault(partition, PartitionClock(None, now))
        clock.largest = largest if clock.largest is None else max(clock.largest, largest)
        clock.last_event = now
        clock.drained = False

    def reached(self, partition: int) -> int | None:
        """Return the largest event time (ms) seen in a partition, None where there is none."""
        clock = self._partitions.get(partition)
        return None if clock is None else clock.largest

    def resume(self, partition: int, largest: int) -> None:
        """Go on in a partition that is followed where its largest event time (ms) was so much."""
        self._partitions[partition].largest = largest

    def set_drained(self, partition: int, drained: bool) -> None:
        """Note whether everything that the partition holds has been read."""
        if partition in self._partitions:
            self._partitions[partition].drained = drained

    def hear(self, partitions: Mapping[int, bool], now: float) -> None:
        """Take the word of a process on what it reads: which partitions are drained.

        What it has read of them is to be noted first.
        """
        furthest = self._furthest()
        for partition, drained in partitions.items():
            clock = self._partitions[partition]
            clock.drained, clock.heard, clock.furthest = drained, now, furthest

    def is_drained(self, partition: int) -> bool:
        """Tell whether everything that a partition holds has been read."""
        return self._partitions[partition].drained

    def is_idle(self, partition: int, now: float) -> bool:
        """Tell whether a partition is drained and, unless it is a follower, quiet."""
        clock = self._partitions[partition]
        if partition in self._followers:
            return clock.drained
        known = now if clock.heard is None else clock.heard
        return clock.drained and known - clock.last_event >= self.spec.idle_after_s

    def advance(self, now: float) -> int | None:
        """Move the watermark to where the partitions allow, and return it (ms)."""
        clocks = self._partitions
        awake = {p: clock.largest for p, clock in clocks.items() if not self.is_idle(p, now)}
        own = [largest for p, largest in awake.items() if p not in self._followers]
        held = [largest for p, largest in awake.items() if p in self._followers]
        told = [c.furthest for c in clocks.values() if c.drained and c.heard is not None]
        candidate = _least([*(own or [self._furthest()]), *held, *told])
        if candidate is not None:
            reached = candidate - self.spec.disorder_ms
            self.value = reached if self.value is None else max(self.value, reached)
        return self.value

    def _furthest(self) -> int | None:
        """Return the largest event time seen (ms), of followers only where no other has any.

        A label may be about an event that is still to come.
        """
        seen = {p: c.largest for p, c in self._partitions.items() if c.largest is not None}
        own = [largest for p, largest in seen.items() if p not in self._followers]
        return max(own or seen.values(), default=None)

    def ahead(self, limit_ms: int) -> set[int]:
        """Return the partitions whose events run more than `limit_ms` ahead of the slowest."""
        seen = [c.largest for c in self._partitions.values() if c.largest is not None]
        if not seen:
            return set()
        slowest = min(seen) if self.value is None else max(min(seen), self.value)
        return {
            p
            for p, c in self._partitions.items()
            if c.largest is not None and c.largest - slowest > limit_ms
        }


def _least(times: Sequence[int | None]) -> int | None:
    """Return the smallest of times, None where any is not known."""
    known = [time for time in times if time is not None]
    return min(known) if len(known) == len(times) else None
