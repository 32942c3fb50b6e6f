"""References against recounts: what is in them, over slices and over time."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from streamgauge.core.batch import EventBatch
from streamgauge.core.blocks import SUM
from streamgauge.core.layout import folded_widths
from streamgauge.core.reference import (
    Reference,
    ReferenceBuilder,
    Source,
    merge_references,
    reference_keys,
)
from streamgauge.core.slices import SliceSpec
from streamgauge.core.timeline import HOUR_MS, MOST_PANES, hour_of_week, pane_length
from tests.support import batches

LAYOUT = batches.layout()
DAY = 24 * HOUR_MS


def build(*parts: EventBatch, slices: tuple[SliceSpec, ...] = batches.SLICES) -> Reference:
    builder = ReferenceBuilder(LAYOUT, slices)
    for part in parts:
        builder.add(part)
    return builder.finish()


def events(seed: int, n: int = 300, span_ms: int = 3 * DAY) -> EventBatch:
    return batches.events(np.random.default_rng(seed), n, span_ms=span_ms)


def test_every_slice_has_the_counts_of_its_events() -> None:
    batch = events(1)
    reference = build(batch)
    expected: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for event in range(len(batch)):
        cells = [cell for cell, _ in batches.cells(LAYOUT, batch, event)]
        for spec in (SliceSpec(()), *batches.SLICES):
            counts = expected.setdefault(batches.slice_key(batch, spec, event), [0] * LAYOUT.width)
            for cell in cells:
                counts[cell] += 1
    assert set(reference.rows) == set(expected)
    for key, counts in expected.items():
        row = reference.row(key)
        assert row is not None
        assert reference.block.counts[row].tolist() == counts


def test_the_whole_comes_first_then_single_slices_in_order() -> None:
    rows = build(events(2)).rows
    assert rows[0] == ()
    assert list(rows) == sorted(rows, key=lambda key: (len(key), key))
    assert reference_keys(build(events(2))) == set(rows[1:])


def test_the_number_of_events_includes_those_with_errors() -> None:
    batch = events(3)
    assert not batch.ok.all()
    assert build(batch).events == len(batch)


def test_versions_are_not_told_apart() -> None:
    batch = events(4)
    codes = np.zeros(len(batch), np.int32)
    one_version = replace(batch, version=replace(batch.version, codes=codes))
    assert build(batch).rows == build(one_version).rows


def test_hours_of_the_week_begin_on_monday_in_utc() -> None:
    times = batches.START_MS + np.arange(500) * 37 * 60_000
    for time, hour in zip(times.tolist(), hour_of_week(times).tolist(), strict=True):
        moment = datetime.fromtimestamp(time / 1000, UTC)
        assert hour == moment.weekday() * 24 + moment.hour


@pytest.mark.parametrize("span_ms", [HOUR_MS, 10 * DAY, 100 * DAY, 1_500 * DAY])
def test_counts_over_time_are_the_folded_counts_of_each_period(span_ms: int) -> None:
    batch = events(5, span_ms=span_ms)
    reference = build(batch)
    assert reference.hour_of_week is not None
    assert reference.panes is not None
    assert reference.span == (batch.timestamp.min(), batch.timestamp.max())
    length = reference.panes.length_ms
    hours = np.zeros_like(reference.hour_of_week)
    panes = np.zeros_like(reference.panes.counts)
    starts = np.cumsum([0, *folded_widths(LAYOUT)])
    for event in range(len(batch)):
        time = int(batch.timestamp[event])
        pane = int(np.searchsorted(reference.panes.panes, time // length))
        assert reference.panes.panes[pane] == time // length
        for cell, _ in batches.cells(LAYOUT, batch, event):
            position = int(np.searchsorted(LAYOUT.starts, cell, side="right")) - 1
            bins = LAYOUT.fields[position].bins
            local = cell - LAYOUT.starts[position]
            groups = len(bins.groups)
            folded = (
                sum(group <= local for group in bins.groups) - 1
                if local < bins.value_bins
                else groups + local - bins.value_bins
            )
            hours[hour_of_week(np.array([time]))[0], starts[position] + folded] += 1
            panes[pane, starts[position] + folded] += 1
    np.testing.assert_array_equal(reference.hour_of_week, hours)
    np.testing.assert_array_equal(reference.panes.counts, panes)


def test_panes_grow_with_the_span_and_stay_few() -> None:
    lengths = [
        pane_length((batches.START_MS, batches.START_MS + days * DAY)) for days in range(3500)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] == HOUR_MS
    assert all(days * DAY // length <= MOST_PANES for days, length in enumerate(lengths))


def test_events_without_times_count_in_everything_but_time() -> None:
    builder = ReferenceBuilder(LAYOUT, batches.SLICES)
    builder.add(events(6), timed=False)
    reference = builder.finish()
    assert (reference.hour_of_week, reference.panes, reference.span) == (None, None, None)
    np.testing.assert_array_equal(reference.block.counts, build(events(6)).block.counts)
    assert reference.overdispersion(HOUR_MS).tolist() == [1.0] * len(LAYOUT.fields)


def test_slices_past_the_cap_are_counted_together() -> None:
    builder = ReferenceBuilder(LAYOUT, batches.SLICES[:1], max_slices=2)
    builder.add(events(7))
    reference = builder.finish()
    overflow = reference.row((("colour", "(overflow)"),))
    assert len(reference.rows) == 4
    assert overflow is not None
    counts = reference.block.counts
    np.testing.assert_array_equal(counts[1:].sum(axis=0), counts[0])


def test_a_reference_of_nothing_is_refused() -> None:
    builder = ReferenceBuilder(LAYOUT, ())
    builder.add(events(8, n=0))
    with pytest.raises(ValueError, match="no events"):
        builder.finish()


def test_what_is_added_later_leaves_a_finished_reference_alone() -> None:
    builder = ReferenceBuilder(LAYOUT, batches.SLICES)
    builder.add(events(9))
    first = builder.finish()
    builder.add(events(9))
    expected = build(events(9))
    assert first.panes is not None
    assert expected.panes is not None
    np.testing.assert_array_equal(first.block.counts, expected.block.counts)
    np.testing.assert_array_equal(first.panes.counts, expected.panes.counts)
    np.testing.assert_array_equal(first.hour_of_week, expected.hour_of_week)


def test_overdispersion_is_that_of_each_fields_own_groups() -> None:
    rng = np.random.default_rng(10)
    batch = batches.events(rng, 20_000, span_ms=200 * HOUR_MS, errors=0.0)
    # In every other hour the first feature is ten times what it was; nothing else depends on time.
    batch.numeric[0, batch.timestamp // HOUR_MS % 2 == 0] *= 10.0
    phi = build(batch, slices=()).overdispersion(HOUR_MS)
    moved = LAYOUT.fields.index(next(f for f in LAYOUT.fields if f.subject.name == "length"))
    assert phi[moved] > 2.5
    assert (np.delete(phi, moved) < 1.3).all()


def test_a_merge_keeps_sources_and_the_first_ones_metadata() -> None:
    builders = [ReferenceBuilder(LAYOUT, ()) for _ in range(2)]
    for builder in builders:
        builder.add(events(11))
    sources = [Source("a.csv", "0" * 64, 300, 1_000), Source("b.csv", "1" * 64, 300, 1_000)]
    first = builders[0].finish(meta={"owner": "x", "run": "1"}, sources=(sources[0],))
    second = builders[1].finish(meta={"owner": "y", "note": "z"}, sources=(sources[1],))
    merged = merge_references(first, second)
    assert merged.meta == {"owner": "x", "run": "1", "note": "z"}
    assert merged.sources == tuple(sources)
    assert merged.events == 600


def test_times_are_dropped_where_one_part_of_a_merge_has_none() -> None:
    builder = ReferenceBuilder(LAYOUT, batches.SLICES)
    builder.add(events(12), timed=False)
    merged = merge_references(build(events(12)), builder.finish())
    assert (merged.hour_of_week, merged.panes, merged.span) == (None, None, None)


def test_references_with_other_bins_or_slices_do_not_merge() -> None:
    reference = build(events(13))
    fields = (*LAYOUT.fields[:-1], LAYOUT.fields[0])
    other = replace(reference, layout=replace(LAYOUT, fields=fields))
    with pytest.raises(ValueError, match="the bins differ"):
        merge_references(reference, other)
    with pytest.raises(ValueError, match="the slices differ"):
        merge_references(reference, build(events(13), slices=()))


def test_sums_are_taken_about_the_bins_centre() -> None:
    batch = events(14)
    reference = build(batch)
    field = LAYOUT.numeric.index(5)
    values = batch.numeric[0, batch.ok]
    shifted = values[np.isfinite(values)] - getattr(LAYOUT.fields[5].bins, "center")  # noqa: B009
    np.testing.assert_allclose(reference.block.sums[0, field, SUM], shifted.sum(), rtol=1e-12)
