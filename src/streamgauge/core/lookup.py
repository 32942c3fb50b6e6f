"""Lookup: the bin of a value in a few array steps instead of a binary search.

The range of the edges is cut into equal cells. Rounded subtraction, multiplication and truncation
never decrease, so a value in a cell lies above every edge of the cells before it and below every
edge of the cells after it. A cell with one edge needs one comparison; the few cells with more,
and those at both ends, are searched. The result is that of the search, bit for bit.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses
from streamgauge.core.batch import FloatArray
from streamgauge.core.counting import LookUp, library, look_up

CELLS: Final = 4_096
FEWEST_EDGES: Final = 24
"""With fewer edges a search is as fast."""
MOST_CROWDED: Final = 0.2
"""Share of edges in cells with several of them, up to which the table pays."""
BLOCK: Final = 8_192
"""Values looked up at a time: what is made of them on the way stays in the processor's cache."""
_OUTER: Final = 3
"""Edges at each end that do not stretch the range: far tails would empty the cells."""
_SEVERAL: Final = -2
"""Stays below zero also where one is added."""
_BOUND: Final = 2.0**62
"""Below this a float becomes an integer as such."""


class EdgeLookup:
    """Finds, like `searchsorted(edges, values, side="right")`, how many edges are at or below.

    `edges` ascend strictly and are finite, but for the last, which may be infinite.
    """

    def __init__(self, edges: FloatArray) -> None:
        self._compiled = library()
        self._edges = np.ascontiguousarray(edges)
        self._next = np.append(self._edges, np.nan)
        """The next edge after so many: of a cell without one it lies in a later cell."""
        self._table = False
        if not FEWEST_EDGES <= len(edges) < np.iinfo(np.int16).max:
            return
        low, high = float(edges[_OUTER]), float(edges[-1 - _OUTER])
        with np.errstate(over="ignore", divide="ignore"):
            self._low, self._factor = low, float(CELLS / np.float64(high - low))
        if not (0.0 < self._factor < np.inf):
            return
        cells = np.maximum(self._cells(edges), 0)
        held = np.bincount(cells, minlength=CELLS)
        if held[held > 1].sum() > MOST_CROWDED * len(edges):
            return
        self._table = True
        self._base = np.searchsorted(cells, np.arange(CELLS)).astype(np.int16)
        """Number of edges in the cells before; below zero where there are several in one."""
        self._base[held > 1] = _SEVERAL
        self._crowded = bool((held > 1).any())

    def bins(
        self, values: FloatArray, extremes: tuple[float, float] | None = None
    ) -> npt.NDArray[np.intp]:
        """Return the number of edges at or below each value `(n,)`; arbitrary for NaN.

        `extremes` are the least and the greatest value, which spare a step where they are known.
        """
        if self._compiled is not None:
            return look_up(self._compiled, self.handed(), values)
        if not self._table:
            return self._edges.searchsorted(values, side="right")
        bounded = extremes is not None and all(
            abs(value - self._low) * self._factor < _BOUND for value in extremes
        )
        bins = np.empty(len(values), np.intp)
        for first in range(0, len(values), BLOCK):
            part = slice(first, first + BLOCK)
            self._look_up(values[part], bins[part], bounded=bounded)
        return bins

    def handed(self) -> LookUp:
        """Return what compiled code needs, made anew: a copy of it would not follow its arrays."""
        (edges,) = addresses(self._next)
        if not self._table:
            return LookUp(0.0, 0.0, 0, None, edges, len(self._edges))
        return LookUp(
            self._low, self._factor, CELLS, *addresses(self._base), edges, len(self._edges)
        )

    def _look_up(
        self, values: FloatArray, bins: npt.NDArray[np.intp], *, bounded: bool = False
    ) -> None:
        """Write the bins of some values."""
        cells = self._cells(values, bounded=bounded)
        bins[...] = self._base.take(cells, mode="clip")
        bins += values >= self._next.take(bins, mode="clip")
        if self._crowded:
            crowded = np.flatnonzero(bins < 0)
            bins[crowded] = self._edges.searchsorted(values[crowded], side="right")

    def _cells(self, values: FloatArray, *, bounded: bool = False) -> npt.NDArray[np.intp]:
        """Return the cells of values; what is before the first is clipped where it is looked up.

        So is what is after the last where the values are `bounded`: they become integers as such.
        """
        # Infinities, NaN and overflow end up in the outer cells, so they need no warning.
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values - self._low
            scaled *= self._factor
            if not bounded:
                np.fmin(scaled, CELLS - 1, out=scaled)
            return scaled.astype(np.intp)
