"""A window driven pane by pane as the engine does, and the recount that it must agree with."""

from collections.abc import Sequence

from streamgauge.core.blocks import BlockSum
from streamgauge.core.spill import IN_MEMORY, Spill
from streamgauge.core.windows import WindowSpec, WindowState
from tests.support.counted import NUMERIC, WIDTH, Small, block_of

PANE_MS = 1_000


class WindowRun:
    """Closes panes in order into one window, stops at the steps' ends, keeps all events."""

    def __init__(self, *, window_panes: int, step_panes: int, spill: Spill = IN_MEMORY) -> None:
        self.spec = WindowSpec("w", window_panes * PANE_MS, step_panes * PANE_MS)
        self.state = WindowState(self.spec, WIDTH, NUMERIC, spill=spill)
        self.closed = 0
        """Panes closed so far: the next one to close has this number."""
        self._step_panes = step_panes
        self._kept: list[tuple[int, Small]] = []

    def close(self, events: Sequence[Small] = ()) -> bool:
        """Close the next pane, which holds these events; return whether the window moved."""
        pane = self.closed
        self.closed += 1
        if events:
            sums = BlockSum(WIDTH, NUMERIC)
            sums.add(block_of(events))
            self.state.close(pane * PANE_MS, sums)
            self._kept += [(pane, event) for event in events]
        end = self.closed * PANE_MS
        if self.state.next_end != end:
            return False
        self.state.advance(end)
        return True

    def late(self, pane: int, events: Sequence[Small]) -> None:
        """Add events to a pane that is closed already."""
        assert pane < self.closed
        self.state.add_late(pane * PANE_MS, block_of(events), self.closed * PANE_MS)
        self._kept += [(pane, event) for event in events]

    def expected(self) -> list[Small]:
        """Return the events in the window's whole steps, from all that were ever given."""
        end = self.closed // self._step_panes * self._step_panes
        begin = end - self.spec.length_ms // PANE_MS
        return [event for pane, event in self._kept if begin <= pane < end]
