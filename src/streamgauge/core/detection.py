"""Detection: closed panes of one model in, findings out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.alerts.policy import assured_size
from streamgauge.core.batch import IntArray
from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.detectors.allowance import series_weights
from streamgauge.core.detectors.calls import Call, CallLog
from streamgauge.core.detectors.e_detectors import EDetectors, Evidence
from streamgauge.core.detectors.series import SeriesTable, series_table
from streamgauge.core.detectors.specs import LatencyLimit, Spending
from streamgauge.core.detectors.tolerance import measure_tolerance
from streamgauge.core.explain import Explainer, Size
from streamgauge.core.findings import Finding, Verdict, Watched
from streamgauge.core.layout import Subject
from streamgauge.core.packed import PackedCounts
from streamgauge.core.reference import Reference
from streamgauge.core.slices import SliceRegistry
from streamgauge.core.snapshot import DetectorStats
from streamgauge.core.state import Kept, Part, reading
from streamgauge.core.windows import WindowState

NAME: Final = "e_detector"
ROOM: Final = 2
"""A change is measured over so many times the time that it took to show."""


@dataclass(frozen=True, slots=True)
class DetectionSpec:
    """How one model's changes are detected; times in ms."""

    model: str
    pane_ms: int
    spending: Spending
    tolerance: float
    min_samples: int
    latency: LatencyLimit | None


class Detection:
    """Detectors of all rows of one model, and what their changes come to.

    `table` holds the series to follow, those of `series_table` where it is None.
    """

    def __init__(
        self,
        spec: DetectionSpec,
        reference: Reference,
        registry: SliceRegistry,
        table: SeriesTable | None = None,
    ) -> None:
        self._spec = spec
        self._reference = reference
        self._registry = registry
        if table is None:
            whole = reference.block.counts[0].astype(np.int64)
            table = series_table(reference.layout, whole, spec.latency)
        self._table = table
        self._numbers = {subject: i for i, subject in enumerate(self._table.subjects)}
        tolerance = measure_tolerance(reference, self._table, spec.tolerance, spec.latency)
        self._explainer = Explainer(reference, self._table, tolerance.dispersion)
        self._detectors = EDetectors(
            tolerance,
            spec.spending.per_pane(spec.pane_ms),
            series_weights(self._table, spec.spending),
            spec.min_samples,
        )
        self._log: CallLog | None = None
        """None until state is kept, and while a new snapshot is due."""
        self._number = 0
        """Number of the first run of the next log."""

    def watches(self) -> Iterable[tuple[str, Subject]]:
        """Yield what findings can be about: the detector's name and the subject."""
        return ((NAME, subject) for subject in self._table.subjects)

    def feed(self, block: Block, start: int) -> None:
        """Take in events that came late for a pane that began at `start` (ms)."""
        self._take(block, start, lambda: PackedCounts(block.counts))

    def feed_pane(self, pane: BlockSum, start: int) -> None:
        """Take in the events of a pane that began at `start` (ms) and is about to close."""
        self._take(pane.block(), start, pane.packed)

    def _take(self, block: Block, start: int, packed: Callable[[], PackedCounts]) -> None:
        self._follow(len(self._registry))
        if self._log is not None:
            self._log.add(Call(len(self._detectors), start, block.rows, packed()))
        self._feed(block.rows, block.counts, start)

    def close(self, rows: IntArray, end: int) -> IntArray:
        """Close the pane that ends at `end` (ms); `rows (k,)` have events in it.

        Returns the rows that there is something new of.
        """
        if self._log is not None:
            self._log.add(Call(len(self._detectors), end, rows, None))
            self._number = self._log.next_number
            if self._log.due:
                self._log = None
        return self._detectors.close(rows, end)

    def parts(self) -> Iterator[Part]:
        """Yield a snapshot of the detectors and the calls since."""
        if self._log is None:
            self._log = CallLog(self._detectors.data, self._number)
        yield from self._log.parts()

    def restore(self, kept: Kept) -> None:
        """Take back the parts, by making the calls since the snapshot again."""
        self._log, snapshot = CallLog.restored(kept, self._detectors.data)
        log, self._number = self._log, self._log.next_number
        with reading("snapshot"):
            self._detectors.restore(snapshot)
            if len(self._detectors) > len(self._registry):
                raise ValueError(f"{len(self._detectors)} rows of {len(self._registry)}")
        for number, run in enumerate(log.runs, log.number):
            with reading(f"calls/{number}"):
                for followed, time, rows, counts in run:
                    self._follow(followed)
                    if counts is None:
                        self._detectors.close(rows, time)
                    else:
                        self._feed(rows, counts.whole(), time)

    def _follow(self, size: int) -> None:
        """Follow the first `size` rows of the registry."""
        new = self._registry.keys[len(self._detectors) : size]
        if new:
            known = [self._reference.counterpart(key.slice) for key in new]
            rows = np.array([-1 if row is None else row for row in known], np.int64)
            self._detectors.add_rows(rows)

    def _feed(self, rows: IntArray, counts: npt.NDArray[np.integer], start: int) -> None:
        events = counts[:, self._reference.layout.cells(0)].sum(axis=1, dtype=np.int64)
        self._detectors.feed(rows, counts, events, start)

    def findings(
        self,
        rows: IntArray,
        windows: Sequence[WindowState],
        now: int,
        watched: Watched,
    ) -> list[Finding]:
        """Return what rows that there is something new of say of changes and of what is watched.

        Changes that nobody watches yet have an onset and words, others are only measured.
        """
        places = set()
        for key, subject in watched:
            row = self._registry.find(key)
            if row is not None and subject in self._numbers:
                places.add((row, self._numbers[subject]))
        topics: dict[tuple[str, int], list[Evidence]] = {}
        for evidence in self._detectors.evidence(rows, places):
            version = self._registry.keys[evidence.row].version
            topics.setdefault((version, evidence.subject), []).append(evidence)
        found: list[Finding] = []
        for (_, number), evidences in topics.items():
            window = _window_for(evidences, windows)
            found += self._of_topic(number, evidences, window, now, watched)
        return found

    def stats(self, rows: IntArray) -> DetectorStats:
        """Return how near their thresholds some rows were at their last updates."""
        rows = rows[rows < len(self._detectors)]
        evidence, threshold = self._detectors.levels(rows)
        keys = tuple(self._registry.keys[row] for row in rows.tolist())
        phi = self._detectors.factors(rows)
        return DetectorStats(keys, self._table.subjects, evidence, threshold, phi)

    def _of_topic(
        self,
        subject: int,
        evidences: list[Evidence],
        window: WindowState,
        now: int,
        watched: Watched,
    ) -> list[Finding]:
        rows = np.array([evidence.row for evidence in evidences], np.int64)
        keys = [self._registry.keys[row] for row in rows.tolist()]
        known = [self._reference.counterpart(key.slice) for key in keys]
        at = np.array([-1 if row is None else row for row in known], np.int64)
        phi = self._detectors.factors(rows)[:, subject]
        period = (now - window.spec.length_ms, now)
        sizes = self._explainer.sizes(subject, at, window.latest(rows), phi, period)
        found = []
        for i, (evidence, size) in enumerate(zip(evidences, sizes, strict=True)):
            if not size.samples and evidence.verdict is not Verdict.CLEAR:
                continue  # what once changed has not been seen for the whole window
            finding = self._finding(evidence, size, window, now)
            if evidence.verdict is Verdict.DRIFT:
                if (finding.row, finding.subject) not in watched:
                    finding = self._explainer.explain(
                        finding, subject, window, evidence.row, float(phi[i])
                    )
                if assured_size(finding.effect) <= self._spec.tolerance:
                    finding = replace(finding, verdict=Verdict.SMALL)
            found.append(finding)
        return found

    def explain(self, finding: Finding, windows: Sequence[WindowState]) -> Finding:
        """Return one of the findings with what moved, and its onset in the window it is of."""
        row, subject = self._registry.find(finding.row), self._numbers.get(finding.subject)
        if finding.detector != NAME or row is None or subject is None:
            return finding
        length = finding.end - finding.start
        window = next((w for w in windows if w.spec.length_ms == length), windows[-1])
        phi = float(self._detectors.factors(np.array([row]))[0, subject])
        return self._explainer.explain(finding, subject, window, row, phi)

    def _finding(self, evidence: Evidence, size: Size, window: WindowState, now: int) -> Finding:
        return Finding(
            model=self._spec.model,
            row=self._registry.keys[evidence.row],
            subject=self._table.subjects[evidence.subject],
            detector=NAME,
            verdict=evidence.verdict,
            statistic=evidence.statistic,
            threshold=evidence.threshold,
            effect=size.effect,
            samples=size.samples,
            start=now - window.spec.length_ms,
            end=now,
            explains=size.explains / window.spec.length_ms,
            excess=evidence.excess,
        )


def _window_for(evidences: Iterable[Evidence], windows: Sequence[WindowState]) -> WindowState:
    """Return the shortest window that holds all of the changes' beginnings, else the longest.

    One for all rows of a subject, so that their sizes can be compared.
    """
    wanted = ROOM * max(evidence.took_ms for evidence in evidences)
    long_enough = [window for window in windows if window.spec.length_ms >= wanted]
    return long_enough[0] if long_enough else windows[-1]
