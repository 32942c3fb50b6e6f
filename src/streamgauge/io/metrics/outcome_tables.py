"""Tables over what labels say of a model: performance, its estimates, coverage and delays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import OutcomeStats
from streamgauge.io.metrics import catalogue
from streamgauge.io.metrics.catalogue import FigureMetrics
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.tables import (
    COHORT_FIELD,
    ESTIMATE_FIELD,
    PERFORMANCE_FIELD,
    Column,
    Table,
    Tier,
)
from streamgauge.io.metrics.text import label_value, number

DELAY_STEP: Final = 4
"""Every so many edges of the delay's fine bins one is published: each about twice the last."""

Figures = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class OutcomeTables:
    """Makes the tables of one model's outcomes."""

    stats: OutcomeStats
    rows: Mapping[RowKey, int]

    @classmethod
    def of(cls, stats: OutcomeStats) -> "OutcomeTables":
        """Return the maker for some statistics."""
        return cls(stats, {key: row for row, key in enumerate(stats.rows)})

    def for_versions(self) -> Iterator[Table]:
        """Yield the tables of whole versions."""
        yield self._joined(catalogue.LABELS_JOINED)
        yield self._delays()
        for window in self.stats.realised:
            here = _window(window.window)
            yield self._samples(catalogue.PERFORMANCE_SAMPLES, window.samples, here)
            yield from self._figures(catalogue.PERFORMANCE, window.figures, here, PERFORMANCE_FIELD)
        for window in self.stats.estimated:
            yield from self._figures(
                catalogue.ESTIMATED_PERFORMANCE,
                window.figures,
                _window(window.window),
                ESTIMATE_FIELD,
            )
        yield from self._gaps()
        for cohort in self.stats.cohorts:
            here = _window(cohort.window)
            yield self._column(catalogue.LABEL_COVERAGE, cohort.coverage, here, COHORT_FIELD)
            end = np.where(cohort.matured_end >= 0, cohort.matured_end / 1000, np.nan)
            yield self._column(catalogue.MATURED_PERFORMANCE_END, end, here, COHORT_FIELD)
            for metrics, figures in (
                (catalogue.WEIGHTED_PERFORMANCE, cohort.weighted),
                (catalogue.MATURED_PERFORMANCE, cohort.matured),
            ):
                yield from self._figures(metrics, figures, here, COHORT_FIELD)

    def for_slices(self, metrics: frozenset[str] | None) -> Iterator[Table]:
        """Yield the tables of slices, with these figures, None for all."""
        yield self._joined(catalogue.SLICE_LABELS_JOINED)
        for window in self.stats.realised:
            here = _window(window.window)
            yield self._samples(catalogue.SLICE_PERFORMANCE_SAMPLES, window.samples, here)
            few = _only(window.figures, metrics)
            yield from self._figures(catalogue.SLICE_PERFORMANCE, few, here, PERFORMANCE_FIELD)
        for window in self.stats.estimated:
            yield from self._figures(
                catalogue.SLICE_ESTIMATED_PERFORMANCE,
                _only(window.figures, metrics),
                _window(window.window),
                ESTIMATE_FIELD,
            )

    def _figures(
        self, metrics: FigureMetrics, figures: Figures, window: str, field: int
    ) -> Iterator[Table]:
        columns = tuple([(field, "", f"{_metric(name)}{window}") for name in figures])
        for metric, part in zip(metrics, Estimate._fields, strict=True):
            if metric is not None:
                values = tuple(getattr(estimate, part) for estimate in figures.values())
                yield self._table(metric, columns, values)

    def _gaps(self) -> Iterator[Table]:
        """Yield realised less estimated performance, by window and metric where both exist."""
        realised = {window.window: window.figures for window in self.stats.realised}
        for window in self.stats.estimated:
            here = realised.get(window.window, {})
            names = [name for name in here if name in window.figures]
            label = _window(window.window)
            yield self._table(
                catalogue.PERFORMANCE_ESTIMATE_GAP,
                tuple([(ESTIMATE_FIELD, "", f"{_metric(name)}{label}") for name in names]),
                tuple(here[name].value - window.figures[name].value for name in names),
            )

    def _joined(self, metric: Metric) -> Table:
        labelled = self.stats.labelled

        def read(rows: IntArray) -> IntArray:
            return labelled[rows, None]

        return Table(metric, Tier.COUNTS, ((-1, "", ""),), self.rows, read, absent=0)

    def _samples(self, metric: Metric, samples: IntArray, window: str) -> Table:
        def read(rows: IntArray) -> IntArray:
            return samples[rows, None]

        columns = ((PERFORMANCE_FIELD, "", window),)
        return Table(metric, Tier.WINDOWS, columns, self.rows, read, absent=0)

    def _column(self, metric: Metric, values: FloatArray, window: str, field: int) -> Table:
        return self._table(metric, ((field, "", window),), (values,))

    def _table(
        self, metric: Metric, columns: tuple[Column, ...], values: tuple[FloatArray, ...]
    ) -> Table:
        """Return a table of columns whose values are `(R,)` each."""

        def read(rows: IntArray) -> FloatArray:
            return np.stack(values, axis=1)[rows]

        return Table(metric, Tier.WINDOWS, columns, self.rows, read)

    def _delays(self) -> Table:
        """Return the histogram of the labels' delays.

        Delays are whole milliseconds and a bin holds its upper edge, so an edge that is cut to the
        millisecond bounds the same delays.
        """
        ends = np.floor(np.round(self.stats.delay_edges[1:] * 1000, 6))
        chosen = np.arange(len(ends) - 1, -1, -DELAY_STEP)[::-1]
        chosen = chosen[np.append(np.diff(ends[chosen]) > 0, True)]
        bounds = [*(number(end / 1000) for end in ends[chosen].tolist()), "+Inf"]
        delays, sums = self.stats.delays, self.stats.delay_sums

        def read(rows: IntArray) -> FloatArray:
            buckets = np.cumsum(delays[rows], axis=1)
            count = buckets[:, -1:]
            # To the millisecond, lest what corrections take away and add again make it fall.
            total = np.round(sums[rows, None], 3)
            return np.concatenate([buckets[:, chosen], count, count, total], axis=1)

        columns = (
            *((-1, "_bucket", f',le="{bound}"') for bound in bounds),
            (-1, "_count", ""),
            (-1, "_sum", ""),
        )
        return Table(catalogue.LABEL_DELAY, Tier.HISTOGRAMS, columns, self.rows, read)


def _only(figures: Figures, names: frozenset[str] | None) -> Figures:
    return {name: found for name, found in figures.items() if names is None or name in names}


def _metric(name: str) -> str:
    return f',metric="{label_value(name)}"'


def _window(name: str) -> str:
    return f',window="{label_value(name)}"'
