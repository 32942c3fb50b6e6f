"""Contributions: what one process has counted of a model, under names that another one knows too.

Row numbers mean something within one process alone. A contribution brings the key of every row, and
whoever takes it gives those keys rows of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import CodeArray, IntArray
from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.partial import Partial
from streamgauge.core.slices import OVERFLOW_VALUE, RowKey, SliceRegistry


class Contribution(NamedTuple):
    """What was counted of one model: row i of its blocks is about `keys[i]`.

    `last_event` is the newest event time (ms) among its events, None where it has none. Where the
    model has labels, `new` are the predictions that may get one, `joined` are pairs, in the order
    in which they came, and `grown` is by how much the counts of the join have grown.
    """

    keys: tuple[RowKey, ...]
    partial: Partial
    last_event: int | None
    new: Pending | None = None
    joined: Joined | None = None
    grown: Mapping[str, int] = MappingProxyType({})

    def narrowed(self) -> "Contribution":
        """Return the same with no keys but those of the rows that it has."""
        arrays: list[IntArray | CodeArray] = []
        arrays += [block.rows for _, block in self.partial.pieces + self.partial.fine]
        arrays += [some.rows.ravel() for some in (self.new, self.joined) if some is not None]
        used = np.unique(np.concatenate(arrays)) if arrays else np.empty(0, np.int64)
        places = np.zeros(len(self.keys), np.int64)
        places[used] = np.arange(len(used))
        return self.in_rows(places, tuple(self.keys[row] for row in used.tolist()))

    def in_rows(self, rows: IntArray, keys: tuple[RowKey, ...]) -> "Contribution":
        """Return the same in rows `rows (len(self.keys),)`, which are about `keys`."""
        pieces, fine = (
            tuple((pane, _in_rows(block, rows)) for pane, block in blocks)
            for blocks in (self.partial.pieces, self.partial.fine)
        )
        of_events = rows.astype(np.int32)
        return Contribution(
            keys,
            Partial(pieces, self.partial.unseen, fine),
            self.last_event,
            None if self.new is None else self.new._replace(rows=of_events[self.new.rows]),
            None if self.joined is None else self.joined._replace(rows=of_events[self.joined.rows]),
            self.grown,
        )


def admitted(found: Contribution, registry: SliceRegistry) -> Contribution:
    """Return a contribution in the rows of a registry, which takes in its keys.

    The registry's caps hold over all contributions: keys past them share an overflow row, in which
    their statistics are added up.
    """
    rows = np.array([_row(key, registry) for key in found.keys], np.int64)
    return found.in_rows(rows, tuple(registry.keys))


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
