"""Layout: where each field's counts stand in the one row of counts that every slice has."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import FeatureKind, ModelSchema, Task
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins, grouping


class SubjectKind(StrEnum):
    """What a statistic, a finding or an alert is about."""

    FEATURE = "feature"
    SCORE = "score"
    PREDICTION = "prediction"
    LABEL = "label"
    PERFORMANCE = "performance"
    SERVICE = "service"
    DATA_QUALITY = "data_quality"
    PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One thing that is watched, e.g. the feature `distance` or the service's `latency`."""

    kind: SubjectKind
    name: str


STATUS: Final = Subject(SubjectKind.SERVICE, "status")
LATENCY: Final = Subject(SubjectKind.SERVICE, "latency")
PREDICTION: Final = Subject(SubjectKind.PREDICTION, "prediction")
SCORE: Final = Subject(SubjectKind.SCORE, "score")
LABEL: Final = Subject(SubjectKind.LABEL, "label")

STATUS_OK: Final = 0
"""Cell of events that were served; the status field is first in every layout."""
STATUS_ERROR: Final = 1
STATUS_BINS: Final = CategoricalBins(("ok", "error"))

LATENCY_EDGES: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Latency bucket bounds in seconds."""
LATENCY_BINS: Final = NumericBins(LATENCY_EDGES, tuple(range(len(LATENCY_EDGES) + 1)))


@dataclass(frozen=True, slots=True)
class Field:
    """One counted quantity: what it is and how it is binned."""

    subject: Subject
    bins: Bins


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature of a model: name, kind and bins."""

    name: str
    kind: FeatureKind
    bins: Bins


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a model in order, and the cells `[start, start + width)` of each.

    `numeric` indexes the fields that also have sums and extremes: those with `NumericBins`.
    """

    schema: ModelSchema
    fields: tuple[Field, ...]
    starts: tuple[int, ...] = field(init=False)
    width: int = field(init=False)
    numeric: tuple[int, ...] = field(init=False)
    _positions: dict[Subject, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = list(accumulate(f.bins.width for f in self.fields))
        object.__setattr__(self, "starts", (0, *ends[:-1]))
        object.__setattr__(self, "width", ends[-1])
        object.__setattr__(
            self,
            "numeric",
            tuple(i for i, f in enumerate(self.fields) if isinstance(f.bins, NumericBins)),
        )
        object.__setattr__(self, "_positions", {f.subject: i for i, f in enumerate(self.fields)})

    def grouped(self) -> "Layout":
        """Return the layout in which slices are counted, with the same fields in fewer cells."""
        fields = [
            replace(item, bins=item.bins.grouped()) if isinstance(item.bins, NumericBins) else item
            for item in self.fields
        ]
        return Layout(self.schema, tuple(fields))

    def grouping(self) -> npt.NDArray[np.intp]:
        """Return the first of this layout's cells in each cell of the grouped one `(G,)`."""
        return np.concatenate([start + grouping(item.bins) for start, item in self])

    def __iter__(self) -> Iterator[tuple[int, Field]]:
        return zip(self.starts, self.fields, strict=True)

    def position(self, subject: Subject) -> int | None:
        """Return the index of a subject's field, or None where the layout has none."""
        return self._positions.get(subject)

    def cells(self, position: int) -> slice:
        """Return the cells of the field at a position."""
        start = self.starts[position]
        return slice(start, start + self.fields[position].bins.width)


class Grouped(NamedTuple):
    """A layout's cells in those of its grouped one.

    `starts` are the first of its cells in each of the grouped one's; `tables` give, by field, the
    grouped bin of each bin, None where they are the same.
    """

    layout: Layout
    starts: npt.NDArray[np.intp]
    tables: tuple[npt.NDArray[np.intp] | None, ...]

    @classmethod
    def of(cls, layout: Layout) -> "Grouped":
        """Group a layout's cells."""
        grouped, starts = layout.grouped(), layout.grouping()
        cells = np.searchsorted(starts, np.arange(layout.width), side="right") - 1
        tables = (
            cells[layout.cells(position)] - start for position, start in enumerate(grouped.starts)
        )
        return cls(
            grouped,
            starts,
            tuple(
                None if len(table) == few.bins.width else table
                for table, few in zip(tables, grouped.fields, strict=True)
            ),
        )


def folded_widths(layout: Layout) -> tuple[int, ...]:
    """Return, per field, its number of distance groups and special bins together."""
    return tuple(len(f.bins.groups) + f.bins.width - f.bins.value_bins for f in layout.fields)


def score_bins(
    groups: tuple[int, ...] | None = None, count: int = 100, scale: float = 1.0
) -> NumericBins:
    """Return equal bins over [0, 1] for scores; the last holds 1 itself.

    The same fine bins everywhere keep score histograms comparable and mergeable; `groups` and
    `scale` (see `NumericBins`) come from the reference.
    """
    edges = [i / count for i in range(count)]
    edges.append(float(np.nextafter(1.0, 2.0)))
    return NumericBins(tuple(edges), groups or (0, *range(2, count + 1)), 0.5, scale)


def build_layout(
    schema: ModelSchema,
    features: tuple[FeatureSpec, ...],
    *,
    prediction: Bins,
    label: Bins,
    score: NumericBins | None = None,
) -> Layout:
    """Return the layout of a model: service fields, prediction, score, label, then features.

    The features come in the order of the schema: numeric, categorical, boolean.
    """
    by_name = {feature.name: feature for feature in features}
    ordered = (*schema.numeric, *schema.categorical, *schema.boolean)
    fields = [
        Field(STATUS, STATUS_BINS),
        Field(LATENCY, LATENCY_BINS),
        Field(PREDICTION, prediction),
        Field(LABEL, label),
    ]
    if schema.task is not Task.REGRESSION:
        fields.append(Field(SCORE, score or score_bins()))
    fields += [Field(Subject(SubjectKind.FEATURE, name), by_name[name].bins) for name in ordered]
    return Layout(schema, tuple(fields))
