"""Sides: a rise of every series, and a fall of those whose fall is judged, side by side.

All rises come first, then the falls, so that what is computed over them runs through memory in one
go; where nobody minds a fall, none is followed.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.series import SeriesTable

Figure = TypeVar("Figure", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Sides:
    """The J sides of Q series.

    `series (J,)` is the series of each, `code (J,)` twice that, and 1 more for a fall; `falling`
    are the series whose fall is judged, `place (2Q,)` is where the side of a code stands.
    """

    table: SeriesTable
    falling: IntArray = field(init=False)
    series: IntArray = field(init=False)
    code: IntArray = field(init=False)
    place: IntArray = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.table.series)
        falling = np.flatnonzero(self.table.falls)
        series = np.concatenate([np.arange(size), falling])
        code = 2 * series + (np.arange(len(series)) >= size)
        place = np.full(2 * size, -1)
        place[code] = np.arange(len(code))
        for name, value in (
            ("falling", falling),
            ("series", series),
            ("code", code),
            ("place", place),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.series)

    def joined(self, rises: FloatArray, falls: FloatArray) -> FloatArray:
        """Return figures of the sides `(k, J)`, from those of all series' rises and falls."""
        size = rises.shape[1]
        result: FloatArray = np.empty((len(rises), len(self)))
        result[:, :size] = rises
        result[:, size:] = falls.take(self.falling, axis=1)
        return result

    def both(self, figures: npt.NDArray[Figure]) -> npt.NDArray[Figure]:
        """Return figures of the sides `(k, J)`, from those that series `(k, Q)` have on both."""
        return figures.take(self.series, axis=1)

    def chosen(self, figures: npt.NDArray[Figure]) -> npt.NDArray[Figure]:
        """Return figures of the sides `(..., J)`, from those by series and side `(..., Q, 2)`."""
        return figures.reshape(*figures.shape[:-2], -1).take(self.code, axis=-1)

    def largest(self, figures: FloatArray) -> FloatArray:
        """Return the larger of each series' sides `(k, Q)`, from all sides' figures `(k, J)`."""
        size = len(self.table.series)
        result = figures[:, :size].copy()
        at = self.falling
        result[:, at] = np.maximum(result.take(at, axis=1), figures[:, size:])
        return result
