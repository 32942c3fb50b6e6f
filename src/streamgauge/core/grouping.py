"""Grouping: which row of counts each event falls in."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses
from streamgauge.core.batch import (
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    IntArray,
)
from streamgauge.core.counting import library
from streamgauge.core.slices import MISSING_VALUE, Dimension, RowKey, SliceRegistry, SliceSpec

CELLS_AN_EVENT, FEW_CELLS = 8, 1_024
"""Cells that are gone through to see which of them have events: so many an event, and some more."""

Places = npt.NDArray[np.intp]


Known = dict[tuple[str, ...], dict[str, int]]
"""Rows by version and values of one slice specification, the last of them apart.

Those that share one are left out.
"""


class Groups(NamedTuple):
    """Events in groups: the `places (n,)` of each, and the `last (G,)` event in each group."""

    places: npt.NDArray[np.signedinteger]
    last: npt.NDArray[np.intp]


def version_groups(batch: EventBatch) -> Groups:
    """Return the events of each version."""
    column = _version_column(batch)
    everywhere = np.zeros(len(batch), np.int32)
    return parted(everywhere, 1, column.codes, len(column.values))


def slice_rows(
    batch: EventBatch,
    spec: SliceSpec,
    registry: SliceRegistry,
    known: Known | None = None,
    versions: Groups | None = None,
) -> tuple[IntArray, Places]:
    """Return the registry's rows of events under one slice specification, as `compact` does.

    Those are the distinct rows, ascending, and every event's index among them. `known` is what
    earlier calls with the same specification and registry have found; it grows. `versions` are the
    batch's, found here where they are not given.
    """
    known = {} if known is None else known
    columns = [_version_column(batch)]
    columns += [_slice_column(batch, dimension) for dimension in spec.dimensions]
    versions = version_groups(batch) if versions is None else versions
    groups = versions
    for column in columns[1:]:
        groups = parted(groups.places, len(groups.last), column.codes, len(column.values))
    # With thousands of slices these are the calls that take long: without a loop of Python's own.
    texts = []
    for column in columns:
        codes = np.maximum(column.codes[groups.last], -1)  # of all that is missing the last
        texts.append([*map(column.values.__getitem__, codes.tolist())])
    last = texts[-1]
    if len(columns) == 2 and len(versions.last) == 1:
        found: list[int | None] = [*map(known.setdefault((texts[0][0],), {}).get, last)]
    else:
        found = [known.setdefault(each[:-1], {}).get(each[-1]) for each in zip(*texts, strict=True)]
    names = [dimension.name for dimension in spec.dimensions]
    for i, values in enumerate(zip(*texts, strict=True)) if None in found else ():
        if found[i] is None:
            key = RowKey(values[0], tuple(zip(names, values[1:], strict=True)))
            found[i] = row = registry.row(key)
            if registry.keys[row] == key:
                known[values[:-1]][values[-1]] = row
    # Values for which there is no room of their own share a row.
    rows, at = compact(np.array(found, np.int64))
    return rows, at[groups.places]


def parted(
    places: npt.NDArray[np.signedinteger],
    groups: int,
    codes: npt.NDArray[np.signedinteger],
    many: int,
) -> Groups:
    """Part so many groups, in which events have `places (n,)`, by `codes (n,)`.

    Codes are below `many`; negative ones are the last. Groups come in the order of those before,
    and of codes.
    """
    compiled, n = library(), len(codes)
    if compiled is not None and groups * many <= FEW_CELLS + CELLS_AN_EVENT * n:
        places = np.ascontiguousarray(places, np.int32)
        codes = np.ascontiguousarray(codes, np.int32)
        assert len(places) == n
        table, new = np.zeros(groups * many, np.int32), np.empty(n, np.int32)
        last = np.empty(min(groups * many, n), np.intp)
        before = addresses(places)[0] if groups > 1 else None
        given = before, groups, *addresses(codes), many, *addresses(table, new, last)
        count = compiled.streamgauge_part(n, *given)
        assert count >= 0, "every event has a group and a code"
        return Groups(new, last[:count])
    # Compacted at every step, the product cannot overflow however many values there are.
    cells = places.astype(np.int64) * many + np.where(codes < 0, many - 1, codes)
    distinct, found = compact(cells)
    last = np.empty(len(distinct), np.intp)
    last[found] = np.arange(n)
    return Groups(found, last)


def compact(values: IntArray | CodeArray | Places) -> tuple[IntArray, Places]:
    """Return the distinct values, ascending, and every value's index among them.

    Small ranges, the usual case, are counted instead of sorted.
    """
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, np.intp)
    low, high = int(values.min()), int(values.max())
    if low == high:
        return np.array([low], np.int64), np.zeros(len(values), np.intp)
    if high - low > CELLS_AN_EVENT * len(values) + FEW_CELLS:
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
    """Return every event's version, of which a missing one is the last value."""
    return Categories(batch.version.codes, (*batch.version.values, ""))


def _slice_column(batch: EventBatch, dimension: Dimension) -> Categories:
    """Return a dimension's value for every event, of which a missing one is the last."""
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
    return Categories(column.codes, (*column.values, MISSING_VALUE))
