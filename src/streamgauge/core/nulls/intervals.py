"""Confidence limits of a divergence: the noncentralities under which its value is not surprising.

Under drift S = n_e·c·D is close to a noncentral χ² with noncentrality λ = n_e·c·(true D), whose
variance beyond that of the null law is 4λ. That holds for small drift; for large drift the delta
method says how much the divergence really varies, and 4λ is multiplied by the ratio of the two.
"""

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import Measure, proportions, support
from streamgauge.core.nulls.divergences import SCALE, Cumulants

_HALVINGS = 50


def noncentralities(
    values: FloatArray, law: Cumulants, ratio: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Return the limits of λ `(R,)` for values of S `(R,)`: P(S ≥ value) is (1 ∓ level)/2 there."""
    alpha = (1.0 - level) / 2.0
    widest = 4.0 * ratio * -np.log(alpha) + np.sqrt(law.variance) + 1.0
    top = 4.0 * (np.maximum(values, 0.0) + law.mean) + 8.0 * widest
    limits = []
    for tail in (alpha, 1.0 - alpha):
        low, high = np.zeros_like(values), top.copy()
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            below = law.shifted(middle, ratio).survival(values) < tail
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        limits.append(np.where(low > 0.0, high, 0.0))
    return limits[0], limits[1]


def spread_ratio(
    kind: Measure, current: IntArray, reference: IntArray, size: FloatArray, phi: FloatArray
) -> FloatArray:
    """Return how much more a divergence varies than a noncentral χ² does `(R,)`.

    The delta method's variance, φ·Var_q(∂D/∂q)/n + Var_p(∂D/∂p)/m, over 4D/(n_e·c). Both grow
    alike by sampling noise, so the ratio is near 1 where there is no drift.
    """
    filled = support(current, reference)
    q, p = proportions(current, filled), proportions(reference, filled)
    safe_q, safe_p = np.where(filled, q, 1.0), np.where(filled, p, 1.0)
    value, by_q, by_p = _slopes(kind, safe_q, safe_p)
    total = np.where(filled, value, 0.0).sum(axis=1)
    n, m = current.sum(axis=1), reference.sum(axis=1)
    variance = phi * _variance(q, by_q) / n + _variance(p, by_p) / m
    expected = 4.0 * total / (size * SCALE[kind])
    ratio = np.divide(variance, expected, out=np.ones_like(total), where=expected > 1e-12)
    clipped: FloatArray = np.clip(ratio, 0.25, 16.0)
    return clipped


def _variance(share: FloatArray, slope: FloatArray) -> FloatArray:
    mean = (share * slope).sum(axis=1, keepdims=True)
    variance: FloatArray = (share * (slope - mean) ** 2).sum(axis=1)
    return variance


def _slopes(
    kind: Measure, q: FloatArray, p: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each bin's term and its derivatives by q and p."""
    difference, log_ratio = q - p, np.log(q / p)
    if kind is Measure.PSI:
        return difference * log_ratio, log_ratio + 1.0 - p / q, 1.0 - q / p - log_ratio
    if kind is Measure.KL:
        return q * log_ratio - difference, log_ratio, 1.0 - q / p
    if kind is Measure.JS:
        bits = 2.0 * np.log(2.0)
        by_q, by_p = np.log(2.0 * q / (q + p)) / bits, np.log(2.0 * p / (q + p)) / bits
        return q * by_q + p * by_p, by_q, by_p
    if kind is Measure.HELLINGER:
        root = np.sqrt(q / p)
        return (np.sqrt(q) - np.sqrt(p)) ** 2 / 2.0, (1.0 - 1.0 / root) / 2.0, (1.0 - root) / 2.0
    assert kind is Measure.CHI2
    return difference**2 / p, 2.0 * difference / p, -difference * (q + p) / p**2
