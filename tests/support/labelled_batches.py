"""Batches of labelled predictions of each task, drawn as tables that pandas can recount."""

from typing import Any, Final

import numpy as np
import pandas as pd

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    EventBatch,
    FeatureKind,
    FloatArray,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.core.bins import CategoricalBins
from streamgauge.core.layout import FeatureSpec, Layout, build_layout
from streamgauge.core.slices import Dimension, SliceSpec
from tests.support.batches import START_MS, numeric_bins

COLOURS: Final = ("red", "green", "blue")
CLASSES: Final = {Task.BINARY: ("0", "1"), Task.MULTICLASS: ("a", "b", "c")}
SLICES: Final = (SliceSpec((Dimension("colour"),)),)


def draw(task: Task, n: int, seed: int, *, trouble: bool = True) -> pd.DataFrame:
    """Draw n events: features `x` and `colour`, the outcomes, `ok` and their times.

    With trouble some features, predictions, labels and scores are missing, some events failed, and
    of several classes one is unknown to the layout. Scores are the middles of the score bins.
    """
    rng = np.random.default_rng(seed)
    hole = 0.08 if trouble else 0.0
    score = (rng.beta(2.0, 3.0, n) * 100 // 1 + 0.5) / 100
    frame = pd.DataFrame({"x": rng.normal(size=n), "colour": rng.choice([*COLOURS, "mauve"], n)})
    if task is Task.BINARY:
        frame["label"] = np.where(rng.random(n) < score, "1", "0")
        frame["prediction"] = np.where(score > 0.4, "1", "0")
    elif task is Task.MULTICLASS:
        names = [*CLASSES[task], "d"] if trouble else [*CLASSES[task]]
        frame["label"] = rng.choice(names, n)
        frame["prediction"] = np.where(rng.random(n) < 0.6, frame["label"], rng.choice(names, n))
    else:
        frame["label"] = 50.0 + 5.0 * rng.normal(size=n)
        frame["prediction"] = frame["label"] + rng.normal(size=n)
        score = np.full(n, np.nan)
    for name in ("x", "colour", "label", "prediction"):
        frame.loc[rng.random(n) < hole, name] = np.nan
    frame["score"] = np.where(rng.random(n) < hole, np.nan, score)
    frame["ok"] = rng.random(n) >= hole
    frame["timestamp"] = START_MS + rng.integers(0, 20 * 86_400_000, n)
    frame["label_time"] = frame["timestamp"] + rng.integers(0, 86_400_000, n)
    return frame


def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """The events that have an outcome."""
    return frame[frame["ok"] & frame["prediction"].notna() & frame["label"].notna()]


def layout(task: Task) -> Layout:
    """A layout for what is drawn of a task; classes past the known ones count as unseen."""
    values = np.random.default_rng(99).normal(size=1_000)
    features = (
        FeatureSpec("x", FeatureKind.NUMERIC, numeric_bins(values)),
        FeatureSpec("colour", FeatureKind.CATEGORICAL, CategoricalBins(COLOURS)),
    )
    bins = (
        numeric_bins(50.0 + 5.0 * values)
        if task is Task.REGRESSION
        else CategoricalBins(CLASSES[task])
    )
    schema = ModelSchema("m", task, ("x",), ("colour",), classes=CLASSES.get(task, ()))
    return build_layout(schema, features, prediction=bins, label=bins)


def batch(frame: pd.DataFrame, task: Task, *, label_times: bool = True) -> EventBatch:
    """The drawn events as a batch."""
    n = len(frame)
    return EventBatch(
        schema=layout(task).schema,
        timestamp=frame["timestamp"].to_numpy(np.int64),
        partition=np.zeros(n, np.int32),
        version=Categories(np.zeros(n, np.int32), ("",)),
        numeric=_numbers(frame["x"])[None, :],
        faults=NumericFaults.none(),
        categorical=(texts(frame["colour"]),),
        tags=(),
        prediction=_outcome(frame["prediction"], task),
        score=_numbers(frame["score"]),
        latency=np.full(n, np.nan),
        ok=frame["ok"].to_numpy(bool),
        label=_outcome(frame["label"], task),
        label_time=frame["label_time"].to_numpy(np.int64) if label_times else None,
    )


def texts(column: "pd.Series[str]") -> Categories:
    """A column of texts, encoded."""
    codes, values = pd.factorize(column)
    return Categories(codes.astype(np.int32), tuple(values))


def within(frame: pd.DataFrame, key: tuple[tuple[str, str], ...]) -> BoolArray:
    """Tell which events are in a slice `(n,)`."""
    mine = np.ones(len(frame), bool)
    for name, value in key:
        mine &= (frame[name].fillna("(missing)") == value).to_numpy(bool)
    return mine


def _numbers(column: Any) -> FloatArray:
    numbers: FloatArray = column.to_numpy(np.float64)
    return numbers


def _outcome(column: Any, task: Task) -> Categories | FloatArray:
    return _numbers(column) if task is Task.REGRESSION else texts(column)
