"""The engine on made-up event time: what closes when, what is looked at, and what comes of it."""

from dataclasses import replace

import numpy as np
import pytest

from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.batch import EventBatch
from streamgauge.core.engine import ModelEngine
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.reference import Reference, SliceKey
from streamgauge.core.slices import RowKey
from streamgauge.core.windows import WindowSpec
from tests.support import batches
from tests.support.engines import (
    LAYOUT,
    MINUTE,
    PANE,
    SECOND,
    SPEC,
    T0,
    engine,
    in_groups,
    joined_version,
    parts,
    published,
    recounted,
    stream,
    watch,
    windowed,
)
from tests.support.made_up_model import MONTH_MS, made_up_events, made_up_reference

LENGTH = Subject(SubjectKind.FEATURE, "length")
RED = (("colour", "red"),)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return made_up_reference(made_up_events(40_000, span_ms=MONTH_MS, seed=1))


def faulty(batch: EventBatch, begin: int, end: int) -> EventBatch:
    """The events with `length` four times as large in red ones between two seconds."""
    since = (batch.timestamp - T0) // SECOND
    hit = (batch.categorical[0].codes == 0) & (since >= begin) & (since < end)
    numeric = batch.numeric.copy()
    numeric[0, hit] *= 4
    return replace(batch, numeric=numeric)


def at(*seconds: float) -> EventBatch:
    """Events of version 1 at these seconds after T0."""
    batch = stream(9, len(seconds), 0, 10)
    return replace(batch, timestamp=T0 + (np.array(seconds) * SECOND).astype(np.int64))


def totals(engine: ModelEngine) -> int:
    """All events in the counters, of the versions' wholes."""
    counters = published(engine.snapshot(None))
    return sum(sum(cells[LAYOUT.cells(0)]) for key, cells in counters.items() if not key.slice)


def fault_run(reference: Reference) -> tuple[AlertRecord, ...]:
    """Twenty minutes with a fault in red events from the fifth to the eighth."""
    one_window = replace(SPEC, windows=SPEC.windows[:1])
    model = engine(one_window, reference)
    model.add(faulty(stream(5, 40_000, 0, 1_200), 240, 420))
    return model.advance(T0 + 20 * MINUTE)


def test_windows_hold_exactly_the_events_of_their_time() -> None:
    model = engine()
    batch = stream(1, 600, 0, 300)
    model.add(batch)
    model.advance(T0 + 287 * SECOND)
    assert windowed(model) == {
        "1m": (T0 + 280 * SECOND, recounted(batch, T0 + 220 * SECOND, T0 + 280 * SECOND)),
        "4m": (T0 + 280 * SECOND, recounted(batch, T0 + 40 * SECOND, T0 + 280 * SECOND)),
    }


def test_the_counters_hold_everything_open_panes_included() -> None:
    model = engine()
    batch = stream(2, 500, 0, 100)
    for part in parts(batch, 90):
        model.add(part)
        model.advance(int(part.timestamp.max()) - 20 * SECOND)
    snapshot = model.snapshot(T0)
    assert published(snapshot) == recounted(batch)
    assert snapshot.last_event == batch.timestamp.max()
    assert snapshot.late_events == 0
    assert snapshot.watermark == T0


def test_counted_sums_are_those_of_the_values_themselves() -> None:
    model = engine()
    batch = stream(2, 500, 0, 100)
    model.add(batch)
    model.advance(T0 + MINUTE)
    counters = model.snapshot(None).counters
    assert counters is not None
    row = counters.rows.index(RowKey("1"))
    length = LAYOUT.numeric.index(5)
    values = batch.numeric[0][batch.ok]
    expected = values[np.isfinite(values)].sum()
    np.testing.assert_allclose(counters.sums[row, length], expected)


def test_how_often_time_is_advanced_makes_no_difference(reference: Reference) -> None:
    batch = faulty(stream(5, 12_000, 0, 480), 240, 420)
    once = engine(SPEC, reference)
    once.add(batch)
    expected = once.advance(T0 + 9 * MINUTE)
    assert expected
    often = engine(SPEC, reference)
    often.add(batch)
    found: list[AlertRecord] = []
    for moment in range(T0 - MINUTE, T0 + 9 * MINUTE + 1, 7 * SECOND):
        found += often.advance(moment)
    found += often.advance(T0 + 9 * MINUTE)
    assert tuple(found) == expected
    assert windowed(often) == windowed(once)
    assert published(often.snapshot(None)) == published(once.snapshot(None))


def test_events_that_come_bit_by_bit_lead_to_the_same_alerts(reference: Reference) -> None:
    batch = faulty(stream(5, 12_000, 0, 480), 240, 420)
    once = engine(SPEC, reference)
    once.add(batch)
    expected = once.advance(T0 + 9 * MINUTE)
    gradually = engine(SPEC, reference)
    found: list[AlertRecord] = []
    for part in parts(batch, 700):
        gradually.add(part)
        found += gradually.advance(int(part.timestamp.min()))
    found += gradually.advance(T0 + 9 * MINUTE)
    assert tuple(found) == expected
    assert windowed(gradually) == windowed(once)


def test_time_does_not_go_back() -> None:
    model = engine()
    model.add(at(5, 15, 25, 95))
    model.advance(T0 + 30 * SECOND)
    before = windowed(model)
    assert model.advance(T0 + 10 * SECOND) == ()
    assert model.closed == T0 + 30 * SECOND
    assert windowed(model) == before


def test_panes_are_judged_one_by_one_with_windows_as_they_were_then() -> None:
    model = engine()
    recorder = watch(model)
    batch = stream(3, 300, 0, 300)
    model.add(batch)
    model.advance(T0 + 300 * SECOND)
    starts = range(T0, T0 + 300 * SECOND, PANE)
    assert recorder.fed == [
        (start, in_groups(recounted(batch, start, start + PANE))) for start in starts
    ]
    assert recorder.closed == [(start + PANE, set(cells)) for start, cells in recorder.fed]
    assert recorder.judged == recorder.closed
    # The window of four minutes moves at every other step of the other one.
    for (now, _), ends in zip(recorder.judged, recorder.window_ends, strict=True):
        steps = now // PANE * PANE, now // (2 * PANE) * (2 * PANE)
        assert ends == [steps[0], steps[1] if steps[1] > T0 else None]


def test_a_version_is_looked_at_from_its_first_pane_on() -> None:
    model = engine()
    recorder = watch(model)
    model.add(stream(3, 300, 0, 200))
    model.add(joined_version(stream(4, 150, 100, 200), "2"))
    model.advance(T0 + 200 * SECOND)
    first: dict[str, int] = {}
    for now, keys in recorder.judged:
        for key in keys:
            first.setdefault(key.version, now - T0)
    assert first == {"1": PANE, "2": 100 * SECOND + PANE}


def test_late_events_within_the_grace_still_count_in_their_windows() -> None:
    model = engine()
    batch, late = at(5, 25, 45, 55), at(31, 39)
    model.add(batch)
    model.advance(T0 + MINUTE)
    model.add(late)
    assert model.late == (2, 0)
    assert model.snapshot(None).late_events == 2
    both = recounted(batch)
    for key, cells in recounted(late).items():
        both[key] = [a + b for a, b in zip(both.get(key, [0] * len(cells)), cells, strict=True)]
    assert windowed(model)["1m"] == (T0 + MINUTE, both)
    assert published(model.snapshot(None)) == both


def test_events_that_are_too_late_are_counted_and_dropped() -> None:
    model = engine()
    batch = at(5, 25, 45, 55)
    model.add(batch)
    model.advance(T0 + MINUTE)
    before = windowed(model)
    model.add(at(1, 9, 29, 31))
    assert model.late == (1, 3)
    assert totals(model) + model.late.dropped == 8
    assert before != windowed(model)
    model.add(at(29.9))
    assert model.late == (1, 4)


def test_the_grace_ends_where_a_pane_began_before_it() -> None:
    """Panes are late as a whole: one that the grace cuts through is dropped as a whole."""
    model = engine(replace(SPEC, grace_ms=25 * SECOND))
    model.add(at(55))
    model.advance(T0 + MINUTE)
    model.add(at(35, 39, 41))
    assert model.late == (1, 2)


def test_late_events_reach_the_detectors_unless_they_are_too_late() -> None:
    model = engine()
    recorder = watch(model)
    model.add(at(5, 25, 45, 55))
    model.advance(T0 + MINUTE)
    late = at(31, 39)
    on_time = len(recorder.fed)
    model.add(late)
    fed = recorder.fed[on_time:]
    assert {start for start, _ in fed} == {T0 + 30 * SECOND}
    items = [item for _, cells in fed for item in cells.items()]
    assert sorted(items) == sorted(in_groups(recounted(late)).items())
    model.add(at(1, 29.9))
    assert recorder.fed[on_time:] == fed
    assert len(recorder.closed) == 4, "a late pane is not closed a second time"


def test_a_version_that_only_late_events_have_is_no_obstacle(reference: Reference) -> None:
    model = engine(SPEC, reference)
    model.add(stream(3, 200, 0, 60))
    model.advance(T0 + MINUTE)
    model.add(joined_version(at(45), "2"))
    model.add(stream(4, 400, 60, 180))
    assert model.advance(T0 + 3 * MINUTE) == ()
    assert model.late == (1, 0)
    assert RowKey("2") in published(model.snapshot(None))


def test_a_gap_in_event_time_empties_the_windows_and_ends_there() -> None:
    model = engine()
    recorder = watch(model)
    model.add(at(5, 15))
    model.add(at(36_000, 36_005))
    model.advance(T0 + 36_010 * SECOND)
    looks = [now for now, _ in recorder.judged]
    assert len(looks) < 40, "ten hours of silence are not walked through step by step"
    assert max(look for look in looks if look < T0 + 30_000 * SECOND) <= T0 + 5 * MINUTE
    late = recounted(at(36_000, 36_005))
    assert windowed(model)["1m"] == (T0 + 36_010 * SECOND, late)
    assert totals(model) == 4


def test_silence_is_looked_at_until_the_windows_are_empty() -> None:
    """Alerts can end only where somebody looks."""
    model = engine()
    recorder = watch(model)
    model.add(at(5, 15))
    model.advance(T0 + 10 * MINUTE)
    assert [end for end, _ in recorder.closed] == [T0 + PANE, T0 + 2 * PANE]
    silent = [now for now, keys in recorder.judged if not keys]
    assert silent == list(range(T0 + 3 * PANE, T0 + 80 * SECOND + 1, PANE)) + list(
        range(T0 + 100 * SECOND, T0 + 260 * SECOND + 1, 2 * PANE)
    )


def test_a_fault_in_one_slice_fires_there_and_resolves_when_it_is_gone(
    reference: Reference,
) -> None:
    records = fault_run(reference)
    assert {record.subject for record in records} == {LENGTH}
    assert len({record.alert_id for record in records}) == 1
    fired, resolved = records[0], records[-1]
    assert (fired.status, fired.model_version, fired.slice) == (AlertStatus.FIRING, "1", RED)
    assert fired.onset is not None
    assert abs(fired.onset - (T0 + 240 * SECOND)) <= PANE
    assert T0 + 240 * SECOND < fired.starts_at <= T0 + 300 * SECOND
    assert "mean" in fired.summary
    assert fired.statistic >= fired.threshold
    assert resolved.status is AlertStatus.RESOLVED
    # Small slices took minutes to show it, and are clear after twice as many events.
    assert resolved.ends_at is not None
    assert T0 + 480 * SECOND <= resolved.ends_at <= T0 + 1_200 * SECOND
    assert all(("colour", "red") in record.slice for record in records)
    assert [record.revision for record in records] == list(range(1, len(records) + 1))


def test_every_revision_is_dated_by_the_slice_that_speaks(reference: Reference) -> None:
    """Two faults of one feature at different times, in slices that share no event."""
    batch = faulty(stream(5, 24_000, 0, 540), 240, 540)
    numeric = batch.numeric.copy()
    green = (batch.categorical[0].codes == 1) & (batch.timestamp >= T0 + 360 * SECOND)
    numeric[0, green] /= 5
    model = engine(replace(SPEC, windows=SPEC.windows[:1]), reference)
    model.add(replace(batch, numeric=numeric))
    records = [r for r in model.advance(T0 + 9 * MINUTE) if r.subject == LENGTH]
    begun: dict[SliceKey, int] = {RED: 240, (("colour", "green"),): 360}
    assert {record.slice for record in records} == set(begun)
    for record in records:
        assert record.onset is not None
        assert abs(record.onset - (T0 + begun[record.slice] * SECOND)) <= PANE


def test_a_clean_stream_raises_no_alert(reference: Reference) -> None:
    model = engine(SPEC, reference)
    model.add(stream(6, 24_000, 0, 720))
    assert model.advance(T0 + 12 * MINUTE) == ()
    snapshot = model.snapshot(None)
    assert snapshot.alerts == ()
    assert snapshot.alerts_fired
    assert not any(snapshot.alerts_fired.values())


def test_values_that_go_missing_are_dated(reference: Reference) -> None:
    batch = stream(7, 12_000, 0, 360)
    numeric = batch.numeric.copy()
    hit = (batch.timestamp >= T0 + 250 * SECOND) & (np.random.default_rng(1).random(12_000) < 0.3)
    numeric[1, hit] = np.nan
    model = engine(SPEC, reference)
    model.add(replace(batch, numeric=numeric))
    records = model.advance(T0 + 6 * MINUTE)
    missing = [record for record in records if record.subject.name == "steps.missing"]
    assert missing[0].subject.kind is SubjectKind.DATA_QUALITY
    # At worst the beginning of the long window's step in which they began.
    assert missing[0].onset in (T0 + 240 * SECOND, T0 + 250 * SECOND)
    assert model.snapshot(None).alerts_fired["data_quality", "e_detector", "warning"] >= 1


def test_without_a_reference_everything_is_counted_and_nothing_compared() -> None:
    model = engine()
    model.add(faulty(stream(5, 6_000, 0, 360), 240, 360))
    assert model.advance(T0 + 6 * MINUTE) == ()
    snapshot = model.snapshot(T0 + 6 * MINUTE)
    assert snapshot.reference_id is None
    assert [window.window for window in snapshot.windows] == ["1m", "4m"]
    assert all(not item.raw for window in snapshot.windows for item in window.fields)
    assert model.watches() == ()


def test_a_learned_reference_is_compared_with_from_then_on(reference: Reference) -> None:
    model = engine(replace(SPEC, windows=SPEC.windows[:1]))
    model.add(stream(8, 6_000, 0, 240))
    assert model.advance(T0 + 4 * MINUTE) == ()
    model.learned(reference, "learned-1")
    model.add(faulty(stream(9, 6_000, 240, 480), 300, 480))
    records = model.advance(T0 + 8 * MINUTE)
    assert records[0].slice == RED
    snapshot = model.snapshot(None)
    assert snapshot.reference_id == "learned-1"
    row = snapshot.windows[0].rows.index(RowKey("1"))
    assert all(
        np.isfinite(item.raw["tvd"][row])
        for item in snapshot.windows[0].fields
        if item.subject.kind is SubjectKind.FEATURE
    )


def test_slices_of_a_learned_reference_have_rows_whatever_came_first(
    reference: Reference,
) -> None:
    model = engine(replace(SPEC, max_slices=1))
    model.add(stream(8, 50, 0, 20))
    crowded = {key for key in model.registry.keys if key.slice}
    assert any("(overflow)" in key.label() for key in crowded)
    model.learned(reference, "learned-1")
    batch = stream(9, 2_000, 20, 60)
    model.add(batch)
    known = {key for key in recounted(batch) if reference.row(key.slice) is not None}
    assert known <= set(model.registry.keys)


def test_slices_with_least_traffic_are_left_out_of_the_snapshot() -> None:
    model = engine(replace(SPEC, exported_slices=5))
    batch = stream(2, 900, 0, 100)
    model.add(batch)
    model.advance(T0 + 2 * MINUTE)
    snapshot = model.snapshot(None)
    every = recounted(batch)
    traffic = {key: sum(cells[LAYOUT.cells(0)]) for key, cells in every.items() if key.slice}
    most = sorted(traffic, key=lambda key: (-traffic[key], key))[:5]
    shown = published(snapshot)
    assert {key for key in shown if key.slice} == set(most)
    assert all(cells == every[key] for key, cells in shown.items())
    assert RowKey("1") in shown
    assert snapshot.dropped_rows == len(every) - len(shown)
    assert {key for window in snapshot.windows for key in window.rows if key.slice} <= set(most)


def test_a_slice_with_an_alert_is_shown_however_small_it_is(reference: Reference) -> None:
    model = engine(replace(SPEC, windows=SPEC.windows[:1], exported_slices=1), reference)
    model.add(faulty(stream(5, 24_000, 0, 420), 240, 420))
    model.advance(T0 + 7 * MINUTE)
    snapshot = model.snapshot(None)
    (alert,) = snapshot.alerts
    assert alert.slice == RED
    assert {key for key in published(snapshot) if key.slice} == {RowKey("1", RED)}


def test_values_that_the_reference_never_held_are_named() -> None:
    model = engine()
    batch = stream(2, 900, 0, 100)
    for part in parts(batch, 200):
        model.add(part)
    puce = (batch.categorical[0].codes == batches.COLOURS.index("puce")) & batch.ok
    assert model.snapshot(None).unseen_values == {"colour": (("puce", int(puce.sum())),)}


def test_a_window_that_has_not_moved_is_not_summarised_again() -> None:
    model = engine()
    model.add(stream(2, 300, 0, 100))
    model.advance(T0 + 50 * SECOND)
    first = model.snapshot(None).windows
    model.add(stream(3, 300, 50, 100))
    second = model.snapshot(None).windows
    assert all(one is other for one, other in zip(first, second, strict=True))
    model.add(at(45))
    late = model.snapshot(None).windows
    assert late[0].events.sum() > first[0].events.sum()


def test_an_empty_batch_and_a_new_engine_are_nothing_special() -> None:
    model = engine()
    model.add(batches.events(np.random.default_rng(1), 0))
    assert model.advance(T0) == ()
    snapshot = model.snapshot(None)
    assert snapshot.last_event is None
    assert snapshot.windows == ()
    assert published(snapshot) == {}


def test_memory_of_the_windows_is_told() -> None:
    model = engine(replace(SPEC, windows=(WindowSpec("1m", MINUTE, PANE),)))
    assert model.nbytes == 0
    model.add(stream(2, 300, 0, 100))
    model.advance(T0 + 100 * SECOND)
    assert model.nbytes > 300
