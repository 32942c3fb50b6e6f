"""Timeline: counts of the whole over time, by hour of the week and by pane.

What is kept is folded to distance groups and special bins, and bounded however long the period is:
the longer it is, the longer the panes.
"""

from itertools import accumulate
from typing import Any, Final

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.bins import fold_table
from streamgauge.core.columns import Column
from streamgauge.core.grouping import compact
from streamgauge.core.layout import Layout, folded_widths
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.zone import UTC_ZONE, Zone

HOUR_MS: Final = 3_600_000
HOURS_OF_WEEK: Final = 168
_MONDAY_SHIFT: Final = 72
"""Hours from Monday 00:00 to the epoch's Thursday 00:00."""
PANE_HOURS: Final = (1, 2, 6, 12, 24, 168)
"""Lengths of the panes; each divides the next, so coarser tables add up exactly."""
MOST_PANES: Final = 512

Span = tuple[int, int]
"""First and last event time in milliseconds."""


def hour_of_week(timestamp: IntArray, zone: Zone = UTC_ZONE) -> IntArray:
    """Return the hour of the week (0 is Monday 00:00 in the zone) of times in milliseconds."""
    hours: IntArray = (zone.local(timestamp) // HOUR_MS + _MONDAY_SHIFT) % HOURS_OF_WEEK
    return hours


def pane_length(span: Span) -> int:
    """Return the shortest pane in milliseconds with which a span has few enough panes.

    Weeks at most, which a span of more than ten years has more of.
    """
    for hours in PANE_HOURS[:-1]:
        length = hours * HOUR_MS
        if span[1] // length - span[0] // length < MOST_PANES:
            return length
    return PANE_HOURS[-1] * HOUR_MS


class Timeline:
    """Counts events over time: by hour of the week in a zone, and by pane in UTC.

    For each batch `begin` is called first, then `add` with its columns. The result does not depend
    on the order of the batches or of the events in them.
    """

    def __init__(self, layout: Layout, zone: Zone = UTC_ZONE) -> None:
        widths = folded_widths(layout)
        ends = list(accumulate(widths))
        self._cells = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
        self._folds = [fold_table(item.bins) for item in layout.fields]
        self._zone = zone
        self.span: Span | None = None
        self.hour_of_week: IntArray = np.zeros((HOURS_OF_WEEK, ends[-1]), np.int64)
        """Counts `(168, G) int64` of all events so far."""
        self.panes = PaneTable(HOUR_MS, np.empty(0, np.int64), np.zeros((0, ends[-1]), np.int64))

    def begin(self, timestamp: IntArray, ok: BoolArray) -> None:
        """Make room for a batch's events `(n,)`, at least one; `ok` tells which were served."""
        first, last = int(timestamp.min()), int(timestamp.max())
        if self.span is not None:
            first, last = min(first, self.span[0]), max(last, self.span[1])
        self.span = (first, last)
        length = pane_length(self.span)
        if length > self.panes.length_ms:
            self.panes = self.panes.coarsen(length)
        panes, places = compact(timestamp // length)
        self.panes = self.panes.with_panes(panes)
        self._ok = ok
        self._hours = hour_of_week(timestamp, self._zone)
        self._rows = np.searchsorted(self.panes.panes, panes)
        self._places = places

    def data(self) -> dict[str, Any]:
        """Return everything by name."""
        return {
            "span": None if self.span is None else [*self.span],
            "hour_of_week": self.hour_of_week,
            "length_ms": self.panes.length_ms,
            "panes": self.panes.panes,
            "counts": self.panes.counts,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on as an earlier one. Raises ValueError where the layout was another."""
        panes, counts, hours = (
            np.array(data[name], np.int64) for name in ("panes", "counts", "hour_of_week")
        )
        width = self.hour_of_week.shape[1]
        if counts.shape != (len(panes), width) or hours.shape != self.hour_of_week.shape:
            raise ValueError(f"counts are {counts.shape} and {hours.shape}, not of {width} cells")
        self.span = None if data["span"] is None else (data["span"][0], data["span"][1])
        self.hour_of_week = hours
        self.panes = PaneTable(data["length_ms"], panes, counts)

    def add(self, part: slice, column: Column) -> None:
        """Count one column of a part of the batch."""
        served = self._ok[part] if column.served else None
        folded = self._folds[column.position].take(column.bins)
        cells = self._cells[column.position]
        width = cells.stop - cells.start
        for table, rows, places in (
            (self.hour_of_week, slice(None), self._hours[part]),
            (self.panes.counts, self._rows, self._places[part]),
        ):
            size = HOURS_OF_WEEK if isinstance(rows, slice) else len(rows)
            at = places if served is None or served.all() else places[served]
            counts = np.bincount(at * width + folded, minlength=size * width)
            table[rows, cells] += counts.reshape(size, width)
