"""What a person wants to see of a reference at a glance, a row per feature."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamgauge.core.batch import Task
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import MAXIMUM, MINIMUM
from streamgauge.core.estimation.calibration import middles, out_of_sample, split
from streamgauge.core.layout import (
    LABEL,
    PREDICTION,
    STATUS_OK,
    Field,
    Layout,
    SubjectKind,
    score_bins,
)
from streamgauge.core.outcomes.figures import labelled, performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference

MOST_SHOWN: Final = 4
"""Categories shown by name."""
SHOWN: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.BINARY: ("accuracy", "auc", "log_loss"),
    Task.MULTICLASS: ("accuracy", "macro_f1"),
    Task.REGRESSION: ("mae", "rmse"),
}
"""Figures of performance that are shown."""
_NAMES: Final = {
    "auc": "AUC",
    "log_loss": "log-loss",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "rmse": "RMSE",
}


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


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """How well the model did where its labels are known.

    `figures` are `(value, lower, upper)` by metric. `ece` and `isotonic_ece` are the expected
    calibration errors, out of sample, of the scores and of their isotonic regression; None without
    scores. `absent` says why there are no labelled events.
    """

    labelled: int
    figures: Mapping[str, tuple[float, float, float]]
    ece: float | None = None
    isotonic_ece: float | None = None
    absent: str = ""

    def lines(self) -> list[str]:
        """Return the report as a person reads it."""
        if self.absent:
            return [f"{self.absent}: production's performance will have nothing to compare with"]
        shown = ", ".join(
            f"{_NAMES.get(name, name)} {value:.4g} ({lower:.4g} to {upper:.4g})"
            for name, (value, lower, upper) in self.figures.items()
            if np.isfinite(value)
        )
        lines = [f"{self.labelled:,} labelled rows: {shown}"]
        if self.ece is not None and self.isotonic_ece is not None:
            lines.append(_calibration_line(self.ece, self.isotonic_ece))
        return lines


def outcome_report(reference: Reference) -> OutcomeReport:
    """Return how well the model did on the data of a reference."""
    outcomes = reference.outcomes
    if outcomes is None:
        return OutcomeReport(0, {}, absent=_why_absent(reference))
    layout = OutcomeLayout(reference.layout, reference.positive)
    whole = outcomes.block.take(slice(0, 1))
    figures = performance(layout, whole)
    limits = {
        name: (float(value[0]), float(lower[0]), float(upper[0]))
        for name in SHOWN[layout.task]
        for value, lower, upper in (figures[name],)
    }
    report = OutcomeReport(int(labelled(layout, whole)[0]), limits)
    if layout.task is Task.REGRESSION:
        return report
    histogram = whole.counts[0, layout.histogram].astype(np.int64).reshape(2, -1)
    stand_for = middles(score_bins(count=histogram.shape[1]))[1:-1]
    ece, isotonic_ece = out_of_sample(split(histogram), stand_for)
    if not np.isfinite(ece):
        return report
    return replace(report, ece=ece, isotonic_ece=isotonic_ece)


def _calibration_line(ece: float, isotonic: float) -> str:
    miss = f"scores miss how often they come true by {ece:.4f} (ECE); isotonic regression"
    if isotonic < ece:
        return f"{miss} by {isotonic:.4f}, so it will correct them"
    return f"{miss} does no better ({isotonic:.4f}), so they are taken as they are"


def _why_absent(reference: Reference) -> str:
    layout = reference.layout
    counts = reference.block.counts[0]
    for subject, name in ((LABEL, "labels"), (PREDICTION, "predictions")):
        position = layout.position(subject)
        assert position is not None
        cells = counts[layout.cells(position)]
        if not cells[: layout.fields[position].bins.value_bins].any():
            return f"no {name}"
    return "no row has both a prediction and a label"
