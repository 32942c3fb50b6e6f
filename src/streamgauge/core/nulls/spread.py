"""How much the norms of a row's differences vary with their direction: simulated.

A direction is a row u of a random orthogonal matrix, which spread more evenly than independent
ones. √p⊙u − p(u·√p) is the difference that it stands for, of length 1 in the B − 1 dimensions that
differences have.

Where it was built, compiled code (spread.c) takes a row at a time: the same norms, and shares that
are the same to six digits.
"""

import ctypes
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.compiled import Single, addresses, arrays, beside, integers, reals
from streamgauge.core.batch import BoolArray, FloatArray
from streamgauge.core.distances import NORMS, norms

DIRECTIONS: Final = 2048
STEP: Final = 0.015
LOGARITHMS: Final = np.arange(-1.8, 1.8 + STEP / 2, STEP)
"""ln(T(direction)/root mean square), where it is binned."""
LAYOUT: Final = 1
"""Of the structure that is handed over; spread.c has the same number."""
_LANES: Final = 64
"""Directions that compiled code takes at once, of which it wants the numbers side by side."""
_ROWS_AT_ONCE: Final = 4


class Spread(NamedTuple):
    """Of norms T of rows' directions, in the order of `NORMS`.

    `second (R, 4) float64` are mean squares; `shares (R, 4, bins) float64` say how the directions'
    ln(T/root mean square) lie on `LOGARITHMS`, each split over its two neighbours.
    """

    second: FloatArray
    shares: FloatArray


class _Simulation(ctypes.Structure):
    _fields_ = (
        integers("rows bins count")
        + arrays("share filled gaps directions")
        + reals("lowest step")
        + arrays("sizes second shares")
    )


def library() -> ctypes.CDLL | None:
    """Return the compiled code, None where it was not built or is of another version."""
    return beside(__file__, "spread", LAYOUT)


def directions_of(bins: int) -> Single:
    """Return directions `(bins, DIRECTIONS) float32`, always the same for a number of bins."""
    rng = np.random.default_rng((0x5EED, bins))
    blocks = -(-DIRECTIONS // bins)
    turned = np.linalg.qr(rng.standard_normal((blocks, bins, bins)))[0]
    chosen = turned.reshape(-1, bins)[:DIRECTIONS].T
    return np.ascontiguousarray(chosen, np.float32)


def simulated(
    p: FloatArray, filled: BoolArray, gaps: FloatArray | None, directions: Single
) -> Spread:
    """Return how the norms of rows vary with the direction.

    `p (R, B) float64` are the rows' shares, 0 in bins that are not `filled (R, B)`; `gaps
    (R, B − 1)` lie between the bins' positions, None where they have no order, and the norms that
    need one are 0 then, as are all of a row with fewer than two bins.
    """
    compiled = library()
    share = p.astype(np.float32)
    single = None if gaps is None else np.ascontiguousarray(gaps, np.float32)
    if compiled is not None:
        return _compiled(compiled, share, filled, single, directions)
    found = Spread(np.empty((len(p), len(NORMS))), np.empty((len(p), len(NORMS), len(LOGARITHMS))))
    for start in range(0, len(p), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        sizes = _sizes(
            share[rows], filled[rows], None if single is None else single[rows], directions
        )
        second = (sizes**2).mean(axis=2)
        relative = sizes / np.sqrt(np.where(second > 0, second, 1.0))[:, :, None]
        found.second[rows] = second
        found.shares[rows] = _histogram(np.log(np.maximum(relative, 1e-9)))
    return found


def _compiled(
    compiled: Any, share: Single, filled: BoolArray, gaps: Single | None, directions: Single
) -> Spread:
    rows, bins = share.shape
    count = directions.shape[1]
    second = np.empty((rows, len(NORMS)))
    shares = np.empty((rows, len(NORMS), len(LOGARITHMS)))
    sizes, root = np.empty((len(NORMS), count), np.float32), np.empty(bins, np.float32)
    filled = np.ascontiguousarray(filled)
    lanes = directions.reshape(bins, -1, _LANES).swapaxes(0, 1).copy()
    given = _Simulation(
        *(rows, bins, count),
        *addresses(share, filled),
        None if gaps is None else addresses(gaps)[0],
        *addresses(lanes),
        *(LOGARITHMS[0], STEP),
        *addresses(sizes, second, shares),
    )
    compiled.streamgauge_simulate(ctypes.byref(given), *map(ctypes.c_void_p, addresses(root)))
    return Spread(second, shares)


def _sizes(share: Single, filled: BoolArray, gaps: Single | None, directions: Single) -> FloatArray:
    """Return the norms `(R, 4, directions) float64` of √p⊙u − p(u·√p) for directions of length 1.

    A direction is projected on the B − 1 dimensions that differences have, and scaled there.
    """
    each = share[:, :, None]
    # Sums over an axis, not products of matrices, whose last digits depend on the number of rows:
    # what is kept for a row must not depend on the rows it was asked for with.
    difference = np.sqrt(each) * directions
    along = difference.sum(axis=1, keepdims=True)
    length2 = (filled[:, :, None] * directions**2).sum(axis=1, keepdims=True) - along**2
    difference -= each * along
    difference /= np.sqrt(np.maximum(length2, np.float32(1e-6)))
    found = norms(difference, measures=NORMS, gaps=None if gaps is None else gaps[:, :, None])
    sizes = np.zeros((len(share), len(NORMS), directions.shape[1]))
    for place, measure in enumerate(NORMS):
        if measure in found:
            sizes[:, place] = found[measure]
    sizes[filled.sum(axis=1) < 2] = 0.0
    return sizes


def _histogram(logs: FloatArray) -> FloatArray:
    """Bin `(R, 4, directions)` into shares `(R, 4, bins)`, each value split over its neighbours."""
    rows, kinds, count = logs.shape
    at = np.clip((logs - LOGARITHMS[0]) / STEP, 0.0, len(LOGARITHMS) - 1.001)
    left = at.astype(np.intp)
    part = (at - left).ravel()
    size = rows * kinds * len(LOGARITHMS)
    flat = (np.arange(0, size, len(LOGARITHMS)).reshape(rows, kinds, 1) + left).ravel()
    shares = np.bincount(flat, 1.0 - part, size) + np.bincount(flat + 1, part, size)
    binned: FloatArray = shares.reshape(rows, kinds, len(LOGARITHMS)) / count
    return binned
