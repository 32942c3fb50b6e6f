"""What people see of an engine's alerts: how many, how worded, and which can be expected."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from streamgauge.core.alerts.policy import AlertPolicy, Severity, budget_levels
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import Categories, EventBatch
from streamgauge.core.detectors.specs import AttachedSpec
from streamgauge.core.engine import ModelEngine
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.reference import Reference
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.windows import WindowSpec
from tests.support.engines import MINUTE, PANE, SECOND, SPEC, T0, engine, parts, stream
from tests.support.made_up_model import MONTH_MS, made_up_events, made_up_reference

SLICES = (SliceSpec((Dimension("region"),)),)
REGIONS = tuple(f"region-{i}" for i in range(200))
FAULT = 150 * SECOND
LENGTH = Subject(SubjectKind.FEATURE, "length")


def spread(batch: EventBatch, seed: int) -> EventBatch:
    """The events, evenly spread over two hundred regions."""
    codes = np.random.default_rng(seed).integers(0, 200, len(batch)).astype(np.int32)
    return replace(batch, tags=(Categories(codes, REGIONS),))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return made_up_reference(spread(made_up_events(60_000, span_ms=MONTH_MS, seed=1), 2), SLICES)


def fault_run(reference: Reference, regions: range) -> tuple[ModelEngine, list[AlertRecord]]:
    """Six minutes in which `length` is four times as large in some regions from FAULT on."""
    batch = spread(stream(5, 100_000, 0, 360), 6)
    numeric = batch.numeric.copy()
    hit = np.isin(batch.tags[0].codes, regions) & (batch.timestamp >= T0 + FAULT)
    numeric[0, hit] *= 4
    model = engine(replace(SPEC, slices=SLICES), reference)
    model.add(replace(batch, numeric=numeric))
    return model, list(model.advance(T0 + 6 * MINUTE))


def test_a_fault_of_one_feature_in_two_hundred_slices_is_one_alert(reference: Reference) -> None:
    model, records = fault_run(reference, range(200))
    of_it = [record for record in records if record.subject == LENGTH]
    assert [(record.slice, record.revision) for record in of_it] == [((), 1)]
    # Four times the length is out of range in some events, which is an alert of its own.
    assert {record.subject.name for record in records} <= {"length", "length.out_of_range"}
    assert all(not record.slice for record in records)
    assert len(model.book.watched()) > 150, "most slices have evidence of their own"
    # What, how much, against what, since when, how sure.
    assert re.fullmatch(
        r"length of made-up version 1: mean 2\.0\d* to 8\.\d+ \(\+\d+%\), "
        r"share of events that moved [\d.]+ % \[[\d.]+ % to [\d.]+ %\] against the reference, "
        r"since 2025-11-24 16:02:30 UTC "
        r"\([\d,]+ events, evidence over a trillion times what the budget of false alarms asks "
        r"for\)\.",
        of_it[0].summary,
    ), of_it[0].summary


def test_a_fault_in_three_slices_is_one_alert_that_speaks_of_them(reference: Reference) -> None:
    model, records = fault_run(reference, range(3))
    assert len({record.alert_id for record in records}) == 1
    broken = {(("region", region),) for region in REGIONS[:3]}
    assert {record.slice for record in records} <= broken
    assert {row.slice for row, subject in model.book.watched()} == broken


def test_a_fault_that_stands_is_not_told_again_and_again() -> None:
    """Slices are looked at in turn, in a window that their changes fill or do not."""
    windows = (WindowSpec("2m", 2 * MINUTE, PANE), WindowSpec("10m", 10 * MINUTE, MINUTE))
    batch = stream(7, 60_000, 0, 1_000)
    since = batch.timestamp >= T0 + 400 * SECOND
    lost, failed = np.random.default_rng(8).random((2, len(batch))) < 0.3
    numeric = batch.numeric.copy()
    numeric[1, since & lost] = np.nan
    known = made_up_reference(made_up_events(40_000, span_ms=MONTH_MS, seed=1))
    model = engine(replace(SPEC, windows=windows), known)
    model.add(replace(batch, numeric=numeric, ok=batch.ok & ~(since & failed)))
    revisions = Counter(record.subject.name for record in model.advance(T0 + 1_000 * SECOND))
    assert set(revisions) == {"steps.missing", "status"}
    assert len(model.book.watched()) > 20, "many slices have evidence of their own"
    assert max(revisions.values()) <= 2, revisions


def test_it_is_the_same_however_far_ahead_events_are_read() -> None:
    """A version that fails from its first event on, known before its first pane is closed or not.

    Its change is measured from its first pane on.
    """
    began = 1_000 * SECOND
    batch = stream(7, 20_000, 0, 1_200)
    late = (batch.timestamp >= T0 + began) & (np.arange(len(batch)) % 2 == 0)
    version = Categories(late.astype(np.int32), ("1", "2"))
    batch = replace(batch, version=version, ok=batch.ok & ~late)
    known = made_up_reference(made_up_events(20_000, span_ms=MONTH_MS, seed=1))
    found = []
    for size in (100, len(batch)):
        model = engine(replace(SPEC, min_samples=50), known)
        records: list[AlertRecord] = []
        for part in parts(batch, size):
            model.add(part)
            records += model.advance(int(part.timestamp.max()))
        found.append(records)
    assert found[0] == found[1]
    assert [record.onset for record in found[0]] == [T0 + began]


def test_every_severity_that_can_be_reached_is_counted_from_zero(reference: Reference) -> None:
    budgets = {Severity.INFO: 1.0, Severity.WARNING: 0.1, Severity.CRITICAL: 0.01}
    attached = (AttachedSpec("adwin", "length"),)

    def expected(policy: AlertPolicy) -> dict[str, set[str]]:
        model = engine(replace(SPEC, policy=policy, attached=attached), reference)
        fired = model.snapshot(None).alerts_fired
        assert not any(fired.values())
        found: dict[str, set[str]] = {}
        for kind, detector, severity in fired:
            found.setdefault(f"{detector} {kind}", set()).add(severity)
        return found

    # Without budgets of their own, severities are a matter of what the alert is about.
    plain = expected(AlertPolicy())
    assert plain["e_detector feature"] == plain["river.adwin feature"] == {"warning"}
    assert plain["e_detector service"] == {"critical"}
    all_three = expected(AlertPolicy(levels=budget_levels(budgets)))
    assert all_three["e_detector feature"] == {"info", "warning", "critical"}
    assert all_three["e_detector service"] == {"info", "warning", "critical"}
    # River's detectors have no evidence that could reach a smaller budget.
    assert all_three["river.adwin feature"] == {"info"}
    del budgets[Severity.CRITICAL]
    two = expected(AlertPolicy(levels=budget_levels(budgets)))
    assert two["e_detector feature"] == {"info", "warning"}
    assert two["e_detector service"] == {"critical"}
