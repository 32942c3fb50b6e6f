"""Describe a change in half a sentence for people."""

from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import Bins, NumericBins

NEXT_TO_NOTHING: Final = 0.1
"""Part of a field's standard deviation below which a mean has no relative change."""


def describe(
    bins: Bins, current: FloatArray, reference: IntArray, means: tuple[float, float] | None
) -> str:
    """Say what moved between counts of a field's distance groups `(G,)`.

    `means` are the current and the reference mean of a numeric field. Where the mean hardly moved,
    or for categories, the group whose share moved most is named.
    """
    if isinstance(bins, NumericBins) and means and all(np.isfinite(means)):
        now, before = means
        if abs(now - before) >= 0.1 * bins.scale:
            # Of a mean next to nothing everything is a huge multiple.
            relative = abs(before) >= NEXT_TO_NOTHING * bins.scale
            change = f" ({(now - before) / abs(before):+.0%})" if before and relative else ""
            return f"mean {before:,.4g} to {now:,.4g}{change}"
    if not reference.any() or not current.any():
        return ""
    before_shares, now_shares = reference / reference.sum(), current / current.sum()
    moved = now_shares - before_shares
    # Of two classes one gains what the other loses: the gain is what people want to hear of.
    at = int(np.argmax(np.abs(moved) * np.where(moved > 0, 1.0 + 1e-9, 1.0)))
    name = bins.group_labels()[at]
    return f"share of {name} {before_shares[at]:.1%} to {now_shares[at]:.1%}"
