"""Intake: messages in, events at the engines of their models. No Kafka and no clock."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from threading import Lock
from typing import Final, Generic, TypeVar

import numpy as np

from streamgauge.core.batch import CodeArray, EventBatch, IntArray, ModelSchema
from streamgauge.core.grouping import distinct
from streamgauge.core.joining.keys import keys
from streamgauge.core.joining.store import Store
from streamgauge.core.layout import Layout
from streamgauge.core.model_counter import ModelCounter
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.watermark import Watermark, WatermarkSpec
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.messages import Decoded, DecodedLabels, RawMessages, Rejected
from streamgauge.formats.predictions import PredictionDecoder
from streamgauge.runner.gathering import Gathering
from streamgauge.runner.inputs import Floors, Inputs, Part, retention_ms
from streamgauge.runner.plan import KnownModel, Plan, event_time, fit_schema
from streamgauge.runner.stores import (
    Join,
    KeptStore,
    MemoryStores,
    Offsets,
    Partition,
    Stores,
    fingerprint,
)
from streamgauge.runner.taken import Counts, Prepared, Taken

BEGIN_TOGETHER_S: Final = 5.0
"""So long partitions wait for each other at the start, before event time is known."""
MOST_UNFLUSHED: Final = 64 << 20
"""Bytes of records in the join stores that the next checkpoint should not wait for any more."""
MOST_PANES_AHEAD = 100
"""A partition this many panes ahead of the watermark is held back: open panes take memory."""


E = TypeVar("E", bound=ModelCounter)


class Intake(ABC, Generic[E]):
    """Decodes the messages of all models of a plan and gives each model's engine its events."""

    def __init__(self, plan: Plan, stores: Stores | None = None) -> None:
        config = plan.config
        self.counts = Counts()
        self.engines: dict[str, E] = {}
        self.joins: dict[str, Join] = {}
        self.watermark = Watermark(
            WatermarkSpec(config.time.disorder, config.time.idle_after / 1000)
        )
        self._stores = stores or MemoryStores()
        self._inputs = Inputs()
        self._floors = Floors(retention_ms(plan.specs))
        self._plan = plan
        self._schemas: dict[str, ModelSchema] = {}
        self._unread: set[int] = set()
        """Partitions to wait for: neither a message nor their end was read."""
        self._waiting_until = 0.0
        self._gathering = Gathering(self._add)
        """Where Arrow batches wait for others of their poll."""
        self._decoding = Lock()
        """Decoders are used by the loop's thread, and by the one that prepares what comes next."""
        for model in plan.known:
            self._watch(model)
        self._decoder = self._build_decoder()
        self._labels = self._build_label_decoder()

    def assign(self, partitions: Sequence[Partition], now: float) -> None:
        """Read these partitions, numbered in this order, from `now` (seconds of processing time).

        Those of label topics hold time up only as long as they have not been read to their end: a
        label may be about an event of long ago.
        """
        topics = frozenset(self._plan.config.topics.labels)
        self._inputs = Inputs(tuple(partitions), topics)
        self._unread = set(range(len(partitions)))
        self._waiting_until = now + BEGIN_TOGETHER_S
        self.watermark.assign(set(range(len(partitions))), now, self._inputs.label_numbers)

    @property
    def last_event(self) -> int | None:
        """The newest event time (ms) of all models."""
        last = [e.last_event for e in self.engines.values() if e.last_event is not None]
        return max(last, default=None)

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

    @property
    def full(self) -> bool:
        """Whether so much waits in memory that the next checkpoint should not."""
        return sum(join.unflushed() for join in self.joins.values()) >= MOST_UNFLUSHED

    def flush(self, offsets: Offsets) -> None:
        """Begin to write the stores, which reflect all input up to these offsets."""
        for join in self.joins.values():
            join.flush(offsets)

    def flush_indexed(self, offsets: Offsets) -> None:
        """Write the stores in the midst of being built again, when all up to here is read.

        Another process that begins with them goes on from here. What was read beyond the committed
        offsets is not indexed: others may count it before it is read again.
        """
        indexed = {p: min(at, offsets[p]) for p, at in self._inputs.committed.items()}
        for join in self.joins.values():
            known = join.offsets or {}
            join.flush({p: max(offset, known.get(p, 0)) for p, offset in indexed.items()})

    def close(self) -> None:
        """Close the stores, once they are written; see `Join.close`."""
        with ExitStack() as closing:  # all of them, whichever fails
            for join in self.joins.values():
                closing.callback(join.close)

    def take(
        self,
        messages: RawMessages,
        drained: frozenset[int],
        now: float,
        behind: frozenset[int] = frozenset(),
        prepared: Prepared | None = None,
    ) -> Taken:
        """Give one poll's events to their engines at `now` (seconds of processing time).

        `drained` are the partitions that were read to their end in it, `behind` those that have
        more than has been read; `prepared` is what `prepare` made of the messages, if it did.
        """
        if now >= self._waiting_until:
            self._unread.clear()
        elif self._unread:
            self._unread -= {*distinct(messages.partition), *drained}
        self.index(messages)
        if prepared is None or prepared.decoders != (self._decoder, self._labels):
            fresh = self._inputs.fresh(messages)
            prepared = Prepared(*self._inputs.divided(messages, fresh))
        predictions, labels = prepared.predictions, prepared.labels
        sizes = None if messages.arrow is None else np.ones(len(messages), np.int64)
        rejected: list[Rejected] = []
        for part, decoded in self._decoded(predictions, prepared.decoded):
            rejected += self._take_predictions(part, now, decoded)
            if sizes is not None and decoded.sizes is not None:
                sizes[part.places] = decoded.sizes
        self._gathering.release()
        rejected += self._take_labels(labels, now, prepared.decoded_labels)
        self._inputs.note(messages)
        for partition in drained:
            self.watermark.set_drained(partition, True)
        for partition in behind:
            self.watermark.set_drained(partition, False)
        return Taken(tuple(rejected), sizes)

    def prepare(self, messages: RawMessages) -> Prepared | None:
        """Decode messages that are to be taken next, while others may be taken meanwhile.

        Arrow batches are left, and so are messages some of which were counted in an earlier life.
        """
        fresh = self._inputs.fresh(messages)
        if messages.arrow is not None or not fresh.all():
            return None
        predictions, labels = self._inputs.divided(messages, fresh)
        decoders = self._decoder, self._labels
        with self._decoding:
            return Prepared(
                predictions,
                labels,
                decoders[0].decode(predictions.messages),
                decoders[1].decode(labels.messages) if len(labels.messages) else None,
                decoders,
            )

    @property
    def _one_by_one(self) -> bool:
        """Whether Arrow batches are decoded one by one, though they may go together."""
        return False

    def _decoded(
        self, predictions: Part, decoded: Decoded | None = None
    ) -> Iterator[tuple[Part, Decoded]]:
        """Yield what predictions became in parts of one form; `decoded` is what JSON alone did.

        Each is decoded only when those before are counted: an Arrow batch may become large.
        """
        for run in predictions.runs():
            if run.messages.arrow is None:
                if decoded is None:
                    with self._decoding:
                        decoded = self._decoder.decode(run.messages)
                yield run, decoded
                decoded = None
                continue
            step = 1 if self._one_by_one else len(run.places)
            begin = 0
            for first in range(0, len(run.places), step):
                some = run.take(slice(first, first + step))
                for found in self._decoder.decode_arrow(some.messages):
                    assert found.sizes is not None
                    end = begin + len(found.sizes)
                    yield run.take(slice(begin, end)), found
                    begin = end

    def _take_predictions(self, part: Part, now: float, decoded: Decoded) -> tuple[Rejected, ...]:
        """Count prediction events of one form; return those that are refused."""
        messages = part.messages
        if messages.arrow is None:
            self._gathering.release()
        add = self._add if messages.arrow is None else self._gathering.take
        for batch, ids in zip(decoded.batches, decoded.ids, strict=True):
            self._observe(batch.timestamp, batch.partition, now)
            add(batch, ids)
        rejected, accepted = self._sift(messages, decoded, now)
        self.counts.unknown_fields += decoded.unknown_fields
        self._count(decoded.events, accepted, rejected, decoded.tombstones)
        return part.rejected(rejected)

    def _sift(
        self,
        messages: RawMessages,  # noqa: ARG002
        decoded: Decoded,
        now: float,  # noqa: ARG002
    ) -> tuple[tuple[Rejected, ...], int]:
        """Return the events that are refused, and how many are accepted, of those just counted."""
        return decoded.rejected, decoded.accepted

    def _take_labels(
        self, part: Part, now: float, decoded: DecodedLabels | None
    ) -> tuple[Rejected, ...]:
        """Join label events; return those that are refused."""
        messages = part.messages
        if not len(messages):
            return ()
        if decoded is None:
            with self._decoding:
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
            for _, found in self._decoded(predictions):
                for batch, ids in zip(found.batches, found.ids, strict=True):
                    if batch.schema.model == name:
                        engine.index(batch, keys(name, ids))
            with self._decoding:
                decoded = self._labels.decode(labels.messages)
            for labelled in decoded.batches:
                if labelled.schema.model == name:
                    engine.index_labels(labelled, keys(name, labelled.ids))

    def caught_up(self) -> None:
        """Note that all stores know what was counted in an earlier life."""
        for name in self.joins:
            self.engines[name].caught_up()

    def _add(self, batch: EventBatch, ids: Sequence[str]) -> None:
        name = batch.schema.model
        self.engines[name].add(batch, keys(name, ids) if name in self.joins else None)

    def _observe(self, timestamp: IntArray, partitions: CodeArray, now: float) -> None:
        """Note how far event time has come in each partition."""
        for partition in distinct(partitions):
            self._come(partition, int(timestamp[partitions == partition].max()), now)

    def _come(self, partition: int, newest: int, now: float) -> None:
        """Note an event time (ms) that a partition has come to."""
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
        """Return the partitions to hold back because their events run too far ahead.

        Before event time is known that is every partition that has been begun and not read to its
        end, until all have: or one might be read first, and of its events none would be late.
        """
        if self.watermark.value is None and self._unread:
            begun = set(range(len(self._inputs.partitions))) - self._unread
            return frozenset(n for n in begun if not self.watermark.is_drained(n))
        pane = max(spec.pane_ms for spec in self._plan.specs)
        ahead = frozenset(self.watermark.ahead(MOST_PANES_AHEAD * pane))
        for partition in ahead:
            # What waits in a partition that is held back has not been read to its end.
            self.watermark.set_drained(partition, False)
        return ahead

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
        if name in self.joins:
            self.joins.pop(name).close()
        store = self._open_store(spec, layout)
        self.engines[name] = self._engine(spec, layout, reference, reference_id, store)
        if store is not None:
            self.joins[name] = Join(self.engines[name], store)

    def _open_store(self, spec: ModelSpec, layout: Layout) -> KeptStore | None:
        """Return where a model's predictions wait for their labels, None where they do not."""
        if spec.labels is None:
            return None
        return self._stores.open(spec.model, fingerprint(spec, layout))

    @abstractmethod
    def _engine(
        self,
        spec: ModelSpec,
        layout: Layout,
        reference: Reference | None,
        reference_id: str | None,
        store: Store | None,
    ) -> E:
        """Return a new engine of a model."""

    def _build_decoder(self) -> PredictionDecoder:
        return PredictionDecoder(
            tuple(self._schemas.values()), event_time(self._plan.config), identified=self.joins
        )

    def _build_label_decoder(self) -> LabelDecoder:
        return LabelDecoder(
            tuple(schema for name, schema in self._schemas.items() if name in self.joins),
            event_time(self._plan.config),
        )
