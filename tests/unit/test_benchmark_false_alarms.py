"""Parts of the benchmark of false alarms: its references, its stacked runs and its interval."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.false_alarms import interval
from benchmarks.nulls import (
    AMOUNT,
    COLOUR,
    RATES,
    REGIONS,
    SCHEMA,
    SLICES,
    START_MS,
    beta_binomial,
    constant,
    draw,
    laws,
    layout,
    reference_of,
)
from benchmarks.regimes import REGIMES, Regime, simulate
from benchmarks.stacked import Alarm, alarms
from streamgauge.core.batch import Categories, EventBatch, IntArray, NumericFaults
from streamgauge.core.bins import Special
from streamgauge.core.detectors.e_detectors import EDetectors
from streamgauge.core.detectors.series import series_table
from streamgauge.core.detectors.tolerance import measure_tolerance
from streamgauge.core.findings import Verdict
from streamgauge.core.layout import Subject
from streamgauge.core.reference import ReferenceBuilder
from streamgauge.core.timeline import HOUR_MS

_LATE = next(regime for regime in REGIMES if regime.name.endswith("appear"))
_SKIPPED = int(_LATE.joins.max()) - 40
LATE = replace(_LATE, rates=_LATE.rates[_SKIPPED:], joins=np.maximum(_LATE.joins - _SKIPPED, 0))
"""Slices and a version that appear after 40 panes."""


def events_of(rng: np.random.Generator, counts: IntArray) -> EventBatch:
    """Events that fall in these cells `(T, 3, W)`, hour by hour and region; no wrong types."""
    events = counts[..., :2].sum(axis=-1).ravel()
    n = int(events.sum())
    ok = _cells(counts, np.array([0, 1]), events) == 0
    hour, region = np.divmod(np.repeat(np.arange(len(events)), events), len(REGIONS))
    number = _cells(counts, _values(AMOUNT), events)
    nothing, texts = np.full(n, np.nan), Categories(np.full(n, -1, np.int32), ())
    return EventBatch(
        schema=SCHEMA,
        timestamp=START_MS + hour * HOUR_MS + rng.integers(0, HOUR_MS, n),
        partition=np.zeros(n, np.int32),
        version=texts,
        numeric=np.where(number < 0, np.nan, number - 0.5)[None],
        faults=NumericFaults(*(np.empty(0, np.int32) for _ in range(3))),
        categorical=(
            Categories(_cells(counts, _values(COLOUR), events).astype(np.int32), tuple("pqrstu")),
        ),
        tags=(Categories(region.astype(np.int32), REGIONS),),
        prediction=nothing,
        score=nothing,
        latency=nothing,
        ok=ok,
        label=nothing,
    )


def _cells(counts: IntArray, cells: IntArray, events: IntArray) -> IntArray:
    """The place among `cells` of each event, −1 of those that are in none of them."""
    inside = counts[..., cells].reshape(len(events), -1)
    each = np.concatenate([inside, (events - inside.sum(axis=1))[:, None]], axis=1)
    return np.repeat(np.tile([*range(len(cells)), -1], len(events)), each.ravel())


def _values(subject: Subject) -> IntArray:
    start, bins = _field(subject)
    return np.arange(start, start + bins)


def _field(subject: Subject) -> tuple[int, int]:
    position = layout().position(subject)
    assert position is not None
    return layout().starts[position], layout().fields[position].bins.value_bins


def test_references_are_those_that_the_builder_makes_of_such_events() -> None:
    rng = np.random.default_rng(3)
    counts = draw(rng, constant, np.zeros(2), np.tile(RATES / 10, (600, 1)), 0)
    for subject in (AMOUNT, COLOUR):
        start, bins = _field(subject)
        missing = start + bins + Special.MISSING
        counts[..., missing] += counts[..., missing + 1]
        counts[..., missing + 1] = 0
    builder = ReferenceBuilder(layout(), SLICES)
    builder.add(events_of(rng, counts))
    built, drawn = builder.finish(), reference_of(counts, timed=True)
    assert built.rows == drawn.rows
    np.testing.assert_array_equal(built.block.counts, drawn.block.counts)
    np.testing.assert_array_equal(built.hour_of_week, drawn.hour_of_week)
    assert built.panes is not None
    assert drawn.panes is not None
    assert built.panes.length_ms == drawn.panes.length_ms == 2 * HOUR_MS
    np.testing.assert_array_equal(built.panes.panes, drawn.panes.panes)
    np.testing.assert_array_equal(built.panes.counts, drawn.panes.counts)


def test_drawn_counts_are_as_overdispersed_as_said() -> None:
    rng = np.random.default_rng(4)
    counts = draw(rng, beta_binomial(10.0), np.zeros(2), np.tile(RATES, (5000, 1)), 0)
    start, bins = _field(AMOUNT)
    upper = counts[:, 0, start + bins // 2 : start + bins].sum(axis=1)
    served = counts[:, 0, 0]
    share = float(upper.sum() / served.sum())
    phi = np.mean((upper - served * share) ** 2 / (served * share * (1.0 - share)))
    assert phi == pytest.approx(10.0, rel=0.08)
    assert all(law.share.sum() == pytest.approx(1.0) for law in laws(np.zeros(2)))


def alone(regime: Regime, seed: int, *, hours: int) -> list[tuple[int, int, int]]:
    """Alarms (row, subject, pane) of one run in detectors of its own."""
    reference, stream = simulate(regime, np.random.default_rng(seed))
    table = series_table(layout(), reference.block.counts[0].astype(np.int64), None)
    tolerance = measure_tolerance(reference, table, 0.0)
    detectors = EDetectors(tolerance, 0.5, np.ones(len(table.series)), 30)
    own: list[int] = []
    before: set[tuple[int, int]] = set()
    found = []
    for pane in range(hours):
        joining = np.flatnonzero(regime.joins == pane)
        if len(joining):
            detectors.add_rows(regime.known[joining])
            own += joining.tolist()
        rows = np.arange(len(own))
        counts = stream[pane, own]
        detectors.feed(rows, counts, counts[:, :2].sum(axis=1), pane * HOUR_MS)
        updated = detectors.close(rows, (pane + 1) * HOUR_MS)
        said = detectors.evidence(updated, ())
        found += [
            (own[each.row], each.subject, pane)
            for each in said
            if each.verdict is Verdict.DRIFT and (each.row, each.subject) not in before
        ]
        kept = {pair for pair in before if pair[0] not in updated.tolist()}
        before = kept | {(each.row, each.subject) for each in said}
    return found


@pytest.mark.parametrize("regime", [LATE, REGIMES[3], REGIMES[-1]], ids=lambda each: each.name)
def test_stacked_runs_alarm_as_each_of_them_does_alone(regime: Regime) -> None:
    hours = int(regime.joins.max()) + 100
    drawn = [simulate(regime, np.random.default_rng(seed)) for seed in range(3)]
    table = series_table(layout(), drawn[0][0].block.counts[0].astype(np.int64), None)
    tolerances = [measure_tolerance(reference, table, 0.0) for reference, _ in drawn]
    streams = np.stack([stream[:hours] for _, stream in drawn])
    stacked = alarms(regime, tolerances, streams, spending=0.5, pool=30, start=0)
    wanted = [
        Alarm(seed, *found) for seed in range(3) for found in alone(regime, seed, hours=hours)
    ]
    assert len(wanted) > 0
    assert set(stacked) == set(wanted)
    assert len(stacked) == len(wanted)


def test_the_interval_covers_alarms_that_come_in_crowds_and_none_at_all() -> None:
    none = interval(np.zeros(1000, np.int64))
    assert (none.mean, none.lower) == (0.0, 0.0)
    assert none.upper == pytest.approx(0.00369, abs=1e-5)
    crowds = interval(np.repeat([0, 10], [90, 10]))
    assert crowds.mean == 1.0
    assert crowds.upper == pytest.approx(1.0 + 1.96 * 0.3015, abs=1e-3)
    assert interval(np.full(100, 1)).upper == pytest.approx(1.216, abs=1e-3)
