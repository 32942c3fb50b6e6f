"""The timeline: predictions and labels of some flights, merged in the order in which they came."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from streamgauge.core.batch import IntArray
from streamgauge.demo.dataset import label_events, prediction_events

PREDICTIONS: Final = "predictions"
LABELS: Final = "labels"
TOPICS: Final = (PREDICTIONS, LABELS)
DISORDER_MS: Final = 30 * 60_000
"""How far the monitor's event clock stays behind the newest event."""


class Sent(NamedTuple):
    """An event on its way: its time (ms), which of `TOPICS` it belongs to, its key and value."""

    time: int
    topic: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Timeline:
    """All events of a table of flights, which stands in event-time order.

    `predicted` and `labelled` are the event times of predictions and labels, `timestamps` those of
    both, each ascending `(n,) int64` in ms: how late a label comes is how long the flight took.
    """

    table: pa.Table
    predicted: IntArray = field(init=False)
    labelled: IntArray = field(init=False)
    timestamps: IntArray = field(init=False)

    def __post_init__(self) -> None:
        predicted = np.asarray(self.table.column("timestamp").to_numpy(), np.int64)
        arrived = self.table.column("label_timestamp").drop_null()
        labelled = np.sort(np.asarray(arrived.to_numpy(), np.int64))
        object.__setattr__(self, "predicted", predicted)
        object.__setattr__(self, "labelled", labelled)
        object.__setattr__(self, "timestamps", np.sort(np.concatenate([predicted, labelled])))

    def taken_in(self, event_time: int | None) -> int:
        """Return how many events an event clock (ms) says have been taken in.

        It stands still after the last prediction; the labels that follow are taken in as they come.
        """
        if event_time is None:
            return 0
        newest = event_time + DISORDER_MS
        if newest >= self.predicted[-1]:
            return len(self.timestamps)
        return int(np.searchsorted(self.timestamps, newest, side="right"))

    def events(self) -> Iterator[Sent]:
        """Yield every event in the order of time; of equal times predictions come first."""
        keyed = zip(self.predicted.tolist(), prediction_events(self.table), strict=True)
        predictions = (Sent(time, 0, key, value) for time, (key, value) in keyed)
        labels = (Sent(time, 1, key, value) for time, key, value in label_events(self.table))
        return merge(predictions, labels)
