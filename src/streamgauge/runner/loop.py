"""Loop: poll, process, write, commit; and the replica's life around it."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Final, NamedTuple

from streamgauge.clock import Clock
from streamgauge.config.librdkafka import Setting
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.alert_event import encode
from streamgauge.formats.messages import Rejected
from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka.attended import Still
from streamgauge.io.kafka.errors import (
    AbortableError,
    BrokerError,
    FencedError,
    NotMemberError,
    TransactionError,
    UnsettledError,
)
from streamgauge.io.kafka.group_settings import lasting
from streamgauge.io.kafka.membership import Membership
from streamgauge.io.kafka.reader import ANSWER_S, Poll, Reader
from streamgauge.io.kafka.state_topic import StateReader
from streamgauge.io.kafka.transactions import TransactionalWriter
from streamgauge.runner.checkpoints import Begun, Checkpoints, Commits
from streamgauge.runner.dead_letters import StormWatch, dead_letters
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import Plan, without_labels
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.showing import Showing
from streamgauge.runner.status import Phase, Status
from streamgauge.runner.stores import DiskStores, MemoryStores, Offsets, Partition
from streamgauge.runner.work import Work

BATCH: Final = 20_000
"""Messages taken in at once at most."""
SMALLEST_BATCH: Final = 500
CAREFUL_BATCH: Final = 1_000
LONGEST_TURN_S: Final = 0.5
"""A turn that took longer halves the next batch: signals and the group must be served in time."""
STANDBY_WAIT_S: Final = 0.2
LOOK_FOR_PARTITIONS_S: Final = 30.0
LOOK_WAIT_S: Final = 3.0
"""How long each look may take: nothing else is done meanwhile, nor the group served."""
ALERT_WAIT_S: Final = 0.5
"""An alert waits no longer than this for the next checkpoint."""
HOLD_BACK: Final = 2.0
"""After a start figures are held back for this many checkpoints' time at most; see `Showing`."""
REFRESH_S: Final = 30.0
"""How often a replica that stands by brings its join stores up to date."""
RETRY_S: Final = 1.0
"""Pause before what failed is tried again."""

log = logging.getLogger(__name__)


def next_batch(batch: int, took_s: float) -> int:
    """Return how many messages to take in next, after a turn with `batch` took so long."""
    if took_s > LONGEST_TURN_S:
        return max(SMALLEST_BATCH, batch // 2)
    if took_s < LONGEST_TURN_S / 4:
        return min(BATCH, batch * 2)
    return batch


class Connected(NamedTuple):
    """The group's member, what writes transactions, and what they are made of."""

    membership: Membership
    writer: TransactionalWriter
    checkpoints: Commits


class Loop:
    """Runs one replica: stands by until it is the active one, then works until told to stop.

    Results, state and offsets are committed in one transaction, so a crash loses nothing and
    counts nothing twice. When a transaction fails, the replica goes back to what is committed.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        publisher: Publisher,
        checkpoint_took: Callable[[float], None],
        *,
        discard_state: bool = False,
    ) -> None:
        config = plan.config
        settings = lasting(config.kafka.client_settings())
        client_id = f"streamgauge-{config.app}"
        self._plan = plan
        self._config = config
        self._clock = clock
        self._publisher = publisher
        self._checkpoint_took = checkpoint_took
        self._reader = Reader(settings, config.group_id, client_id)
        self._membership, self._writer, self._checkpoints = self._connect(settings, client_id)
        self._discard = discard_state
        self._stop = Event()
        self._was_active = False
        self._retry_at = 0.0
        self._storm = StormWatch(config.events.dead_letter_storm)
        # The first poll has no watermark yet: however late its events are, they are taken in.
        self._batch = CAREFUL_BATCH
        self._pipeline: Work | None = None
        self._committed: dict[tuple[str, int], int] = {}
        self._behind: frozenset[int] = frozenset()
        """Partitions of which the stores lack what was counted in an earlier life."""
        self._interval = self._longest_interval()
        self._showing = Showing(HOLD_BACK * self._interval)
        self._checkpoint_count = 0
        self._last_checkpoint: float | None = None
        self._next_checkpoint = 0.0
        self._next_look = 0.0
        self._next_refresh = 0.0

    def _longest_interval(self) -> float:
        """Return how often checkpoints are made (s)."""
        return self._config.checkpoint_interval / 1000

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
            while not stop.is_set():
                if self._membership.poll(0.0):
                    self._work()
                else:
                    self._stand_by()
            if self._pipeline is not None:
                self._finish(self._pipeline)
        finally:
            self._leave()
            self._publisher.announce(Phase.STOPPED)
            self._writer.close()
            self._reader.close()
            self._membership.close()

    def _finish(self, pipeline: Work) -> None:
        """Commit what was taken in, as far as the broker lets us, and show the last figures."""
        try:
            self._checkpoint()
        except TransactionError as error:
            log.warning("%s; what came since the last checkpoint is read again at the start", error)
        behind = bool(self._reader.behind())
        if self._showing.may(self._clock.monotonic(), self._reader.positions, behind=behind):
            self._report(pipeline)
            self._publisher.publish(pipeline)

    def _leave(self) -> None:
        """Forget all that is not committed."""
        self._checkpoints.forget()
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
            self._behind = frozenset()
            self._reader.pause(frozenset())
            self._reader.stop()
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
                begun = self._checkpoints.begin(None, still=still)
                if begun.kept is None:
                    return
                pipeline, missing = self._set_up(begun, partitions, labelled, still)
                while self._behind:
                    still()
                    self._catch_up(pipeline)
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

    def _turn(self, pipeline: Work) -> None:
        """Take in what one poll brings, all the way through."""
        # While some partitions are held back, a large batch would let the others run as far ahead.
        most = min(self._batch, CAREFUL_BATCH) if self._reader.paused else self._batch
        poll = self._reader.poll(most)
        now = self._clock.monotonic()
        behind = self._reader.behind()
        outcome = pipeline.process(poll.messages, poll.drained - behind, now, behind)
        self._write_dead_letters(poll, outcome.rejected)
        self._write_alerts(outcome.alerts)
        self._batch = next_batch(self._batch, self._clock.monotonic() - now)
        self._storm.observe(len(poll.sources), outcome.rejected, outcome.sizes)
        self._reader.pause(pipeline.ahead())
        if outcome.alerts:
            self._next_checkpoint = min(self._next_checkpoint, now + ALERT_WAIT_S)
        if now >= self._next_checkpoint or self._checkpoints.full or pipeline.full:
            self._checkpoint()
        if now >= self._next_look:
            self._look_for_partitions(pipeline)
        due = self._publisher.report_due(), self._publisher.snapshot_due()
        if not any(due) or not self._showing.may(now, self._reader.positions, behind=bool(behind)):
            return
        if due[0]:
            self._report(pipeline)
        if due[1]:
            self._publisher.publish(pipeline, idle=not poll.full)

    def _begin(self) -> Work:
        """Become active: shut out the owner before, and go on from what it committed.

        That may take longer than the group waits for a member. Raises NotMemberError where it has
        made another one active meanwhile.
        """
        with self._attended() as still:
            pipeline, begun = self._prepare(still)
        now = self._clock.monotonic()
        self._showing.begin(now, restored=begun.kept is not None)
        self._next_checkpoint = now + self._interval
        self._next_look = now + LOOK_FOR_PARTITIONS_S
        self._discard, self._was_active = False, True
        self._publisher.announce(Phase.ACTIVE)
        if begun.kept is None:
            self._report(pipeline)
        partitions = self._reader.partitions
        topics = dict.fromkeys(topic for topic, _ in partitions)
        log.info("active: reading %d partitions of %s", len(partitions), ", ".join(topics))
        return pipeline

    @contextmanager
    def _attended(self, *, active: bool = True) -> Iterator[Still]:
        """Serve the group beside long work, as the membership does; a stop meanwhile ends it too.

        What it yields raises NotMemberError in either case.
        """
        told_before = self._stop.is_set()
        with self._membership.attended(active=active) as still:

            def look() -> None:
                still()
                if self._stop.is_set() and not told_before:
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
        return Pipeline(plan, MemoryStores() if folder is None else DiskStores(folder))

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
            self._showing.begin(self._clock.monotonic(), restored=True)

    def _inputs(self, patience: float = ANSWER_S) -> tuple[list[Partition], bool]:
        """Return all partitions to read, and whether any of them hold labels."""
        topics = self._config.topics
        predictions = self._reader.partitions_of(topics.predictions, patience)
        labels = self._reader.partitions_of(topics.labels, patience, required=False)
        return [*predictions, *labels], bool(labels)

    def _checkpoint(self) -> None:
        """Commit results, state and offsets together, then write the join stores.

        While stores catch up there is nothing to commit: what is read is counted already, or will
        be read again. Raises TransactionError.
        """
        if self._behind:
            return
        began = self._clock.monotonic()
        pipeline = self._pipeline
        assert pipeline is not None
        offsets = self._reader.positions
        positions = self._positions(pipeline, offsets)
        group = self._membership.group_metadata()
        # Where the broker is away a commit takes long, and the way back into the group begins now.
        with self._membership.attended():
            changed = self._checkpoints.commit(pipeline.parts(), positions, group)
        if changed:
            self._committed.update(offsets)
            pipeline.flush(offsets)
        self._checkpoint_count += 1
        self._checkpoint_took(self._clock.monotonic() - began)
        self._last_checkpoint = self._clock.wall()
        self._next_checkpoint = self._clock.monotonic() + self._interval

    def _positions(self, pipeline: Work, offsets: Offsets) -> dict[Partition, Position]:
        """Return what to commit of partitions that are read up to these offsets."""
        floors = pipeline.checkpoint(offsets)
        return {p: Position(offset, floors[p]) for p, offset in offsets.items()}

    def _look_for_partitions(self, pipeline: Work) -> None:
        """Read partitions that were added to the topics since the start."""
        self._next_look = self._clock.monotonic() + LOOK_FOR_PARTITIONS_S
        known = set(self._reader.partitions)
        try:
            found, _ = self._inputs(LOOK_WAIT_S)
        except BrokerError as error:
            log.warning("%s; looking for new partitions later", error)
            return
        added = [partition for partition in found if partition not in known]
        if added:
            self._reader.extend(added)
            self._assign(pipeline, self._reader.partitions)
            log.info("reading %d new partitions", len(added))

    def _write_dead_letters(self, poll: Poll, rejected: tuple[Rejected, ...]) -> None:
        payload = self._config.events.dead_letter_payload
        for letter in dead_letters(poll.sources, rejected, payload):
            self._checkpoints.write(
                self._config.topics.dead_letters, letter.key, letter.value, letter.headers
            )

    def _write_alerts(self, alerts: tuple[AlertRecord, ...]) -> None:
        for record in alerts:
            message = encode(record, self._config.app, int(self._clock.wall() * 1000))
            self._checkpoints.write(
                self._config.topics.alerts, message.key, message.value, [*message.headers]
            )
            log.info("alert %s: %s", record.status.value, record.summary)

    def _report(self, pipeline: Work) -> None:
        counts = pipeline.counts
        self._publisher.report(
            Status(
                phase=Phase.ACTIVE,
                counted=True,
                consumed=counts.consumed,
                accepted=counts.accepted,
                rejected=dict(counts.rejected),
                unknown_models=counts.unknown_models,
                unknown_fields=counts.unknown_fields,
                tombstones=counts.tombstones,
                lag=self._reader.lag(),
                watermark=pipeline.watermark.value,
                last_event=pipeline.last_event,
                rebalances=self._membership.rebalances,
                checkpoints=self._checkpoint_count,
                state_bytes=self._checkpoints.state_bytes,
                last_checkpoint=self._last_checkpoint,
                paused=len(self._reader.paused),
            ),
        )
