"""Adding the sums of two sets of labelled events."""

from typing import TypeVar

import numpy as np

from streamgauge.core.performance.binary import BinarySums
from streamgauge.core.performance.multiclass import MulticlassSums
from streamgauge.core.performance.regression import RegressionSums

Sums = TypeVar("Sums", BinarySums, MulticlassSums, RegressionSums)


def added(first: Sums, second: Sums) -> Sums:
    """Return the sums of both sides' events; the rows of both are the same slices in one order.

    Raises `ValueError` where the shapes differ.
    """
    if any(a.shape != b.shape for a, b in zip(first, second, strict=True)):
        raise ValueError("sums of different rows, classes or bins cannot be added")
    return type(first)(*map(np.add, first, second))
