"""Performance of regressions."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.performance.counting import check_codes, counts_by_row, sums_by_row
from streamgauge.core.performance.intervals import UPPER_TAIL, Estimate, Z, mean, ratio

_PER_DECADE: Final = 16
_DECADES: Final = (-3, 2)
ERROR_BINS: Final = 2 * (_PER_DECADE * (_DECADES[1] - _DECADES[0]) + 1) + 1
PROBABILITIES: Final = (0.5, 0.9, 0.95, 0.99)
LARGEST_RELATIVE: Final = 1e70
"""Relative errors are clipped to this: truths of next to nothing would make their sums infinite."""


class RegressionSums(NamedTuple):
    """Additive sums of labelled events; rows are slices.

    With e = prediction − truth and d = truth − centre. The centre, near the mean of the truth, is
    the same for all sums that are added: it keeps Σd² from drowning in the mean. `events` and
    `nonzero (rows,) int64` count all events and those with truth ≠ 0; `histogram (rows, ERROR_BINS)
    int64` is of e between `error_edges`. Floats, each `(rows, k) float64`:
    `errors` [Σe, Σ|e|, Σe², Σe⁴], `truths` [Σd, Σd², Σd³, Σd⁴], `products` [Σe²d, Σe²d²],
    `relative` [Σr, Σr²] of r = |e/truth| where truth ≠ 0, at most
    `LARGEST_RELATIVE`.
    """

    events: IntArray
    nonzero: IntArray
    histogram: IntArray
    errors: FloatArray
    truths: FloatArray
    products: FloatArray
    relative: FloatArray


class RegressionFigures(NamedTuple):
    """Figures `(rows,)` of a regression; means have Student's interval.

    In the truth's unit: `mean_error` Σe/n (above 0: predicted too high), `mae` Σ|e|/n, `rmse` √mse;
    in its square, `mse` Σe²/n. `r2` see `determination`. `mape` is the mean of |e/truth|, a share
    and not a percentage, over the `nonzero` events that have one. `quantiles` are those of |e| by
    probability, see `error_quantiles`.
    """

    events: IntArray
    nonzero: IntArray
    mean_error: Estimate
    mae: Estimate
    mse: Estimate
    rmse: Estimate
    r2: Estimate
    mape: Estimate
    quantiles: Mapping[float, Estimate]


def error_edges(scale: float) -> FloatArray:
    """Return the edges `(ERROR_BINS − 1,) float64` of the error histogram, ascending.

    ±scale·10^(k/16) from scale/1000 to 100·scale, so that |e| is known to 15.5 % wherever it is not
    far below or above `scale`, the standard deviation of the truth in the reference. Raises
    `ValueError` unless the scale is positive and finite.
    """
    if not (0.0 < scale < np.inf):
        raise ValueError(f"the scale of errors must be positive and finite: {scale}")
    steps = np.arange(_DECADES[0] * _PER_DECADE, _DECADES[1] * _PER_DECADE + 1)
    positive = scale * 10.0 ** (steps / _PER_DECADE)
    return np.concatenate([-positive[::-1], positive])


def count_regression(
    rows: IntArray,
    size: int,
    *,
    truth: FloatArray,
    predicted: FloatArray,
    centre: float,
    edges: FloatArray,
) -> RegressionSums:
    """Return the sums of n labelled events over `size` rows.

    `rows`, `truth` and `predicted` are `(n,)`; an event where either is not finite is left out.
    `edges` come from `error_edges`. Raises `ValueError` for a row out of range.
    """
    check_codes(rows, size)
    finite = np.isfinite(truth) & np.isfinite(predicted)
    rows, truth, error = rows[finite], truth[finite], (predicted - truth)[finite]
    d, squares = truth - centre, error**2
    nonzero = truth != 0.0
    with np.errstate(over="ignore"):
        relative = np.minimum(np.abs(error[nonzero] / truth[nonzero]), LARGEST_RELATIVE)
    return RegressionSums(
        events=np.bincount(rows, minlength=size),
        nonzero=np.bincount(rows[nonzero], minlength=size),
        histogram=counts_by_row(
            rows, size, np.searchsorted(edges, error, side="right"), ERROR_BINS
        ),
        errors=sums_by_row(rows, size, error, np.abs(error), squares, squares**2),
        truths=sums_by_row(rows, size, d, d**2, d**3, d**4),
        products=sums_by_row(rows, size, squares * d, squares * d**2),
        relative=sums_by_row(rows[nonzero], size, relative, relative**2),
    )


def regression_figures(sums: RegressionSums, edges: FloatArray) -> RegressionFigures:
    """Return the figures of every row, with 95 % intervals; NaN where undefined.

    `edges` are those that the errors were counted between.
    """
    error, size, square, fourth = sums.errors.T
    relative, relative_squares = sums.relative.T
    mse = mean(square, fourth, sums.events, low=0.0)
    return RegressionFigures(
        events=sums.events,
        nonzero=sums.nonzero,
        mean_error=mean(error, square, sums.events),
        mae=mean(size, square, sums.events, low=0.0),
        mse=mse,
        rmse=Estimate(*(np.sqrt(limit) for limit in mse)),
        r2=determination(sums),
        mape=mean(relative, relative_squares, sums.nonzero, low=0.0),
        quantiles={p: error_quantiles(sums.histogram, edges, p) for p in PROBABILITIES},
    )


def determination(sums: RegressionSums) -> Estimate:
    """Return R² = 1 − Σe²/Σ(y − ȳ)² `(rows,)`; NaN where the truth does not vary.

    The interval is the delta method's for the logarithm of the ratio u/v of two means, u = e² and
    v = (y − ȳ)²: ln(1 − R²) has variance E[(u/E u − v/E v)²]/n. Negative values are possible.
    """
    n = sums.events
    shift, m2, m3, m4 = (ratio(total, n) for total in sums.truths.T)
    _, _, u, uu = (ratio(total, n) for total in sums.errors.T)
    ud, udd = (ratio(total, n) for total in sums.products.T)
    v = m2 - shift**2
    varies = v > 1e-12 * m2
    v = np.where(varies, v, np.nan)
    vv = m4 - 4.0 * shift * m3 + 6.0 * shift**2 * m2 - 3.0 * shift**4
    uv = udd - 2.0 * shift * ud + shift**2 * u
    # Without any error ln(1 − R²) has no variance, and R² = 1 is its own limit.
    variance = ratio(uu, u**2) - 2.0 * ratio(uv, u * v) + ratio(vv, v**2)
    deviation = np.sqrt(ratio(np.maximum(np.where(u > 0, variance, 0.0), 0.0), n))
    missed = u / v
    return Estimate(
        1.0 - missed, 1.0 - missed * np.exp(Z * deviation), 1.0 - missed * np.exp(-Z * deviation)
    )


def error_quantiles(histogram: IntArray, edges: FloatArray, probability: float) -> Estimate:
    """Return a quantile of |e| `(rows,)` from the histogram of e; NaN without events.

    Interpolated inside its bin, so at most 15.5 % from the quantile itself; infinite beyond the
    largest edge. The limits are the order statistics that hold the quantile with the level's
    probability whatever the distribution (ranks from the binomial law); the upper one is infinite
    where even the largest error may lie below the quantile.
    """
    middle = ERROR_BINS // 2
    size = histogram[:, middle:].copy()
    size[:, 1:] += histogram[:, middle - 1 :: -1]
    bounds = np.concatenate([[0.0], edges[middle:], [np.inf]])
    n = histogram.sum(axis=1)
    low, high = (binomial_quantile(q, n, probability) for q in (1.0 - UPPER_TAIL, UPPER_TAIL))
    ranks = (probability * n, np.maximum(low - 1.0, 0.0), high + 1.0)
    return Estimate(*(_at_rank(size, bounds, rank) for rank in ranks))


_ROUNDING: Final = 1e-12
"""How far a probability may be off: at the median of an even law it stands against equality."""


def binomial_quantile(q: float, n: IntArray, probability: float) -> FloatArray:
    """Return the smallest k with P(X ≤ k) ≥ q, X binomial of `n (rows,)` draws `(rows,) float64`.

    From the inverse of the incomplete beta function, and a step down where that was rounded up
    (`scipy.stats` does as much, and takes two seconds and 57 MB to import).
    """
    drawn = np.maximum(n, 1)
    k: FloatArray = np.maximum(np.ceil(special.bdtrik(q, drawn, probability)), 0.0)
    one_less = np.maximum(k - 1.0, 0.0)
    k = np.where(special.bdtr(one_less, drawn, probability) >= q - _ROUNDING, one_less, k)
    return np.where(n > 0, k, 0.0)


def _at_rank(counts: IntArray, bounds: FloatArray, rank: FloatArray) -> FloatArray:
    """Return the value that `rank (rows,)` of the events `(rows, bins)` lie below."""
    cumulated = np.cumsum(counts, axis=1)
    total = cumulated[:, -1]
    at = np.minimum((cumulated < rank[:, None]).sum(axis=1), counts.shape[1] - 1)
    rows = np.arange(len(counts))
    inside = counts[rows, at]
    before = cumulated[rows, at] - inside
    share = np.divide(rank - before, inside, out=np.zeros(len(counts)), where=inside > 0)
    low, high = bounds[at], bounds[at + 1]
    known = np.isfinite(high) & (rank <= total)
    value = np.where(known, low + share * (np.where(known, high, low) - low), np.inf)
    return np.where(total > 0, value, np.nan)
