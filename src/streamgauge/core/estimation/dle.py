"""Direct loss estimation: what a regression's predictions or features say of its error.

The reference teaches the mean loss of every bin, of the prediction or of a feature; the current
histogram weighs these: MAE = Σ_b n_b·m_b / Σ_b n_b, MSE likewise with squared errors, RMSE = √MSE.
Intervals hold the figure that the labels will show: they have the losses' own variance in the bins,
Σ n_b·s_b² / n², and that of the learned means, Σ n_b²·s_b²/r_b / n², with r_b reference events.

The estimate follows a change of the distribution over bins. It cannot see errors that grow within
bins.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.special import gammaln

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.estimation.interval import normal_interval
from streamgauge.core.performance.intervals import Estimate


class Loss(StrEnum):
    """A figure of a regression that is estimated without labels."""

    MAE = "mae"
    MSE = "mse"
    RMSE = "rmse"


@dataclass(frozen=True, slots=True)
class ExpectedLoss:
    """The losses of a bin's events, absolute and squared: each array `(2, bins) float64`."""

    means: FloatArray
    variances: FloatArray
    """Variance of one event's loss."""
    errors: FloatArray
    """Variance of the mean, from the reference events that it was learned on."""


def learn_loss(events: IntArray, absolute: FloatArray, squared: FloatArray) -> ExpectedLoss:
    """Return the losses that the reference teaches, from sums per bin.

    `events` n, `absolute` Σ|e| and `squared` Σe² are each `(bins,)`. A bin of fewer than two events
    is taken for the whole reference, known as well as by one event. The variance of e² comes from
    the two means, see `fourth_moment_ratio`. Of a classifier's losses ℓ, Σℓ and Σℓ² by score bin
    teach the mean loss likewise: it is the MAE of the estimates. Raises `ValueError` for shapes
    that differ, a reference of fewer than two events and sums that no errors have.
    """
    _check_sums(events, absolute, squared)
    n, first, second = (
        np.append(part, part.sum()).astype(np.float64) for part in (events, absolute, squared)
    )
    n_or_1 = np.maximum(n, 1.0)
    means = np.stack([first, second]) / n_or_1
    ratio = np.divide(means[0] ** 2, means[1], out=np.ones_like(n), where=means[1] > 0)
    spread = np.stack(
        [means[1] - means[0] ** 2, means[1] ** 2 * (fourth_moment_ratio(ratio) - 1.0)]
    )
    # The means are the sample's own, so that the spread about them is too small by 1/n.
    variances = np.maximum(spread, 0.0) * n / np.maximum(n - 1.0, 1.0)
    errors = variances / n_or_1
    errors[:, -1] = variances[:, -1]
    known = n[:-1] > 1
    return ExpectedLoss(
        *(np.where(known, part[:, :-1], part[:, -1:]) for part in (means, variances, errors))
    )


def estimated_losses(
    current: IntArray, expected: ExpectedLoss, *, level: float = 0.95
) -> dict[Loss, Estimate]:
    """Return MAE, MSE and RMSE with their intervals, from current events per bin.

    `current` is `(rows, bins) int64`; a realised figure lies in its interval with probability
    `level`. Rows without events are NaN. MAE and RMSE are in the label's unit. Raises `ValueError`
    for a shape that does not fit and a level outside (0, 1).
    """
    bins = expected.means.shape[1]
    if current.ndim != 2 or current.shape[1] != bins:
        raise ValueError(f"events must be (rows, {bins}), not {current.shape}")
    n = current.sum(axis=1, keepdims=True)
    share = current / np.where(n > 0, n, np.nan)
    value = share @ expected.means.T
    variance = share / np.maximum(n, 1) @ expected.variances.T + share**2 @ expected.errors.T
    mae, mse = (
        normal_interval(value[:, i], variance[:, i], level=level) for i in range(len(value.T))
    )
    return {Loss.MAE: mae, Loss.MSE: mse, Loss.RMSE: Estimate(*(np.sqrt(part) for part in mse))}


def _generalised_normal() -> tuple[FloatArray, FloatArray]:
    """Return (E|e|)²/Ee² and ln(Ee⁴/(Ee²)²) of generalised normal laws, ascending in the first.

    With density ∝ exp(−|e|^β): Ee^k = Γ((k + 1)/β)/Γ(1/β).
    """
    beta = np.geomspace(0.25, 200.0, 2_000)
    g1, g2, g3, g5 = (gammaln(k / beta) for k in (1, 2, 3, 5))
    return np.exp(2 * g2 - g1 - g3), g5 + g1 - 2 * g3


_RATIO, _LOG_KURTOSIS = _generalised_normal()
_TWO_POINTS: Final = 1.0
"""(E|e|)²/Ee² where all errors have one size; then Ee⁴ = (Ee²)²."""


def fourth_moment_ratio(ratio: FloatArray) -> FloatArray:
    """Return Ee⁴/(Ee²)² of the generalised normal law with (E|e|)²/Ee² = `ratio`, in its shape.

    2/π gives 3 (normal), ½ gives 6 (Laplace), ¾ gives 9/5 (uniform). Thinner tails than uniform go
    down to 1, all errors of one size. Tails heavier than those of β = ¼ are taken for its own.
    """
    grid = np.append(_RATIO, _TWO_POINTS)
    found: FloatArray = np.exp(np.interp(ratio, grid, np.append(_LOG_KURTOSIS, 0.0)))
    return found


def _check_sums(events: IntArray, absolute: FloatArray, squared: FloatArray) -> None:
    if not events.shape == absolute.shape == squared.shape or events.ndim != 1:
        raise ValueError(
            f"sums must be (bins,) each: {events.shape}, {absolute.shape}, {squared.shape}"
        )
    if events.sum() < 2:
        raise ValueError("a reference of fewer than two labelled events teaches no losses")
    # Cauchy-Schwarz, but for rounding.
    if (absolute < 0).any() or (absolute**2 > events * squared * (1 + 1e-9)).any():
        raise ValueError("no errors have these sums: |Σ|e||² is at most n·Σe²")
