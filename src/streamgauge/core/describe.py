"""Describe a change in half a sentence for people."""

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.bins import Bins, NumericBins, fold


def describe(
    bins: Bins, current: IntArray, reference: IntArray, means: tuple[float, float] | None
) -> str:
    """Say what moved between two count vectors `(width,)` of a field.

    `means` are the current and the reference mean of a numeric field. Where the mean hardly moved,
    or for categories, the group whose share moved most is named.
    """
    if isinstance(bins, NumericBins) and means and all(np.isfinite(means)):
        now, before = means
        if abs(now - before) >= 0.1 * bins.scale:
            change = f" ({(now - before) / abs(before):+.0%})" if before else ""
            return f"mean {before:,.4g} to {now:,.4g}{change}"
    p, q = fold(reference, bins), fold(current, bins)
    if not p.any() or not q.any():
        return ""
    before_shares, now_shares = p / p.sum(), q / q.sum()
    at = int(np.argmax(np.abs(now_shares - before_shares)))
    name = bins.group_labels()[at]
    return f"share of {name} {before_shares[at]:.1%} to {now_shares[at]:.1%}"
