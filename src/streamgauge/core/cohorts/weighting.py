"""Performance of cohorts that are still open: each label stands for those like it yet to come.

With N_ts labels so far of step t and stratum s, and F̄_ts the share that should have come by now,
Ñ_ts = N_ts/F̄_ts is the number that there will be (Horvitz and Thompson 1952). Steps whose F̄ is
below `LEAST_SHARE` in a stratum are left out, whole: a label would stand for more than it knows,
and a step of which one stratum is missing would lean to the others.

What was predicted is known without labels, so the estimates are scaled to it: with M_g the labels
that the predictions of group g will get (for a classifier, those that said class g), the strata
of g become Ã_s = M_g·Ñ_s/Ñ_g with Ñ = Σ_t Ñ_t (raking, or post-stratification; Deville and Särndal
1992). So a share is a mean over groups of what their labels say, weighted by how often the model
predicted them in all steps, the youngest too.

A share θ = Σ_s a_s Ã_s/Σ_s b_s Ã_s has the variance, with W = Σ_s b_s Ã_s, r_s = a_s − θ·b_s and
r̄_g its mean over the labels of a group,

    [ Σ_s (M_g/Ñ_g)²·(r_s − r̄_g)²·D_s  +  Σ_g M_g·r̄_g² ]/W²
    D_s = Σ_t N_ts/F̄_ts²  +  Σ_j (Σ_t Ñ_ts·∂ln F̄_ts/∂ln(1 − g_sj))²·Var ln(1 − g_sj)

that of the weighted labels, of F (learned from few labels where an outcome is rare) and of the
predictions. The interval is Wilson's of the size θ(1 − θ)/variance, and once all labels are there
that of the plain share. It is about the model in this period. What the same predictions will show
in the end varies less about the estimate, so that lies inside more often than 95 %.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.cohorts.arrival import Ages, DelayLaw, arrived_share, averaging
from streamgauge.core.performance.intervals import (
    UPPER_TAIL,
    Estimate,
    Z,
    ratio,
    share_of_variance,
)

LEAST_SHARE: Final = 0.1
"""Steps count from this share of arrived labels on, in every stratum.

Least root mean squared error on both halves of the flight year: see `docs/decisions`, 009.
"""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the labels of each step and stratum weigh: what `label_weights` returns.

    `weight (T, S) float64` is 1/F̄, 0 in steps left out; `kept (T,) bool` the steps that count;
    `slope (T, S, D) float64` the derivative of ln F̄ by each ln(1 − g_j), and `doubt (S, D) float64`
    the variance of these.
    """

    weight: FloatArray
    kept: BoolArray
    slope: FloatArray
    doubt: FloatArray

    def of(self, steps: slice) -> "Weights":
        """Return the weights of some of the steps, a window's."""
        return Weights(self.weight[steps], self.kept[steps], self.slope[steps], self.doubt)


def label_weights(law: DelayLaw, ages: Ages, *, least: float = LEAST_SHARE) -> Weights:
    """Return the weights of labels of steps at these ages.

    Steps of which less than `least`, above 0, should have come in any stratum are left out; all are
    where no delay is known. Raises `ValueError` for a `least` outside (0, 1].
    """
    if not 0.0 < least <= 1.0:
        raise ValueError(f"the least share of arrived labels is in (0, 1], not {least}")
    share = arrived_share(law, ages)
    # NaN compares as not kept.
    kept: BoolArray = np.all(share >= least, axis=1)
    weight = np.divide(1.0, share, out=np.zeros(share.shape), where=kept[:, None])
    # F at edge k holds the factors of the bins from k on.
    parts = averaging(law.edges, ages)[:, None, :] * np.nan_to_num(law.arrived)
    slope = parts.cumsum(axis=2)[:, :, :-1] * weight[:, :, None]
    return Weights(weight, kept, slope, law.doubt)


@dataclass(frozen=True, slots=True)
class Expected:
    """Labels that the predictions of each group will get: what `expected_labels` returns.

    `labels (rows, G) float64`; `group (S,) int64` the group whose predictions a stratum is of.
    """

    labels: FloatArray
    group: IntArray


def labelled_share(
    counts: IntArray, predicted: IntArray, group: IntArray, weights: Weights
) -> FloatArray:
    """Return the share of each group's predictions that get a label in the end, `(G,) float64`.

    `counts (T, S)` are labels so far, `predicted (T, G)` predictions, of all slices and of as many
    steps as are known. 0 for groups without labels or predictions.
    """
    estimated = (counts * weights.weight).sum(axis=0)
    labels = np.bincount(group, estimated, minlength=predicted.shape[1])
    return np.nan_to_num(ratio(labels, (predicted * weights.kept[:, None]).sum(axis=0)))


def expected_labels(predicted: IntArray, group: IntArray, share: FloatArray) -> Expected:
    """Return how many labels a window's predictions `(rows, T, G)` will get by group.

    `share (G,)` comes from `labelled_share`.
    """
    return Expected(predicted.sum(axis=1) * share, group)


class _Cells(NamedTuple):
    """Estimated labels of each stratum, and how they are scaled to the predictions.

    `number`, `squares` Σ N/F̄², `doubt` D, `each` the usual weight of a label and `factor` M/Ñ are
    `(rows, S)`; `known (rows, G)` is M, `scaled (rows,) bool` where the two are used, and `member
    (S, G)` 1 where a stratum is of a group.
    """

    number: FloatArray
    squares: FloatArray
    doubt: FloatArray
    each: FloatArray
    factor: FloatArray
    known: FloatArray
    scaled: BoolArray
    member: FloatArray


def _cells(counts: IntArray, weights: Weights, expected: Expected) -> _Cells:
    estimated = counts * weights.weight
    number = estimated.sum(axis=1)
    squares = (counts * weights.weight**2).sum(axis=1)
    doubt = squares + _learned(estimated, weights)
    member = np.eye(expected.labels.shape[1])[expected.group]
    in_group = number @ member
    # Without a label of it yet, a group cannot be scaled, and scaling the others would drop it.
    silent = (in_group <= 0) & (expected.labels > 0)
    scaled = ~silent.any(axis=1) & (expected.labels > 0).any(axis=1)
    factor = np.where(scaled[:, None], np.nan_to_num(ratio(expected.labels, in_group)), 1.0)
    # What a label would weigh in the steps that its group has labels in.
    there = counts @ member @ member.T
    each = np.sqrt(np.nan_to_num(ratio((there * weights.weight**2).sum(axis=1), there.sum(axis=1))))
    return _Cells(number, squares, doubt, each, factor @ member.T, expected.labels, scaled, member)


def _learned(estimated: FloatArray, weights: Weights) -> FloatArray:
    """Return the variance `(rows, S)` that F gives to Σ_t of values `(rows, T, S)` over F̄."""
    steered = np.einsum("rts,tsd->rsd", estimated, weights.slope, optimize=True)
    variance: FloatArray = np.einsum("rsd,sd->rs", steered**2, weights.doubt)
    return variance


def weighted_shares(
    counts: IntArray, weights: Weights, expected: Expected, hits: FloatArray, among: FloatArray
) -> Estimate:
    """Return K shares of every row, `(rows, K)`; NaN where nothing that they are among is labelled.

    `counts (rows, T, S) int64` are labels so far; `hits` and `among (K, S)` are 1 for the strata
    that the share counts and those it is a share of, which hold the former. A row where a group has
    predictions and no label yet is not scaled to its predictions.
    """
    cells = _cells(counts, weights, expected)
    value, influence, size = _influences(cells, hits, among)
    return share_of_variance(value, _variance(cells, influence), size)


def mean_of_shares(
    counts: IntArray, weights: Weights, expected: Expected, hits: FloatArray, among: FloatArray
) -> Estimate:
    """Return the plain mean of K shares of every row, `(rows,)`; see `weighted_shares`.

    The shares depend on each other, since all are scaled to the same predictions; the variance is
    that of their mean.
    """
    cells = _cells(counts, weights, expected)
    value, influence, size = _influences(cells, hits, among)
    variance = _variance(cells, influence.mean(axis=1, keepdims=True))[:, 0]
    return share_of_variance(value.mean(axis=1), variance, size.min(axis=1))


def _influences(
    cells: _Cells, hits: FloatArray, among: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the shares θ, their derivatives r/W by each stratum's labels, and Kish's sizes."""
    labels = cells.number * cells.factor
    total = labels @ among.T
    value = np.minimum(ratio(labels @ hits.T, total), 1.0)
    residual = hits - value[:, :, None] * among
    influence = np.nan_to_num(ratio(residual, np.broadcast_to(total[:, :, None], residual.shape)))
    size = ratio(total**2, (cells.squares * cells.factor**2) @ among.T)
    return value, influence, np.nan_to_num(size)


def _variance(cells: _Cells, influence: FloatArray) -> FloatArray:
    """Return the variances `(rows, K)` of figures with these derivatives `(rows, K, S)`."""
    member = cells.member
    # One label more in each group, spread over its strata: otherwise a group whose few labels agree
    # would have no variance.
    more = cells.scaled[:, None] / (member.sum(axis=0) @ member.T)
    smooth = cells.number + more * cells.each
    sums = np.einsum("rks,rs,sg->rkg", influence, smooth, member, optimize=True)
    middle = np.nan_to_num(ratio(sums, np.broadcast_to((smooth @ member)[:, None], sums.shape)))
    middle = np.where(cells.scaled[:, None, None], middle, 0.0)
    doubt = (cells.doubt + more * cells.each**2) * cells.factor**2
    within = np.einsum("rks,rs->rk", (influence - middle @ member.T) ** 2, doubt)
    between = np.einsum("rkg,rg->rk", middle**2, cells.known)
    variance: FloatArray = within + between
    return variance


def weighted_mean(
    events: IntArray, total: FloatArray, squares: FloatArray, weights: Weights
) -> Estimate:
    """Return the mean loss of every row `(rows,)`; NaN without labels.

    Number, Σx and Σx² of labelled events by step and stratum are `(rows, T, S)` each; a regression
    has one stratum. The variance is that of the weighted labels and of F; the interval is Student's
    of the effective size (Σwn)²/Σw²n, its limits NaN where that is below 2.
    """
    w = weights.weight
    n = (events * w).sum(axis=(1, 2))
    value = ratio((total * w).sum(axis=(1, 2)), n)
    size = ratio(n**2, (events * w**2).sum(axis=(1, 2)))
    middle = np.nan_to_num(value)[:, None, None]
    scatter = np.maximum(squares - 2.0 * middle * total + middle**2 * events, 0.0)
    own = (scatter * w**2).sum(axis=(1, 2)) * ratio(size, size - 1.0)
    learned = _learned((total - middle * events) * w, weights).sum(axis=1)
    freedom = np.where(size >= 2.0, size - 1.0, np.nan)
    half = special.stdtrit(freedom, UPPER_TAIL) * np.sqrt(ratio(own + learned, n**2))
    return Estimate(value, value - half, value + half)


def final_coverage(counts: IntArray, predicted: IntArray, weights: Weights) -> Estimate:
    """Return the share of a window's predictions that will get a label `(rows,)`.

    `counts (rows, T, S)` are labels so far, `predicted (rows, T)` the predictions; steps left out
    count on neither side. NaN without predictions. The variance is that of the steps about the
    share, Σ_t (Ñ_t − c·P_t)²/P², which holds what makes some steps' labels slower than others', and
    that of F. (Labels that have stopped to come look like slow ones only until their steps are old:
    the share of the past, `labelled_share`, does not see them at all.)
    """
    estimated = counts * weights.weight
    labels = estimated.sum(axis=2)
    there = predicted * weights.kept
    total = there.sum(axis=1)
    share = ratio(labels.sum(axis=1), total)
    missed = ((labels - np.nan_to_num(share)[:, None] * there) ** 2).sum(axis=1)
    variance = ratio(missed + _learned(estimated, weights).sum(axis=1), total**2)
    found = share_of_variance(np.minimum(share, 1.0), variance, total)
    # Near 1 Wilson's limits are for events that are alike; steps that are not miss on either side.
    half = Z * np.sqrt(variance)
    return Estimate(
        found.value,
        np.minimum(found.lower, np.maximum(share - half, 0.0)),
        np.maximum(found.upper, np.minimum(share + half, 1.0)),
    )
