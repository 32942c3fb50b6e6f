"""Outcome engine: a model's predictions and labels in, pairs counted, changes found."""

from collections.abc import Iterator, Mapping

import numpy as np

from streamgauge.core.batch import BoolArray, EventBatch, IntArray, LabelBatch
from streamgauge.core.detection import DetectionSpec
from streamgauge.core.detectors.specs import excluded
from streamgauge.core.findings import Finding, Watched
from streamgauge.core.joining.elsewhere import JoinedElsewhere
from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.joining.store import Keys, Store
from streamgauge.core.layout import Subject
from streamgauge.core.outcomes.events import Predicted, PredictionTap
from streamgauge.core.outcomes.joining import OutcomeJoin
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.reporting import OutcomeReporter
from streamgauge.core.outcomes.stream import Looked, OutcomeStream, StreamSpec
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey, SliceRegistry
from streamgauge.core.snapshot import OutcomeStats
from streamgauge.core.spill import Spill
from streamgauge.core.state import Kept, Part, below, needed, reading, restore_below, value_part


class OutcomeEngine:
    """The join of one model's labels, and the stream of what comes of it."""

    def __init__(
        self,
        spec: StreamSpec,
        layout: OutcomeLayout,
        reference: Reference | None,
        registry: SliceRegistry,
        detection: DetectionSpec,
        coverage: DetectionSpec,
        specs: int,
        store: Store,
        spill: Spill,
    ) -> None:
        self.layout = layout
        self._spec = spec
        self._stream = OutcomeStream(spec, layout, reference, registry, detection, coverage, spill)
        self._reporter = OutcomeReporter(self._stream, reference)
        self.join = OutcomeJoin(spec.labels, layout, specs, store)
        """What joins, unless that is done elsewhere."""
        self._elsewhere: JoinedElsewhere | None = None

    def join_elsewhere(self) -> None:
        """Note that others join the labels, and what they say is taken with `take`."""
        self._elsewhere = JoinedElsewhere()

    def parts(self) -> Iterator[Part]:
        """Yield everything that lasts but the store's content."""
        yield value_part("joiner", (self._elsewhere or self.join.joiner).state())
        yield from below("stream", self._stream.parts())

    def restore(self, kept: Kept) -> None:
        """Take back the parts, with a store that may still have to learn some of what they count.

        From then on events that are indexed are counted no more.
        """
        state = needed(kept, "joiner")
        with reading("joiner"):
            (self._elsewhere or self.join.joiner).overtake(state)
        self.join.count_no_more()
        restore_below("stream", self._stream, kept)

    def tap(self, batch: EventBatch) -> PredictionTap:
        """Return what has to see the aggregation of a batch."""
        return self.join.tap(batch)

    def add_predictions(
        self, batch: EventBatch, keys: Keys, found: Predicted, closed: int | None
    ) -> None:
        """Let predictions wait for their labels; `keys (n)` are those of the whole batch."""
        new, joined = self.join.predictions(batch, keys, found, closed)
        self._stream.predict(new, closed, self._hidden(new.time))
        self._count(joined, closed)

    def add_labels(self, batch: LabelBatch, keys: Keys, closed: int | None) -> None:
        """Give labels to their predictions; `keys (n)` are those of the predictions' ids."""
        self._count(self.join.labels(batch, keys, closed), closed)

    def take(
        self,
        new: Pending | None,
        joined: Joined | None,
        grown: Mapping[str, int],
        closed: int | None,
    ) -> None:
        """Count what others have joined: new predictions, pairs, and what became of all events.

        A pair whose pane is closed by now becomes known in the first that is open. A correction of
        one that was put off so is counted at the label's own time, in windows that still cover it.
        """
        assert self._elsewhere is not None
        self._elsewhere.add(grown)
        if new is not None:
            self._stream.predict(new, closed, self._hidden(new.time))
        if joined is None:
            return
        if closed is not None:
            known = np.where(joined.fresh, np.maximum(joined.label_time, closed), joined.label_time)
            joined = joined._replace(label_time=known)
        self._count(joined, closed)

    def _count(self, joined: Joined, closed: int | None) -> None:
        hidden = self._hidden(joined.time) | self._hidden(joined.label_time)
        self._stream.join(joined, closed, hidden)

    def _hidden(self, time: IntArray) -> BoolArray:
        return excluded(self._spec.exclusions, time, self._spec.pane_ms)

    @property
    def next_end(self) -> int | None:
        """Return when there is next something to close or to advance (ms), None if there is not."""
        return self._stream.next_end

    def close(self, end: int) -> tuple[Looked, ...]:
        """Close the panes that end at `end` (ms); return what detectors have looked at."""
        return self._stream.close(end)

    def advance(self, now: int) -> bool:
        """Advance the windows whose step ends now (ms); say whether there are any of labels."""
        return self._stream.advance(now)

    def forget(self, watermark: int) -> None:
        """Drop what no label comes for any more."""
        if self._elsewhere is None:
            self.join.joiner.advance(watermark)
        self._stream.forget(watermark)

    def findings(self, looked: tuple[Looked, ...], now: int, watched: Watched) -> list[Finding]:
        """Return what there is new of changes and of what is watched."""
        return [
            finding
            for detection, track, rows in looked
            for finding in detection.findings(rows, track.measured, now, watched)
        ]

    def explain(self, finding: Finding) -> Finding:
        """Return a finding of outcomes with what moved, any other as it is."""
        for detection, track in self._stream.detections:
            finding = detection.explain(finding, track.measured)
        return finding

    def watches(self) -> tuple[tuple[str, Subject], ...]:
        """Return what findings can be about: the detector's name and the subject."""
        return tuple(watch for each, _ in self._stream.detections for watch in each.watches())

    def stats(
        self, rows: IntArray, whole: IntArray, keys: tuple[RowKey, ...], watermark: int | None
    ) -> OutcomeStats:
        """Return the figures of these rows; `whole` are those that are whole versions."""
        return self._reporter.stats(rows, whole, keys, watermark, self.counts())

    def projected(self, keys: tuple[RowKey, ...]) -> OutcomeStats:
        """Return what there would be of these rows, if production were like the reference."""
        return self._reporter.projected(keys, self.counts())

    def counts(self) -> JoinCounts:
        """Return what became of all events."""
        return (self._elsewhere or self.join.joiner).counts()

    @property
    def nbytes(self) -> int:
        """Bytes of the windows' steps, wherever they are."""
        return self._stream.track.nbytes + self._stream.estimates.nbytes
