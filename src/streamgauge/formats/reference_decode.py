"""The typed content of a reference file → Reference."""

from dataclasses import replace

import msgspec
import numpy as np

from streamgauge.core.batch import FeatureKind, ModelSchema, Task
from streamgauge.core.bins import NumericBins
from streamgauge.core.blocks import Block
from streamgauge.core.layout import FeatureSpec, Layout, build_layout
from streamgauge.core.reference import Reference, Source
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.zone import UTC_ZONE
from streamgauge.formats.reference_decode_field import (
    ContentError,
    bins_of,
    decode_field,
    decode_times,
    fill_field,
)
from streamgauge.formats.reference_decode_outcomes import decode_outcomes
from streamgauge.formats.reference_encode_field import place
from streamgauge.formats.reference_types import AnyField, BooleanEntry, Document, NumericEntry


def decode(document: Document) -> Reference:
    """Return the reference that a document holds. Raises ContentError."""
    entries = _entries(document)
    layout = _layout(document, entries)
    ordered = [entries[place(item)] for item in layout.fields]
    rows = len(document.slices.rows)
    if not rows or document.slices.rows[0]:
        raise ContentError("slices.rows", "the first must be {}, the whole")
    moments = (rows, len(layout.numeric), 2)
    counts = np.zeros((rows, layout.width), np.int64)
    block = Block(np.arange(rows), counts, np.zeros(moments), np.zeros(moments))
    for position, (item, entry) in enumerate(zip(layout.fields, ordered, strict=True)):
        fill_field(block, layout, position, entry, place(item))
    times = decode_times(document.time, layout, ordered)
    reference = Reference(
        layout=layout,
        slices=tuple(
            SliceSpec(tuple(Dimension(d.name, tuple(d.bounds)) for d in spec))
            for spec in document.slices.by
        ),
        rows=tuple(tuple(row.items()) for row in document.slices.rows),
        block=block,
        hour_of_week=times.hour_of_week if times else None,
        panes=times.panes if times else None,
        span=times.span if times else None,
        meta=document.meta,
        sources=tuple(Source(s.name, s.sha256, s.rows, s.bytes) for s in document.sources),
        zone=times.zone if times else UTC_ZONE,
        positive=document.positive,
    )
    return replace(reference, outcomes=decode_outcomes(document.outcomes, reference))


def _entries(document: Document) -> dict[str, AnyField]:
    raw: dict[str, msgspec.Raw] = {
        **{f"service.{name}": value for name, value in document.service.items()},
        "prediction": document.prediction,
        "label": document.label,
        **({"score": document.score} if document.score else {}),
        **{f"features.{name}": value for name, value in document.features.items()},
    }
    return {where: decode_field(value, where) for where, value in raw.items()}


def _layout(document: Document, entries: dict[str, AnyField]) -> Layout:
    try:
        task = Task(document.task)
    except ValueError:
        raise ContentError("task", f"must be one of {', '.join(Task)}") from None
    features = tuple(
        FeatureSpec(name, _kind(entry), bins_of(entry, f"features.{name}"))
        for name in document.features
        for entry in (entries[f"features.{name}"],)
    )
    names = {kind: tuple(f.name for f in features if f.kind is kind) for kind in FeatureKind}
    schema = ModelSchema(
        model=document.model,
        task=task,
        numeric=names[FeatureKind.NUMERIC],
        categorical=names[FeatureKind.CATEGORICAL],
        boolean=names[FeatureKind.BOOLEAN],
        tags=tuple(document.tags),
        classes=tuple(document.classes),
    )
    score = bins_of(entries["score"], "score") if "score" in entries else None
    if (task is Task.REGRESSION) == (score is not None):
        raise ContentError("score", "belongs to a model of classes, and only to one")
    if score is not None and not isinstance(score, NumericBins):
        raise ContentError("score.kind", "must be numeric")
    layout = build_layout(
        schema,
        features,
        prediction=bins_of(entries["prediction"], "prediction"),
        label=bins_of(entries["label"], "label"),
        score=score,
    )
    for item in layout.fields:
        where = place(item)
        if where not in entries:
            raise ContentError(where, "is missing")
        if bins_of(entries[where], where) != item.bins:
            raise ContentError(where, "has other bins than this version of streamgauge counts in")
    return layout


def _kind(entry: AnyField) -> FeatureKind:
    if isinstance(entry, BooleanEntry):
        return FeatureKind.BOOLEAN
    return FeatureKind.NUMERIC if isinstance(entry, NumericEntry) else FeatureKind.CATEGORICAL
