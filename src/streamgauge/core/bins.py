"""Bins: how the values of one field become small integers.

A field's cells are its *value bins*, which carry the distribution, followed by *special bins* for
what is no value: missing, wrong type and, for numbers, NaN, +inf and -inf. Value bins are fine;
distances are taken over *groups* of adjacent ones (STATISTICS.md §1), quantiles over the fine ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import (
    MISSING_CODE,
    WRONG_TYPE_CODE,
    Categories,
    Fault,
    FloatArray,
    IntArray,
)
from streamgauge.core.counting import LookUp
from streamgauge.core.lookup import EdgeLookup


class Special(IntEnum):
    """Offsets of the special bins behind a field's value bins."""

    MISSING = 0
    WRONG_TYPE = 1
    NAN = 2
    POSITIVE_INFINITY = 3
    NEGATIVE_INFINITY = 4


FAULT_BIN: Final = {Fault.WRONG_TYPE: Special.WRONG_TYPE, Fault.NAN: Special.NAN}


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Bins of a numeric field: `edges` ascending, bin i holds edges[i-1] <= x < edges[i].

    The first bin holds what lies below the reference's minimum, the last what lies above its
    maximum (`edges[-1]` is the next float after it), so both count values out of range. `groups`
    are the first value bins of each distance group; the out-of-range bins belong to the outer
    groups. `center` is the reference mean, by which sums are shifted, and `scale` its standard
    deviation (1 where that is 0).
    """

    edges: tuple[float, ...]
    groups: tuple[int, ...]
    center: float = 0.0
    scale: float = 1.0
    _lookup: EdgeLookup = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lookup", EdgeLookup(np.asarray(self.edges, np.float64)))

    @property
    def value_bins(self) -> int:
        """Number of value bins, the two out-of-range bins included."""
        return len(self.edges) + 1

    @property
    def width(self) -> int:
        """Number of cells: value bins and special bins."""
        return self.value_bins + len(Special)

    def assign(
        self, values: FloatArray, extremes: tuple[float, float] | None = None
    ) -> npt.NDArray[np.intp]:
        """Return the bin of every value `(n,)`; NaN stands for a missing value.

        `extremes` are their least and greatest where all are known to be finite.
        """
        bins = self._lookup.bins(values, extremes)
        if extremes is None and not np.isfinite(values).all():
            special = self.value_bins
            bins[np.isnan(values)] = special + Special.MISSING
            bins[np.isposinf(values)] = special + Special.POSITIVE_INFINITY
            bins[np.isneginf(values)] = special + Special.NEGATIVE_INFINITY
        return bins

    def handed(self) -> LookUp:
        """Return what compiled code needs to look values up, for as long as these bins are kept."""
        return self._lookup.handed()

    def grouped(self) -> "NumericBins":
        """Return bins as wide as the distance groups, out-of-range bins apart: see `grouping`."""
        starts = grouping(self)[: -len(Special)].tolist()
        edges = tuple(self.edges[start - 1] for start in starts[1:])
        groups = tuple(starts.index(start) for start in self.groups)
        return NumericBins(edges, groups, self.center, self.scale)

    def group_labels(self) -> tuple[str, ...]:
        """Name each distance group by its half-open range."""
        cuts = [self.edges[start - 1] for start in self.groups[1:]]
        texts = [f"{cut:.6g}" for cut in cuts]
        return tuple(
            f"[{low}, {high})" for low, high in zip(["-inf", *texts], [*texts, "inf"], strict=True)
        )

    def group_positions(self) -> FloatArray:
        """Return one position per distance group `(groups,)`: the middle of its range.

        The outer groups are bounded by the reference's minimum and maximum.
        """
        inner = [self.edges[start - 1] for start in self.groups[1:]]
        bounds = np.array([self.edges[0], *inner, self.edges[-1]])
        positions: FloatArray = (bounds[:-1] + bounds[1:]) / 2
        return positions


@dataclass(frozen=True, slots=True)
class CategoricalBins:
    """Bins of a categorical field: one per category, then `other`, then `unseen`.

    `rare` are reference categories that fall in `other`. Where the reference held more values
    than a profile keeps (`complete` is False), what is not listed cannot be called unseen and
    counts as other. In distances `unseen` belongs to `other`.
    """

    categories: tuple[str, ...]
    rare: tuple[str, ...] = ()
    complete: bool = True
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {value: code for code, value in enumerate(self.categories)}
        index.update(dict.fromkeys(self.rare, len(self.categories)))
        object.__setattr__(self, "_index", index)

    @property
    def other(self) -> int:
        """Bin of the reference's rare categories."""
        return len(self.categories)

    @property
    def unseen(self) -> int:
        """Bin of values that the reference never held."""
        return len(self.categories) + 1

    @property
    def value_bins(self) -> int:
        """Number of value bins: categories, other, unseen."""
        return len(self.categories) + 2

    @property
    def width(self) -> int:
        """Number of cells: value bins, missing and wrong type."""
        return self.value_bins + 2

    @property
    def groups(self) -> tuple[int, ...]:
        """First value bins of the distance groups: one per category, then other with unseen."""
        return tuple(range(len(self.categories) + 1))

    def assign(self, column: Categories) -> npt.NDArray[np.intp]:
        """Return the bin of every value of a dictionary-encoded column `(n,)`."""
        return self.table(column.values)[column.codes]

    def table(self, values: Sequence[str]) -> npt.NDArray[np.intp]:
        """Return the bin of each code of a dictionary; negative ones count from the end."""
        fallback = self.unseen if self.complete else self.other
        table = np.empty(len(values) + 2, np.intp)
        table[: len(values)] = [*map(self._index.get, values, repeat(fallback))]
        table[MISSING_CODE] = self.value_bins + Special.MISSING
        table[WRONG_TYPE_CODE] = self.value_bins + Special.WRONG_TYPE
        return table

    def unseen_codes(self, values: Sequence[str]) -> list[int]:
        """Return the codes of a dictionary's values that the reference never held."""
        if not self.complete:
            return []
        return [code for code, value in enumerate(values) if value not in self._index]

    def group_labels(self) -> tuple[str, ...]:
        """Name each distance group by its category."""
        return (*self.categories, "(other)")


Bins = NumericBins | CategoricalBins


def grouping(bins: Bins) -> npt.NDArray[np.intp]:
    """Return the first cells `(G,)` of a field's runs of cells that slices count as one.

    These are the distance groups, with the values out of range and the specials apart. Categories
    stay as they are.
    """
    if isinstance(bins, CategoricalBins):
        return np.arange(bins.width)
    last = bins.value_bins - 1
    starts = sorted({0, min(1, last), last, *bins.groups, *range(last + 1, bins.width)})
    return np.array(starts, np.intp)


def fold_table(bins: Bins) -> npt.NDArray[np.intp]:
    """Return the folded cell of each cell of a field `(width,)`: distance groups, then specials."""
    groups = np.searchsorted(bins.groups, np.arange(bins.value_bins), side="right") - 1
    specials = np.arange(bins.width - bins.value_bins)
    table: npt.NDArray[np.intp] = np.concatenate([groups, len(bins.groups) + specials])
    return table


def fold(counts: IntArray, bins: Bins) -> IntArray:
    """Add value-bin counts `(..., value_bins or more)` up to distance groups `(..., groups)`."""
    folded: IntArray = np.add.reduceat(
        counts[..., : bins.value_bins], np.asarray(bins.groups), axis=-1
    )
    return folded
