"""Row counts: events that count in a row of each slice specification, by row and cell."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import CodeArray, FloatArray, IntArray
from streamgauge.core.grouping import compact
from streamgauge.core.outcomes.compiled_counts import compiled_counts


class RowCounts(NamedTuple):
    """Counts of k rows: `rows (k,)` ascending, `counts (k, W) int64`, `sums (k, V) float64`."""

    rows: IntArray
    counts: IntArray
    sums: FloatArray


def count_by_row(
    rows: CodeArray,
    cells: IntArray,
    width: int,
    sign: npt.NDArray[np.int8] | None = None,
    values: Sequence[FloatArray] = (),
) -> RowCounts:
    """Count n events in all of their rows `(n, S)`, each in its cell `(n,)` below `width`.

    Where there is a `sign (n,)`, 1 or −1, each counts as that; so do the `values (n,)` each, which
    are added up.
    """
    compiled = compiled_counts()
    if compiled is not None:
        return RowCounts(*compiled.by_row(rows, cells, width, sign, np.asarray(values)))
    specs = rows.shape[1]
    known, at = compact(rows.ravel())
    flat, size = at * width + np.repeat(cells, specs), len(known) * width
    ones = np.ones(len(rows), np.int8) if sign is None else sign
    counts = signed_counts(flat, np.repeat(ones, specs), size)
    sums = np.zeros((len(known), len(values)))
    for column, value in zip(sums.T, values, strict=True):
        column[:] = np.bincount(at, np.repeat(ones * value, specs), len(known))
    return RowCounts(known, counts.reshape(-1, width), sums)


def signed_counts(cells: IntArray, sign: npt.NDArray[np.int8], size: int) -> IntArray:
    """Count events `(n,)` by cell below `size`, each as its sign, 1 or −1: `(size,) int64`."""
    if sign.min(initial=1) > 0:
        return np.bincount(cells, minlength=size)
    return np.rint(np.bincount(cells, sign, size)).astype(np.int64)
