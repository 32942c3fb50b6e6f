"""How fast labels come: the distribution of their delay, learned while cohorts are still open.

A label counts only once it is there, so the delays seen so far lean to the short ones: they are
truncated on the right, at the age of their cohort. Looking backwards undoes it: among the labels
whose delay is at most u, of cohorts older than u, nothing is missing. With d_j labels in delay bin
j and n_j in the bins up to j, both of the cohorts at least as old as the bin's end, the reverse
hazard is g_j = d_j/n_j and

    F(u_k) = Π_{j ≥ k} (1 − g_j)        from u_k, where bin k begins, to the end of the last bin

so that every cohort speaks for the delays that it has seen whole. (Lagakos, Barraj and De Gruttola
1988, "Nonparametric analysis of truncated survival data, with application to AIDS"; Kalbfleisch and
Lawless 1989; actuaries call it the chain ladder.)

The distribution is by outcome, not by score. Labels of one outcome may be slow whatever the score:
a late flight lands late, so among the labels of one score those that are there are the punctual
ones, and weights by score would leave that bias as it is. Of labelled events the outcome is known,
and no other events need a weight. What remains is that within an outcome, a label must not be
faster because of what the figure measures.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray

DELAY_BINS: Final = 50
"""Bins of the delay that `delay_edges` makes."""
_DECADES: Final = 4.0
POOLING: Final = 1.0
"""Labels of all strata together that each stratum's hazards are mixed with, in every bin."""


def delay_edges(max_delay_ms: int, bins: int = DELAY_BINS) -> FloatArray:
    """Return the edges `(bins + 1,) float64` of the delay's bins in ms, ascending.

    From 0, then log-spaced over four decades up to the largest delay that is joined: each bin but
    the first two is at most 21 % wider than the one before it. Raises `ValueError` for a largest
    delay that is not positive and for fewer than two bins.
    """
    if max_delay_ms <= 0 or bins < 2:
        raise ValueError(
            f"delays need a positive limit and two bins or more: {max_delay_ms} ms, {bins} bins"
        )
    return np.append(0.0, max_delay_ms * 10.0 ** np.linspace(-_DECADES, 0.0, bins))


def delay_bins(delays_ms: IntArray, edges: FloatArray) -> IntArray:
    """Return the bin `(n,) int64` of each delay: bin k holds (u_k, u_{k+1}], the first u_0 too.

    So do the buckets that they are published in. A label that is older than its prediction has no
    delay: it is in the first bin.
    """
    bins = np.searchsorted(edges, delays_ms, side="left") - 1
    return np.clip(bins, 0, len(edges) - 2)


@dataclass(frozen=True, slots=True)
class Ages:
    """How old the predictions of each step are, in ms; ages are spread evenly between the two.

    `youngest` and `oldest` are `(T,) float64`. What is not predicted yet has no age, so the step
    that is still open begins at 0.
    """

    youngest: FloatArray
    oldest: FloatArray

    @classmethod
    def of(cls, starts_ms: IntArray, step_ms: int, now_ms: int) -> "Ages":
        """Return the ages at `now_ms` of the steps that begin at `starts_ms (T,) int64`."""
        oldest = (now_ms - starts_ms).astype(np.float64)
        return cls(np.maximum(oldest - step_ms, 0.0), np.maximum(oldest, 0.0))


@dataclass(frozen=True, slots=True)
class DelayLaw:
    """The share of the labels that have come, by their age: what `learn_delays` returns.

    `edges (D + 1,)` in ms; `arrived (S, D + 1) float64`, F at the edges by stratum, NaN without any
    label; `doubt (S, D) float64`, the variance of ln(1 − g_j), which F is the product of, so that
    Var ln F(u_k) = Σ_{j ≥ k} doubt_j (Greenwood's formula, backwards).

    F is the share among the labels that come within `horizon_ms`: the end of the last bin that a
    cohort has seen whole. Once that is the last edge it is the share among all that are joined;
    before, slower labels are unknown, and so are figures that would need them.
    """

    edges: FloatArray
    arrived: FloatArray
    doubt: FloatArray
    horizon_ms: float

    @property
    def complete(self) -> bool:
        """Whether delays up to the largest have been seen."""
        return self.horizon_ms >= float(self.edges[-1])


def learn_delays(counts: IntArray, edges: FloatArray, ages: Ages) -> DelayLaw:
    """Return the delay's distribution by stratum.

    `counts (T, S, D) int64` are the labels so far by step, stratum and bin of the delay between
    `edges (D + 1,)`, the first of which is 0. A cohort counts for a bin when its youngest
    prediction has reached the bin's end. The hazards of a stratum are mixed with those of all
    strata together as if `POOLING` of those labels were its own: without any it has their law.
    Labels that come later than the last edge are not joined and must not be counted. Raises
    `ValueError` for shapes that do not fit and edges that do not ascend from 0.
    """
    steps, _, bins = counts.shape
    if edges.shape != (bins + 1,) or edges[0] != 0.0 or (np.diff(edges) <= 0).any():
        raise ValueError(f"{bins} delay bins need {bins + 1} edges that ascend from 0")
    if ages.youngest.shape != (steps,):
        raise ValueError(f"ages of {len(ages.youngest)} steps do not fit counts of {steps}")
    whole = ages.youngest[:, None] >= edges[1:]
    fallen = np.einsum("tsd,td->sd", counts, whole.astype(np.int64))
    at_risk = np.einsum("tsd,td->sd", counts.cumsum(axis=2), whole.astype(np.int64))
    pooled = _hazard(fallen.sum(axis=0), at_risk.sum(axis=0))
    size = at_risk + POOLING
    hazard = (fallen + POOLING * pooled) / size
    left = 1.0 - hazard
    arrived = np.ones((counts.shape[1], bins + 1))
    arrived[:, :-1] = np.cumprod(left[:, ::-1], axis=1)[:, ::-1]
    # No label at age 0, whatever the bins: only what has happened is labelled.
    arrived[:, 0] = 0.0
    # Where nothing is left F is 0, and stays so whatever the hazard's doubt.
    doubt = np.divide(hazard, size * left, out=np.zeros(left.shape), where=left > 0)
    seen = np.flatnonzero(at_risk.sum(axis=0))
    if not len(seen):
        return DelayLaw(edges, np.full(arrived.shape, np.nan), doubt, 0.0)
    return DelayLaw(edges, arrived, doubt, float(edges[seen[-1] + 1]))


def _hazard(fallen: IntArray, at_risk: IntArray) -> FloatArray:
    """Return fallen/at_risk, 0 where nothing was at risk."""
    return np.divide(fallen, at_risk, out=np.zeros(fallen.shape), where=at_risk > 0)


def arrived_share(law: DelayLaw, ages: Ages) -> FloatArray:
    """Return the share of labels that each step should have by now, `(T, S) float64`.

    The mean of F over the step's ages, F linear inside bins and 1 from the last edge on.
    """
    share: FloatArray = averaging(law.edges, ages) @ law.arrived.T
    return share


def averaging(edges: FloatArray, ages: Ages) -> FloatArray:
    """Return `(T, D + 1) float64`: the weights that make step means of values at the edges.

    Row t holds the mean over the step's ages of each edge's hat function, the last of which stays
    at 1 beyond the last edge.
    """
    width = ages.oldest - ages.youngest
    area = (_hat_areas(edges, ages.oldest) - _hat_areas(edges, ages.youngest)) / np.where(
        width > 0, width, 1.0
    )[:, None]
    point = np.stack([np.interp(ages.oldest, edges, hat) for hat in np.eye(len(edges))], axis=1)
    return np.where(width[:, None] > 0, area, point)


def _hat_areas(edges: FloatArray, until: FloatArray) -> FloatArray:
    """Return the integrals `(T, D + 1)` from 0 to `until (T,)` of the edges' hat functions."""
    widths = np.diff(edges)
    # How far into each bin: 0 before it, 1 after it.
    into = np.clip((until[:, None] - edges[:-1]) / widths, 0.0, 1.0)
    rising, falling = widths * into**2 / 2.0, widths * (into - into**2 / 2.0)
    area = np.zeros((len(until), len(edges)))
    area[:, 1:] += rising
    area[:, :-1] += falling
    area[:, -1] += np.maximum(until - edges[-1], 0.0)
    return area
