"""One pass: all columns of some events counted by one call of compiled code (counting.c).

What it counts are the blocks of `cells`, where numpy takes some thirty calls for each column.
"""

import ctypes
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses
from streamgauge.core.batch import BoolArray, Categories, EventBatch
from streamgauge.core.bins import FAULT_BIN, CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import MAXIMUM, MINIMUM, Block
from streamgauge.core.cells import Also, Wanted, counts_dtype
from streamgauge.core.columns import Column, Sources
from streamgauge.core.counting import HandedColumn, HandedMember, HandedTally, count
from streamgauge.core.layout import Grouped, Layout
from streamgauge.core.remembered import Remembered

WIDEST: Final = np.iinfo(np.int16).max
"""Bins that a field has at most."""


class OnePass:
    """Counts events in the cells of a layout, and of one that has fewer bins for slices.

    For one thread: what it hands over is the same memory each time.
    """

    def __init__(self, compiled: ctypes.CDLL, layout: Layout, grouped: Grouped) -> None:
        self._compiled = compiled
        self._layout = layout
        self._fewer = grouped.layout
        self._tables = [
            None if table is None else table.astype(np.int16) for table in grouped.tables
        ]
        self._widest = max(item.bins.width for item in layout.fields)
        self._sources = Sources(layout, layout.schema)
        self._columns = (HandedColumn * len(layout.fields))()
        self._of_codes = [
            Remembered(partial(_bins_of_codes, item.bins))
            if isinstance(item.bins, CategoricalBins)
            else None
            for item in layout.fields
        ]
        moments = {position: i for i, position in enumerate(layout.numeric)}
        for position, (column, table) in enumerate(zip(self._columns, self._tables, strict=True)):
            item, fewer = layout.fields[position], self._fewer.fields[position]
            column.start, column.width = layout.starts[position], item.bins.width
            column.fewer_start, column.fewer_width = self._fewer.starts[position], fewer.bins.width
            if table is not None:
                (column.fewer,) = addresses(table)
            column.served = self._sources.served[position]
            if isinstance(item.bins, NumericBins):
                column.lookup = item.bins.handed()
                column.center = item.bins.center
                column.moment = moments[position]
                first = item.bins.value_bins
                column.missing = first + Special.MISSING
                column.above = first + Special.POSITIVE_INFINITY
                column.below = first + Special.NEGATIVE_INFINITY

    @staticmethod
    def can(layout: Layout) -> bool:
        """Whether no field has too many bins for it."""
        return all(item.bins.width <= WIDEST for item in layout.fields)

    def count(
        self, batch: EventBatch, part: slice, wanted: Sequence[Wanted], also: Also
    ) -> list[list[tuple[int, Block]]]:
        """Return the blocks of all that is wanted of a part of a batch, with their panes' codes."""
        n, ok = part.stop - part.start, batch.ok[part]
        kept: list[Any] = []
        fields = self._fill(batch, part, kept)
        assert len(ok) == n
        assert all(len(each.crossed.places) == n for each in wanted)
        bins = np.empty((len(self._layout.fields), n if also else 0), np.int16)
        for position, column in enumerate(self._columns):
            column.bins = addresses(bins[position])[0] if also else None
        dtype = counts_dtype(n)
        found = [
            _Counted(each, self._fewer if each.fewer else self._layout, dtype) for each in wanted
        ]
        not_ok = None if ok.all() else ~ok
        tallies = (HandedTally * len(found))(
            *(each.handed(not_ok, self._widest, kept) for each in found)
        )
        columns = (HandedColumn * len(fields))(*(self._columns[position] for position in fields))
        count(self._compiled, n, columns, tallies, dtype)
        for position in fields if also else ():
            served = self._sources.served[position]
            its = bins[position] if not_ok is None or not served else bins[position][ok]
            for call in also:
                call(part, Column(position, its, None, served))
        return [[*each.blocks()] for each in found]

    def _fill(self, batch: EventBatch, part: slice, kept: list[Any]) -> list[int]:
        """Hand over what the batch has; return the positions of the fields that it fills."""
        if batch.schema != self._sources.schema:
            self._sources = Sources(self._layout, batch.schema)
        fields, n = [], part.stop - part.start
        for position, values in enumerate(self._sources.of(batch)):
            if values is None:
                continue
            fields.append(position)
            column, find = self._columns[position], self._of_codes[position]
            if isinstance(values, Categories):
                assert find is not None
                of_codes = find(values.values)
                codes = np.ascontiguousarray(values.codes[part], np.int32)
                assert len(codes) == n
                column.codes, column.of_codes = addresses(codes, of_codes)
                column.many = len(of_codes)
                kept += codes, of_codes
            else:
                assert find is None
                numbers = np.ascontiguousarray(values[part], np.float64)
                assert len(numbers) == n
                (column.numbers,) = addresses(numbers)
                kept.append(numbers)
            column.faults = 0
        if len(batch.faults.row):
            self._fill_faults(batch, part, kept)
        return fields

    def _fill_faults(self, batch: EventBatch, part: slice, kept: list[Any]) -> None:
        faults, numbers = batch.faults, self._sources.number
        mine = np.flatnonzero((faults.row >= part.start) & (faults.row < part.stop))
        if not len(mine):
            return
        mine = mine[np.lexsort((faults.row[mine], faults.feature[mine]))]
        rows = (faults.row[mine] - part.start).astype(np.int32)
        specials = _SPECIALS[faults.fault[mine]]
        features, starts = np.unique(faults.feature[mine], return_index=True)
        ends = [*starts[1:].tolist(), len(mine)]
        for feature, start, end in zip(features.tolist(), starts.tolist(), ends, strict=True):
            if feature not in numbers:
                continue
            position = numbers.index(feature)
            bins = self._layout.fields[position].bins
            its = rows[start:end], specials[start:end] + np.int16(bins.value_bins)
            column = self._columns[position]
            column.faults = end - start
            column.fault_rows, column.fault_bins = addresses(*its)
            kept += its


def _bins_of_codes(bins: CategoricalBins, values: Sequence[str]) -> npt.NDArray[np.int16]:
    """Return the bin of each code of a dictionary, from the least negative code on."""
    # Negative codes are the last of the table.
    return np.roll(bins.table(values), 2).astype(np.int16)


_SPECIALS: Final = np.zeros(max(FAULT_BIN) + 1, np.int16)
"""Special bins by fault."""
_SPECIALS[[*FAULT_BIN]] = [*FAULT_BIN.values()]


class _Counted:
    """What is counted of one tally: the statistics of each member's rows."""

    def __init__(self, wanted: Wanted, layout: Layout, dtype: npt.DTypeLike) -> None:
        self.wanted = wanted
        self._dtype = dtype
        moments = len(layout.numeric)
        self._shape = layout.width, moments
        self._rows = []
        for member in wanted.crossed.members:
            size = len(member.keys)
            extremes = np.empty((size, 0 if wanted.fewer else moments, 2))
            extremes[..., MINIMUM], extremes[..., MAXIMUM] = np.inf, -np.inf
            counts, sums = np.zeros((size, layout.width), dtype), np.zeros((size, moments, 2))
            self._rows.append((counts, sums, extremes))

    def handed(self, not_ok: BoolArray | None, widest: int, kept: list[Any]) -> HandedTally:
        """Return what this is handed over as, with memory for the places of one column.

        `not_ok (n,)` tells which events were not served, None where all were.
        """
        crossed = self.wanted.crossed
        place = np.ascontiguousarray(crossed.places, np.int32)
        served = place if not_ok is None else np.where(not_ok, np.int32(crossed.size), place)
        members = (HandedMember * len(crossed.members))()
        for handed, member, arrays in zip(members, crossed.members, self._rows, strict=True):
            rows = member.places.astype(np.int32)
            handed.size = len(member.keys)
            handed.rows, handed.counts, handed.sums = addresses(rows, *arrays[:2])
            if not self.wanted.fewer:
                (handed.extremes,) = addresses(arrays[2])
            kept.append(rows)
        counts = np.empty((crossed.size + 1, widest), self._dtype)
        sums, extremes = np.empty((2, crossed.size + 1, 2))
        kept += place, served, members, counts, sums, extremes
        tally = HandedTally(crossed.size, *addresses(place, served), self.wanted.fewer)
        tally.width, tally.moments = self._shape
        tally.members, tally.member = len(members), ctypes.addressof(members)
        tally.counts, tally.sums = addresses(counts, sums)
        if not self.wanted.fewer:
            (tally.extremes,) = addresses(extremes)
        return tally

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the statistics of each pane, with the pane's code."""
        for member, arrays in zip(self.wanted.crossed.members, self._rows, strict=True):
            yield from member.where.by_pane(member.keys, *arrays)
