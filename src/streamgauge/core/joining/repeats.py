"""Repeats: which keys of a batch are the same."""

from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.hashing import hashing
from streamgauge.core.joining.store import Keys


class Distinct(NamedTuple):
    """The u distinct ones among n keys, in the order in which they come.

    Shapes: `first (u,) int64` where each comes first, ascending; `owner (n,) int64` which of them
    each key is.
    """

    first: IntArray
    owner: IntArray


def distinct(keys: Keys) -> Distinct:
    """Find the distinct keys."""
    n = len(keys)
    compiled = hashing()
    if compiled is not None:
        # Few of the slots are taken, but all of them are in the processor's cache.
        slots = np.full(1 << (2 * n).bit_length(), -1, np.int32)
        return Distinct(*compiled.distinct(keys, slots))
    words = np.sort(keys[:, 0])
    if not (words[1:] == words[:-1]).any():
        everything = np.arange(n)
        return Distinct(everything, everything)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: of equal keys the first comes first
    ordered = keys[order]
    begins = np.ones(n, np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(begins) - 1
    first = order[begins]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    owner = np.empty(n, np.int64)
    owner[order] = rank[group]
    return Distinct(np.sort(first), owner)
