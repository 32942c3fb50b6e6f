"""The last window that has its labels: whose figures will not move much any more.

Not every prediction gets a label (a flight is diverted), so a window is mature by what windows
reach at all: the median coverage of the windows that are older than the largest delay, which no
label comes for any more. The median holds while labels failed in less than half of them. A window
is mature from `SHARE` of that on, and in any case once all of it is past the largest delay: when
labels fail for good, what is known stays the figure, with its coverage beside it.
"""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.performance.intervals import Numbers, ratio

SHARE: Final = 0.95
"""Share of the coverage of aged windows from which a window is mature."""


class Matured(NamedTuple):
    """The latest mature window of each row `(rows,)`.

    It covers the steps [`end` − length, `end`); `end` is −1 where there is none, and `coverage`
    and `reachable` are NaN then. `coverage` is labelled/predicted, `reachable` what aged windows
    reach.
    """

    end: IntArray
    coverage: FloatArray
    reachable: FloatArray


def matured(
    labelled: IntArray, predicted: IntArray, aged: BoolArray, length: int, *, share: float = SHARE
) -> Matured:
    """Return the latest mature run of `length` steps of each row.

    `labelled` and `predicted (rows, T) int64` count events by step; `aged (T,) bool` says which
    steps are past the largest delay (youngest age ≥ it). Runs without predictions are not mature.
    Without an aged run a window is measured by all its predictions. Raises `ValueError` unless the
    length is positive.
    """
    if length < 1:
        raise ValueError(f"a window has one step or more, not {length}")
    rows, steps = predicted.shape
    none = np.full(rows, np.nan)
    if steps < length:
        return Matured(np.full(rows, -1), none, none)
    whole = run_sums(aged[None].astype(np.int64), length)[0] == length
    events = run_sums(predicted, length)
    coverage = ratio(run_sums(labelled, length), events)
    reachable = _median(np.where(whole, coverage, np.nan))
    reachable = np.where(np.isnan(reachable), 1.0, reachable)
    mature = (events > 0) & (whole | (coverage >= share * reachable[:, None]))
    found = mature.any(axis=1)
    place = mature.shape[1] - 1 - np.argmax(mature[:, ::-1], axis=1)
    at = coverage[np.arange(rows), place]
    return Matured(
        np.where(found, place + length, -1),
        np.where(found, at, np.nan),
        np.where(found, reachable, np.nan),
    )


def run_sums(values: Numbers, length: int) -> IntArray:
    """Return the sums of runs of `length` steps, `(rows, T − length + 1)`, of `(rows, T)`."""
    before = np.concatenate([np.zeros((len(values), 1), np.int64), values.cumsum(axis=1)], axis=1)
    sums: IntArray = before[:, length:] - before[:, :-length]
    return sums


def _median(values: FloatArray) -> FloatArray:
    """Return the median of the numbers in each row, NaN where there are none."""
    ordered = np.sort(values, axis=1)
    n = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low, high = ordered[rows, np.maximum(n - 1, 0) // 2], ordered[rows, np.maximum(n, 1) // 2]
    return np.where(n > 0, (low + high) / 2.0, np.nan)
