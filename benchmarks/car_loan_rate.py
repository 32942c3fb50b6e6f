"""Streams without a change, and the largest sensitivity that keeps a rate of false alarms on them.

What is measured is the same for everyone: events of the analysis part before its change, in random
order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.data.car_loan import CHANGE, PANE

ALLOWED = 1
"""False alarms over all series that are allowed in the streams without a change."""


class Outcome(NamedTuple):
    """What a method found at a setting: `false_alarms` in the streams without a change.

    `alarms` are, by column, the numbers of events of the analysis part after which it alarmed.
    """

    method: str
    setting: str
    false_alarms: int
    alarms: Mapping[str, Sequence[int]]

    @property
    def early(self) -> int:
        """Alarms before the change."""
        return sum(place <= CHANGE for places in self.alarms.values() for place in places)

    def delay(self, column: str) -> int | None:
        """Return the events from the change to a column's first alarm, None without one."""
        after = [place - CHANGE for place in self.alarms.get(column, ()) if place > CHANGE]
        return min(after, default=None)


def unchanged(analysis: pd.DataFrame, panes: int) -> Iterator[pd.DataFrame]:
    """Yield streams without a change, of so many panes in all."""
    rng = np.random.default_rng(1)
    for begin in range(0, panes * PANE, CHANGE):
        size = min(CHANGE, panes * PANE - begin)
        yield analysis.iloc[rng.permutation(CHANGE)[:size]].reset_index(drop=True)


def most_sensitive(settings: Sequence[float], alarms: Callable[[float], int]) -> tuple[float, int]:
    """Return the first of some settings with few enough false alarms, and how many it has.

    The settings are in order, the most sensitive first; the last is taken for granted.
    """
    low, high = 0, len(settings) - 1
    found = alarms(settings[high])
    while low < high:
        middle = (low + high) // 2
        count = alarms(settings[middle])
        if count <= ALLOWED:
            high, found = middle, count
        else:
            low = middle + 1
    return settings[high], found
