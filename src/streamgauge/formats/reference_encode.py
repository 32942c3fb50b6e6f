"""Reference → the objects and lists of its file."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES
from streamgauge.core.layout import Field, SubjectKind, folded_widths
from streamgauge.core.reference import Reference
from streamgauge.formats.reference_types import FORMAT, VERSION

ABOUT: Final = (
    "Counts of the data a model was trained or validated on. Every list under counts belongs to"
    " the entry of slices.rows in its place; lists end where only zeros follow."
)
DERIVED_WINDOWS: Final = {"1h": 3_600_000, "1d": 86_400_000, "7d": 7 * 86_400_000}
"""Windows whose overdispersion is shown."""

Entry = dict[str, object]


def encode(reference: Reference, reference_id: str) -> Entry:
    """Return the content of a reference file; 1-D arrays stand for lists of numbers."""
    schema = reference.layout.schema
    document: Entry = {
        "format": FORMAT,
        "version": VERSION,
        "about": ABOUT,
        "id": reference_id,
        "model": schema.model,
        "task": schema.task.value,
        "classes": list(schema.classes),
        "tags": list(schema.tags),
        "meta": dict(reference.meta),
        "sources": [asdict(source) for source in reference.sources],
        "derived": _derived(reference),
        "slices": {
            "by": [
                [
                    {"name": d.name, "bounds": list(d.bounds)} if d.bounds else {"name": d.name}
                    for d in spec.dimensions
                ]
                for spec in reference.slices
            ],
            "rows": [dict(key) for key in reference.rows],
        },
    }
    if reference.panes is not None and reference.span is not None:
        document["time"] = {
            "timezone": reference.zone.name,
            "first_ms": reference.span[0],
            "last_ms": reference.span[1],
            "pane_ms": reference.panes.length_ms,
            "panes": reference.panes.panes,
        }
    service: Entry = {}
    features: Entry = {}
    for position, item in enumerate(reference.layout.fields):
        entry = _field(reference, position)
        match item.subject.kind:
            case SubjectKind.SERVICE:
                service[item.subject.name] = entry
            case SubjectKind.FEATURE:
                features[item.subject.name] = entry
            case kind:
                document[kind.value] = entry
    return {**document, "service": service, "features": features}


def _field(reference: Reference, position: int) -> Entry:
    layout = reference.layout
    bins = layout.fields[position].bins
    cells = reference.block.counts[:, layout.cells(position)].astype(np.int64, copy=False)
    special = cells[:, bins.value_bins :]
    counts: Entry = {
        "counts": [_trimmed(row) for row in cells[:, : bins.value_bins]],
        "missing": _trimmed(special[:, Special.MISSING]),
        "wrong_type": _trimmed(special[:, Special.WRONG_TYPE]),
    }
    kind = _kind(reference, layout.fields[position])
    if isinstance(bins, CategoricalBins):
        head: Entry = {
            "kind": kind,
            "categories": list(bins.categories),
            "rare": list(bins.rare),
            "complete": bins.complete,
        }
        return {**head, **counts, **_over_time(reference, position)}
    head = {
        "kind": kind,
        "center": bins.center,
        "scale": bins.scale,
        "edges": list(bins.edges),
        "groups": list(bins.groups),
    }
    moment = layout.numeric.index(position)
    sums = np.ascontiguousarray(reference.block.sums[:, moment].T)
    extremes = np.ascontiguousarray(reference.block.extremes[:, moment].T)
    return {
        **head,
        **counts,
        "nan": _trimmed(special[:, Special.NAN]),
        "positive_infinity": _trimmed(special[:, Special.POSITIVE_INFINITY]),
        "negative_infinity": _trimmed(special[:, Special.NEGATIVE_INFINITY]),
        "sum": sums[SUM],
        "sum_of_squares": sums[SUM_SQUARES],
        "minimum": extremes[MINIMUM],
        "maximum": extremes[MAXIMUM],
        **_over_time(reference, position),
    }


def _kind(reference: Reference, item: Field) -> str:
    schema = reference.layout.schema
    if isinstance(item.bins, NumericBins):
        return "numeric"
    is_boolean = item.subject.kind is SubjectKind.FEATURE and item.subject.name in schema.boolean
    return "boolean" if is_boolean else "categorical"


def _over_time(reference: Reference, position: int) -> Entry:
    if reference.hour_of_week is None or reference.panes is None:
        return {}
    widths = folded_widths(reference.layout)
    start = sum(widths[:position])
    cells = slice(start, start + widths[position])
    return {
        "hour_of_week": [_trimmed(row) for row in reference.hour_of_week[:, cells].T],
        "panes": [_trimmed(row) for row in reference.panes.counts[:, cells].T],
    }


def _trimmed(counts: IntArray) -> IntArray:
    """Return the counts `(n,)` up to the last that is not 0."""
    filled = np.flatnonzero(counts)
    return np.ascontiguousarray(counts[: filled[-1] + 1 if len(filled) else 0])


def _derived(reference: Reference) -> Entry:
    """Return figures for readers; they are computed anew when the file is read."""
    derived: Entry = {"events": reference.events}
    if reference.span is None:
        return derived
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in reference.span)
    derived["first"] = first.isoformat(timespec="milliseconds")
    derived["last"] = last.isoformat(timespec="milliseconds")
    names = [place(item) for item in reference.layout.fields]
    derived["overdispersion"] = {
        window: dict(zip(names, reference.overdispersion(ms).round(3).tolist(), strict=True))
        for window, ms in DERIVED_WINDOWS.items()
    }
    return derived


def place(item: Field) -> str:
    """Return where a field stands in the file."""
    kind, name = item.subject.kind, item.subject.name
    if kind is SubjectKind.FEATURE:
        return f"features.{name}"
    return f"service.{name}" if kind is SubjectKind.SERVICE else kind.value
