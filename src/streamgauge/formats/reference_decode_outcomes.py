"""The outcomes' part of a reference file → the reference of the labelled events."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from streamgauge.core.bins import Bins, NumericBins
from streamgauge.core.blocks import SUM, SUM_SQUARES, Block
from streamgauge.core.layout import SubjectKind
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference
from streamgauge.core.zone import UTC_ZONE
from streamgauge.formats.reference_decode_field import (
    ContentError,
    bins_of,
    decode_entry,
    decode_field,
    decode_times,
    fill_field,
    fill_lists,
)
from streamgauge.formats.reference_encode_field import place
from streamgauge.formats.reference_sections import (
    FeatureSection,
    count_sections,
    feature_sections,
    folded,
    sum_sections,
)
from streamgauge.formats.reference_types import AnyField, OutcomeFeatureEntry, OutcomesEntry

WITHIN: Final = "outcomes."


def decode_outcomes(raw: msgspec.Raw, reference: Reference) -> Reference | None:
    """Return the labelled events of a reference, None where its file holds none.

    Raises ContentError.
    """
    if not raw:
        return None
    entry: OutcomesEntry = decode_entry(raw, OutcomesEntry, "outcomes")
    layout = _layout(reference)
    if entry.classes != list(layout.classes):
        raise ContentError(
            "outcomes.classes", f"must be [{', '.join(layout.classes)}], which the label implies"
        )
    fields = _fields(entry, layout)
    rows = len(reference.rows)
    counts = np.zeros((rows, layout.width), np.int64)
    sums = np.zeros((rows, layout.sums, 2))
    block = Block(np.arange(rows), counts, sums, np.empty((rows, 0, 2)))
    for position, (item, field) in enumerate(zip(layout.watched.fields, fields, strict=True)):
        fill_field(block, layout.watched, position, field, f"{WITHIN}{place(item)}")
    for name, cells in count_sections(layout):
        found = getattr(entry, name)
        if cells.stop - cells.start == 1:
            fill_lists(counts[:, cells].T, [found], WITHIN + name)
        else:
            _fill_rows(counts[:, cells], found, WITHIN + name)
    task = np.zeros((rows, 2 * (layout.task_sums.stop - layout.task_sums.start)))
    for name, cells in sum_sections(layout):
        _fill_rows(task[:, cells], entry.sums.get(name, []), f"{WITHIN}sums.{name}")
    sums[:, layout.task_sums] = task.reshape(rows, -1, 2)
    for section in feature_sections(layout):
        _fill_feature(block, section, entry, reference)
    times = decode_times(entry.time, layout.watched, fields, WITHIN)
    return Reference(
        layout.watched,
        reference.slices,
        reference.rows,
        block,
        times.hour_of_week if times else None,
        times.panes if times else None,
        times.span if times else None,
        zone=times.zone if times else UTC_ZONE,
    )


def _layout(reference: Reference) -> OutcomeLayout:
    try:
        return OutcomeLayout(reference.layout, reference.positive)
    except ValueError as error:
        raise ContentError("label.scale", f"goes with no outcomes: {error}") from None


def _fields(entry: OutcomesEntry, layout: OutcomeLayout) -> Sequence[AnyField]:
    """Return the entries of the watched fields in their order."""
    fields = []
    for item in layout.watched.fields:
        where = f"{WITHIN}{place(item)}"
        is_label = item.subject.kind is not SubjectKind.PERFORMANCE
        raw = entry.label if is_label else entry.performance.get(item.subject.name)
        if raw is None:
            raise ContentError(where, "is missing")
        field = decode_field(raw, where)
        if not _alike(bins_of(field, where), item.bins):
            raise ContentError(where, "has other bins than this version of streamgauge counts in")
        fields.append(field)
    return fields


def _alike(found: Bins, bins: Bins) -> bool:
    """Tell whether bins are the same; edges that are computed may differ in their last digits."""
    if not isinstance(found, NumericBins) or not isinstance(bins, NumericBins):
        return found == bins
    return (
        (found.groups, found.center, found.scale) == (bins.groups, bins.center, bins.scale)
        and len(found.edges) == len(bins.edges)
        and bool(np.allclose(found.edges, bins.edges, rtol=1e-9, atol=0.0))
    )


def _fill_feature(
    block: Block, section: FeatureSection, entry: OutcomesEntry, reference: Reference
) -> None:
    where = section.place
    raw = entry.features.get(section.name) if section.named else entry.prediction
    if not raw:
        raise ContentError(where, "is missing")
    feature: OutcomeFeatureEntry = decode_entry(raw, OutcomeFeatureEntry, where)
    if feature.counts is None:
        block.counts[:, section.counts] = folded(reference, section.position)
    else:
        _fill_rows(block.counts[:, section.counts], feature.counts, f"{where}.counts")
    if section.errors is not None:
        _fill_rows(block.counts[:, section.errors], feature.errors, f"{where}.errors")
    if section.sums is not None:
        sums = block.sums[:, section.sums]
        _fill_rows(sums[:, :, SUM], feature.absolute_error, f"{where}.absolute_error")
        _fill_rows(sums[:, :, SUM_SQUARES], feature.squared_error, f"{where}.squared_error")


def _fill_rows(
    target: npt.NDArray[np.number[Any]], lists: Sequence[Sequence[float]], where: str
) -> None:
    if len(lists) != len(target):
        raise ContentError(where, f"must be {len(target)} lists, one per entry of slices.rows")
    fill_lists(target, lists, where)
