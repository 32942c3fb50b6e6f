"""Aggregation against a recount, event by event, and against itself in other chunks and orders."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import Categories, EventBatch
from streamgauge.core.bins import NumericBins, fold, grouping
from streamgauge.core.concatenation import recoded
from streamgauge.core.counting import library
from streamgauge.core.layout import Layout
from streamgauge.core.partial import Partial, merge
from streamgauge.core.slices import RowKey, SliceRegistry, SliceSpec
from tests.support import batches
from tests.support.compiled import counting_by

PANE_MS = 10_000
LAYOUT = batches.layout()
Statistics = dict[tuple[int, RowKey], tuple[list[int], list[list[float]]]]


@pytest.fixture(scope="module", autouse=True, params=["compiled code", "numpy"])
def counted_by(request: pytest.FixtureRequest) -> Iterator[None]:
    """What counts: both ways have to pass all tests."""
    compiled = library()
    if request.param == "compiled code" and compiled is None:
        pytest.skip("needs a C compiler")
    with counting_by(compiled if request.param == "compiled code" else None):
        yield


def aggregated(batch: EventBatch, parts: list[EventBatch] | None = None) -> Statistics:
    """Counts and [sum, squares, minimum, maximum] per numeric field, by pane and row."""
    registry = SliceRegistry()
    aggregator = Aggregator(LAYOUT, batches.SLICES, registry, PANE_MS)
    whole = Partial(())
    for part in parts or [batch]:
        whole = merge(whole, aggregator.aggregate(part))
    return {
        (pane, registry.keys[row]): (
            block.counts[i].tolist(),
            np.concatenate([block.sums[i], block.extremes[i]], axis=1).tolist(),
        )
        for pane, block in whole.pieces
        for i, row in enumerate(block.rows.tolist())
    }


def recounted(layout: Layout, batch: EventBatch) -> Statistics:
    """The same, one event at a time."""
    found: Statistics = {}
    moment = {layout.starts[position]: i for i, position in enumerate(layout.numeric)}
    for event in range(len(batch)):
        code = int(batch.version.codes[event])
        version = "" if code < 0 else batch.version.values[code]
        filled = list(batches.cells(layout, batch, event))
        for spec in (SliceSpec(()), *batches.SLICES):
            key = RowKey(version, batches.slice_key(batch, spec, event))
            counts, moments = found.setdefault(
                (int(batch.timestamp[event]) // PANE_MS, key),
                ([0] * layout.width, [[0.0, 0.0, np.inf, -np.inf] for _ in layout.numeric]),
            )
            for cell, number in filled:
                counts[cell] += 1
                if np.isnan(number):
                    continue
                start = max(start for start in layout.starts if start <= cell)
                at = moments[moment[start]]
                shifted = number - centre(layout, layout.starts.index(start))
                at[:] = (
                    at[0] + shifted,
                    at[1] + shifted**2,
                    min(at[2], number),
                    max(at[3], number),
                )
    return found


def centre(layout: Layout, position: int) -> float:
    bins = layout.fields[position].bins
    return float(getattr(bins, "center"))  # noqa: B009, only numeric fields come here


def assert_same(first: Statistics, second: Statistics) -> None:
    assert set(first) == set(second)
    for key, (counts, moments) in first.items():
        assert counts == second[key][0], key
        np.testing.assert_allclose(moments, second[key][1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 400])
@pytest.mark.parametrize("errors", [0.0, 0.2, 1.0])
def test_aggregation_counts_what_a_recount_counts(n: int, errors: float) -> None:
    batch = batches.events(np.random.default_rng(n), n, errors=errors)
    assert_same(aggregated(batch), recounted(LAYOUT, batch))


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 200), max_size=4))
def test_any_order_and_partition_of_the_events_gives_the_same_counts(
    seed: int, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    batch = batches.events(rng, 200)
    order = rng.permutation(200)
    parts = [batches.take(batch, at) for at in np.split(order, sorted(cuts))]
    assert_same(aggregated(batch), aggregated(batch, parts))


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0.0, 0.3, 1.0]))
def test_slices_in_groups_are_the_fine_counts_added_up(seed: int, n: int, errors: float) -> None:
    batch = batches.events(np.random.default_rng(seed), n, errors=errors)
    starts, registry = LAYOUT.grouping(), SliceRegistry()
    partial = Aggregator(LAYOUT, batches.SLICES, registry, PANE_MS, grouped=True).aggregate(batch)
    every = recounted(LAYOUT, batch)
    fine = {
        (pane, registry.keys[row]): block.counts[i].tolist()
        for pane, block in merge(partial, Partial(())).fine
        for i, row in enumerate(block.rows.tolist())
    }
    assert fine == {place: found[0] for place, found in every.items() if not place[1].slice}
    grouped = merge(partial, Partial(())).pieces
    assert sum(len(block.rows) for _, block in grouped) == len(every)
    for pane, block in grouped:
        assert block.extremes.shape == (len(block.rows), 0, 2)
        for i, row in enumerate(block.rows.tolist()):
            counts, moments = every[pane, registry.keys[row]]
            assert block.counts[i].tolist() == np.add.reduceat(counts, starts).tolist()
            sums = np.array(moments)[:, :2]
            np.testing.assert_allclose(block.sums[i], sums, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("position", range(len(LAYOUT.fields)))
def test_grouped_bins_tell_the_same_groups_and_what_is_out_of_range(position: int) -> None:
    bins, few = LAYOUT.fields[position].bins, LAYOUT.grouped().fields[position].bins
    counts = np.random.default_rng(9).integers(0, 9, (5, bins.width))
    fewer = np.add.reduceat(counts, grouping(bins), axis=1)
    assert fewer.shape[1] == few.width
    np.testing.assert_array_equal(fold(fewer, few), fold(counts, bins))
    np.testing.assert_array_equal(fewer[:, few.value_bins :], counts[:, bins.value_bins :])
    assert few.group_labels() == bins.group_labels()
    if isinstance(bins, NumericBins):
        assert isinstance(few, NumericBins)
        np.testing.assert_array_equal(few.group_positions(), bins.group_positions())
        inner = [0, bins.value_bins - 1]
        np.testing.assert_array_equal(fewer[:, [0, few.value_bins - 1]], counts[:, inner])


def test_one_absurd_value_in_a_slice_leaves_its_sums_finite() -> None:
    batch = batches.events(np.random.default_rng(6), 50, errors=0.0)
    batch.numeric[0, 7] = 1.7e308
    registry = SliceRegistry()
    partial = Aggregator(LAYOUT, batches.SLICES, registry, PANE_MS, grouped=True).aggregate(batch)
    assert all(np.isfinite(block.sums).all() for _, block in partial.pieces)


def test_many_rows_are_counted_in_smaller_chunks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batches.events(np.random.default_rng(5), 500)
    expected = aggregated(batch)
    monkeypatch.setattr("streamgauge.core.aggregate.MANY_ROWS", 3)
    monkeypatch.setattr("streamgauge.core.aggregate.SMALL_CHUNK", 64)
    assert_same(aggregated(batch), expected)


def test_one_absurd_value_leaves_the_sums_finite() -> None:
    batch = batches.events(np.random.default_rng(6), 50, errors=0.0)
    batch.numeric[0, 7] = 1.7e308
    found = aggregated(batch)
    moments = np.array([moments for _, moments in found.values()])
    assert np.isfinite(moments[..., :2]).all()
    assert moments[..., 3].max() == 1.7e308


def test_values_never_seen_in_the_reference_are_counted_by_name() -> None:
    batch = batches.events(np.random.default_rng(7), 300)
    partial = Aggregator(LAYOUT, (), SliceRegistry(), PANE_MS).aggregate(batch)
    puce = (batch.categorical[0].codes == batches.COLOURS.index("puce")) & batch.ok
    assert partial.unseen == {"colour": {"puce": int(puce.sum())}}


def test_a_batch_without_events_gives_nothing() -> None:
    batch = batches.events(np.random.default_rng(8), 0)
    assert Aggregator(LAYOUT, batches.SLICES, SliceRegistry(), PANE_MS).aggregate(batch) == Partial(
        ()
    )


def coded(batch: EventBatch, values: dict[str, tuple[str, ...]]) -> EventBatch:
    """A batch whose columns have these dictionaries, of one object each."""

    def column(name: str, column: Categories) -> Categories:
        table = np.array([values[name].index(value) for value in column.values], np.int32)
        return Categories(recoded(column.codes, table), values[name])

    colour, wet = batch.categorical
    (region,) = batch.tags
    return replace(
        batch,
        version=column("version", batch.version),
        categorical=(column("colour", colour), wet),
        tags=(column("region", region),),
    )


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 200), max_size=6), st.booleans())
def test_dictionaries_that_last_and_hold_more_than_occurs_change_no_count(
    seed: int, cuts: list[int], one_version: bool
) -> None:
    rng = np.random.default_rng(seed)
    batch = batches.events(rng, 200)
    if one_version:
        batch = replace(batch, version=Categories(np.ones(200, np.int32), batch.version.values))
    values = {
        "version": ("9", "2", "1"),
        "colour": ("grey", *batches.COLOURS[::-1], "pink", "ochre"),
        "region": ("asia", "us", "eu"),
    }
    parts = [batches.take(batch, at) for at in np.split(np.arange(200), sorted(cuts))]
    registries = SliceRegistry(max_slices=4), SliceRegistry(max_slices=4)
    usual, lasting = (Aggregator(LAYOUT, batches.SLICES, each, PANE_MS) for each in registries)
    for i, part in enumerate(parts):
        if rng.random() < 0.3:  # others that are equal, and some more
            values |= {"colour": (*values["colour"], f"new {i}")}
        first = usual.aggregate(dropped(part))
        second = lasting.aggregate(coded(part, values))
        assert registries[0].keys == registries[1].keys
        assert first.unseen == second.unseen
        for (pane, one), (other_pane, other) in zip(first.pieces, second.pieces, strict=True):
            assert pane == other_pane
            for mine, its in zip(one, other, strict=True):
                np.testing.assert_array_equal(mine, its)


def by_appearance(column: Categories) -> Categories:
    """A column whose values are those that occur, in the order in which they first come."""
    order = [*dict.fromkeys(code for code in column.codes.tolist() if code >= 0)]
    table = np.zeros(len(column.values), np.int32)
    table[order] = np.arange(len(order), dtype=np.int32)
    return Categories(recoded(column.codes, table), tuple(column.values[code] for code in order))


def dropped(batch: EventBatch) -> EventBatch:
    """A batch whose dictionaries hold what occurs alone, in the order in which it comes."""
    colour, wet = batch.categorical
    return replace(
        batch,
        version=by_appearance(batch.version),
        categorical=(by_appearance(colour), wet),
        tags=(by_appearance(batch.tags[0]),),
    )


def test_new_slices_get_their_rows_in_the_order_in_which_they_come() -> None:
    batch = batches.events(np.random.default_rng(3), 50, errors=0)
    codes = np.array([4, 0, -1, 3, 1, *45 * [2]], np.int32)
    colour = Categories(codes, batches.COLOURS)
    batch = replace(
        batch,
        version=Categories(np.zeros(50, np.int32), ("1",)),
        categorical=(colour, batch.categorical[1]),
    )
    registry = SliceRegistry(max_slices=4)
    Aggregator(LAYOUT, batches.SLICES[:1], registry, PANE_MS).aggregate(batch)
    found = [key.slice[0][1] for key in registry.keys if key.slice]
    assert found == ["puce", "red", "(missing)", "mauve", "(overflow)"]
