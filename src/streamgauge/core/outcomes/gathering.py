"""Gathering: pairs that are counted together, a hundred polls at a time.

Counting some pairs costs a pass over all cells of every row and pane that they touch, and labels
touch many panes. So the usual ones are kept until there are many, or until somebody looks.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.joining.records import Joined
from streamgauge.recycled import recycled_here

MOST: Final = 1 << 16
"""Pairs that are kept at most, some 100 bytes each."""


class Gathered:
    """Pairs that still have to be counted."""

    def __init__(self) -> None:
        self._kept: list[Joined] = []
        self._size = 0
        self.first_time: int | None = None
        """The earliest label time (ms) among the pairs, None where there are none."""

    @property
    def full(self) -> bool:
        """Whether it is time to count them."""
        return self._size >= MOST

    def add(self, joined: Joined) -> None:
        """Keep pairs; n at least 1."""
        self._kept.append(joined)
        self._size += len(joined.sign)
        first = int(joined.label_time.min())
        self.first_time = first if self.first_time is None else min(self.first_time, first)

    def take(self) -> Joined | None:
        """Return all pairs that were kept, in their order, and keep none."""
        if not self._kept:
            return None
        kept, self._kept, self._size, self.first_time = self._kept, [], 0, None
        return kept[0] if len(kept) == 1 else Joined(*map(_in_one, zip(*kept, strict=True)))


def _in_one(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    shape = sum(map(len, parts)), *parts[0].shape[1:]
    return np.concatenate(parts, out=recycled_here().empty(shape, parts[0].dtype))
