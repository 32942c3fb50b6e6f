"""Tolerance: which share of each series the reference allows, by hour of the week.

The allowed share is the reference's, give or take the tolerance and three standard errors. Where
the reference has timestamps, the share follows the hour of the week (see `seasonal`), slices that
of the whole on the logit scale. What is left over from pane to pane is overdispersion φ.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.special import logit

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.series import OUTLIERS, Kind, SeriesTable
from streamgauge.core.detectors.specs import LatencyLimit
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.overdispersion import UPPER_QUANTILE
from streamgauge.core.reference import Reference
from streamgauge.core.seasonal import HourShares, shrunk_hours
from streamgauge.core.timeline import HOUR_MS, HOURS_OF_WEEK, hour_of_week
from streamgauge.core.zone import Zone

ERRORS: Final = 3.0
"""Standard errors of the reference that are tolerated besides."""
LEAST: Final = 1e-6
"""Shares nearer to 0 or 1 are taken for this where an hour moves them."""
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = HOURS_OF_WEEK * HOUR_MS
FEWEST_BLOCKS: Final = 20
"""Blocks of panes that a long-run variance is estimated from at least."""


class Bounds(NamedTuple):
    """Expected shares `(k, Q)`, and the largest tolerated ones `(k, Q, 2)` of x and of 1 − x."""

    expected: FloatArray
    largest: FloatArray


class Hour(NamedTuple):
    """By how much the odds of shares differ in an hour of the week, and its standard error squared.

    Both are `(Q,)`.
    """

    odds: FloatArray
    variance: FloatArray


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is tolerated of Q series over the reference's R rows.

    `share (R, Q)` with standard errors `error (R, Q)`; `dispersion (Q,)` φ of the whole, None where
    the reference has no timestamps to tell it; `profile` the whole's hours of the week in `zone`,
    `room (Q,)` how far shares may move.
    """

    table: SeriesTable
    share: FloatArray
    error: FloatArray
    room: FloatArray
    dispersion: FloatArray | None
    profile: HourShares | None
    zone: Zone

    def hour(self, time_ms: int) -> Hour | None:
        """Return how the hour of the week at a time differs, None where hours do not."""
        if self.profile is None:
            return None
        hour = int(hour_of_week(np.array([time_ms]), self.zone)[0])
        shift = _logit(self.profile.share[hour]) - _logit(self.share[0])
        return Hour(np.exp(shift), self.profile.error[hour] ** 2)

    def bounds(self, rows: IntArray, time_ms: int) -> Bounds:
        """Return what is tolerated of some rows at a time.

        `rows (k,)` are reference rows, −1 for a row that the reference does not know: of it only
        bad values are judged, against the whole.
        """
        at = np.maximum(rows, 0)
        share, error = self.share[at], self.error[at]
        hour = self.hour(time_ms)
        if hour is not None:
            # A shift of the logit is a factor of the odds, which takes no logarithm for each row.
            clipped = np.clip(share, LEAST, 1.0 - LEAST)
            moved = clipped * hour.odds / (1.0 - clipped + clipped * hour.odds)
            share = np.where(share > 0, moved, share)
            error = np.sqrt(error**2 + hour.variance)
        room = self.room + ERRORS * error
        sides: FloatArray = np.empty((len(rows), 2, share.shape[1]))
        np.add(share, room, out=sides[:, 0])
        np.subtract(1.0, share, out=sides[:, 1])
        sides[:, 1] += room
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            sides[unknown[:, None], :, np.flatnonzero(self.table.compared)] = 1.0
        # Fewer bad values than usual, or a smaller loss, are no one's trouble.
        sides[:, 1, ~self.table.falls] = 1.0
        np.minimum(sides, 1.0, out=sides)
        return Bounds(share, np.moveaxis(sides, 1, -1))

    def with_expected(self, bounds: Bounds, rows: IntArray, shares: FloatArray) -> Bounds:
        """Return bounds of rows whose gaps are held against these shares `(k,)`."""
        gaps = self.table.gaps
        room = self.room[gaps] + ERRORS * self.error[np.maximum(rows, 0)[:, None], gaps]
        bounds.expected[:, gaps] = shares[:, None]
        bounds.largest[:, gaps, 0] = np.minimum(shares[:, None] + room, 1.0)
        return bounds


def measure_tolerance(
    reference: Reference,
    table: SeriesTable,
    tolerance: float,
    latency: LatencyLimit | None = None,
) -> Tolerance:
    """Return what a reference tolerates; `tolerance` is the share that may move."""
    present, total = table.counts(reference.block.counts.astype(np.int64))
    share = present / np.maximum(total, 1)
    profile, dispersion = _over_time(reference, table, share[0])
    phi = 1.0 if dispersion is None else dispersion
    # Half an event more, so that what never happened is not known for certain.
    spread = (present + 0.5) / (total + 1.0)
    error = np.sqrt(spread * (1.0 - spread) * phi / np.maximum(total, 1))
    room = np.full(len(table.series), tolerance)
    slow = [i for i, series in enumerate(table.series) if series.kind is Kind.SLOW]
    if latency is not None and slow:
        # The limit says itself what is tolerated; training data hold no latencies.
        share[:, slow], error[:, slow], room[slow] = latency.share, 0.0, 0.0
        if profile is not None:
            profile.share[:, slow], profile.error[:, slow] = latency.share, 0.0
    return Tolerance(table, share, error, room, dispersion, profile, reference.zone)


def _over_time(
    reference: Reference, table: SeriesTable, share: FloatArray
) -> tuple[HourShares | None, FloatArray | None]:
    if reference.panes is None or reference.hour_of_week is None:
        return None, None
    if len(reference.panes.panes) < FEWEST_BLOCKS:
        return None, None
    present, total = folded_counts(reference, table, reference.hour_of_week)
    flat = np.broadcast_to(share, present.shape)
    own = present / np.maximum(total, 1)
    length = reference.panes.length_ms
    # Hours' own shares do not make panes differ from other panes of the same hours, and over whole
    # days and weeks they cancel out.
    within = _dispersion(reference, table, own, total, (length,), fitted=True)
    slow = _dispersion(reference, table, flat, total, (DAY_MS, WEEK_MS))
    # Where hours are seen too seldom to tell what is theirs from chance, all of it is dispersion.
    short = np.isnan(within)
    quick = np.where(short, _dispersion(reference, table, flat, total, (length,)), within)
    likely = np.fmax(np.fmax(quick, slow), 1.0)
    profile = shrunk_hours(present, np.where(short, 0, total), share, likely)
    slow = _dispersion(reference, table, profile.share, total, (DAY_MS, WEEK_MS))
    dispersion = np.fmax(np.fmax(quick, slow), 1.0)
    return profile, _with_outliers(table, dispersion)


def _with_outliers(table: SeriesTable, dispersion: FloatArray) -> FloatArray:
    """Return φ `(Q,)` with that of values out of range, or unseen, at least their feature's.

    Folding loses these values; they come and go with the others of the feature.
    """
    result = dispersion.copy()
    for i, series in enumerate(table.series):
        if series.kind in OUTLIERS:
            feature = Subject(SubjectKind.FEATURE, series.subject.name.rpartition(".")[0])
            others = [j for j, other in enumerate(table.series) if other.subject == feature]
            result[i] = max([dispersion[i], *dispersion[others].tolist()])
    return result


def folded_counts(
    reference: Reference, table: SeriesTable, folded: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the series' counts `(T, Q)` from counts folded to groups `(T, G)`.

    Of runs that folding loses (values out of range, unseen ones) nothing is known: both are 0.
    """
    layout = reference.layout
    places = np.full(layout.width + 1, -1, np.int64)
    place = 0
    for start, item in layout:
        for group in item.bins.groups:
            places[start + group] = place
            place += 1
        for special in range(item.bins.width - item.bins.value_bins):
            places[start + item.bins.value_bins + special] = place
            place += 1
        places[start + item.bins.width] = place
    sums = np.zeros((len(folded), place + 1), np.int64)
    np.cumsum(folded, axis=1, out=sums[:, 1:])
    first, last = places[table.first], places[table.last]
    lost = (first < 0) | (last < 0)
    present = sums[:, np.where(lost, 0, last)] - sums[:, np.where(lost, 0, first)]
    total = sums[:, places[table.end]] - sums[:, places[table.whole]]
    present[:, lost] = total[:, lost] = 0
    return present, total


def _dispersion(
    reference: Reference,
    table: SeriesTable,
    shares: FloatArray,
    traffic: IntArray,
    lengths: tuple[int, ...],
    *,
    fitted: bool = False,
) -> FloatArray:
    """Return φ `(Q,)`: the long-run variance of pane counts about the hours' shares, over binomial.

    Blocks of several lengths (ms) are tried, and the largest figure taken, since what varies
    slowly shows in long blocks alone. The upper 95 % limit of the mean is used, NaN where there are
    too few blocks. `shares (168, Q)` that were `fitted` to the panes' own counts follow them: with
    a part w of its hours' events in it, a pane keeps 1 − w of its variance.
    """
    panes = reference.panes
    assert panes is not None
    present, total = folded_counts(reference, table, panes.counts)
    hours = panes.length_ms // HOUR_MS
    base = panes.panes[:, None] * hours + np.arange(hours)
    slots = hour_of_week(base * HOUR_MS, reference.zone)
    weight = traffic[slots].astype(float)
    events = np.maximum(weight.sum(axis=1), 1.0)
    mean = (shares[slots] * weight).sum(axis=1) / events
    residual = present - total * mean
    variance = total * mean * (1.0 - mean)
    if fitted:
        variance *= np.maximum(1.0 - total / events, 0.0)
    return long_run(panes.panes, panes.length_ms, residual, variance, lengths)


def long_run(
    panes: IntArray,
    length_ms: int,
    residual: FloatArray,
    variance: FloatArray,
    lengths: tuple[int, ...],
) -> FloatArray:
    """Return φ `(Q,)` of panes `(P,)` from residuals and their variances by chance `(P, Q)`.

    The largest figure over blocks of `lengths` (ms), NaN where all are too few.
    """
    phi = np.full(residual.shape[1], np.nan)
    for length in lengths:
        if length < length_ms:
            continue
        block = panes * length_ms // length
        starts = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
        if len(starts) < FEWEST_BLOCKS:
            continue
        r = np.add.reduceat(residual, starts, axis=0)
        v = np.add.reduceat(variance, starts, axis=0)
        enough = v >= 1.0
        ratio = np.where(enough, r**2 / np.maximum(v, 1.0), 0.0)
        used = np.maximum(enough.sum(axis=0), 1)
        average = ratio.sum(axis=0) / used
        spread = np.where(enough, (ratio - average) ** 2, 0.0).sum(axis=0) / used
        limit = average + UPPER_QUANTILE * np.sqrt(spread / used)
        # The largest of several limits would be well above 1 for independent events too; their
        # squares over the variance vary by 2.
        limit[average <= 1.0 + UPPER_QUANTILE * np.sqrt(2.0 / used)] = 1.0
        phi = np.where(enough.sum(axis=0) >= FEWEST_BLOCKS, np.fmax(phi, limit), phi)
    return phi


def _logit(share: FloatArray) -> FloatArray:
    clipped: FloatArray = logit(np.clip(share, LEAST, 1.0 - LEAST))
    return clipped
