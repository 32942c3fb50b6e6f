"""Columns: a batch's events, field by field, as bins and numbers."""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from operator import attrgetter
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    CodeArray,
    EventBatch,
    FloatArray,
    ModelSchema,
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

Bins = npt.NDArray[np.signedinteger]


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
    `numbers` are the values of a numeric field, None for other fields and where all columns are
    counted in one pass. `served` tells that the column holds only the events that were served:
    those of an error status count in the status and the latency alone.
    """

    position: int
    bins: Bins
    numbers: Numbers | None
    served: bool


Source = Categories | FloatArray
"""Values of a field `(n,)`."""


class Sources:
    """Where the values of a layout's fields are in batches of a schema."""

    def __init__(self, layout: Layout, schema: ModelSchema) -> None:
        self.schema = schema
        numeric = {name: i for i, name in enumerate(schema.numeric)}
        texts = {name: i for i, name in enumerate((*schema.categorical, *schema.boolean))}
        subjects = [item.subject for item in layout.fields]
        self._found = [_source(subject, numeric, texts) for subject in subjects]
        self.served = [subject not in {STATUS, LATENCY} for subject in subjects]
        """Which fields count only events that were served, not those of an error status."""
        features = [each.name if each.kind is SubjectKind.FEATURE else None for each in subjects]
        self.number = [None if name is None else numeric.get(name) for name in features]
        """Which of the schema's numeric features each field is."""

    def of(self, batch: EventBatch) -> list[Source | None]:
        """Return each field's values, None where prediction events have none of it."""
        return [find(batch) for find in self._found]


def _source(
    subject: Subject, numeric: Mapping[str, int], texts: Mapping[str, int]
) -> Callable[[EventBatch], Source | None]:
    if subject == STATUS:
        return lambda batch: Categories((~batch.ok).astype(np.int32), STATUS_BINS.categories)
    if subject == LATENCY:
        return attrgetter("latency")
    if subject == SCORE:
        return attrgetter("score")
    if subject == PREDICTION:
        return attrgetter("prediction")
    if subject == LABEL:
        return attrgetter("label")
    if subject.kind is not SubjectKind.FEATURE:
        return lambda _: None
    if subject.name in numeric:
        row = numeric[subject.name]
        return lambda batch: batch.numeric[row]
    column = texts[subject.name]
    return lambda batch: batch.categorical[column]


def columns(layout: Layout, batch: EventBatch, part: slice) -> Iterator[Column]:
    """Yield every field that prediction events fill, over a part of a batch's events."""
    ok = batch.ok[part]
    keep = None if ok.all() else ok
    faults = _within(batch.faults, part)
    sources = Sources(layout, batch.schema)
    for position, values in enumerate(sources.of(batch)):
        if values is None:
            continue
        bins, served = layout.fields[position].bins, sources.served[position]
        kept = keep if served else None
        if isinstance(values, Categories):
            assert isinstance(bins, CategoricalBins)
            codes = _kept(values.codes[part], kept)
            yield Column(position, bins.assign(Categories(codes, values.values)), None, served)
            continue
        assert isinstance(bins, NumericBins)
        numbers = Numbers.of(values[part])
        binned = bins.assign(*numbers)
        if sources.number[position] is not None and len(faults.row):
            mine = faults.feature == sources.number[position]
            for fault, special in FAULT_BIN.items():
                rows = faults.row[mine & (faults.fault == fault)]
                binned[rows] = bins.value_bins + special
        if kept is not None:
            binned, numbers = binned[kept], Numbers.of(numbers.values[kept])
        yield Column(position, binned, numbers, served)


def _kept(codes: CodeArray, keep: BoolArray | None) -> CodeArray:
    return codes if keep is None else codes[keep]


def _within(faults: NumericFaults, part: slice) -> NumericFaults:
    """Return the faults in a part of the events, rows counted from its start."""
    if not len(faults.row):
        return faults
    mine = (faults.row >= part.start) & (faults.row < part.stop)
    return NumericFaults(faults.feature[mine], faults.row[mine] - part.start, faults.fault[mine])
