"""Side bank: evidence of many rows moved on at once by what they have gathered.

The sums are those of `bank`, for all sides of a row (see `sides`). Compiled code (side_bank.c) does
them where it was built, a row at a time in the processor's nearest cache; otherwise numpy does, in
blocks, with the same result but for the last bits of a logarithm.
"""

import ctypes
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from streamgauge.compiled import Single, addresses, arrays, beside, integers
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.detectors.bank import (
    ALTERNATIVES,
    TILTS,
    alternatives_last,
    gains,
    largest,
    update,
)
from streamgauge.core.detectors.sides import Sides

LAYOUT: Final = 2
"""Of the structures that are handed over; side_bank.c has the same number."""
BLOCK: Final = 8_000
"""Sides whose evidence numpy moves on at once: the arrays of all alternatives stay in the cache."""
_FIGURES: Final = 7


class _Bank(ctypes.Structure):
    _fields_ = integers("series sides subjects alternatives") + arrays(
        "series_of subject_of tilts growths shares figures"
    )


class _Update(ctypes.Structure):
    _fields_ = integers("count") + arrays(
        "rows log present total largest phi allowance known level reached"
    )


def library() -> ctypes.CDLL | None:
    """Return the compiled code, None where it was not built or is of another version."""
    return beside(__file__, "side_bank", LAYOUT)


class Gathered(NamedTuple):
    """What k rows have gathered since their last update, and what is spent on them now.

    `rows (k,)` are their places in arrays of all R rows, float32: `present (R, Q)` of
    `total (R, Q)` events of each series, and of each side the largest number of events that is
    tolerated, `largest (R, J)`. `phi (k, Q)` is their dispersion, +inf where it is not known yet,
    `allowance (k,)` the log of what is spent, and `known (k,)` says whether the reference knows
    the row.
    """

    rows: IntArray
    present: Single
    total: Single
    largest: Single
    phi: FloatArray
    allowance: FloatArray
    known: BoolArray


class Moved(NamedTuple):
    """What k rows say after an update.

    `level (k, S)` is the largest log M of each subject, at least 0, over the sides that can be
    judged; `reached (k,)` whether any side of the row may have reached its threshold.
    """

    level: FloatArray
    reached: BoolArray


class _Sums(NamedTuple):
    """Of sides: `present` of `total` events, divided by φ, and the share that is `tolerated`."""

    present: FloatArray
    total: FloatArray
    tolerated: FloatArray


@dataclass(frozen=True, slots=True)
class SideBank:
    """The J sides of Q series, and how what a row spends is divided among them.

    `subject_of (Q,)` is each series' subject, `shares (2, J)` the log of each side's part of a
    row's allowance: of rows that the reference does not know, and of those that it does.
    """

    sides: Sides
    subject_of: IntArray
    shares: FloatArray
    compiled: ctypes.CDLL | None = field(default_factory=library)

    def move_on(self, log: Single, gathered: Gathered) -> Moved:
        """Move log E `(R, K, J)` of rows on by what they have gathered, in place."""
        size = len(gathered.rows), int(self.subject_of[-1]) + 1
        moved = Moved(np.empty(size), np.empty(size[0], bool))
        if self.compiled is not None:
            self._move_compiled(self.compiled, log, gathered, moved)
            return moved
        some = max(BLOCK // len(self.sides), 1)
        for at in range(0, len(gathered.rows), some):
            self._move(log, gathered, slice(at, at + some), moved)
        return moved

    def gains(
        self, gathered: Gathered, at: IntArray, side: IntArray, alternative: IntArray
    ) -> FloatArray:
        """Return the log L `(n,)` of some rows' sides for one alternative each.

        `at (n,)` are places among the gathered rows.
        """
        sums = self._sums(gathered, at, side)
        result: FloatArray = gains(*sums)[np.arange(len(at)), alternative]
        return result

    def _move_compiled(
        self, compiled: ctypes.CDLL, log: Single, gathered: Gathered, moved: Moved
    ) -> None:
        assert log.shape[1:] == (ALTERNATIVES, len(self.sides))
        assert gathered.rows.min(initial=0) >= 0
        assert gathered.rows.max(initial=-1) < len(log)
        series_of, subject_of = self.sides.series, self.subject_of[self.sides.series]
        growths, figures = np.expm1(TILTS), np.empty((_FIGURES, len(self.sides)))
        bank = _Bank(
            *(len(self.subject_of), len(self.sides), moved.level.shape[1], ALTERNATIVES),
            *addresses(series_of, subject_of, TILTS, growths, self.shares, figures),
        )
        rows, present, total, largest_ones, phi, allowance, known = gathered
        given = addresses(rows, log, present, total, largest_ones, phi, allowance, known, *moved)
        order = _Update(len(rows), *given)
        compiled.streamgauge_move_on(ctypes.byref(bank), ctypes.byref(order))

    def _move(self, log: Single, gathered: Gathered, some: slice, moved: Moved) -> None:
        """Move some of the gathered rows on."""
        rows, phi = gathered.rows[some], gathered.phi[some]
        at = np.arange(len(gathered.rows))[some]
        sums = self._sums(gathered, at[:, None], np.arange(len(self.sides)))
        shares = self.shares[gathered.known[some].astype(np.intp)]
        allowance = gathered.allowance[some][:, None] + shares
        evidence = alternatives_last(log[rows].astype(np.float64))
        update(evidence, allowance[..., None], gains(*sums))
        # Where nothing is known of the dispersion yet, nothing is known of evidence either.
        evidence[~self.sides.both(np.isfinite(phi))] = -np.inf
        log[rows] = np.moveaxis(evidence, -1, 1)
        top = largest(evidence)
        # What cannot be judged only gathers allowances, and would soon not look clear any more.
        judged = self.sides.both(gathered.total[rows] > 0.0) & (sums.tolerated < 1.0)
        level = self.sides.largest(np.where(judged, np.maximum(top - allowance, 0.0), 0.0))
        starts = np.flatnonzero(np.diff(self.subject_of, prepend=-1))
        moved.level[some] = np.maximum.reduceat(level, starts, axis=1)
        moved.reached[some] = (top >= 0.0).any(axis=1)

    def _sums(self, gathered: Gathered, at: IntArray, side: IntArray) -> _Sums:
        """Return the sums of rows' sides; both kinds of places are broadcast."""
        series, row = self.sides.series[side], gathered.rows[at]
        phi, total = gathered.phi[at, series], gathered.total[row, series].astype(np.float64)
        rises, whole = gathered.present[row, series] / phi, total / phi
        falls = side >= len(self.subject_of)
        tolerated = gathered.largest[row, side] / np.maximum(total, 1.0)
        return _Sums(np.where(falls, whole - rises, rises), whole, tolerated)
