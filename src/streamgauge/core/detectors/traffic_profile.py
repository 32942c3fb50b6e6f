"""Traffic profile: how many events the reference lets expect, by hour of the week.

An hour of the week that the reference holds N_h events of in the time T_h has the rate

    λ_h = (N_h/φ + a) / (T_h/φ + a/r)

the mean of a gamma law's posterior: hours are shrunk to the rate r of the whole as far as they may
differ from it by chance, where 1/a is the variance of the hours' true rates over r², by the method
of moments. Its standard deviation is the standard error. φ is the overdispersion of the totals.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.tolerance import DAY_MS, WEEK_MS, long_run
from streamgauge.core.layout import folded_widths
from streamgauge.core.reference import Reference
from streamgauge.core.timeline import HOUR_MS, HOURS_OF_WEEK, hour_of_week
from streamgauge.core.zone import Zone

QUARTER_MS: Final = HOUR_MS // 4
"""Zones are whole quarters of an hour apart, so that each is of one hour of the week."""
LONGEST_GAP_MS: Final = WEEK_MS
"""After so long without any event nothing was running, or nobody kept its events."""
LEAST_COVERED_MS: Final = HOUR_MS // 2
"""Hours of the week that the reference covers less of are not judged."""
LEAST_LEFT: Final = 0.3
"""Blocks of which the profile explains more by itself say little of dispersion."""
_ALIKE: Final = 1e15
"""The shape a where hours do not differ."""


class Expected(NamedTuple):
    """Events that a period should bring, and the standard error; NaN where nothing is known."""

    events: float
    error: float


@dataclass(frozen=True, slots=True)
class TrafficProfile:
    """Rates by hour of the week `(168,)` in events per ms with standard errors, in `zone`.

    `dispersion` is φ of the totals, NaN where the reference is too short to tell it.
    """

    rate: FloatArray
    error: FloatArray
    dispersion: float
    zone: Zone

    def expected(self, start: int, end: int) -> Expected:
        """Return what a period `[start, end)` (ms) should bring."""
        quarters = np.arange(start // QUARTER_MS * QUARTER_MS, end, QUARTER_MS)
        held = np.minimum(quarters + QUARTER_MS, end) - np.maximum(quarters, start)
        hours = hour_of_week(quarters, self.zone)
        return Expected(float(self.rate[hours] @ held), float(self.error[hours] @ held))


class _Panes(NamedTuple):
    """The reference's panes from its first event to its last, those without events too.

    `numbers (P,)`, `events (P,)`; of each pane's quarters of an hour `hours (P, q)` of the week,
    and `held (P, q)`, how long (ms) they are within the reference's time.
    """

    numbers: IntArray
    events: IntArray
    hours: IntArray
    held: IntArray


def measure_traffic(reference: Reference) -> TrafficProfile:
    """Return a reference's profile. Raises ValueError where it has no timestamps."""
    if reference.hour_of_week is None or reference.panes is None:
        raise ValueError("a reference without timestamps says nothing of traffic")
    panes = _panes(reference)
    status = slice(0, folded_widths(reference.layout)[0])
    events = reference.hour_of_week[:, status].sum(axis=1).astype(float)
    time: FloatArray = np.bincount(panes.hours.ravel(), panes.held.ravel(), HOURS_OF_WEEK).astype(
        float
    )
    rate, _, trust = _shrunk(events, time, 1.0)
    phi = _dispersion(panes, reference.panes.length_ms, rate, trust, time)
    rate, error, _ = _shrunk(events, time, 1.0 if np.isnan(phi) else phi)
    known = time >= LEAST_COVERED_MS
    return TrafficProfile(
        np.where(known, rate, np.nan), np.where(known, error, np.nan), phi, reference.zone
    )


def _panes(reference: Reference) -> _Panes:
    table, span = reference.panes, reference.span
    assert table is not None
    assert span is not None
    length = table.length_ms
    gaps = np.flatnonzero(np.diff(table.panes) * length > LONGEST_GAP_MS) + 1
    runs = np.split(table.panes, gaps)
    numbers = np.concatenate([np.arange(run[0], run[-1] + 1) for run in runs])
    events = np.zeros(len(numbers), np.int64)
    status = slice(0, folded_widths(reference.layout)[0])
    events[np.searchsorted(numbers, table.panes)] = table.counts[:, status].sum(axis=1)
    quarters = numbers[:, None] * length + np.arange(0, length, QUARTER_MS)
    ends = np.minimum(quarters + QUARTER_MS, span[1] + 1)
    held = np.maximum(ends - np.maximum(quarters, span[0]), 0)
    hours = hour_of_week(quarters.ravel(), reference.zone).reshape(quarters.shape)
    return _Panes(numbers, events, hours, held)


def _shrunk(
    events: FloatArray, time: FloatArray, phi: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the hours' rates, their standard errors, and the weight of each hour's own rate."""
    whole = max(events.sum(), 1.0) / time.sum()
    own = events / np.maximum(time, 1.0)
    beyond = np.where(time > 0, time * (own - whole) ** 2 - phi * whole, 0.0).sum() / time.sum()
    shape = whole**2 / beyond if beyond > whole**2 / _ALIKE else _ALIKE
    weight = time / phi + shape / whole
    rate = (events / phi + shape) / weight
    of_whole = np.sqrt(phi * whole / time.sum())
    return rate, np.hypot(np.sqrt(rate / weight), of_whole), time / phi / weight


def _dispersion(
    panes: _Panes, length: int, rate: FloatArray, trust: FloatArray, time: FloatArray
) -> float:
    """Return φ of the panes' totals about the profile, NaN where there are too few to tell.

    The profile follows the panes that it was made from: of k in an hour of the week whose own rate
    has the weight t, each keeps 1 − 2t/k + t²/k of its variance.
    """
    k = np.maximum(time / HOUR_MS, 1e-9)
    left = np.maximum(1.0 - (2.0 * trust - trust**2) / k, 0.0)
    by_quarter = rate[panes.hours] * panes.held
    expected = by_quarter.sum(axis=1)
    variance = (by_quarter * left[panes.hours]).sum(axis=1)
    usable = variance >= LEAST_LEFT * expected
    residual = np.where(usable, panes.events - expected, 0.0)
    variance = np.where(usable, variance, 0.0)
    lengths = (length, DAY_MS, WEEK_MS)
    phi = long_run(panes.numbers, length, residual[:, None], variance[:, None], lengths)
    return float(phi[0])
