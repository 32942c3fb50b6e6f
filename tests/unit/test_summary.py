"""A window's figures against those that numpy takes from the events themselves."""

import numpy as np
import numpy.typing as npt
import pytest

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import Categories, EventBatch, Fault, FloatArray
from streamgauge.core.bins import NumericBins, fold
from streamgauge.core.blocks import total
from streamgauge.core.distances import ORDERED, Measure, distances
from streamgauge.core.layout import LABEL, LATENCY, SCORE, STATUS, Subject, SubjectKind
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey, SliceRegistry
from streamgauge.core.snapshot import FieldStats, WindowStats
from streamgauge.core.summary import PROBABILITIES, Summarizer
from streamgauge.core.windows import WindowSpec
from tests.support import batches
from tests.support.made_up_model import made_up_events, made_up_reference

LAYOUT = batches.layout()
SPEC = WindowSpec("1m", 60_000, 10_000)
END = batches.START_MS + SPEC.length_ms
LENGTH = Subject(SubjectKind.FEATURE, "length")
STEPS = Subject(SubjectKind.FEATURE, "steps")
COLOUR = Subject(SubjectKind.FEATURE, "colour")
WET = Subject(SubjectKind.FEATURE, "wet")
BATCH = batches.events(np.random.default_rng(3), 700, errors=0.15)


def summarized(batch: EventBatch, reference: Reference | None = None) -> WindowStats:
    registry = SliceRegistry()
    partial = Aggregator(LAYOUT, batches.SLICES, registry, SPEC.length_ms).aggregate(batch)
    whole = total([block for _, block in partial.pieces], LAYOUT.width, len(LAYOUT.numeric))
    keys = tuple(registry.keys[row] for row in whole.rows.tolist())
    return Summarizer(LAYOUT, reference).summarize(SPEC, END, whole, keys)


def events_by_row() -> dict[RowKey, npt.NDArray[np.intp]]:
    """Which events of the batch each row is about, told one by one."""
    found: dict[RowKey, list[int]] = {}
    for event in range(len(BATCH)):
        for key in batches.rows(BATCH, event):
            found.setdefault(key, []).append(event)
    return {key: np.array(events) for key, events in found.items()}


def field(stats: WindowStats, subject: Subject) -> FieldStats:
    (found,) = [item for item in stats.fields if item.subject == subject]
    return found


def values_of(subject: Subject) -> FloatArray:
    """The batch's values of a numeric field, and which events count in it."""
    if subject == LATENCY:
        return BATCH.latency
    if subject == SCORE:
        return BATCH.score
    values: FloatArray = BATCH.numeric[BATCH.schema.numeric.index(subject.name)]
    return values


def counted_in(subject: Subject, events: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Of failed requests the latency alone counts."""
    return events if subject == LATENCY else events[BATCH.ok[events]]


def faulty(subject: Subject, fault: Fault) -> npt.NDArray[np.int32]:
    faults = BATCH.faults
    if subject.name not in BATCH.schema.numeric:
        return np.empty(0, np.int32)
    of = faults.feature == BATCH.schema.numeric.index(subject.name)
    rows: npt.NDArray[np.int32] = faults.row[of & (faults.fault == fault)]
    return rows


STATS = summarized(BATCH)
EVENTS = events_by_row()


def test_every_row_has_its_events_and_samples() -> None:
    assert len(STATS.rows) > 20
    for row, key in enumerate(STATS.rows):
        events = EVENTS[key]
        assert STATS.events[row] == len(events) > 0
        assert STATS.samples[row] == BATCH.ok[events].sum()
    assert (STATS.window, STATS.start, STATS.end) == ("1m", batches.START_MS, END)


def test_status_and_label_have_no_figures_of_their_own() -> None:
    subjects = {item.subject for item in STATS.fields}
    assert not subjects & {STATUS, LABEL}
    assert {LENGTH, STEPS, COLOUR, WET, SCORE, LATENCY} <= subjects


@pytest.mark.parametrize("subject", [LENGTH, STEPS, SCORE, LATENCY])
def test_moments_of_numbers_are_numpys(subject: Subject) -> None:
    stats = field(STATS, subject)
    for row, key in enumerate(STATS.rows):
        values = values_of(subject)[counted_in(subject, EVENTS[key])]
        finite = values[np.isfinite(values)]
        assert stats.count[row] == len(finite)
        figures = (stats.mean, stats.std, stats.minimum, stats.maximum)
        expected = [np.nan] * 4
        if len(finite):
            expected = [finite.mean(), finite.std(), finite.min(), finite.max()]
        for figure, value in zip(figures, expected, strict=True):
            assert figure is not None
            np.testing.assert_allclose(figure[row], value, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("subject", [LENGTH, STEPS, SCORE, LATENCY])
def test_quantiles_lie_where_the_bin_of_the_true_one_does(subject: Subject) -> None:
    stats = field(STATS, subject)
    position = LAYOUT.position(subject)
    assert position is not None
    bins = LAYOUT.fields[position].bins
    assert isinstance(bins, NumericBins)
    assert set(stats.quantiles) == set(PROBABILITIES)
    for row, key in enumerate(STATS.rows):
        values = values_of(subject)[counted_in(subject, EVENTS[key])]
        finite = values[np.isfinite(values)]
        if not len(finite):
            assert all(np.isnan(stats.quantiles[p][row]) for p in PROBABILITIES)
            continue
        for p in PROBABILITIES:
            truth = np.quantile(finite, p, method="inverted_cdf")
            at = int(bins.assign(np.array([truth]))[0])
            edges = [-np.inf, *bins.edges, np.inf]
            assert edges[at] <= stats.quantiles[p][row] <= edges[at + 1]
            assert finite.min() <= stats.quantiles[p][row] <= finite.max()


@pytest.mark.parametrize("subject", [LENGTH, STEPS, SCORE, LATENCY])
def test_shares_of_what_is_no_value_or_out_of_range(subject: Subject) -> None:
    stats = field(STATS, subject)
    position = LAYOUT.position(subject)
    assert position is not None
    bins = LAYOUT.fields[position].bins
    assert isinstance(bins, NumericBins)
    wrong = faulty(subject, Fault.WRONG_TYPE)
    no_number = np.concatenate([wrong, faulty(subject, Fault.NAN)])
    for row, key in enumerate(STATS.rows):
        events = counted_in(subject, EVENTS[key])
        values = values_of(subject)[events]
        absent = np.isnan(values) & ~np.isin(events, no_number)
        with np.errstate(invalid="ignore"):
            outside = (values < bins.edges[0]) | (values >= bins.edges[-1])
        outside &= np.isfinite(values)
        for figure, expected in (
            (stats.missing, absent),
            (stats.wrong_type, np.isin(events, wrong)),
            (stats.out_of_range, outside),
        ):
            share = expected.mean() if len(events) else np.nan
            np.testing.assert_allclose(figure[row], share)


@pytest.mark.parametrize(("subject", "at"), [(COLOUR, 0), (WET, 1)])
def test_shares_of_categories(subject: Subject, at: int) -> None:
    stats = field(STATS, subject)
    column = BATCH.categorical[at]
    known = {"red", "green", "blue", "mauve", "false", "true"}
    strange = [i for i, value in enumerate(column.values) if value not in known]
    assert bool(strange) == (subject == COLOUR)
    for row, key in enumerate(STATS.rows):
        codes = column.codes[counted_in(subject, EVENTS[key])]
        assert stats.count[row] == (codes >= 0).sum()
        for figure, expected in (
            (stats.missing, codes == -1),
            (stats.wrong_type, codes == -2),
            (stats.unseen, np.isin(codes, strange)),
        ):
            np.testing.assert_allclose(figure[row], expected.mean() if len(codes) else np.nan)
    assert stats.mean is None
    assert stats.quantiles == {}


def test_without_a_reference_nothing_is_compared() -> None:
    for item in STATS.fields:
        assert item.raw == item.corrected == item.p_value == {}
        assert item.reference_groups is None
        assert item.reference_mean is None
        assert item.reference_missing is None
        assert item.groups is not None


def test_known_rows_are_compared_and_unknown_ones_are_not() -> None:
    before = made_up_events(3_000, seed=8)
    before.categorical[0].codes[before.categorical[0].codes == 2] = -1  # blue is not known
    reference = made_up_reference(before)
    stats = summarized(BATCH, reference)
    known = np.array([reference.row(key.slice) is not None for key in stats.rows])
    assert known.any()
    assert not known.all()
    at = [reference.row(key.slice) or 0 for key in stats.rows]
    for item in stats.fields:
        position = LAYOUT.position(item.subject)
        assert position is not None
        bins = LAYOUT.fields[position].bins
        assert item.groups is not None
        groups = reference.group_counts(position)[at]
        numeric = isinstance(bins, NumericBins)
        expected = distances(
            item.groups[known],
            groups[known],
            measures=tuple(Measure),
            positions=bins.group_positions()[None] if isinstance(bins, NumericBins) else None,
            sigma=bins.scale if isinstance(bins, NumericBins) else None,
        )
        assert set(item.raw) == {measure.value for measure in expected}
        assert numeric == (ORDERED[0].value in item.raw)
        for measure, values in expected.items():
            np.testing.assert_allclose(item.raw[measure.value][known], values)
            for figures in (item.raw, item.corrected, item.p_value):
                assert np.isnan(figures[measure.value][~known]).all()
        assert item.reference_groups is not None
        np.testing.assert_array_equal(item.reference_groups[known], groups[known])
        assert not item.reference_groups[~known].any()


def test_the_references_own_figures_stand_beside_those_of_the_window() -> None:
    before = made_up_events(3_000, seed=8)
    stats = summarized(BATCH, made_up_reference(before))
    row = stats.rows.index(RowKey("1"))
    item = field(stats, LENGTH)
    assert item.reference_mean is not None
    assert item.reference_missing is not None
    values = before.numeric[0][before.ok]
    np.testing.assert_allclose(item.reference_mean[row], values[np.isfinite(values)].mean())
    faults = before.faults.row[before.faults.feature == 0]
    absent = np.isnan(before.numeric[0]) & ~np.isin(np.arange(len(before)), faults)
    np.testing.assert_allclose(item.reference_missing[row], absent[before.ok].mean())


def test_groups_are_the_windows_counts_by_distance_group() -> None:
    registry = SliceRegistry()
    ((_, block),) = Aggregator(LAYOUT, (), registry, SPEC.length_ms).aggregate(BATCH).pieces
    keys = tuple(registry.keys[row] for row in block.rows.tolist())
    stats = Summarizer(LAYOUT, None).summarize(SPEC, END, block, keys)
    for item in stats.fields:
        position = LAYOUT.position(item.subject)
        assert position is not None
        cells = block.counts[:, LAYOUT.cells(position)].astype(np.int64)
        np.testing.assert_array_equal(item.groups, fold(cells, LAYOUT.fields[position].bins))


def test_a_row_without_served_events_has_counts_and_no_figures() -> None:
    failed = batches.take(BATCH, np.flatnonzero(~BATCH.ok))
    stats = summarized(failed)
    assert (stats.samples == 0).all()
    assert (stats.events > 0).all()
    item = field(stats, LENGTH)
    assert not item.count.any()
    for figure in (item.missing, item.out_of_range, item.mean, item.std, item.minimum):
        assert figure is not None
        assert np.isnan(figure).all()
    latency = field(stats, LATENCY)
    assert latency.count.any()
    assert (latency.missing <= 1).all()


def test_events_of_one_value_have_no_spread() -> None:
    batch = batches.take(BATCH, np.flatnonzero(BATCH.ok & np.isfinite(BATCH.numeric[0]))[:50])
    batch.numeric[0] = 3.25
    version = Categories(np.zeros(50, np.int32), ("1",))
    object.__setattr__(batch, "version", version)
    item = field(summarized(batch), LENGTH)
    assert item.std is not None
    np.testing.assert_allclose(item.std, 0.0, atol=1e-7)
    for figure in (item.mean, item.minimum, item.maximum, *item.quantiles.values()):
        assert figure is not None
        np.testing.assert_allclose(figure, 3.25)
