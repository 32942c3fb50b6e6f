"""Groups: the events of one pane and row together, and groups that are made of others."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.grouping import Places, compact


class Groups(NamedTuple):
    """Where n events fall under one slice specification.

    Shapes: `rows (k,) int64` and `panes (k,) int64` are each group's row and the code of its pane,
    panes ascending; `at (n,) intp` is each event's group.
    """

    rows: IntArray
    panes: IntArray
    at: Places

    @classmethod
    def of(cls, rows: IntArray, panes: IntArray | Places) -> Self:
        """Group events by row `(n,) int64` and pane code `(n,)`."""
        known, places = compact(rows)
        if not panes.any():
            return cls(known, np.zeros(len(known), np.int64), places)
        keys, at = compact(panes * len(known) + places)
        pane, row = np.divmod(keys, len(known))
        return cls(known[row], pane, at)


def finest(groups: Sequence[Groups], worth: int) -> tuple[int | None, Places]:
    """Find groups that those of the whole version are made of.

    Of the groups at most `worth` in number, return the place of the fewest each of which lies
    within one of `groups[0]`, and in which one `(k,) intp`; None where there are none.
    """
    whole = groups[0].at
    for place in sorted(range(1, len(groups)), key=lambda i: len(groups[i].rows)):
        mine = groups[place]
        if len(mine.rows) > worth:
            break
        member = np.empty(len(mine.rows), np.intp)
        member[mine.at] = whole
        if np.array_equal(member[mine.at], whole):
            return place, member
    return None, np.empty(0, np.intp)


def merged(
    counts: IntArray, sums: FloatArray, member: Places, size: int
) -> tuple[IntArray, FloatArray]:
    """Return the statistics of `size` groups made of others; `member` says which is in which."""
    if size == 1:
        return counts.sum(axis=0, keepdims=True), sums.sum(axis=0, keepdims=True)
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(size))
    return np.add.reduceat(counts[order], starts), np.add.reduceat(sums[order], starts)
