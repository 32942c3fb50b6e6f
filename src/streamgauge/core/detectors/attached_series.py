"""Named series: which numbers of a model's events an attached detector is fed."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins, Special
from streamgauge.core.blocks import SUM, SUM_SQUARES
from streamgauge.core.columns import Column
from streamgauge.core.layout import (
    LATENCY,
    SCORE,
    STATUS,
    STATUS_ERROR,
    Layout,
    Subject,
    SubjectKind,
)
from streamgauge.core.reference import Reference

FARTHEST: Final = 1e6
"""Reference standard deviations from the reference's centre beyond which no value is fed."""


@dataclass(frozen=True, slots=True)
class NamedSeries:
    """A series: the numbers of a numeric field, or whether its bin is one of `bad`, as 0 and 1.

    `position` is the field's in the layout, `mean` and `deviation` are the reference's (of a rate
    its share, and 1); NaN where there is no reference or it holds no values.
    """

    subject: Subject
    position: int
    bins: Bins
    bad: tuple[int, ...]
    mean: float
    deviation: float

    @property
    def is_rate(self) -> bool:
        """Whether the values are 0 and 1."""
        return bool(self.bad)

    def values(self, column: Column) -> FloatArray:
        """Return the values of a column's events `(n,) float64`."""
        if self.is_rate:
            return np.isin(column.bins, self.bad).astype(np.float64)
        assert column.numbers is not None
        return column.numbers.values

    def mean_of(self, cells: IntArray, total: float) -> float:
        """Return the mean or share of a pane: counts of the field's cells, Σ(x−c) of its numbers.

        NaN where the pane holds no values.
        """
        count = cells.sum() if self.is_rate else cells[: self.bins.value_bins].sum()
        if not count:
            return float("nan")
        if self.is_rate:
            return float(cells[list(self.bad)].sum() / count)
        assert isinstance(self.bins, NumericBins)
        return float(self.bins.center + total / count)

    def usable(self, values: FloatArray) -> BoolArray:
        """Say which values `(n,)` may be fed: one that may not would disable most detectors."""
        if not isinstance(self.bins, NumericBins) or self.is_rate:
            return np.isfinite(values)
        with np.errstate(over="ignore"):
            near: BoolArray = np.abs(values - self.bins.center) <= FARTHEST * self.bins.scale
        return near


def named_series(name: str, layout: Layout, reference: Reference | None) -> NamedSeries:
    """Return the series of a name. Raises ValueError where the model has none of that name."""
    own = {"score": SCORE, "latency": LATENCY, "status": STATUS}
    subject = own.get(name, Subject(SubjectKind.FEATURE, name))
    position = layout.position(subject)
    bad: tuple[int, ...] = (STATUS_ERROR,) if subject == STATUS else ()
    if position is None:
        feature, _, rate = name.rpartition(".")
        subject = Subject(SubjectKind.DATA_QUALITY, name)
        position = layout.position(Subject(SubjectKind.FEATURE, feature))
        known = {} if position is None else _rates(layout.fields[position].bins)
        if position is None or rate not in known:
            of = f" (of {feature}: {', '.join(known)})" if known else ""
            msg = (
                f"{name} is no series of this model: name a numeric feature, score, latency, "
                f"status or a rate such as FEATURE.missing{of}"
            )
            raise ValueError(msg)
        bad = known[rate]
    bins = layout.fields[position].bins
    if isinstance(bins, CategoricalBins) and not bad:
        rates = ", ".join(f"{name}.{rate}" for rate in _rates(bins))
        msg = f"{name} is no number: name a numeric feature, or one of {rates}"
        raise ValueError(msg)
    mean, deviation = _moments(layout, reference, position, bad)
    return NamedSeries(subject, position, bins, bad, mean, deviation)


def _rates(bins: Bins) -> dict[str, tuple[int, ...]]:
    """Return the bins of a feature's field that count as bad, by what the rate is called."""
    special = bins.value_bins
    found: dict[str, tuple[int, ...]] = {
        "missing": (special + Special.MISSING,),
        "wrong_type": (special + Special.WRONG_TYPE,),
    }
    if isinstance(bins, CategoricalBins):
        return {**found, "unseen": (bins.unseen,)}
    infinite = (Special.NAN, Special.POSITIVE_INFINITY, Special.NEGATIVE_INFINITY)
    found["not_finite"] = tuple(special + kind for kind in infinite)
    found["out_of_range"] = (0, special - 1)
    return found


def _moments(
    layout: Layout, reference: Reference | None, position: int, bad: tuple[int, ...]
) -> tuple[float, float]:
    """Return the mean and standard deviation of a field in the whole reference."""
    nothing = float("nan"), float("nan")
    if reference is None:
        return nothing
    bins = layout.fields[position].bins
    cells = reference.block.counts[0, layout.cells(position)].astype(np.int64)
    if bad:
        total = int(cells.sum())
        return (float(cells[list(bad)].sum() / total), 1.0) if total else nothing
    assert isinstance(bins, NumericBins)
    count = int(cells[: bins.value_bins].sum())
    if not count:
        return nothing
    sums = reference.block.sums[0, layout.numeric.index(position)] / count
    variance = max(float(sums[SUM_SQUARES] - sums[SUM] ** 2), 0.0)
    return float(bins.center + sums[SUM]), variance**0.5 or bins.scale
