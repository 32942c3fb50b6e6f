"""Squeezed rows: rows of bytes that are seldom read, deflated some at a time."""

import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.spill import Pieces, Spill
from streamgauge.deflate import deflated

Bytes = npt.NDArray[np.uint8]
AT_ONCE: Final = 64
"""Rows deflated together: whoever wants one of them has to inflate no more."""


class SqueezedRows:
    """n rows of so many bytes; `shape` is (n, bytes)."""

    __slots__ = ("_runs", "nbytes", "shape")

    def __init__(self, rows: Bytes) -> None:
        self.shape: tuple[int, int] = (rows.shape[0], rows.shape[1])
        starts = range(0, len(rows), AT_ONCE) if rows.size else ()
        runs = [deflated(rows[at : at + AT_ONCE].tobytes()) for at in starts]
        self._runs: Pieces = runs
        self.nbytes = sum(map(len, runs))
        """Deflated bytes, wherever they are."""

    def spill(self, to: Spill) -> None:
        """Put the deflated bytes there, those of each run as a piece."""
        if isinstance(self._runs, list):
            self._runs = to.put(self._runs)

    def take(self, rows: npt.NDArray[np.intp]) -> Bytes:
        """Return the rows at these places `(k, bytes)`."""
        found = np.empty((len(rows), self.shape[1]), np.uint8)
        runs, within = np.divmod(rows, AT_ONCE)
        for run in np.unique(runs).tolist() if self._runs else ():
            at = np.flatnonzero(runs == run)
            found[at] = self._run(run)[within[at]]
        return found

    def whole(self) -> Bytes:
        """Return all rows."""
        body = b"".join(map(zlib.decompress, self._runs))
        return np.frombuffer(body, np.uint8).reshape(self.shape)

    def data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {"shape": [*self.shape], "runs": [*self._runs]}

    @classmethod
    def restored(cls, data: dict[str, Any]) -> "SqueezedRows":
        """Return what `data` was taken of. Raises ValueError where it does not fit."""
        found = cls(np.empty((0, 0), np.uint8))
        size, width = data["shape"]
        runs = list(data["runs"])
        found.shape, found._runs, found.nbytes = (int(size), int(width)), runs, sum(map(len, runs))
        due = -(-size // AT_ONCE) if size * width else 0
        try:
            held = [len(found._run(run)) for run in range(len(found._runs))]
        except zlib.error as error:
            raise ValueError(f"deflated rows are damaged: {error}") from error
        if len(held) != due or sum(held) != (size if due else 0):
            raise ValueError(f"{sum(held)} rows are there, not {size}")
        return found

    def _run(self, run: int) -> Bytes:
        size = min(AT_ONCE, self.shape[0] - run * AT_ONCE)
        # Never more than there should be, so that damage cannot fill the memory.
        opener = zlib.decompressobj()
        body = opener.decompress(self._runs[run], max(size * self.shape[1], 1))
        return np.frombuffer(body, np.uint8).reshape(-1, self.shape[1])
