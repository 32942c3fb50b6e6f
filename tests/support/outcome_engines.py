"""Engines that were fed predictions and their labels, and a recount of what came of it."""

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from streamgauge.core.batch import LabelBatch, Task
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.engine import ModelEngine
from streamgauge.core.joining.keys import keys
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.outcomes.stream import LabelSpec
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.snapshot import ModelSnapshot
from streamgauge.core.windows import WindowSpec
from tests.support import labelled_batches as drawn
from tests.support.batches import START_MS

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
BEGIN: Final = -(-START_MS // DAY) * DAY + DAY
"""A full day after the first events: those before it are left out."""
END: Final = BEGIN + 19 * DAY
MAX_DELAY: Final = 2 * DAY
"""Twice the longest delay that is drawn."""
WINDOWS: Final = (WindowSpec("4d", 4 * DAY, 3 * HOUR), WindowSpec("16d", 16 * DAY, 12 * HOUR))


def spec(model: str = "m") -> ModelSpec:
    """Return what an engine of drawn events is to do."""
    return ModelSpec(
        app="app",
        model=model,
        slices=drawn.SLICES,
        windows=WINDOWS,
        pane_ms=HOUR,
        grace_ms=0,
        tolerance=0.02,
        min_samples=100,
        spending=Spending(1.0, 7 * DAY),
        labels=LabelSpec(MAX_DELAY, 1 << 26, 1 << 24),
    )


def reference(task: Task, seed: int = 1) -> Reference:
    """Return the reference of other drawn events."""
    builder = ReferenceBuilder(drawn.layout(task), drawn.SLICES)
    builder.add(drawn.batch(drawn.draw(task, 4_000, seed), task))
    return builder.finish()


def draw(task: Task, n: int = 4_000, seed: int = 2) -> pd.DataFrame:
    """Draw n events, each with an id."""
    frame = drawn.draw(task, n, seed)
    inside = (frame["timestamp"] >= BEGIN) & (frame["timestamp"] < END)
    frame = frame[inside].reset_index(drop=True)
    return frame.assign(id=[f"p{i}" for i in range(len(frame))])


def labels(frame: pd.DataFrame, task: Task, version: int = 0) -> LabelBatch:
    """Return the label events of the drawn events that have one, by their time."""
    frame = frame[frame["label"].notna()].sort_values("label_time")
    column = frame["label"]
    truth = column.to_numpy(np.float64) if task is Task.REGRESSION else drawn.texts(column)
    return LabelBatch(
        schema=drawn.layout(task).schema,
        ids=frame["id"].tolist(),
        timestamp=frame["label_time"].to_numpy(np.int64),
        partition=np.zeros(len(frame), np.int32),
        label=truth,
        version=np.full(len(frame), version, np.int64),
    )


def fed(
    frame: pd.DataFrame, task: Task, *, until: int = END, known: Reference | None = None
) -> ModelEngine:
    """Return an engine that has seen the drawn events, and their labels up to a time (ms)."""
    engine = ModelEngine(spec(), drawn.layout(task), known, "ref" if known else None)
    come = frame[frame["label_time"] < until]
    for day in range(BEGIN, until, DAY):
        made = frame[(frame["timestamp"] >= day) & (frame["timestamp"] < day + DAY)]
        batch = replace(drawn.batch(made, task), label=None, label_time=None)
        engine.add(batch, keys("m", made["id"]))
        told = come[(come["label_time"] >= day) & (come["label_time"] < day + DAY)]
        batch_of_labels = labels(told, task)
        engine.add_labels(batch_of_labels, keys("m", batch_of_labels.ids))
        engine.advance(day + DAY)
    return engine


def snapshot(engine: ModelEngine, until: int = END) -> ModelSnapshot:
    """Return an engine's numbers at a time (ms)."""
    return engine.snapshot(until)


def joined(frame: pd.DataFrame, begin: int, end: int) -> pd.DataFrame:
    """The labelled events whose label came in `[begin, end)` (ms)."""
    events = drawn.counted(frame)
    return events[(events["label_time"] >= begin) & (events["label_time"] < end)]
