"""Batches of one schema as one batch, and a batch's events in another order."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamgauge.core.batch import Categories, CodeArray, EventBatch, IntArray, NumericFaults


def concatenated(batches: Sequence[EventBatch]) -> EventBatch:
    """Return the events of batches of one schema, one or more, as one batch in their order.

    >>> concatenated([batch]) is batch  # doctest: +SKIP
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
        version=one_column([batch.version for batch in batches]),
        numeric=np.concatenate([batch.numeric for batch in batches], axis=1),
        faults=NumericFaults(
            feature=np.concatenate([each.feature for each in faults]),
            row=np.concatenate(rows).astype(np.int32),
            fault=np.concatenate([each.fault for each in faults]),
        ),
        categorical=_columns([batch.categorical for batch in batches]),
        tags=_columns([batch.tags for batch in batches]),
        prediction=one_column(classes) if classes else np.concatenate(numbers),
        score=np.concatenate([batch.score for batch in batches]),
        latency=np.concatenate([batch.latency for batch in batches]),
        ok=np.concatenate([batch.ok for batch in batches]),
    )


def _columns(batches: Sequence[tuple[Categories, ...]]) -> tuple[Categories, ...]:
    return tuple(map(one_column, zip(*batches, strict=True)))


def one_column(columns: Sequence[Categories]) -> Categories:
    """Columns, one or more, as one with the values of all, in the order they are first named.

    They are the first column's object where the others have none besides.
    """
    first, *others = columns
    codes, place = [first.codes], {value: code for code, value in enumerate(first.values)}
    for column in others:
        if column.values == first.values:
            codes.append(column.codes)
            continue
        found = [place.setdefault(value, len(place)) for value in column.values]
        codes.append(recoded(column.codes, np.array(found, np.int32)))
    values = first.values if len(place) == len(first.values) else tuple(place)
    return Categories(np.concatenate(codes), values)


def reordered(batch: EventBatch, order: IntArray) -> EventBatch:
    """The events of a batch without labels in an order, a permutation `(n,)` of their places."""
    assert batch.label is None
    new_place = np.empty(len(order), np.int32)
    new_place[order] = np.arange(len(order), dtype=np.int32)
    prediction = batch.prediction
    return replace(
        batch,
        timestamp=batch.timestamp[order],
        partition=batch.partition[order],
        version=batch.version.take(order),
        numeric=batch.numeric[:, order],
        faults=replace(batch.faults, row=new_place[batch.faults.row]),
        categorical=tuple(column.take(order) for column in batch.categorical),
        tags=tuple(column.take(order) for column in batch.tags),
        prediction=prediction.take(order)
        if isinstance(prediction, Categories)
        else prediction[order],
        score=batch.score[order],
        latency=batch.latency[order],
        ok=batch.ok[order],
    )


def recoded(codes: CodeArray, table: CodeArray) -> CodeArray:
    """Codes by a table of those there were; those below zero, of what is no value, stay."""
    if not len(table):
        return codes
    return np.where(codes >= 0, table[np.maximum(codes, 0)], codes)
