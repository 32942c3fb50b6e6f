"""Excluded event time: detectors know nothing of it, everything else counts it."""

from dataclasses import replace

import numpy as np
import pytest

from streamgauge.core.batch import EventBatch
from streamgauge.core.detectors.specs import AttachedSpec, Exclusion, Feed, excluded
from streamgauge.core.engine import ModelEngine
from streamgauge.core.reference import Reference
from tests.support import batches
from tests.support.engines import (
    MINUTE,
    PANE,
    SECOND,
    SPEC,
    T0,
    engine,
    published,
    stream,
    watch,
    windowed,
)
from tests.support.made_up_model import MONTH_MS, made_up_events, made_up_reference

SALE = Exclusion(T0 + 205 * SECOND, T0 + 300 * SECOND)
"""It begins within the pane from 200 to 210 seconds."""
HIDDEN = Exclusion(T0 + 200 * SECOND, T0 + 300 * SECOND)
"""The panes that share any time with it."""
WITHOUT = replace(SPEC, exclusions=(SALE,))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return made_up_reference(made_up_events(40_000, span_ms=MONTH_MS, seed=1))


def sale(seed: int) -> EventBatch:
    """Ten minutes of events, those of hidden panes with four times the length."""
    batch = stream(seed, 20_000, 0, 600)
    numeric = batch.numeric.copy()
    numeric[0, during(batch)] *= 4
    return replace(batch, numeric=numeric)


def during(batch: EventBatch) -> np.ndarray:
    hidden: np.ndarray = (batch.timestamp >= HIDDEN.start) & (batch.timestamp < HIDDEN.end)
    return hidden


def test_a_pane_is_excluded_when_it_shares_any_time_with_an_exclusion() -> None:
    exclusions = (Exclusion(-25, -15), Exclusion(19, 21), Exclusion(40, 50), Exclusion(77, 78))
    times = np.arange(-100, 100)
    hidden = {t for e in exclusions for t in range(e.start, e.end)}
    expected = [any(t // 10 == h // 10 for h in hidden) for t in times.tolist()]
    assert excluded(exclusions, times, 10).tolist() == expected
    assert not excluded((), times, 10).any()


def test_excluded_panes_reach_no_detector_but_count_in_windows_and_counters() -> None:
    batch = sale(1)
    counted, without = engine(), engine(WITHOUT)
    shown, hidden = watch(counted), watch(without)
    for model in (counted, without):
        model.add(batch)
        model.advance(T0 + 10 * MINUTE)
    assert windowed(without) == windowed(counted)
    assert published(without.snapshot(None)) == published(counted.snapshot(None))
    kept = [(at, cells) for at, cells in shown.fed if not HIDDEN.start <= at < HIDDEN.end]
    assert len(kept) == len(shown.fed) - 10
    assert hidden.fed == kept
    ends = [end for end, _ in shown.closed if not HIDDEN.start < end <= HIDDEN.end]
    assert [end for end, _ in hidden.closed] == ends


def test_late_events_of_excluded_panes_reach_no_detector_either() -> None:
    model = engine(WITHOUT)
    recorder = watch(model)
    model.add(stream(2, 500, 0, 310))
    model.advance(T0 + 310 * SECOND)
    before = len(recorder.fed)
    model.add(stream(3, 50, 281, 310))
    late = recorder.fed[before:]
    assert {start for start, _ in late} == {T0 + 300 * SECOND}
    assert model.late.revised == 50


@pytest.mark.parametrize("late", [False, True])
def test_detectors_are_as_if_excluded_events_had_never_been(
    reference: Reference, late: bool
) -> None:
    specs = (AttachedSpec("adwin", "length"), AttachedSpec("kswin", "score", Feed.PANE))
    spec = replace(WITHOUT, attached=specs)
    batch = sale(4)
    others = batches.take(batch, np.flatnonzero(~during(batch)))
    one, other = engine(spec, reference), engine(replace(spec, exclusions=()), reference)
    records = []
    for model, given in ((one, batch), (other, others)):
        first = given.timestamp < T0 + 310 * SECOND
        if late:
            on_time = first & (given.timestamp % 3 > 0)
            model.add(batches.take(given, np.flatnonzero(on_time)))
            model.advance(T0 + 310 * SECOND)
            given = batches.take(given, np.flatnonzero(~on_time))
        model.add(given)
        records.append(model.advance(T0 + 10 * MINUTE))
    assert evidence(one) == evidence(other) != {}
    # Values fed out of order may alarm River's detectors, but they do so in both alike.
    assert {record.detector for record in records[0]} <= {"river.adwin", "river.kswin"}
    assert repr(records[0]) == repr(records[1])


def test_without_an_exclusion_the_same_events_raise_an_alert(reference: Reference) -> None:
    model = engine(SPEC, reference)
    model.add(sale(4))
    assert {r.subject.name for r in model.advance(T0 + 10 * MINUTE)} == {"length"}


def test_a_fault_that_outlasts_an_exclusion_is_found_after_it(reference: Reference) -> None:
    batch = stream(5, 20_000, 0, 600)
    numeric = batch.numeric.copy()
    numeric[0, batch.timestamp >= HIDDEN.start] *= 4
    model = engine(WITHOUT, reference)
    model.add(replace(batch, numeric=numeric))
    fired = model.advance(T0 + 10 * MINUTE)[0]
    assert HIDDEN.end < fired.starts_at <= HIDDEN.end + 3 * PANE


@pytest.mark.parametrize("late", [False, True])
def test_a_change_after_an_exclusion_is_dated_and_measured_without_it(
    reference: Reference, late: bool
) -> None:
    batch = sale(6)
    numeric = batch.numeric.copy()
    numeric[0, batch.timestamp >= HIDDEN.end] *= 2
    batch = replace(batch, numeric=numeric)
    others = batches.take(batch, np.flatnonzero(~during(batch)))
    said = []
    for spec, given in ((WITHOUT, batch), (SPEC, others)):
        model = engine(spec, reference)
        held = late & (given.timestamp % 3 == 0) & (given.timestamp < T0 + 310 * SECOND)
        model.add(batches.take(given, np.flatnonzero(~held)))
        records = list(model.advance(T0 + 310 * SECOND))
        model.add(batches.take(given, np.flatnonzero(held)))
        said.append([*records, *model.advance(T0 + 10 * MINUTE)])
    assert said[0] == said[1]
    assert said[0][0].onset == HIDDEN.end


def evidence(model: ModelEngine) -> dict[tuple[object, ...], tuple[float, ...]]:
    """Evidence, threshold and overdispersion by row and subject, where there are any."""
    stats = model.snapshot(None).detectors
    assert stats is not None
    return {
        (key, subject): (stats.evidence[i, s], stats.threshold[i, s], stats.dispersion[i, s])
        for i, key in enumerate(stats.rows)
        for s, subject in enumerate(stats.subjects)
        if stats.evidence[i, s]
    }
