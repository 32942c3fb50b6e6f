"""What a reference file holds, as types: the JSON is read into these."""

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from streamgauge.core.zone import UTC_ZONE

FORMAT: Final = "streamgauge.reference"
VERSION: Final = 1

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Header(Struct):
    """What tells a reference file from others, and its version from later ones."""

    format: str = ""
    version: int = 0


class DimensionEntry(Struct):
    """A slicing dimension; `bounds` cut a numeric one."""

    name: str
    bounds: list[float] = []


class SlicesEntry(Struct):
    """What was sliced by, and the slices found, the whole (`{}`) first."""

    by: list[list[DimensionEntry]]
    rows: list[dict[str, str]]


class SourceEntry(Struct):
    """Data that the reference was made from."""

    name: str
    sha256: str
    rows: Count
    bytes: Count


class TimeEntry(Struct):
    """The period in ms since the epoch, and the numbers of its panes (start / length).

    The hours of the week are in `timezone`; where they are not told apart, lists by hour hold one
    count that stands for every hour.
    """

    first_ms: Time
    last_ms: Time
    pane_ms: Count
    panes: list[Time]
    timezone: str = UTC_ZONE.name
    hours_told_apart: bool = True


class FieldEntry(Struct):
    """The counts of one field: lists per slice, and per group over time.

    `counts` has one list per slice, over the value bins; `missing` and `wrong_type` one count per
    slice. `hour_of_week` and `panes` have one list per distance group, then one per kind of
    missing, over the hours or panes. Every list ends where only zeros follow.
    """

    counts: list[list[Count]]
    missing: list[Count]
    wrong_type: list[Count]
    hour_of_week: list[list[Count]] = []
    panes: list[list[Count]] = []


class NumericEntry(FieldEntry, tag_field="kind", tag="numeric", kw_only=True):
    """A numeric field: its bins, and per slice the moments about the centre.

    An edge of null is infinite; an extreme of null is that of a slice without finite values.
    Outcomes have no extremes.
    """

    edges: list[float | None]
    groups: list[Count]
    center: float
    scale: float
    nan: list[Count]
    positive_infinity: list[Count]
    negative_infinity: list[Count]
    sum: list[float]
    sum_of_squares: list[float]
    minimum: list[float | None] = []
    maximum: list[float | None] = []


class CategoricalEntry(FieldEntry, tag_field="kind", tag="categorical", kw_only=True):
    """A categorical field: one value bin per category, then rare values, then unseen ones."""

    categories: list[str]
    rare: list[str] = []
    complete: bool = True


class BooleanEntry(CategoricalEntry, tag_field="kind", tag="boolean", kw_only=True):
    """A boolean feature."""


AnyField = NumericEntry | CategoricalEntry | BooleanEntry


class OutcomeFeatureEntry(Struct):
    """A feature's outcomes: lists per slice, over its distance groups and kinds of missing.

    Without `counts` they are those of all events. `errors` belong to classes; `absolute_error` and
    `squared_error`, sums, to regressions.
    """

    counts: list[list[Count]] | None = None
    errors: list[list[Count]] = []
    absolute_error: list[list[float]] = []
    squared_error: list[list[float]] = []


class OutcomesEntry(Struct):
    """The labelled events: lists per slice, which end where only zeros follow.

    `confusion` is over label and prediction in the order of `classes`, `scores_came_false` and
    `scores_came_true` over equal bins of the score, by whether what it is the probability of came
    true; `nonzero` and `expected_errors` hold one count per slice. `sums` are by name.
    """

    performance: dict[str, Raw]
    label: Raw
    features: dict[str, Raw]
    prediction: Raw = Raw(b"")
    classes: list[str] = []
    time: TimeEntry | None = None
    confusion: list[list[Count]] = []
    scores_came_false: list[list[Count]] = []
    scores_came_true: list[list[Count]] = []
    nonzero: list[Count] = []
    expected_errors: list[Count] = []
    sums: dict[str, list[list[float]]] = {}


class Document(Struct):
    """The whole file. Fields are decoded one by one, so that errors can name them."""

    model: str
    task: str
    slices: SlicesEntry
    service: dict[str, Raw]
    prediction: Raw
    label: Raw
    features: dict[str, Raw]
    id: str | None = None
    classes: list[str] = []
    tags: list[str] = []
    meta: dict[str, str] = {}
    sources: list[SourceEntry] = []
    time: TimeEntry | None = None
    score: Raw = Raw(b"")
    positive: str = ""
    outcomes: Raw = Raw(b"")
