"""Entries of a reference file → counts and sums: what all parts of it share."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamgauge.config.zones import zone
from streamgauge.core.batch import IntArray
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins
from streamgauge.core.blocks import MAXIMUM, MINIMUM, SUM, SUM_SQUARES, Block
from streamgauge.core.layout import Layout, folded_widths
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.timeline import HOURS_OF_WEEK
from streamgauge.core.zone import Zone
from streamgauge.formats.reference_encode_field import place
from streamgauge.formats.reference_types import (
    AnyField,
    CategoricalEntry,
    NumericEntry,
    TimeEntry,
)


class ContentError(ValueError):
    """Something in the content that cannot be: where, and what."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


def located(error: msgspec.ValidationError, where: str = "") -> tuple[str, str]:
    """Return the place and the text of a type error, below a place."""
    what, _, path = str(error).partition(" - at `$")
    return f"{where}{path.rstrip('`')}".lstrip(".") or "the document", what.replace("`", "")


def decode_field(value: msgspec.Raw, where: str) -> AnyField:
    """Return the field that stands at a place. Raises ContentError where it is none."""
    field: AnyField = decode_entry(value, AnyField, where)
    return field


def decode_entry(value: msgspec.Raw, type_: Any, where: str) -> Any:
    """Return what stands at a place, `type_` or one of a union. Raises ContentError."""
    try:
        return msgspec.json.decode(value, type=type_)
    except msgspec.ValidationError as error:
        raise ContentError(*located(error, where)) from None


def bins_of(entry: AnyField, where: str) -> Bins:
    if isinstance(entry, CategoricalEntry):
        bins = CategoricalBins(tuple(entry.categories), tuple(entry.rare), entry.complete)
        if len({*bins.categories, *bins.rare}) != len(bins.categories) + len(bins.rare):
            raise ContentError(f"{where}.categories", "a category stands twice")
        return bins
    edges = replaced(entry.edges, np.inf)
    if len(edges) < 2 or not ascend(edges):
        raise ContentError(f"{where}.edges", "must be at least two numbers that ascend")
    groups = entry.groups
    if groups[:1] != [0] or not ascend(groups) or groups[-1] > len(edges):
        raise ContentError(f"{where}.groups", "must ascend from 0, each the number of a bin")
    return NumericBins(tuple(edges), tuple(groups), entry.center, entry.scale)


def ascend(values: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(values))


def replaced(values: list[float | None], absent: float) -> list[float]:
    return [absent if value is None else value for value in values]


def fill_field(block: Block, layout: Layout, position: int, entry: AnyField, where: str) -> None:
    """Set what a block of all rows holds of the field at a position: counts, sums, extremes."""
    rows = len(block.counts)
    _fill_counts(
        block.counts[:, layout.cells(position)], entry, layout.fields[position].bins, where
    )
    if not isinstance(entry, NumericEntry):
        return
    at = layout.numeric.index(position)
    block.sums[:, at, SUM] = full(entry.sum, rows, f"{where}.sum")
    block.sums[:, at, SUM_SQUARES] = full(entry.sum_of_squares, rows, f"{where}.sum_of_squares")
    if block.extremes.shape[1]:
        low, high = entry.minimum, entry.maximum
        block.extremes[:, at, MINIMUM] = full(replaced(low, np.inf), rows, f"{where}.minimum")
        block.extremes[:, at, MAXIMUM] = full(replaced(high, -np.inf), rows, f"{where}.maximum")


def _fill_counts(
    cells: npt.NDArray[np.number[Any]], entry: AnyField, bins: Bins, where: str
) -> None:
    """Set the cells of one field `(rows, width)`."""
    if len(entry.counts) != len(cells):
        raise ContentError(
            f"{where}.counts", f"must be {len(cells)} lists, one per entry of slices.rows"
        )
    fill_lists(cells[:, : bins.value_bins], entry.counts, f"{where}.counts")
    names = ["missing", "wrong_type"]
    if isinstance(entry, NumericEntry):
        names += ["nan", "positive_infinity", "negative_infinity"]
    specials = [getattr(entry, name) for name in names]
    for i, (name, values) in enumerate(zip(names, specials, strict=True)):
        fill_lists(cells[:, bins.value_bins + i][None, :], [values], f"{where}.{name}")


def fill_lists(
    target: npt.NDArray[np.number[Any]], lists: Sequence[Sequence[float]], where: str
) -> None:
    """Set the rows of a target from lists that may be shorter."""
    for row, values in zip(target, lists, strict=True):
        if len(values) > len(row):
            raise ContentError(where, f"a list has {len(values)} entries, {len(row)} at most fit")
        row[: len(values)] = values


def full(values: list[float], rows: int, where: str) -> list[float]:
    if len(values) != rows:
        raise ContentError(where, f"must be {rows} numbers, one per entry of slices.rows")
    return values


@dataclass(frozen=True, slots=True)
class Times:
    hour_of_week: IntArray
    panes: PaneTable
    span: tuple[int, int]
    zone: Zone


def decode_times(
    time: TimeEntry | None, layout: Layout, entries: Sequence[AnyField], within: str = ""
) -> Times | None:
    """Return the counts over time of a layout's fields, None where there are none.

    `within` begins the name of every place.
    """
    if time is None:
        return None
    if time.pane_ms < 1 or not ascend(time.panes):
        raise ContentError(f"{within}time", "pane_ms must be positive and panes must ascend")
    try:
        local = zone(time.timezone)
    except ValueError as error:
        raise ContentError(
            f"{within}time.timezone", f"{error} (a newer tzdata may know more)"
        ) from None
    widths = folded_widths(layout)
    hours = HOURS_OF_WEEK if time.hours_told_apart else 1
    weekly = np.zeros((sum(widths), hours), np.int64)
    panes = np.zeros((sum(widths), len(time.panes)), np.int64)
    end = 0
    for item, entry, width in zip(layout.fields, entries, widths, strict=True):
        start, end = end, end + width
        for name, target, lists in (
            ("hour_of_week", weekly, entry.hour_of_week),
            ("panes", panes, entry.panes),
        ):
            where = f"{within}{place(item)}.{name}"
            if len(lists) != width:
                raise ContentError(where, f"must be {width} lists, one per group and special bin")
            fill_lists(target[start:end], lists, where)
    numbers = np.array(time.panes, np.int64)
    table = PaneTable(time.pane_ms, numbers, np.ascontiguousarray(panes.T))
    hour_of_week = np.ascontiguousarray(np.broadcast_to(weekly.T, (HOURS_OF_WEEK, sum(widths))))
    return Times(hour_of_week, table, (time.first_ms, time.last_ms), local)
