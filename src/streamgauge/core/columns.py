"""Columns: a batch's events, field by field, as bins and numbers."""

from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    FloatArray,
    NumericFaults,
)
from streamgauge.core.bins import FAULT_BIN, CategoricalBins, NumericBins
from streamgauge.core.layout import (
    LABEL,
    LATENCY,
    PREDICTION,
    SCORE,
    STATUS,
    STATUS_BINS,
    Layout,
    Subject,
    SubjectKind,
)

Bins = npt.NDArray[np.intp]


class Numbers(NamedTuple):
    """The `values (n,) float64` of a numeric field, not finite where there is none.

    `extremes` are their least and greatest where all are finite, and there are any, else None:
    found once, so that no other step has to look whether a value is missing.
    """

    values: FloatArray
    extremes: tuple[float, float] | None

    @property
    def whole(self) -> bool:
        """Whether all values are known to be finite."""
        return self.extremes is not None

    @classmethod
    def of(cls, values: FloatArray) -> Self:
        """Find the extremes of values."""
        if not len(values):
            return cls(values, None)
        # A NaN is the least and the greatest of all.
        low, high = float(values.min()), float(values.max())
        return cls(values, (low, high) if isfinite(low) and isfinite(high) else None)


class Column(NamedTuple):
    """One field of some events.

    `position` is the field's in the layout; `bins (n,)` count from the field's own first bin;
    `numbers` are the values of a numeric field, None for other fields. `served` tells that the
    column holds only the events that were served: those of an error status count in the status and
    the latency alone.
    """

    position: int
    bins: Bins
    numbers: Numbers | None
    served: bool


def source(subject: Subject, batch: EventBatch) -> Categories | FloatArray | None:
    """Return the values of a field `(n,)`, None where prediction events have none of it."""
    schema = batch.schema
    if subject == STATUS:
        return Categories((~batch.ok).astype(np.int32), STATUS_BINS.categories)
    if subject == LATENCY:
        return batch.latency
    if subject == SCORE:
        return batch.score
    if subject == PREDICTION:
        return batch.prediction
    if subject == LABEL:
        return batch.label
    if subject.kind is not SubjectKind.FEATURE:
        return None
    if subject.name in schema.numeric:
        row: FloatArray = batch.numeric[schema.numeric.index(subject.name)]
        return row
    return batch.categorical[(*schema.categorical, *schema.boolean).index(subject.name)]


def is_served(subject: Subject) -> bool:
    """Whether a field counts only events that were served, not those of an error status."""
    return subject not in {STATUS, LATENCY}


def columns(layout: Layout, batch: EventBatch, part: slice) -> Iterator[Column]:
    """Yield every field that prediction events fill, over a part of a batch's events."""
    ok = batch.ok[part]
    keep = None if ok.all() else ok
    faults = _within(batch.faults, part)
    for position, item in enumerate(layout.fields):
        values = source(item.subject, batch)
        if values is None:
            continue
        served = is_served(item.subject)
        kept = keep if served else None
        if isinstance(values, Categories):
            assert isinstance(item.bins, CategoricalBins)
            codes = _kept(values.codes[part], kept)
            yield Column(position, item.bins.assign(Categories(codes, values.values)), None, served)
            continue
        assert isinstance(item.bins, NumericBins)
        numbers = Numbers.of(values[part])
        bins = item.bins.assign(*numbers)
        if item.subject.kind is SubjectKind.FEATURE and len(faults.row):
            mine = faults.feature == batch.schema.numeric.index(item.subject.name)
            for fault, special in FAULT_BIN.items():
                rows = faults.row[mine & (faults.fault == fault)]
                bins[rows] = item.bins.value_bins + special
        if kept is not None:
            bins, numbers = bins[kept], Numbers.of(numbers.values[kept])
        yield Column(position, bins, numbers, served)


def _kept(codes: CodeArray, keep: BoolArray | None) -> CodeArray:
    return codes if keep is None else codes[keep]


def _within(faults: NumericFaults, part: slice) -> NumericFaults:
    """Return the faults in a part of the events, rows counted from its start."""
    if not len(faults.row):
        return faults
    mine = (faults.row >= part.start) & (faults.row < part.stop)
    return NumericFaults(faults.feature[mine], faults.row[mine] - part.start, faults.fault[mine])
