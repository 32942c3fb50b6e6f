"""Overdispersion: how much more counts vary from pane to pane than independent events would.

For pane counts k_t of n_t events over B groups with proportions p, Pearson's
X²_t = Σ_b (k_tb − n_t p_b)² / (n_t p_b) has mean B − 1 if events are independent; φ is its mean
over panes divided by B − 1. Statistics then use n/φ for n (McCullagh and Nelder, Generalized
Linear Models, §4.5).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.pearson import pooled_statistic

FEWEST_PANES = 20
"""Panes that an estimate needs; longer periods than allow this are extrapolated."""
UPPER_QUANTILE = 1.645
"""Normal quantile of the one-sided 95 % upper confidence limit that is used."""


@dataclass(frozen=True, slots=True)
class PaneTable:
    """Counts of a reference over time: `panes (P,) int64` pane numbers, `counts (P, G) int64`.

    Panes are `length_ms` long, aligned to the epoch and ascending; those without events are left
    out. The counts are folded to distance groups and special bins.
    """

    length_ms: int
    panes: IntArray
    counts: IntArray

    def copy(self) -> "PaneTable":
        """Return a table that shares no counts with this one."""
        return PaneTable(self.length_ms, self.panes, self.counts.copy())

    def coarsen(self, length_ms: int) -> "PaneTable":
        """Return the table with panes of a multiple of this one's length."""
        assert length_ms % self.length_ms == 0
        if length_ms == self.length_ms or not len(self.panes):
            return PaneTable(length_ms, self.panes, self.counts)
        coarse = self.panes // (length_ms // self.length_ms)
        starts = np.flatnonzero(np.diff(coarse, prepend=coarse[0] - 1))
        return PaneTable(length_ms, coarse[starts], np.add.reduceat(self.counts, starts, axis=0))

    def only(self, counts: IntArray) -> "PaneTable":
        """Return the table with other counts `(P, k)` for the same panes."""
        return PaneTable(self.length_ms, self.panes, counts)

    def with_panes(self, panes: IntArray) -> "PaneTable":
        """Return the table with room for these panes `(k,)` too; itself where it has them all."""
        merged = np.union1d(self.panes, panes)
        if len(merged) == len(self.panes):
            return self
        counts = np.zeros((len(merged), self.counts.shape[1]), np.int64)
        counts[np.searchsorted(merged, self.panes)] = self.counts
        return PaneTable(self.length_ms, merged, counts)

    def plus(self, other: "PaneTable") -> "PaneTable":
        """Return the sum with a table of the same length."""
        assert other.length_ms == self.length_ms
        result = self.with_panes(other.panes)
        counts = result.counts.copy()
        counts[np.searchsorted(result.panes, other.panes)] += other.counts
        return PaneTable(self.length_ms, result.panes, counts)


def dispersion(counts: IntArray) -> tuple[float, int]:
    """Return φ from pane counts `(P, B)`, and the number of panes used.

    It is the larger of two estimates: the upper 95 % limit of the mean, and the factor that brings
    the largest of P panes down to the quantile of the chi-square law that the largest of P should
    be at; busy days and quiet ones make the second the larger. Panes with fewer events than groups
    say nothing and are left out; groups without any events too. φ is never below 1.
    """
    groups = int(counts.any(axis=0).sum())
    counts = counts[counts.sum(axis=1) >= max(groups, 1)]
    counts = counts[:, counts.any(axis=0)]
    if counts.shape[1] < 2 or len(counts) < 2:
        return 1.0, len(counts)
    whole = np.broadcast_to(counts.sum(axis=0), counts.shape)
    test = pooled_statistic(counts, whole)
    freedom = np.maximum(test.groups - 1.0, 1.0)
    ratios: FloatArray = test.statistic / freedom
    error = float(ratios.std(ddof=1)) / float(np.sqrt(len(ratios)))
    tail = ratios / (chdtri(freedom, 1.0 / (len(ratios) + 1.0)) / freedom)
    return max(1.0, float(ratios.mean()) + UPPER_QUANTILE * error, float(tail.max())), len(ratios)


def dispersion_for(table: PaneTable, length_ms: int) -> float:
    """Return φ of a table's counts for windows of a given length.

    Taken at the window's own length where the reference is long enough, since slow variation shows
    only there. Longer windows scale φ − 1 with the length, as variation that persists would.
    """
    length = max(table.length_ms, length_ms // table.length_ms * table.length_ms)
    while True:
        coarse = table.coarsen(length)
        value, used = dispersion(coarse.counts)
        if used >= FEWEST_PANES or length <= table.length_ms:
            break
        length = max(table.length_ms, length // 2 // table.length_ms * table.length_ms)
    return 1.0 + (value - 1.0) * max(1.0, length_ms / length)
