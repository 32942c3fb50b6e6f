"""Cohorts drawn with labels whose delay depends on the outcome, as known at one moment."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.cohorts.arrival import DELAY_BINS, Ages, delay_bins, delay_edges

HOUR = 3_600_000
MAX_DELAY = 24 * HOUR
EDGES = delay_edges(MAX_DELAY)
CELLS = np.array([0.62, 0.06, 0.10, 0.22])
"""Probabilities of TN, FP, FN, TP."""
MEDIANS = np.array([2.0, 2.5, 7.0, 4.0]) * HOUR
"""Median delays of the cells before the cut at the largest: missed positives are slow."""
SPREAD = 0.6
"""Standard deviation of ln(delay)."""


class Drawn(NamedTuple):
    """Labels so far by step, cell and delay `(T, 4, D)`, `predicted (T, 2)` by class, all labels
    there will be `final (T, 4)`, and ages.
    """

    arrived: IntArray
    predicted: IntArray
    final: IntArray
    ages: Ages

    @property
    def counts(self) -> IntArray:
        """Labels so far, `(T, 4)`."""
        counts: IntArray = self.arrived.sum(axis=2)
        return counts


def true_law(edges: FloatArray) -> FloatArray:
    """F at the edges by cell `(4, D + 1)`, of delays up to the largest."""
    z = np.log(np.maximum(edges, 1e-9)) - np.log(MEDIANS)[:, None]
    law = stats.norm.cdf(z / SPREAD)
    share: FloatArray = law / law[:, -1:]
    return share


def drawn(
    seed: int, steps: int, per_step: int, *, labelled: tuple[float, float] = (1.0, 1.0)
) -> Drawn:
    """Draw predictions of `steps` hours up to now.

    `labelled` is the share that gets a label at all, by predicted class.
    """
    rng = np.random.default_rng(seed)
    n = steps * per_step
    step, cell = np.repeat(np.arange(steps), per_step), rng.choice(4, n, p=CELLS)
    age = ((steps - step) * HOUR - rng.random(n) * HOUR).astype(np.int64)
    top = stats.norm.cdf((np.log(MAX_DELAY) - np.log(MEDIANS[cell])) / SPREAD)
    delay = np.exp(np.log(MEDIANS[cell]) + SPREAD * stats.norm.ppf(rng.random(n) * top))
    ever = rng.random(n) < np.array(labelled)[cell % 2]
    here = ever & (delay <= age)
    place = step * 4 + cell
    bins = delay_bins(delay[here].astype(np.int64), EDGES)
    return Drawn(
        np.bincount(place[here] * DELAY_BINS + bins, minlength=steps * 4 * DELAY_BINS).reshape(
            steps, 4, DELAY_BINS
        ),
        np.bincount(step * 2 + cell % 2, minlength=steps * 2).reshape(steps, 2),
        np.bincount(place[ever], minlength=steps * 4).reshape(steps, 4),
        Ages.of(np.arange(steps) * HOUR, HOUR, steps * HOUR),
    )
