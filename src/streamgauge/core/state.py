"""State: what has to outlive the process, in parts that are written only when they changed.

Everything that lasts gives its parts and takes them back. A part is plain data under a key; its
token changes whenever the data would differ, so that a checkpoint writes no more than what is new.
What a restored owner does from then on is what the original would have done, to the bit.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamgauge.core.blocks import Block, BlockSum

Plain = Any
"""None, bool, int, float, str, bytes, numpy arrays of numbers, and lists and dicts (with keys that
are str) of these."""


class Part(NamedTuple):
    """One piece of state: its key, what tells that it changed, and how to get it."""

    key: str
    token: object
    """Compared by equality with that of the last checkpoint."""
    data: Callable[[], Plain]
    """Called at once, if at all: what it returns may share memory with the owner."""


Kept = Mapping[str, Plain]
"""The data of parts by key."""


class Lasting(Protocol):
    """Something whose state outlives the process."""

    def parts(self) -> Iterator[Part]:
        """Yield all parts; keys are distinct and those that are left out are forgotten."""
        ...

    def restore(self, kept: Kept) -> None:
        """Take back the parts of an owner of the same specification, before any event."""
        ...


def below(prefix: str, parts: Iterator[Part]) -> Iterator[Part]:
    """Yield parts with `prefix/` before their keys."""
    for part in parts:
        yield part._replace(key=f"{prefix}/{part.key}")


def within(prefix: str, kept: Kept) -> dict[str, Plain]:
    """Return the parts whose keys begin with `prefix/`, without it."""
    start = f"{prefix}/"
    return {key.removeprefix(start): data for key, data in kept.items() if key.startswith(start)}


def block_data(block: Block) -> Plain:
    """Return a block as plain data, counts in the smallest dtype."""
    small = block.compact()
    return {
        "rows": small.rows,
        "counts": small.counts,
        "sums": small.sums,
        "extremes": small.extremes,
    }


def block_of(data: Plain) -> Block:
    """Return the block that `block_data` made plain."""
    return Block(np.asarray(data["rows"], np.int64), data["counts"], data["sums"], data["extremes"])


def refill(total: BlockSum, data: Plain) -> None:
    """Add what `block_data` made plain to an empty sum: rows get the places they had."""
    total.add(block_of(data))
