"""Tables: where the samples of one family stand in a snapshot's arrays.

A table has a column per sample that each of its rows gets, and reads the values of many rows at
once. Nothing is read before it is decided which rows are exported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import compress
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.slices import RowKey
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.text import numbers


class Tier(IntEnum):
    """What is given up last comes first: counts, window figures with detectors, histograms."""

    COUNTS = 0
    WINDOWS = 1
    HISTOGRAMS = 2


Column = tuple[int, str, str]
"""A sample of every row: its field, its name's suffix, and its labels behind the row's.

The field is its place in the layout, -1 for none or one of those below; a field's columns of one
tier are exported together or not at all. Labels are escaped and begin with a comma, or are empty.
Not a named tuple: thousands are made for each snapshot, and a plain one takes a fifth of the time.
"""

PERFORMANCE_FIELD: Final = -2
ESTIMATE_FIELD: Final = -3
COHORT_FIELD: Final = -4
"""In the place of fields for what labels say, so that each fits in or is left out by itself."""

Reader = Callable[[IntArray], IntArray | FloatArray]
"""Takes row indices `(k,)`, gives the columns' values `(k, columns)`."""


@dataclass(frozen=True, slots=True)
class Table:
    """Samples of one metric in one tier.

    `rows` tells where a row stands in the arrays that `read` reads. Rows that are not there get no
    samples, or those of `absent` where there is such a value. NaN samples are left out.
    """

    metric: Metric
    tier: Tier
    columns: tuple[Column, ...]
    rows: Mapping[RowKey, int]
    read: Reader
    absent: int | None = None


class Chosen(NamedTuple):
    """Rows that are exported with the same fields; `positions` is None where that is all fields."""

    keys: tuple[RowKey, ...]
    positions: frozenset[int] | None = None


class Samples(NamedTuple):
    """Text of some samples, each on a line that begins with its line break, and their number."""

    text: str
    number: int


NO_SAMPLES = Samples("", 0)


@dataclass(slots=True)
class Writer:
    """Writes one model's tables as text; the names with their labels are kept for the next time."""

    _labels: Mapping[RowKey, str]
    _heads: dict[tuple[object, ...], list[str]] = field(default_factory=dict)
    _used: dict[tuple[object, ...], list[str]] = field(default_factory=dict)

    def follow(self, labels: Mapping[RowKey, str]) -> None:
        """Take other labels of rows, escaped, and forget what was kept."""
        self._labels = labels
        self._heads = {}

    def write(self, table: Table, chosen: Chosen) -> Samples:
        """Return a table's samples for the chosen rows and fields."""
        keys = tuple([key for key in chosen.keys if key in table.rows])
        here = _subset(table.columns, chosen.positions)
        if not here:
            return NO_SAMPLES
        values = table.read(np.array([table.rows[key] for key in keys], np.int64))
        if len(here) < len(table.columns):
            values = values[:, here]
        columns = tuple([table.columns[i] for i in here])
        samples = _joined(self._labelled(table.metric, columns, keys), numbers(values))
        if table.absent is None or len(keys) == len(chosen.keys):
            return samples
        rest = tuple([key for key in chosen.keys if key not in table.rows])
        heads = self._labelled(table.metric, columns, rest)
        more = _joined(heads, [str(table.absent)] * len(heads))
        return Samples(samples.text + more.text, samples.number + more.number)

    def finish(self) -> None:
        """Forget what was not written since the last time."""
        self._heads, self._used = self._used, {}

    def _labelled(
        self, metric: Metric, columns: tuple[Column, ...], keys: tuple[RowKey, ...]
    ) -> list[str]:
        """Return what stands before each value: a line break, the name, and the labels."""
        index = (metric.name, columns, keys)
        heads = self._heads.get(index)
        if heads is None:
            name = metric.name
            ends = [(f"\n{name}{suffix}{{", f"{more}}} ") for _, suffix, more in columns]
            mine = [self._labels[key] for key in keys]
            heads = [f"{before}{row}{after}" for row in mine for before, after in ends]
        self._used[index] = heads
        return heads


def _subset(columns: Sequence[Column], positions: frozenset[int] | None) -> list[int]:
    if positions is None:
        return list(range(len(columns)))
    return [i for i, (position, _, _) in enumerate(columns) if position in positions]


def _joined(heads: list[str], values: list[str] | list[str | None]) -> Samples:
    if None in values:
        there = [value is not None for value in values]
        heads = list(compress(heads, there))
        values = [value for value in values if value is not None]
    parts: list[str] = [""] * (2 * len(heads))
    parts[::2] = heads
    parts[1::2] = values  # type: ignore[assignment]
    return Samples("".join(parts), len(heads))
