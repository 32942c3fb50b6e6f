"""Calibration: how often the label is 1 for each score, learned from the reference's counts.

The curve is the isotonic regression of the label on the score bin, or the scores themselves where
isotonic regression does not come closer to labels that it has not seen.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.bins import NumericBins

ECE_GROUPS: Final = 10
"""Groups of score bins, about equally full, over which the calibration error is taken."""


class Isotonic(NamedTuple):
    """An isotonic regression of counts: blocks of adjacent bins that share one rate."""

    starts: IntArray
    """First bin of each block `(blocks,)`."""
    positives: IntArray
    """Events with label 1 in each block `(blocks,)`."""
    totals: IntArray
    """Events in each block `(blocks,)`; 0 for a gap, a run of bins without events."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(label = 1) for every score bin, and how well it is known."""

    scores: FloatArray
    """The score that each bin stands for `(bins,)`."""
    rates: FloatArray
    """P(label = 1 | bin) `(bins,)`."""
    starts: IntArray
    """First bins of the runs of bins whose rates share one error `(runs,)`."""
    variances: FloatArray
    """Variance of that error `(runs,)`."""
    isotonic: bool
    """Whether the rates are learned; otherwise they are the scores."""
    ece: float
    """Expected calibration error out of sample of what was chosen; NaN without labels."""


def learn(counts: IntArray, scores: FloatArray) -> Calibration:
    """Return the calibration that the reference's labelled counts teach.

    `counts` is `(folds, 2, bins) int64`: parts of the reference, label 0 and 1, score bin; see
    `split` where there is one part alone. `scores` `(bins,) float64`, ascending within [0, 1], is
    the score that each bin stands for. The isotonic regression learned on all parts but one is held
    against that one, in turn; it is used where this lowers the mean expected calibration error
    against the scores'. Bins without reference events keep their score, cut to the rates around
    them; their error is uniform between those. Raises `ValueError` for shapes that do not fit,
    fewer than two folds, negative counts and scores that descend or leave [0, 1].
    """
    _check(counts, scores)
    whole = counts.sum(axis=0)
    fitted = pool_adjacent(whole[1], whole.sum(axis=0))
    learned = block_rates(fitted, scores)
    starts, variances = errors(fitted, whole.sum(axis=0))
    of_scores, of_isotonic = out_of_sample(counts, scores)
    better = of_isotonic < of_scores
    return Calibration(
        scores=scores,
        rates=learned if better else scores,
        starts=starts,
        variances=variances,
        isotonic=better,
        ece=of_isotonic if better else of_scores,
    )


def middles(bins: NumericBins) -> FloatArray:
    """Return the score that each value bin of scores in [0, 1] stands for `(value_bins,)`.

    Its middle; 0 and 1 for the bins of scores below and above that range.
    """
    edges = np.asarray(bins.edges)
    return np.concatenate([[0.0], (edges[:-1] + edges[1:]) / 2, [1.0]])


def split(counts: IntArray, folds: int = 2, seed: int = 0) -> IntArray:
    """Deal the events behind counts `(2, bins)` out to folds at random: `(folds, 2, bins)`.

    The folds sum to the counts; the same counts and seed give the same folds.
    """
    rng = np.random.default_rng(seed)
    dealt = rng.multinomial(counts, np.full(folds, 1 / folds))
    return np.ascontiguousarray(np.moveaxis(dealt, -1, 0), np.int64)


def pool_adjacent(positives: IntArray, totals: IntArray) -> Isotonic:
    """Return the isotonic regression of rates positives/totals `(bins,)`, weighted by totals.

    Pool adjacent violators: as long as a block's rate is not above that of the block before, the
    two are one. Rates are compared as fractions of integers, so equal ones are equal. A gap stands
    by itself where the blocks around it differ and belongs to them where they are one.
    """
    starts: list[int] = []
    k: list[int] = []
    n: list[int] = []
    for place in np.flatnonzero(totals):
        starts.append(int(place))
        k.append(int(positives[place]))
        n.append(int(totals[place]))
        while len(k) > 1 and k[-2] * n[-1] >= k[-1] * n[-2]:
            added_k, added_n = k.pop(), n.pop()
            starts.pop()
            k[-1] += added_k
            n[-1] += added_n
    return _with_gaps(starts, k, n, totals > 0)


def _with_gaps(starts: list[int], k: list[int], n: list[int], filled: BoolArray) -> Isotonic:
    """Cut gaps off the blocks, which reach to the next one's start, and off the front."""
    rows = [] if starts and starts[0] == 0 else [(0, 0, 0)]
    for start, end, positives, total in zip(starts, [*starts, len(filled)][1:], k, n, strict=True):
        rows.append((start, positives, total))
        after = start + int(np.flatnonzero(filled[start:end])[-1]) + 1
        if after < end:
            rows.append((after, 0, 0))
    return Isotonic(*np.array(rows, np.int64).T)


def block_rates(fitted: Isotonic, scores: FloatArray) -> FloatArray:
    """Return the rate of every bin `(bins,)`; in a gap the score, cut to the rates around it."""
    low, high = _bounds(fitted)
    lengths = np.diff(fitted.starts, append=len(scores))
    rates: FloatArray = np.clip(scores, np.repeat(low, lengths), np.repeat(high, lengths))
    return rates


def errors(fitted: Isotonic, totals: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the first bins of runs that share one error, and that error's variance `(runs,)`.

    p(1 − p)/n with the n events of a filled bin and p its block's (positives + ½)/(events + 1), so
    that a block of one label is not taken for certain. The block's own n would be too many: where
    its place was found on the same events, a weighted sum of rates varies like that of the bins.
    An empty bin within a block shares the error of the filled one before. For a gap
    (high − low)²/12 between the rates around it.
    """
    lengths = np.diff(fitted.starts, append=len(totals))
    low, high = _bounds(fitted)
    p = (fitted.positives + 0.5) / (fitted.totals + 1)
    variances = np.where(
        np.repeat(fitted.totals > 0, lengths),
        np.repeat(p * (1 - p), lengths) / np.maximum(totals, 1),
        np.repeat((high - low) ** 2 / 12, lengths),
    )
    begins = totals > 0
    begins[fitted.starts] = True
    starts = np.flatnonzero(begins).astype(np.int64)
    return starts, variances[starts]


def _bounds(fitted: Isotonic) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest rate `(blocks,)` that each block may have."""
    n = fitted.totals
    rates = fitted.positives / np.maximum(n, 1)
    # Gaps are never neighbours, and beyond the ends lie 0 and 1.
    below, above = np.append(0.0, rates[:-1]), np.append(rates[1:], 1.0)
    return np.where(n > 0, rates, below), np.where(n > 0, rates, above)


def out_of_sample(counts: IntArray, scores: FloatArray) -> tuple[float, float]:
    """Return the expected calibration error of the scores and of the isotonic regression.

    Means over the folds of `counts` `(folds, 2, bins)` that hold events, each held against what the
    others teach; NaN where fewer than two do.
    """
    whole = counts.sum(axis=0)
    filled = [fold for fold in counts if fold.any()]
    if len(filled) < 2:
        return np.nan, np.nan
    groups = _groups(whole.sum(axis=0))
    errors = []
    for fold in filled:
        rest = whole - fold
        learned = block_rates(pool_adjacent(rest[1], rest.sum(axis=0)), scores)
        errors.append([calibration_error(fold, rates, groups) for rates in (scores, learned)])
    of_scores, of_isotonic = np.mean(errors, axis=0)
    return float(of_scores), float(of_isotonic)


def calibration_error(counts: IntArray, rates: FloatArray, groups: IntArray) -> float:
    """Return the expected calibration error of rates `(bins,)` against counts `(2, bins)`.

    Σ_g |positives_g − Σ_{b in g} n_b·rate_b| / n over groups of bins, `groups` their first bins.
    """
    totals = counts.sum(axis=0)
    missed = np.add.reduceat(counts[1] - totals * rates, groups)
    return float(np.abs(missed).sum() / totals.sum())


def _groups(totals: IntArray) -> IntArray:
    """Return the first bins of about equally full groups of bins."""
    before = np.cumsum(totals) - totals
    number = before * ECE_GROUPS // max(int(totals.sum()), 1)
    return np.flatnonzero(np.diff(number, prepend=-1)).astype(np.int64)


def _check(counts: IntArray, scores: FloatArray) -> None:
    if counts.ndim != 3 or counts.shape[1] != 2 or counts.shape[2] != len(scores):
        raise ValueError(
            f"counts must be (folds, 2, bins): {counts.shape} with {len(scores)} scores"
        )
    if len(counts) < 2:
        raise ValueError("calibration needs two folds or more; `split` makes them")
    if (counts < 0).any():
        raise ValueError("counts must not be negative")
    if not ((scores >= 0) & (scores <= 1)).all() or (np.diff(scores) < 0).any():
        raise ValueError("scores must lie in [0, 1] and must not descend")
