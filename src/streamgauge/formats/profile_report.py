"""What a person wants to see of a reference at a glance, a row per feature."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import MAXIMUM, MINIMUM
from streamgauge.core.layout import STATUS_OK, Field, Layout, SubjectKind
from streamgauge.core.reference import Reference

MOST_SHOWN: Final = 4
"""Categories shown by name."""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One counted field: `missing` is the share of served events without a value."""

    name: str
    kind: str
    groups: int
    missing: float
    range: str
    note: str = ""


def field_rows(reference: Reference, notes: Mapping[str, str]) -> list[FieldRow]:
    """Return a row per outcome and feature, then one per column that is not counted."""
    rows = [
        _row(reference, position, item, notes)
        for position, item in enumerate(reference.layout.fields)
        if item.subject.kind is not SubjectKind.SERVICE
    ]
    known = {row.name for row in rows}
    left_out = [
        FieldRow(name, "-", 0, float("nan"), "", note)
        for name, note in sorted(notes.items())
        if name not in known
    ]
    return rows + left_out


def _row(reference: Reference, position: int, item: Field, notes: Mapping[str, str]) -> FieldRow:
    layout, bins = reference.layout, item.bins
    counts = reference.block.counts[0]
    cells = counts[layout.cells(position)]
    served = int(counts[STATUS_OK])
    missing = int(cells[bins.value_bins + Special.MISSING]) / served if served else float("nan")
    is_feature = item.subject.kind is SubjectKind.FEATURE
    if isinstance(bins, NumericBins):
        extremes = reference.block.extremes[0, layout.numeric.index(position)]
        low, high = float(extremes[MINIMUM]), float(extremes[MAXIMUM])
        shown = f"{low:.6g} to {high:.6g}" if np.isfinite(low) else ""
    else:
        shown = _categories(bins)
    return FieldRow(
        name=item.subject.name,
        kind=_kind(layout, item),
        groups=len(bins.groups),
        missing=missing,
        range=shown,
        note=notes.get(item.subject.name, "") if is_feature else _outcome_note(cells),
    )


def _outcome_note(cells: np.ndarray[tuple[int], np.dtype[np.integer]]) -> str:
    return "" if cells.any() else "not in the data"


def _categories(bins: CategoricalBins) -> str:
    shown = ", ".join(bins.categories[:MOST_SHOWN])
    more = len(bins.categories) + len(bins.rare) - min(len(bins.categories), MOST_SHOWN)
    return f"{shown} and {more:,} more" if more else shown


def _kind(layout: Layout, item: Field) -> str:
    if item.subject.kind is SubjectKind.FEATURE:
        if item.subject.name in layout.schema.boolean:
            return "boolean"
        return "numeric" if isinstance(item.bins, NumericBins) else "categorical"
    return item.subject.kind.value
