"""The typed content of a reference file → Reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np

from streamgauge.config.zones import zone
from streamgauge.core.batch import FeatureKind, IntArray, ModelSchema, Task
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.layout import FeatureSpec, Layout, build_layout, folded_widths
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.reference import Reference, Source
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.timeline import HOURS_OF_WEEK
from streamgauge.core.zone import UTC_ZONE, Zone
from streamgauge.formats.reference_encode import place
from streamgauge.formats.reference_types import (
    AnyField,
    BooleanEntry,
    CategoricalEntry,
    Document,
    NumericEntry,
)


class ContentError(ValueError):
    """Something in the content that cannot be: where, and what."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


def decode(document: Document) -> Reference:
    """Return the reference that a document holds. Raises ContentError."""
    entries = _entries(document)
    layout = _layout(document, entries)
    ordered = [entries[place(item)] for item in layout.fields]
    rows = len(document.slices.rows)
    if not rows or document.slices.rows[0]:
        raise ContentError("slices.rows", "the first must be {}, the whole")
    counts = np.zeros((rows, layout.width), np.int64)
    sums = np.zeros((rows, len(layout.numeric), 2))
    extremes = np.zeros((rows, len(layout.numeric), 2))
    for position, (item, entry) in enumerate(zip(layout.fields, ordered, strict=True)):
        where = place(item)
        _fill_counts(counts[:, layout.cells(position)], entry, item.bins, where)
        if isinstance(entry, NumericEntry):
            at = layout.numeric.index(position)
            sums[:, at, SUM] = _full(entry.sum, rows, f"{where}.sum")
            sums[:, at, SUM_SQUARES] = _full(entry.sum_of_squares, rows, f"{where}.sum_of_squares")
            low, high = entry.minimum, entry.maximum
            extremes[:, at, MINIMUM] = _full(_or(low, np.inf), rows, f"{where}.minimum")
            extremes[:, at, MAXIMUM] = _full(_or(high, -np.inf), rows, f"{where}.maximum")
    times = _times(document, layout, ordered)
    return Reference(
        layout=layout,
        slices=tuple(
            SliceSpec(tuple(Dimension(d.name, tuple(d.bounds)) for d in spec))
            for spec in document.slices.by
        ),
        rows=tuple(tuple(row.items()) for row in document.slices.rows),
        block=Block(np.arange(rows), counts, sums, extremes),
        hour_of_week=times.hour_of_week if times else None,
        panes=times.panes if times else None,
        span=times.span if times else None,
        meta=document.meta,
        sources=tuple(Source(s.name, s.sha256, s.rows, s.bytes) for s in document.sources),
        zone=times.zone if times else UTC_ZONE,
    )


def _entries(document: Document) -> dict[str, AnyField]:
    raw: dict[str, msgspec.Raw] = {
        **{f"service.{name}": value for name, value in document.service.items()},
        "prediction": document.prediction,
        "label": document.label,
        **({"score": document.score} if document.score else {}),
        **{f"features.{name}": value for name, value in document.features.items()},
    }
    entries = {}
    for where, value in raw.items():
        try:
            entries[where] = msgspec.json.decode(value, type=AnyField)
        except msgspec.ValidationError as error:
            raise ContentError(*located(error, where)) from None
    return entries


def located(error: msgspec.ValidationError, where: str = "") -> tuple[str, str]:
    """Return the place and the text of a type error, below a place."""
    what, _, path = str(error).partition(" - at `$")
    return f"{where}{path.rstrip('`')}".lstrip(".") or "the document", what.replace("`", "")


def _layout(document: Document, entries: dict[str, AnyField]) -> Layout:
    try:
        task = Task(document.task)
    except ValueError:
        raise ContentError("task", f"must be one of {', '.join(Task)}") from None
    features = tuple(
        FeatureSpec(name, _kind(entry), _bins(entry, f"features.{name}"))
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
    score = _bins(entries["score"], "score") if "score" in entries else None
    if (task is Task.REGRESSION) == (score is not None):
        raise ContentError("score", "belongs to a model of classes, and only to one")
    if score is not None and not isinstance(score, NumericBins):
        raise ContentError("score.kind", "must be numeric")
    layout = build_layout(
        schema,
        features,
        prediction=_bins(entries["prediction"], "prediction"),
        label=_bins(entries["label"], "label"),
        score=score,
    )
    for item in layout.fields:
        where = place(item)
        if where not in entries:
            raise ContentError(where, "is missing")
        if _bins(entries[where], where) != item.bins:
            raise ContentError(where, "has other bins than this version of streamgauge counts in")
    return layout


def _kind(entry: AnyField) -> FeatureKind:
    if isinstance(entry, BooleanEntry):
        return FeatureKind.BOOLEAN
    return FeatureKind.NUMERIC if isinstance(entry, NumericEntry) else FeatureKind.CATEGORICAL


def _bins(entry: AnyField, where: str) -> Bins:
    if isinstance(entry, CategoricalEntry):
        bins = CategoricalBins(tuple(entry.categories), tuple(entry.rare), entry.complete)
        if len({*bins.categories, *bins.rare}) != len(bins.categories) + len(bins.rare):
            raise ContentError(f"{where}.categories", "a category stands twice")
        return bins
    edges = _or(entry.edges, np.inf)
    if len(edges) < 2 or not _ascend(edges):
        raise ContentError(f"{where}.edges", "must be at least two numbers that ascend")
    groups = entry.groups
    if groups[:1] != [0] or not _ascend(groups) or groups[-1] > len(edges):
        raise ContentError(f"{where}.groups", "must ascend from 0, each the number of a bin")
    return NumericBins(tuple(edges), tuple(groups), entry.center, entry.scale)


def _ascend(values: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _or(values: list[float | None], absent: float) -> list[float]:
    return [absent if value is None else value for value in values]


def _fill_counts(cells: IntArray, entry: AnyField, bins: Bins, where: str) -> None:
    """Set the cells of one field `(rows, width)`."""
    if len(entry.counts) != len(cells):
        raise ContentError(
            f"{where}.counts", f"must be {len(cells)} lists, one per entry of slices.rows"
        )
    _fill_lists(cells[:, : bins.value_bins], entry.counts, f"{where}.counts")
    names = ["missing", "wrong_type"]
    if isinstance(entry, NumericEntry):
        names += ["nan", "positive_infinity", "negative_infinity"]
    specials = [getattr(entry, name) for name in names]
    for i, (name, values) in enumerate(zip(names, specials, strict=True)):
        _fill_lists(cells[:, bins.value_bins + i][None, :], [values], f"{where}.{name}")


def _fill_lists(target: IntArray, lists: list[list[int]], where: str) -> None:
    """Set the rows of a target from lists that may be shorter."""
    for row, values in zip(target, lists, strict=True):
        if len(values) > len(row):
            raise ContentError(where, f"a list has {len(values)} entries, {len(row)} at most fit")
        row[: len(values)] = values


def _full(values: list[float], rows: int, where: str) -> list[float]:
    if len(values) != rows:
        raise ContentError(where, f"must be {rows} numbers, one per entry of slices.rows")
    return values


@dataclass(frozen=True, slots=True)
class _Times:
    hour_of_week: IntArray
    panes: PaneTable
    span: tuple[int, int]
    zone: Zone


def _times(document: Document, layout: Layout, entries: Sequence[AnyField]) -> _Times | None:
    time = document.time
    if time is None:
        return None
    if time.pane_ms < 1 or not _ascend(time.panes):
        raise ContentError("time", "pane_ms must be positive and panes must ascend")
    try:
        local = zone(time.timezone)
    except ValueError as error:
        raise ContentError("time.timezone", f"{error} (a newer tzdata may know more)") from None
    widths = folded_widths(layout)
    weekly = np.zeros((sum(widths), HOURS_OF_WEEK), np.int64)
    panes = np.zeros((sum(widths), len(time.panes)), np.int64)
    end = 0
    for item, entry, width in zip(layout.fields, entries, widths, strict=True):
        start, end = end, end + width
        for name, target, lists in (
            ("hour_of_week", weekly, entry.hour_of_week),
            ("panes", panes, entry.panes),
        ):
            where = f"{place(item)}.{name}"
            if len(lists) != width:
                raise ContentError(where, f"must be {width} lists, one per group and special bin")
            _fill_lists(target[start:end], lists, where)
    numbers = np.array(time.panes, np.int64)
    table = PaneTable(time.pane_ms, numbers, np.ascontiguousarray(panes.T))
    return _Times(np.ascontiguousarray(weekly.T), table, (time.first_ms, time.last_ms), local)
