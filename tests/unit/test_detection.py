"""Detection of planted faults: what is found, where, over which window, and what is too small."""

from dataclasses import replace

import numpy as np
import pytest

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detection import Detection, DetectionSpec
from streamgauge.core.detectors.e_detectors import QUIET
from streamgauge.core.detectors.specs import LatencyLimit, Spending
from streamgauge.core.findings import Finding, Verdict, Watched
from streamgauge.core.layout import LATENCY, Subject, SubjectKind
from streamgauge.core.slices import OVERFLOW_VALUE, RowKey, SliceRegistry
from streamgauge.core.windows import WindowSpec, WindowState
from tests.support.drawn import (
    BLUE,
    COLOUR,
    LAW,
    LAYOUT,
    LENGTH,
    RED,
    block_of,
    cells_of,
    draw,
    draw_law,
    known_reference,
    moved,
    reference_of,
)

PANE = 10_000
START = 1_764_000_000_000
SPEC = DetectionSpec("made-up", PANE, Spending(1.0, 7 * 86_400_000), 0.02, 100, None)
SPANS = (6, 60, 360)
"""Lengths of the windows in panes."""
WHOLE, SLICE, STRANGER = RowKey("1"), RowKey("1", RED), RowKey("1", BLUE)
NOBODY: Watched = frozenset()
MISSING = Subject(SubjectKind.DATA_QUALITY, "length.missing")
MISSING_CELL = LAYOUT.fields[5].bins.value_bins


class Run:
    """Detection and windows fed pane by pane as the engine does."""

    def __init__(self, spec: DetectionSpec = SPEC, seed: int = 1) -> None:
        self.registry = SliceRegistry()
        self.detection = Detection(spec, known_reference(), self.registry)
        self.windows = [
            WindowState(
                WindowSpec(f"{panes}", panes * PANE, max(panes // 64, 1) * PANE),
                LAYOUT.width,
                len(LAYOUT.numeric),
            )
            for panes in SPANS
        ]
        self.now = START // (360 * PANE) * 360 * PANE
        self._rng = np.random.default_rng(seed)

    def pane(
        self,
        laws: dict[RowKey, FloatArray],
        events: int = 300,
        watched: Watched = NOBODY,
    ) -> list[Finding]:
        """Close a pane in which each row has so many events of its law; return what is found."""
        rows = {self.registry.row(key): draw(self._rng, law, events) for key, law in laws.items()}
        block = block_of(rows)
        start, self.now = self.now, self.now + PANE
        for window in self.windows:
            window.add(start, block)
        self.detection.feed(block, start)
        updated = self.detection.close(block.rows, self.now)
        for window in self.windows:
            if window.next_end == self.now:
                window.advance(self.now)
        return self.detection.findings(updated, self.windows, self.now, watched)

    def warm_up(self, laws: dict[RowKey, FloatArray], panes: int = 40) -> None:
        """Clean panes, in which nothing may be found."""
        for _ in range(panes):
            assert self.pane(laws) == []


def about(findings: list[Finding]) -> set[tuple[RowKey, Subject]]:
    return {(finding.row, finding.subject) for finding in findings}


CLEAN = {WHOLE: LAW, SLICE: LAW}


def test_a_fault_of_one_feature_in_one_slice_is_found_there_and_only_there() -> None:
    run = Run()
    run.warm_up(CLEAN)
    began = run.now
    faulty = {WHOLE: LAW, SLICE: moved(LAW, LENGTH, 4, 0.3)}
    found = [finding for _ in range(20) for finding in run.pane(faulty)]
    assert about(found) == {(SLICE, LENGTH)}
    first, last = found[0], found[-1]
    assert first.end <= began + 5 * PANE
    assert first.verdict is Verdict.DRIFT
    assert first.detector == "e_detector"
    assert first.onset == began
    assert first.detail
    assert first.excess is not None
    assert first.statistic >= first.threshold
    assert first.effect.lower <= 0.3 <= first.effect.upper
    assert last.effect.value == pytest.approx(0.3, abs=0.05)
    assert last.onset is not None
    assert last.onset >= began


def test_values_that_go_missing_are_found_as_such() -> None:
    run = Run()
    run.warm_up(CLEAN)
    law = moved(LAW, LENGTH, MISSING_CELL, 0.2)
    found = [finding for _ in range(10) for finding in run.pane({WHOLE: law, SLICE: law})]
    assert about(found) == {(WHOLE, MISSING), (SLICE, MISSING)}
    assert found[-1].effect.measure == "share"


def test_of_a_slice_that_the_reference_does_not_know_only_bad_values_are_found() -> None:
    run = Run()
    run.warm_up({WHOLE: LAW, STRANGER: LAW})
    other = moved(moved(LAW, COLOUR, 1, 0.4), LENGTH, MISSING_CELL, 0.3)
    found = [finding for _ in range(20) for finding in run.pane({WHOLE: LAW, STRANGER: other})]
    assert about(found) == {(STRANGER, MISSING)}


def test_what_is_past_the_cap_is_not_compared_with_what_was_past_it_in_the_reference() -> None:
    """They are other values."""
    run = Run()
    past = RowKey("1", (("colour", OVERFLOW_VALUE),))
    rng = np.random.default_rng(1)
    law = {WHOLE.slice: LAW, past.slice: moved(draw_law(rng), LENGTH, MISSING_CELL, 0.5)}
    reference = reference_of({key: draw(rng, each, 20_000) for key, each in law.items()})
    run.detection = Detection(SPEC, reference, run.registry)
    run.warm_up({WHOLE: LAW, past: LAW}, 60)
    lacking = moved(LAW, LENGTH, MISSING_CELL, 0.3)
    found = [finding for _ in range(20) for finding in run.pane({WHOLE: LAW, past: lacking})]
    assert about(found) == {(past, MISSING)}
    whole = reference.block.counts[0, cells_of(LENGTH)]
    assert found[0].detail.startswith(f"{whole[MISSING_CELL] / whole.sum():.2%} to ")


def test_slow_requests_are_found_where_a_limit_is_set() -> None:
    latency = cells_of(LATENCY)
    law = LAW.copy()
    law[latency] = 0.0
    law[latency.start : latency.start + 2] = 0.995, 0.005
    slow = law.copy()
    slow[latency.start : latency.start + 1] = 0.75
    slow[latency.start + 10] = 0.245
    run = Run(replace(SPEC, latency=LatencyLimit(0.1, 0.01)))
    run.warm_up({WHOLE: law})
    found = [finding for _ in range(10) for finding in run.pane({WHOLE: slow})]
    assert about(found) == {(WHOLE, LATENCY)}
    without = Run()
    without.warm_up({WHOLE: law})
    assert [finding for _ in range(10) for finding in without.pane({WHOLE: slow})] == []


def test_every_subject_is_watched_under_the_detectors_name() -> None:
    watched = list(Run().detection.watches())
    assert {name for name, _ in watched} == {"e_detector"}
    assert {LENGTH, COLOUR, MISSING} <= {subject for _, subject in watched}
    assert LATENCY not in {subject for _, subject in watched}


def test_what_is_watched_is_reported_whatever_it_is() -> None:
    run = Run()
    watched = frozenset({(SLICE, LENGTH), (RowKey("9"), LENGTH), (WHOLE, LATENCY)})
    for _ in range(40):
        run.pane(CLEAN)
    [finding] = run.pane(CLEAN, watched=watched)
    assert (finding.row, finding.subject) == (SLICE, LENGTH)
    assert finding.verdict is Verdict.CLEAR
    assert finding.statistic <= QUIET < finding.threshold
    assert finding.excess is None
    assert finding.onset is None


@pytest.mark.parametrize(("share", "events", "longer"), [(0.3, 300, False), (0.065, 300, True)])
def test_a_change_is_measured_over_a_window_that_holds_its_beginning(
    share: float, events: int, *, longer: bool
) -> None:
    """The shortest of twice the time that it took to show."""
    run = Run(seed=3)
    run.warm_up(CLEAN, 80)
    law = moved(LAW, LENGTH, 4, share)
    found: list[Finding] = []
    panes = 0
    while not found:
        found = run.pane({WHOLE: law, SLICE: LAW}, events)
        panes += 1
        assert panes < 200
    [first] = found
    assert (panes > SPANS[0]) is longer
    assert first.explains is not None
    of = [window.latest(np.array([0]))[0] for window in run.windows]
    explained = [
        explains(run, counts) / window.spec.length_ms
        for counts, window in zip(of, run.windows, strict=True)
    ]
    [chosen] = np.flatnonzero(np.isclose(explained, first.explains))
    assert chosen == (1 if longer else 0)
    assert first.start >= first.end - run.windows[chosen].spec.length_ms


def explains(run: Run, counts: IntArray) -> float:
    """What the window's counts of the length explain: n·d² with d the total variation."""
    bins = LAYOUT.fields[5].bins
    before = known_reference().block.counts[0]
    parts = []
    for cells in (counts, before):
        values = cells[cells_of(LENGTH)][: bins.value_bins]
        parts.append(np.add.reduceat(values, bins.groups))
    n = parts[0].sum()
    d = np.abs(parts[0] / n - parts[1] / parts[1].sum()).sum() / 2
    return float(n * d**2)


def test_a_change_whose_assured_size_is_within_the_tolerance_is_small() -> None:
    """A fault that is over is diluted by what comes after it until its detector is clear."""
    found: list[Finding] = []
    for seed in range(6):
        run = Run(replace(SPEC, tolerance=0.05), seed)
        run.warm_up(CLEAN)
        laws = [moved(LAW, LENGTH, 4, 0.2)] * 20 + [LAW] * 40
        found += [finding for law in laws for finding in run.pane({WHOLE: law})]
    assert about(found) == {(WHOLE, LENGTH)}
    decided = [finding for finding in found if finding.verdict is not Verdict.UNDECIDED]
    assert {finding.verdict for finding in decided} == {Verdict.DRIFT, Verdict.SMALL}
    for finding in decided:
        small = finding.effect.lower <= 0.05
        assert finding.verdict is (Verdict.SMALL if small else Verdict.DRIFT)


def test_what_is_watched_already_is_explained_when_asked_for() -> None:
    run = Run()
    run.warm_up({WHOLE: LAW, SLICE: LAW})
    laws = {WHOLE: moved(LAW, LENGTH, 4, 0.2), SLICE: moved(LAW, LENGTH, 4, 0.5)}
    watched = frozenset({(WHOLE, LENGTH)})
    for _ in range(10):
        found = {f.row: f for f in run.pane(laws, watched=watched)}
    assert found[WHOLE].onset is None
    assert found[WHOLE].detail == ""
    assert found[SLICE].onset is not None
    explained = run.detection.explain(found[WHOLE], run.windows)
    assert explained.onset is not None
    assert explained.detail != ""
    assert run.detection.explain(replace(found[WHOLE], detector="river.adwin"), run.windows) == (
        replace(found[WHOLE], detector="river.adwin")
    )


def test_versions_are_looked_at_apart() -> None:
    run = Run()
    other = RowKey("2")
    run.warm_up({WHOLE: LAW, other: LAW})
    laws = {WHOLE: LAW, other: moved(LAW, LENGTH, 4, 0.3)}
    found = [finding for _ in range(10) for finding in run.pane(laws)]
    assert about(found) == {(other, LENGTH)}


def test_how_near_the_thresholds_rows_are_is_told() -> None:
    run = Run()
    run.warm_up(CLEAN)
    for _ in range(10):
        run.pane({WHOLE: LAW, SLICE: moved(LAW, LENGTH, 4, 0.3)})
    run.registry.row(RowKey("3"))  # not fed yet
    stats = run.detection.stats(np.arange(3))
    assert stats.rows == (WHOLE, SLICE)
    at = stats.subjects.index(LENGTH)
    assert stats.evidence.shape == stats.threshold.shape == stats.dispersion.shape
    assert stats.evidence[1, at] > 5 * stats.evidence[0, at]
    assert stats.evidence[0, at] < stats.threshold[0, at]
    assert (stats.dispersion >= 1.0).all()
    # One alarm a week over two rows, in a share of all their series and sides.
    assert stats.threshold.min() > np.log(7 * 8_640 * 2)


def test_clean_panes_of_many_rows_give_no_findings() -> None:
    run = Run(seed=4)
    run.warm_up(dict.fromkeys((WHOLE, SLICE, STRANGER, RowKey("2")), LAW), 200)
