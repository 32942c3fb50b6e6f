"""Dispersion φ: how much more shares vary than those of independent events would.

A block (an update of a row, or its day) holds k of n events where n·e were expected, e being the
reference's share moved by what the row differs from it on the whole (d): so a lasting change is no
variation. With residuals r = k − n·e and binomial variances v = n·e(1 − e),

    φ = (Σ r²/v − b²/c) / (blocks − 1),   b = Σ r·n/v,   c = Σ n²/v,   d = b/c

is Pearson's dispersion about the row's own mean (McCullagh and Nelder, Generalized Linear Models,
1989, section 4.5). Old blocks fade. What varies slowly shows in days alone. Only blocks before the
one that is judged are used, and none of changes that stand or may be about to show: a fault is no
variation to get used to.

Where it was built, and the reference tells φ, compiled code (dispersion.c) takes updates in and
says what they show: the same sums with the same bits, a row at a time.
"""

import ctypes
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from streamgauge.compiled import Single, addresses, arrays, beside, integers, reals
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.detectors.kept import arrays_data, take_arrays
from streamgauge.core.overdispersion import UPPER_QUANTILE

LEAST_SHARE: Final = 1e-3
"""Shares nearer to 0 or 1 than this are taken for this, or one event would seem a storm."""
WARM_UP: Final = 30
"""Updates that a row's dispersion is learned from where the reference cannot tell it."""
FEWEST_UPDATES: Final = 10
FEWEST_DAYS: Final = 7
"""Blocks from which on a row's own dispersion counts beside the reference's."""
MANY: Final = 5.0
"""Binomial variance per block from which on a series tells what others can be expected to do."""
MOST_RHO: Final = 0.9
UPDATES_REMEMBERED: Final = 2_000.0
DAYS_REMEMBERED: Final = 60.0
_DAY_MS: Final = 86_400_000
_LEAST: Final = 1e-12
LAYOUT: Final = 1
"""Of the structures that are handed over; dispersion.c has the same number."""


class _Blocks(ctypes.Structure):
    _fields_ = integers("series") + arrays("blocks squares b c")


class _Update(ctypes.Structure):
    _fields_ = (
        integers("count")
        + arrays("rows present total expected")
        + reals("kept least_share")
        + arrays("more events due")
    )


def library() -> ctypes.CDLL | None:
    """Return the compiled code, None where it was not built or is of another version."""
    return beside(__file__, "dispersion", LAYOUT)


@dataclass(slots=True)
class BlockDispersion:
    """φ of R rows and Q series from their blocks so far, of which `memory` are remembered.

    What `upper` and `persistence` go by is only kept where blocks are `judged_alone`, for want of a
    reference. Figures are kept in float32, `(R, Q)` each once there is a block: each new one rounds
    them by up to 6e-8, which is far less than what it says of φ.
    """

    _ARRAYS: ClassVar = ("_blocks", "_squares", "_b", "_c")
    _ALONE: ClassVar = ("_fourth", "_variance", "_last", "_own", "_lagged")

    series: int
    memory: float
    judged_alone: bool = True
    _rows: int = field(init=False, default=0)
    _blocks: FloatArray = field(init=False)
    """Number of blocks, faded like their figures."""
    _squares: FloatArray = field(init=False)
    _b: FloatArray = field(init=False)
    _c: FloatArray = field(init=False)
    _fourth: FloatArray = field(init=False)
    """Σ z⁴ of residuals z about the row's own mean, standardised: how much blocks differ."""
    _variance: FloatArray = field(init=False)
    _last: FloatArray = field(init=False)
    """The last z; `_own` is Σ z², `_lagged` the sum of products with the one before."""
    _own: FloatArray = field(init=False)
    _lagged: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        for name in (*self._ARRAYS, *self._ALONE):
            setattr(self, name, np.zeros((0, self.series), np.float32))

    def add_rows(self, count: int) -> None:
        """Follow more rows."""
        self._rows += count
        if self.begun:
            self._make_room()

    def _make_room(self) -> None:
        for name in self._kept:
            old = getattr(self, name)
            more = np.zeros((self._rows - len(old), self.series), np.float32)
            setattr(self, name, np.concatenate([old, more]))

    @property
    def begun(self) -> bool:
        """Whether there is any block."""
        return len(self._blocks) > 0

    def blocks_of(self, rows: IntArray) -> FloatArray:
        """Return the number of blocks of some rows `(k, Q)`, faded like their figures."""
        return self._of("_blocks", rows)

    def _of(self, name: str, rows: IntArray) -> FloatArray:
        """Return a figure of some rows `(k, Q)`, 0 as long as there is no block at all."""
        figure = getattr(self, name)
        if not len(figure):
            return np.zeros((len(rows), self.series))
        taken: FloatArray = figure[rows].astype(np.float64)
        return taken

    def data(self) -> dict[str, Any]:
        """Return all arrays by name, to be encoded before anything goes on."""
        return arrays_data(self, self._kept)

    def restore(self, data: dict[str, Any], rows: int) -> None:
        """Set all arrays to those of an earlier one. Raises ValueError where they do not fit."""
        begun = len(data["blocks"]) > 0
        take_arrays(self, self._kept, data, rows if begun else 0)
        self._rows = rows

    @property
    def _kept(self) -> tuple[str, ...]:
        return (*self._ARRAYS, *self._ALONE) if self.judged_alone else self._ARRAYS

    def add(
        self, rows: IntArray, present: FloatArray, total: FloatArray, expected: FloatArray
    ) -> None:
        """Take in a block of some rows: counts, and expected shares `(k, Q)`.

        Series without events have no block.
        """
        if not self.begun:
            self._make_room()
        center = expected + self._of("_b", rows) / np.maximum(self._of("_c", rows), _LEAST)
        share = np.minimum(np.maximum(center, LEAST_SHARE), 1.0 - LEAST_SHARE)
        binomial = share * (1.0 - share)
        residual = present - total * expected
        squares = residual**2 / np.maximum(total * binomial, _LEAST)
        seen = total > 0
        faded = np.float64(self._faded)
        keep = faded if seen.all() else np.where(seen, faded, 1.0)
        for name, new in (
            ("_squares", squares),
            ("_b", residual / binomial),
            ("_c", total / binomial),
        ):
            self._fade(name, rows, keep, new)
        if self.judged_alone:
            self._add_alone(rows, present - total * center, total * binomial, seen, keep)
        self._fade("_blocks", rows, keep, seen)

    def add_compiled(
        self,
        compiled: ctypes.CDLL,
        rows: IntArray,
        present: FloatArray,
        total: FloatArray,
        expected: FloatArray,
        sums: Single,
    ) -> None:
        """Do as `add`, and add to the days' `sums (3, R, Q)`, where blocks are not judged alone."""
        assert not self.judged_alone
        if not self.begun:
            self._make_room()
        update = _Update(
            *(len(rows), *addresses(rows, present, total, expected)),
            *(self._faded, LEAST_SHARE),
            *addresses(*sums),
        )
        compiled.streamgauge_add(ctypes.byref(self._handed()), ctypes.byref(update))

    def raise_compiled(
        self, compiled: ctypes.CDLL, rows: IntArray, fewest: float, phi: FloatArray
    ) -> None:
        """Raise `phi (k, Q)` to what is seen of series with `fewest` blocks or more."""
        assert self.begun
        at, out = map(ctypes.c_void_p, addresses(rows, phi))
        size, least = ctypes.c_int64(len(rows)), ctypes.c_double(fewest)
        compiled.streamgauge_raise(ctypes.byref(self._handed()), size, at, least, out)

    def _handed(self) -> _Blocks:
        return _Blocks(self.series, *addresses(self._blocks, self._squares, self._b, self._c))

    @property
    def _faded(self) -> float:
        """What is left of earlier blocks with each new one."""
        return 1.0 - 1.0 / self.memory

    def _add_alone(
        self,
        rows: IntArray,
        residual: FloatArray,
        variance: FloatArray,
        seen: BoolArray,
        keep: FloatArray | np.float64,
    ) -> None:
        own = residual / np.sqrt(np.maximum(variance, _LEAST))
        own[self._of("_blocks", rows) < 1.0] = (
            0.0  # of the first block nothing is known to differ from
        )
        for name, new in (
            ("_variance", variance),
            ("_own", own**2),
            ("_fourth", own**4),
            ("_lagged", own * self._of("_last", rows)),
        ):
            self._fade(name, rows, keep, new)
        self._last[rows] = np.where(seen, own, self._last[rows])

    def _fade(
        self,
        name: str,
        rows: IntArray,
        keep: FloatArray | np.float64,
        new: FloatArray | BoolArray,
    ) -> None:
        figure = getattr(self, name)
        faded = figure[rows] * keep
        faded += new
        figure[rows] = faded

    def estimate(self, rows: IntArray) -> FloatArray:
        """Return φ `(k, Q)` as seen so far."""
        lasting = self._of("_b", rows) ** 2 / np.maximum(self._of("_c", rows), _LEAST)
        about = self._of("_squares", rows) - lasting
        result: FloatArray = about / np.maximum(self._of("_blocks", rows) - 1.0, 1.0)
        return result

    def upper(self, rows: IntArray) -> FloatArray:
        """Return the upper 95 % limit of φ `(k, Q)`.

        Blocks of rare values differ far more than normal ones would, so the limit's spread is
        that of the blocks. Series with few events tell little: none is taken to vary less than
        those with many do on the mean.
        """
        phi, blocks = self.estimate(rows), np.maximum(self._of("_blocks", rows), 1.0)
        about = self._of("_own", rows) / blocks
        spread = np.maximum(self._of("_fourth", rows) / blocks - about**2, 2.0 * phi**2)
        limit = phi + UPPER_QUANTILE * np.sqrt(spread / np.maximum(blocks - 1.0, 1.0))
        many = self._of("_variance", rows) >= MANY * blocks
        among = (phi * many).sum(axis=1) / np.maximum(many.sum(axis=1), 1)
        result: FloatArray = np.maximum(limit, among[:, None])
        return result

    def persistence(self, rows: IntArray) -> FloatArray:
        """Return (1 + ρ)/(1 − ρ) `(k, Q)`, with ρ ≥ 0 the correlation of successive blocks.

        The variance of long sums of an AR(1) is so many times that of its blocks.
        """
        own = np.maximum(self._of("_own", rows), _LEAST)
        rho = np.clip(self._of("_lagged", rows) / own, 0.0, MOST_RHO)
        result: FloatArray = (1.0 + rho) / (1.0 - rho)
        return result


@dataclass(slots=True)
class Dispersion:
    """φ of R rows and Q series: the reference's `(Q,)`, or what a row shows itself if that is more.

    Where the reference cannot tell (None), the row's own is taken at its upper 95 % limit.
    """

    reference: FloatArray | None
    series: int
    compiled: ctypes.CDLL | None = field(default_factory=library)
    _updates: BlockDispersion = field(init=False)
    _days: BlockDispersion = field(init=False)
    _day: IntArray = field(init=False)
    _sums: Single = field(init=False)
    """Each row's day so far `(3, R, Q)` float32: by how many events with the property there were
    more than expected, all events, expected ones."""

    def __post_init__(self) -> None:
        alone = self.reference is None
        self._updates = BlockDispersion(self.series, UPDATES_REMEMBERED, alone)
        self._days = BlockDispersion(self.series, DAYS_REMEMBERED, alone)
        self._day = np.empty(0, np.int64)
        self._sums = np.zeros((3, 0, self.series), np.float32)

    def add_rows(self, count: int) -> None:
        """Follow more rows."""
        self._updates.add_rows(count)
        self._days.add_rows(count)
        self._day = np.concatenate([self._day, np.zeros(count, np.int64)])
        more = np.zeros((3, count, self.series), np.float32)
        self._sums = np.concatenate([self._sums, more], axis=1)

    def data(self) -> dict[str, Any]:
        """Return everything by name, to be encoded before anything goes on."""
        return {
            "updates": self._updates.data(),
            "days": self._days.data(),
            **arrays_data(self, ("_day", "_sums")),
        }

    def restore(self, data: dict[str, Any], rows: int) -> None:
        """Go on as an earlier one with so many rows. Raises ValueError where it does not fit."""
        self._updates.restore(data["updates"], rows)
        self._days.restore(data["days"], rows)
        take_arrays(self, ("_day",), data, rows)
        sums = np.array(data["sums"])
        if sums.dtype == np.float64:
            # Earlier versions kept how many there were, not by how many more than expected.
            sums[0] -= sums[2]
        take_arrays(self, ("_sums",), {"sums": sums}, rows, axis=1)

    def add(
        self,
        rows: IntArray,
        present: FloatArray,
        total: FloatArray,
        expected: FloatArray,
        end: int,
    ) -> None:
        """Take in the updates of some rows that end at `end` (ms).

        Counts and expected shares are `(k, Q)`; a total of 0 leaves a series out.
        """
        day = (end - 1) // _DAY_MS
        done = rows[self._day[rows] < day]
        if len(done):
            more, events, due = self._sums[:, done].astype(np.float64)
            if events.any():
                self._days.add(done, due + more, events, due / np.maximum(events, 1.0))
            self._sums[:, done] = 0.0
            self._day[done] = day
        if self.compiled is not None and self.reference is not None:
            news = present, total, expected
            self._updates.add_compiled(self.compiled, rows, *news, self._sums)
            return
        self._updates.add(rows, present, total, expected)
        due = expected * total
        for sums, new in zip(self._sums, (present - due, total, due), strict=True):
            sums[rows] += new

    def factor(self, rows: IntArray) -> FloatArray:
        """Return φ `(k, Q)`, at least 1; +inf where too little is known to judge a row."""
        base = 1.0 if self.reference is None else self.reference
        phi = np.broadcast_to(base, (len(rows), self.series)).copy()
        for part, fewest in ((self._updates, FEWEST_UPDATES), (self._days, FEWEST_DAYS)):
            if not part.begun:
                continue
            if self.compiled is not None and self.reference is not None:
                part.raise_compiled(self.compiled, rows, fewest, phi)
                continue
            blocks = part.blocks_of(rows)
            seen = part.estimate(rows) if self.reference is not None else part.upper(rows)
            if self.reference is None and part is self._updates:
                seen *= part.persistence(rows)
            np.maximum(phi, seen, out=phi, where=blocks >= fewest)
        if self.reference is None:
            phi[self._updates.blocks_of(rows) < WARM_UP] = np.inf
        return phi
