"""Series against a direct count of their cells, and the choice of what is watched."""

import numpy as np
import pytest

from streamgauge.core.batch import FeatureKind, IntArray, ModelSchema, Task
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins
from streamgauge.core.detectors.series import CUTS, MOST_CATEGORIES, Kind, SeriesTable, series_table
from streamgauge.core.detectors.specs import LatencyLimit
from streamgauge.core.layout import (
    LATENCY,
    LATENCY_EDGES,
    STATUS,
    FeatureSpec,
    Layout,
    Subject,
    SubjectKind,
    build_layout,
)
from tests.support.batches import numeric_bins
from tests.support.drawn import COLOUR, LAW, LAYOUT, LENGTH, cells_of, draw, known_reference

WHOLE: IntArray = known_reference().block.counts[0]
TABLE = series_table(LAYOUT, WHOLE, None)


def of(table: SeriesTable, subject: Subject) -> list[Kind]:
    return [series.kind for series in table.series if series.subject == subject]


def one_feature(bins: Bins) -> Layout:
    kind = FeatureKind.NUMERIC if isinstance(bins, NumericBins) else FeatureKind.CATEGORICAL
    numeric = ("x",) if kind is FeatureKind.NUMERIC else ()
    categorical = () if numeric else ("x",)
    schema = ModelSchema("one", Task.REGRESSION, numeric, categorical, (), ())
    values = numeric_bins(np.arange(100.0))
    return build_layout(schema, (FeatureSpec("x", kind, bins),), prediction=values, label=values)


def filled(layout: Layout, position: int, values: list[int]) -> IntArray:
    """Counts of the value bins of one field, all others 0."""
    counts = np.zeros(layout.width, np.int64)
    start = layout.starts[position]
    counts[start : start + len(values)] = values
    return counts


def test_counts_out_of_one_cumulative_sum_are_those_of_the_cells() -> None:
    rng = np.random.default_rng(3)
    counts = np.stack([draw(rng, LAW, 500), draw(rng, LAW, 70)])
    present, total = TABLE.counts(counts)
    assert present.shape == total.shape == (2, len(TABLE.series))
    for row in range(2):
        for at, series in enumerate(TABLE.series):
            cells = counts[row].tolist()
            assert present[row, at] == sum(cells[series.first : series.last])
            assert total[row, at] == sum(cells[series.whole : series.end])
            assert series.whole <= series.first < series.last <= series.end


def test_series_of_a_subject_stand_side_by_side() -> None:
    bounds = [*TABLE.starts.tolist(), len(TABLE.series)]
    assert len(set(TABLE.subjects)) == len(TABLE.subjects)
    for at, subject in enumerate(TABLE.subjects):
        assert {s.subject for s in TABLE.series[bounds[at] : bounds[at + 1]]} == {subject}


def test_an_ordered_field_is_cut_as_near_to_the_wanted_shares_as_its_groups_allow() -> None:
    position = LAYOUT.position(LENGTH)
    assert position is not None
    bins = LAYOUT.fields[position].bins
    cells = cells_of(LENGTH)
    values = WHOLE[cells][: bins.value_bins]
    shares = {cells.start + g: values[:g].sum() / values.sum() for g in bins.groups[1:]}
    allowed = {cut: share for cut, share in shares.items() if 0 < share < 1}
    wanted = {min(allowed, key=lambda cut: abs(allowed[cut] - share)) for share in CUTS}
    *found, middle = [s for s in TABLE.series if s.subject == LENGTH]
    assert [s.first for s in found] == sorted(wanted)
    ends = {s: min(allowed, key=lambda cut: abs(allowed[cut] - s)) for s in (0.25, 0.75)}
    assert (middle.kind, middle.first, middle.last) == (Kind.BETWEEN, ends[0.25], ends[0.75])
    assert {(s.last, s.whole, s.end) for s in found} == {
        (cells.start + bins.value_bins, cells.start, cells.start + bins.value_bins)
    }


def test_a_categorical_field_has_a_series_for_every_category_and_the_others_together() -> None:
    cells = cells_of(COLOUR)
    found = [(s.kind, s.first - cells.start, s.last - cells.start) for s in TABLE.series
             if s.subject == COLOUR]  # fmt: skip
    # `other` and `unseen` are one group.
    assert found == [(Kind.CATEGORY, 0, 1), (Kind.CATEGORY, 1, 2), (Kind.OTHER, 2, 4)]


def test_of_many_categories_the_most_frequent_have_series_of_their_own() -> None:
    names = tuple(f"c{i:02}" for i in range(40))
    layout = one_feature(CategoricalBins(names))
    sizes = np.random.default_rng(4).permutation(np.arange(40) * 10)
    table = series_table(layout, filled(layout, 4, sizes.tolist()), None)
    kept = [s.first - layout.starts[4] for s in table.series if s.kind is Kind.CATEGORY]
    assert kept == sorted(np.argsort(-sizes)[:MOST_CATEGORIES].tolist())


def test_categories_without_a_series_of_their_own_have_one_together() -> None:
    """Bins are fitted in order of frequency."""
    bins = CategoricalBins(tuple(f"c{i:02}" for i in range(40)))
    layout = one_feature(bins)
    table = series_table(layout, filled(layout, 4, list(range(400, 0, -10))), None)
    [rest] = [s for s in table.series if s.kind is Kind.OTHER]
    start = layout.starts[4]
    assert (rest.first, rest.last) == (start + MOST_CATEGORIES, start + bins.value_bins)


def test_every_feature_has_its_rates_of_bad_values() -> None:
    for name, specific in (
        ("length", [Kind.NOT_FINITE, Kind.BELOW_RANGE, Kind.ABOVE_RANGE]),
        ("steps", [Kind.NOT_FINITE, Kind.BELOW_RANGE, Kind.ABOVE_RANGE]),
        ("colour", [Kind.UNSEEN]),
        ("wet", [Kind.UNSEEN]),
    ):
        found = [s for s in TABLE.series if s.subject.name.startswith(f"{name}.")]
        assert [s.kind for s in found] == [Kind.MISSING, Kind.WRONG_TYPE, *specific]
        assert {s.subject.kind for s in found} == {SubjectKind.DATA_QUALITY}
        cells = cells_of(Subject(SubjectKind.FEATURE, name))
        assert {(s.whole, s.end) for s in found} == {(cells.start, cells.stop)}
    assert not TABLE.compared[
        [s.subject.kind is SubjectKind.DATA_QUALITY for s in TABLE.series]
    ].any()


def test_rates_count_the_cells_that_they_are_called_after() -> None:
    cells = cells_of(LENGTH)
    bad = {s.kind: (s.first, s.last) for s in TABLE.series if s.subject.name.startswith("length.")}
    special = cells.stop - 5
    assert bad == {
        Kind.MISSING: (special, special + 1),
        Kind.WRONG_TYPE: (special + 1, special + 2),
        Kind.NOT_FINITE: (special + 2, special + 5),
        Kind.BELOW_RANGE: (cells.start, cells.start + 1),
        Kind.ABOVE_RANGE: (special - 1, special),
    }


def test_errors_are_watched_and_labels_are_not() -> None:
    assert of(TABLE, STATUS) == [Kind.ERROR]
    assert not any(s.subject.kind is SubjectKind.LABEL for s in TABLE.series)


@pytest.mark.parametrize("limit", [0.001, 0.1, 60.0])
def test_slow_requests_are_watched_only_with_a_limit(limit: float) -> None:
    assert of(TABLE, LATENCY) == []
    table = series_table(LAYOUT, WHOLE, LatencyLimit(limit, 0.01))
    [series] = [s for s in table.series if s.subject == LATENCY]
    assert series.kind is Kind.SLOW
    start = LAYOUT.starts[1]
    slow = LAYOUT.fields[1].bins
    assert isinstance(slow, NumericBins)
    counted = [int(slow.assign(np.array([value]))[0]) for value in (limit * 0.999, limit)]
    assert [start + bin_ >= series.first for bin_ in counted] == [False, True]
    assert (series.last, series.whole) == (start + len(LATENCY_EDGES) + 1, start)


def test_a_constant_feature_has_rates_alone() -> None:
    bins = numeric_bins(np.full(50, 3.0))
    layout = one_feature(bins)
    counts = np.zeros(layout.width, np.int64)
    counts[layout.starts[4] : layout.starts[4] + bins.width] = np.bincount(
        bins.assign(np.full(50, 3.0)), minlength=bins.width
    )
    table = series_table(layout, counts, None)
    assert of(table, Subject(SubjectKind.FEATURE, "x")) == []
    assert {s.kind for s in table.series if s.subject.name.startswith("x.")} == {
        Kind.MISSING, Kind.WRONG_TYPE, Kind.NOT_FINITE, Kind.BELOW_RANGE, Kind.ABOVE_RANGE,
    }  # fmt: skip


def test_ties_make_fewer_cuts_and_none_where_nothing_lies_on_one_side() -> None:
    values = np.repeat([0.0, 1.0, 2.0], [10, 80, 10])
    bins = numeric_bins(values)
    layout = one_feature(bins)
    counts = np.zeros(layout.width, np.int64)
    counts[layout.starts[4] : layout.starts[4] + bins.width] = np.bincount(
        bins.assign(values), minlength=bins.width
    )
    table = series_table(layout, counts, None)
    present, total = table.counts(counts)
    shares = [present[i] / total[i] for i, s in enumerate(table.series) if s.kind is Kind.ABOVE]
    assert shares == [0.9, 0.1]


def test_a_field_that_the_reference_holds_nothing_of_has_rates_alone() -> None:
    counts = WHOLE.copy()
    counts[cells_of(LENGTH)] = 0
    table = series_table(LAYOUT, counts, None)
    assert of(table, LENGTH) == []
    assert of(table, Subject(SubjectKind.DATA_QUALITY, "length.missing")) == [Kind.MISSING]
