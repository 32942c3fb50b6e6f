"""Contributions: what one process has counted of a model, under names that another one knows too.

Row numbers mean something within one process alone. A contribution brings the key of every row, and
whoever takes it gives those keys rows of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.partial import Partial
from streamgauge.core.slices import OVERFLOW_VALUE, RowKey, SliceRegistry


class Contribution(NamedTuple):
    """What was counted of one model: row i of its blocks is about `keys[i]`.

    `last_event` is the newest event time (ms) among its events, None where it has none.
    """

    keys: tuple[RowKey, ...]
    partial: Partial
    last_event: int | None


def contribution(partial: Partial, keys: Sequence[RowKey], last_event: int | None) -> Contribution:
    """Return a partial with the keys of the rows that it has, out of all of a registry's `keys`."""
    rows = [block.rows for _, block in partial.pieces]
    used = np.unique(np.concatenate(rows)) if rows else np.empty(0, np.int64)
    pieces = tuple(
        (pane, block._replace(rows=np.searchsorted(used, block.rows).astype(np.int64)))
        for pane, block in partial.pieces
    )
    named = tuple(keys[row] for row in used.tolist())
    return Contribution(named, Partial(pieces, partial.unseen), last_event)


def admitted(found: Contribution, registry: SliceRegistry) -> Partial:
    """Return a contribution's partial in the rows of a registry, which takes in its keys.

    The registry's caps hold over all contributions: keys past them share an overflow row, in which
    their statistics are added up.
    """
    rows = rows_of(found.keys, registry)
    pieces = ((pane, _in_rows(block, rows)) for pane, block in found.partial.pieces)
    return Partial(tuple(pieces), found.partial.unseen)


def rows_of(keys: Sequence[RowKey], registry: SliceRegistry) -> IntArray:
    """Return the registry's row of every key `(n,) int64`, new ones where there is room."""
    return np.array([_row(key, registry) for key in keys], np.int64)


def _row(key: RowKey, registry: SliceRegistry) -> int:
    """Return a key's row; an overflow row of another registry takes up no room in this one."""
    known = registry.find(key)
    if known is not None:
        return known
    overflown = any(value == OVERFLOW_VALUE for _, value in key.slice)
    if overflown and registry.find(RowKey(key.version)) is not None:
        registry.readmit(key)
    return registry.row(key)


def _in_rows(block: Block, rows: IntArray) -> Block:
    """Return a block with its rows replaced; those that become one are added up."""
    renamed = block._replace(rows=rows[block.rows])
    first, places = np.unique(renamed.rows, return_index=True)
    if len(first) == len(renamed.rows):
        return renamed
    total = BlockSum(block.counts.shape[1], block.sums.shape[1], block.extremes.shape[1])
    rest = np.arange(len(renamed.rows))
    while len(rest):
        # Every round takes the first that is left of each row: rows of a block are distinct.
        total.add(renamed.take(places))
        rest = np.setdiff1d(rest, places)
        _, at = np.unique(renamed.rows[rest], return_index=True)
        places = rest[at]
    return total.copy()
