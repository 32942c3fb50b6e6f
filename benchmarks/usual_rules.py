"""Usual rules for the same streams: PSI and Kolmogorov-Smirnov by day, detectors of River.

Each returns the number of alarms of one run: how often a row and subject turned from quiet to
alarmed. Streams are `(T, R, W)` by hour, row and cell.
"""

from collections.abc import Callable, Mapping

import numpy as np
from river.base import DriftDetector
from river.drift import ADWIN, PageHinkley
from scipy.special import kolmogorov

from benchmarks.nulls import AMOUNT, COLOUR, layout
from benchmarks.regimes import Regime
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.bins import fold
from streamgauge.core.detectors.series import SeriesTable
from streamgauge.core.distances import Measure, distances
from streamgauge.core.layout import Subject
from streamgauge.core.reference import Reference

DAY = 24
LARGE_PSI = 0.1
LEVEL = 0.05


def psi_by_day(regime: Regime, reference: Reference, stream: IntArray) -> int:
    """PSI > 0.1 of either feature over a day."""
    found = 0
    for subject in (AMOUNT, COLOUR):
        current, wanted = _daily(regime, reference, stream, subject)
        flat = (-1, current.shape[-1])
        value = distances(current.reshape(flat), wanted.reshape(flat), measures=(Measure.PSI,))
        found += _turned(value[Measure.PSI].reshape(current.shape[:2]) > LARGE_PSI)
    return found


def ks_by_day(regime: Regime, reference: Reference, stream: IntArray) -> int:
    """Kolmogorov-Smirnov test of the number over a day, at 5 % over all rows (Bonferroni)."""
    current, wanted = _daily(regime, reference, stream, AMOUNT)
    n, m = current.sum(axis=-1), wanted.sum(axis=-1)
    gap = np.cumsum(current, axis=-1) / np.maximum(n, 1)[..., None]
    gap = np.abs(gap - np.cumsum(wanted, axis=-1) / m[..., None]).max(axis=-1)
    p_value = np.where(n > 0, kolmogorov(np.sqrt(n * m / (n + m)) * gap), 1.0)
    rows = np.maximum((n > 0).sum(axis=1, keepdims=True), 1)
    return _turned(p_value < LEVEL / rows)


def adwin(table: SeriesTable, regime: Regime, stream: IntArray) -> int:
    """ADWIN of River with its defaults, fed with the share of every series in every pane."""
    return _river(ADWIN, table, regime, stream)


def page_hinkley(table: SeriesTable, regime: Regime, stream: IntArray) -> int:
    """PageHinkley of River with its defaults, fed likewise."""
    return _river(PageHinkley, table, regime, stream)


def _daily(
    regime: Regime, reference: Reference, stream: IntArray, subject: Subject
) -> tuple[IntArray, IntArray]:
    """Return group counts `(days, R, B)` of a field's days, and of the rows' references."""
    position = layout().position(subject)
    assert position is not None
    cells = stream[..., layout().cells(position)]
    days = cells[: len(cells) // DAY * DAY].reshape(-1, DAY, *cells.shape[1:]).sum(axis=1)
    current = fold(days, layout().fields[position].bins)
    wanted = reference.group_counts(position)[regime.known]
    return current, np.broadcast_to(wanted, current.shape)


def _turned(alarmed: BoolArray) -> int:
    """Return how often rows `(days, R)` turn alarmed."""
    before = np.concatenate([np.zeros_like(alarmed[:1]), alarmed[:-1]])
    return int((alarmed & ~before).sum())


def _river(
    make: Callable[[], DriftDetector], table: SeriesTable, regime: Regime, stream: IntArray
) -> int:
    present, total = table.counts(stream)
    share: FloatArray = present / np.maximum(total, 1)
    alarmed = np.zeros((len(stream), len(regime.known), len(table.series)), bool)
    for row, first in enumerate(regime.joins.tolist()):
        for series in range(len(table.series)):
            detector = make()
            for pane, value in enumerate(share[first:, row, series].tolist(), first):
                detector.update(value)
                alarmed[pane, row, series] = detector.drift_detected
    subjects = np.logical_or.reduceat(alarmed, table.starts, axis=2)
    # River's detectors begin anew after each alarm, so each of them is one.
    return int(subjects.sum())


BY_DAY: Mapping[str, Callable[[Regime, Reference, IntArray], int]] = {
    "PSI > 0.1 by day": psi_by_day,
    "KS 5 % by day": ks_by_day,
}
RIVER: Mapping[str, Callable[[SeriesTable, Regime, IntArray], int]] = {
    "ADWIN": adwin,
    "PageHinkley": page_hinkley,
}
