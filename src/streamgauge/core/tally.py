"""Tally: one model's events counted, for another process to analyse."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import EventBatch, LabelBatch, Task
from streamgauge.core.contribution import Contribution
from streamgauge.core.joining.joiner import KEPT_BUCKETS
from streamgauge.core.joining.ledger import GROWING
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.joining.store import Keys, Store
from streamgauge.core.layout import Layout
from streamgauge.core.model_counter import ModelCounter
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.outcomes.joining import OutcomeJoin
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.partial import PartialSum
from streamgauge.core.reference import Reference, reference_keys
from streamgauge.core.slices import SliceRegistry

_NUMBERS: Final = 10
"""What an event on its way to a label, or with one, is reckoned as."""


class ModelTally(ModelCounter):
    """Counts one model's events until they are taken.

    What all tallies of a model have counted, together, is what one `ModelEngine` would have. It has
    no windows, detectors or alerts, and nothing of it has to outlive its process but what is taken.
    """

    def __init__(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None,
        store: Store | None = None,
    ) -> None:
        self.spec = spec
        self.layout = layout
        registry = SliceRegistry(
            spec.max_slices,
            spec.max_versions,
            reference_keys(reference) if reference else frozenset(),
        )
        super().__init__(Aggregator(layout, spec.slices, registry, spec.pane_ms, grouped=True))
        self._sum = PartialSum()
        if spec.labels is not None:
            positive = "" if reference is None else reference.positive
            outcomes = OutcomeLayout(layout, positive)
            specs = len(spec.slices) + 1
            self.join = OutcomeJoin(spec.labels, outcomes, specs, store or MemoryStore())
            self.join.count_no_more()
        self._new: list[Pending] = []
        self._joined: list[Joined] = []
        self._told = dict.fromkeys(GROWING, 0)

    @property
    def cells(self) -> int:
        """How many numbers wait to be taken, about."""
        events = sum(len(new.time) for new in self._new)
        events += sum(len(joined.time) for joined in self._joined)
        return self._sum.cells + events * _NUMBERS

    def add(self, batch: EventBatch, keys: Keys | None = None) -> None:
        if not len(batch):
            return
        newest = int(batch.timestamp.max())
        self.last_event = newest if self.last_event is None else max(self.last_event, newest)
        if self.join is None or keys is None:
            self._sum.add(self.aggregator.aggregate(batch))
            return
        tap = self.join.tap(batch)
        self._sum.add(self.aggregator.aggregate(batch, [tap.add], tap.rows))
        new, joined = self.join.predictions(batch, keys, tap.predicted(), None)
        if len(new.time):
            # Of features the prediction's alone is needed: it is the last of a regression.
            kept = 1 if self.layout.schema.task is Task.REGRESSION else 0
            alone = new._replace(bins=new.bins[:, new.bins.shape[1] - kept :])
            # Copied: with views the whole poll would stay in memory until the next shipment.
            self._new.append(alone.take(np.arange(len(new.time))))
        self._keep(joined)

    def add_labels(self, batch: LabelBatch, keys: Keys) -> None:
        if self.join is not None and len(batch):
            self._keep(self.join.labels(batch, keys, None))

    def take(self) -> Contribution | None:
        """Return what was counted since the last time, None where that is nothing."""
        partial, grown = self._sum.take(), self._grown()
        new, self._new = self._new, []
        joined, self._joined = self._joined, []
        if not (partial.pieces or partial.unseen or new or joined or grown):
            return None
        return Contribution(
            tuple(self.registry.keys),
            partial,
            self.last_event,
            Pending(*map(np.concatenate, zip(*new, strict=True))) if new else None,
            Joined(*map(np.concatenate, zip(*joined, strict=True))) if joined else None,
            grown,
        ).narrowed()

    def forget(self, watermark: int) -> None:
        """Drop what no label comes for any more, by how far time has come (ms)."""
        if self.join is not None:
            self.join.joiner.advance(watermark // self.spec.pane_ms * self.spec.pane_ms)

    def settled(self, watermark: int) -> None:
        """Note that predictions were dropped before, as those that no label comes for any more.

        `watermark` is how far time had come (ms) for those who read these partitions before.
        """
        if self.join is None:
            return
        joiner, labels = self.join.joiner, self.spec.labels
        assert labels is not None
        state: dict[str, Any] = joiner.state()
        first = (watermark - labels.max_delay_ms) // joiner.width_ms
        kept = state["ledger"]
        newest = {
            "watermark": watermark,
            "open_from": first,
            "predictions_from": first - KEPT_BUCKETS,
            "labels_from": first,
        }
        later = {name: max(value, kept[name]) for name, value in newest.items()}
        joiner.overtake(state | {"ledger": kept | later})

    def caught_up(self) -> None:
        """Note that the join store knows all that is counted, which others have told of."""
        if self.join is not None:
            with self.join.joiner.indexing():
                super().caught_up()

    def restore_join(self, state: Mapping[str, Any]) -> None:
        """Go on with a store whose counts have been told; before any event is counted."""
        super().restore_join(state)
        self._grown()

    def _keep(self, joined: Joined) -> None:
        if len(joined.sign):
            self._joined.append(joined)

    def _grown(self) -> dict[str, int]:
        """Return by how much the counts of the join have grown since the last time."""
        if self.join is None:
            return {}
        counts = self.join.joiner.counts()._asdict()
        before, self._told = self._told, {name: counts[name] for name in GROWING}
        grown = {name: count - before[name] for name, count in self._told.items()}
        return {name: count for name, count in grown.items() if count}
