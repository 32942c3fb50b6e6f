"""Pipeline: messages in, results out. No Kafka and no clock, so that it can be tested whole."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import EventBatch, ModelSchema
from streamgauge.core.engine import ModelEngine
from streamgauge.core.layout import Layout
from streamgauge.core.snapshot import Snapshot
from streamgauge.core.watermark import Watermark, WatermarkSpec
from streamgauge.formats.learning import UntypedDecoder
from streamgauge.formats.messages import Decoded, RawMessages, Rejected
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.reference_file import reference_id
from streamgauge.runner.learning import Learner, Stage
from streamgauge.runner.plan import KnownModel, Plan, fit_schema

MOST_PANES_AHEAD = 1_000
"""A partition this many panes ahead of the watermark is held back: open panes take memory."""


@dataclass(slots=True)
class Counts:
    """What became of the messages read, since the start."""

    consumed: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    unknown_models: int = 0
    unknown_fields: int = 0
    tombstones: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one poll's messages lead to: dead letters and revisions of alerts, to be written."""

    rejected: tuple[Rejected, ...]
    alerts: tuple[AlertRecord, ...]


class _Sampled(NamedTuple):
    """Refused messages, and how many events of models that have no schema yet."""

    rejected: tuple[Rejected, ...]
    new: int


class Pipeline:
    """Decodes, aggregates and analyses for all models of a plan."""

    def __init__(self, plan: Plan) -> None:
        config = plan.config
        self.counts = Counts()
        self.engines: dict[str, ModelEngine] = {}
        self.watermark = Watermark(
            WatermarkSpec(config.time.disorder, config.time.idle_after / 1000)
        )
        self._plan = plan
        self._schemas: dict[str, ModelSchema] = {}
        for model in plan.known:
            self._watch(model)
        self._learners = {model.spec.model: Learner(model, config) for model in plan.learned}
        self._decoder = self._build_decoder()
        self._untyped = self._build_untyped()

    def process(self, messages: RawMessages, drained: frozenset[int], now: float) -> Outcome:
        """Take in one poll at `now` (seconds of processing time).

        `drained` are the partitions that were read to their end in it.
        """
        decoded = self._decoder.decode(messages)
        for batch in decoded.batches:
            self._observe(batch, now)
            self._add(batch)
        rejected, accepted = decoded.rejected, decoded.accepted
        sampled = self._sample(messages, now)
        if sampled is not None:
            known = {item.index for item in rejected}
            rejected += tuple(item for item in sampled.rejected if item.index not in known)
            accepted += sampled.new
        self._count(messages, decoded, rejected, accepted)
        for partition in drained:
            self.watermark.set_drained(partition, True)
        self._graduate()
        return Outcome(rejected, self._advance(now))

    def _add(self, batch: EventBatch) -> None:
        name = batch.schema.model
        self.engines[name].add(batch)
        learner = self._learners.get(name)
        if len(batch) and learner is not None and learner.stage is Stage.COUNTING:
            learner.count(batch)

    def _sample(self, messages: RawMessages, now: float) -> _Sampled | None:
        """Give the models that are being sampled their events; fit bins where it is time."""
        sampling = [x for x in self._learners.values() if x.stage is Stage.SAMPLING]
        if not sampling:
            return None
        decoded = self._untyped.decode(messages)
        new = 0
        for learner in sampling:
            events = list(decoded.events.get(learner.name, ()))
            if not events:
                continue
            if learner.name not in self._schemas:
                new += len(events)
            learner.sample(messages, events)
            for event in events:
                partition = int(messages.partition[event.index])
                self.watermark.observe(partition, event.timestamp, now)
            if learner.due():
                self._refit(learner)
        return _Sampled(decoded.rejected, new)

    def _refit(self, learner: Learner) -> None:
        """Count a model's events so far again, in the bins that they suggest now."""
        batches = learner.fit()
        assert learner.schema is not None
        assert learner.layout is not None
        self._schemas[learner.name] = learner.schema
        self.engines[learner.name] = ModelEngine(learner.model.spec, learner.layout, None, None)
        for batch in batches:
            self._add(batch)
        self._decoder = self._build_decoder()
        self._untyped = self._build_untyped()

    def _graduate(self) -> None:
        """Begin to compare where a reference has been learned."""
        for name, learner in list(self._learners.items()):
            reference = learner.learned()
            if reference is not None:
                self.engines[name].learned(reference, reference_id(reference))
                del self._learners[name]

    def _advance(self, now: float) -> tuple[AlertRecord, ...]:
        watermark = self.watermark.advance(now)
        if watermark is None:
            return ()
        return tuple(
            record for engine in self.engines.values() for record in engine.advance(watermark)
        )

    def _observe(self, batch: EventBatch, now: float) -> None:
        """Note how far event time has come in each partition."""
        for partition in np.unique(batch.partition).tolist():
            newest = int(batch.timestamp[batch.partition == partition].max())
            self.watermark.observe(partition, newest, now)

    def _count(
        self,
        messages: RawMessages,
        decoded: Decoded,
        rejected: tuple[Rejected, ...],
        accepted: int,
    ) -> None:
        counts = self.counts
        counts.consumed += len(messages)
        counts.accepted += accepted
        counts.tombstones += decoded.tombstones
        counts.unknown_fields += decoded.unknown_fields
        counts.unknown_models += len(messages) - accepted - len(rejected) - decoded.tombstones
        for item in rejected:
            reason = item.reason.value
            counts.rejected[reason] = counts.rejected.get(reason, 0) + 1

    def ahead(self) -> frozenset[int]:
        """Return the partitions to hold back because their events run too far ahead."""
        pane = max(spec.pane_ms for spec in self._plan.specs)
        ahead = frozenset(self.watermark.ahead(MOST_PANES_AHEAD * pane))
        for partition in ahead:
            # What waits in a partition that is held back has not been read to its end.
            self.watermark.set_drained(partition, False)
        return ahead

    def snapshot(self, made_at: float) -> Snapshot:
        """Return all models' numbers; `made_at` is seconds since the epoch."""
        value = self.watermark.value
        return Snapshot(made_at, tuple(e.snapshot(value) for e in self.engines.values()))

    def _watch(self, model: KnownModel) -> None:
        """Begin to monitor a model whose reference is known."""
        name = model.spec.model
        schema = fit_schema(name, self._plan.config.models[name], model.reference)
        layout = Layout(schema, model.reference.layout.fields)
        self._schemas[name] = schema
        self.engines[name] = ModelEngine(model.spec, layout, model.reference, model.reference_id)

    def _build_decoder(self) -> NativeDecoder:
        events = self._plan.config.events
        return NativeDecoder(
            tuple(self._schemas.values()),
            timestamp_unit=events.timestamp_unit.value,
            max_future_ms=events.max_future,
        )

    def _build_untyped(self) -> UntypedDecoder:
        events = self._plan.config.events
        return UntypedDecoder(
            {
                learner.name: learner.model.config.task
                for learner in self._learners.values()
                if learner.stage is Stage.SAMPLING
            },
            timestamp_unit=events.timestamp_unit.value,
            max_future_ms=events.max_future,
        )
