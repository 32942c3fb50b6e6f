"""Counting: messages in, partials out. No Kafka and no clock, so that it can be tested whole."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final

from streamgauge.core.joining.store import Store
from streamgauge.core.layout import Layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.snapshot import Snapshot
from streamgauge.core.state import Kept, Part
from streamgauge.core.tally import ModelTally
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.partials import (
    InputClock,
    Progress,
    Sent,
    encode_counts,
    encode_progress,
)
from streamgauge.formats.state_manifest import Positions
from streamgauge.runner.intake import Intake
from streamgauge.runner.plan import Plan
from streamgauge.runner.stores import Offsets, Partition, Stores
from streamgauge.runner.taken import Counts, Prepared
from streamgauge.runner.work import Outcome
from streamgauge.runner.workers.terms import all_terms, model_terms

MOST_PANES_APART: Final = 500
"""So many panes ahead of what others still have to read a partition is held back."""
MOST_CELLS: Final = 4_000_000
"""Counts that wait to be shipped at most: 32 MB, before the next checkpoint is made early."""

Message = tuple[bytes, bytes]
"""Key and value."""


class Counting(Intake[ModelTally]):
    """Counts the events of all models of a plan, for one sender among several.

    What it has counted is shipped with the offsets that it has come to, in one transaction; from
    then on it is the one that analyses who keeps it. All else begins anew with each life.
    """

    def __init__(
        self,
        plan: Plan,
        sender: str,
        stores: Stores | None = None,
        counts: Counts | None = None,
    ) -> None:
        """Begin to count; `counts` are those of all that was shipped in earlier lives."""
        self._sender = sender
        self._terms: dict[str, str] = {}
        self._newest: dict[int, int] = {}
        """The newest event time (ms) of each partition since the last shipment."""
        self._shipped = Counts()
        self._slowest: int | None = None
        super().__init__(plan, stores)
        if counts is not None:
            self.counts, self._shipped = counts.copy(), counts.copy()

    def process(
        self,
        messages: RawMessages,
        drained: frozenset[int],
        now: float,
        behind: frozenset[int] = frozenset(),
        prepared: Prepared | None = None,
    ) -> Outcome:
        """Take in one poll at `now` (seconds of processing time)."""
        taken = self.take(messages, drained, now, behind, prepared)
        watermark = self.watermark.advance(now)
        if watermark is not None:
            for tally in self.engines.values():
                tally.forget(watermark)
        return Outcome(taken.rejected, (), taken.sizes)

    @property
    def full(self) -> bool:
        """Whether so much waits that the next checkpoint should not."""
        cells = sum(tally.cells for tally in self.engines.values())
        return cells >= MOST_CELLS or super().full

    def ship(self, left: Offsets = MappingProxyType({})) -> Iterator[Message]:
        """Yield the messages of all that was counted since the last time, progress last.

        They say as much as the offsets that are read up to, and go with them or not at all. `left`
        are the messages of each partition that are left to read, as far as is known.
        """
        for name, tally in self.engines.items():
            content = tally.take()
            if content is None:
                continue
            key = name.encode("utf-8", "surrogatepass")
            for value in encode_counts(Sent(name, self._terms[name], content)):
                yield key, value
        clocks = tuple(
            InputClock(
                *partition,
                self._newest.get(number),
                self.watermark.is_drained(number),
                left.get(partition, 0),
            )
            for number, partition in enumerate(self._inputs.partitions)
        )
        configured = all_terms(self._plan.config, self._terms)
        progress = Progress(self._sender, configured, clocks, self._new_counts())
        self._newest.clear()
        yield self._sender.encode(), encode_progress(progress)

    def reached(self, partition: Partition) -> int | None:
        """Return the newest event time (ms) that was ever read of a partition, if that is known."""
        return self.watermark.reached(self._inputs.partitions.index(partition))

    def go_on(self, before: Positions) -> None:
        """Take up partitions where others who have read them before have come to.

        Others may have read them together with more of them or fewer, and dropped predictions
        that no label came for any more by another time: the earliest of these is gone on with.
        """
        partitions = self._inputs.partitions
        for number, partition in enumerate(partitions):
            at = before.get(partition)
            known = self.watermark.reached(number)
            if at is not None and at.reached is not None and known is None:
                self.watermark.resume(number, at.reached)
        settled = [at.settled for p, at in before.items() if p in partitions]
        times = [time for time in settled if time is not None]
        if times and len(times) == len(partitions):
            for tally in self.engines.values():
                tally.settled(min(times))

    @property
    def furthest(self) -> int | None:
        """The newest event time (ms) of all partitions, None before the first event."""
        found = map(self.watermark.reached, range(len(self._inputs.partitions)))
        return max((largest for largest in found if largest is not None), default=None)

    def is_apart(self, reached: int | None) -> bool:
        """Say whether a partition that others read, up to an event time (ms), is far behind."""
        furthest = self.furthest
        if reached is None or furthest is None:
            return False
        return furthest - reached > self._most_apart

    def wait_for(self, slowest: int | None) -> None:
        """Hold back what is far ahead of an event time (ms) that others have come to."""
        self._slowest = slowest

    def ahead(self) -> frozenset[int]:
        """Return the partitions to hold back because their events run too far ahead."""
        found = super().ahead()
        if self._slowest is None:
            return found
        limit = self._slowest + self._most_apart
        largest = {n: self.watermark.reached(n) for n in range(len(self._inputs.partitions))}
        far = frozenset(n for n, time in largest.items() if time is not None and time > limit)
        for number in far:
            self.watermark.set_drained(number, False)
        return found | far

    @property
    def _most_apart(self) -> int:
        return MOST_PANES_APART * max(spec.pane_ms for spec in self._plan.specs)

    def parts(self) -> Iterator[Part]:
        """Yield nothing: all that lasts has been shipped."""
        return iter(())

    def restore(self, kept: Kept) -> tuple[str, ...]:
        """Refuse to: there is nothing to restore."""
        raise AssertionError(f"a process that counts has no state, and got {len(kept)} parts")

    def snapshot(self, made_at: float) -> Snapshot:
        """Return no model's numbers: no process that counts has all of them."""
        return Snapshot(made_at, ())

    def _new_counts(self) -> dict[str, Any]:
        """Return what became of the events read since the last shipment."""
        now, before = asdict(self.counts), asdict(self._shipped)
        refused = {
            reason: count - before["rejected"].get(reason, 0)
            for reason, count in now.pop("rejected").items()
        }
        self._shipped = self.counts.copy()
        numbers = {name: count - before[name] for name, count in now.items()}
        return numbers | {"rejected": {reason: n for reason, n in refused.items() if n}}

    def _come(self, partition: int, newest: int, now: float) -> None:
        super()._come(partition, newest, now)
        self._newest[partition] = max(self._newest.get(partition, newest), newest)

    def _engine(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None,
        reference_id: str | None,
        store: Store | None,
    ) -> ModelTally:
        self._terms[spec.model] = model_terms(spec, layout, reference_id)
        return ModelTally(spec, layout, reference, store)


def held(partitions: Sequence[Partition], tokens: frozenset[int]) -> list[Partition]:
    """Return the partitions that go with these tokens, out of those of all inputs."""
    return [partition for partition in partitions if partition[1] in tokens]
