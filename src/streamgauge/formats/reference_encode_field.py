"""One counted field of a reference → its entry in the file."""

from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES
from streamgauge.core.layout import Field, SubjectKind, folded_widths
from streamgauge.core.reference import Reference

Entry = dict[str, object]
_NAMED: Final = (SubjectKind.SERVICE, SubjectKind.PERFORMANCE)
"""Kinds with several fields of their own names."""


def place(item: Field) -> str:
    """Return where a field stands in the file."""
    kind, name = item.subject.kind, item.subject.name
    if kind is SubjectKind.FEATURE:
        return f"features.{name}"
    return f"{kind.value}.{name}" if kind in _NAMED else kind.value


def time_entry(reference: Reference) -> Entry:
    """Return the period and the panes; an empty object of a reference without times."""
    if reference.panes is None or reference.span is None:
        return {}
    time: Entry = {
        "timezone": reference.zone.name,
        "first_ms": reference.span[0],
        "last_ms": reference.span[1],
        "pane_ms": reference.panes.length_ms,
        "panes": reference.panes.panes,
    }
    if _hours_are_alike(reference):
        time["hours_told_apart"] = False
    return time


def field_entry(reference: Reference, position: int) -> Entry:
    """Return the entry of the field at a position; 1-D arrays stand for lists of numbers."""
    layout = reference.layout
    bins = layout.fields[position].bins
    cells = reference.block.counts[:, layout.cells(position)].astype(np.int64, copy=False)
    special = cells[:, bins.value_bins :]
    counts: Entry = {
        "counts": [trimmed(row) for row in cells[:, : bins.value_bins]],
        "missing": trimmed(special[:, Special.MISSING]),
        "wrong_type": trimmed(special[:, Special.WRONG_TYPE]),
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
    return {
        **head,
        **counts,
        "nan": trimmed(special[:, Special.NAN]),
        "positive_infinity": trimmed(special[:, Special.POSITIVE_INFINITY]),
        "negative_infinity": trimmed(special[:, Special.NEGATIVE_INFINITY]),
        "sum": sums[SUM],
        "sum_of_squares": sums[SUM_SQUARES],
        **_extremes(reference, moment),
        **_over_time(reference, position),
    }


def _extremes(reference: Reference, moment: int) -> Entry:
    """Return the extremes by slice; nothing where none are kept."""
    if not reference.block.extremes.shape[1]:
        return {}
    extremes = np.ascontiguousarray(reference.block.extremes[:, moment].T)
    return {"minimum": extremes[MINIMUM], "maximum": extremes[MAXIMUM]}


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
    hours = reference.hour_of_week[: 1 if _hours_are_alike(reference) else None, cells]
    return {
        "hour_of_week": [trimmed(row) for row in hours.T],
        "panes": [trimmed(row) for row in reference.panes.counts[:, cells].T],
    }


def _hours_are_alike(reference: Reference) -> bool:
    """Tell whether every hour of the week has the same counts: then one stands for all."""
    hours = reference.hour_of_week
    return hours is not None and bool((hours == hours[0]).all())


def trimmed(counts: IntArray) -> IntArray:
    """Return the counts `(n,)` up to the last that is not 0."""
    filled = np.flatnonzero(counts)
    return np.ascontiguousarray(counts[: filled[-1] + 1 if len(filled) else 0])


def trimmed_sums(sums: FloatArray) -> FloatArray:
    """Return the sums `(n,)` up to the last that is not 0; −0 is kept."""
    filled = np.flatnonzero(np.ascontiguousarray(sums).view(np.int64))
    return np.ascontiguousarray(sums[: filled[-1] + 1 if len(filled) else 0])
