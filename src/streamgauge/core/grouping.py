"""Grouping: which row of counts each event falls in."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    IntArray,
)
from streamgauge.core.slices import MISSING_VALUE, Dimension, RowKey, SliceRegistry, SliceSpec

Places = npt.NDArray[np.intp]


Known = dict[tuple[str, ...], int]
"""Rows by version and values of one slice specification; those that share one are left out."""


def slice_rows(
    batch: EventBatch, spec: SliceSpec, registry: SliceRegistry, known: Known | None = None
) -> tuple[IntArray, Places]:
    """Return the registry's rows of events under one slice specification, as `compact` does.

    Those are the distinct rows, ascending, and every event's index among them. `known` is what
    earlier calls with the same specification and registry have found; it grows.
    """
    known = {} if known is None else known
    columns = [_version_column(batch)]
    columns += [_slice_column(batch, dimension) for dimension in spec.dimensions]
    distinct, places = compact(columns[0].codes)
    for column in columns[1:]:
        # Compacted at every step, the product cannot overflow however many values there are.
        before = 0 if len(distinct) == 1 else places * len(column.values)
        distinct, places = compact(before + column.codes)
    example = np.empty(len(distinct), np.intp)
    example[places] = np.arange(len(batch))
    # With thousands of slices these are the calls that take long: without a loop of Python's own.
    texts = [[*map(each.values.__getitem__, each.codes[example].tolist())] for each in columns]
    found = [*map(known.get, zip(*texts, strict=True))]
    names = [dimension.name for dimension in spec.dimensions]
    for i, values in enumerate(zip(*texts, strict=True)) if None in found else ():
        if found[i] is None:
            key = RowKey(values[0], tuple(zip(names, values[1:], strict=True)))
            found[i] = row = registry.row(key)
            if registry.keys[row] == key:
                known[values] = row
    # Values for which there is no room of their own share a row.
    rows, at = compact(np.array(found, np.int64))
    return rows, at[places]


def compact(values: IntArray | CodeArray | Places) -> tuple[IntArray, Places]:
    """Return the distinct values, ascending, and every value's index among them.

    Small ranges, the usual case, are counted instead of sorted.
    """
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, np.intp)
    low, high = int(values.min()), int(values.max())
    if low == high:
        return np.array([low], np.int64), np.zeros(len(values), np.intp)
    if high - low > 8 * len(values) + 1024:
        distinct, places = np.unique(values, return_inverse=True)
        return distinct.astype(np.int64), places
    relative = (values if low == 0 else values - low).astype(np.intp, copy=False)
    present = np.bincount(relative) > 0
    if present.all():
        return np.arange(low, high + 1), relative
    table = np.cumsum(present) - 1
    return np.flatnonzero(present).astype(np.int64) + low, table.take(relative)


def by_value(values: IntArray) -> Iterator[tuple[int, BoolArray | slice]]:
    """Yield each distinct value, ascending, and which have it; all of them as a slice."""
    if not len(values):
        return
    if values.min() == values.max():
        yield int(values[0]), slice(None)
        return
    for value in np.unique(values).tolist():
        yield value, values == value


def _version_column(batch: EventBatch) -> Categories:
    values = (*batch.version.values, "")
    return Categories(_with_last(batch.version.codes, len(values) - 1), values)


def _slice_column(batch: EventBatch, dimension: Dimension) -> Categories:
    """Return a dimension's value for every event, `(missing)` where it has none."""
    schema = batch.schema
    if dimension.bounds:
        numbers = batch.numeric[schema.numeric.index(dimension.name)]
        codes = np.searchsorted(np.asarray(dimension.bounds), numbers, side="right")
        labels = (*dimension.range_labels(), MISSING_VALUE)
        return Categories(
            np.where(np.isnan(numbers), len(labels) - 1, codes).astype(np.int32), labels
        )
    features = (*schema.categorical, *schema.boolean)
    if dimension.name in features:
        column = batch.categorical[features.index(dimension.name)]
    else:
        column = batch.tags[schema.tags.index(dimension.name)]
    values = (*column.values, MISSING_VALUE)
    return Categories(_with_last(column.codes, len(values) - 1), values)


def _with_last(codes: CodeArray, last: int) -> CodeArray:
    """Return codes `(n,)`, the last one in place of those of no value, which are negative."""
    if not len(codes) or codes.min() >= 0:
        return codes
    return np.where(codes < 0, last, codes).astype(np.int32, copy=False)
