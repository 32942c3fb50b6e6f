"""Traffic: an e-detector of how many events a model gets, against its hour-of-week profile.

With a tolerated number of events m in a pane, n events are a likelihood ratio

    log L = t·n − m·(e^t − 1)

of a Poisson rate m·e^t against m. For t > 0 the expectation of L is at most 1 for every rate up to
m, for t < 0 for every rate from m on. Evidence grows as in `bank`, E ← (E + α)·L, with both sides'
allowances from `TRAFFIC_PART` of the model's spending, so the alert budget holds over traffic and
shares together. n and m are divided by the overdispersion φ.

Panes without events are evidence as well. All versions count together.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaincinv, xlogy

from streamgauge.core.alerts.policy import assured_size
from streamgauge.core.batch import FloatArray
from streamgauge.core.detectors.bank import ALTERNATIVES, LOG_WEIGHTS, TILTS, mixture, update
from streamgauge.core.detectors.e_detectors import CLEAR, PATIENCE, QUIET
from streamgauge.core.detectors.kept import numbers_data, put_numbers
from streamgauge.core.detectors.tolerance import ERRORS
from streamgauge.core.detectors.traffic_dispersion import TrafficDispersion
from streamgauge.core.detectors.traffic_profile import (
    LONGEST_GAP_MS,
    Expected,
    TrafficProfile,
)
from streamgauge.core.findings import Effect, Finding, Verdict, Watched
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.slices import RowKey
from streamgauge.core.state import Kept, Part, Plain, needed, reading
from streamgauge.core.timeline import HOUR_MS

NAME: Final = "e_detector"
TRAFFIC: Final = Subject(SubjectKind.SERVICE, "traffic")
WHOLE: Final = RowKey("")
"""The row of findings: the whole model."""
KEPT: Final = 512
"""Panes among which the onset is looked for."""
_SIGNED: Final[FloatArray] = np.stack([TILTS, -TILTS])
"""Log rate ratios t `(2, K)` of rises and falls."""
_TAIL: Final = 0.025
_NUMBERS: Final = (
    "next_end", "_log_allowance", "_late", "_last", "_updated", "_level", "_quiet_until", "_run",
    "_took",
)  # fmt: skip
"""Fields that are a number or None."""


class _Pane(NamedTuple):
    """A pane's events, expected ones, and the most and fewest tolerated ones."""

    start: int
    events: float
    expected: float
    tolerated: FloatArray


@dataclass(slots=True)
class _Sum:
    """Events, expected ones and time (ms) of some panes."""

    start: int = 0
    events: float = 0.0
    expected: float = 0.0
    length: int = 0

    def add(self, pane: _Pane, length: int) -> None:
        self.events += pane.events
        self.expected += pane.expected
        self.length += length


@dataclass(slots=True)
class _Alarm:
    """A change that was seen: `side` 0 for a rise and 1 for a fall, `changed` since its `onset`.

    `leader` is the alternative that raised it, `lead` a lower bound of its log E as if nothing had
    begun anew, `excess` the most that it has been over the threshold.
    """

    side: int
    onset: int
    changed: _Sum
    leader: int
    lead: float
    excess: float


@dataclass(slots=True)
class TrafficDetector:
    """Evidence of one model's traffic; `spending` is what a pane may cost in false alarms.

    `next_end` is the end of the next pane to close (ms), with or without events; None before the
    first one with events and after a week without any. Then the pane after the next one with
    events begins anew: that one may have begun before we did.
    """

    model: str
    profile: TrafficProfile
    tolerance: float
    spending: float
    pane_ms: int
    next_end: int | None = None
    _dispersion: TrafficDispersion = field(init=False)
    _log: FloatArray = field(init=False)
    """log E `(2, K)`."""
    _log_allowance: float = field(init=False)
    _late: int = 0
    _last: int = 0
    """End of the last pane with events, or that was excluded."""
    _updated: int | None = None
    _level: float = 0.0
    _alarm: _Alarm | None = None
    _quiet_until: int = 0
    _unquiet: FloatArray = field(default_factory=lambda: np.zeros(3))
    """Events since then, the most and the fewest tolerated ones."""
    _run: float = 0.0
    """Expected events since it was last quiet or reached the threshold."""
    _took: float = 0.0
    """What `_run` was when it last reached the threshold, and `_recent` the panes from then on."""
    _recent: _Sum = field(default_factory=_Sum)
    _panes: deque[_Pane] = field(default_factory=lambda: deque(maxlen=KEPT))
    _changes: int = 0

    def __post_init__(self) -> None:
        self._dispersion = TrafficDispersion(self.profile.dispersion)
        self._log = np.full((2, ALTERNATIVES), -np.inf)
        self._log_allowance = float(np.log(self.spending / 2.0))

    def feed_late(self, events: int) -> None:
        """Take in events whose pane has closed: they count in the next one."""
        self._late += events
        self._changes += 1

    def close(self, end: int, events: int | None) -> None:
        """Close the pane that ends at `end` (ms) with its events; None excludes it."""
        self._changes += 1
        if self.next_end is None:
            if events:
                self._begin(end)
            return
        assert end == self.next_end, "no pane is left out"
        if events is None or events > 0:
            self._last = end
        self.next_end = end + self.pane_ms if end < self._last + LONGEST_GAP_MS else None
        late, self._late = self._late, 0
        expected = self.profile.expected(end - self.pane_ms, end)
        if events is not None and not np.isnan(expected.events):
            self._update(events + late, expected, end)

    def parts(self) -> Iterator[Part]:
        """Yield everything at once: it is small."""
        yield Part("state", self._changes, self._data)

    def restore(self, kept: Kept) -> None:
        """Take back the parts."""
        data = needed(kept, "state")
        with reading("state"):
            for name in _NUMBERS:
                setattr(self, name, data[name.lstrip("_")])
            self._dispersion.restore(data["dispersion"])
            for array, name in ((self._log, "log"), (self._unquiet, "unquiet")):
                if np.shape(data[name]) != array.shape:
                    raise ValueError(f"{name} is {np.shape(data[name])}, not {array.shape}")
                array[:] = data[name]
            put_numbers(self._recent, data["recent"])
            self._alarm = None
            if data["alarm"] is not None:
                changed = _Sum(**data["alarm"]["changed"])
                self._alarm = _Alarm(**{**data["alarm"], "changed": changed})
            times, figures = np.array(data["times"]).tolist(), np.array(data["panes"])
            self._panes.clear()
            self._panes.extend(
                _Pane(time, float(row[0]), float(row[1]), row[2:])
                for time, row in zip(times, figures.reshape(len(times), 4), strict=True)
            )

    def _data(self) -> Plain:
        panes = self._panes
        alarm = None
        if self._alarm:
            changed = numbers_data(self._alarm.changed)
            alarm = {**numbers_data(replace(self._alarm, changed=_Sum())), "changed": changed}
        return {
            **{name.lstrip("_"): getattr(self, name) for name in _NUMBERS},
            "dispersion": self._dispersion.data(),
            "log": self._log,
            "unquiet": self._unquiet,
            "recent": numbers_data(self._recent),
            "alarm": alarm,
            "times": np.array([pane.start for pane in panes], np.int64),
            "panes": np.array([(p.events, p.expected, *p.tolerated) for p in panes], np.float64),
        }

    def findings(self, now: int, watched: Watched) -> list[Finding]:
        """Return what there is to say of a pane that has just closed, if anything."""
        known = (WHOLE, TRAFFIC) in watched
        if self._updated != now or not (self._alarm or known):
            return []
        alarm = self._alarm
        fresh = self._recent.expected <= PATIENCE * self._took
        verdict = Verdict.UNDECIDED
        seen = self._recent
        if alarm and fresh:
            verdict, seen = Verdict.DRIFT, alarm.changed
        elif not alarm and self._is_over:
            verdict = Verdict.CLEAR
        effect = self._effect(seen)
        if verdict is Verdict.DRIFT and not known and assured_size(effect) <= self.tolerance:
            verdict = Verdict.SMALL
        threshold = -self._log_allowance
        hours = max(seen.length, 1) / HOUR_MS
        came, due = seen.events / hours, seen.expected / hours
        return [
            Finding(
                model=self.model,
                row=WHOLE,
                subject=TRAFFIC,
                detector=NAME,
                verdict=verdict,
                statistic=threshold + alarm.excess if alarm else self._level,
                threshold=threshold,
                effect=effect,
                samples=round(seen.events),
                start=seen.start,
                end=now,
                onset=alarm.onset if alarm else None,
                detail=f"{_count(due)} events an hour expected, {_count(came)} came",
                excess=alarm.excess if alarm else None,
            )
        ]

    def _begin(self, end: int) -> None:
        """Begin with the pane that begins at `end`."""
        self.next_end = end + self.pane_ms
        self._last = end
        self._rest(end)
        self._log[:] = -np.inf
        self._late, self._level, self._run, self._took = 0, 0.0, 0.0, 0.0
        self._alarm = None
        self._recent = _Sum(end)
        self._panes.clear()
        self._dispersion.forget()

    def _update(self, events: float, expected: Expected, end: int) -> None:
        phi = self._dispersion.factor()
        if np.isfinite(phi):
            self._weigh(events, expected, end, phi)
        else:
            self._rest(end)
        if self._alarm is None:
            self._dispersion.add(events, expected.events, end)
        else:
            self._dispersion.forget()

    def _weigh(self, events: float, expected: Expected, end: int, phi: float) -> None:
        known = 1.0 if np.isnan(self.profile.dispersion) else self.profile.dispersion
        room = ERRORS * expected.error * np.sqrt(phi / known)
        mean = expected.events
        most, fewest = mean * (1.0 + self.tolerance), mean * (1.0 - self.tolerance)
        tolerated = np.array([most + room, max(fewest - room, 0.0)])
        pane = _Pane(end - self.pane_ms, events, mean, tolerated)
        self._panes.append(pane)
        gain = (events * _SIGNED - tolerated[:, None] * np.expm1(_SIGNED)) / phi
        update(self._log, np.array(self._log_allowance), gain)
        self._updated = end
        self._level = max(float(self._log.max()) - self._log_allowance, 0.0)
        self._run += mean
        self._recent.add(pane, self.pane_ms)
        self._unquiet += (events, *tolerated)
        alarm = self._alarm
        if alarm:
            alarm.changed.add(pane, self.pane_ms)
            alarm.lead += float(gain[alarm.side, alarm.leader])
            alarm.excess = max(alarm.excess, alarm.lead)
        values = mixture(self._log)
        if values.max() >= 0.0:
            self._raise(int(values.argmax()), float(values.max()), end)
            return
        if self._is_over and self._recent.expected > PATIENCE * self._took:
            self._alarm = None
        if self._level <= QUIET:
            self._run = 0.0
            if self._alarm is None:
                self._rest(end)

    def _rest(self, end: int) -> None:
        self._quiet_until = end
        self._unquiet[:] = 0.0

    @property
    def _is_over(self) -> bool:
        """Whether the evidence speaks of no change that goes on."""
        return self._level <= -CLEAR * self._log_allowance

    def _raise(self, side: int, value: float, end: int) -> None:
        """Note that a side has reached the threshold, and let it begin anew."""
        if self._alarm and self._alarm.side == side:
            self._alarm.excess = max(self._alarm.excess, value)
        else:
            best = int((self._log[side] + LOG_WEIGHTS).argmax())
            lead = float(self._log[side, best] + LOG_WEIGHTS[best])
            self._alarm = _Alarm(side, *self._onset(side), best, lead, value)
        self._log[side] = -np.inf
        self._took, self._run = self._run, 0.0
        self._recent = _Sum(end)

    def _onset(self, side: int) -> tuple[int, _Sum]:
        """Return when a change began (ms), and the panes since then that are kept.

        It maximises the likelihood over all beginnings, with what is tolerated as the past: those
        of the panes that are kept, and when all was quiet last if that was before them.
        """
        panes = list(self._panes)
        figures = np.array([(pane.events, pane.tolerated[side]) for pane in panes])
        sums = np.cumsum(figures[::-1], axis=0)[::-1]
        before = self._quiet_until < panes[0].start
        starts = [self._quiet_until if before else panes[0].start, *(p.start for p in panes)]
        longest = self._unquiet[[0, 1 + side]] if before else sums[0]
        events, tolerated = np.vstack([longest, sums]).T
        beyond = (events - tolerated) * (1 - 2 * side) > 0
        ratio = events / np.maximum(tolerated, 1e-300)
        gain = np.where(beyond, xlogy(events, ratio) - events + tolerated, 0.0)
        first = int(gain.argmax())
        kept = panes[max(first - 1, 0) :]
        changed = _Sum(kept[0].start)
        for pane in kept:
            changed.add(pane, self.pane_ms)
        return starts[first], changed

    def _effect(self, seen: _Sum) -> Effect:
        """Return the rate over the expected one, less 1, with its 95 % interval."""
        phi = self._dispersion.factor()
        n, expected = seen.events / phi, max(seen.expected, 1e-9) / phi
        lower = float(gammaincinv(n, _TAIL)) if n > 0 else 0.0
        upper = float(gammaincinv(n + 1.0, 1.0 - _TAIL))
        return Effect("traffic", *(value / expected - 1.0 for value in (n, lower, upper)))


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"
