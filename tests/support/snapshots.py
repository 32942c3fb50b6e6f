"""Snapshots made from drawn events: a model with versions and slices, counted by numpy alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamgauge.core.batch import FeatureKind, FloatArray, IntArray, ModelSchema, Task
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins, fold
from streamgauge.core.layout import (
    STATUS,
    FeatureSpec,
    Layout,
    Subject,
    SubjectKind,
    build_layout,
    score_bins,
)
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import (
    ActiveAlert,
    Counters,
    DetectorStats,
    FieldStats,
    ModelSnapshot,
    Snapshot,
    WindowStats,
)

EVENT_TIME = 1_764_000_000_000
"""The watermark of the snapshots, in milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class SnapshotShape:
    """How large a synthetic snapshot is."""

    models: int = 1
    versions: Sequence[str] = ("3", "4")
    numeric: Sequence[str] = ("distance", "sched_hour")
    categorical: Sequence[str] = ("carrier",)
    slices: Sequence[tuple[tuple[str, str], ...]] = (
        (("carrier", "UA"),),
        (("carrier", "AA"),),
        (("carrier", "UA"), ("origin", "EWR")),
    )
    windows: Sequence[str] = ("5m", "1h")
    measures: Sequence[str] = ("psi", "js")
    bins: int = 20
    first_edge: int = 0
    regression: bool = False


def synthetic_snapshot(shape: SnapshotShape | None = None, *, seed: int = 7) -> Snapshot:
    """Return a snapshot of a shape; the same seed gives the same numbers."""
    shape = shape or SnapshotShape()
    rng = np.random.default_rng(seed)
    models = tuple(synthetic_model(f"model-{i}", shape, rng) for i in range(shape.models))
    return Snapshot(made_at=EVENT_TIME / 1000 + 30, models=models)


def synthetic_model(name: str, shape: SnapshotShape, rng: np.random.Generator) -> ModelSnapshot:
    """Return the snapshot of one model of a shape, with drawn counts and one alert."""
    layout = synthetic_layout(name, shape)
    rows = tuple(RowKey(version, key) for version in shape.versions for key in ((), *shape.slices))
    counts = draw_counts(layout, len(rows), rng)
    sums = rng.normal(1_000, 10, (len(rows), len(layout.numeric)))
    windows = tuple(
        synthetic_window(window, layout, rows, shape.measures, rng) for window in shape.windows
    )
    return ModelSnapshot(
        model=name,
        layout=layout,
        reference_id="2025-11-01/abc",
        watermark=EVENT_TIME,
        last_event=EVENT_TIME + 10_250,
        late_events=17,
        counters=Counters(rows, counts, sums),
        windows=windows,
        detectors=synthetic_detectors(layout, rows, rng),
        unseen_values={shape.categorical[0]: (("ZZ", 41), ("YY", 3))} if shape.categorical else {},
        dropped_rows=0,
        alerts=(synthetic_alert(name, shape.versions[0]),),
        alerts_fired={("feature", "bank", "critical"): 2, ("service", "bank", "warning"): 0},
    )


def synthetic_detectors(
    layout: Layout, rows: tuple[RowKey, ...], rng: np.random.Generator
) -> DetectorStats:
    """Return the detectors of a layout's fields but the label, and of the features' missing rates.

    All have judged and know their dispersion.
    """
    fields = [field.subject for field in layout.fields if field.subject.kind != SubjectKind.LABEL]
    rates = [
        Subject(SubjectKind.DATA_QUALITY, f"{subject.name}.missing")
        for subject in fields
        if subject.kind is SubjectKind.FEATURE
    ]
    subjects = (*fields, *rates)
    shape = len(rows), len(subjects)
    return DetectorStats(
        rows,
        subjects,
        evidence=rng.gamma(2.0, 2.0, shape),
        threshold=rng.uniform(14.0, 18.0, shape),
        dispersion=rng.uniform(1.0, 3.0, shape),
    )


def synthetic_layout(name: str, shape: SnapshotShape) -> Layout:
    """Return the layout of a binary model or a regression.

    Numbers have the edges first_edge, first_edge + 1, ...; categories are AA, UA and DL.
    """
    task = Task.REGRESSION if shape.regression else Task.BINARY
    schema = ModelSchema(
        name, task, numeric=tuple(shape.numeric), categorical=tuple(shape.categorical)
    )
    edges = tuple(float(i + shape.first_edge) for i in range(shape.bins * 2))
    numeric = NumericBins(edges, (0, *range(2, shape.bins * 2, 2)), center=7.5, scale=2.5)
    categorical = CategoricalBins(("AA", "UA", "DL"), rare=("HA",))
    kinds: list[tuple[Sequence[str], FeatureKind, Bins]] = [
        (shape.numeric, FeatureKind.NUMERIC, numeric),
        (shape.categorical, FeatureKind.CATEGORICAL, categorical),
    ]
    specs = tuple(FeatureSpec(f, kind, bins) for names, kind, bins in kinds for f in names)
    output = numeric if shape.regression else CategoricalBins(("0", "1"))
    return build_layout(
        schema,
        specs,
        prediction=output,
        label=output,
        score=score_bins((0, *range(11, 100, 10))),
    )


def draw_counts(layout: Layout, rows: int, rng: np.random.Generator) -> IntArray:
    """Draw counts `(rows, width)` in which every field's cells add up to the row's served events.

    The first field, the status, tells how many those are.
    """
    counts = np.zeros((rows, layout.width), np.int64)
    for row, events in enumerate(rng.integers(500, 5_000, rows).tolist()):
        errors = events // 50
        for start, field in layout:
            width = field.bins.width
            if field.subject == STATUS:
                counts[row, start : start + 2] = (events - errors, errors)
                continue
            shares = rng.dirichlet(np.ones(width))
            counts[row, start : start + width] = rng.multinomial(events - errors, shares)
    return counts


def synthetic_window(
    name: str,
    layout: Layout,
    rows: tuple[RowKey, ...],
    measures: Sequence[str],
    rng: np.random.Generator,
) -> WindowStats:
    """Return a window's figures over rows; the figures are drawn, ratios and counts agree."""
    counts = draw_counts(layout, len(rows), rng)
    status = counts[:, layout.cells(0)]
    fields = tuple(
        _field_stats(field.subject, field.bins, counts[:, layout.cells(i)], measures, rng)
        for i, field in enumerate(layout.fields)
    )
    return WindowStats(
        window=name,
        start=EVENT_TIME - 300_000,
        end=EVENT_TIME,
        rows=rows,
        events=status.sum(axis=1),
        samples=status[:, 0],
        fields=fields,
    )


def _field_stats(
    subject: Subject,
    bins: Bins,
    counts: IntArray,
    measures: Sequence[str],
    rng: np.random.Generator,
) -> FieldStats:
    total = np.maximum(counts.sum(axis=1), 1)
    nothing = np.full(len(counts), np.nan)
    numeric = isinstance(bins, NumericBins)
    outer = counts[:, 0] + counts[:, bins.value_bins - 1]

    def drawn() -> FloatArray:
        return rng.gamma(2.0, 0.1, len(counts))

    def distances() -> dict[str, FloatArray]:
        return {measure: drawn() for measure in measures}

    stats = FieldStats(
        subject=subject,
        count=counts[:, : bins.value_bins].sum(axis=1),
        missing=counts[:, bins.value_bins] / total,
        wrong_type=counts[:, bins.value_bins + 1] / total,
        out_of_range=outer / total if numeric else nothing,
        unseen=nothing if isinstance(bins, NumericBins) else counts[:, bins.unseen] / total,
        raw=distances(),
        corrected=distances(),
        p_value=distances(),
        groups=fold(counts, bins),
        reference_groups=rng.integers(100, 1_000, (len(counts), len(bins.groups))),
        reference_missing=drawn() / 10,
    )
    if not numeric:
        return stats
    mean = rng.normal(7.5, 2.0, len(counts))
    quantiles = {q: mean + offset for q, offset in ((0.05, -4.0), (0.5, 0.0), (0.95, 4.0))}
    return replace(
        stats, mean=mean, std=drawn(), minimum=mean - 9, maximum=mean + 9, quantiles=quantiles
    )


def synthetic_alert(model: str, version: str) -> ActiveAlert:
    """Return an alert about the feature `distance` in one slice."""
    return ActiveAlert(
        alert_id="0f3a",
        model=model,
        model_version=version,
        slice=(("carrier", "UA"),),
        subject=Subject(SubjectKind.FEATURE, "distance"),
        detector="bank",
        severity="critical",
        summary="distance of carrier=UA moved: mean 1,420 to 2,285",
        starts_at=EVENT_TIME - 600_000,
        onset=EVENT_TIME - 1_500_000,
        statistic=31.5,
        threshold=14.25,
    )
