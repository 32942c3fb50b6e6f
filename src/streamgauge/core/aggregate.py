"""Aggregate: columnar events to partials, with no Python loop over events.

Every field gives each event one cell of its slice row. Adding the row's place to the cell turns
counting into one `bincount` per slice specification over all fields at once.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    MISSING_CODE,
    WRONG_TYPE_CODE,
    Categories,
    EventBatch,
    FloatArray,
    IntArray,
)
from streamgauge.core.bins import FAULT_BIN, CategoricalBins, NumericBins
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.layout import (
    LABEL,
    LATENCY,
    PREDICTION,
    SCORE,
    STATUS,
    Layout,
    Subject,
    SubjectKind,
)
from streamgauge.core.partial import Partial
from streamgauge.core.slices import (
    MISSING_VALUE,
    Dimension,
    RowKey,
    SliceRegistry,
    SliceSpec,
)

CHUNK = 8_192
"""Events aggregated at once: bounds the working memory whatever the batch."""
LARGEST = 1e150
"""Values are clipped to ± this in sums, so that one absurd value cannot make them infinite."""

Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Columns:
    """A batch as cells and numbers.

    `cells (K, n)` absolute cells of the K fields that prediction events fill; the first `always`
    of them count for every event, the rest for served ones. Of the layout's M numeric fields:
    `shifted (M, n)` the finite values less their centre and `squares (M, n)` its squares, 0 where
    there is none; `low` and `high (M, n)` the values, +inf and -inf where there is none.
    """

    cells: Codes
    always: int
    shifted: FloatArray
    squares: FloatArray
    low: FloatArray
    high: FloatArray


class Aggregator:
    """Counts batches of one model into partials.

    `slices` are counted besides the whole of each version. The registry is the only state, and it
    only grows.
    """

    def __init__(
        self,
        layout: Layout,
        slices: tuple[SliceSpec, ...],
        registry: SliceRegistry,
        pane_ms: int,
    ) -> None:
        self.layout = layout
        self.slices = slices
        self.registry = registry
        self.pane_ms = pane_ms

    def aggregate(self, batch: EventBatch) -> Partial:
        """Return the statistics of a batch."""
        columns = _columns(self.layout, batch)
        panes, pane_codes = _compact(batch.timestamp // self.pane_ms)
        pieces: list[tuple[int, Block]] = []
        for spec in (SliceSpec(()), *self.slices):
            rows = self._rows(batch, spec)
            stride = len(self.registry)
            places = pane_codes * stride + rows
            for first in range(0, len(batch), CHUNK):
                part = slice(first, first + CHUNK)
                cells, local = _compact(places[part])
                block = self._block(columns, batch.ok[part], part, cells % stride, local)
                pieces += [
                    (int(panes[code]), piece) for code, piece in _split(cells // stride, block)
                ]
        return Partial(tuple(pieces), self._unseen(batch))

    def _unseen(self, batch: EventBatch) -> dict[str, dict[str, int]]:
        schema = batch.schema
        found = {}
        for name, column in zip(
            (*schema.categorical, *schema.boolean), batch.categorical, strict=True
        ):
            position = self.layout.position(Subject(SubjectKind.FEATURE, name))
            assert position is not None
            bins = self.layout.fields[position].bins
            assert isinstance(bins, CategoricalBins)
            values = bins.unseen_values(column, batch.ok)
            if values:
                found[name] = values
        return found

    def _block(
        self,
        columns: Columns,
        ok: npt.NDArray[np.bool_],
        part: slice,
        rows: IntArray,
        places: Codes,
    ) -> Block:
        width, size = self.layout.width, len(rows)
        cells = columns.cells[:, part]
        if ok.all():
            counts = np.bincount((cells + places * width).ravel(), minlength=size * width)
        else:
            served = cells[columns.always :, ok] + places[ok] * width
            every = cells[: columns.always] + places * width
            counts = np.bincount(
                np.concatenate([served.ravel(), every.ravel()]), minlength=size * width
            )
        order = np.argsort(places, kind="stable")
        starts = np.searchsorted(places[order], np.arange(size))
        sums = np.empty((size, len(columns.shifted), 2))
        extremes = np.empty((size, len(columns.shifted), 2))
        if len(columns.shifted):
            order += part.start
            for target, ufunc, source in (
                (sums[..., SUM], np.add, columns.shifted),
                (sums[..., SUM_SQUARES], np.add, columns.squares),
                (extremes[..., MINIMUM], np.minimum, columns.low),
                (extremes[..., MAXIMUM], np.maximum, columns.high),
            ):
                target[...] = ufunc.reduceat(source[:, order], starts, axis=1).T
        return Block(rows, counts.reshape(size, width), sums, extremes)

    def _rows(self, batch: EventBatch, spec: SliceSpec) -> IntArray:
        """Return the row number of every event under one slice specification `(n,) int64`."""
        columns = [_version_column(batch)]
        columns += [_slice_column(batch, dimension) for dimension in spec.dimensions]
        combined = np.zeros(len(batch), np.int64)
        for column in columns:
            combined = combined * len(column.values) + column.codes
        distinct, places = _compact(combined)
        names = [dimension.name for dimension in spec.dimensions]
        rows = np.empty(len(distinct), np.int64)
        for i, code in enumerate(distinct.tolist()):
            values: list[str] = []
            for column in reversed(columns):
                code, digit = divmod(code, len(column.values))
                values.append(column.values[digit])
            version = values.pop()
            values.reverse()
            rows[i] = self.registry.row(RowKey(version, tuple(zip(names, values, strict=True))))
        return rows[places]


def _columns(layout: Layout, batch: EventBatch) -> Columns:
    """Return the cell of every event in every field that prediction events fill."""
    schema = batch.schema
    codes: dict[int, Codes] = {}
    numbers = np.full((len(layout.numeric), len(batch)), np.nan)
    categorical = dict(zip((*schema.categorical, *schema.boolean), batch.categorical, strict=True))
    numeric = {name: i for i, name in enumerate(schema.numeric)}
    moment = {position: i for i, position in enumerate(layout.numeric)}
    for position, (start, field) in enumerate(layout):
        subject, bins = field.subject, field.bins
        if subject == STATUS:
            codes[position] = start + (~batch.ok).astype(np.intp)
            continue
        source: Categories | FloatArray
        if subject == LATENCY:
            source = batch.latency
        elif subject == SCORE:
            source = batch.score
        elif subject == PREDICTION:
            source = batch.prediction
        elif subject == LABEL:
            if batch.label is None:
                continue
            source = batch.label
        elif subject.kind is not SubjectKind.FEATURE:
            continue
        elif subject.name in numeric:
            source = batch.numeric[numeric[subject.name]]
        else:
            source = categorical[subject.name]
        if isinstance(source, Categories):
            assert isinstance(bins, CategoricalBins)
            codes[position] = start + bins.assign(source)
            continue
        assert isinstance(bins, NumericBins)
        cell = start + bins.assign(source)
        if subject.kind is SubjectKind.FEATURE and len(batch.faults.row):
            mine = batch.faults.feature == numeric[subject.name]
            for fault, special in FAULT_BIN.items():
                rows = batch.faults.row[mine & (batch.faults.fault == fault)]
                cell[rows] = start + bins.value_bins + special
        codes[position] = cell
        numbers[moment[position]] = source
    if not batch.ok.all():
        # Latency counts for every event, everything else numeric only for served ones.
        for i, position in enumerate(layout.numeric):
            if layout.fields[position].subject != LATENCY:
                numbers[i, ~batch.ok] = np.nan
    cells = np.array([codes[position] for position in sorted(codes)], np.intp)
    centers = np.array([_center(layout, position) for position in layout.numeric])
    present = np.isfinite(numbers)
    clipped = np.clip(numbers, -LARGEST, LARGEST)
    shifted = np.where(present, clipped - centers.reshape(-1, 1), 0.0)
    return Columns(
        cells,
        2,
        shifted,
        shifted * shifted,
        np.where(present, numbers, np.inf),
        np.where(present, numbers, -np.inf),
    )


def _center(layout: Layout, position: int) -> float:
    bins = layout.fields[position].bins
    assert isinstance(bins, NumericBins)
    return bins.center


def _compact(values: IntArray | Codes) -> tuple[IntArray, Codes]:
    """Return the distinct values, ascending, and every value's index among them.

    Small ranges, the usual case, are counted instead of sorted.
    """
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, np.intp)
    low, high = int(values.min()), int(values.max())
    if high - low > 8 * len(values) + 1024:
        distinct, places = np.unique(values, return_inverse=True)
        return distinct.astype(np.int64), places
    relative = values - low
    present = np.bincount(relative, minlength=high - low + 1) > 0
    table = np.cumsum(present) - 1
    return np.flatnonzero(present).astype(np.int64) + low, table[relative]


def _split(keys: IntArray, block: Block) -> list[tuple[int, Block]]:
    """Split a block where its ascending keys `(k,)` change."""
    bounds = [*np.flatnonzero(np.diff(keys, prepend=-1)).tolist(), len(keys)]
    return [(int(keys[low]), block.take(slice(low, high))) for low, high in pairwise(bounds)]


def _version_column(batch: EventBatch) -> Categories:
    values = (*batch.version.values, "")
    # An absent version has a negative code, which becomes the last value.
    codes = np.where(batch.version.codes < 0, len(values) - 1, batch.version.codes)
    return Categories(codes, values)


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
    absent = (column.codes == MISSING_CODE) | (column.codes == WRONG_TYPE_CODE)
    return Categories(np.where(absent, len(values) - 1, column.codes), values)
