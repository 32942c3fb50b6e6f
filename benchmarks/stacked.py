"""Many runs, each with a reference of its own, as rows of one `EDetectors`.

Rows do not know of each other but for the budget, which is divided evenly among those with events
in a pane: N runs with R rows each and N times the spending go as N runs alone would, at a fraction
of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from benchmarks.nulls import STREAM_HOURS
from benchmarks.regimes import Regime
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.dispersion import Dispersion
from streamgauge.core.detectors.e_detectors import EDetectors
from streamgauge.core.detectors.series import SeriesTable
from streamgauge.core.detectors.tolerance import Bounds, Tolerance
from streamgauge.core.findings import Verdict
from streamgauge.core.timeline import HOUR_MS, HOURS_OF_WEEK, hour_of_week


@dataclass(frozen=True, slots=True)
class StackedTolerance:
    """What several references `(N,)` tolerate, by hour of the week; their rows stand in a row."""

    table: SeriesTable
    dispersion: FloatArray | None
    expected: FloatArray
    """`(168, rows, Q)`, and `largest (168, rows, Q, 2)`."""
    largest: FloatArray

    def bounds(self, rows: IntArray, time_ms: int) -> Bounds:
        """Return what is tolerated of some rows at a time."""
        hour = int(hour_of_week(np.array([time_ms]))[0])
        return Bounds(self.expected[hour][rows], self.largest[hour][rows])


def stack(tolerances: Sequence[Tolerance]) -> StackedTolerance:
    """Return the tolerances of several references with the same series and number of rows."""
    rows = np.arange(len(tolerances[0].share))
    by_hour = [
        [each.bounds(rows, hour * HOUR_MS) for each in tolerances] for hour in range(HOURS_OF_WEEK)
    ]
    # From the epoch's Thursday on to hours that are counted from Monday.
    order = np.argsort(hour_of_week(np.arange(HOURS_OF_WEEK) * HOUR_MS))
    expected = np.stack([np.concatenate([b.expected for b in hour]) for hour in by_hour])
    largest = np.stack([np.concatenate([b.largest for b in hour]) for hour in by_hour])
    phi = [each.dispersion for each in tolerances if each.dispersion is not None]
    return StackedTolerance(
        tolerances[0].table, np.stack(phi) if phi else None, expected[order], largest[order]
    )


@dataclass(slots=True)
class StackedDispersion(Dispersion):
    """φ where each row has a reference of its own: `of_rows (R, Q)`, None without timestamps."""

    of_rows: FloatArray | None = None

    def factor(self, rows: IntArray) -> FloatArray:
        """Return φ `(k, Q)`."""
        if self.of_rows is not None:
            self.reference = self.of_rows[rows]
        # Not super(), which a dataclass with slots has not.
        return Dispersion.factor(self, rows)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A row and subject of a run that turned alarmed in a pane."""

    run: int
    row: int
    subject: int
    pane: int


def alarms(
    regime: Regime,
    tolerances: Sequence[Tolerance],
    streams: IntArray,
    *,
    spending: float,
    pool: int,
    start: int,
) -> list[Alarm]:
    """Return the alarms of runs whose streams are `(N, T, R, W)`, from `start` (ms) on."""
    stacked = stack(tolerances)
    table = stacked.table
    runs, width = len(tolerances), len(tolerances[0].share)
    detectors = EDetectors(
        cast("Tolerance", stacked), spending * runs, np.ones(len(table.series)), pool
    )
    dispersion = StackedDispersion(stacked.dispersion, len(table.series))
    # There is no other way to one dispersion, and one tolerance, per reference.
    detectors._dispersion = dispersion  # noqa: SLF001
    detectors._pane_feed = replace(detectors._pane_feed, compiled=None)  # noqa: SLF001
    own = np.empty(0, np.int64)
    """The run's number times the regime's rows, plus the row, of every row of the detectors."""
    before: set[tuple[int, int]] = set()
    found: list[Alarm] = []
    for pane in range(min(STREAM_HOURS, streams.shape[1])):
        joining = np.flatnonzero(regime.joins == pane)
        time = start + pane * HOUR_MS
        if len(joining):
            run = np.repeat(np.arange(runs), len(joining))
            row = np.tile(joining, runs)
            detectors.add_rows(run * width + regime.known[row])
            own = np.concatenate([own, run * len(regime.known) + row])
            if stacked.dispersion is not None:
                dispersion.of_rows = stacked.dispersion[own // len(regime.known)]
        run, row = np.divmod(own, len(regime.known))
        counts = streams[run, pane, row]
        events = counts[:, :2].sum(axis=1)
        rows = np.arange(len(own))
        detectors.feed(rows, counts, events, time)
        ready = detectors.close(rows, time + HOUR_MS)
        updated = set(ready.tolist())
        said = detectors.evidence(ready, ())
        for each in said:
            if each.verdict is Verdict.DRIFT and (each.row, each.subject) not in before:
                at, place = divmod(int(own[each.row]), len(regime.known))
                found.append(Alarm(at, place, each.subject, pane))
        before = {pair for pair in before if pair[0] not in updated}
        before |= {(each.row, each.subject) for each in said}
    return found
