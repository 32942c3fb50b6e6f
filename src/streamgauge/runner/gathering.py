"""Gathering: small batches of events that come one after the other become one large one.

Counting a batch has a price of its own, which Arrow batches of some thousand rows pay too often.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

import numpy as np

from streamgauge.core.batch import Categories, EventBatch, NumericFaults

LARGE: Final = 40_000
"""Events of one batch, from which on more would gain little."""

Add = Callable[[EventBatch, Sequence[str]], None]


class Gathering:
    """Batches of each model that wait for more; all must be `released` before any other is added.

    `add` takes the large batches, with the ids of their events.
    """

    def __init__(self, add: Add) -> None:
        self._add = add
        self._waiting: dict[str, list[tuple[EventBatch, Sequence[str]]]] = {}

    def take(self, batch: EventBatch, ids: Sequence[str]) -> None:
        """Take a batch, and pass it on with those before once they are large together."""
        name = batch.schema.model
        waiting = self._waiting.setdefault(name, [])
        waiting.append((batch, ids))
        if sum(len(each) for each, _ in waiting) >= LARGE:
            self._release(name)

    def release(self) -> None:
        """Pass on all that wait."""
        for name in list(self._waiting):
            self._release(name)

    def _release(self, name: str) -> None:
        waiting = self._waiting.pop(name)
        ids = [ids for _, ids in waiting]
        together = ids[0] if len(ids) == 1 else list(chain.from_iterable(ids))
        self._add(joined([batch for batch, _ in waiting]), together)


def joined(batches: Sequence[EventBatch]) -> EventBatch:
    """Return the events of batches of one schema, one or more, as one batch in their order.

    >>> joined([batch]) is batch  # doctest: +SKIP
    True
    """
    first = batches[0]
    if len(batches) == 1:
        return first
    assert all(batch.schema == first.schema for batch in batches)
    begins = np.cumsum([0, *map(len, batches)])
    faults = [batch.faults for batch in batches]
    rows = [each.row + begin for each, begin in zip(faults, begins.tolist(), strict=False)]
    numbers = [b.prediction for b in batches if not isinstance(b.prediction, Categories)]
    classes = [b.prediction for b in batches if isinstance(b.prediction, Categories)]
    assert not (numbers and classes)
    return EventBatch(
        schema=first.schema,
        timestamp=np.concatenate([batch.timestamp for batch in batches]),
        partition=np.concatenate([batch.partition for batch in batches]),
        version=_joined([batch.version for batch in batches]),
        numeric=np.concatenate([batch.numeric for batch in batches], axis=1),
        faults=NumericFaults(
            feature=np.concatenate([each.feature for each in faults]),
            row=np.concatenate(rows).astype(np.int32),
            fault=np.concatenate([each.fault for each in faults]),
        ),
        categorical=_all_joined([batch.categorical for batch in batches]),
        tags=_all_joined([batch.tags for batch in batches]),
        prediction=_joined(classes) if classes else np.concatenate(numbers),
        score=np.concatenate([batch.score for batch in batches]),
        latency=np.concatenate([batch.latency for batch in batches]),
        ok=np.concatenate([batch.ok for batch in batches]),
    )


def _all_joined(columns: Sequence[tuple[Categories, ...]]) -> tuple[Categories, ...]:
    return tuple(map(_joined, zip(*columns, strict=True)))


def _joined(columns: Sequence[Categories]) -> Categories:
    """One column with the values of all, in the order in which they are first named."""
    values = columns[0].values
    if all(column.values == values for column in columns):
        return Categories(np.concatenate([column.codes for column in columns]), values)
    place = {value: code for code, value in enumerate(dict.fromkeys(_values(columns)))}
    codes = []
    for column in columns:
        # The codes below zero, of what is no value, stay what they are.
        table = np.array([place[value] for value in column.values] or [0], np.int32)
        known = column.codes >= 0
        codes.append(np.where(known, table[np.where(known, column.codes, 0)], column.codes))
    return Categories(np.concatenate(codes).astype(np.int32, copy=False), tuple(place))


def _values(columns: Sequence[Categories]) -> list[str]:
    return [value for column in columns for value in column.values]
