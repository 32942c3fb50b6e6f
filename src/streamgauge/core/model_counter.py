"""Model counter: what takes one model's events and labels, and builds its join again."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import EventBatch, LabelBatch
from streamgauge.core.joining.store import Keys
from streamgauge.core.outcomes.joining import OutcomeJoin
from streamgauge.core.slices import keys_data


class ModelCounter(ABC):
    """Counts one model's events, and joins its labels.

    The store of a `join` goes with the rows that its records name; it can be built again from
    events that are counted already. Without a join nothing waits for labels.
    """

    def __init__(self, aggregator: Aggregator) -> None:
        self.aggregator = aggregator
        self.registry = aggregator.registry
        self.join: OutcomeJoin | None = None
        self.last_event: int | None = None
        """The newest event time (ms), None before the first."""

    @abstractmethod
    def add(self, batch: EventBatch, keys: Keys | None = None) -> None:
        """Count a batch of events.

        `keys (n)` are the keys of their ids in the join; without them no label finds them.
        """

    @abstractmethod
    def add_labels(self, batch: LabelBatch, keys: Keys) -> None:
        """Join a batch of labels; `keys (n)` are the keys of their predictions' ids."""

    def index(self, batch: EventBatch, keys: Keys) -> None:
        """Let a batch of events that is counted already wait for its labels, and no more."""
        if self.join is not None and len(batch):
            tap = self.join.tap(batch)
            self.aggregator.aggregate(batch, [tap.add], tap.rows)
            self.join.index_predictions(batch, keys, tap.predicted())

    def index_labels(self, batch: LabelBatch, keys: Keys) -> None:
        """Join a batch of labels that is counted already, and count nothing."""
        if self.join is not None and len(batch):
            self.join.index_labels(batch, keys)

    def caught_up(self) -> None:
        """Note that the join store knows all that is counted, having been built again."""
        if self.join is not None:
            self.join.joiner.caught_up()

    def join_state(self) -> dict[str, object]:
        """Return what the join knows besides its store, as plain data."""
        assert self.join is not None
        return {"rows": keys_data(self.registry.keys), "joiner": self.join.joiner.state()}

    def restore_join(self, state: Mapping[str, Any]) -> None:
        """Go on with a store as it was when `state` was taken; before any event is counted."""
        assert self.join is not None
        assert not len(self.registry)
        self.registry.readmit_all(state["rows"])
        self.join.restore(state["joiner"])
