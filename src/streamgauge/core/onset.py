"""Onset: when, within a window's steps, did a distribution change?

The maximum-likelihood change point of multinomial counts: with q the later and p the reference
proportions, the step τ that maximises Σ_{s ≥ τ} Σ_b k_sb·log(q_b/p_b); q is estimated from the
steps after the last estimate of τ, starting with all of them.
"""

import numpy as np

from streamgauge.core.batch import IntArray

ROUNDS = 3


def onset_step(counts: IntArray, reference: IntArray) -> int:
    """Return the first changed step's index from counts `(S, G)` and reference counts `(G,)`."""
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    onset = 0
    for _ in range(ROUNDS):
        later = counts[onset:].sum(axis=0)
        q = (later + 0.5) / (later.sum() + 0.5 * len(later))
        gain = counts @ np.log(q / p)
        after = np.cumsum(gain[::-1])[::-1]
        found = int(np.argmax(after))
        if found == onset:
            break
        onset = found
    return onset
