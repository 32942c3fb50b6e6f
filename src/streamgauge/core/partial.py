"""Partials: the additive result of aggregating some events."""

from dataclasses import dataclass, field

from streamgauge.core.blocks import Block, BlockSum


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
