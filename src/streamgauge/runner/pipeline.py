"""Pipeline: messages in, results out. No Kafka and no clock, so that it can be tested whole."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import quote

from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import EventBatch
from streamgauge.core.engine import ModelEngine
from streamgauge.core.joining.store import Store
from streamgauge.core.layout import Layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.snapshot import Snapshot
from streamgauge.core.spill import IN_MEMORY, Spill
from streamgauge.core.state import (
    Kept,
    below,
    check_index,
    indexed,
    needed,
    placed,
    reading,
    value_part,
    within,
)
from streamgauge.core.state import Part as StatePart
from streamgauge.errors import ReferenceFileError, StateError
from streamgauge.formats.learning import UntypedDecoder
from streamgauge.formats.messages import Decoded, RawMessages, Rejected
from streamgauge.formats.reference_file import dump_reference, load_reference, reference_id
from streamgauge.runner.intake import Intake
from streamgauge.runner.learning import Learner, Stage
from streamgauge.runner.plan import Plan, event_time
from streamgauge.runner.stores import Partition, Stores
from streamgauge.runner.taken import Counts, Prepared
from streamgauge.runner.work import Outcome


class _Sampled(NamedTuple):
    """Refused events, and how many there are of models that have no schema yet."""

    rejected: tuple[Rejected, ...]
    new: int


COUNTED_AS: Final = 2
"""Another number for every other way in which counts are kept: what was kept before is counted
anew. 2: slices in groups."""


class Pipeline(Intake[ModelEngine]):
    """Decodes, aggregates and analyses for all models of a plan."""

    def __init__(self, plan: Plan, stores: Stores | None = None, spill: Spill = IN_MEMORY) -> None:
        self._spill = spill
        """Where closed steps of all models' windows live."""
        self._clocks: dict[Partition, int | None] = {}
        """Largest event times (ms) of partitions that are not read yet, from an earlier life."""
        self._lives: Counter[str] = Counter()
        """How often each model was begun to be counted."""
        self._told: dict[tuple[str, int, str | None], str] = {}
        self._learned = frozenset(model.spec.model for model in plan.learned)
        super().__init__(plan, stores)
        self._learners = {model.spec.model: Learner(model, plan.config) for model in plan.learned}
        self._untyped = self._build_untyped()

    def assign(self, partitions: Sequence[Partition], now: float) -> None:
        """Read these partitions, numbered in this order, from `now` (seconds of processing time).

        Those of label topics hold time up only as long as they have not been read to their end: a
        label may be about an event of long ago.
        """
        super().assign(partitions, now)
        self._resume_clocks()

    def parts(self) -> Iterator[StatePart]:
        """Yield all state that has to outlive the process; see `core.state`."""
        yield value_part("counts", asdict(self.counts))
        clocks = [
            [*partition, self.watermark.reached(number)]
            for number, partition in enumerate(self._inputs.partitions)
        ]
        clocks += [[*partition, largest] for partition, largest in self._clocks.items()]
        yield value_part("watermark", {"value": self.watermark.value, "clocks": clocks})
        for name, learner in self._learners.items():
            yield from below(f"learner/{_quoted(name)}", indexed(learner.parts()))
        for name, engine in self.engines.items():
            quoted, life = _quoted(name), self._lives[name]
            if engine.reference is not None and name in self._learned:
                content = partial(dump_reference, engine.reference)
                yield StatePart(f"reference/{quoted}", engine.reference_id, content)
            yield value_part(f"configured/{quoted}", {"sha256": self._configured(name)})
            for part in below(f"model/{quoted}", engine.parts()):
                # A model that is learned is counted anew now and then, its tokens too.
                yield part._replace(token=(life, part.token))

    def restore(self, kept: Kept) -> tuple[str, ...]:
        """Take back the parts, before any message; return the models that begin anew all the same.

        Those are the ones that are configured otherwise than when the parts were made; models that
        had none are new. Partitions count as just seen. Raises StateError for parts that are
        damaged.
        """
        counts, time = needed(kept, "counts"), needed(kept, "watermark")
        with reading("counts"):
            self.counts = Counts(**{**counts, "rejected": dict(counts["rejected"])})
        with reading("watermark"):
            self.watermark.value = time["value"]
            self._clocks = {(topic, p): largest for topic, p, largest in time["clocks"]}
        self._resume_clocks()
        for learner in list(self._learners.values()):
            self._restore_learned(learner, kept)
        changed: list[str] = []
        for name, engine in self.engines.items():
            mine = within(f"model/{_quoted(name)}", kept)
            told = kept.get(f"configured/{_quoted(name)}")
            if mine and told != {"sha256": self._configured(name)}:
                changed.append(name)
            elif mine:
                with placed(f"model/{_quoted(name)}"):
                    engine.restore(mine)
        self._decoder = self._build_decoder()
        self._labels = self._build_label_decoder()
        self._untyped = self._build_untyped()
        return tuple(changed)

    def _configured(self, name: str) -> str:
        """Return what tells whether a model's state can be gone on with."""
        engine = self.engines[name]
        spec, labels = engine.spec, engine.spec.labels
        life = (name, self._lives[name], engine.reference_id)
        if life in self._told:
            return self._told[life]
        told = (
            COUNTED_AS,
            engine.layout,
            engine.reference_id,
            spec.slices,
            spec.windows,
            spec.pane_ms,
            spec.latency,
            spec.traffic,
            bool(spec.exclusions),
            None if labels is None else (labels.max_delay_ms, labels.threshold),
            labels is not None and labels.coverage is not None,
        )
        content = repr(told).encode("utf-8", "surrogatepass")
        self._told[life] = hashlib.sha256(content).hexdigest()
        return self._told[life]

    def _restore_learned(self, learner: Learner, kept: Kept) -> None:
        """Begin to count a model again in the layout that was learned of it."""
        name, quoted = learner.name, _quoted(learner.name)
        if f"reference/{quoted}" in kept:
            try:
                with reading(f"reference/{quoted}"):
                    reference = load_reference(kept[f"reference/{quoted}"])
            except ReferenceFileError as error:
                raise StateError(f"reference/{quoted}", str(error)) from error
            self._schemas[name] = reference.layout.schema
            self._begin(learner.model.spec, reference.layout)
            self.engines[name].learned(reference, reference_id(reference))
            del self._learners[name]
            return
        mine = within(f"learner/{quoted}", kept)
        if not mine:
            return
        with placed(f"learner/{quoted}"):
            learner.restore(check_index(mine))
        if learner.layout is not None:
            self._schemas[name] = learner.layout.schema
            self._begin(learner.model.spec, learner.layout)

    def _resume_clocks(self) -> None:
        """Let the partitions go on from where they were in an earlier life."""
        for number, partition in enumerate(self._inputs.partitions):
            largest = self._clocks.pop(partition, None)
            if largest is not None:
                self.watermark.resume(number, largest)

    def process(
        self,
        messages: RawMessages,
        drained: frozenset[int],
        now: float,
        behind: frozenset[int] = frozenset(),
        prepared: Prepared | None = None,
    ) -> Outcome:
        """Take in one poll at `now` (seconds of processing time).

        `drained` are the partitions that were read to their end in it, `behind` those that have
        more than has been read.
        """
        taken = self.take(messages, drained, now, behind, prepared)
        self._graduate()
        return Outcome(taken.rejected, self._advance(now), taken.sizes)

    def _add(self, batch: EventBatch, ids: Sequence[str]) -> None:
        super()._add(batch, ids)
        learner = self._learners.get(batch.schema.model)
        if len(batch) and learner is not None and learner.stage is Stage.COUNTING:
            learner.count(batch)

    @property
    def _one_by_one(self) -> bool:
        # What is refused is compared with what a sample refuses, message by message.
        return any(x.stage is Stage.SAMPLING for x in self._learners.values())

    def _sift(
        self, messages: RawMessages, decoded: Decoded, now: float
    ) -> tuple[tuple[Rejected, ...], int]:
        rejected, accepted = super()._sift(messages, decoded, now)
        sampled = self._sample(messages, now)
        if sampled is None:
            return rejected, accepted
        if not sampled.rejected:
            return rejected, accepted + sampled.new
        known = {(item.index, item.row) for item in rejected}
        # Once there are bins for the sample so far, they decide: what they take is counted, even
        # where a feature that they do not name is none that can be learned from.
        for places in decoded.rows:
            alone = messages.arrow is None
            known |= {(at, None) if alone else (0, at) for at in places.tolist()}
        new = tuple(x for x in sampled.rejected if (x.index, x.row) not in known)
        return rejected + new, accepted + sampled.new

    def _sample(self, messages: RawMessages, now: float) -> _Sampled | None:
        """Give the models that are being sampled their events; fit bins where it is time."""
        sampling = [x for x in self._learners.values() if x.stage is Stage.SAMPLING]
        if not sampling:
            return None
        # What waits is of the engines and schemas as they are now.
        self._gathering.release()
        decoded = self._untyped.decode(messages)
        new = 0
        for learner in sampling:
            events = list(decoded.events.get(learner.name, ()))
            if not events:
                continue
            if learner.name not in self._schemas:
                new += len(events)
            learner.sample(decoded.messages, events)
            for event in events:
                partition = int(decoded.messages.partition[event.index])
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
        self._begin(learner.model.spec, learner.layout)
        for batch, ids in batches:
            self._add(batch, ids)
        self._decoder = self._build_decoder()
        self._labels = self._build_label_decoder()
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

    def snapshot(self, made_at: float) -> Snapshot:
        """Return all models' numbers; `made_at` is seconds since the epoch."""
        value = self.watermark.value
        return Snapshot(made_at, tuple(e.snapshot(value) for e in self.engines.values()))

    def _begin(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None = None,
        reference_id: str | None = None,
    ) -> None:
        self._lives[spec.model] += 1
        super()._begin(spec, layout, reference, reference_id)

    def _engine(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None,
        reference_id: str | None,
        store: Store | None,
    ) -> ModelEngine:
        return ModelEngine(spec, layout, reference, reference_id, store, self._spill)

    def _build_untyped(self) -> UntypedDecoder:
        return UntypedDecoder(
            {
                learner.name: learner.model.config.task
                for learner in self._learners.values()
                if learner.stage is Stage.SAMPLING
            },
            event_time(self._plan.config),
        )


def _quoted(model: str) -> str:
    """Return a model's name as one level of a key."""
    return quote(model, safe="", errors="surrogatepass")
