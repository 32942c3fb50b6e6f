"""Tables over a model's detectors: evidence, thresholds and dispersion of each subject."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.allowance import NOTHING
from streamgauge.core.layout import Layout, Subject, SubjectKind
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import DetectorStats
from streamgauge.io.metrics import catalogue
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.tables import PERFORMANCE_FIELD, Column, Table, Tier
from streamgauge.io.metrics.text import label_values


@dataclass(frozen=True, slots=True)
class DetectorTables:
    """Makes the tables of one model's detectors; `columns` are those of the subjects."""

    stats: DetectorStats
    columns: tuple[Column, ...]
    rows: Mapping[RowKey, int]

    @classmethod
    def of(cls, stats: DetectorStats, columns: tuple[Column, ...]) -> "DetectorTables":
        """Return the maker for some statistics."""
        return cls(stats, columns, {key: row for row, key in enumerate(stats.rows)})

    def for_versions(self) -> Iterator[Table]:
        """Yield the tables of whole versions."""
        every = np.arange(len(self.columns))
        yield from self._both(catalogue.DETECTOR_EVIDENCE, catalogue.DETECTOR_THRESHOLD, every)
        dispersion = self.stats.dispersion
        learned = np.where(np.isfinite(dispersion), dispersion, np.nan)
        yield self._table(catalogue.DETECTOR_OVERDISPERSION, learned, every)

    def for_slices(self) -> Iterator[Table]:
        """Yield the tables of slices: none of rates of bad values, which are most subjects and
        would crowd out slices."""
        subjects = self.stats.subjects
        few = np.flatnonzero([s.kind is not SubjectKind.DATA_QUALITY for s in subjects])
        yield from self._both(
            catalogue.SLICE_DETECTOR_EVIDENCE, catalogue.SLICE_DETECTOR_THRESHOLD, few
        )

    def _both(self, evidence: Metric, threshold: Metric, subjects: IntArray) -> Iterator[Table]:
        # Before its first update, and without a reference to be held against, nothing is judged.
        judged = self.stats.threshold < -NOTHING
        yield self._table(evidence, np.where(judged, self.stats.evidence, np.nan), subjects)
        yield self._table(threshold, np.where(judged, self.stats.threshold, np.nan), subjects)

    def _table(self, metric: Metric, values: FloatArray, subjects: IntArray) -> Table:
        def read(rows: IntArray) -> FloatArray:
            return values[np.ix_(rows, subjects)]

        columns = tuple([self.columns[i] for i in subjects.tolist()])
        return Table(metric, Tier.WINDOWS, columns, self.rows, read)


def subject_columns(subjects: Sequence[Subject], layout: Layout) -> tuple[Column, ...]:
    """Return the columns of subjects: each with its field, or that of the feature it is a rate of.

    Names that would look the same are told apart within a kind.
    """
    names: dict[Subject, str] = {}
    for kind in dict.fromkeys(subject.kind for subject in subjects):
        mine = [subject for subject in subjects if subject.kind is kind]
        names |= zip(mine, label_values([subject.name for subject in mine]), strict=True)
    return tuple(
        (_position(subject, layout), "", f',subject_kind="{subject.kind}",subject="{name}"')
        for subject, name in ((subject, names[subject]) for subject in subjects)
    )


def _position(subject: Subject, layout: Layout) -> int:
    if subject.kind is SubjectKind.DATA_QUALITY:
        feature, _, _ = subject.name.rpartition(".")
        subject = Subject(SubjectKind.FEATURE, feature)
    if subject.kind is SubjectKind.PERFORMANCE:
        return PERFORMANCE_FIELD
    position = layout.position(subject)
    return -1 if position is None else position
