"""Steps: the closed ones of a window, kept small until they leave it."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, FloatArray
from streamgauge.core.blocks import Block
from streamgauge.core.packed import PackedCounts
from streamgauge.core.spill import Spill, SpillableArray
from streamgauge.core.state import Plain

_LARGEST: Final = 1e38
_SMALLEST: Final = 1e-37
"""What float32 holds to its full precision of 24 bits lies between these."""


class Step(NamedTuple):
    """A whole step: its number and its statistics, kept small and spilled where that can be.

    They are those of a block; `rows` are in the smallest dtype that holds them, `sums` may be in
    float32.
    """

    number: int
    rows: npt.NDArray[np.integer]
    counts: PackedCounts
    sums: SpillableArray
    extremes: FloatArray
    version: int = 0
    """How often it was revised."""

    @classmethod
    def of(
        cls,
        number: int,
        block: Block,
        version: int = 0,
        *,
        rounded: bool = False,
        packed: PackedCounts | None = None,
    ) -> "Step":
        """Return the step, its sums `rounded` to single precision where that can hold them.

        `packed` are the block's counts, where they have been packed already.
        """
        sums = single(block.sums) if rounded else block.sums.copy()
        rows = block.rows.astype(np.min_scalar_type(int(block.rows.max(initial=0))))
        counts = PackedCounts(block.counts) if packed is None else packed
        return cls(number, rows, counts, SpillableArray(sums), block.extremes.copy(), version)

    def spill(self, to: Spill) -> "Step":
        """Put its counts and sums there, wherever else they are held too; return the step."""
        self.counts.spill(to)
        self.sums.spill(to)
        return self

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, wherever they are."""
        return sum(array.nbytes for array in self[1:5])

    def block(self) -> Block:
        """Return its statistics as a block."""
        return self.moments()._replace(counts=self.counts.whole())

    def counted(self) -> Block:
        """Return its counts as a block that has nothing else."""
        none = np.empty((len(self.rows), 0, 2))
        return Block(self.rows.astype(np.int64), self.counts.whole(), none, none)

    def moments(self) -> Block:
        """Return its statistics without counts."""
        return self._moments(self.rows, self.sums.whole(), self.extremes)

    def moments_of(self, chosen: BoolArray) -> Block:
        """Return those of the chosen rows, by row number `(R,)`, without their counts."""
        at = np.flatnonzero(chosen[self.rows])
        return self._moments(self.rows[at], self.sums.take(at), self.extremes[at])

    @staticmethod
    def _moments(
        rows: npt.NDArray[np.integer], sums: npt.NDArray[np.floating], extremes: FloatArray
    ) -> Block:
        counts = np.empty((len(rows), 0), np.int32)
        return Block(rows.astype(np.int64), counts, sums.astype(np.float64), extremes)

    def data(self) -> Plain:
        """Return it as plain data, counts as they are kept.

        Packed counts take a fifth of the time of whole ones to write.
        """
        return {
            "rows": self.rows.astype(np.int64),
            "counts": self.counts.data(),
            "sums": self.sums.whole(),
            "extremes": self.extremes,
        }

    def place(self, row: int) -> int | None:
        """Return a row's place, None where nothing of it is there."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None


def single(sums: FloatArray) -> npt.NDArray[np.floating]:
    """Return sums in float32, or as they are where one is too large or too small for that."""
    size = np.abs(sums)
    if size.max(initial=0.0) < _LARGEST and size.min(initial=1.0, where=size > 0.0) > _SMALLEST:
        return sums.astype(np.float32)
    return sums.copy()
