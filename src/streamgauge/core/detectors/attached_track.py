"""Track: one attached detector over the values of one version, and when it said what."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamgauge.core.detectors.river_detectors import RiverDetector

RECENT: Final = 30
"""Values whose mean is the effect: as many as detectors call a sample (KSWIN, DDM)."""
CALM: Final = 1_000
"""Values without a signal after which any detector is calm."""


class Mean(NamedTuple):
    """The mean of some values, their number, and the event time of the first (ms)."""

    value: float
    values: int
    start: int


class Turn(NamedTuple):
    """A detector signalled (`drift`), or has become calm, with the value of an event time (ms)."""

    time: int
    drift: bool
    recent: Mean


@dataclass(slots=True)
class Track:
    """One detector on one series of one version, and what it has said.

    It is calm after as many values without a signal as it took from its start to its last signal,
    at most `CALM`: a change as strong as that one would have been found again in that time, and a
    detector that ran for days need not be quiet for days. Turns wait until their event time is
    over, so drift is found alike however far ahead of it events are read; `recent` and `newest`
    are of what has been read.
    """

    detector: RiverDetector
    inverted: bool
    newest: int = -1
    calm: bool = False
    _run: int = 0
    _quota: int = CALM
    _recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    _turns: deque[Turn] = field(default_factory=deque)

    def feed(self, time: int, value: float) -> None:
        """Take one usable value of an event time (ms)."""
        self.newest = max(self.newest, time)
        self._recent.append((time, value))
        self.detector.update(1.0 - value if self.inverted else value)
        self._run += 1
        if self.detector.drift_detected:
            self._turns.append(Turn(time, True, self.recent()))
            self._quota, self._run = min(self._run, CALM), 0
        elif self._run == self._quota:
            self._turns.append(Turn(time, False, self.recent()))

    def recent(self) -> Mean:
        """Return the mean of the last values."""
        times, values = zip(*self._recent, strict=True)
        return Mean(sum(values) / len(values), len(values), min(times))

    def signal(self, now: int) -> Mean | None:
        """Take the turns before `now`; return what the last signal among them saw."""
        found = None
        while self._turns and self._turns[0].time < now:
            turn = self._turns.popleft()
            self.calm = not turn.drift
            if turn.drift:
                found = turn.recent
        return found
