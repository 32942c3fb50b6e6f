"""Partials: the additive result of aggregating some events."""

from dataclasses import dataclass, field

from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.frequent import FrequentValues


@dataclass(frozen=True, slots=True)
class Partial:
    """Statistics of some events of one model: blocks, each of one pane.

    A pane is named by its number, event time divided by the pane's length; it may have several
    blocks, which add up. `unseen` counts, by categorical feature, values that the reference never
    held.
    """

    pieces: tuple[tuple[int, Block], ...]
    unseen: dict[str, dict[str, int]] = field(default_factory=dict)


def merge(first: Partial, second: Partial) -> Partial:
    """Return the statistics of both partials' events, one block a pane, panes ascending.

    Associative and commutative; counts come out the same bits in any order.
    """
    sums: dict[int, BlockSum] = {}
    for pane, block in (*first.pieces, *second.pieces):
        if pane not in sums:
            sums[pane] = BlockSum(block.counts.shape[1], block.sums.shape[1])
        sums[pane].add(block)
    unseen: dict[str, dict[str, int]] = {}
    for part in (first.unseen, second.unseen):
        for name, counts in part.items():
            mine = unseen.setdefault(name, {})
            for value, count in counts.items():
                mine[value] = mine.get(value, 0) + count
    return Partial(tuple((pane, sums[pane].block()) for pane in sorted(sums)), unseen)


class PartialSum:
    """A growing sum of partials, which costs as much as its panes and rows, not as its additions.

    Of values that the reference never held the most frequent are kept, as everywhere.
    """

    def __init__(self, width: int, numeric: int) -> None:
        self._width = width
        self._numeric = numeric
        self._panes: dict[int, BlockSum] = {}
        self._unseen: dict[str, FrequentValues] = {}

    @property
    def cells(self) -> int:
        """How many counts it holds, over all panes and rows."""
        return self._width * sum(map(len, self._panes.values()))

    def add(self, partial: Partial) -> None:
        """Add a partial."""
        for pane, block in partial.pieces:
            total = self._panes.get(pane)
            if total is None:
                total = self._panes[pane] = BlockSum(self._width, self._numeric)
            total.add(block)
        for name, counts in partial.unseen.items():
            self._unseen.setdefault(name, FrequentValues()).add(counts)

    def take(self) -> Partial:
        """Return the sum, one block a pane, panes ascending, and begin anew."""
        panes, self._panes = self._panes, {}
        unseen, self._unseen = self._unseen, {}
        return Partial(
            tuple((pane, panes[pane].block()) for pane in sorted(panes)),
            {name: values.counts for name, values in unseen.items()},
        )
