"""Tables over a model's windows: samples, moments, quantiles and distances."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.layout import SubjectKind
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import FieldStats, WindowStats
from streamgauge.io.metrics import catalogue
from streamgauge.io.metrics.catalogue import DistanceMetrics
from streamgauge.io.metrics.field_labels import FieldLabels
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.tables import Table, Tier
from streamgauge.io.metrics.text import label_value, number

_Key = TypeVar("_Key", str, float)

_VERSION_DISTANCES = {
    SubjectKind.FEATURE: catalogue.FEATURE_DISTANCE,
    SubjectKind.SCORE: catalogue.SCORE_DISTANCE,
    SubjectKind.PREDICTION: catalogue.PREDICTION_DISTANCE,
}
_SLICE_DISTANCES = {
    SubjectKind.FEATURE: catalogue.SLICE_FEATURE_DISTANCE,
    SubjectKind.SCORE: catalogue.SLICE_SCORE_DISTANCE,
    SubjectKind.PREDICTION: catalogue.SLICE_PREDICTION_DISTANCE,
}


@dataclass(frozen=True, slots=True)
class WindowTables:
    """Makes the tables of one window."""

    labels: FieldLabels
    window: WindowStats
    rows: Mapping[RowKey, int]
    label: str

    @classmethod
    def of(cls, window: WindowStats, labels: FieldLabels) -> "WindowTables":
        """Return the maker for a window."""
        rows = {key: row for row, key in enumerate(window.rows)}
        label = f',window="{label_value(window.window)}"'
        return cls(labels, window, rows, label)

    def for_versions(
        self, measures: frozenset[str] | None, probabilities: frozenset[float] | None
    ) -> Iterator[Table]:
        """Yield the tables of whole versions, with these distances and quantiles, None for all."""
        yield self._samples(catalogue.WINDOW_SAMPLES)
        features = self._fields(SubjectKind.FEATURE)
        for metric, values in (
            (catalogue.FEATURE_MEAN, [(i, stats.mean) for i, stats in features]),
            (catalogue.FEATURE_STD, [(i, stats.std) for i, stats in features]),
            (catalogue.FEATURE_MINIMUM, [(i, stats.minimum) for i, stats in features]),
            (catalogue.FEATURE_MAXIMUM, [(i, stats.maximum) for i, stats in features]),
            (catalogue.SCORE_MEAN, self._means(SubjectKind.SCORE)),
            (catalogue.PREDICTION_MEAN, self._means(SubjectKind.PREDICTION)),
        ):
            yield self._table(metric, [(i, "", array) for i, array in values if array is not None])
        fields = [(i, stats.quantiles) for i, stats in features]
        known = {q for _, quantiles in fields for q in quantiles}
        labels = {
            q: f',q="{number(q)}"' for q in known if probabilities is None or q in probabilities
        }
        yield self._table(catalogue.FEATURE_QUANTILE, _columns(fields, labels))
        yield from self._distances(_VERSION_DISTANCES, measures)

    def for_slices(self, measures: frozenset[str] | None) -> Iterator[Table]:
        """Yield the tables of slices, with these distances, None for all."""
        yield self._samples(catalogue.SLICE_WINDOW_SAMPLES)
        yield from self._distances(_SLICE_DISTANCES, measures)

    def _fields(self, kind: SubjectKind) -> list[tuple[int, FieldStats]]:
        layout = self.labels.layout
        fields = [
            (layout.position(stats.subject), stats)
            for stats in self.window.fields
            if stats.subject.kind is kind
        ]
        return [(position, stats) for position, stats in fields if position is not None]

    def _means(self, kind: SubjectKind) -> list[tuple[int, FloatArray | None]]:
        return [(position, stats.mean) for position, stats in self._fields(kind)]

    def _samples(self, metric: Metric) -> Table:
        samples = self.window.samples

        def read(rows: IntArray) -> IntArray:
            return samples[rows, None]

        return Table(metric, Tier.WINDOWS, ((-1, "", self.label),), self.rows, read, absent=0)

    def _distances(
        self, metrics: Mapping[SubjectKind, DistanceMetrics], measures: frozenset[str] | None
    ) -> Iterator[Table]:
        for kind, (raw, corrected, p_value) in metrics.items():
            fields = self._fields(kind)
            for metric, measured in (
                (raw, [(i, stats.raw) for i, stats in fields]),
                (corrected, [(i, stats.corrected) for i, stats in fields]),
                (p_value, [(i, stats.p_value) for i, stats in fields]),
            ):
                names = {name for _, arrays in measured for name in arrays}
                labels = {
                    name: f',measure="{label_value(name)}"'
                    for name in names
                    if measures is None or name in measures
                }
                if metric is not None:
                    yield self._table(metric, _columns(measured, labels))

    def _table(self, metric: Metric, columns: Sequence[tuple[int, str, FloatArray]]) -> Table:
        """Return a table with a column for each position and label; values are `(R,)`."""
        features = self.labels.features
        arrays = tuple(values for _, _, values in columns)

        def read(rows: IntArray) -> FloatArray:
            return np.stack(arrays, axis=1)[rows]

        here = self.label
        named = tuple(
            [(position, "", features[position] + label + here) for position, label, _ in columns]
        )
        return Table(metric, Tier.WINDOWS, named, self.rows, read)


def _columns(
    fields: Iterable[tuple[int, Mapping[_Key, FloatArray]]], labels: Mapping[_Key, str]
) -> list[tuple[int, str, FloatArray]]:
    """Return position, label and values of what has a label."""
    return [
        (position, labels[key], values)
        for position, figures in fields
        for key, values in figures.items()
        if key in labels
    ]
