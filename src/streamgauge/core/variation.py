"""Total variation between counts, with its interval: the share of events that moved."""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray

DEVIATIONS: Final = 1.96
"""Standard errors on each side of an effect: a 95 % interval."""


class Variation(NamedTuple):
    """Total variation with its 95 % interval `(k,)`."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray


def variation(current: FloatArray, reference: IntArray, dispersion: FloatArray) -> Variation:
    """Return total variation between group counts `(k, G)`; `dispersion (k,)` is φ of the current.

    TVD is the probability of the set of groups that gained, less its reference probability; for
    that set fixed it is a difference of two proportions, which gives the standard error.
    """
    n = np.maximum(current.sum(axis=1), 1.0)
    m = np.maximum(reference.sum(axis=1), 1)
    q, p = current / n[:, None], reference / m[:, None]
    gained = q > p
    now = np.where(gained, q, 0.0).sum(axis=1)
    before = np.where(gained, p, 0.0).sum(axis=1)
    variance = now * (1.0 - now) * dispersion / n + before * (1.0 - before) / m
    error = DEVIATIONS * np.sqrt(np.maximum(variance, 0.0))
    value = now - before
    return Variation(value, np.maximum(value - error, 0.0), np.minimum(value + error, 1.0))
