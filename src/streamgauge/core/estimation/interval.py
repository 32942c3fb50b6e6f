"""The interval that a realised figure falls in, around its estimate."""

import numpy as np
from scipy.special import ndtri

from streamgauge.core.batch import FloatArray
from streamgauge.core.performance.intervals import Estimate


def normal_interval(
    value: FloatArray, variance: FloatArray, *, level: float, top: float = np.inf
) -> Estimate:
    """Return value ± z·√variance, z the normal quantile of `level`, cut to what lies in [0, top].

    Raises `ValueError` unless the level is between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval is between 0 and 1, not {level}")
    half = ndtri((1 + level) / 2) * np.sqrt(variance)
    return Estimate(value, np.clip(value - half, 0.0, top), np.clip(value + half, 0.0, top))
