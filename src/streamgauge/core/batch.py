"""Columnar events: what a decoder makes of one poll's messages for one model."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
CodeArray = npt.NDArray[np.int32]

MISSING_CODE: Final = -1
"""Code of an absent or null value in a dictionary-encoded column."""
WRONG_TYPE_CODE: Final = -2
"""Code of a value whose JSON type is not the column's."""


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class FeatureKind(StrEnum):
    """How the values of a feature are read and binned."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"


class Fault(IntEnum):
    """Why a numeric value is not a finite number although something was sent."""

    WRONG_TYPE = 1
    NAN = 2


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """What a decoder must know of a model: its task, its features and the tags that slices use.

    The order of the names is the order of the rows and columns of an `EventBatch`.
    """

    model: str
    task: Task
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    boolean: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """The classes of a multiclass model; empty where unknown (any set is accepted)."""


@dataclass(frozen=True, slots=True)
class Categories:
    """A dictionary-encoded column of strings.

    `codes` is `(n,) int32` and indexes `values`, or is `MISSING_CODE` or `WRONG_TYPE_CODE`.
    The dictionary may be that of other batches too, and then have values that do not occur in this
    one. It never changes, so batches share no mutable state; a column that has no others than one
    before it mostly has the same object, by which what was made of it is found again (see
    `Remembered`).
    """

    codes: CodeArray
    values: tuple[str, ...]

    def take(self, places: npt.NDArray[np.integer] | BoolArray) -> "Categories":
        """Return the column of the events at these places, or where this is true."""
        return Categories(self.codes[places], self.values)


@dataclass(frozen=True, slots=True)
class NumericFaults:
    """The few numeric values that were sent but are no finite number, as parallel arrays `(k,)`.

    `feature` indexes `ModelSchema.numeric`, `row` the events, `fault` is a `Fault`.
    """

    feature: CodeArray
    row: CodeArray
    fault: CodeArray

    @classmethod
    def none(cls) -> "NumericFaults":
        """No faults at all, the usual case."""
        empty = np.empty(0, np.int32)
        return cls(empty, empty, empty)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The prediction events of one model out of one poll, as columns over n events.

    Shapes: `timestamp (n,) int64` event time in milliseconds since the epoch; `partition (n,)
    int32`, the input partition's index in the caller's numbering; `numeric (F, n) float64`, NaN
    where missing or listed in `faults`; `categorical` one column per categorical, then per boolean
    feature (values "false" and "true"); `tags` one column per `schema.tags`; `prediction` a
    `Categories` for classes, `(n,) float64` for regression; `score (n,) float64` in [0, 1] or NaN
    where absent (multiclass: the probability of the predicted class); `latency (n,) float64` in
    seconds or NaN; `ok (n,) bool`, False for an error status. Of an event that is not ok only its
    traffic, tags, version and latency count.
    """

    schema: ModelSchema
    timestamp: IntArray
    partition: CodeArray
    version: Categories
    numeric: FloatArray
    faults: NumericFaults
    categorical: tuple[Categories, ...]
    tags: tuple[Categories, ...]
    prediction: Categories | FloatArray
    score: FloatArray
    latency: FloatArray
    ok: BoolArray
    label: Categories | FloatArray | None = None
    """The truth, where it comes with the event: in training data alone."""
    label_time: IntArray | None = None
    """When the truth became known `(n,) int64` in ms since the epoch, where training data say."""

    def __len__(self) -> int:
        return len(self.timestamp)


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """The label events of one model out of one poll, as columns over n events.

    `ids` are the prediction ids; `timestamp (n,) int64` event time in milliseconds since the epoch;
    `partition (n,) int32` the input partition's index in the caller's numbering; `label` a
    `Categories` without missing values for classes, `(n,) float64`, finite, for regression;
    `version (n,) int64` the label's version, 0 where the event has none.
    """

    schema: ModelSchema
    ids: Sequence[str]
    timestamp: IntArray
    partition: CodeArray
    label: Categories | FloatArray
    version: IntArray

    def __len__(self) -> int:
        return len(self.timestamp)
