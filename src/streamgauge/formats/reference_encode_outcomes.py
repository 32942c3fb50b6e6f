"""The outcomes of a reference → their part of the file."""

from typing import Final

import numpy as np

from streamgauge.core.blocks import SUM, SUM_SQUARES
from streamgauge.core.layout import SubjectKind
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference
from streamgauge.formats.reference_derived import derived, derived_performance
from streamgauge.formats.reference_encode_field import (
    Entry,
    field_entry,
    time_entry,
    trimmed,
    trimmed_sums,
)
from streamgauge.formats.reference_sections import (
    FeatureSection,
    count_sections,
    feature_sections,
    folded,
    sum_sections,
)

ABOUT: Final = (
    "Events with a prediction and a label, for the same slices. `confusion` counts label by label"
    " the predictions in the order of `classes`; of `features`, `counts` are by distance group,"
    " then by kind of missing, and left out where they are those of all events."
)


def encode_outcomes(reference: Reference) -> Entry:
    """Return the outcomes' part of a file; an empty object where there are none."""
    outcomes = reference.outcomes
    if outcomes is None:
        return {}
    layout = OutcomeLayout(reference.layout, reference.positive)
    entry: Entry = {"about": ABOUT, "classes": list(layout.classes)}
    entry["derived"] = {
        **derived(outcomes),
        "performance": derived_performance(layout, outcomes),
    }
    time = time_entry(outcomes)
    if time:
        entry["time"] = time
    counts = outcomes.block.counts.astype(np.int64, copy=False)
    for name, cells in count_sections(layout):
        one = cells.stop - cells.start == 1
        part = counts[:, cells]
        entry[name] = trimmed(part[:, 0]) if one else [trimmed(row) for row in part]
    sums = outcomes.block.sums[:, layout.task_sums].reshape(len(counts), -1)
    entry["sums"] = {
        name: [trimmed_sums(row) for row in sums[:, cells]] for name, cells in sum_sections(layout)
    }
    performance: Entry = {}
    for position, item in enumerate(layout.watched.fields):
        if item.subject.kind is SubjectKind.PERFORMANCE:
            performance[item.subject.name] = field_entry(outcomes, position)
        else:
            entry[item.subject.kind.value] = field_entry(outcomes, position)
    features: Entry = {}
    for section in feature_sections(layout):
        home = features if section.named else entry
        home[section.name] = _feature(reference, outcomes, section)
    return {**entry, "performance": performance, "features": features}


def _feature(reference: Reference, outcomes: Reference, section: FeatureSection) -> Entry:
    counts = outcomes.block.counts[:, section.counts].astype(np.int64, copy=False)
    entry: Entry = {}
    if not np.array_equal(counts, folded(reference, section.position)):
        entry["counts"] = [trimmed(row) for row in counts]
    if section.errors is not None:
        errors = outcomes.block.counts[:, section.errors].astype(np.int64, copy=False)
        entry["errors"] = [trimmed(row) for row in errors]
    if section.sums is not None:
        sums = outcomes.block.sums[:, section.sums]
        entry["absolute_error"] = [trimmed_sums(row) for row in sums[:, :, SUM]]
        entry["squared_error"] = [trimmed_sums(row) for row in sums[:, :, SUM_SQUARES]]
    return entry
