"""Outcome engine: a model's predictions and labels in, pairs counted, changes found."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from streamgauge.core.batch import BoolArray, EventBatch, IntArray, LabelBatch, Task
from streamgauge.core.detection import DetectionSpec
from streamgauge.core.detectors.specs import excluded
from streamgauge.core.findings import Finding, Watched
from streamgauge.core.joining.joiner import Joiner, JoinSpec
from streamgauge.core.joining.records import Joined, Labels, Pending, RecordFormat
from streamgauge.core.joining.store import Store
from streamgauge.core.layout import Subject, folded_widths
from streamgauge.core.outcomes.events import Predicted, PredictionTap, true_classes
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.reporting import OutcomeReporter
from streamgauge.core.outcomes.stream import Looked, OutcomeStream, StreamSpec
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey, SliceRegistry
from streamgauge.core.snapshot import OutcomeStats
from streamgauge.core.state import Kept, Part, below, needed, reading, restore_below, value_part

_NEVER = int(np.iinfo(np.int64).min)


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
    ) -> None:
        self.layout = layout
        self._spec = spec
        self._stream = OutcomeStream(spec, layout, reference, registry, detection, coverage)
        self._reporter = OutcomeReporter(self._stream, reference)
        widths = folded_widths(layout.base)
        labels = spec.labels
        self._join_spec = JoinSpec(labels.max_delay_ms, labels.max_bytes, labels.max_waiting_bytes)
        self._form = RecordFormat(
            specs,
            tuple(widths[position] for position in layout.features),
            layout.task is Task.REGRESSION,
        )
        self._store = store
        self.joiner = Joiner(self._join_spec, self._form, store)
        self._restored = False

    def restore_join(self, state: Mapping[str, Any]) -> None:
        """Go on with the store as it was when the joiner's `state` was taken."""
        self.joiner = Joiner.restore(self._join_spec, self._form, self._store, state)

    def parts(self) -> Iterator[Part]:
        """Yield everything that lasts but the store's content."""
        yield value_part("joiner", self.joiner.state())
        yield from below("stream", self._stream.parts())

    def restore(self, kept: Kept) -> None:
        """Take back the parts, with a store that may still have to learn some of what they count.

        From then on events that are indexed are counted no more.
        """
        state = needed(kept, "joiner")
        with reading("joiner"):
            self.joiner.overtake(state)
        self._restored = True
        restore_below("stream", self._stream, kept)

    def _indexing(self) -> AbstractContextManager[None]:
        return self.joiner.indexing() if self._restored else nullcontext()

    def tap(self, batch: EventBatch) -> PredictionTap:
        """Return what has to see the aggregation of a batch."""
        return PredictionTap(self.layout, batch, self._spec.labels.threshold)

    def add_predictions(
        self, batch: EventBatch, keys: Sequence[bytes], found: Predicted, closed: int | None
    ) -> None:
        """Let predictions wait for their labels; `keys (n)` are those of the whole batch."""
        time = batch.timestamp[found.at]
        arrived = self.joiner.predictions(
            [keys[i] for i in found.at.tolist()],
            Pending(time, found.rows, found.bins, found.predicted, found.score),
            _NEVER if closed is None else closed,
        )
        new = arrived.new
        time = time[new]
        self._stream.predict(time, found.take(new), closed, self._hidden(time))
        self._join(arrived.joined, closed)

    def add_labels(self, batch: LabelBatch, keys: Sequence[bytes], closed: int | None) -> None:
        """Give labels to their predictions; `keys (n)` are those of the predictions' ids."""
        self._join(self._labelled(batch, keys, closed), closed)

    def index_predictions(self, batch: EventBatch, keys: Sequence[bytes], found: Predicted) -> None:
        """Let predictions wait that are counted already.

        Which panes were closed when they came is not known any more, so pairs are taken to be known
        from the label's own time.
        """
        time = batch.timestamp[found.at]
        with self._indexing():
            self.joiner.predictions(
                [keys[i] for i in found.at.tolist()],
                Pending(time, found.rows, found.bins, found.predicted, found.score),
            )

    def index_labels(self, batch: LabelBatch, keys: Sequence[bytes]) -> None:
        """Give labels to their predictions that are counted already."""
        with self._indexing():
            self._labelled(batch, keys, None)

    def caught_up(self) -> None:
        """Note that the store knows all that is counted, having been built again."""
        self.joiner.caught_up()

    def _labelled(self, batch: LabelBatch, keys: Sequence[bytes], closed: int | None) -> Joined:
        codes, _ = true_classes(self.layout, batch.label)
        return self.joiner.labels(
            keys,
            Labels(batch.timestamp, codes, batch.version),
            _NEVER if closed is None else closed,
        )

    def _join(self, joined: Joined, closed: int | None) -> None:
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
        self.joiner.advance(watermark)
        self._stream.cohorts.forget(watermark)

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
        return self._reporter.stats(rows, whole, keys, watermark, self.joiner.counts())

    def projected(self, keys: tuple[RowKey, ...]) -> OutcomeStats:
        """Return what there would be of these rows, if production were like the reference."""
        return self._reporter.projected(keys, self.joiner.counts())

    @property
    def nbytes(self) -> int:
        """Memory of the windows' steps in bytes."""
        return self._stream.track.nbytes + self._stream.estimates.nbytes
