"""E-detectors of one model: evidence of change in every row, fed by closed panes.

Every pane with events spends `spending` expected false alarms, divided among the series of the
rows that have events in it: a series' allowance falls when slices appear and rises when they go,
and what is spent never adds up to more than the budget (see `bank`). A row with few events gathers
panes until there are enough for an update; the shares that are tolerated then enter as their mean
over the events, which the bound allows, since log(1 − m + m·e^λ) is concave in m.

A series that reaches its threshold begins anew. While a change lasts it reaches it again and
again; once it has not for twice the events that it took the last time, and nothing else speaks of
the subject, the subject is clear.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import Single
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.detectors.allowance import NOTHING, log_parts
from streamgauge.core.detectors.bank import ALTERNATIVES, LOG_WEIGHTS, largest, mixture
from streamgauge.core.detectors.dispersion import Dispersion
from streamgauge.core.detectors.kept import arrays_data, take_arrays
from streamgauge.core.detectors.pane_feed import PaneFeed, Sums
from streamgauge.core.detectors.side_bank import Gathered, SideBank
from streamgauge.core.detectors.sides import Sides
from streamgauge.core.detectors.tolerance import Tolerance
from streamgauge.core.findings import Verdict

BLOCK: Final = 32_000
"""Series of rows that are fed and updated at once: what is made of them stays in the cache."""
QUIET: Final = 3.0
"""Evidence in nats up to which nothing speaks of a change: 20 times the allowance."""
CLEAR: Final = 0.5
"""Part of the threshold below which the evidence of what has changed is as good as over."""
PATIENCE: Final = 2
"""A change is over when it has not shown again for so many times the events that it took."""
_NEVER: Final = int(np.iinfo(np.int64).min)


class Evidence(NamedTuple):
    """What the series of one row and subject say after an update.

    `statistic` is log M, the evidence in nats as a multiple of its allowance; there is a change
    where it has reached `threshold`. `excess` is the most that it has gone over the threshold since
    the change showed, None without one; `took_ms` is the event time that it took to show.
    """

    row: int
    subject: int
    verdict: Verdict
    statistic: float
    threshold: float
    excess: float | None
    took_ms: int


@dataclass(slots=True)
class _Rows:
    """State over R rows, Q series, S subjects, J sides (see `sides`) and K alternatives."""

    known: IntArray
    """Rows of the reference, −1 where it has none."""
    log: Single
    """log E `(R, K, J)` float32, most of the memory: an update rounds it by 1e-6 nats or so."""
    events: IntArray
    credit: FloatArray
    """Allowance gathered and not spent yet."""
    present: Single
    """Events with the property and, in `total`, all since the last update, in float32 as the two
    below: a count up to 16 million is exact, and what is expected or tolerated rounded by 6e-8."""
    total: Single
    expected: Single
    """Expected number of events of each series, and in `largest` the largest tolerated ones of
    each side `(R, J)`."""
    largest: Single
    level: FloatArray
    """Largest log M of each subject `(R, S)` as of the last update."""
    allowance: FloatArray
    """Log of what a row's last update spent `(R,)`."""
    dispersion: FloatArray
    """Largest φ of each subject `(R, S)` in the last update; +inf where it is not known yet."""
    alarmed: BoolArray
    run: IntArray
    """Events since a subject was last quiet or reached the threshold."""
    took: IntArray
    """What `run` was when it last reached the threshold, and `since` the events from then on."""
    since: IntArray
    quiet_until: IntArray
    """When nothing spoke of a change yet (ms), and in `took_ms` how long the last one took."""
    took_ms: IntArray
    excess: FloatArray
    leader: IntArray
    """K times the code of the side that speaks for the alarm, and its alternative."""
    lead: FloatArray
    """A lower bound of the leader's log E as if nothing had begun anew."""

    @classmethod
    def empty(cls, series: int, sides: int, subjects: int) -> "_Rows":
        """Return the state of no rows."""
        return cls(
            known=np.empty(0, np.int64),
            log=np.empty((0, ALTERNATIVES, sides), np.float32),
            events=np.empty(0, np.int64),
            credit=np.empty(0),
            present=np.empty((0, series), np.float32),
            total=np.empty((0, series), np.float32),
            expected=np.empty((0, series), np.float32),
            largest=np.empty((0, sides), np.float32),
            level=np.empty((0, subjects), np.float32),
            allowance=np.empty(0),
            dispersion=np.empty((0, subjects), np.float32),
            alarmed=np.empty((0, subjects), bool),
            run=np.empty((0, subjects), np.int64),
            took=np.empty((0, subjects), np.int64),
            since=np.empty((0, subjects), np.int64),
            quiet_until=np.empty((0, subjects), np.int64),
            took_ms=np.empty((0, subjects), np.int64),
            excess=np.empty((0, subjects), np.float32),
            leader=np.empty((0, subjects), np.int32),
            lead=np.empty((0, subjects), np.float32),
        )

    def add(self, known: IntArray) -> None:
        """Add rows."""
        fills = {
            "log": -np.inf,
            "allowance": NOTHING,
            "dispersion": np.inf,
            "quiet_until": _NEVER,
        }
        for name in self.__slots__:
            old = getattr(self, name)
            more = np.full((len(known), *old.shape[1:]), fills.get(name, 0), old.dtype)
            setattr(self, name, np.concatenate([old, more]))
        self.known[len(self.known) - len(known) :] = known


@dataclass(slots=True)
class EDetectors:
    """Evidence of all rows and series of one model.

    `spending` is the expected number of false alarms allowed per pane, `weights (Q,)` how it is
    divided among series, `pool` the events that make an update.
    """

    tolerance: Tolerance
    spending: float
    weights: FloatArray
    pool: int
    _dispersion: Dispersion = field(init=False)
    _rows: _Rows = field(init=False)
    _sides: Sides = field(init=False)
    _pane_feed: PaneFeed = field(init=False)
    _bank: SideBank = field(init=False)
    _largest_shares: FloatArray = field(init=False)
    """The log of the largest of a subject's parts of a row's allowance `(2, S)`: of rows that the
    reference does not know, and of those that it does."""
    _subject_of: IntArray = field(init=False)

    def __post_init__(self) -> None:
        table = self.tolerance.table
        size = len(table.series)
        self._sides = Sides(table)
        self._rows = _Rows.empty(size, len(self._sides), len(table.subjects))
        self._dispersion = Dispersion(self.tolerance.dispersion, size)
        self._subject_of = np.repeat(
            np.arange(len(table.subjects)), np.diff(table.starts, append=size)
        )
        self._pane_feed = PaneFeed(self.tolerance, self._sides)
        parts = log_parts(table, self.weights)
        self._bank = SideBank(self._sides, self._subject_of, self._sides.chosen(parts))
        self._largest_shares = np.maximum.reduceat(parts.max(axis=-1), table.starts, axis=1)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows.known)

    def data(self) -> dict[str, Any]:
        """Return everything by name, to be encoded before anything goes on."""
        rows = arrays_data(self._rows, self._rows.__slots__)
        # Alternatives are alike: side by side they pack smaller, and in half the time.
        rows["log"] = np.moveaxis(rows["log"], 1, -1)
        return {"rows": rows, "dispersion": self._dispersion.data()}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on as earlier ones. Raises ValueError where they had other series."""
        rows = dict(data["rows"])
        size = len(rows["known"])
        log = np.moveaxis(rows["log"], -1, 1)
        if log.ndim == 4:
            # Earlier versions kept both sides of all series, (R, Q, 2, K) and (R, Q, 2).
            log = self._sides.chosen(log)
            rows["largest"] = self._sides.chosen(rows["largest"])
        rows["log"] = np.ascontiguousarray(log)
        take_arrays(self._rows, self._rows.__slots__, rows, size)
        self._dispersion.restore(data["dispersion"], size)

    def add_rows(self, known: IntArray) -> None:
        """Follow more rows; `known (k,)` are their reference rows, −1 where there is none."""
        self._rows.add(known)
        self._dispersion.add_rows(len(known))

    def feed(
        self, rows: IntArray, counts: npt.NDArray[np.integer], events: IntArray, start: int
    ) -> None:
        """Take in events of a pane that began at `start` (ms), on time or late.

        `rows (k,)`, which are distinct, `counts (k, W)`, `events (k,)` how many there are.
        """
        for at in range(0, len(rows), self._few):
            mine = slice(at, at + self._few)
            numbers = np.ascontiguousarray(counts[mine], np.int64)
            self._feed(rows[mine], numbers, events[mine], start)

    def _feed(self, rows: IntArray, counts: IntArray, events: IntArray, start: int) -> None:
        state = self._rows
        # Rows may be added long before: as far ahead as events are read.
        first = rows[state.quiet_until[rows, 0] == _NEVER]
        state.quiet_until[first] = start
        sums = Sums(state.present, state.total, state.expected, state.largest)
        self._pane_feed.add(sums, rows, state.known[rows], counts, start)
        state.events[rows] += events

    def close(self, rows: IntArray, end: int) -> IntArray:
        """Close the pane that ends at `end` (ms) for the rows that have events in it.

        Returns the rows that were updated.
        """
        if not len(rows):
            return rows
        state = self._rows
        state.credit[rows] += self.spending / len(rows)
        ready: IntArray = rows[state.events[rows] >= self.pool]
        for at in range(0, len(ready), self._few):
            self._update(ready[at : at + self._few], end)
        return ready

    def evidence(self, rows: IntArray, watched: Collection[tuple[int, int]]) -> list[Evidence]:
        """Return what rows that were just updated say of changes, and of watched subjects.

        Where they say anything of a subject, all other rows with a change of it say theirs again,
        so that rows can be compared. `watched` holds rows with numbers of subjects.
        """
        alarmed = self._rows.alarmed
        found = {(int(rows[i]), s) for i, s in np.argwhere(alarmed[rows]).tolist()}
        updated = set(rows.tolist())
        found |= {(row, s) for row, s in watched if row in updated}
        for subject in {s for _, s in found}:
            found |= {(row, subject) for row in np.flatnonzero(alarmed[:, subject]).tolist()}
        return [self._evidence(row, subject) for row, subject in sorted(found)]

    def factors(self, rows: IntArray) -> FloatArray:
        """Return the largest φ of each subject `(k, S)` as of each row's last update."""
        return self._rows.dispersion[rows].astype(np.float64)

    def levels(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return evidence and thresholds in nats `(k, S)` as of each row's last update."""
        state = self._rows
        largest = self._largest_shares[(state.known[rows] >= 0).astype(np.intp)]
        return state.level[rows].astype(np.float64), -(state.allowance[rows][:, None] + largest)

    def _evidence(self, row: int, subject: int) -> Evidence:
        state = self._rows
        levels, thresholds = self.levels(np.array([row]))
        level, threshold = float(levels[0, subject]), float(thresholds[0, subject])
        alarmed = bool(state.alarmed[row, subject])
        fresh = state.since[row, subject] <= PATIENCE * state.took[row, subject]
        excess = float(state.excess[row, subject]) if alarmed else None
        if alarmed and fresh:
            verdict = Verdict.DRIFT
        else:
            clear = not alarmed and level <= CLEAR * threshold
            verdict = Verdict.CLEAR if clear else Verdict.UNDECIDED
        return Evidence(
            row,
            subject,
            verdict,
            level if excess is None else threshold + excess,
            threshold,
            excess,
            int(state.took_ms[row, subject]),
        )

    @property
    def _few(self) -> int:
        """Rows that are fed and updated at once."""
        return max(BLOCK // len(self._subject_of), 1)

    def _update(self, rows: IntArray, end: int) -> None:
        state, starts = self._rows, self.tolerance.table.starts
        phi, allowance = self._dispersion.factor(rows), np.log(state.credit[rows])
        sums = state.present, state.total, state.largest
        gathered = Gathered(rows, *sums, phi, allowance, state.known[rows] >= 0)
        moved = self._bank.move_on(state.log, gathered)
        self._follow_leaders(gathered)
        raised = self._reached(rows, moved.reached)
        state.level[rows] = moved.level
        state.allowance[rows] = allowance
        self._settle(rows, raised, end)
        state.dispersion[rows] = np.maximum.reduceat(phi, starts, axis=1)
        levels, thresholds = self.levels(rows)
        odd = state.alarmed[rows] | (levels > CLEAR * thresholds)
        normal = ~odd[:, self._subject_of]
        seen, total = (array[rows].astype(np.float64) for array in (state.present, state.total))
        expected = state.expected[rows] / np.maximum(total, 1.0)
        self._dispersion.add(rows, seen * normal, total * normal, expected, end)
        for array in (state.present, state.total, state.expected, state.largest):
            array[rows] = 0.0
        state.events[rows] = 0
        state.credit[rows] = 0.0

    def _follow_leaders(self, gathered: Gathered) -> None:
        """Let the evidence of what raised alarms grow on, for what is beyond the threshold."""
        state, rows = self._rows, gathered.rows
        at, subject = np.nonzero(state.alarmed[rows])
        if not len(at):
            return
        row = rows[at]
        code, alternative = np.divmod(state.leader[row, subject], ALTERNATIVES)
        gain = self._bank.gains(gathered, at, self._sides.place[code], alternative)
        lead = state.lead[row, subject] + gain
        state.lead[row, subject] = lead
        state.excess[row, subject] = np.maximum(state.excess[row, subject], lead)

    def _reached(self, rows: IntArray, reached: BoolArray) -> BoolArray:
        """Return which subjects `(k, S)` have reached the threshold; their series begin anew.

        `reached (k,)` are the rows that any series of may have.
        """
        state = self._rows
        raised = np.zeros((len(rows), state.alarmed.shape[1]), bool)
        some = np.flatnonzero(reached)
        log = np.moveaxis(state.log[rows[some]].astype(np.float64), 1, -1)
        at, side = np.nonzero(largest(log) >= 0.0)
        if not len(at):
            return raised
        log = log[at, side]
        values = mixture(log)
        # Ascending, so that what is written last is the strongest series of a subject.
        order = np.flatnonzero(values >= 0.0)
        order = order[np.argsort(values[order], kind="stable")]
        at, side, log, values = some[at[order]], side[order], log[order], values[order]
        subject, row = self._subject_of[self._sides.series[side]], rows[at]
        raised[at, subject] = True
        standing = state.alarmed[row, subject]
        np.maximum.at(state.excess, (row[standing], subject[standing]), values[standing])
        new = ~standing
        best = (log + LOG_WEIGHTS).argmax(axis=-1)
        leader = self._sides.code[side] * ALTERNATIVES + best
        state.leader[row[new], subject[new]] = leader[new]
        lead = log[np.arange(len(log)), best] + LOG_WEIGHTS[best]
        state.lead[row[new], subject[new]] = lead[new]
        state.excess[row[new], subject[new]] = values[new]
        state.log[row, :, side] = -np.inf
        return raised

    def _settle(self, rows: IntArray, raised: BoolArray, end: int) -> None:
        """Move the alarms of rows on, where `raised (k, S)` are those reached just now."""
        state = self._rows
        events = state.events[rows][:, None]
        levels, thresholds = self.levels(rows)
        quiet, clear = levels <= QUIET, levels <= CLEAR * thresholds
        run = state.run[rows] + events
        took = np.where(raised, run, state.took[rows])
        since = np.where(raised, 0, state.since[rows] + events)
        over = clear & (since > PATIENCE * took)
        stood = state.alarmed[rows]
        alarmed = raised | (stood & ~over)
        took_ms = np.where(raised & ~stood, end - state.quiet_until[rows], state.took_ms[rows])
        state.took_ms[rows] = took_ms
        state.run[rows] = np.where(raised | quiet, 0, run)
        state.took[rows], state.since[rows], state.alarmed[rows] = took, since, alarmed
        state.quiet_until[rows] = np.where(quiet & ~alarmed, end, state.quiet_until[rows])
