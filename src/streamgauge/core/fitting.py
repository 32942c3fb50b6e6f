"""Fitting bins: from a sample of reference values to the bins that everything is counted in."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import CategoricalBins, NumericBins

GROUPS: Final = 20
"""Distance groups between the tails, of equal reference mass."""
FINE: Final = 4
"""Fine bins per distance group, for quantiles."""
TAILS: Final = (0.001, 0.01, 0.99, 0.999)
"""Cut points of the tail bins, as reference quantiles."""
MAX_CATEGORIES: Final = 50
MAX_LISTED: Final = 1_000
"""Categories kept by name at most; past them, unlisted ones cannot be called unseen."""


def fit_numeric(
    sample: FloatArray, *, minimum: float, maximum: float, mean: float, std: float
) -> NumericBins:
    """Return bins for a numeric field from a sample of its finite reference values `(k,)`.

    Distance groups are cut at the k/20 quantiles and at 0.1, 1, 99 and 99.9 %; each group between
    the tails is cut in four for quantiles. A value on which several quantiles fall (a tie, e.g.
    zero rainfall) gets a bin of its own: it is cut before and just after. `minimum` and `maximum`
    bound the whole reference, `mean` and `std` are those of the whole reference; they are kept to
    twelve digits, so that the bins do not depend on the order of a summation.
    """
    center, scale = rounded(mean), rounded(std) if std > 0 else 1.0
    if not len(sample):
        return NumericBins((0.0, math.nextafter(0.0, 1.0)), (0,), center, scale)
    ordered = np.sort(sample)
    coarse_at = sorted({*(i / GROUPS for i in range(1, GROUPS)), *TAILS})
    fine_at = [i / (GROUPS * FINE) for i in range(1, GROUPS * FINE)]
    coarse = _cuts(ordered, np.array(coarse_at), minimum, maximum)
    fine = _cuts(ordered, np.array(fine_at), minimum, maximum) | coarse
    edges = [float(minimum), *sorted(fine), math.nextafter(maximum, math.inf)]
    groups = [0, *(i + 1 for i, edge in enumerate(edges) if edge in coarse)]
    return NumericBins(tuple(edges), tuple(groups), center, scale)


def rounded(value: float) -> float:
    """Return a value to twelve digits."""
    return float(f"{value:.12g}")


def _cuts(ordered: FloatArray, at: FloatArray, minimum: float, maximum: float) -> set[float]:
    """Return cut points at quantiles of sorted values, ties cut off on both sides."""
    places = np.minimum((at * len(ordered)).astype(np.intp), len(ordered) - 1)
    values = ordered[places]
    cuts = set(values.tolist())
    for first, second in pairwise(values.tolist()):
        if first == second:
            after = int(np.searchsorted(ordered, first, side="right"))
            if after < len(ordered):
                cuts.add(float(ordered[after]))
    return {cut for cut in cuts if minimum < cut <= maximum}


def fit_categorical(
    counts: Mapping[str, int], *, complete: bool = True, max_categories: int = MAX_CATEGORIES
) -> CategoricalBins:
    """Return bins for a categorical field from its reference values' counts.

    The most frequent values get bins of their own (ties in alphabetical order), the rest count as
    other. `complete` is False where `counts` itself left values out.
    """
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    kept = ordered[:max_categories]
    rare = ordered[max_categories:]
    listed = rare[: max(0, MAX_LISTED - max_categories)]
    return CategoricalBins(
        tuple(kept), tuple(sorted(listed)), complete and len(listed) == len(rare)
    )


def fit_groups(counts: IntArray, groups: int = GROUPS) -> tuple[int, ...]:
    """Return first bins of groups of adjacent bins that each hold about 1/`groups` of `counts`.

    The last group holds at least half of that. For fields whose fine bins are fixed, like scores.
    """
    total, share = int(counts.sum()), 1 / groups
    if not total:
        return (0,)
    starts, held = [0], 0
    for i, count in enumerate(counts.tolist()):
        if held >= share * total and i < len(counts):
            starts.append(i)
            held = 0
        held += count
    if len(starts) > 1 and held < share * total / 2:
        starts.pop()
    return tuple(starts)
