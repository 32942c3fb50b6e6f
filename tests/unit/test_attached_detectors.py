"""Attached detectors signal where River's own do, whatever bad values come between."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from river import drift
from river.drift import binary

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import Categories, EventBatch, Fault, FloatArray, NumericFaults
from streamgauge.core.bins import NumericBins
from streamgauge.core.detectors.attached import AttachedDetectors
from streamgauge.core.detectors.river_detectors import BINARY, NUMERIC, RiverDetector, factory
from streamgauge.core.detectors.specs import AttachedSpec, Feed
from streamgauge.core.findings import Finding, Verdict, Watched
from streamgauge.core.layout import LATENCY, SCORE, STATUS, Subject, SubjectKind
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.slices import RowKey, SliceRegistry
from tests.support import batches

LAYOUT = batches.layout()
LENGTH = Subject(SubjectKind.FEATURE, "length")
MISSING = Subject(SubjectKind.DATA_QUALITY, "length.missing")
BINS = LAYOUT.fields[5].bins
assert isinstance(BINS, NumericBins)
CENTER, SCALE = BINS.center, BINS.scale
START = batches.START_MS
ONE = RowKey("1")
NOTHING: Watched = frozenset()
BAD = (math.nan, math.inf, -math.inf, 1e308, -1e308, CENTER + 1.1e6 * SCALE)
BARE: dict[str, Any] = {
    "adwin": drift.ADWIN,
    "page_hinkley": drift.PageHinkley,
    "kswin": partial(drift.KSWIN, seed=0),
    "ddm": binary.DDM,
    "eddm": binary.EDDM,
    "hddm_a": binary.HDDMA,
    "hddm_w": binary.HDDMW,
    "fhddm": binary.FHDDM,
}
"""River's own detectors, as they are attached where nothing else is asked for."""


def bare(detector: str, **parameters: float | int | str) -> RiverDetector:
    """A detector of River's own."""
    made: RiverDetector = BARE[detector](**parameters)
    return made


def batch_of(values: FloatArray, first: int = START) -> EventBatch:
    """One good event of version 1 each millisecond, with these lengths."""
    n = len(values)
    zero = np.zeros(n, np.int32)
    return EventBatch(
        schema=batches.SCHEMA,
        timestamp=first + np.arange(n),
        partition=zero,
        version=Categories(zero, ("1",)),
        numeric=np.stack([np.asarray(values, np.float64), np.ones(n)]),
        faults=NumericFaults.none(),
        categorical=(Categories(zero, ("red",)), Categories(zero, ("true",))),
        tags=(Categories(zero, ("eu",)),),
        prediction=Categories(zero, ("1",)),
        score=np.full(n, 0.5),
        latency=np.full(n, 0.1),
        ok=np.ones(n, bool),
    )


def attached(
    detector: str,
    series: str,
    feed: Feed = Feed.EVENT,
    *,
    reference: Reference | None = None,
    **parameters: float | int | str,
) -> AttachedDetectors:
    spec = AttachedSpec(detector, series, feed, tuple(parameters.items()))
    return AttachedDetectors([spec], LAYOUT, reference, "made-up")


def signals(detector: RiverDetector, values: Sequence[float] | npt.NDArray[Any]) -> list[int]:
    """The indices of the values at which a detector of River's own signals."""
    found = []
    for i, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


def drifts(detectors: AttachedDetectors, batch: EventBatch) -> list[int]:
    """The indices of the events at which the detectors signal."""
    detectors.add(batch)
    found = []
    for i in range(len(batch)):
        now = int(batch.timestamp[i]) + 1
        found += [i for f in detectors.findings(now, NOTHING) if f.verdict is Verdict.DRIFT]
    return found


def shifted(seed: int, before: int, after: int, sigmas: float = 3.0) -> FloatArray:
    values = np.random.default_rng(seed).normal(size=before + after)
    values[before:] += sigmas
    return CENTER + SCALE * values


def known() -> Reference:
    builder = ReferenceBuilder(LAYOUT, batches.SLICES)
    builder.add(batches.events(np.random.default_rng(5), 3_000))
    return builder.finish()


@pytest.mark.parametrize("detector", NUMERIC)
def test_bad_values_change_nothing_in_where_a_shift_of_three_sigma_is_found(detector: str) -> None:
    values = shifted(1, 600, 400)
    expected = signals(bare(detector), values)
    assert [i for i in expected if 600 <= i < 700]
    mixed = np.insert(values, 400, BAD)
    detectors = attached(detector, "length")
    found = drifts(detectors, batch_of(mixed))
    assert found == [i if i < 400 else i + len(BAD) for i in expected]
    assert detectors.skipped == (len(BAD),)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e308])
def test_one_bad_value_would_blind_an_unguarded_adwin(bad: float) -> None:
    values = shifted(1, 600, 400)
    assert signals(bare("adwin"), values)
    assert not [i for i in signals(bare("adwin"), np.insert(values, 400, bad)) if i > 400]


@pytest.mark.parametrize("detector", NUMERIC)
def test_values_just_within_a_million_deviations_are_fed(detector: str) -> None:
    detectors = attached(detector, "length")
    detectors.add(batch_of(CENTER + 0.999e6 * SCALE * np.array([1.0, -1.0])))
    assert detectors.skipped == (0,)


@pytest.mark.parametrize("detector", BINARY)
def test_detectors_of_errors_find_a_rising_rate_of_failures_where_river_does(detector: str) -> None:
    errors = np.random.default_rng(2).random(3_000) < np.repeat([0.05, 0.6], [2_000, 1_000])
    fed = 1.0 - errors if detector == "fhddm" else errors.astype(np.float64)
    expected = signals(bare(detector), fed)
    assert [i for i in expected if 2_000 <= i < 2_200]
    batch = replace(batch_of(np.full(3_000, CENTER)), ok=~errors)
    assert drifts(attached(detector, "status"), batch) == expected


def test_fhddm_of_river_finds_a_falling_share_of_ones_alone() -> None:
    errors = (np.random.default_rng(2).random(3_000) < np.repeat([0.05, 0.6], [2_000, 1_000])) * 1.0
    assert not signals(bare("fhddm"), errors)


@pytest.mark.parametrize(
    "series",
    ["length", "score", "latency", "status"]
    + [f"length.{r}" for r in ("missing", "wrong_type", "not_finite", "out_of_range")]
    + ["steps", "colour.missing", "colour.wrong_type", "colour.unseen", "wet.missing"],
)
def test_every_series_is_what_a_plain_recount_of_the_events_gives(series: str) -> None:
    batch = batches.events(np.random.default_rng(3), 2_500)
    detectors = AttachedDetectors(
        [AttachedSpec("page_hinkley", series, parameters=(("threshold", 1.5),))],
        LAYOUT,
        None,
        "made-up",
    )
    fed: dict[str, list[tuple[int, float]]] = {"": [], "1": [], "2": []}
    skipped = 0
    for event in np.argsort(batch.timestamp, kind="stable").tolist():
        value = recounted(series, batch, event)
        if value is None:
            continue
        if not math.isfinite(value):
            skipped += 1
            continue
        code = int(batch.version.codes[event])
        version = "" if code < 0 else batch.version.values[code]
        fed[version].append((int(batch.timestamp[event]), value))
    expected = {}
    for version, values in fed.items():
        found = signals(bare("page_hinkley", threshold=1.5), [value for _, value in values])
        if found:
            last = [value for _, value in values[max(0, found[-1] - 29) : found[-1] + 1]]
            start = min(time for time, _ in values[max(0, found[-1] - 29) : found[-1] + 1])
            expected[RowKey(version)] = (len(last), start)
    detectors.add(batch)
    findings = detectors.findings(START + 60_001, NOTHING)
    assert {f.row: (f.samples, f.start) for f in findings} == expected
    assert detectors.skipped == (skipped,)


def recounted(series: str, batch: EventBatch, event: int) -> float | None:
    """The value of a series that one event has, None where the event has no part in it."""
    if series == "status":
        return float(not batch.ok[event])
    if series == "latency":
        return float(batch.latency[event])
    if not batch.ok[event]:
        return None
    if series == "score":
        return float(batch.score[event])
    feature, _, rate = series.partition(".")
    cells = dict(batches.cells(LAYOUT, batch, event))
    position = LAYOUT.position(Subject(SubjectKind.FEATURE, feature))
    assert position is not None
    start, bins = LAYOUT.starts[position], LAYOUT.fields[position].bins
    cell = next(c for c in cells if start <= c < start + bins.width) - start
    if not rate:
        return cells[cell + start]
    bad = {
        "missing": [bins.value_bins],
        "wrong_type": [bins.value_bins + 1],
        "not_finite": [bins.value_bins + k for k in (2, 3, 4)],
        "out_of_range": [0, bins.value_bins - 1],
        "unseen": [bins.value_bins - 1],
    }
    return float(cell in bad[rate])


def test_events_of_a_batch_are_fed_in_the_order_of_their_times() -> None:
    values = shifted(1, 600, 400)
    shuffled = np.random.default_rng(4).permutation(1_000)
    batch = batches.take(
        replace(batch_of(values), label=Categories(np.zeros(1_000, np.int32), ("1",))), shuffled
    )
    detectors = attached("adwin", "length")
    detectors.add(batch)
    found = []
    for now in range(START + 1, START + 1_001):
        found += [now - START - 1 for _ in detectors.findings(now, NOTHING)]
    assert found == signals(bare("adwin"), values)


@pytest.mark.parametrize("size", [1, 37, 1_000])
def test_findings_do_not_depend_on_how_far_ahead_events_are_read(size: int) -> None:
    values = shifted(1, 600, 400)
    watched = frozenset({(ONE, LENGTH)})
    detectors = attached("adwin", "length", reference=known())
    whole = attached("adwin", "length", reference=known())
    whole.add(batch_of(values))
    for first in range(0, 1_000, 100):
        for at in range(first, first + 100, size):
            detectors.add(batch_of(values[at : min(at + size, first + 100)], START + at))
        now = START + first + 100
        mine, other = detectors.findings(now, watched), whole.findings(now, watched)
        assert [f.verdict for f in mine] == [f.verdict for f in other]
        for a, b in zip(mine, other, strict=True):
            if a.verdict is Verdict.DRIFT:
                assert repr(a) == repr(b)


def test_each_version_has_a_detector_of_its_own() -> None:
    values = shifted(1, 600, 400)
    calm = shifted(2, 1_000, 0)
    both = batch_of(np.stack([values, calm], axis=1).ravel())
    codes = np.tile(np.array([0, 1], np.int32), 1_000)
    detectors = attached("adwin", "length")
    found = []
    detectors.add(replace(both, version=Categories(codes, ("1", "2"))))
    for now in range(START + 1, START + 2_001):
        found += [((now - START - 1) // 2, f.row) for f in detectors.findings(now, NOTHING)]
    assert found == [(i, ONE) for i in signals(bare("adwin"), values)]


def test_versions_past_the_cap_share_one_detector() -> None:
    specs = [AttachedSpec("adwin", "length")]
    detectors = AttachedDetectors(specs, LAYOUT, None, "made-up", max_versions=2)
    values = shifted(1, 600, 400)
    codes = np.arange(1_000, dtype=np.int32)
    names = tuple(str(code) for code in codes)
    detectors.add(replace(batch_of(values), version=Categories(codes, names)))
    rows = {f.row for f in detectors.findings(START + 1_000, NOTHING)}
    assert rows == {RowKey("(overflow)")}


def panes_of(batch: EventBatch) -> list[tuple[int, list[RowKey], FloatArray, FloatArray]]:
    """The blocks of panes of ten milliseconds: number, keys, counts and sums."""
    registry = SliceRegistry()
    aggregator = Aggregator(LAYOUT, batches.SLICES, registry, 10)
    found: dict[int, list[tuple[RowKey, FloatArray, FloatArray]]] = {}
    for pane, block in aggregator.aggregate(batch).pieces:
        for row, counts, sums in zip(block.rows.tolist(), block.counts, block.sums, strict=True):
            found.setdefault(pane, []).append((registry.keys[row], counts, sums))
    return [
        (
            pane,
            [key for key, _, _ in found[pane]],
            np.array([c for _, c, _ in found[pane]]),
            np.array([s for _, _, s in found[pane]]),
        )
        for pane in sorted(found)
    ]


@pytest.mark.parametrize("detector", NUMERIC)
@pytest.mark.parametrize("series", ["length", "length.missing", "status", "latency"])
def test_a_pane_is_one_value_the_mean_or_the_share_of_the_whole_version(
    detector: str, series: str
) -> None:
    rng = np.random.default_rng(6)
    n, late = 4_000, np.arange(4_000) >= 2_500
    values = CENTER + SCALE * (rng.normal(size=n) + 3.0 * late)
    values[rng.random(n) < np.where(late, 0.7, 0.1)] = np.nan
    batch = replace(
        batch_of(values),
        ok=rng.random(n) >= np.where(late, 0.7, 0.05),
        latency=np.where(late, 2.0, 0.1) * rng.random(n),
    )
    numbers = {
        "length": np.where(batch.ok, values, np.nan),
        "length.missing": np.where(batch.ok, np.isnan(values) * 1.0, np.nan),
        "status": 1.0 - batch.ok,
        "latency": batch.latency,
    }[series].reshape(-1, 10)
    held = ~np.isnan(numbers)
    means = (
        np.where(held, numbers, 0).sum(axis=1)[held.any(axis=1)]
        / held.sum(axis=1)[held.any(axis=1)]
    )
    parameters: dict[str, Any] = {"threshold": 2.0} if detector == "page_hinkley" else {}
    panes = np.flatnonzero(held.any(axis=1))
    expected = panes[signals(bare(detector, **parameters), means)].tolist()
    assert expected
    detectors = attached(detector, series, Feed.PANE, **parameters)
    detectors.add(batch)  # feeds nothing
    found = []
    for pane, keys, counts, sums in panes_of(batch):
        end = (pane + 1) * 10
        detectors.close(keys, counts.astype(np.int64), sums, end)
        for finding in detectors.findings(end, NOTHING):
            assert (finding.row, finding.end) == (ONE, end)
            found.append(pane - START // 10)
    assert found == expected


def test_a_pane_without_values_or_with_an_absurd_mean_is_skipped() -> None:
    detectors = attached("adwin", "length", Feed.PANE)
    batch = batch_of(np.array([np.nan] * 10 + [1e308] * 10 + [CENTER] * 10))
    for pane, keys, counts, sums in panes_of(batch):
        detectors.close(keys, counts.astype(np.int64), sums, (pane + 1) * 10)
    assert detectors.skipped == (2,)


def test_a_finding_says_whose_it_is_and_how_far_the_last_values_are_off() -> None:
    reference = known()
    values = shifted(1, 600, 400)
    at = signals(bare("adwin"), values)[-1]
    detectors = attached("adwin", "length", reference=reference)
    detectors.add(batch_of(values))
    (finding,) = detectors.findings(START + 1_000, NOTHING)
    held = reference.block.counts[0, LAYOUT.cells(5)][: BINS.value_bins].sum()
    first, second = reference.block.sums[0, 2] / held
    mean, deviation = CENTER + first, np.sqrt(second - first**2)
    expected = (values[at - 29 : at + 1].mean() - mean) / deviation
    assert finding.effect.measure == "mean_shift"
    assert finding.effect.value == pytest.approx(expected)
    assert math.isnan(finding.effect.lower)
    assert math.isnan(finding.effect.upper)
    assert (finding.detector, finding.subject) == ("river.adwin", LENGTH)
    assert (finding.statistic, finding.threshold) == (1.0, 1.0)
    assert (finding.start, finding.end) == (START + at - 29, START + 1_000)
    assert (finding.samples, finding.onset) == (30, None)
    assert finding.detail == "adwin of River, outside the alert budget"
    assert finding.model == "made-up"


def test_the_effect_of_a_rate_is_a_share_and_unknown_without_a_reference() -> None:
    values = np.where(np.arange(1_000) < 600, CENTER, np.nan)
    reference = known()
    cells = reference.block.counts[0, LAYOUT.cells(5)]
    share = cells[BINS.value_bins] / cells.sum()
    at = signals(bare("adwin"), np.isnan(values) * 1.0)[-1]
    off = np.isnan(values[at - 29 : at + 1]).mean() - share
    for known_, expected in ((reference, off), (None, math.nan)):
        detectors = attached("adwin", "length.missing", reference=known_)
        detectors.add(batch_of(values))
        (finding,) = detectors.findings(START + 1_000, NOTHING)
        assert (finding.subject, finding.effect.measure) == (MISSING, "share")
        assert finding.effect.value == pytest.approx(expected, nan_ok=True)


def verdicts(findings: list[Finding]) -> list[Verdict]:
    return [finding.verdict for finding in findings]


@pytest.mark.parametrize(("before", "quota"), [(600, None), (3_000, 1_000)])
def test_a_watched_row_is_clear_after_as_many_quiet_values_as_the_signal_took(
    before: int, quota: int | None
) -> None:
    watched = frozenset({(ONE, LENGTH), (RowKey("1", (("colour", "red"),)), LENGTH), (ONE, SCORE)})
    values = np.where(np.arange(before + 1_500) < before, CENTER, CENTER + 3 * SCALE)
    (at,) = signals(bare("adwin"), values)
    needed = at + 1 if quota is None else quota
    detectors = attached("adwin", "length")
    detectors.add(batch_of(values))
    for now in (at, at + 1, at + needed, at + needed + 1, before + 1_500):
        found = verdicts(detectors.findings(START + now, watched))
        if now == at:
            early = Verdict.CLEAR if at >= 1_000 else Verdict.UNDECIDED
            assert found == [early]
        elif now == at + 1:
            assert found == [Verdict.DRIFT]
        else:
            assert found == [Verdict.CLEAR if now > at + needed else Verdict.UNDECIDED]


def test_rows_that_nobody_watches_have_findings_of_drift_alone() -> None:
    detectors = attached("adwin", "length")
    detectors.add(batch_of(shifted(1, 600, 400)))
    assert verdicts(detectors.findings(START + 1_000, NOTHING)) == [Verdict.DRIFT]
    assert detectors.findings(START + 2_000, NOTHING) == []


def test_a_watched_row_that_nothing_came_of_is_thin() -> None:
    watched = frozenset({(ONE, LENGTH)})
    detectors = attached("adwin", "length")
    assert detectors.findings(START, watched) == []
    detectors.add(batch_of(shifted(1, 2_000, 0)))
    assert verdicts(detectors.findings(START + 2_000, watched)) == [Verdict.CLEAR]
    assert verdicts(detectors.findings(START + 3_000, watched)) == [Verdict.THIN]
    detectors.add(batch_of(shifted(3, 10, 0), START + 3_000))
    assert verdicts(detectors.findings(START + 4_000, watched)) == [Verdict.CLEAR]


def test_late_values_are_fed_and_reported_at_the_next_look() -> None:
    detectors = attached("adwin", "length")
    assert detectors.findings(START + 10_000, NOTHING) == []
    detectors.add(batch_of(shifted(1, 600, 400)))
    (finding,) = detectors.findings(START + 10_010, NOTHING)
    assert (finding.verdict, finding.end) == (Verdict.DRIFT, START + 10_010)


def test_faults_of_a_type_are_fed_to_their_rate() -> None:
    values = np.where(np.arange(1_000) < 600, CENTER, np.nan)
    rows = np.arange(600, 1_000, dtype=np.int32)
    zero = np.zeros(400, np.int32)
    faults = NumericFaults(zero, rows, np.full(400, Fault.WRONG_TYPE, np.int32))
    batch = replace(batch_of(values), faults=faults)
    assert drifts(attached("adwin", "length.wrong_type"), batch)
    assert not drifts(attached("adwin", "length.missing"), batch)


def test_kswin_draws_the_same_numbers_every_time_but_a_seed_can_be_given() -> None:
    values = shifted(1, 3_000, 0)
    runs = [drifts(attached("kswin", "length", alpha=0.05), batch_of(values)) for _ in range(2)]
    assert runs[0]
    assert runs[0] == runs[1]
    other = drifts(attached("kswin", "length", alpha=0.05, seed=9), batch_of(values))
    assert other == signals(bare("kswin", alpha=0.05, seed=9), values)
    assert other != runs[0]


def test_several_detectors_run_side_by_side() -> None:
    specs = [
        AttachedSpec("adwin", "length"),
        AttachedSpec("kswin", "length"),
        AttachedSpec("adwin", "latency", Feed.PANE),
        AttachedSpec("ddm", "status"),
    ]
    detectors = AttachedDetectors(specs, LAYOUT, None, "made-up")
    assert list(detectors.watches()) == [
        ("river.adwin", LENGTH),
        ("river.kswin", LENGTH),
        ("river.adwin", LATENCY),
        ("river.ddm", STATUS),
    ]
    detectors.add(batch_of(np.insert(shifted(1, 600, 400), 5, np.nan)))
    found = [f.detector for f in detectors.findings(START + 1_001, NOTHING)]
    assert found == ["river.adwin", "river.kswin"]
    assert detectors.skipped == (1, 1, 0, 0)


def test_an_empty_batch_and_no_specifications_are_nothing_special() -> None:
    detectors = attached("adwin", "length")
    detectors.add(batch_of(np.empty(0)))
    none = AttachedDetectors([], LAYOUT, None, "made-up")
    none.add(batch_of(np.array([CENTER])))
    assert detectors.findings(START, NOTHING) == none.findings(START, NOTHING) == []
    assert none.skipped == ()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (AttachedSpec("adwim", "length"), "adwim is no detector of River's: choose adwin"),
        (AttachedSpec("adwin", "colour"), "colour is no number.*colour.unseen"),
        (AttachedSpec("adwin", "prediction"), "prediction is no series"),
        (AttachedSpec("adwin", "length.unseen"), "of length: missing, wrong_type, not_finite"),
        (AttachedSpec("adwin", "nothing.missing"), "nothing.missing is no series"),
        (
            AttachedSpec("adwin", "length", parameters=(("lambda", 1),)),
            "adwin has no parameter lambda: it has delta, clock",
        ),
        (AttachedSpec("kswin", "length", parameters=(("window", 1),)), "no parameter window"),
        (AttachedSpec("adwin", "length", parameters=(("delta", "low"),)), "delta of adwin is a"),
        (AttachedSpec("kswin", "length", parameters=(("seed", 0.5),)), "a whole number, not 0.5"),
        (AttachedSpec("page_hinkley", "length", parameters=(("mode", "x"),)), "Invalid 'mode'"),
        (AttachedSpec("kswin", "length", parameters=(("stat_size", 90),)), "cannot work with"),
        (AttachedSpec("fhddm", "status", parameters=(("sliding_window_size", 0),)), "cannot work"),
        # It would be fed a thousand million values, or take that much memory.
        (
            AttachedSpec("ddm", "status", parameters=(("warm_start", 1_000_000_000),)),
            "warm_start of ddm is at most 1,000,000, not 1,000,000,000",
        ),
        (
            AttachedSpec("adwin", "length", parameters=(("max_buckets", 1_000_000_000),)),
            "max_buckets of adwin is at most 1,000,000",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words_that_help(spec: AttachedSpec, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AttachedDetectors([spec], LAYOUT, None, "made-up")


@pytest.mark.parametrize("detector", BINARY)
def test_detectors_of_errors_are_refused_on_anything_but_zeros_and_ones(detector: str) -> None:
    with pytest.raises(ValueError, match=f"{detector} takes 0 and 1 alone"):
        attached(detector, "length")
    with pytest.raises(ValueError, match="a pane gives a share"):
        attached(detector, "status", Feed.PANE)


def test_a_detector_is_attached_to_a_series_once() -> None:
    specs = [AttachedSpec("adwin", "length"), AttachedSpec("adwin", "length", Feed.PANE)]
    with pytest.raises(ValueError, match="attached to length twice"):
        AttachedDetectors(specs, LAYOUT, None, "made-up")


@pytest.mark.parametrize(("warm_start", "updates"), [(50, 51), (1_000_000, 10_000)])
def test_a_detector_is_tried_until_it_is_warm_but_not_for_long(
    warm_start: int, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Counted(binary.DDM):
        def update(self, x: float) -> None:
            taken.append(x)

    monkeypatch.setattr(binary, "DDM", Counted)
    factory(AttachedSpec("ddm", "status", parameters=(("warm_start", warm_start),)))
    assert len(taken) == updates


def test_any_seed_and_any_threshold_will_do() -> None:
    for spec in (
        AttachedSpec("kswin", "length", parameters=(("seed", 2_000_000_000),)),
        AttachedSpec("page_hinkley", "length", parameters=(("threshold", 5_000_000),)),
    ):
        factory(spec)


def test_excluded_events_are_not_fed() -> None:
    values = shifted(3, 300, 300)
    values[250] = math.nan
    batch = batch_of(values)
    excluded = np.zeros(600, bool)
    excluded[200:280] = excluded[400:] = True
    some, all_others = (attached("adwin", "length", reference=known()) for _ in range(2))
    shuffled = np.random.default_rng(1).permutation(600)
    some.add(batches.take(replace(batch, label=batch.prediction), shuffled), excluded[shuffled])
    kept = np.flatnonzero(~excluded)
    all_others.add(batches.take(replace(batch, label=batch.prediction), kept))
    assert some.skipped == all_others.skipped == (0,)
    expected = all_others.findings(START + 600, NOTHING)
    assert [finding.verdict for finding in expected] == [Verdict.DRIFT]
    # As text, since the bounds of an effect are NaN.
    assert repr(some.findings(START + 600, NOTHING)) == repr(expected)


def test_parameters_reach_the_detector() -> None:
    spec = AttachedSpec("adwin", "length", parameters=(("delta", 0.5), ("clock", 1)))
    made = factory(spec)()
    assert isinstance(made, drift.ADWIN)
    assert (made.delta, made.clock) == (0.5, 1)
