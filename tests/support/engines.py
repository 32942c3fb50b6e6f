"""Engines of the made-up model, streams of its events, and what engines say of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.batch import EventBatch, IntArray
from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.detection import Detection
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.engine import ModelEngine
from streamgauge.core.findings import Finding, Watched
from streamgauge.core.layout import Subject
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import DetectorStats, ModelSnapshot
from streamgauge.core.windows import WindowSpec, WindowState
from tests.support import batches
from tests.support.made_up_model import made_up_events

LAYOUT = batches.layout()
SECOND = 1_000
MINUTE = 60 * SECOND
PANE = 10 * SECOND
T0 = batches.START_MS // (60 * MINUTE) * 60 * MINUTE
"""A full hour: every pane and step begins there."""
SPEC = ModelSpec(
    app="flights",
    model="made-up",
    slices=batches.SLICES,
    windows=(WindowSpec("1m", MINUTE, PANE), WindowSpec("4m", 4 * MINUTE, 2 * PANE)),
    pane_ms=PANE,
    grace_ms=30 * SECOND,
    tolerance=0.02,
    min_samples=100,
    spending=Spending(1.0, 7 * 86_400_000),
    policy=AlertPolicy(resolve_after=MINUTE),
)
Cells = dict[RowKey, list[int]]


def engine(spec: ModelSpec = SPEC, reference: Reference | None = None) -> ModelEngine:
    return ModelEngine(spec, LAYOUT, reference, "ref" if reference else None)


def stream(seed: int, n: int, begin: int, end: int) -> EventBatch:
    """Events of version 1 between two seconds after T0, in no order."""
    batch = made_up_events(n, span_ms=(end - begin) * SECOND, seed=seed)
    return replace(batch, timestamp=batch.timestamp - batches.START_MS + T0 + begin * SECOND)


def joined_version(batch: EventBatch, version: str) -> EventBatch:
    """The same events of another version."""
    return replace(batch, version=replace(batch.version, values=(version,)))


def parts(batch: EventBatch, size: int) -> list[EventBatch]:
    """The events in the order of their times, `size` at a time."""
    order = np.argsort(batch.timestamp, kind="stable")
    return [batches.take(batch, order[at : at + size]) for at in range(0, len(order), size)]


def published(snapshot: ModelSnapshot) -> Cells:
    """The counters by row, without rows that have none."""
    counters = snapshot.counters
    assert counters is not None
    return {
        key: counts
        for key, counts in zip(counters.rows, counters.counts.tolist(), strict=True)
        if any(counts)
    }


def windowed(engine: ModelEngine) -> dict[str, tuple[int | None, Cells]]:
    """Every window's end and counts by row, those of slices in groups: see `recounted`."""
    found = {}
    starts = engine.layout.grouping()
    for fine, grouped in zip(engine._fine.windows, engine._track.windows, strict=True):
        rows, counts = grouped.counts()
        spread = np.zeros((len(rows), engine.layout.width), np.int64)
        spread[:, starts] = counts
        cells = dict(zip(_keys(engine, rows), spread.tolist(), strict=True))
        assert fine.end == grouped.end
        rows, counts = fine.counts()
        whole = dict(zip(_keys(engine, rows), counts.tolist(), strict=True))
        for key, own in whole.items():
            assert np.add.reduceat(own, starts).tolist() == [cells[key][at] for at in starts]
        found[fine.spec.name] = (fine.end, cells | whole)
    return found


def _keys(engine: ModelEngine, rows: IntArray) -> list[RowKey]:
    return [engine.registry.keys[row] for row in rows.tolist()]


def recounted(batch: EventBatch, begin: int | None = None, end: int | None = None) -> Cells:
    """Cells by row of the events between two times (ms), counted one event at a time.

    What slices count as one cell stands in the first of these.
    """
    found: Cells = {}
    for event, time in enumerate(batch.timestamp.tolist()):
        if (begin is not None and time < begin) or (end is not None and time >= end):
            continue
        filled = [cell for cell, _ in batches.cells(LAYOUT, batch, event)]
        for key in batches.rows(batch, event):
            counts = found.setdefault(key, [0] * LAYOUT.width)
            for cell in filled:
                counts[_FIRST[cell] if key.slice else cell] += 1
    return found


def in_groups(cells: Cells) -> Cells:
    """The same with what is counted of whole versions in groups, too."""
    found = {}
    for key, counts in cells.items():
        grouped = found[key] = [0] * len(counts)
        for cell, count in enumerate(counts):
            grouped[_FIRST[cell]] += count
    return found


def _first_cells() -> list[int]:
    """Of every cell the first of those that slices count as one with it."""
    starts = LAYOUT.grouping().tolist()
    return [max(start for start in starts if start <= cell) for cell in range(LAYOUT.width)]


_FIRST: Final = _first_cells()


class Recorder(Detection):
    """Stands in for a model's detection: it finds nothing and keeps what it was shown."""

    def __init__(self, engine: ModelEngine) -> None:
        self._engine = engine
        self.fed: list[tuple[int, Cells]] = []
        """Starts of panes (ms) with their counts in groups, in the order in which they came."""
        self.closed: list[tuple[int, set[RowKey]]] = []
        """Ends of closed panes (ms) with the rows that have events in them."""
        self.judged: list[tuple[int, set[RowKey]]] = []
        """Times of looks (ms) with the rows that there was something new of."""
        self.window_ends: list[list[int | None]] = []
        """How far the windows had come at each look (ms)."""

    def watches(self) -> tuple[tuple[str, Subject], ...]:
        return ()

    def feed(self, block: Block, start: int) -> None:
        spread = np.zeros((len(block.rows), LAYOUT.width), np.int64)
        spread[:, LAYOUT.grouping()] = block.counts
        keys = _keys(self._engine, block.rows)
        self.fed.append((start, dict(zip(keys, spread.tolist(), strict=True))))

    def feed_pane(self, pane: BlockSum, start: int) -> None:
        self.feed(pane.block(), start)

    def close(self, rows: IntArray, end: int) -> IntArray:
        self.closed.append((end, self._keys(rows)))
        return rows

    def findings(
        self,
        rows: IntArray,
        windows: Sequence[WindowState],
        now: int,
        watched: Watched,  # noqa: ARG002 what it stands in for has them
    ) -> list[Finding]:
        self.judged.append((now, self._keys(rows)))
        self.window_ends.append([window.end for window in windows])
        return []

    def stats(self, rows: IntArray) -> DetectorStats:  # noqa: ARG002
        nothing = np.empty((0, 0))
        return DetectorStats((), (), nothing, nothing, nothing)

    def _keys(self, rows: IntArray) -> set[RowKey]:
        return {self._engine.registry.keys[row] for row in rows.tolist()}


def watch(engine: ModelEngine) -> Recorder:
    """Put a recorder in the place of the engine's detection."""
    engine._detection = recorder = Recorder(engine)
    return recorder
