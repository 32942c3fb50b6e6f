"""What labels say of one version or slice in one window, as plain data."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.outcomes.cohorts import CohortStats
from streamgauge.core.outcomes.figures import LOWER_IS_BETTER
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import OutcomeStats, PerformanceStats
from streamgauge.web.times import time_text

View = dict[str, Any]
Figures = Mapping[str, Estimate]

DELAY_QUANTILES: Final = (0.5, 0.95)


def performance_view(stats: OutcomeStats, key: RowKey, window: str) -> View:
    """Return a row's figures in the window; what there is nothing of is null.

    `realised` figures are of the labels that came in the window, `estimated` ones of the
    predictions made in it, `weighted` ones of the labels of these that are there, `matured` ones of
    the latest run of predictions that has its labels.
    """
    row = stats.rows.index(key) if key in stats.rows else None
    realised = next((w for w in stats.realised if w.window == window), None)
    estimated = next((w for w in stats.estimated if w.window == window), None)
    cohort = next((c for c in stats.cohorts if c.window == window), None)
    return {
        "labelled": 0 if row is None else int(stats.labelled[row]),
        "max_delay_seconds": float(stats.delay_edges[-1]),
        "delay_seconds": _delays(stats, row),
        "join": stats.join._asdict(),
        "realised": _span(realised, row),
        "estimated": _span(estimated, row),
        "cohort": _cohort(cohort, row),
        "metrics": [] if row is None else _metrics(stats, realised, estimated, cohort, row),
    }


def delay_quantile(edges: FloatArray, counts: IntArray, probability: float) -> float | None:
    """Return a quantile of delays counted between `edges (D + 1,)` as `counts (D,)`.

    It is interpolated within its bin; None without delays.
    """
    cumulative = np.concatenate([[0], np.cumsum(counts)])
    if cumulative[-1] <= 0:
        return None
    target = probability * float(cumulative[-1])
    at = max(int(np.searchsorted(cumulative, target, side="left")), 1)
    share = (target - float(cumulative[at - 1])) / float(counts[at - 1])
    return float(edges[at - 1] + share * (edges[at] - edges[at - 1]))


def _delays(stats: OutcomeStats, row: int | None) -> list[list[float]] | None:
    """Return pairs of probability and delay, those of the labels since the start."""
    if row is None or not stats.labelled[row]:
        return None
    found = ((q, delay_quantile(stats.delay_edges, stats.delays[row], q)) for q in DELAY_QUANTILES)
    return [[q, delay] for q, delay in found if delay is not None]


def _span(window: PerformanceStats | None, row: int | None) -> View | None:
    if window is None:
        return None
    return {
        "start": time_text(window.start),
        "end": time_text(window.end),
        "samples": 0 if row is None else int(window.samples[row]),
    }


def _cohort(cohort: CohortStats | None, row: int | None) -> View | None:
    """Return which predictions weighted and matured figures are of, and how many are labelled."""
    if cohort is None or row is None:
        return None
    end = int(cohort.matured_end[row])
    length = cohort.end - cohort.start
    return {
        "start": time_text(cohort.start),
        "end": time_text(cohort.end),
        "predicted": int(cohort.predicted[row]),
        "labelled": int(cohort.labelled[row]),
        "matured_start": None if end < 0 else time_text(end - length),
        "matured_end": None if end < 0 else time_text(end),
        "coverage": _number(cohort.coverage[row]),
    }


def _metrics(
    stats: OutcomeStats,
    realised: PerformanceStats | None,
    estimated: PerformanceStats | None,
    cohort: CohortStats | None,
    row: int,
) -> list[View]:
    """Return a line for each metric that is known in any way."""
    kinds: dict[str, Figures] = {
        "realised": {} if realised is None else realised.figures,
        "reference": stats.reference,
        "estimated": {} if estimated is None else estimated.figures,
        "weighted": {} if cohort is None else cohort.weighted,
        "matured": {} if cohort is None else cohort.matured,
    }
    lines = []
    for name in dict.fromkeys(name for figures in kinds.values() for name in figures):
        line = {kind: _figure(figures.get(name), row) for kind, figures in kinds.items()}
        if any(line.values()):
            now, due = line["realised"], line["estimated"]
            gap = now["value"] - due["value"] if now and due else None
            better = name in LOWER_IS_BETTER
            lines.append({"metric": name, "lower_is_better": better, **line, "gap": gap})
    return lines


def _figure(estimate: Estimate | None, row: int) -> View | None:
    if estimate is None or _number(estimate.value[row]) is None:
        return None
    return {part: _number(values[row]) for part, values in estimate._asdict().items()}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
