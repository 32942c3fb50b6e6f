"""Onset: when, within a window's steps, did a distribution change?

The maximum-likelihood change point of multinomial counts: the step τ that maximises
ℓ(m + Σ_{s < τ} k_s) + ℓ(Σ_{s ≥ τ} k_s), where m are the reference's counts, k_s those of step s,
and ℓ(k) = Σ_b k_b·log(k_b / Σk) is the largest log-likelihood that one law gives to counts k. The
steps before τ count as further reference: a reference alone would be held to be exact, and its
own sampling error would pass for a change that has always been there.
"""

import numpy as np
from scipy.special import xlogy

from streamgauge.core.batch import FloatArray, IntArray


def onset_step(counts: FloatArray, reference: IntArray) -> int:
    """Return the first changed step's index from counts `(S, G)` and reference counts `(G,)`.

    It is one with events, since empty steps before it are no more likely to be changed than not; 0
    where all are empty.
    """
    held = np.flatnonzero(counts.any(axis=1))
    if not len(held):
        return 0
    counts = counts[held]
    later = np.cumsum(counts[::-1], axis=0)[::-1]
    earlier = reference + counts.sum(axis=0) - later
    return int(held[np.argmax(_likelihood(earlier) + _likelihood(later))])


def _likelihood(counts: FloatArray) -> FloatArray:
    """Return the largest log-likelihood `(S,)` of one law for counts `(S, G)`, up to a constant."""
    size = counts.sum(axis=1)
    result: FloatArray = xlogy(counts, counts).sum(axis=1) - xlogy(size, size)
    return result
