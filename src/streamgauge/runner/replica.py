"""Replica: who is active, and what comes before that: standing by, taking over, catching up."""

import gc
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Final, NamedTuple

from streamgauge.clock import Clock
from streamgauge.config.librdkafka import Setting
from streamgauge.errors import StreamgaugeError
from streamgauge.io.kafka.attended import Still
from streamgauge.io.kafka.errors import (
    AbortableError,
    BrokerError,
    FencedError,
    NotMemberError,
    UnsettledError,
)
from streamgauge.io.kafka.group_settings import lasting
from streamgauge.io.kafka.membership import Membership
from streamgauge.io.kafka.reader import ANSWER_S, Reader
from streamgauge.io.kafka.state_topic import StateReader
from streamgauge.io.kafka.transactions import TransactionalWriter
from streamgauge.io.spilling.spill_file import SpillFile
from streamgauge.runner.checkpoints import Begun, Checkpoints, Commits
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import Plan, without_labels
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.status import Phase
from streamgauge.runner.stores import DiskStores, MemoryStores, Offsets, Partition
from streamgauge.runner.work import Work

CAREFUL_BATCH: Final = 1_000
STANDBY_WAIT_S: Final = 0.2
REFRESH_S: Final = 30.0
"""How often a replica that stands by brings its join stores up to date."""
RETRY_S: Final = 1.0
"""Pause before what failed is tried again."""

log = logging.getLogger(__name__)


class Connected(NamedTuple):
    """The group's member, what writes transactions, and what they are made of."""

    membership: Membership
    writer: TransactionalWriter
    checkpoints: Commits


class Replica(ABC):
    """Stands by until it is the active one, then works until told to stop.

    What it does then is up to its heirs. It begins with what is committed, and goes back to that
    when a transaction fails.
    """

    def __init__(
        self, plan: Plan, clock: Clock, publisher: Publisher, *, discard_state: bool = False
    ) -> None:
        config = plan.config
        settings = lasting(config.kafka.client_settings())
        client_id = f"streamgauge-{config.app}"
        self._plan = plan
        self._config = config
        self._clock = clock
        self._publisher = publisher
        self._reader = Reader(settings, config.group_id, client_id)
        self._membership, self._writer, self._checkpoints = self._connect(settings, client_id)
        self._spill = SpillFile(plan.join_folder)
        self._discard = discard_state
        self._stop = Event()
        self._was_active = False
        self._retry_at = 0.0
        self._next_refresh = 0.0
        # The first poll has no watermark yet: however late its events are, they are taken in.
        self._batch = CAREFUL_BATCH
        self._pipeline: Work | None = None
        self._committed: dict[tuple[str, int], int] = {}
        self._behind: frozenset[int] = frozenset()
        """Partitions of which the stores lack what was counted in an earlier life."""

    def _connect(self, settings: dict[str, Setting], client_id: str) -> Connected:
        """Return the group's member, what writes transactions, and what they are made of."""
        config = self._config
        writer = TransactionalWriter(settings, client_id, config.app)
        state = StateReader(settings, config.group_id, client_id, config.state_topic)
        return Connected(
            Membership(settings, config.group_id, client_id, config.state_topic),
            writer,
            Checkpoints(config.app, config.state_topic, writer, state),
        )

    def run(self, stop: Event) -> None:
        """Work until `stop` is set; what was taken in by then is written and committed.

        Raises StreamgaugeError where going on would lose events or make no sense.
        """
        self._stop = stop
        try:
            while True:
                active = self._membership.poll(0.0)
                if stop.is_set():
                    break
                if active:
                    self._work()
                else:
                    self._stand_by()
            if self._pipeline is not None:
                self._finish(self._pipeline)
        finally:
            with ExitStack() as closing:  # the last one first, whatever fails
                closing.callback(self._spill.close)
                closing.callback(self._membership.close)
                closing.callback(self._reader.close)
                closing.callback(self._writer.close)
                closing.callback(self._publisher.announce, Phase.STOPPED)
                self._leave()

    @abstractmethod
    def _activate(self, pipeline: Work, *, restored: bool) -> None:
        """Begin to be the active one, which goes on from what is `restored`, or counts anew."""

    @abstractmethod
    def _turn(self, pipeline: Work) -> None:
        """Take in what one poll brings, all the way through."""

    @abstractmethod
    def _finish(self, pipeline: Work) -> None:
        """Commit what was taken in, as far as the broker lets us, and show the last figures."""

    def _leave(self) -> None:
        """Forget all that is not committed."""
        self._checkpoints.forget()
        left, self._pipeline = self._pipeline, None
        if left is not None:
            self._behind = frozenset()
            self._reader.pause(frozenset())
            self._reader.stop()
            left.close()
            del left
            if gc.get_freeze_count():
                # Set up by `run`, which lets nothing else look through old objects soon.
                gc.collect()

    def _stand_by(self) -> None:
        if self._pipeline is not None:
            log.warning("another replica took over; standing by")
            self._leave()
            self._publisher.clear()
        if self._membership.joined and self._publisher.status.phase is not Phase.STANDBY:
            self._publisher.announce(Phase.STANDBY)
        due = self._clock.monotonic() >= self._next_refresh
        if due and self._membership.joined and self._keeps_stores:
            self._refresh()
            self._next_refresh = self._clock.monotonic() + REFRESH_S
        self._membership.poll(STANDBY_WAIT_S)

    @property
    def _keeps_stores(self) -> bool:
        """Whether this replica has join stores that last, and would have to bring up to date."""
        config = self._config
        labelled = any(model.labels is not None for model in config.models.values())
        return bool(labelled and config.topics.labels and self._plan.join_folder is not None)

    def _refresh(self) -> None:
        """Bring the join stores up to what is committed, so that taking over does not wait for it.

        It is what a takeover begins with, without shutting anybody out or counting anything.
        """
        try:
            with self._attended(active=False) as still:
                partitions, labelled = self._inputs()
                begun = self._checkpoints.look(still)
                if begun.kept is None:
                    return
                pipeline, missing = self._set_up(begun, partitions, labelled, still)
                while self._behind:
                    still()
                    self._catch_up(pipeline)
                self._leave()  # which waits until the stores are written
                log.debug("the join store was %d messages behind", missing)
        except NotMemberError as error:
            log.debug("%s; the join store stays as it is", error)
        except StreamgaugeError as error:
            # It may be another's matter: once it is this one's turn, it is told in full.
            log.debug("%s; bringing the join store up to date later", error)
        finally:
            self._leave()

    def _work(self) -> None:
        """Do one turn; go back to what is committed where its transaction fails."""
        pipeline = self._pipeline or self._take_over()
        if pipeline is None:
            return
        if self._behind:
            self._catch_up(pipeline)
            if not self._behind:
                log.info("the join store is up to date")
            return
        try:
            self._turn(pipeline)
        except (AbortableError, UnsettledError, FencedError) as error:
            self._go_back(error, "going back to the last checkpoint")

    def _go_back(self, error: BrokerError, so: str) -> None:
        log.warning("%s; %s", error, so)
        # The error holds on to what was at work, which would still be there beside what comes next.
        error.__traceback__ = None
        self._leave()
        self._retry_at = self._clock.monotonic() + RETRY_S

    def _take_over(self) -> Work | None:
        """Begin, or wait: a broker that was there will come back."""
        if self._clock.monotonic() < self._retry_at:
            self._membership.poll(STANDBY_WAIT_S)
            return None
        try:
            return self._begin()
        except NotMemberError as error:
            if self._stop.is_set():
                self._leave()
            else:
                self._go_back(error, "standing by until it is its turn")
            return None
        except BrokerError as error:
            if not self._was_active:
                raise
            self._go_back(error, "trying again")
            return None

    def _begin(self) -> Work:
        """Become active: shut out the owner before, and go on from what it committed.

        That may take longer than the group waits for a member. Raises NotMemberError where it has
        made another one active meanwhile.
        """
        with self._attended() as still:
            pipeline, begun = self._prepare(still)
        self._discard, self._was_active = False, True
        self._activate(pipeline, restored=begun.kept is not None)
        partitions = self._reader.partitions
        topics = dict.fromkeys(topic for topic, _ in partitions)
        log.info("active: reading %d partitions of %s", len(partitions), ", ".join(topics))
        return pipeline

    @contextmanager
    def _attended(self, *, active: bool = True) -> Iterator[Still]:
        """Serve the group beside long work, as the membership does; a stop meanwhile ends it too.

        What it yields raises NotMemberError in either case.
        """
        with self._membership.attended(active=active) as still:

            def look() -> None:
                still()
                if self._stop.is_set():
                    raise NotMemberError("told to stop")

            yield look

    def _prepare(self, still: Still) -> tuple[Work, Begun]:
        """Return what takes in the messages, restored, with reading begun; and what it rests on."""
        self._writer.fence()
        still()
        partitions, labelled = self._inputs()
        begun = self._read_state(partitions, still)
        pipeline, missing = self._set_up(begun, partitions, labelled, still)
        if missing:
            log.info(
                "the join store is behind: up to %d messages are read again, and not counted",
                missing,
            )
        return pipeline, begun

    def _set_up(
        self, begun: Begun, partitions: list[Partition], labelled: bool, still: Still
    ) -> tuple[Work, int]:
        """Restore what takes in the messages, and begin to read.

        Return it, and how many messages its stores have to be told again, at most.
        """
        self._check_state(begun)
        still()
        pipeline = self._new_work(self._plan if labelled else without_labels(self._plan))
        self._pipeline = pipeline
        self._assign(pipeline, partitions)
        if begun.kept is not None:
            for name in pipeline.restore(begun.kept):
                log.warning("model %s begins anew: its configuration or reference changed", name)
            self._checkpoints.adopt(pipeline.parts())
        still()
        positions = {p: begun.positions[p] for p in partitions if p in begun.positions}
        self._committed = {p: kept.offset for p, kept in positions.items()}
        start = pipeline.resume(self._committed, {p: kept.floor for p, kept in positions.items()})
        again = [p for p, offset in start.items() if offset < self._committed[p]]
        for partition, first in self._reader.first_offsets(again).items():
            start[partition] = max(start[partition], first)
        self._start_reading(partitions, start)
        numbers = range(len(partitions))
        self._behind = frozenset(i for i in numbers if self._is_behind(partitions[i]))
        if self._behind:
            self._reader.pause(frozenset(numbers) - self._behind)
        return pipeline, sum(self._committed[p] - offset for p, offset in start.items())

    def _new_work(self, plan: Plan) -> Work:
        """Return what takes in the messages, where nothing is counted yet."""
        folder = plan.join_folder
        stores = MemoryStores() if folder is None else DiskStores(folder)
        return Pipeline(plan, stores, self._spill)

    def _assign(self, pipeline: Work, partitions: Sequence[Partition]) -> None:
        pipeline.assign(partitions, self._clock.monotonic())

    def _read_state(self, partitions: list[Partition], still: Still) -> Begun:
        """Return what to go on from; what does not fit together is looked at twice.

        A replica that was held up for so long that another took over can have read its offsets
        before, and its state after that one's checkpoint.
        """
        committed = self._membership.committed(partitions)
        try:
            return self._checkpoints.begin(committed, discard=self._discard, still=still)
        except BrokerError:
            raise
        except StreamgaugeError as error:
            log.warning("%s; reading it again, in case another replica is at work", error)
        committed = self._membership.committed(partitions)
        return self._checkpoints.begin(committed, discard=self._discard, still=still)

    def _check_state(self, begun: Begun) -> None:
        """Raise StreamgaugeError where others have counted what this process would count again."""
        topic = self._config.partials_topic
        if begun.kept is not None and any(name == topic for name, _ in begun.positions):
            raise StreamgaugeError(
                f"state topic: {self._config.state_topic} is that of split roles, which have read"
                " further; go on with them (--role aggregate and analyse, or --workers), or start"
                " with --discard-state to count anew from this group's committed offsets"
            )

    def _start_reading(self, partitions: list[Partition], offsets: Offsets) -> None:
        beginning = self._config.start.value == "earliest"
        self._reader.start(partitions, offsets, from_beginning=beginning)

    def _is_behind(self, partition: Partition) -> bool:
        committed = self._committed.get(partition, 0)
        return self._reader.positions.get(partition, committed) < committed

    def _catch_up(self, pipeline: Work) -> None:
        """Read on for the stores alone; once they know all that was counted, begin to count.

        Not before: a new label may be about a prediction that a store does not know again yet, and
        their pair would be taken for one that was counted.
        """
        poll = self._reader.poll(self._batch)
        pipeline.index(poll.messages)
        partitions = self._reader.partitions
        self._behind = frozenset(
            i for i in self._behind - poll.drained if self._is_behind(partitions[i])
        )
        if self._behind:
            self._reader.pause(frozenset(range(len(partitions))) - self._behind)
            if pipeline.full:
                pipeline.flush_indexed(self._reader.positions)
        else:
            self._reader.pause(frozenset())
            self._start_reading(list(partitions), self._committed)
            pipeline.caught_up()
            pipeline.flush(self._committed)

    def _inputs(self, patience: float = ANSWER_S) -> tuple[list[Partition], bool]:
        """Return all partitions to read, and whether any of them hold labels."""
        topics = self._config.topics
        predictions = self._reader.partitions_of(topics.predictions, patience)
        labels = self._reader.partitions_of(topics.labels, patience, required=False)
        return [*predictions, *labels], bool(labels)
