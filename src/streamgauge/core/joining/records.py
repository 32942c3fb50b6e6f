"""Columns of events on their way to a join, and the packed records in which they wait."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, CodeArray, FloatArray, IntArray
from streamgauge.core.joining.store import Records

BYTE_BINS: Final = 256
"""Features with fewer bins than this take a byte each."""
UNLABELLED: Final = np.iinfo(np.int64).min
"""The label time of a prediction without a label."""


class Pending(NamedTuple):
    """n prediction events that may get a label.

    Shapes: `time (n,) int64` event time in milliseconds; `rows (n, S) int32` row numbers of the
    whole version and of each slice specification; `bins (n, F) uint16` the folded bin of every
    feature; `predicted (n,)` an int32 class code, or a float64 for regression; `score (n,)
    float64`, NaN where absent.
    """

    time: IntArray
    rows: CodeArray
    bins: npt.NDArray[np.uint16]
    predicted: CodeArray | FloatArray
    score: FloatArray

    def take(self, index: IntArray) -> "Pending":
        """Return the events at these places."""
        return Pending(
            self.time[index],
            self.rows[index],
            self.bins[index],
            self.predicted[index],
            self.score[index],
        )


class Labels(NamedTuple):
    """n label events.

    Shapes: `time (n,) int64` event time in milliseconds; `label (n,)` an int32 class code, or a
    float64 for regression; `version (n,) int64`, the higher one corrects the lower.
    """

    time: IntArray
    label: CodeArray | FloatArray
    version: IntArray

    def take(self, index: IntArray) -> "Labels":
        """Return the events at these places."""
        return Labels(self.time[index], self.label[index], self.version[index])


class Joined(NamedTuple):
    """n pairs of a prediction and a label: contributions to add, or to take away again.

    The first columns are those of `Pending`, `label` is that of `Labels`. `label_time (n,) int64`
    is when the pair became known: the time of the label that came first of those in time, or that
    of the prediction if that is later; a correction keeps it. `sign (n,) int8` is 1 to add and -1
    to take away. `fresh (n,) bool` are the pairs of predictions that had no label before.
    """

    time: IntArray
    rows: CodeArray
    bins: npt.NDArray[np.uint16]
    predicted: CodeArray | FloatArray
    score: FloatArray
    label: CodeArray | FloatArray
    label_time: IntArray
    sign: npt.NDArray[np.int8]
    fresh: BoolArray

    def take(self, index: npt.NDArray[np.intp]) -> "Joined":
        """Return the pairs at these places."""
        return Joined(
            self.time[index],
            self.rows[index],
            self.bins[index],
            self.predicted[index],
            self.score[index],
            self.label[index],
            self.label_time[index],
            self.sign[index],
            self.fresh[index],
        )


@dataclass(frozen=True, init=False)
class RecordFormat:
    """How predictions and labels are written as bytes: packed, little-endian, without loss.

    `specs` is S, the number of row numbers of an event; `features` the number of bins of each
    feature; `numbers` says that predictions and labels are numbers, not classes.
    """

    specs: int
    features: tuple[int, ...]
    numbers: bool
    prediction: np.dtype[np.void] = field(compare=False, repr=False)
    """The columns of `Pending`, then `label` and `version` of the label taken last, `label_time`.

    Without a label these are 0, 0 and `UNLABELLED`.
    """
    waiting: np.dtype[np.void] = field(compare=False, repr=False)
    """A label without a prediction: the columns of `Labels`, and `count`: see `fronts`."""

    def __init__(self, specs: int, features: Sequence[int], numbers: bool) -> None:
        # Frozen: a format that changed under its records could not read them.
        value = "<f8" if numbers else "<i4"
        bins = "u1" if all(width < BYTE_BINS for width in features) else "<u2"
        pending: list[Any] = [
            ("time", "<i8"),
            ("score", "<f8"),
            ("predicted", value),
            ("rows", "<u4", (specs,)),
            ("bins", bins, (len(features),)),
        ]
        label: list[Any] = [("label", value), ("version", "<i8")]
        for name, attribute in (
            ("specs", specs),
            ("features", tuple(features)),
            ("numbers", numbers),
            ("prediction", np.dtype([*pending, *label, ("label_time", "<i8")])),
            ("waiting", np.dtype([("time", "<i8"), *label, ("count", "u1")])),
        ):
            object.__setattr__(self, name, attribute)

    @property
    def signature(self) -> str:
        """What records of this format have in common, for a check before others are read."""
        value = "numbers" if self.numbers else "classes"
        return f"{value}/{self.specs}/{','.join(map(str, self.features))}"

    def pack_pending(self, events: Pending) -> Records:
        """Return predictions without a label as records."""
        records = self._filled(events)
        records["label"] = records["version"] = 0
        records["label_time"] = UNLABELLED
        return records

    def pack_labelled(self, events: Pending, labels: Labels, label_time: IntArray) -> Records:
        """Return predictions with a label as records."""
        records = self._filled(events)
        records["label"] = labels.label
        records["version"] = labels.version
        records["label_time"] = label_time
        return records

    def pack_waiting(self, labels: Labels, count: int = 1) -> Records:
        """Return labels that wait as records; `count` is what all say."""
        records = np.empty(len(labels.time), self.waiting)
        for name, column in zip(Labels._fields, labels, strict=True):
            records[name] = column
        records["count"] = count
        return records

    def unpack_waiting(self, records: Records) -> Labels:
        """Return labels from records that wait."""
        columns = (records[name] for name in Labels._fields)
        return Labels(*map(np.ascontiguousarray, columns))

    def events(self, records: Records) -> Pending:
        """Return the predictions in records."""
        return Pending(
            records["time"].astype(np.int64),
            records["rows"].astype(np.int32),
            records["bins"].astype(np.uint16),
            self._values(records["predicted"]),
            records["score"].astype(np.float64),
        )

    def pairs(
        self,
        events: Pending,
        label: CodeArray | FloatArray,
        label_time: IntArray,
        sign: npt.NDArray[np.int8],
        fresh: BoolArray,
    ) -> Joined:
        """Return predictions with their labels."""
        return Joined(*events, label=label, label_time=label_time, sign=sign, fresh=fresh)

    def none(self) -> Joined:
        """Return no pairs at all."""
        empty = self.events(np.empty(0, self.prediction))
        return Joined(
            *empty,
            label=empty.predicted.copy(),
            label_time=np.empty(0, np.int64),
            sign=np.empty(0, np.int8),
            fresh=np.empty(0, bool),
        )

    def _values(self, column: npt.NDArray[Any]) -> CodeArray | FloatArray:
        return column.astype(np.float64) if self.numbers else column.astype(np.int32)

    def _filled(self, events: Pending) -> Records:
        records = np.empty(len(events.time), self.prediction)
        rows, bins = events.rows, events.bins
        assert not rows.size or (rows.min() >= 0 and rows.max() <= np.iinfo(np.uint32).max)
        assert not bins.size or bins.max() <= np.iinfo(records.dtype["bins"].base).max
        for name, column in zip(Pending._fields, events, strict=True):
            records[name] = column
        return records
