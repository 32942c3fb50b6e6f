"""Streams of totals with a season, and the references that are made from them."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.traffic import TrafficDetector
from streamgauge.core.findings import Finding
from streamgauge.core.layout import folded_widths
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.reference import Reference
from streamgauge.core.timeline import HOUR_MS, hour_of_week
from tests.support.drawn import LAYOUT, known_reference

MONDAY = 4 * 24 * HOUR_MS
WEEK = 168
RNG = np.random.default_rng(7)
SEASON: FloatArray = 1.0 + 0.7 * np.sin(2 * np.pi * (np.arange(WEEK) - 8) / 24)
"""What hours of the week bring, times the mean: 0.3 at night to 1.7, half on weekends."""
SEASON[120:] /= 2


def totals(rng: np.random.Generator, mean: FloatArray, phi: float = 1.0) -> IntArray:
    """Draw totals of hours that vary `phi` times as much as Poisson ones would."""
    if phi <= 1.0:
        return rng.poisson(mean)
    return rng.negative_binomial(mean / (phi - 1.0), 1.0 / phi)


def season(hours: int, mean: float) -> FloatArray:
    """Expected totals of hours from a Monday on."""
    return mean * SEASON[np.arange(hours) % WEEK]


def reference_of(hours: IntArray, start: int = MONDAY) -> Reference:
    """The reference of hours with these totals, from a full hour on."""
    base = known_reference()
    width = sum(folded_widths(LAYOUT))
    counts = np.zeros((len(hours), width), np.int64)
    counts[:, 0] = hours
    weekly = np.zeros((WEEK, width), np.int64)
    times = start + np.arange(len(hours)) * HOUR_MS
    np.add.at(weekly, hour_of_week(times), counts)
    seen = hours > 0
    panes = PaneTable(HOUR_MS, times[seen] // HOUR_MS, counts[seen])
    span = int(times[seen][0]), int(times[seen][-1]) + HOUR_MS - 1
    return replace(base, hour_of_week=weekly, panes=panes, span=span)


def follow(
    detector: TrafficDetector, counts: Iterable[int], start: int = MONDAY
) -> list[tuple[int, Finding]]:
    """Close panes with these counts; return the findings with the ends of their panes."""
    found = []
    for i, count in enumerate(counts):
        end = start + (i + 1) * detector.pane_ms
        if count or detector.next_end == end:
            detector.close(end, int(count))
            found += [(end, finding) for finding in detector.findings(end, frozenset())]
    return found
