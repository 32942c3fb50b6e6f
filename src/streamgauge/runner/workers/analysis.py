"""Analysis: partials in, results out. No Kafka and no clock, so that it can be tested whole."""

from collections.abc import Sequence
from typing import Final

from streamgauge.core.contribution import admitted
from streamgauge.core.layout import Layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.spill import IN_MEMORY, Spill
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.partials import PartialsError, Progress, Sent, decode
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import Plan
from streamgauge.runner.stores import Offsets, Partition
from streamgauge.runner.taken import Counts, Prepared
from streamgauge.runner.work import Outcome
from streamgauge.runner.workers.terms import all_terms, model_terms

_AGREE: Final = (
    "all processes must run the same configuration and references: stop those that count, let this"
    " one read all partials with the configuration they were made with, then start all with the"
    " new one; or start this one once with --discard-state, which leaves those partials out"
)


class Analysis(Pipeline):
    """Analyses what others have counted, for all models of a plan.

    Time is that of the partitions that those read: they say with each shipment how far they have
    come. A partition of which nobody speaks holds time up until somebody reads it again.
    """

    def __init__(self, plan: Plan, spill: Spill = IN_MEMORY) -> None:
        super().__init__(plan, spill=spill)
        self._left: dict[Partition, int] = {}
        """Messages that those that count have not read yet, by what they last said."""
        for engine in self.engines.values():
            if engine.outcomes is not None:
                engine.outcomes.join_elsewhere()
        self._terms = {
            name: model_terms(engine.spec, engine.layout, engine.reference_id)
            for name, engine in self.engines.items()
        }

    def assign(self, partitions: Sequence[Partition], now: float) -> None:
        """Follow the time of these partitions of events, numbered in this order, from `now` (s)."""
        # Those that are followed already keep their numbers.
        known = dict.fromkeys([*self._inputs.partitions, *partitions])
        super().assign([*known], now)

    def _open_store(self, spec: ModelSpec, layout: Layout) -> None:
        """Open none: labels are joined by those that count."""

    def resume(self, committed: Offsets, floors: Offsets) -> dict[Partition, int]:  # noqa: ARG002
        """Return where to read from: there are no stores here to be built again."""
        return dict(committed)

    def checkpoint(self, offsets: Offsets) -> dict[Partition, int]:
        """Return the floors to keep beside these offsets: they themselves."""
        return dict(offsets)

    def prepare(self, messages: RawMessages) -> None:
        """Do nothing: partials are taken as they come."""

    def process(
        self,
        messages: RawMessages,
        drained: frozenset[int],  # noqa: ARG002
        now: float,
        behind: frozenset[int] = frozenset(),  # noqa: ARG002
        prepared: Prepared | None = None,  # noqa: ARG002
    ) -> Outcome:
        """Take in one poll of partials at `now` (seconds of processing time).

        Raises PartialsError for what cannot be counted.
        """
        for value, offset in zip(messages.values, messages.offset.tolist(), strict=True):
            try:
                message = decode(value)
                if isinstance(message, Progress):
                    self._follow(message, now)
                else:
                    self._merge(message)
            except PartialsError as error:
                raise PartialsError(f"partials topic: message at offset {offset} {error}") from None
        return Outcome((), self._advance(now))

    @property
    def left(self) -> int:
        """How many messages those that count have not read yet, by what they last said."""
        return sum(self._left.values())

    def ahead(self) -> frozenset[int]:
        """Return no partitions: those that count hold their own back."""
        return frozenset()

    def _merge(self, sent: Sent) -> None:
        if self._terms.get(sent.model) != sent.configured:
            raise PartialsError(
                f"was made with another configuration or reference of model {sent.model!r};"
                f" {_AGREE}"
            )
        engine = self.engines[sent.model]
        found = admitted(sent.content, engine.registry)
        last = (engine.last_event, found.last_event)
        engine.last_event = max((event for event in last if event is not None), default=None)
        engine.merge(found.partial)
        if engine.outcomes is not None:
            engine.outcomes.take(found.new, found.joined, found.grown, engine.closed)

    def _follow(self, progress: Progress, now: float) -> None:
        if progress.configured != all_terms(self._plan.config, self._terms):
            raise PartialsError(
                f"was made with a configuration of other models or topics; {_AGREE}"
            )
        numbers = {partition: i for i, partition in enumerate(self._inputs.partitions)}
        new = [(c.topic, c.partition) for c in progress.clocks]
        if not numbers.keys() >= set(new):
            # Partitions that were just added: others have found them first.
            self.assign(new, now)
            numbers = {partition: i for i, partition in enumerate(self._inputs.partitions)}
        self._left |= {(c.topic, c.partition): c.left for c in progress.clocks}
        clocks = {numbers[clock.topic, clock.partition]: clock for clock in progress.clocks}
        for number, clock in clocks.items():
            if clock.largest is not None:
                self.watermark.observe(number, clock.largest, now)
        self.watermark.hear({number: clock.drained for number, clock in clocks.items()}, now)
        self._add_counts(progress)

    def _add_counts(self, progress: Progress) -> None:
        found, counts = dict(progress.counts), self.counts
        for reason, count in found.pop("rejected").items():
            counts.rejected[reason] = counts.rejected.get(reason, 0) + count
        self.counts = Counts(
            rejected=counts.rejected,
            **{name: getattr(counts, name) + count for name, count in found.items()},
        )
