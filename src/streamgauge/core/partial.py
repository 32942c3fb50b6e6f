"""Partials: the additive result of aggregating some events."""

from dataclasses import dataclass, field

from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.frequent import FrequentValues

Pieces = tuple[tuple[int, Block], ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """Statistics of some events of one model: blocks, each of one pane.

    A pane is named by its number, event time divided by the pane's length; it may have several
    blocks, which add up. `unseen` counts, by categorical feature, values that the reference never
    held. `fine` are blocks of the rows of whole versions alone, in finer cells than the `pieces`
    that slices are counted in, too; there are none where all rows are counted alike.
    """

    pieces: Pieces
    unseen: dict[str, dict[str, int]] = field(default_factory=dict)
    fine: Pieces = ()


def merge(first: Partial, second: Partial) -> Partial:
    """Return the statistics of both partials' events, one block a pane, panes ascending.

    Associative and commutative; counts come out the same bits in any order.
    """
    unseen: dict[str, dict[str, int]] = {}
    for part in (first.unseen, second.unseen):
        for name, counts in part.items():
            mine = unseen.setdefault(name, {})
            for value, count in counts.items():
                mine[value] = mine.get(value, 0) + count
    return Partial(_added(first.pieces + second.pieces), unseen, _added(first.fine + second.fine))


def _added(pieces: Pieces) -> Pieces:
    sums: dict[int, BlockSum] = {}
    _add(sums, pieces)
    return _summed(sums)


def _add(sums: dict[int, BlockSum], pieces: Pieces) -> None:
    for pane, block in pieces:
        if pane not in sums:
            sums[pane] = BlockSum(*(array.shape[1] for array in block[1:]))
        sums[pane].add(block)


def _summed(sums: dict[int, BlockSum]) -> Pieces:
    return tuple((pane, sums[pane].block()) for pane in sorted(sums))


class PartialSum:
    """A growing sum of partials, which costs as much as its panes and rows, not as its additions.

    Of values that the reference never held the most frequent are kept, as everywhere.
    """

    def __init__(self) -> None:
        self._panes: dict[int, BlockSum] = {}
        self._fine: dict[int, BlockSum] = {}
        self._unseen: dict[str, FrequentValues] = {}

    @property
    def cells(self) -> int:
        """How many counts it holds, over all panes and rows."""
        sums = (*self._panes.values(), *self._fine.values())
        return sum(each.width * len(each) for each in sums)

    def add(self, partial: Partial) -> None:
        """Add a partial."""
        _add(self._panes, partial.pieces)
        _add(self._fine, partial.fine)
        for name, counts in partial.unseen.items():
            self._unseen.setdefault(name, FrequentValues()).add(counts)

    def take(self) -> Partial:
        """Return the sum, one block a pane, panes ascending, and begin anew."""
        found = Partial(
            _summed(self._panes),
            {name: values.counts for name, values in self._unseen.items()},
            _summed(self._fine),
        )
        self._panes, self._fine, self._unseen = {}, {}, {}
        return found
