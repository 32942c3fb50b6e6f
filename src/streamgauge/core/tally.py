"""Tally: one model's events counted, for another process to analyse."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import EventBatch, LabelBatch
from streamgauge.core.contribution import Contribution, contribution
from streamgauge.core.engine import ModelSpec
from streamgauge.core.layout import Layout
from streamgauge.core.partial import PartialSum
from streamgauge.core.reference import Reference, reference_keys
from streamgauge.core.slices import SliceRegistry


class ModelTally:
    """Counts one model's events until they are taken.

    What all tallies of a model have counted, together, is what one `ModelEngine` would have. It has
    no windows, detectors or alerts, and nothing of it has to outlive its process but what is taken.
    """

    def __init__(self, spec: ModelSpec, layout: Layout, reference: Reference | None) -> None:
        self.spec = spec
        self.layout = layout
        self.registry = SliceRegistry(
            spec.max_slices,
            spec.max_versions,
            reference_keys(reference) if reference else frozenset(),
        )
        self.aggregator = Aggregator(layout, spec.slices, self.registry, spec.pane_ms)
        self.last_event: int | None = None
        """The newest event time (ms) since the start."""
        self._sum = PartialSum(layout.width, len(layout.numeric))

    @property
    def cells(self) -> int:
        """How many counts wait to be taken."""
        return self._sum.cells

    def add(self, batch: EventBatch, keys: Sequence[bytes] | None = None) -> None:  # noqa: ARG002
        """Count a batch of events."""
        if not len(batch):
            return
        newest = int(batch.timestamp.max())
        self.last_event = newest if self.last_event is None else max(self.last_event, newest)
        self._sum.add(self.aggregator.aggregate(batch))

    def take(self) -> Contribution | None:
        """Return what was counted since the last time, None where that is nothing."""
        partial = self._sum.take()
        if not partial.pieces and not partial.unseen:
            return None
        return contribution(partial, self.registry.keys, self.last_event)

    def add_labels(self, batch: LabelBatch, keys: Sequence[bytes]) -> None:
        """Join a batch of labels; `keys (n)` are those of their predictions' ids."""
        raise NotImplementedError

    def index(self, batch: EventBatch, keys: Sequence[bytes]) -> None:
        """Let a batch of events that is counted already wait for its labels, and no more."""
        raise NotImplementedError

    def index_labels(self, batch: LabelBatch, keys: Sequence[bytes]) -> None:
        """Join a batch of labels that is counted already, and count nothing."""
        raise NotImplementedError

    def caught_up(self) -> None:
        """Note that the join store knows all that is counted, having been built again."""

    def join_state(self) -> dict[str, object]:
        """Return what the join knows besides its store, as plain data."""
        raise NotImplementedError

    def restore_join(self, state: Mapping[str, Any]) -> None:
        """Go on with a store as it was when `state` was taken; before any event is counted."""
        raise NotImplementedError
