"""Figures with their 95 % confidence intervals.

All functions work element by element on arrays of one shape, `(rows,)` or `(rows, classes)`.
Events are taken as independent; where outcomes come in bursts the intervals are too narrow.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from streamgauge.core.batch import FloatArray, IntArray

Numbers = npt.NDArray[np.number[Any]]

LEVEL: Final = 0.95
UPPER_TAIL: Final = (1.0 + LEVEL) / 2.0
"""Probability below an upper limit, 0.975."""
Z: Final = float(special.ndtri(UPPER_TAIL))
"""Standard normal quantile of the level, 1.96."""


class Estimate(NamedTuple):
    """A figure and the limits of its interval, float64 arrays of one shape; NaN where undefined."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray


def ratio(numerator: Numbers, denominator: Numbers) -> FloatArray:
    """Return numerator/denominator, NaN where the denominator is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: FloatArray = np.where(denominator > 0, numerator / denominator, np.nan)
    return quotient


def wilson(successes: Numbers, trials: Numbers) -> Estimate:
    """Return the proportion p = k/n with Wilson's score interval (1927); NaN where n = 0.

    Limits (k + z²/2 ± z√(k(n − k)/n + z²/4))/(n + z²). Neither count needs to be whole.
    """
    p = ratio(successes, trials)
    n = trials + Z**2
    centre = (successes + Z**2 / 2.0) / n
    spread = np.sqrt(np.maximum(trials * p * (1.0 - p), 0.0) + Z**2 / 4.0)
    half = Z * spread / n
    # At p = 0 and 1 the limit is p itself, which rounding would miss.
    lower = np.minimum(np.maximum(centre - half, 0.0), p)
    return Estimate(p, lower, np.maximum(np.minimum(centre + half, 1.0), p))


def share_of_variance(value: FloatArray, variance: FloatArray, least: Numbers) -> Estimate:
    """Return a figure in [0, 1] of known variance with Wilson's interval of its effective size.

    The effective size v(1 − v)/variance is the number of coin tosses of mean v that vary as much;
    `least` is taken where it says nothing: at 0 and 1, where a normal interval would have no width,
    and without a variance above 0.
    """
    scatter = value * (1.0 - value)
    # Sums of shares miss 1 by rounding.
    size = np.where((scatter > 1e-12) & (variance > 0), ratio(scatter, variance), least)
    _, lower, upper = wilson(value * size, size)
    return Estimate(value, np.minimum(lower, value), np.maximum(upper, value))


def mean(
    total: Numbers,
    squares: Numbers,
    count: IntArray,
    *,
    low: float = -np.inf,
    high: float = np.inf,
) -> Estimate:
    """Return Σx/n with Student's interval from Σx and Σx², cut to the range [low, high] of x.

    The variance is (Σx² − (Σx)²/n)/(n − 1); the limits are NaN where n < 2. Sums from which others
    were taken away may lie a rounding error outside the range.
    """
    value = np.clip(ratio(total, count), low, high)
    variance = ratio(np.maximum(squares - total * value, 0.0), count - 1)
    half = special.stdtrit(np.maximum(count - 1, 1), UPPER_TAIL) * np.sqrt(ratio(variance, count))
    return Estimate(value, np.maximum(value - half, low), np.minimum(value + half, high))


def mean_of_two(first: Estimate, second: Estimate) -> Estimate:
    """Return (a + b)/2 of independent figures, its limits recovered from theirs (MOVER).

    Lower limit v − ½√((a − a_lower)² + (b − b_lower)²), the upper likewise (Zou and Donner 2008).
    """
    value = (first.value + second.value) / 2.0
    below = np.hypot(first.value - first.lower, second.value - second.lower) / 2.0
    above = np.hypot(first.upper - first.value, second.upper - second.value) / 2.0
    return Estimate(value, value - below, value + above)


def multinomial_variance(counts: Numbers, gradient: FloatArray) -> FloatArray:
    """Return the delta method's variance `(rows,)` of a function of counts `(rows, ...)`.

    With g_k the derivative by count k, Σ N_k g_k² − (Σ N_k g_k)²/n.
    """
    cells = counts.reshape(len(counts), -1)
    slope = gradient.reshape(len(counts), -1)
    squares = (cells * slope**2).sum(axis=1)
    variance: FloatArray = squares - ratio((cells * slope).sum(axis=1) ** 2, cells.sum(axis=1))
    return np.maximum(variance, 0.0)
