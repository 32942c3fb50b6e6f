"""Worker: the loop of a process that counts the events of its share of the input partitions."""

import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from streamgauge.clock import Clock
from streamgauge.config.librdkafka import Setting
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka.attended import Still
from streamgauge.io.kafka.errors import BrokerError, NotMemberError
from streamgauge.io.kafka.membership import WorkerMembership, committed_by
from streamgauge.io.kafka.reader import ANSWER_S
from streamgauge.io.kafka.transactions import TransactionalWriter
from streamgauge.runner.checkpoints import Begun
from streamgauge.runner.loop import Loop
from streamgauge.runner.plan import Plan
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.replica import Connected
from streamgauge.runner.stores import (
    DiskStores,
    KeptStore,
    MemoryStores,
    Offsets,
    Partition,
    Stores,
)
from streamgauge.runner.taken import Counts
from streamgauge.runner.work import Work
from streamgauge.runner.workers.counting import Counting, held
from streamgauge.runner.workers.shipments import Shipments

SHIP_S: Final = 1.0
"""A worker ships at least this often, so that figures are not much older than in one process."""
BACKLOG_SHIP_S: Final = 3.0
"""With a backlog it ships this often: figures are old then in any case, and each shipment has a
price of its own, which as many workers pay as there are."""
COMPARE_S: Final = 1.0
"""How often a worker looks how far the others have come."""

COMPARE_WAIT_S: Final = 0.5
"""How long a comparison waits for the broker. A worker that was killed in the middle of a
transaction holds up the offsets of its partitions, and nobody else's work is to stand still."""

MOST_WORKERS: Final = 64
"""Workers that may have join stores below one folder at the same time."""

COMPARISONS: Final = 6
"""Comparisons before what a partition held then must have been read and committed: longer than
two shipments are apart."""

log = logging.getLogger(__name__)


class Worker(Loop):
    """Runs one worker: counts what it is given to read, and ships it, until told to stop.

    All workers of an app are members of one group, which shares the partitions out. When that
    changes, a worker forgets what it has not shipped and begins anew from the committed offsets.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        publisher: Publisher,
        checkpoint_took: Callable[[float], None],
    ) -> None:
        self._name = uuid.uuid4().hex[:12]
        super().__init__(plan, clock, publisher, checkpoint_took)
        self._held: frozenset[int] = frozenset()
        self._epoch = 0
        """That of the membership in which this life has begun."""
        self._all: list[Partition] = []
        self._before: dict[Partition, Position] = {}
        self._shipped = Counts()
        """What became of the messages of all lives; what was not shipped does not count."""
        self._next_comparison = 0.0
        self._ends: deque[Offsets] = deque(maxlen=COMPARISONS)
        """What partitions of others held at the last comparisons."""

    def _longest_interval(self) -> float:
        return min(SHIP_S, super()._longest_interval())

    def _connect(self, settings: dict[str, Setting], client_id: str) -> Connected:
        config = self._config
        self._settings, self._client_id = settings, client_id
        writer = TransactionalWriter(settings, client_id, config.app, self._name)
        shared = config.topics.predictions[0]
        membership = WorkerMembership(settings, config.workers_group_id, client_id, shared)
        return Connected(membership, writer, Shipments(writer))

    @property
    def _keeps_stores(self) -> bool:
        # What it would be given to read is not known before.
        return False

    def _work(self) -> None:
        if self._pipeline is not None and self._has_moved:
            log.info("the partitions are shared out anew")
            self._leave()
        super()._work()

    @property
    def _has_moved(self) -> bool:
        """Whether others may have read these partitions since this life has begun.

        The tokens alone do not tell: they may have gone, and come back.
        """
        held = self._membership.tokens, self._membership.epoch
        return held != (self._held, self._epoch)

    def _begin(self) -> Work:
        # Before the offsets are asked for: with tokens that go meanwhile, these are void.
        self._held, self._epoch = self._membership.tokens, self._membership.epoch
        return super()._begin()

    def _inputs(self, patience: float = ANSWER_S) -> tuple[list[Partition], bool]:
        partitions, labelled = super()._inputs(patience)
        topics = self._config.topics
        shared = {number for topic, number in partitions if topic == topics.predictions[0]}
        for topic, number in partitions:
            if number not in shared:
                raise StreamgaugeError(
                    f"kafka: topic {topic} has more than the {len(shared)} partitions of"
                    f" {topics.predictions[0]}, by whose numbers workers share all topics; create"
                    " it anew as wide as that, or use --role all"
                )
        self._all = partitions
        return held(partitions, self._held), labelled

    def _new_work(self, plan: Plan) -> Work:
        folder = plan.join_folder
        stores = MemoryStores() if folder is None else DiskStores(folder, MOST_WORKERS)
        return Counting(plan, self._name, SharedOut(stores, self._held), self._shipped)

    def _read_state(self, partitions: list[Partition], still: Still) -> Begun:
        """Return where the group has come to; where it never read, where one process has."""
        committed = self._membership.committed(partitions)
        missing = [partition for partition in partitions if partition not in committed]
        if missing:
            group = self._config.group_id
            committed |= committed_by(self._settings, group, self._client_id, missing)
        self._before = committed
        return self._checkpoints.begin(committed, still=still)

    def _assign(self, pipeline: Work, partitions: Sequence[Partition]) -> None:
        super()._assign(pipeline, partitions)
        assert isinstance(pipeline, Counting)
        pipeline.go_on(self._before)

    @property
    def _reads_ahead(self) -> bool:
        """Whether the next messages are read meanwhile: no, that is what other workers are for."""
        return False

    def _turn(self, pipeline: Work) -> None:
        super()._turn(pipeline)
        assert isinstance(pipeline, Counting)
        now = self._clock.monotonic()
        if self._next_checkpoint > now + SHIP_S and not self._has_backlog:
            self._next_checkpoint = now + SHIP_S
        if now >= self._next_comparison:
            self._next_comparison = now + COMPARE_S
            self._compare(pipeline)

    def _compare(self, pipeline: Counting) -> None:
        """Look if others are so far behind in event time that they have to be waited for.

        Panes stay open in the process that analyses until all have come past them. What was there
        a while ago and is not read yet is waited for; what came since may only not be committed.
        Labels are not looked at: everybody waits for those of its own partitions.
        """
        topics = self._config.topics.predictions
        others = [p for p in self._all if p[0] in topics and p[1] not in self._held]
        if not others or pipeline.furthest is None:
            return
        try:
            kept = self._membership.committed(others, COMPARE_WAIT_S)
            apart = [p for p, at in kept.items() if pipeline.is_apart(at.reached)]
            last = self._reader.last_offsets(apart)
        except BrokerError as error:
            log.info("looking how far others have come later: %s", error)
            return
        before = self._ends[0] if len(self._ends) == self._ends.maxlen else {}
        self._ends.append(last)
        slow = [kept[p].reached for p in apart if kept[p].offset < before.get(p, 0)]
        pipeline.wait_for(min((at for at in slow if at is not None), default=None))

    def _checkpoint(self) -> None:
        pipeline = self._pipeline
        assert isinstance(pipeline, Counting)
        if self._has_moved:
            # The broker looks at who commits and in which generation, not at whose partitions.
            raise NotMemberError("kafka: the partitions were shared out anew before the commit")
        if not self._behind:
            for key, value in pipeline.ship(self._reader.lag()):
                self._checkpoints.write(self._config.partials_topic, key, value, [])
        before = dict(self._committed)
        super()._checkpoint()
        if self._has_backlog:
            seldom = min(BACKLOG_SHIP_S, super()._longest_interval())
            self._next_checkpoint += seldom - self._interval
        self._tell_ranges(before)
        self._shipped = pipeline.counts.copy()

    def _tell_ranges(self, before: Offsets) -> None:
        """Log which offsets of each partition were just shipped: each is to be told once, ever."""
        if log.isEnabledFor(logging.DEBUG):
            ranges = [
                f"{topic} {number} from {before.get((topic, number), 'the start')} to {after}"
                for (topic, number), after in self._committed.items()
                if before.get((topic, number)) != after
            ]
            log.debug("shipped %s", ", ".join(ranges) or "nothing new")

    def _positions(self, pipeline: Work, offsets: Offsets) -> dict[Partition, Position]:
        assert isinstance(pipeline, Counting)
        found = super()._positions(pipeline, offsets)
        settled = pipeline.watermark.value
        return {
            p: at._replace(reached=pipeline.reached(p), settled=settled) for p, at in found.items()
        }


class SharedOut:
    """Stores of some of the partitions: those that were filled from others begin anew."""

    def __init__(self, stores: Stores, tokens: frozenset[int]) -> None:
        self._stores = stores
        self._tokens = ",".join(map(str, sorted(tokens)))

    def open(self, model: str, fingerprint: str) -> KeptStore:
        """Return a model's store; one of another fingerprint begins anew."""
        return self._stores.open(model, f"{fingerprint} of {self._tokens}")
