"""Sections: what stands where in the outcomes of a reference file, written and read alike."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray, Task
from streamgauge.core.bins import fold_table
from streamgauge.core.layout import SubjectKind
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference

SUMS: Final[dict[Task, dict[str, int]]] = {
    Task.BINARY: {"score": 10, "squared_error": 2},
    Task.MULTICLASS: {},
    Task.REGRESSION: {"error": 4, "truth": 4, "product": 2, "relative_error": 2},
}
"""Names of the sums that a task's figures need, in their order, and how many numbers each has."""


class FeatureSection(NamedTuple):
    """Where one feature's folded bins stand among counts, errors and sums.

    `position` is the feature's in the layout of all events; `named` tells whether it stands under
    `features`, as all do but a regression's prediction. `errors` and `sums` are None where the task
    has none.
    """

    position: int
    name: str
    named: bool
    counts: slice
    errors: slice | None
    sums: slice | None

    @property
    def place(self) -> str:
        """Where it stands in the file."""
        return f"outcomes.features.{self.name}" if self.named else f"outcomes.{self.name}"


def count_sections(layout: OutcomeLayout) -> Iterator[tuple[str, slice]]:
    """Yield the counts that are no field's and no feature's, by name."""
    if layout.task is Task.REGRESSION:
        yield "nonzero", layout.nonzero
        return
    yield "confusion", layout.confusion
    middle = (layout.histogram.start + layout.histogram.stop) // 2
    yield "scores_came_false", slice(layout.histogram.start, middle)
    yield "scores_came_true", slice(middle, layout.histogram.stop)
    if layout.expected is not None:
        yield "expected_errors", slice(layout.expected, layout.expected + 1)


def sum_sections(layout: OutcomeLayout) -> Iterator[tuple[str, slice]]:
    """Yield the sums of the task by name, as slices of all its numbers."""
    start = 0
    for name, size in SUMS[layout.task].items():
        yield name, slice(start, start + size)
        start += size


def feature_sections(layout: OutcomeLayout) -> Iterator[FeatureSection]:
    """Yield where each feature's bins stand."""
    bounds = zip(layout.feature_starts[:-1], layout.feature_starts[1:], strict=True)
    for position, (start, end) in zip(layout.features, bounds, strict=True):
        subject = layout.base.fields[position].subject
        classes = layout.task is not Task.REGRESSION
        yield FeatureSection(
            position,
            subject.name,
            subject.kind is SubjectKind.FEATURE,
            _within(layout.feature_counts, start, end),
            _within(layout.feature_errors, start, end) if classes else None,
            None if classes else _within(layout.feature_sums, start, end),
        )


def folded(reference: Reference, position: int) -> IntArray:
    """Return a field's counts `(rows, groups and specials) int64` over all events."""
    layout = reference.layout
    table = fold_table(layout.fields[position].bins)
    cells = reference.block.counts[:, layout.cells(position)].astype(np.int64, copy=False)
    counts = np.zeros((len(cells), int(table.max()) + 1), np.int64)
    np.add.at(counts.T, table, cells.T)
    return counts


def _within(section: slice, start: int, end: int) -> slice:
    return slice(section.start + start, section.start + end)
