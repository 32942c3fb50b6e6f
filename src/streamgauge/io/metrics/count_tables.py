"""Tables over a model's counters: counts and histograms since the start."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import CategoricalBins, NumericBins, Special, fold
from streamgauge.core.layout import LATENCY, PREDICTION, SCORE, STATUS, STATUS_ERROR
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import Counters
from streamgauge.io.metrics import catalogue
from streamgauge.io.metrics.field_labels import FieldLabels, has_sum, is_feature
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.tables import Column, Table, Tier


class _CellColumn(NamedTuple):
    """A column that is the sum of some cells."""

    column: Column
    cells: Sequence[int]


@dataclass(frozen=True, slots=True)
class CountTables:
    """Makes the tables of one model's counters."""

    labels: FieldLabels
    rows: Mapping[RowKey, int]
    counts: IntArray
    sums: FloatArray

    @classmethod
    def of(cls, counters: Counters, labels: FieldLabels) -> "CountTables":
        """Return the maker for some counters."""
        rows = {key: row for row, key in enumerate(counters.rows)}
        return cls(labels, rows, counters.counts, counters.sums)

    def for_versions(self) -> Iterator[Table]:
        """Yield the tables of whole versions."""
        yield from self._traffic(catalogue.PREDICTIONS, catalogue.PREDICTION_ERRORS)
        yield from self._outputs()
        everywhere = self._features()
        yield self._cells(catalogue.FEATURE_VALUES, [self._all(i) for i in everywhere])
        yield self._special(catalogue.FEATURE_MISSING, everywhere, Special.MISSING)
        yield self._special(catalogue.FEATURE_WRONG_TYPE, everywhere, Special.WRONG_TYPE)
        numeric = self._features(NumericBins)
        yield self._special(
            catalogue.FEATURE_NOT_FINITE,
            numeric,
            Special.NAN,
            Special.POSITIVE_INFINITY,
            Special.NEGATIVE_INFINITY,
        )
        yield self._cells(catalogue.FEATURE_OUT_OF_RANGE, [self._outer(i) for i in numeric])
        categorical = self._features(CategoricalBins)
        yield self._cells(catalogue.FEATURE_UNSEEN, [self._unseen(i) for i in categorical])
        for position in numeric:
            yield self._histogram(catalogue.FEATURE_VALUE, position)

    def for_slices(self) -> Iterator[Table]:
        """Yield the tables of slices."""
        yield from self._traffic(catalogue.SLICE_PREDICTIONS, catalogue.SLICE_PREDICTION_ERRORS)
        yield self._special(catalogue.SLICE_FEATURE_MISSING, self._features(), Special.MISSING)

    def _traffic(self, total: Metric, errors: Metric) -> Iterator[Table]:
        position = self.labels.layout.position(STATUS)
        assert position is not None, "every layout counts statuses"
        yield self._cells(total, [self._all(position)])
        cell = self.labels.layout.starts[position] + STATUS_ERROR
        yield self._cells(errors, [_CellColumn((position, "", ""), [cell])])

    def _outputs(self) -> Iterator[Table]:
        layout = self.labels.layout
        if (position := layout.position(PREDICTION)) is not None:
            if isinstance(layout.fields[position].bins, NumericBins):
                yield self._histogram(catalogue.PREDICTION_VALUE, position)
            else:
                _, cells = self._all(position)
                columns = [
                    _CellColumn((position, "", label), [cell])
                    for label, cell in zip(self.labels.classes, cells, strict=True)
                ]
                yield self._cells(catalogue.PREDICTION_VALUES, columns)
        if (position := layout.position(SCORE)) is not None:
            yield self._special(catalogue.SCORE_MISSING, [position], Special.MISSING)
            yield self._histogram(catalogue.SCORE_VALUE, position)
        if (position := layout.position(LATENCY)) is not None:
            yield self._histogram(catalogue.LATENCY, position)

    def _features(self, kind: type | None = None) -> list[int]:
        fields = enumerate(self.labels.layout.fields)
        return [
            position
            for position, field in fields
            if is_feature(field) and (kind is None or isinstance(field.bins, kind))
        ]

    def _column(self, position: int) -> Column:
        return position, "", self.labels.features[position]

    def _all(self, position: int) -> _CellColumn:
        cells = self.labels.layout.cells(position)
        return _CellColumn(self._column(position), range(cells.start, cells.stop))

    def _outer(self, position: int) -> _CellColumn:
        first = self.labels.layout.starts[position]
        last = first + self.labels.layout.fields[position].bins.value_bins - 1
        return _CellColumn(self._column(position), [first, last])

    def _unseen(self, position: int) -> _CellColumn:
        layout = self.labels.layout
        bins = layout.fields[position].bins
        assert isinstance(bins, CategoricalBins)
        return _CellColumn(self._column(position), [layout.starts[position] + bins.unseen])

    def _special(self, metric: Metric, positions: Sequence[int], *specials: Special) -> Table:
        layout = self.labels.layout
        columns = []
        for position in positions:
            first = layout.starts[position] + layout.fields[position].bins.value_bins
            cells = [first + special for special in specials]
            columns.append(_CellColumn(self._column(position), cells))
        return self._cells(metric, columns)

    def _cells(self, metric: Metric, columns: Sequence[_CellColumn]) -> Table:
        cells = np.array([cell for _, cells in columns for cell in cells], np.intp)
        starts = np.cumsum([0, *(len(cells) for _, cells in columns[:-1])])

        def read(rows: IntArray) -> IntArray:
            picked = self.counts[rows[:, None], cells]
            if len(cells) == len(columns):
                return picked
            summed: IntArray = np.add.reduceat(picked, starts, axis=1)
            return summed

        return Table(metric, Tier.COUNTS, tuple(c for c, _ in columns), self.rows, read)

    def _histogram(self, metric: Metric, position: int) -> Table:
        """Return a histogram over the distance groups of a numeric field.

        A group ends before its bound, so the bucket `le` holds what is smaller than the bound; a
        value that equals it is in the next one. Only finite values are in any bucket. A sum below
        zero is left out, and the count with it.
        """
        layout = self.labels.layout
        bins = layout.fields[position].bins
        assert isinstance(bins, NumericBins)
        cells, sums = layout.cells(position), layout.numeric.index(position)

        def read(rows: IntArray) -> IntArray | FloatArray:
            buckets: IntArray = np.cumsum(fold(self.counts[rows, cells], bins), axis=1)
            if not has_sum(bins):
                return buckets
            total = self.sums[rows, sums]
            # Values below the reference's minimum can be negative after all.
            both = np.where(total >= 0, [buckets[:, -1], total], np.nan).T
            return np.concatenate([buckets, both], axis=1)

        columns = self.labels.histograms[position]
        return Table(metric, Tier.HISTOGRAMS, columns, self.rows, read)
