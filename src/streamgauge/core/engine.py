"""Engine: one model's events in, alerts and snapshots out; owner of all state that lasts."""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import EventBatch, IntArray, LabelBatch
from streamgauge.core.blocks import Block
from streamgauge.core.detection import Detection, DetectionSpec
from streamgauge.core.detectors.attached import AttachedDetectors
from streamgauge.core.detectors.series import series_table
from streamgauge.core.detectors.specs import Spending, excluded
from streamgauge.core.detectors.traffic import NAME, TRAFFIC, TrafficDetector
from streamgauge.core.detectors.traffic_profile import measure_traffic
from streamgauge.core.findings import Effect, Finding
from streamgauge.core.frequent import FrequentValues
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.store import Keys, Store
from streamgauge.core.layout import Layout, Subject
from streamgauge.core.model_counter import ModelCounter
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.outcomes.allotment import allotment
from streamgauge.core.outcomes.engine import OutcomeEngine
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.stream import LabelSpec, Looked, StreamSpec
from streamgauge.core.partial import Partial
from streamgauge.core.reference import Reference, reference_keys
from streamgauge.core.shown import Shown
from streamgauge.core.slices import SliceRegistry
from streamgauge.core.snapshot import ModelSnapshot, OutcomeStats
from streamgauge.core.spill import IN_MEMORY, Spill
from streamgauge.core.state import (
    Kept,
    Lasting,
    Part,
    Plain,
    below,
    check_index,
    indexed,
    needed,
    reading,
    restore_below,
    value_part,
    within,
)
from streamgauge.core.track import Track, TrackSpec

TOP_UNSEEN: Final = 10


class LateEvents(NamedTuple):
    """Events that came after their pane had closed."""

    revised: int
    """Within the grace: they still count in their windows."""
    dropped: int


class ModelEngine(ModelCounter):
    """Panes, windows, detectors and alerts of one model.

    Without a reference it counts and summarises, but compares nothing and raises no alerts. Where
    it has labels, predictions wait for them in a `store`, that of the process if none is given.
    Closed steps of windows live in a `spill`, if one is given. Events of panes that share any time
    with one of `spec.exclusions` are counted and summarised, but reach no detector: they are no
    evidence, nothing is learned from them, and changes are measured without them.
    """

    def __init__(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None,
        reference_id: str | None,
        store: Store | None = None,
        spill: Spill = IN_MEMORY,
    ) -> None:
        self.spec = spec
        self.layout = layout
        self._spill = spill
        registry = SliceRegistry(
            spec.max_slices,
            spec.max_versions,
            reference_keys(reference) if reference else frozenset(),
        )
        super().__init__(Aggregator(layout, spec.slices, registry, spec.pane_ms, grouped=True))
        self.book = AlertBook(spec.app, spec.policy)
        self.closed: int | None = None
        """Event time up to which panes are closed (ms)."""
        self.late = LateEvents(0, 0)
        self._grouped = layout.grouped()
        numeric = len(layout.numeric)
        self._track = self._new_track(self._grouped.width, 0, rounded=True)
        """Every row in the grouped layout: what detectors follow, and what slices are shown by."""
        self._fine = self._new_track(layout.width, numeric)
        """The rows of whole versions in the layout itself, which their figures are drawn from."""
        self._unseen: dict[str, FrequentValues] = {}
        self._set_reference(reference, reference_id)
        self.outcomes: OutcomeEngine | None = None
        if spec.labels is not None:
            self.outcomes = self._new_outcomes(spec.labels, reference, store or MemoryStore())
            self.join = self.outcomes.join

    def _new_track(self, width: int, extremes: int, *, rounded: bool = False) -> Track:
        spec, sums = self.spec, len(self.layout.numeric)
        apart = bool(spec.exclusions)
        shape = width, sums, extremes, spec.windows, spec.pane_ms
        return Track(TrackSpec(*shape, measured_apart=apart, rounded=rounded), self._spill)

    def _set_reference(self, reference: Reference | None, reference_id: str | None) -> None:
        self.reference = reference
        self.reference_id = reference_id
        grouped = None if reference is None else reference.grouped()
        self._shown = Shown(
            *(self.spec, self.layout, self.registry, self.book),
            *(self._track, self._fine, reference),
        )
        self._attached = AttachedDetectors(
            () if reference is None else self.spec.attached,
            self._grouped,
            grouped,
            self.spec.model,
            max_versions=self.spec.max_versions,
        )
        self._detection: Detection | None = None
        self._traffic: TrafficDetector | None = None
        spec, table = self.spec, None
        if grouped is not None:
            whole = grouped.block.counts[0].astype(np.int64)
            table = series_table(self._grouped, whole, spec.latency)
        self._allotted = allotment(spec.spending, spec.traffic, spec.labels, reference, table)
        if reference is not None and grouped is not None:
            self._detection = Detection(
                self._detection_spec(self._allotted.shares), grouped, self.registry, table
            )
            if spec.traffic is not None:
                self._traffic = TrafficDetector(
                    spec.model,
                    measure_traffic(reference),
                    spec.traffic.tolerance,
                    self._allotted.traffic.per_pane(spec.pane_ms),
                    spec.pane_ms,
                )

    def _detection_spec(self, spending: Spending) -> DetectionSpec:
        spec = self.spec
        return DetectionSpec(
            spec.model, spec.pane_ms, spending, spec.tolerance, spec.min_samples, spec.latency
        )

    def _new_outcomes(
        self, labels: LabelSpec, reference: Reference | None, store: Store
    ) -> OutcomeEngine:
        spec = self.spec
        return OutcomeEngine(
            StreamSpec(labels, spec.windows, spec.pane_ms, spec.grace_ms, spec.exclusions),
            OutcomeLayout(self.layout, "" if reference is None else reference.positive),
            None if reference is None else reference.outcomes,
            self.registry,
            self._detection_spec(self._allotted.outcomes),
            self._detection_spec(self._allotted.coverage),
            len(spec.slices) + 1,
            store,
            self._spill,
        )

    def learned(self, reference: Reference, reference_id: str) -> None:
        """Begin to compare with a reference that was learned from the stream."""
        self.registry.reserved = reference_keys(reference)
        self._set_reference(reference, reference_id)

    def add(self, batch: EventBatch, keys: Keys | None = None) -> None:
        if not len(batch):
            return
        newest = int(batch.timestamp.max())
        self.last_event = newest if self.last_event is None else max(self.last_event, newest)
        at = batch.timestamp
        self._attached.add(batch, excluded(self.spec.exclusions, at, self.spec.pane_ms))
        if self.outcomes is None or keys is None:
            self.merge(self.aggregator.aggregate(batch))
            return
        tap = self.outcomes.tap(batch)
        self.merge(self.aggregator.aggregate(batch, [tap.add], tap.rows))
        self.outcomes.add_predictions(batch, keys, tap.predicted(), self.closed)

    def add_labels(self, batch: LabelBatch, keys: Keys) -> None:
        if self.outcomes is not None and len(batch):
            self.outcomes.add_labels(batch, keys, self.closed)

    def parts(self) -> Iterator[Part]:
        """Yield everything that lasts.

        Of detectors of River nothing is: they begin anew, and alerts that they raised stand until
        they have become calm.
        """
        yield from indexed(self._parts())

    def _parts(self) -> Iterator[Part]:
        place = {
            "closed": self.closed,
            "last_event": self.last_event,
            "late": [*self.late],
            "reference": self.reference_id,
        }
        yield value_part("place", place)
        for name, owner in self._lasting():
            yield from below(name, owner.parts())
        for name, values in self._unseen.items():
            yield Part(f"unseen/{name}", values.additions, partial(_unseen_data, values))

    def restore(self, kept: Kept) -> None:
        """Take back the parts of an engine with the same specification and reference.

        Raises StateError where they do not fit.
        """
        kept = check_index(kept)
        place = needed(kept, "place")
        with reading("place"):
            if place["reference"] != self.reference_id:
                raise ValueError(f"the reference was {place['reference']}, not {self.reference_id}")
            self.closed, self.last_event = place["closed"], place["last_event"]
            self.late = LateEvents(*place["late"])
        for name, owner in self._lasting():
            restore_below(name, owner, kept)
        for name, data in within("unseen", kept).items():
            with reading(f"unseen/{name}"):
                counts = dict(zip(data["values"], data["counts"], strict=True))
                self._unseen[name] = FrequentValues(counts=counts)

    def _lasting(self) -> Iterator[tuple[str, Lasting]]:
        """Yield what has parts of its own, what others rest on first."""
        yield "rows", self.registry
        yield "track", self._track
        yield "fine", self._fine
        if self._detection is not None:
            yield "detection", self._detection
        if self._traffic is not None:
            yield "traffic", self._traffic
        if self.outcomes is not None:
            yield "outcomes", self.outcomes
        yield "alerts", self.book

    def merge(self, partial: Partial) -> None:
        """Add a partial: to open panes, to windows where late, to nothing where too late."""
        for pane, block in partial.pieces:
            start = pane * self.spec.pane_ms
            if self.closed is not None and start < self.closed:
                self._add_late(start, block)
                continue
            self._track.add(pane, block, hidden=self._is_excluded(start))
        for pane, block in partial.fine:
            self._add_fine(pane * self.spec.pane_ms, block)
        for name, counts in partial.unseen.items():
            self._unseen.setdefault(name, FrequentValues()).add(counts)

    def _add_fine(self, start: int, block: Block) -> None:
        hidden = self._is_excluded(start)
        if self.closed is None or start >= self.closed:
            self._fine.add(start // self.spec.pane_ms, block, hidden=hidden)
        elif start >= self.closed - self.spec.grace_ms:
            self._fine.add_late(start, block, self.closed, hidden=hidden)

    def _add_late(self, start: int, block: Block) -> None:
        assert self.closed is not None
        events = self._events(block)
        if start < self.closed - self.spec.grace_ms:
            self.late = self.late._replace(dropped=self.late.dropped + events)
            return
        self.late = self.late._replace(revised=self.late.revised + events)
        hidden = self._is_excluded(start)
        if self._detection is not None and not hidden:
            self._detection.feed(block, start)
            if self._traffic is not None:
                self._traffic.feed_late(events)
        self._track.add_late(start, block, self.closed, hidden=hidden)

    def advance(self, watermark: int) -> tuple[AlertRecord, ...]:
        """Close the panes that end at or before the watermark (ms); return the alerts' revisions.

        Panes and window steps are taken in the order of their ends, so what comes out does not
        depend on how often this is called.
        """
        target = watermark // self.spec.pane_ms * self.spec.pane_ms
        if self.closed is not None and target <= self.closed:
            return ()
        records: list[AlertRecord] = []
        while True:
            ends = [self._track.next_end, None if self._traffic is None else self._traffic.next_end]
            if self.outcomes is not None:
                ends.append(self.outcomes.next_end)
            now = min((end for end in ends if end is not None), default=target + 1)
            if now > target:
                break
            rows = self._close_pane(now)
            looked = () if self.outcomes is None else self.outcomes.close(now)
            due = self._track.advance(now)
            self._fine.advance(now)
            if self.outcomes is not None:
                due |= self.outcomes.advance(now)
            new = len(rows) or any(len(each.rows) for each in looked)
            if due or new or self._traffic is not None:
                records += self._judge(rows, looked, now)
        self.closed = target
        if self.outcomes is not None:
            self.outcomes.forget(target)
        return tuple(records)

    def _close_pane(self, end: int) -> IntArray:
        """Close the pane that ends at `end`; return the rows that detectors have looked at."""
        closed = self._track.close(end)
        self._fine.close(end)
        start = end - self.spec.pane_ms
        block = None if closed is None else closed.block()
        if self._traffic is not None:
            events = 0 if block is None else self._events(block)
            self._traffic.close(end, None if self._is_excluded(start) else events)
        if closed is None or block is None:
            return np.empty(0, np.int64)
        keys = tuple(self.registry.keys[row] for row in block.rows.tolist())
        self._attached.close(keys, block.counts, block.sums, end)
        if self._detection is None:
            return np.empty(0, np.int64)
        self._detection.feed_pane(closed, start)
        return self._detection.close(block.rows, end)

    def _events(self, block: Block) -> int:
        """Return how many events a block holds, in all versions."""
        keys = [self.registry.keys[row] for row in block.rows.tolist()]
        whole = np.array([not key.slice for key in keys], bool)
        return int(block.counts[whole][:, self._grouped.cells(0)].sum())

    def _is_excluded(self, start: int) -> bool:
        """Say whether the pane that begins at `start` is excluded."""
        times = np.array([start], np.int64)
        return bool(excluded(self.spec.exclusions, times, self.spec.pane_ms)[0])

    def _judge(
        self, rows: IntArray, looked: tuple[Looked, ...], now: int
    ) -> tuple[AlertRecord, ...]:
        """Let alerts follow what detectors say of rows that they have just looked at.

        `looked` is what the detectors of outcomes have looked at.
        """
        watched = self.book.watched()
        findings = self._attached.findings(now, watched)
        if self._detection is not None:
            findings += self._detection.findings(rows, self._track.measured, now, watched)
        if self.outcomes is not None:
            findings += self.outcomes.findings(looked, now, watched)
        if self._traffic is not None:
            findings += self._traffic.findings(now, watched)
        return self.book.update(findings, now, self._explain)

    def _explain(self, finding: Finding) -> Finding:
        if self.outcomes is not None:
            finding = self.outcomes.explain(finding)
        if self._detection is None:
            return finding
        return self._detection.explain(finding, self._track.measured)

    def snapshot(self, watermark: int | None) -> ModelSnapshot:
        """Return everything that metrics and pages show, open panes included in the counters."""
        whole, shown = self._shown.rows()
        return ModelSnapshot(
            model=self.spec.model,
            layout=self.layout,
            reference_id=self.reference_id,
            watermark=watermark,
            last_event=self.last_event,
            late_events=self.late.revised + self.late.dropped,
            counters=self._shown.counters(shown),
            windows=self._shown.windows(shown),
            detectors=None
            if self._detection is None
            else self._detection.stats(np.array(whole + shown, np.int64)),
            unseen_values={
                name: values.top(TOP_UNSEEN) for name, values in sorted(self._unseen.items())
            },
            dropped_rows=len(self.registry) - len(whole) - len(shown),
            alerts=self.book.active(),
            alerts_fired=self._possible_alerts() | dict(self.book.fired),
            outcomes=self._outcome_stats(whole, shown, watermark),
        )

    def _outcome_stats(
        self, whole: list[int], shown: list[int], watermark: int | None
    ) -> OutcomeStats | None:
        if self.outcomes is None:
            return None
        rows = np.array(whole + shown, np.int64)
        keys = tuple(self.registry.keys[row] for row in rows.tolist())
        return self.outcomes.stats(rows, np.array(whole, np.int64), keys, watermark)

    def watches(self) -> tuple[tuple[str, Subject], ...]:
        """Return what alerts can be about, in every row: the detector's name and the subject."""
        return (*self._budgeted(), *self._attached.watches())

    def _budgeted(self) -> tuple[tuple[str, Subject], ...]:
        shares = () if self._detection is None else tuple(self._detection.watches())
        if self.outcomes is not None:
            shares += self.outcomes.watches()
        return shares if self._traffic is None else (*shares, (NAME, TRAFFIC))

    def _possible_alerts(self) -> dict[tuple[str, str, str], int]:
        """Return zeros for the kinds of alerts that can fire, so that the first shows as a rise."""
        policy, nothing = self.spec.policy, Effect("", 0.0, 0.0, 0.0)
        levels = {0.0, *(nats for _, nats in policy.levels)}
        possible = [(name, subject, nats) for name, subject in self._budgeted() for nats in levels]
        possible += [(name, subject, 0.0) for name, subject in self._attached.watches()]
        return {
            (subject.kind.value, name, policy.severity(subject, nothing, nats).value): 0
            for name, subject, nats in possible
        }

    @property
    def nbytes(self) -> int:
        """Bytes of the windows' steps, wherever they are."""
        return (
            self._track.nbytes
            + self._fine.nbytes
            + (0 if self.outcomes is None else self.outcomes.nbytes)
        )


def _unseen_data(values: FrequentValues) -> Plain:
    return {"values": [*values.counts], "counts": [*values.counts.values()]}
