"""Outcome join: a model's predictions and labels in, pairs out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from streamgauge.core.batch import EventBatch, LabelBatch, Task
from streamgauge.core.joining.joiner import Joiner, JoinSpec
from streamgauge.core.joining.records import Joined, Labels, Pending, RecordFormat
from streamgauge.core.joining.store import Keys, Store
from streamgauge.core.layout import folded_widths
from streamgauge.core.outcomes.events import Predicted, PredictionTap, true_classes
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.stream import LabelSpec

_NEVER = int(np.iinfo(np.int64).min)


class Arrived(NamedTuple):
    """What came of a batch of predictions: those with a new id, and pairs with labels."""

    new: Pending
    joined: Joined


class OutcomeJoin:
    """The join of one model's labels; `specs` is in how many rows each event is counted.

    `closed` is up to when panes are closed (ms): no pair becomes known before that. None where that
    is for others to say.
    """

    def __init__(self, labels: LabelSpec, layout: OutcomeLayout, specs: int, store: Store) -> None:
        self.layout = layout
        self._threshold = labels.threshold
        self._spec = JoinSpec(labels.max_delay_ms, labels.max_bytes, labels.max_waiting_bytes)
        widths = folded_widths(layout.base)
        self._form = RecordFormat(
            specs,
            tuple(widths[position] for position in layout.features),
            layout.task is Task.REGRESSION,
        )
        self._store = store
        self.joiner = Joiner(self._spec, self._form, store)
        self._counted_before = False

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the store as it was when the joiner's `state` was taken."""
        self.joiner = Joiner.restore(self._spec, self._form, self._store, state)

    def count_no_more(self) -> None:
        """Note that events that are indexed have been counted: see `Joiner.indexing`."""
        self._counted_before = True

    def tap(self, batch: EventBatch) -> PredictionTap:
        """Return what has to see the aggregation of a batch."""
        return PredictionTap(self.layout, batch, self._threshold)

    def predictions(
        self, batch: EventBatch, keys: Keys, found: Predicted, closed: int | None
    ) -> Arrived:
        """Let predictions wait for their labels; `keys (n)` are those of the whole batch."""
        pending = _pending(batch, found)
        mine = keys[found.at]
        arrived = self.joiner.predictions(mine, pending, _NEVER if closed is None else closed)
        all_new = len(arrived.new) == len(mine)  # most of the time: nothing is copied then
        return Arrived(pending if all_new else pending.take(arrived.new), arrived.joined)

    def labels(self, batch: LabelBatch, keys: Keys, closed: int | None) -> Joined:
        """Give labels to their predictions; `keys (n)` are those of the predictions' ids."""
        codes, _ = true_classes(self.layout, batch.label)
        return self.joiner.labels(
            keys,
            Labels(batch.timestamp, codes, batch.version),
            _NEVER if closed is None else closed,
        )

    def index_predictions(self, batch: EventBatch, keys: Keys, found: Predicted) -> None:
        """Let predictions wait that are counted already.

        Which panes were closed when they came is not known any more, so pairs are taken to be known
        from the label's own time.
        """
        with self._indexing():
            self.joiner.predictions(keys[found.at], _pending(batch, found))

    def index_labels(self, batch: LabelBatch, keys: Keys) -> None:
        """Give labels to their predictions that are counted already."""
        with self._indexing():
            self.labels(batch, keys, None)

    @contextmanager
    def _indexing(self) -> Iterator[None]:
        if not self._counted_before:
            yield
            return
        with self.joiner.indexing():
            yield


def _pending(batch: EventBatch, found: Predicted) -> Pending:
    return Pending(batch.timestamp[found.at], found.rows, found.bins, found.predicted, found.score)
