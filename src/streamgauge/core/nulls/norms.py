"""Null law of norms of q − p: simulated once per reference row and cached.

Without drift √n_e·(q − p) tends to N(0, diag(p) − pp′), which is √p⊙u − p(u·√p) for u standard
normal. A norm T is homogeneous, so T = R·T(direction) with a χ(B − 1) radius R that is independent
of the direction: P(T > t) = E P(R > t/T(direction)). Only the directions are simulated, which
leaves little noise and smooth tails; their seed depends on B alone.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from streamgauge.compiled import Single
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.distances import NORMS, Measure
from streamgauge.core.nulls.spread import LOGARITHMS, STEP, directions_of, simulated

_FINE: Final = 4
"""Steps of the directions' grid per step of the tables' grid."""
_STEP: Final = _FINE * STEP
_GRID: Final = np.arange(-3.0, 2.0, _STEP)
"""ln(t/rms) at which the tables stand; beyond it they are continued as straight lines."""
_TINY: Final = 1e-280
_DIGEST_BYTES: Final = 16
"""With so many, two rows will not share a digest."""


class NormTables(NamedTuple):
    """Laws of the norms of rows: `rms (R, 4) float64` is the root mean square of √n_e·T.

    `table (R, 4, J) float32` holds ln(−ln P(T > t)) where ln(t/rms) is on the grid.
    The order of the four is that of `NORMS`.
    """

    rms: FloatArray
    table: Single

    def take(self, rows: npt.NDArray[np.intp]) -> "NormTables":
        """Return a copy of the laws of some rows."""
        return NormTables(self.rms[rows], self.table[rows])

    def put(self, rows: npt.NDArray[np.intp], others: "NormTables") -> None:
        """Set the laws of some rows."""
        self.rms[rows] = others.rms
        self.table[rows] = others.table

    def survival(self, measure: Measure, values: FloatArray) -> FloatArray:
        """Return P(√n_e·T ≥ value) `(R,)`; 1 for values of 0 and where T is always 0."""
        place = NORMS.index(measure)
        rms = self.rms[:, place]
        possible = (values > 0) & (rms > 0)
        at = np.log(np.where(possible, values, 1.0) / np.where(possible, rms, 1.0)) - _GRID[0]
        # Beyond the grid ln(−ln P) is close to a straight line in ln t.
        left = np.clip((at / _STEP).astype(np.intp), 0, len(_GRID) - 2)
        part = at / _STEP - left
        rows = np.arange(len(values))
        low = self.table[rows, place, left].astype(np.float64)
        high = self.table[rows, place, left + 1].astype(np.float64)
        survival: FloatArray = np.exp(-np.exp(np.minimum(low + part * (high - low), 7.0)))
        return np.where(possible, survival, 1.0)

    def critical(self, measure: Measure, alpha: float) -> FloatArray:
        """Return the t `(R,)` for which P(√n_e·T ≥ t) = α, 0 where T is always 0."""
        place = NORMS.index(measure)
        table = self.table[:, place].astype(np.float64)
        level = np.log(-np.log(alpha))
        left = np.clip((table <= level).sum(axis=1) - 1, 0, len(_GRID) - 2)
        rows = np.arange(len(table))
        low, high = table[rows, left], table[rows, left + 1]
        part = (level - low) / np.maximum(high - low, 1e-9)
        critical: FloatArray = self.rms[:, place] * np.exp(_GRID[0] + _STEP * (left + part))
        return critical


class NormLaws:
    """Tables of the norms' null laws, simulated on demand.

    A row's table takes 1.4 kB and a fifth of a millisecond, three times as long by numpy, and
    depends on the row alone. Those of the `capacity` rows that were asked for last are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._places: OrderedDict[bytes, int] = OrderedDict()
        """Where each row's table is, by the row's digest, those asked for last at the end."""
        # Nothing of it is resident before it is written to.
        self._kept = NormTables(
            np.empty((capacity, len(NORMS))),
            np.empty((capacity, len(NORMS), len(_GRID)), np.float32),
        )
        self._directions: dict[int, Single] = {}

    def __len__(self) -> int:
        """Return how many tables are kept."""
        return len(self._places)

    def tables(self, reference: IntArray, filled: BoolArray, gaps: FloatArray | None) -> NormTables:
        """Return the tables of reference counts `(R, B) int64`, and keep them.

        `filled (R, B) bool` are the bins that exist; `gaps (R or 1, B − 1)` lie between their
        positions. Without gaps the laws of KS and WASSERSTEIN are those of a constant 0.
        """
        reference = np.ascontiguousarray(reference, np.int64)
        keys = list(_keys(reference, filled, gaps))
        places = np.array([self._places.get(key, -1) for key in keys], np.intp)
        found = self._kept.take(places)
        missing = {keys[row]: row for row in np.flatnonzero(places < 0).tolist()}
        for key in keys:
            if key in self._places:
                self._places.move_to_end(key)
        if missing:
            rows = np.fromiter(missing.values(), np.intp, len(missing))
            fresh = self.fresh(
                reference[rows],
                filled[rows],
                gaps if gaps is None or len(gaps) == 1 else gaps[rows],
            )
            number = {key: i for i, key in enumerate(missing)}
            at = np.flatnonzero(places < 0)
            made = np.array([number[keys[row]] for row in at.tolist()], np.intp)
            found.put(at, fresh.take(made))
            self._keep(list(missing), fresh)
        return found

    def fresh(self, reference: IntArray, filled: BoolArray, gaps: FloatArray | None) -> NormTables:
        """Return the tables of reference counts that are not going to be asked for again."""
        bins = reference.shape[1]
        if bins not in self._directions:
            self._directions[bins] = directions_of(bins)
        if gaps is not None:
            gaps = np.broadcast_to(gaps, (len(reference), bins - 1))
        return _simulate(reference, filled, gaps, self._directions[bins])

    def _keep(self, keys: list[bytes], fresh: NormTables) -> None:
        """Keep new tables `(k, ...)`, in place of those that were not asked for the longest."""
        first = max(len(keys) - self._capacity, 0)
        keys = keys[first:]
        size = len(self._places)
        places = [*range(size, min(size + len(keys), self._capacity))]
        places += [self._places.popitem(last=False)[1] for _ in range(len(keys) - len(places))]
        self._places.update(zip(keys, places, strict=True))
        self._kept.put(np.array(places, np.intp), fresh.take(np.arange(first, first + len(keys))))


def _keys(reference: IntArray, filled: BoolArray, gaps: FloatArray | None) -> Iterator[bytes]:
    """Yield a digest of each row and all that its law depends on besides."""
    for content in _contents(reference, filled, gaps):
        yield hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _contents(reference: IntArray, filled: BoolArray, gaps: FloatArray | None) -> Iterator[bytes]:
    bits = np.packbits(filled, axis=1)
    shape = np.array(reference.shape[1:], np.int64).tobytes()
    if gaps is None:
        for counts, mask in zip(reference, bits, strict=True):
            yield b"-" + shape + counts.tobytes() + mask.tobytes()
        return
    widths = [row.tobytes() for row in np.ascontiguousarray(gaps, np.float64)]
    if len(widths) == 1:
        widths *= len(reference)
    for counts, mask, width in zip(reference, bits, widths, strict=True):
        yield b"+" + shape + counts.tobytes() + mask.tobytes() + width


def _simulate(
    reference: IntArray, filled: BoolArray, gaps: FloatArray | None, directions: Single
) -> NormTables:
    # A bin with events on the current side alone gets half an event.
    present = np.where(filled, np.maximum(reference, 0.5), 0.0)
    p = present / present.sum(axis=1, keepdims=True)
    freedom = np.maximum(filled.sum(axis=1) - 1.0, 1.0)[:, None]
    second, shares = simulated(p, filled, gaps, directions)
    table = np.empty((len(p), len(NORMS), len(_GRID)), np.float32)
    for number in np.unique(freedom):
        same = freedom[:, 0] == number
        table[same] = _mixture(shares[same], float(number))
    return NormTables(np.sqrt(freedom * second), table)


def _mixture(shares: FloatArray, freedom: float) -> FloatArray:
    """Return ln(−ln P(T > t)) on the grid `(R, 4, J)` for shares of directions `(R, 4, bins)`."""
    # Both grids are multiples of one step, so that few radii occur.
    place = _FINE * np.arange(len(_GRID))[None, :] - np.arange(len(LOGARITHMS))[:, None]
    lowest = int(place.min())
    steps = np.arange(lowest, int(place.max()) + 1) * STEP
    square = freedom * np.exp(2.0 * (_GRID[0] - LOGARITHMS[0] + steps))
    above = shares @ special.chdtrc(freedom, square)[place - lowest]
    below = shares @ special.chdtr(freedom, square)[place - lowest]
    near = -np.log1p(-np.minimum(below, 0.5))
    far = -np.log(np.maximum(above, _TINY))
    result: FloatArray = np.log(np.maximum(np.where(below < 0.5, near, far), _TINY))
    return result
