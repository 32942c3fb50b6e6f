"""Pipeline: messages in, results out. No Kafka and no clock, so that it can be tested whole."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import CodeArray, EventBatch, IntArray, ModelSchema
from streamgauge.core.engine import ModelEngine, ModelSpec
from streamgauge.core.joining.keys import keys
from streamgauge.core.layout import Layout
from streamgauge.core.reference import Reference
from streamgauge.core.snapshot import Snapshot
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
from streamgauge.core.watermark import Watermark, WatermarkSpec
from streamgauge.errors import ReferenceFileError, StateError
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.learning import UntypedDecoder
from streamgauge.formats.messages import RawMessages, Rejected
from streamgauge.formats.predictions import PredictionDecoder
from streamgauge.formats.reference_file import dump_reference, load_reference, reference_id
from streamgauge.runner.inputs import Floors, Inputs, Part, retention_ms
from streamgauge.runner.learning import Learner, Stage
from streamgauge.runner.plan import KnownModel, Plan, fit_schema
from streamgauge.runner.stores import Join, MemoryStores, Offsets, Partition, Stores, fingerprint

MOST_PANES_AHEAD = 100
"""A partition this many panes ahead of the watermark is held back: open panes take memory."""


@dataclass(slots=True)
class Counts:
    """What became of the events read, since the start.

    `consumed == accepted + sum(rejected) + unknown_models + tombstones`. A message in JSON is one
    event, whatever it holds; an Arrow batch is one for each row, or one if it cannot be read.
    """

    consumed: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    unknown_models: int = 0
    unknown_fields: int = 0
    tombstones: int = 0
    labels: int = 0
    """Label events among the accepted ones."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one poll's messages lead to: dead letters and revisions of alerts, to be written.

    The rows of an Arrow batch that are refused come one after the other. `sizes (n,) int64` says
    how many events each message is, None where each is one.
    """

    rejected: tuple[Rejected, ...]
    alerts: tuple[AlertRecord, ...]
    sizes: IntArray | None = None


class _Sampled(NamedTuple):
    """Refused events, and how many there are of models that have no schema yet."""

    rejected: tuple[Rejected, ...]
    new: int


class Pipeline:
    """Decodes, aggregates and analyses for all models of a plan."""

    def __init__(self, plan: Plan, stores: Stores | None = None) -> None:
        config = plan.config
        self.counts = Counts()
        self.engines: dict[str, ModelEngine] = {}
        self.joins: dict[str, Join] = {}
        self._stores = stores or MemoryStores()
        self._inputs = Inputs()
        self._floors = Floors(retention_ms(plan.specs))
        self.watermark = Watermark(
            WatermarkSpec(config.time.disorder, config.time.idle_after / 1000)
        )
        self._clocks: dict[Partition, int | None] = {}
        """Largest event times (ms) of partitions that are not read yet, from an earlier life."""
        self._lives: Counter[str] = Counter()
        """How often each model was begun to be counted."""
        self._told: dict[tuple[str, int, str | None], str] = {}
        self._plan = plan
        self._learned = frozenset(model.spec.model for model in plan.learned)
        self._schemas: dict[str, ModelSchema] = {}
        for model in plan.known:
            self._watch(model)
        self._learners = {model.spec.model: Learner(model, config) for model in plan.learned}
        self._decoder = self._build_decoder()
        self._labels = self._build_label_decoder()
        self._untyped = self._build_untyped()

    def assign(self, partitions: Sequence[Partition], now: float) -> None:
        """Read these partitions, numbered in this order, from `now` (seconds of processing time).

        Those of label topics hold time up only as long as they have not been read to their end: a
        label may be about an event of long ago.
        """
        topics = frozenset(self._plan.config.topics.labels)
        self._inputs = Inputs(tuple(partitions), topics)
        self.watermark.assign(set(range(len(partitions))), now, self._inputs.label_numbers)
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

    def resume(self, committed: Offsets, floors: Offsets) -> dict[Partition, int]:
        """Return where to read from so that every store becomes what it was at `committed`.

        `floors` is where to begin for stores of which nothing is left. Events before `committed`
        are counted already; they only go into the stores that do not know them. All of them must
        be given to `index` before `process` gets any later event: else pairs are not counted.
        """
        self._inputs.committed = dict(committed)
        self._floors.begin(floors)
        start = dict(committed)
        for join in self.joins.values():
            known = join.offsets or {}
            for partition, offset in committed.items():
                floor = floors.get(partition, offset)
                needed = max(known.get(partition, floor), floor)
                start[partition] = min(start[partition], needed)
        return start

    def checkpoint(self, offsets: Offsets) -> dict[Partition, int]:
        """Note that all up to these offsets is taken in; return the floors to keep beside them.

        A floor is the offset from which a lost store can be built again.
        """
        return self._floors.at(offsets, self.watermark.value)

    def flush(self, offsets: Offsets) -> None:
        """Write the stores, which reflect all input up to these offsets."""
        for join in self.joins.values():
            join.flush(offsets)

    def close(self) -> None:
        """Close the stores."""
        for join in self.joins.values():
            join.close()

    def process(
        self,
        messages: RawMessages,
        drained: frozenset[int],
        now: float,
        behind: frozenset[int] = frozenset(),
    ) -> Outcome:
        """Take in one poll at `now` (seconds of processing time).

        `drained` are the partitions that were read to their end in it, `behind` those that have
        more than has been read.
        """
        self.index(messages)
        fresh = self._inputs.fresh(messages)
        predictions, labels = self._inputs.divided(messages, fresh)
        sizes = None if messages.arrow is None else np.ones(len(messages), np.int64)
        rejected: list[Rejected] = []
        for run in predictions.runs():
            refused, events = self._take_predictions(run, now)
            rejected += refused
            if sizes is not None and run.messages.arrow is not None:
                sizes[run.places] = events
        rejected += self._take_labels(labels, now)
        self._inputs.note(messages)
        for partition in drained:
            self.watermark.set_drained(partition, True)
        for partition in behind:
            self.watermark.set_drained(partition, False)
        self._graduate()
        return Outcome(tuple(rejected), self._advance(now), sizes)

    def _take_predictions(self, part: Part, now: float) -> tuple[tuple[Rejected, ...], int]:
        """Count prediction events of one form; return those that are refused, and how many all are.

        Each part is decoded only when the ones before are counted: an Arrow batch may become large.
        """
        messages = part.messages
        decoded = self._decoder.decode(messages)
        for batch, ids in zip(decoded.batches, decoded.ids, strict=True):
            self._observe(batch.timestamp, batch.partition, now)
            self._add(batch, ids)
        rejected, accepted = decoded.rejected, decoded.accepted
        sampled = self._sample(messages, now)
        if sampled is not None:
            known = {(item.index, item.row) for item in rejected}
            rejected += tuple(x for x in sampled.rejected if (x.index, x.row) not in known)
            accepted += sampled.new
        events = decoded.events
        self.counts.unknown_fields += decoded.unknown_fields
        self._count(events, accepted, rejected, decoded.tombstones)
        return part.rejected(rejected), events

    def _take_labels(self, part: Part, now: float) -> tuple[Rejected, ...]:
        """Join label events; return those that are refused."""
        messages = part.messages
        if not len(messages):
            return ()
        decoded = self._labels.decode(messages)
        for batch in decoded.batches:
            self._observe(batch.timestamp, batch.partition, now)
            name = batch.schema.model
            self.engines[name].add_labels(batch, keys(name, batch.ids))
        self.counts.labels += decoded.accepted
        self.counts.unknown_fields += decoded.unknown_fields
        self._count(len(messages), decoded.accepted, decoded.rejected, decoded.tombstones)
        return part.rejected(decoded.rejected)

    def index(self, messages: RawMessages) -> None:
        """Let the stores take in what of these messages was counted in an earlier life.

        All others are left: they are read again later.
        """
        if not self._inputs.behind:
            return
        for name, join in self.joins.items():
            unknown = self._inputs.unknown(messages, join.offsets)
            if not unknown.any():
                continue
            engine = self.engines[name]
            predictions, labels = self._inputs.divided(messages, unknown)
            for run in predictions.runs():
                found = self._decoder.decode(run.messages)
                for batch, ids in zip(found.batches, found.ids, strict=True):
                    if batch.schema.model == name:
                        engine.index(batch, keys(name, ids))
            for labelled in self._labels.decode(labels.messages).batches:
                if labelled.schema.model == name:
                    engine.index_labels(labelled, keys(name, labelled.ids))

    def caught_up(self) -> None:
        """Note that all stores know what was counted in an earlier life."""
        for name in self.joins:
            self.engines[name].caught_up()

    def _add(self, batch: EventBatch, ids: Sequence[str]) -> None:
        name = batch.schema.model
        self.engines[name].add(batch, keys(name, ids) if name in self.joins else None)
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

    def _observe(self, timestamp: IntArray, partitions: CodeArray, now: float) -> None:
        """Note how far event time has come in each partition."""
        for partition in np.unique(partitions).tolist():
            newest = int(timestamp[partitions == partition].max())
            self.watermark.observe(partition, newest, now)
            self._floors.observe(self._inputs.partitions[partition], newest)

    def _count(
        self, events: int, accepted: int, rejected: tuple[Rejected, ...], tombstones: int
    ) -> None:
        counts = self.counts
        counts.consumed += events
        counts.accepted += accepted
        counts.tombstones += tombstones
        counts.unknown_models += events - accepted - len(rejected) - tombstones
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
        self._begin(model.spec, layout, model.reference, model.reference_id)

    def _begin(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None = None,
        reference_id: str | None = None,
    ) -> None:
        """Begin to count a model's events in a layout, anew where it has been counted before."""
        name = spec.model
        self._lives[name] += 1
        if name in self.joins:
            self.joins.pop(name).close()
        if spec.labels is None:
            self.engines[name] = ModelEngine(spec, layout, reference, reference_id)
            return
        store = self._stores.open(name, fingerprint(spec, layout))
        self.engines[name] = ModelEngine(spec, layout, reference, reference_id, store)
        self.joins[name] = Join(self.engines[name], store)

    def _build_decoder(self) -> PredictionDecoder:
        events = self._plan.config.events
        return PredictionDecoder(
            tuple(self._schemas.values()),
            identified=self.joins,
            timestamp_unit=events.timestamp_unit.value,
            max_future_ms=events.max_future,
        )

    def _build_label_decoder(self) -> LabelDecoder:
        events = self._plan.config.events
        return LabelDecoder(
            tuple(schema for name, schema in self._schemas.items() if name in self.joins),
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


def _quoted(model: str) -> str:
    """Return a model's name as one level of a key."""
    return quote(model, safe="", errors="surrogatepass")
