"""Pane feed: what rows gather of panes until their next update.

Of each series the events with the property and all of them, how many were expected, and of each
side how many would have been tolerated in the hour of the pane. Compiled code (pane_feed.c) adds
them up where it was built, a row at a time, with the same bits as numpy.
"""

import ctypes
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from streamgauge.compiled import Single, addresses, arrays, beside, integers, reals
from streamgauge.core.batch import IntArray
from streamgauge.core.detectors.sides import Sides
from streamgauge.core.detectors.tolerance import ERRORS, LEAST, Tolerance

LAYOUT: Final = 1
"""Of the structures that are handed over; pane_feed.c has the same number."""
_FIGURES: Final = 4


class _Table(ctypes.Structure):
    _fields_ = integers("width series sides") + arrays("first last whole end falling compared")


class _Tolerance(ctypes.Structure):
    _fields_ = (
        arrays("share error room")
        + reals("errors least")
        + integers("by_hour")
        + arrays("odds hour_error")
    )


class _Pane(ctypes.Structure):
    _fields_ = integers("count") + arrays(
        "rows known counts present total expected largest sums figures"
    )


def library() -> ctypes.CDLL | None:
    """Return the compiled code, None where it was not built or is of another version."""
    return beside(__file__, "pane_feed", LAYOUT)


class Sums(NamedTuple):
    """What all R rows have gathered since their last updates, float32.

    Events with the property, `present (R, Q)`, of `total (R, Q)` of each of Q series, `expected
    (R, Q)` ones of them, and of each side the largest number that is tolerated, `largest (R, J)`.
    """

    present: Single
    total: Single
    expected: Single
    largest: Single


@dataclass(frozen=True, slots=True)
class PaneFeed:
    """Adds panes' counts to what rows gather, by what is `tolerance`."""

    tolerance: Tolerance
    sides: Sides
    compiled: ctypes.CDLL | None = field(default_factory=library)

    def add(
        self, sums: Sums, rows: IntArray, known: IntArray, counts: IntArray, start: int
    ) -> None:
        """Add the counts `(k, W)` of a pane that began at `start` (ms) to the sums of `rows (k,)`.

        Rows are distinct; `known (k,)` are those of the reference, −1 where it has none.
        """
        if self.compiled is not None and self.tolerance.table.expected is None:
            self._add_compiled(self.compiled, sums, rows, known, counts, start)
            return
        present, total = self.tolerance.table.counts(counts)
        bounds = self.tolerance.bounds(known, start)
        if self.tolerance.table.expected is not None:
            shares = self.tolerance.table.expected_shares(counts)
            bounds = self.tolerance.with_expected(bounds, known, shares)
        sums.present[rows] += present
        sums.total[rows] += total
        sums.expected[rows] += bounds.expected * total
        # In memory the sides are apart, and this takes no copy of them.
        rises, falls = np.moveaxis(bounds.largest, -1, 0)
        sums.largest[rows] += self.sides.joined(rises * total, falls * total)

    def _add_compiled(
        self,
        compiled: ctypes.CDLL,
        sums: Sums,
        rows: IntArray,
        known: IntArray,
        counts: IntArray,
        start: int,
    ) -> None:
        own, table = self.tolerance, self.tolerance.table
        assert rows.min(initial=0) >= 0
        assert rows.max(initial=-1) < len(sums.total)
        assert known.max(initial=-1) < len(own.share)
        hour = own.hour(start)
        handed_table = _Table(
            *(counts.shape[1], len(table.series), len(self.sides)),
            *addresses(table.first, table.last, table.whole, table.end),
            *addresses(self.sides.falling, table.compared),
        )
        tolerance = _Tolerance(
            *addresses(own.share, own.error, own.room),
            *(ERRORS, LEAST, hour is not None),
            *(() if hour is None else addresses(hour.odds, hour.variance)),
        )
        cells = np.empty(counts.shape[1] + 1, np.int64)
        figures = np.empty((_FIGURES, len(table.series)))
        pane = _Pane(len(rows), *addresses(rows, known, counts, *sums, cells, figures))
        compiled.streamgauge_feed(*map(ctypes.byref, (handed_table, tolerance, pane)))
