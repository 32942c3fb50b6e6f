"""Profiling: one look at every value of a column, in bounded memory, before its bins are fitted."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamgauge.core.batch import Categories, FloatArray

SAMPLE: Final = 131_072
"""Values kept of a column at most; the quantiles of so many are off by about 0.14 % of rank."""
SAMPLE_TOTAL: Final = 1 << 24
"""Values kept of all columns together at most."""
FEWEST: Final = 4_096
MAX_DISTINCT: Final = 100_000
"""Distinct texts counted in a column at most."""
LARGEST: Final = 1e150
"""Values are clipped to ± this in moments, whose squares are finite then."""


def sample_size(columns: int) -> int:
    """Return how many values to keep of each of some columns."""
    return max(FEWEST, min(SAMPLE, SAMPLE_TOTAL // max(1, columns)))


class RowKeys:
    """Random keys in [0, 1) for rows in their order, the same however they are divided."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)

    def next(self, n: int) -> FloatArray:
        """Return the keys of the next rows `(n,)`."""
        return self._generator.random(n)


class UniformSample:
    """Of the values seen, those with the smallest keys: each is as likely as any other.

    The sample is the same however the values are divided into batches.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._bound = math.inf
        self._kept: list[tuple[FloatArray, FloatArray]] = []
        self._count = 0

    def add(self, values: FloatArray, keys: FloatArray) -> None:
        """Take values `(n,)` with their keys `(n,)` into account."""
        if self._bound < math.inf:
            chosen = np.flatnonzero(keys < self._bound)
            values, keys = values[chosen], keys[chosen]
        self._kept.append((values.copy(), keys.copy()))
        self._count += len(values)
        if self._count > 2 * self._size:
            self._shrink()

    def values(self) -> FloatArray:
        """Return the sample `(k,)`, k at most the size."""
        self._shrink()
        return self._kept[0][0]

    def _shrink(self) -> None:
        values = np.concatenate([values for values, _ in self._kept] or [np.empty(0)])
        keys = np.concatenate([keys for _, keys in self._kept] or [np.empty(0)])
        if len(keys) > self._size:
            order = np.argpartition(keys, self._size)
            self._bound = float(keys[order[self._size]])
            values, keys = values[order[: self._size]], keys[order[: self._size]]
        self._kept = [(values, keys)]
        self._count = len(values)


@dataclass(slots=True)
class NumericSummary:
    """The finite values of a numeric column: exact extremes and moments, and a sample.

    Moments merge by batch (Chan, Golub, LeVeque, 1983), so that no large sums cancel.
    """

    sample: UniformSample
    count: int = 0
    mean: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    whole: bool = True
    """Whether all values so far are integers."""
    _squares: float = 0.0
    """Σ(x − mean)²."""

    @property
    def std(self) -> float:
        """Return the standard deviation (of the population); 0 without values."""
        return min(math.sqrt(self._squares / self.count), LARGEST) if self.count else 0.0

    def add(self, values: FloatArray, keys: FloatArray) -> None:
        """Take values `(n,)` with the keys of their rows into account; only finite ones count."""
        finite = np.isfinite(values)
        if not finite.all():
            values, keys = values[finite], keys[finite]
        n = len(values)
        if not n:
            return
        self.sample.add(values, keys)
        low, high = float(values.min()), float(values.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self.whole = self.whole and bool((values == np.floor(values)).all())
        if low < -LARGEST or high > LARGEST:
            values = np.clip(values, -LARGEST, LARGEST)
        mean = float(values.mean())
        shifted = values - mean
        delta = mean - self.mean
        total = self.count + n
        # Not a dot product, for which numpy starts threads that wait for each other.
        np.square(shifted, out=shifted)
        self._squares += float(shifted.sum()) + delta * delta * (self.count * n / total)
        self.mean += delta * (n / total)
        self.count = total


@dataclass(slots=True)
class CategorySummary:
    """The texts of a column and how often each occurs.

    Past `limit` distinct ones, new texts are no longer taken up and `complete` is False; the
    counts of those known stay exact.
    """

    limit: int = MAX_DISTINCT
    counts: Counter[str] = field(default_factory=Counter)
    complete: bool = True

    def add(self, column: Categories) -> None:
        """Count the values of a column."""
        held = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
        for code in np.flatnonzero(held).tolist():
            value = column.values[code]
            if value not in self.counts and len(self.counts) >= self.limit:
                self.complete = False
                continue
            self.counts[value] += int(held[code])
