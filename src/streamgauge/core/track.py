"""Track: one kind of blocks on their way from open panes into windows and totals."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from streamgauge.core.blocks import Block, BlockSum
from streamgauge.core.spill import IN_MEMORY, Spill
from streamgauge.core.state import (
    Kept,
    Part,
    below,
    placed,
    reading,
    refill,
    refill_parts,
    restore_below,
    sum_part,
    sum_parts,
    within,
)
from streamgauge.core.windows import WindowSpec, WindowState


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """The shape of a track's blocks, its windows, and the length of its panes.

    `measured_apart` says that some blocks are hidden from detectors, `rounded` that windows keep
    the sums of their steps in single precision.
    """

    width: int
    sums: int
    extremes: int
    windows: tuple[WindowSpec, ...]
    pane_ms: int
    measured_apart: bool = False
    rounded: bool = False


@dataclass(slots=True)
class Track:
    """Open panes, windows and totals of blocks of one shape.

    Hidden blocks, those of excluded times, are in `windows` and `totals` but not in `measured`, the
    windows that changes are measured in; without any both are the same windows. Closed steps of
    windows live in `spill`.
    """

    spec: TrackSpec
    spill: Spill = IN_MEMORY
    windows: list[WindowState] = field(init=False)
    measured: list[WindowState] = field(init=False)
    totals: BlockSum = field(init=False)
    """Everything in closed panes, and what came late for them, since the start."""
    _open: dict[int, BlockSum] = field(default_factory=dict)
    _hidden: dict[int, BlockSum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.windows = self._new_windows()
        self.measured = self._new_windows() if self.spec.measured_apart else self.windows
        self.totals = self.empty()

    @property
    def nbytes(self) -> int:
        """Bytes of the windows' steps, wherever they are."""
        return sum(window.nbytes for window in self._every_window())

    @property
    def next_end(self) -> int | None:
        """Return when there is next something to close or to advance (ms), None if there is not."""
        ends = [w.next_end for w in self._every_window() if w.next_end is not None]
        panes = [*self._open, *self._hidden]
        if panes:
            ends.append((min(panes) + 1) * self.spec.pane_ms)
        return min(ends, default=None)

    def add(self, pane: int, block: Block, *, hidden: bool = False) -> None:
        """Add a block to an open pane."""
        panes = self._hidden if hidden else self._open
        if pane not in panes:
            panes[pane] = self.empty()
        panes[pane].add(block)

    def add_late(self, start: int, block: Block, closed: int, *, hidden: bool = False) -> None:
        """Add a block of a pane that began at `start` although all up to `closed` (ms) are."""
        for window in self.windows if hidden else self._every_window():
            window.add_late(start, block, closed)
        self.totals.add(block)

    def close(self, end: int) -> BlockSum | None:
        """Close the pane that ends at `end` (ms); return what is not hidden of it, if anything."""
        pane = end // self.spec.pane_ms - 1
        start = pane * self.spec.pane_ms
        hidden = self._hidden.pop(pane, None)
        if hidden is not None:
            self.totals.add_all(hidden)
            for window in self.windows:
                window.close(start, hidden)
        closed = self._open.pop(pane, None)
        if closed is None:
            return None
        self.totals.add_all(closed)
        for window in self._every_window():
            window.close(start, closed)
        return closed

    def advance(self, now: int) -> bool:
        """Advance the windows whose step ends now (ms); say whether there are any."""
        due = [window for window in self._every_window() if window.next_end == now]
        for window in due:
            window.advance(now)
        return bool(due)

    def counted(self) -> Block:
        """Return everything since the start, open panes included."""
        whole = self.empty()
        for each in (self.totals, *self._open.values(), *self._hidden.values()):
            whole.add_all(each)
        return whole.block()

    def parts(self) -> Iterator[Part]:
        """Yield open panes, windows and totals."""
        for kind, panes in self._panes():
            for pane, block in panes.items():
                yield sum_part(f"{kind}/{pane}", block.version, block)
        for prefix, window in self._named_windows():
            yield from below(prefix, window.parts())
        yield from below("totals", sum_parts(self.totals))

    def restore(self, kept: Kept) -> None:
        """Take back the parts."""
        for kind, panes in self._panes():
            for pane, data in within(kind, kept).items():
                with reading(f"{kind}/{pane}"):
                    refill(panes.setdefault(int(pane), self.empty()), data)
        for prefix, window in self._named_windows():
            restore_below(prefix, window, kept)
        with placed("totals"):
            refill_parts(self.totals, within("totals", kept))

    def _panes(self) -> tuple[tuple[str, dict[int, BlockSum]], ...]:
        return ("open", self._open), ("hidden", self._hidden)

    def _named_windows(self) -> Iterator[tuple[str, WindowState]]:
        for window in self.windows:
            yield f"window/{window.spec.name}", window
        if self.measured is not self.windows:
            for window in self.measured:
                yield f"measured/{window.spec.name}", window

    def open_rows(self) -> set[int]:
        """Return the rows that have events in open panes."""
        panes = (*self._open.values(), *self._hidden.values())
        return {row for pane in panes for row in pane.block().rows.tolist()}

    def empty(self) -> BlockSum:
        """Return a sum of no blocks."""
        return BlockSum(self.spec.width, self.spec.sums, self.spec.extremes)

    def _new_windows(self) -> list[WindowState]:
        spec = self.spec
        shape = spec.width, spec.sums, spec.extremes
        return [
            WindowState(w, *shape, rounded=spec.rounded, spill=self.spill) for w in spec.windows
        ]

    def _every_window(self) -> list[WindowState]:
        return self.windows if self.measured is self.windows else [*self.windows, *self.measured]
