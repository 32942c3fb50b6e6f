"""Group counts of several fields held against a reference, with sparse groups counted together."""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray

SPARSE: Final = 5.0
"""Groups that expect fewer events are pooled: the chi-square law is not good for them."""


class Pooled(NamedTuple):
    """Test statistics `(R, F)`: `statistic`, `groups` left after pooling, `effective` n_e."""

    statistic: FloatArray
    groups: FloatArray
    effective: FloatArray


class Compared(NamedTuple):
    """Counts of F fields over R rows, their G groups side by side.

    Per group `(R, G)`: `current`, divided by the dispersion, and `reference` counts; `sparse`
    tells which groups expect fewer than five events. Per field `(R, F)`: the sums `n` and `m` of
    the two, `effective` n_e = nm/(n + m), and the number of `groups` once those that are sparse
    are one.
    """

    current: FloatArray
    reference: IntArray
    sparse: BoolArray
    n: FloatArray
    m: FloatArray
    effective: FloatArray
    groups: FloatArray
    starts: IntArray

    def per_field(self, values: FloatArray) -> FloatArray:
        """Return sums `(R, F)` of values per group `(R, G)`."""
        sums: FloatArray = np.add.reduceat(values, self.starts, axis=1)
        return sums

    def per_group(self, values: FloatArray) -> FloatArray:
        """Return for every group `(R, G)` the value of its field `(R, F)`."""
        return np.repeat(values, np.diff(self.starts, append=self.current.shape[1]), axis=1)

    def pooled(self, values: FloatArray | IntArray) -> FloatArray:
        """Return sums `(R, F)` over the sparse groups alone of values per group `(R, G)`."""
        return self.per_field(np.where(self.sparse, values, 0.0))


def compare(
    current: IntArray, reference: IntArray, dispersion: FloatArray, starts: IntArray
) -> Compared:
    """Hold group counts `(R, G)` against reference ones.

    Field f's groups begin at `starts[f]`; `dispersion (F,)` is the fields' φ, by which the current
    counts are divided.
    """
    sizes = np.diff(starts, append=current.shape[1])
    scaled = current / np.repeat(dispersion, sizes)
    n = np.add.reduceat(scaled, starts, axis=1)
    m = np.add.reduceat(reference, starts, axis=1).astype(np.float64)
    # Each reference event stands for n/(n + m) expected ones: n_e·p = reference · n/(n + m).
    share = n / np.maximum(n + m, 1.0)
    sparse = reference * np.repeat(share, sizes, axis=1) < SPARSE
    held = np.add.reduceat(sparse, starts, axis=1, dtype=np.intp)
    groups = (sizes - held + (held > 0)).astype(np.float64)
    return Compared(scaled, reference, sparse, n, m, m * share, groups, starts)
