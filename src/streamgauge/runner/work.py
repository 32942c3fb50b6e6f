"""Work: what a loop gives messages to, whatever is made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import IntArray
from streamgauge.core.snapshot import Snapshot
from streamgauge.core.state import Kept, Part
from streamgauge.core.watermark import Watermark
from streamgauge.formats.messages import RawMessages, Rejected
from streamgauge.runner.stores import Offsets, Partition
from streamgauge.runner.taken import Counts, Prepared


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one poll's messages lead to: dead letters and revisions of alerts, to be written.

    The rows of an Arrow batch that are refused come one after the other. `sizes (n,) int64` says
    how many events each message is, None where each is one.
    """

    rejected: tuple[Rejected, ...]
    alerts: tuple[AlertRecord, ...]
    sizes: IntArray | None = None


class Shown(Protocol):
    """What figures are shown of."""

    def snapshot(self, made_at: float) -> Snapshot:
        """Return all models' numbers; `made_at` is seconds since the epoch."""
        ...


class Work(Shown, Protocol):
    """Takes in messages, poll by poll; see `Pipeline`, which does all there is to do."""

    counts: Counts
    watermark: Watermark

    @property
    def last_event(self) -> int | None:
        """The newest event time (ms) of all models."""
        ...

    def assign(self, partitions: Sequence[Partition], now: float) -> None:
        """Read these partitions, numbered in this order, from `now` (s of processing time)."""
        ...

    def parts(self) -> Iterator[Part]:
        """Yield all state that has to outlive the process; see `core.state`."""
        ...

    def restore(self, kept: Kept) -> tuple[str, ...]:
        """Take back the parts, before any message; return the models that begin anew."""
        ...

    def resume(self, committed: Offsets, floors: Offsets) -> dict[Partition, int]:
        """Return where to read from so that every store becomes what it was at `committed`."""
        ...

    def checkpoint(self, offsets: Offsets) -> dict[Partition, int]:
        """Note that all up to these offsets is taken in; return the floors to keep beside them."""
        ...

    @property
    def full(self) -> bool:
        """Whether so much waits in memory that the next checkpoint should not."""
        ...

    def flush(self, offsets: Offsets) -> None:
        """Write the stores, which reflect all input up to these offsets."""
        ...

    def flush_indexed(self, offsets: Offsets) -> None:
        """Write the stores in the midst of being built again, when all up to here is read."""
        ...

    def close(self) -> None:
        """Close the stores."""
        ...

    def index(self, messages: RawMessages) -> None:
        """Let the stores take in what of these messages was counted in an earlier life."""
        ...

    def caught_up(self) -> None:
        """Note that all stores know what was counted in an earlier life."""
        ...

    def prepare(self, messages: RawMessages) -> Prepared | None:
        """Decode messages that are to be processed next, while others may be processed."""
        ...

    def process(
        self,
        messages: RawMessages,
        drained: frozenset[int],
        now: float,
        behind: frozenset[int] = frozenset(),
        prepared: Prepared | None = None,
    ) -> Outcome:
        """Take in one poll at `now` (seconds of processing time)."""
        ...

    def ahead(self) -> frozenset[int]:
        """Return the partitions to hold back because their events run too far ahead."""
        ...
