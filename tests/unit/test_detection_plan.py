"""Plans of detection, held against detectors that see simulated changes."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pytest
from scipy.special import rel_entr

from streamgauge.core.detectors.allowance import series_weights
from streamgauge.core.detectors.bank import LOG_WEIGHTS
from streamgauge.core.detectors.e_detectors import EDetectors
from streamgauge.core.detectors.plan import DetectionPlan, plan_detection
from streamgauge.core.detectors.series import Kind, Series, SeriesTable
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.detectors.tolerance import Tolerance
from streamgauge.core.layout import Subject, SubjectKind
from tests.support.made_up_model import made_up_events, made_up_reference

COLOUR: Final = Subject(SubjectKind.FEATURE, "colour")
ROWS: Final = 200
"""Rows that are simulated at once, all of them like the reference's only one."""
PER_ROW: Final = 1e-6
"""Expected false alarms that a row may cost in a pane."""
QUIET_PANES: Final = 400

WEEK_MS: Final = 7 * 24 * 3_600_000
ONE_A_WEEK: Final = Spending(1.0, WEEK_MS)
REFERENCE: Final = made_up_reference(made_up_events())
_MADE_UP: Final = plan_detection(REFERENCE, range(4), ONE_A_WEEK, 10_000, 0.01, None)


@dataclass(frozen=True, slots=True)
class Setting:
    """A share, how far it moves (down where negative), and the panes in which it does."""

    share: float
    move: float
    per_pane: int
    pool: int = 1
    phi: int = 1
    error: float = 0.0


SETTINGS: Final = (
    Setting(0.30, 0.05, per_pane=500),
    Setting(0.30, 0.05, per_pane=100, error=0.004),
    Setting(0.05, 0.10, per_pane=50),
    Setting(0.50, -0.10, per_pane=60),
    Setting(0.10, 0.30, per_pane=10),
    Setting(0.30, 0.10, per_pane=120, phi=3),
    Setting(0.30, 0.10, per_pane=20, pool=50),
    Setting(0.20, 0.10, per_pane=1_000, pool=30),
)


def tolerated(setting: Setting) -> Tolerance:
    table = SeriesTable((Series(COLOUR, Kind.CATEGORY, 0, 1, 0, 2),))
    one = np.ones((1, 1))
    return replace(
        _MADE_UP.tolerance,
        table=table,
        share=setting.share * one,
        error=setting.error * one,
        room=np.array([0.01]),
        dispersion=np.array([float(setting.phi)]),
        profile=None,
    )


def mean_panes(setting: Setting) -> float:
    """Return after how many panes detectors see the change on average, by simulation."""
    rng = np.random.default_rng(3)
    detectors = EDetectors(tolerated(setting), PER_ROW * ROWS, np.ones(1), setting.pool)
    rows = np.arange(ROWS)
    detectors.add_rows(np.zeros(ROWS, np.int64))
    events = np.full(ROWS, setting.per_pane)

    def pane(number: int, share: float) -> None:
        # Groups of φ events that are alike have φ times the variance.
        drawn = setting.phi * rng.binomial(setting.per_pane // setting.phi, share, ROWS)
        counts = np.stack([drawn, events - drawn], axis=1)
        detectors.feed(rows, counts, events, 1_000 * number)
        detectors.close(rows, 1_000 * (number + 1))

    for number in range(QUIET_PANES):
        pane(number, setting.share)
    assert not detectors.evidence(rows, ())
    seen: dict[int, int] = {}
    number = 0
    while len(seen) < ROWS:
        pane(QUIET_PANES + number, setting.share + setting.move)
        number += 1
        seen = {evidence.row: number for evidence in detectors.evidence(rows, ())} | seen
    return float(np.mean([*seen.values()]))


@pytest.mark.parametrize("setting", SETTINGS)
def test_changes_show_after_about_the_planned_time(setting: Setting) -> None:
    threshold = np.full((1, 2), -np.log(PER_ROW / 2))
    plan = DetectionPlan(tolerated(setting), np.ones(1), threshold)
    side = 0 if setting.move > 0 else 1
    events = plan.events(abs(setting.move))
    planned = plan.times(events, setting.per_pane / 1_000, 1_000, setting.pool)[0, 0, side] / 1_000
    simulated = mean_panes(setting)
    assert simulated == pytest.approx(planned, rel=0.25)


def test_nothing_shows_sooner_than_the_relative_entropy_allows() -> None:
    plan = _MADE_UP
    bounds = replace(plan.tolerance, profile=None).bounds(np.arange(4), 0)
    for change in (0.05, 0.1, 0.5):
        events = plan.events(change)
        q = np.stack([bounds.expected, 1.0 - bounds.expected], axis=-1) + change
        m = bounds.largest
        possible = np.isfinite(events)
        assert possible.any()
        q, m = q[possible], m[possible]
        nats = rel_entr(q, m) + rel_entr(1.0 - q, 1.0 - m)
        threshold = np.broadcast_to(plan.threshold, events.shape)[possible]
        at_best = (threshold - LOG_WEIGHTS.max()) / nats
        assert (events[possible] >= at_best * (1.0 - 1e-9)).all()
        # The alternatives stand close enough to lose little.
        assert np.median(events[possible] / at_best) < 1.3


def test_what_is_tolerated_never_shows_and_what_is_impossible_is_left_out() -> None:
    plan = DetectionPlan(tolerated(Setting(0.3, 0.0, 1)), np.ones(1), np.full((1, 2), 15.0))
    assert (plan.events(0.01) == np.inf).all()
    assert np.isfinite(plan.events(0.02)).all()
    fell = plan.events(0.31)[0, 0]
    assert np.isfinite(fell[0])
    assert np.isnan(fell[1])
    assert np.isnan(plan.events(0.71)).all()


def test_thresholds_are_those_of_detectors_whose_rows_all_have_events() -> None:
    spending = Spending(1.0, WEEK_MS, ((SubjectKind.DATA_QUALITY, 0.25), (SubjectKind.SCORE, 3.0)))
    plan = plan_detection(REFERENCE, range(4), spending, 10_000, 0.01, None)
    table = plan.tolerance.table
    weights = series_weights(table, spending)
    detectors = EDetectors(plan.tolerance, spending.per_pane(10_000), weights, 30)
    rows = np.arange(4)
    counts = REFERENCE.block.counts[:4].astype(np.int64)
    events = counts[:, REFERENCE.layout.cells(0)].sum(axis=1)
    detectors.add_rows(rows)
    detectors.feed(rows, counts, events, 0)
    assert len(detectors.close(rows, 10_000)) == 4
    _, thresholds = detectors.levels(rows)
    lowest = np.minimum.reduceat(plan.threshold.min(axis=1), table.starts)
    assert thresholds == pytest.approx(np.broadcast_to(lowest, thresholds.shape))
    spent = np.exp(-plan.threshold).sum() * len(rows)
    assert spent == pytest.approx(10_000 / WEEK_MS)


def test_series_and_directions_are_counted_over_rows() -> None:
    table = _MADE_UP.tolerance.table
    assert _MADE_UP.series == 4 * len(table.series)
    assert _MADE_UP.sides == 4 * (len(table.series) + int(table.compared.sum()))


def test_rows_get_their_share_of_the_events_and_wait_for_their_pool() -> None:
    plan = replace(_MADE_UP, traffic=np.array([1.0, 0.5, 0.01, 0.0]))
    events = np.full((4, 1, 2), 25.0)
    # Ten events a pane of 1 s: the whole looks every pane, half of it every second one.
    times = plan.times(events, 0.01, 1_000, 10)[:, 0, 0]
    assert times[:3].tolist() == [3_000, 6_000, 300_000]
    assert times[3] > 1e15


def test_the_traffic_of_rows_is_that_of_the_reference() -> None:
    events = REFERENCE.block.counts[:, REFERENCE.layout.cells(0)].sum(axis=1)
    assert _MADE_UP.traffic == pytest.approx(events[:4] / REFERENCE.events)
