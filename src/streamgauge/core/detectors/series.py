"""Series: the shares that are watched in every row.

Every series is the share of a run of adjacent cells among another run, so that all of them come
from one cumulative sum over a row of counts: of an ordered field the share at or above a cut, of a
categorical one the share of a category, and of any feature the shares of bad values.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.detectors.specs import LatencyLimit
from streamgauge.core.layout import (
    LATENCY,
    LATENCY_EDGES,
    STATUS,
    STATUS_ERROR,
    Field,
    Layout,
    Subject,
    SubjectKind,
)

CUTS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Reference shares near which an ordered field is cut."""
MIDDLE: Final = (0.25, 0.75)
"""Reference shares near which the middle of an ordered field begins and ends."""
UNITS: Final = 1 << 20
"""Into how many parts an event is divided where expected numbers are counted, so that they add up
exactly."""
MOST_CATEGORIES: Final = 20
"""Categories with a series of their own: the most frequent."""


class Kind(StrEnum):
    """What a series is the share of."""

    ABOVE = "above"
    BETWEEN = "between"
    CATEGORY = "category"
    OTHER = "other"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    BELOW_RANGE = "below_range"
    ABOVE_RANGE = "above_range"
    UNSEEN = "unseen"
    ERROR = "error"
    SLOW = "slow"
    WRONG = "wrong"
    LOSS = "loss"
    TRUE = "true"
    GAP = "gap"
    UNLABELLED = "unlabelled"


COMPARED: Final = frozenset(
    {Kind.ABOVE, Kind.BETWEEN, Kind.CATEGORY, Kind.OTHER, Kind.WRONG, Kind.LOSS, Kind.TRUE}
)
"""Kinds that mean something only against the same slice's own reference."""
WORSE: Final = frozenset({Kind.WRONG, Kind.LOSS})
"""Kinds of these whose fall is no one's trouble."""
SHAPES: Final = frozenset({Kind.ABOVE, Kind.BETWEEN, Kind.CATEGORY, Kind.OTHER, Kind.LOSS})
"""Kinds that are about how a field's values are distributed; others are shares by themselves."""
OUTLIERS: Final = frozenset({Kind.BELOW_RANGE, Kind.ABOVE_RANGE, Kind.UNSEEN})
"""Kinds of bad values that stand among the good ones."""
RATES: Final = {
    Kind.MISSING: "missing",
    Kind.WRONG_TYPE: "wrong_type",
    Kind.NOT_FINITE: "not_finite",
    Kind.BELOW_RANGE: "out_of_range",
    Kind.ABOVE_RANGE: "out_of_range",
    Kind.UNSEEN: "unseen",
}
"""What the subjects of rates of bad values are called, after the feature and a dot."""


class Series(NamedTuple):
    """One watched share: cells `[first, last)` of the layout among cells `[whole, end)`."""

    subject: Subject
    kind: Kind
    first: int
    last: int
    whole: int
    end: int


@dataclass(frozen=True, slots=True)
class SeriesTable:
    """All Q series of a layout, those of one subject side by side, as arrays of bounds `(Q,)`.

    `subjects (S,)` are what they are about and `starts (S,)` the first series of each. `compared`
    and `falls` say of which series only rows with a reference of their own are judged, and a fall
    as well as a rise. Series of `Kind.GAP` are held against what the events themselves let expect:
    `expected` is the cell of that number of events, in units of 1 / `UNITS`.
    """

    series: tuple[Series, ...]
    expected: int | None = None
    first: IntArray = field(init=False)
    last: IntArray = field(init=False)
    whole: IntArray = field(init=False)
    end: IntArray = field(init=False)
    compared: BoolArray = field(init=False)
    falls: BoolArray = field(init=False)
    gaps: IntArray = field(init=False)
    subjects: tuple[Subject, ...] = field(init=False)
    starts: IntArray = field(init=False)

    def __post_init__(self) -> None:
        for name in ("first", "last", "whole", "end"):
            bounds = np.array([getattr(s, name) for s in self.series], np.int64)
            object.__setattr__(self, name, bounds)
        compared = np.array([s.kind in COMPARED for s in self.series], bool)
        object.__setattr__(self, "compared", compared)
        worse = np.array([s.kind in WORSE for s in self.series], bool)
        object.__setattr__(self, "falls", compared & ~worse)
        gaps = [i for i, s in enumerate(self.series) if s.kind is Kind.GAP]
        object.__setattr__(self, "gaps", np.array(gaps, np.int64))
        subjects = tuple(dict.fromkeys(s.subject for s in self.series))
        known = [s.subject for s in self.series]
        object.__setattr__(self, "subjects", subjects)
        object.__setattr__(self, "starts", np.array([known.index(s) for s in subjects], np.int64))

    def counts(self, counts: IntArray) -> tuple[IntArray, IntArray]:
        """Return how many of how many events each series counts, from counts `(..., W)`.

        Both are `(..., Q) int64`.
        """
        sums = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1), np.int64)
        np.cumsum(counts, axis=-1, out=sums[..., 1:])
        present: IntArray = sums.take(self.last, axis=-1)
        present -= sums.take(self.first, axis=-1)
        total: IntArray = sums.take(self.end, axis=-1)
        total -= sums.take(self.whole, axis=-1)
        return present, total

    def expected_shares(self, counts: IntArray) -> FloatArray:
        """Return the share of events that gaps are held against `(k,)`, from counts `(k, W)`."""
        assert self.expected is not None
        gap = self.series[int(self.gaps[0])]
        total = counts[:, gap.whole : gap.end].sum(axis=1)
        share: FloatArray = counts[:, self.expected] / (UNITS * np.maximum(total, 1))
        return share


def series_table(layout: Layout, whole: IntArray, latency: LatencyLimit | None) -> SeriesTable:
    """Return the series of a layout; `whole (W,)` are the reference's counts, for the cuts.

    Fields that the reference holds nothing of have none, but for their bad values.
    """
    found: list[Series] = []
    for start, item in layout:
        counts = whole[start : start + item.bins.width]
        end = start + item.bins.width
        if item.subject == STATUS:
            cell = start + STATUS_ERROR
            found.append(Series(item.subject, Kind.ERROR, cell, cell + 1, start, end))
        elif item.subject == LATENCY and latency is not None:
            values = start + item.bins.value_bins
            cell = start + 1 + LATENCY_EDGES.index(latency.limit)
            found.append(Series(item.subject, Kind.SLOW, cell, values, start, values))
        elif item.subject.kind in (SubjectKind.FEATURE, SubjectKind.SCORE, SubjectKind.PREDICTION):
            found += shape_series(start, item, counts)
            if item.subject.kind is SubjectKind.FEATURE:
                found += _quality(start, item)
    return SeriesTable(tuple(found))


def shape_series(start: int, item: Field, counts: IntArray) -> list[Series]:
    """Return the series that follow the distribution of a field's values.

    Its cells begin at `start`, `counts (width,)` are the reference's.
    """
    bins = item.bins
    values = counts[: bins.value_bins]
    if not values.any() or len(bins.groups) < 2:
        return []
    end = start + bins.value_bins
    if isinstance(bins, CategoricalBins):
        shown = sorted(np.argsort(-values[: bins.other], kind="stable")[:MOST_CATEGORIES].tolist())
        found = [
            Series(item.subject, Kind.CATEGORY, start + c, start + c + 1, start, end) for c in shown
        ]
        # Bins are fitted in order of frequency, so these are all that have no series of their own.
        other = start + shown[-1] + 1
        return [*found, Series(item.subject, Kind.OTHER, other, end, start, end)]
    cuts = _cuts(bins, values, CUTS)
    found = [Series(item.subject, Kind.ABOVE, start + cut, end, start, end) for cut in cuts]
    # A spread that grows or shrinks moves every cut a little, and this share twice that.
    middle = _cuts(bins, values, MIDDLE)
    if len(middle) == len(MIDDLE):
        low, high = middle
        found.append(Series(item.subject, Kind.BETWEEN, start + low, start + high, start, end))
    return found


def _cuts(bins: NumericBins, values: IntArray, shares: tuple[float, ...]) -> list[int]:
    """Return the group boundaries whose reference shares are nearest to the wanted ones."""
    groups = np.asarray(bins.groups[1:], np.intp)
    below = np.cumsum(values)[groups - 1] / values.sum()
    inside = (below > 0.0) & (below < 1.0)
    if not inside.any():
        return []
    groups, below = groups[inside], below[inside]
    return sorted({int(groups[np.argmin(np.abs(below - share))]) for share in shares})


def _quality(start: int, item: Field) -> list[Series]:
    """Return the shares of bad values of a feature."""
    bins = item.bins
    special, end = start + bins.value_bins, start + bins.width
    runs = [
        (Kind.MISSING, special + Special.MISSING, 1),
        (Kind.WRONG_TYPE, special + Special.WRONG_TYPE, 1),
    ]
    if isinstance(bins, CategoricalBins):
        runs.append((Kind.UNSEEN, start + bins.unseen, 1))
    else:
        runs += [
            (Kind.NOT_FINITE, special + Special.NAN, 3),
            (Kind.BELOW_RANGE, start, 1),
            (Kind.ABOVE_RANGE, special - 1, 1),
        ]
    return [
        Series(
            Subject(SubjectKind.DATA_QUALITY, f"{item.subject.name}.{RATES[kind]}"),
            kind,
            first,
            first + length,
            start,
            end,
        )
        for kind, first, length in runs
    ]
