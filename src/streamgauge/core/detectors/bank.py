"""Bank: e-detectors for many shares at once, that together keep an alert budget.

A series is the share of events with some property, e.g. of flights longer than 500 miles. For a
pane with n events of which k have it, and the largest share m that is tolerated, the likelihood
ratio of a share q > m is

    L = (q/m)^k ((1−q)/(1−m))^(n−k)

whose expectation is at most 1 as long as the true share is at most m, whatever it is. Evidence
grows by panes as

    E ← (E + α) · L

where the *allowance* α is spent on the series before the pane is seen. E − Σα is then a
supermartingale, so the expected number of times that E reaches 1, starting anew after each, is at
most the allowance spent (Ville's inequality; Shin, Ramdas and Rinaldo, E-detectors, 2022). Add up
over series that depend on each other in any way: if the allowances of a period add up to the alert
budget, so does the expected number of false alarms in it. Series may come and go, as long as what
is spent on all of them stays within the budget. With constant α this is the usual e-detector
M = E/α with the threshold 1/α.

A mixture of several q makes it sensitive to small and to large changes. The other side, a share
that falls below what is tolerated, is the same with 1 − x.
"""

from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray

ALTERNATIVES: Final = 8
TILTS: Final[FloatArray] = np.geomspace(0.03, 4.0, ALTERNATIVES)
"""Log odds ratios λ of the alternatives to the tolerated share: q = m·e^λ / (1 − m + m·e^λ).

On this scale small shares and large ones are alike. The range and the weights are such that
delays stay close to those of the exact likelihood ratio over changes of a quarter to four standard
deviations of a pane's share, for shares of 2 % to 50 % (benchmarks/detection_delay.py).
"""
_RISING: Final[FloatArray] = np.geomspace(1.0, 3.0, ALTERNATIVES)
WEIGHTS: Final[FloatArray] = _RISING / _RISING.sum()
"""What the alternatives weigh in the mixture, adding up to 1: large changes should not wait."""
LOG_WEIGHTS: Final[FloatArray] = np.log(WEIGHTS)
_NEAR: Final = 30.0
"""Up to here log(1 + e^x) is more than x in float64, however it is rounded."""
_FAR: Final = 40.0
"""Past this, log(1 + e^x) is x to the last bit."""


def gains(present: FloatArray, total: FloatArray, tolerated: FloatArray) -> FloatArray:
    """Return log L `(..., K)` of panes with `present` of `total` events, for shares `(...)`.

    log L = λk − n·log(1 − m + m·e^λ), which is the likelihood ratio above. Where everything is
    tolerated (m = 1) it is never above 0. In memory the result is as `alternatives_last` leaves it.
    """
    shape = np.broadcast_shapes(present.shape, total.shape, tolerated.shape)
    room = (*shape[:-1], ALTERNATIVES, *shape[-1:])
    psi, result = (alternatives_last(np.empty(room)) for _ in range(2))
    np.multiply(tolerated[..., None], np.expm1(TILTS), out=psi)
    np.log1p(psi, out=psi)
    psi *= total[..., None]
    np.multiply(present[..., None], TILTS, out=result)
    result -= psi
    return result


def alternatives_last(values: FloatArray) -> FloatArray:
    """Return a view `(..., n, K)` of values `(..., K, n)`, those of one alternative side by side.

    What is computed with such views goes through memory n numbers at a time instead of K.
    """
    return np.moveaxis(values, -2, -1) if values.ndim > 1 else values


def update(log_evidence: FloatArray, log_allowance: FloatArray, gain: FloatArray) -> None:
    """Move log E `(..., K)` on by a pane, in place: E ← (E + α)·e^gain.

    `log_allowance` broadcasts against it; −inf is no evidence. `gain` is the pane's log L.
    """
    difference = grown = log_evidence - log_allowance
    far = difference.max(initial=-np.inf) > _NEAR
    if far:
        grown = np.minimum(difference, _FAR)
    np.exp(grown, out=grown)
    np.log1p(grown, out=grown)
    if far:
        np.maximum(grown, difference, out=grown)
    np.add(grown, log_allowance, out=log_evidence)
    log_evidence += gain


def largest(log_evidence: FloatArray) -> FloatArray:
    """Return the largest log E of the alternatives `(...)`, from `(..., K)`."""
    # Eight maxima of two are several times faster than one over a short last axis.
    result = log_evidence[..., 0].copy()
    for k in range(1, ALTERNATIVES):
        np.maximum(result, log_evidence[..., k], out=result)
    return result


def mixture(log_evidence: FloatArray) -> FloatArray:
    """Return log of the weighted mean of E over the alternatives, from log E `(..., K)`."""
    top = log_evidence.max(axis=-1)
    safe = np.where(np.isfinite(top), top, 0.0)
    total = (WEIGHTS * np.exp(log_evidence - safe[..., None])).sum(axis=-1)
    with np.errstate(divide="ignore"):
        result: FloatArray = safe + np.log(total)
    return result
