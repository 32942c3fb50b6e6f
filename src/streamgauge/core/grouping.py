"""Grouping: which row of counts each event falls in."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.compiled import addresses
from streamgauge.core.batch import MISSING_CODE, BoolArray, CodeArray, EventBatch, IntArray
from streamgauge.core.counting import library
from streamgauge.core.slices import MISSING_VALUE, Dimension, RowKey, SliceRegistry, SliceSpec

CELLS_AN_EVENT, FEW_CELLS = 8, 1_024
"""Cells that are gone through to see which of them have events: so many an event, and some more."""

Places = npt.NDArray[np.intp]


class Known:
    """Rows that were found under one slice specification, by version and values.

    Those that several share are left out.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], dict[str, int]] = {}
        """By version and values, the last of them apart."""
        self._table: tuple[str, tuple[str, ...], IntArray] | None = None

    def find(self, texts: Sequence[Sequence[str]]) -> IntArray:
        """Return the rows `(G,)` of versions and values `(1 + dimensions, G)`, -1 of new ones."""
        found = (
            self._rows.get(each[:-1], {}).get(each[-1], -1) for each in zip(*texts, strict=True)
        )
        return np.fromiter(found, np.int64, len(texts[0]))

    def table(self, version: str, column: "_Column") -> IntArray:
        """Return the rows of all values `(values + 1,)` of one dimension, as `find` does."""
        last = self._table
        if last is None or last[0] != version or last[1] is not column.values:
            rows = self._rows.get((version,), {})
            found = [*map(rows.get, (*column.values, column.missing), repeat(-1))]
            self._table = last = version, column.values, np.array(found, np.int64)
        return last[2]

    def add(self, texts: tuple[str, ...], row: int) -> None:
        """Know one more."""
        self._rows.setdefault(texts[:-1], {})[texts[-1]] = row
        self._table = None


class _Column(NamedTuple):
    """A column as slices see it: codes below zero are of the value `missing`."""

    codes: npt.NDArray[np.signedinteger]
    values: tuple[str, ...]
    missing: str

    def texts(self, events: npt.NDArray[np.intp]) -> list[str]:
        """Return the values of some events."""
        values = (*self.values, self.missing)
        # Without a loop of Python's own: there may be thousands.
        return [*map(values.__getitem__, np.maximum(self.codes[events], -1).tolist())]


class Groups(NamedTuple):
    """Events in groups: the `places (n,)` of each, and the `last (G,)` event in each group."""

    places: npt.NDArray[np.signedinteger]
    last: npt.NDArray[np.intp]


def version_groups(batch: EventBatch) -> Groups:
    """Return the events of each version."""
    everywhere = np.zeros(len(batch), np.int32)
    return parted(everywhere, 1, batch.version.codes, len(batch.version.values) + 1)


def slice_rows(
    batch: EventBatch,
    spec: SliceSpec,
    registry: SliceRegistry,
    known: Known | None = None,
    versions: Groups | None = None,
) -> tuple[IntArray, CodeArray]:
    """Return the registry's rows of events under one slice specification.

    Those are the distinct rows, ascending, and every event's index among them. `known` is what
    earlier calls with the same specification and registry have found; it grows. `versions` are the
    batch's, found here where they are not given.
    """
    known = Known() if known is None else known
    columns = [_version_column(batch)]
    columns += [_slice_column(batch, dimension) for dimension in spec.dimensions]
    versions = version_groups(batch) if versions is None else versions
    groups = versions
    for column in columns[1:]:
        many = len(column.values) + 1
        groups = parted(groups.places, len(groups.last), column.codes, many)
    if len(columns) == 2 and len(versions.last) == 1:
        (version,) = columns[0].texts(versions.last)
        table = known.table(version, columns[1])
        found = table[np.maximum(columns[1].codes[groups.last], -1)]
    else:
        found = known.find([column.texts(groups.last) for column in columns])
    new = np.flatnonzero(found < 0)
    if len(new):
        # In the order in which they first come, whatever codes they have.
        new = new[np.argsort(_first(groups)[new])]
        names = [dimension.name for dimension in spec.dimensions]
        texts = [column.texts(groups.last[new]) for column in columns]
        for i, values in zip(new.tolist(), zip(*texts, strict=True), strict=True):
            key = RowKey(values[0], tuple(zip(names, values[1:], strict=True)))
            found[i] = row = registry.row(key)
            if registry.keys[row] == key:
                known.add(values, row)
    # Values for which there is no room of their own share a row.
    rows, at = compact(found)
    return rows, at.astype(np.int32)[groups.places]


def _first(groups: Groups) -> npt.NDArray[np.intp]:
    """Return the first event in each group `(G,)`."""
    n = len(groups.places)
    first = np.empty(len(groups.last), np.intp)
    first[groups.places[::-1]] = np.arange(n)[::-1]
    return first


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


def distinct(numbers: CodeArray) -> list[int]:
    """Return the distinct ones of small numbers, none below 0, ascending."""
    return np.flatnonzero(np.bincount(numbers)).tolist()


def by_value(values: IntArray) -> Iterator[tuple[int, BoolArray | slice]]:
    """Yield each distinct value, ascending, and which have it; all of them as a slice."""
    if not len(values):
        return
    if values.min() == values.max():
        yield int(values[0]), slice(None)
        return
    for value in np.unique(values).tolist():
        yield value, values == value


def _version_column(batch: EventBatch) -> _Column:
    """Return every event's version."""
    return _Column(batch.version.codes, batch.version.values, "")


def _slice_column(batch: EventBatch, dimension: Dimension) -> _Column:
    """Return a dimension's value for every event."""
    schema = batch.schema
    if dimension.bounds:
        numbers = batch.numeric[schema.numeric.index(dimension.name)]
        codes = np.searchsorted(np.asarray(dimension.bounds), numbers, side="right")
        codes[np.isnan(numbers)] = MISSING_CODE
        return _Column(codes, dimension.range_labels(), MISSING_VALUE)
    features = (*schema.categorical, *schema.boolean)
    if dimension.name in features:
        column = batch.categorical[features.index(dimension.name)]
    else:
        column = batch.tags[schema.tags.index(dimension.name)]
    return _Column(column.codes, column.values, MISSING_VALUE)
