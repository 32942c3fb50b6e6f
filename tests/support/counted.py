"""Small made-up events, and the block that a count of them one by one gives.

The values are whole numbers, so that sums of them are exact and can be compared for equality.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block

WIDTH = 3
"""Cells of the blocks; each event counts in one of them."""
NUMERIC = 2
"""Numeric fields: an event's value, and the value with the other sign."""
Moments = list[list[float]]
Counted = dict[int, tuple[list[int], Moments]]


class Small(NamedTuple):
    """One event: the pane and the row that it belongs to, its cell and its value."""

    pane: int
    row: int
    cell: int = 0
    value: int = 0


def counted(events: Iterable[Small]) -> Counted:
    """Count events one by one: per row its cells, and [Σ, Σ², least, greatest] per field."""
    found: Counted = {}
    for event in events:
        cells, moments = found.setdefault(
            event.row, ([0] * WIDTH, [[0.0, 0.0, np.inf, -np.inf] for _ in range(NUMERIC)])
        )
        cells[event.cell] += 1
        for at, value in zip(moments, (event.value, -event.value), strict=True):
            at[:] = [at[0] + value, at[1] + value**2, min(at[2], value), max(at[3], value)]
    return found


def block_of(events: Sequence[Small]) -> Block:
    """Return the block of events; its rows come in the order in which the events name them."""
    found = counted(events)
    moments = np.array([fields for _, fields in found.values()]).reshape(-1, NUMERIC, 4)
    return Block(
        rows=np.array(list(found), np.int64),
        counts=np.array([cells for cells, _ in found.values()], np.int64).reshape(-1, WIDTH),
        sums=moments[..., :2].copy(),
        extremes=moments[..., 2:].copy(),
    )


def read(block: Block) -> Counted:
    """Return what a block says of the rows that have events, as `counted` does."""
    assert len(set(block.rows.tolist())) == len(block.rows)
    order = [SUM, SUM_SQUARES], [MINIMUM, MAXIMUM]
    moments = np.concatenate([block.sums[..., order[0]], block.extremes[..., order[1]]], axis=-1)
    return {
        int(row): (block.counts[i].tolist(), moments[i].tolist())
        for i, row in enumerate(block.rows)
        if block.counts[i].any()
    }
