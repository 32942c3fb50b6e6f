"""Ledger: all that was sent, and what should have become of it, counted again from the start."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tests.support.chaos_stream import LABELS, PREDICTIONS, Event

Partition = tuple[str, int]
_REFUSED: Final = "bad "
_SERVED: Final = ("good", "duplicate")
_FIRST, _CORRECTION, _AGAIN = "first", "correction", "again"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as the broker took it."""

    topic: int
    partition: int
    offset: int
    kind: str
    time: int
    version: str
    prediction: int
    x: float | None
    c: str
    name: str

    @classmethod
    def of(cls, event: Event, offset: int) -> "Entry":
        """Return an event as it stands at this offset."""
        return cls(
            event.topic, event.partition, offset, event.kind, event.time, event.version,
            event.prediction, event.x, event.c, event.name,
        )  # fmt: skip


def recounted(kinds: Iterable[str], *, labels: bool) -> Counter[str]:
    """Return what should have been counted of messages of these kinds, by what it counts as."""
    found: Counter[str] = Counter()
    for kind, count in Counter(kinds).items():
        found["consumed"] += count
        if kind.startswith(_REFUSED):
            found[f"rejected {kind.removeprefix(_REFUSED)}"] += count
        elif kind == "unknown":
            found["unknown_models"] += count
        elif kind == "tombstone":
            found["tombstones"] += count
        else:
            found["accepted"] += count
            found["labels"] += count if labels else 0
    return found


class Ledger:
    """All events by partition, in the order of their offsets."""

    def __init__(self, topics: tuple[str, str], entries: Iterable[Entry]) -> None:
        self.topics = topics
        self.partitions: dict[Partition, list[Entry]] = {}
        for entry in entries:
            self.partitions.setdefault((topics[entry.topic], entry.partition), []).append(entry)
        for partition, found in self.partitions.items():
            found.sort(key=lambda entry: entry.offset)
            gaps = [e.offset for i, e in enumerate(found) if e.offset != i]
            assert not gaps, f"the ledger of {partition} has no event at offset {gaps[0]}"

    @classmethod
    def read(cls, path: Path, topics: tuple[str, str]) -> "Ledger":
        """Read what the producer wrote."""
        with path.open("rb") as lines:
            return cls(topics, (Entry(*orjson.loads(line)) for line in lines))

    @property
    def ends(self) -> dict[Partition, int]:
        """The offsets after the last events."""
        return {partition: len(found) for partition, found in self.partitions.items()}

    @cached_property
    def _cumulated(self) -> dict[Partition, tuple[list[str], np.ndarray[Any, Any]]]:
        """Kinds, and how many of each stand before each offset `(n + 1, kinds)`."""
        found = {}
        for partition, entries in self.partitions.items():
            kinds = sorted({entry.kind for entry in entries})
            codes = np.array([kinds.index(entry.kind) for entry in entries], np.intp)
            steps = np.zeros((len(entries) + 1, len(kinds)), np.int64)
            steps[np.arange(len(entries)) + 1, codes] = 1
            found[partition] = kinds, np.cumsum(steps, axis=0)
        return found

    def counts(self, positions: Mapping[Partition, int]) -> Counter[str]:
        """Return what should have been counted of all before these offsets."""
        found: Counter[str] = Counter()
        for partition, offset in positions.items():
            kinds, cumulated = self._cumulated.get(partition, ([], np.zeros((1, 0), np.int64)))
            row = cumulated[min(offset, len(cumulated) - 1)]
            for kind, count in zip(kinds, row.tolist(), strict=True):
                if count:
                    one = recounted([kind], labels=partition[0] == self.topics[LABELS])
                    found.update({name: n * count for name, n in one.items()})
        return found

    def refused(self) -> dict[tuple[str, int, int], str]:
        """Return the places of all events that should have become dead letters, and why."""
        return {
            (*partition, entry.offset): entry.kind.removeprefix(_REFUSED)
            for partition, entries in self.partitions.items()
            for entry in entries
            if entry.kind.startswith(_REFUSED)
        }

    def of(self, topic: int, *kinds: str) -> list[Entry]:
        """Return the events of some kinds on one topic."""
        return [
            entry
            for (name, _), entries in self.partitions.items()
            if name == self.topics[topic]
            for entry in entries
            if entry.kind in kinds
        ]

    def figures(self) -> dict[str, float]:
        """Return what the metrics should say in the end, by name and labels.

        The sums of values are of all events, not of a window: windows are judged by `means`.
        """
        served, errors = self.of(PREDICTIONS, *_SERVED), self.of(PREDICTIONS, "error")
        found: Counter[str] = Counter()
        for entry in (*served, *errors):
            found[f"streamgauge_predictions_total version={entry.version}"] += 1
            found[f"streamgauge_slice_predictions_total version={entry.version} c={entry.c}"] += 1
        for entry in errors:
            found[f"streamgauge_prediction_errors_total version={entry.version}"] += 1
        for entry in served:
            found[f"streamgauge_feature_values_total version={entry.version} feature=x"] += 1
            missing = entry.x is None
            found[f"streamgauge_feature_missing_total version={entry.version} feature=x"] += missing
            found[
                f"streamgauge_prediction_values_total version={entry.version}"
                f" value={entry.prediction}"
            ] += 1
        found["streamgauge_late_events_total version= "] = len(self.of(PREDICTIONS, "late"))
        return dict(found)

    def joined(self) -> dict[str, int]:
        """Return what should have become of predictions and labels in the join."""
        labels = {kind: len(self.of(LABELS, kind)) for kind in (_FIRST, _CORRECTION, _AGAIN)}
        known = self.of(PREDICTIONS, *_SERVED, "late")
        there = {entry.name for entry in known}
        # Where the stream ends, a label may have come whose prediction was still to follow.
        joined = sum(entry.name in there for entry in self.of(LABELS, _FIRST))
        everything = sum(labels.values()) + len(self.of(LABELS, "orphan", "late label"))
        return {
            "predictions": len(known),
            "duplicates": len(known) - len(there),
            "joined": joined,
            "corrections": labels[_CORRECTION],
            "duplicate_labels": labels[_AGAIN],
            "labels": everything,
        }

    def means(self, start: int, end: int) -> dict[str, float]:
        """Return the mean of x by version over served events with start <= time < end (ms)."""
        sums: dict[str, list[float]] = {}
        for entry in self.of(PREDICTIONS, "good", "duplicate"):
            if entry.x is not None and start <= entry.time < end:
                sums.setdefault(entry.version, []).append(entry.x)
        return {version: float(np.mean(values)) for version, values in sums.items()}
