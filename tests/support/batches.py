"""Made-up events of one model, the layout to count them in, and a slow, plain recount of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    Categories,
    EventBatch,
    Fault,
    FeatureKind,
    FloatArray,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.core.bins import CategoricalBins, NumericBins
from streamgauge.core.fitting import fit_numeric
from streamgauge.core.layout import FeatureSpec, Layout, build_layout
from streamgauge.core.slices import Dimension, RowKey, SliceSpec

SCHEMA = ModelSchema(
    "made-up", Task.BINARY, ("length", "steps"), ("colour",), ("wet",), tags=("region",)
)
CLASSES = CategoricalBins(("0", "1"))
COLOURS = ("red", "green", "blue", "mauve", "puce")
SLICES = (
    SliceSpec((Dimension("colour"),)),
    SliceSpec((Dimension("steps", (2.0, 4.0)), Dimension("region"))),
    SliceSpec((Dimension("wet"), Dimension("colour"))),
)
START_MS = 1_764_000_000_000


def numeric_bins(values: FloatArray) -> NumericBins:
    """Bins fitted to all of these finite values."""
    return fit_numeric(
        values,
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        std=float(values.std()),
    )


def layout() -> Layout:
    """A layout in which `events` have values in, below and above the reference's range."""
    rng = np.random.default_rng(1)
    features = (
        FeatureSpec("length", FeatureKind.NUMERIC, numeric_bins(rng.lognormal(size=500))),
        FeatureSpec("steps", FeatureKind.NUMERIC, numeric_bins(np.floor(6 * rng.random(500)))),
        FeatureSpec("colour", FeatureKind.CATEGORICAL, CategoricalBins(COLOURS[:2], COLOURS[2:4])),
        FeatureSpec("wet", FeatureKind.BOOLEAN, CategoricalBins(("false", "true"))),
    )
    return build_layout(SCHEMA, features, prediction=CLASSES, label=CLASSES)


def events(
    rng: np.random.Generator, n: int, *, span_ms: int = 60_000, errors: float = 0.1
) -> EventBatch:
    """Random events with every kind of trouble: missing values, faults, infinities, errors."""

    def column(*values: str) -> Categories:
        return Categories(rng.integers(-2, len(values), n).astype(np.int32), values)

    numeric = np.stack([rng.lognormal(sigma=1.2, size=n), rng.integers(-1, 8, n) * 1.0])
    kind = np.asarray(rng.choice(6, size=numeric.shape, p=[0.8, 0.06, 0.04, 0.04, 0.03, 0.03]))
    numeric[kind == 1] = np.nan
    feature, row = np.nonzero((kind == 2) | (kind == 3))
    fault = np.where(kind[feature, row] == 2, Fault.WRONG_TYPE, Fault.NAN)
    numeric[feature, row] = np.nan
    numeric[kind == 4] = np.inf
    numeric[kind == 5] = -np.inf
    order = rng.permutation(len(row))
    score = rng.random(n)
    score[rng.random(n) < 0.1] = np.nan
    latency = rng.exponential(0.1, n)
    latency[rng.random(n) < 0.1] = np.nan
    return EventBatch(
        schema=SCHEMA,
        timestamp=START_MS + rng.integers(0, span_ms, n),
        partition=np.zeros(n, np.int32),
        version=Categories(rng.integers(-1, 2, n).astype(np.int32), ("1", "2")),
        numeric=numeric,
        faults=NumericFaults(*(part[order].astype(np.int32) for part in (feature, row, fault))),
        categorical=(column(*COLOURS), column("false", "true")),
        tags=(column("eu", "us"),),
        prediction=column("0", "1"),
        score=score,
        latency=latency,
        ok=rng.random(n) >= errors,
        label=column("0", "1"),
    )


def take(batch: EventBatch, at: npt.NDArray[np.intp]) -> EventBatch:
    """The events at these places, in their order."""

    def codes(column: Categories) -> Categories:
        return Categories(column.codes[at], column.values)

    target = np.full(len(batch), -1)
    target[at] = np.arange(len(at))
    faults = batch.faults
    kept = target[faults.row] >= 0
    assert isinstance(batch.prediction, Categories)
    assert isinstance(batch.label, Categories)
    return replace(
        batch,
        timestamp=batch.timestamp[at],
        partition=batch.partition[at],
        version=codes(batch.version),
        numeric=batch.numeric[:, at],
        faults=NumericFaults(
            faults.feature[kept], target[faults.row[kept]].astype(np.int32), faults.fault[kept]
        ),
        categorical=tuple(codes(column) for column in batch.categorical),
        tags=tuple(codes(column) for column in batch.tags),
        prediction=codes(batch.prediction),
        score=batch.score[at],
        latency=batch.latency[at],
        ok=batch.ok[at],
        label=codes(batch.label),
    )


def cells(layout: Layout, batch: EventBatch, event: int) -> Iterator[tuple[int, float]]:
    """The cells of the layout that one event counts in, each with its number (or NaN)."""
    ok = bool(batch.ok[event])
    yield layout.starts[0] + (0 if ok else 1), np.nan
    yield _numeric_cell(layout, 1, float(batch.latency[event]), None)
    if not ok:
        return
    faults = {
        int(feature): Fault(int(fault))
        for feature, row, fault in zip(
            batch.faults.feature, batch.faults.row, batch.faults.fault, strict=True
        )
        if row == event
    }
    texts = [batch.prediction, batch.label, *batch.categorical]
    for position, column in zip([2, 3, 7, 8], texts, strict=True):
        assert isinstance(column, Categories)
        yield layout.starts[position] + _text_bin(layout, position, column, event), np.nan
    yield _numeric_cell(layout, 4, float(batch.score[event]), None)
    for i in range(2):
        yield _numeric_cell(layout, 5 + i, float(batch.numeric[i, event]), faults.get(i))


def _numeric_cell(
    layout: Layout, position: int, value: float, fault: Fault | None
) -> tuple[int, float]:
    bins = layout.fields[position].bins
    assert isinstance(bins, NumericBins)
    special = layout.starts[position] + bins.value_bins
    if fault is not None:
        return special + {Fault.WRONG_TYPE: 1, Fault.NAN: 2}[fault], np.nan
    if np.isnan(value):
        return special, np.nan
    if np.isinf(value):
        return special + (3 if value > 0 else 4), np.nan
    return layout.starts[position] + sum(edge <= value for edge in bins.edges), value


def _text_bin(layout: Layout, position: int, column: Categories, event: int) -> int:
    bins = layout.fields[position].bins
    assert isinstance(bins, CategoricalBins)
    code = int(column.codes[event])
    if code < 0:
        return bins.value_bins + (0 if code == -1 else 1)
    value = column.values[code]
    if value in bins.categories:
        return bins.categories.index(value)
    return len(bins.categories) + (0 if value in bins.rare else 1)


def slice_key(batch: EventBatch, spec: SliceSpec, event: int) -> tuple[tuple[str, str], ...]:
    """The slice that one event belongs to."""
    key = []
    columns = {"colour": batch.categorical[0], "wet": batch.categorical[1], "region": batch.tags[0]}
    for dimension in spec.dimensions:
        if dimension.bounds:
            value = float(batch.numeric[SCHEMA.numeric.index(dimension.name), event])
            labels = dimension.range_labels()
            at = sum(bound <= value for bound in dimension.bounds)
            key.append((dimension.name, "(missing)" if np.isnan(value) else labels[at]))
        else:
            column = columns[dimension.name]
            code = int(column.codes[event])
            key.append((dimension.name, "(missing)" if code < 0 else column.values[code]))
    return tuple(key)


def rows(batch: EventBatch, event: int) -> list[RowKey]:
    """The rows that one event counts in: its version's and those of its slices."""
    code = int(batch.version.codes[event])
    version = "" if code < 0 else batch.version.values[code]
    specs = (SliceSpec(()), *SLICES)
    return [RowKey(version, slice_key(batch, spec, event)) for spec in specs]
