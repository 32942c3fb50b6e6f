"""The budget, simulated: false alarms are on average no more than what was spent on them."""

import numpy as np
import pytest

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.bank import ALTERNATIVES, gains, mixture, update
from streamgauge.core.detectors.e_detectors import EDetectors
from streamgauge.core.detectors.series import Kind, Series, SeriesTable
from streamgauge.core.detectors.tolerance import Tolerance
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.seasonal import HourShares
from streamgauge.core.zone import UTC_ZONE

HOUR = 3_600_000
T0 = 20_000 * 24 * HOUR


def alarms_of_bank(
    rng: np.random.Generator, tolerated: FloatArray, allowance: FloatArray, events: IntArray
) -> FloatArray:
    """Alarms in each of many runs whose share is always exactly the tolerated one `(T,)`."""
    runs = 3_000
    log_evidence = np.full((runs, ALTERNATIVES), -np.inf)
    alarms = np.zeros(runs)
    for m, alpha, n in zip(tolerated, allowance, events, strict=True):
        present = rng.binomial(n, m, runs).astype(np.float64)
        gain = gains(present, np.full(runs, float(n)), np.full(runs, m))
        update(log_evidence, np.full((1, 1), np.log(alpha)), gain)
        raised = mixture(log_evidence) >= 0.0
        log_evidence[raised] = -np.inf
        alarms += raised
    return alarms


@pytest.mark.parametrize("kind", ["constant", "seasonal", "uneven"])
def test_a_series_alarms_at_most_as_often_as_it_is_allowed(kind: str) -> None:
    panes = 300
    hours = np.arange(panes)
    tolerated = np.full(panes, 0.2)
    allowance, events = np.full(panes, 0.004), np.full(panes, 200)
    if kind != "constant":
        tolerated = 0.3 + 0.25 * np.sin(hours * 2 * np.pi / 24)
    if kind == "uneven":
        # Other series come and go, and take a part of what is spent.
        allowance = np.where(hours % 50 < 20, 0.01, 0.0005)
        events = np.where(hours % 7 == 0, 3, 150)
    alarms = alarms_of_bank(np.random.default_rng(1), tolerated, allowance, events)
    error = 3 * alarms.std() / np.sqrt(len(alarms))
    assert alarms.mean() <= allowance.sum() + error
    # And it is spent, but for what jumps over the threshold and what is not decided yet.
    assert alarms.mean() >= 0.15 * allowance.sum()


TABLE = SeriesTable(
    tuple(
        Series(
            Subject(SubjectKind.FEATURE, f"x{i}"),
            Kind.ABOVE,
            3 * i + 1,
            3 * i + 2,
            3 * i,
            3 * i + 2,
        )
        for i in range(3)
    )
)
SHARES = np.array([0.5, 0.2, 0.05])


def detectors(spending: float, *, seasonal: bool, pool: int) -> tuple[EDetectors, FloatArray]:
    """Detectors that tolerate just the shares themselves, and these by hour `(168, 3)`."""
    hours = np.broadcast_to(SHARES, (168, 3)).copy()
    if seasonal:
        hours[:, 0] = 0.5 + 0.3 * np.sin(np.arange(168) * 2 * np.pi / 24)
    tolerated = Tolerance(
        TABLE,
        SHARES[None].copy(),
        np.zeros((1, 3)),
        np.zeros(3),
        np.ones(3),
        HourShares(hours, np.zeros_like(hours)),
        UTC_ZONE,
    )
    return EDetectors(tolerated, spending, np.ones(3), pool), hours


def reached(found: EDetectors, rows: IntArray) -> int:
    """How many series and sides of rows have just begun anew."""
    return int(np.isneginf(found._rows.log[rows]).all(axis=1).sum())


@pytest.mark.parametrize("seasonal", [False, True])
def test_rows_that_come_and_go_alarm_at_most_as_often_as_all_are_allowed(seasonal: bool) -> None:
    """Three rows: one is always there, a small one gathers panes, one joins half-way."""
    runs, panes, spending = 40, 80, 0.08
    alarms = np.zeros(runs)
    rng = np.random.default_rng(2)
    sizes = np.array([300, 40, 200])
    for run in range(runs):
        found, hours = detectors(spending, seasonal=seasonal, pool=100)
        found.add_rows(np.zeros(2, np.int64))
        for pane in range(panes):
            if pane == panes // 2:
                found.add_rows(np.zeros(1, np.int64))
            start = T0 + pane * HOUR
            share = found.tolerance.bounds(np.array([0]), start).expected[0]
            rows = np.arange(len(found))
            present = rng.binomial(sizes[rows][:, None], share)
            counts = np.zeros((len(rows), 9), np.int64)
            counts[:, 1::3] = present
            counts[:, 0::3] = sizes[rows][:, None] - present
            found.feed(rows, counts, sizes[rows], start)
            alarms[run] += reached(found, found.close(rows, start + HOUR))
        assert seasonal is bool(np.ptp(hours[:, 0]))
    error = 3 * alarms.std() / np.sqrt(runs)
    assert alarms.mean() <= spending * panes + error
    assert alarms.mean() >= 0.15 * spending * panes
