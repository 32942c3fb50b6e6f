"""Loop: poll, process, write, commit; and the replica's life around it."""

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from streamgauge.clock import Clock
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.formats.alert_event import encode
from streamgauge.formats.messages import Rejected
from streamgauge.io.kafka.membership import Kept, Membership
from streamgauge.io.kafka.reader import Poll, Reader
from streamgauge.io.kafka.writer import Writer
from streamgauge.runner.dead_letters import StormWatch, dead_letter
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import Plan, without_labels
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.status import Phase, Status
from streamgauge.runner.stores import DiskStores, MemoryStores, Offsets, Partition

BATCH: Final = 10_000
"""Messages taken in at once at most."""
SMALLEST_BATCH: Final = 500
LONGEST_TURN_S: Final = 0.5
"""A turn that took longer halves the next batch: signals and the group must be served in time."""
STANDBY_WAIT_S: Final = 0.2
LOOK_FOR_PARTITIONS_S: Final = 30.0

log = logging.getLogger(__name__)


def next_batch(batch: int, took_s: float) -> int:
    """Return how many messages to take in next, after a turn with `batch` took so long."""
    if took_s > LONGEST_TURN_S:
        return max(SMALLEST_BATCH, batch // 2)
    if took_s < LONGEST_TURN_S / 4:
        return min(BATCH, batch * 2)
    return batch


class Loop:
    """Runs one replica: stands by until it is the active one, then works until told to stop.

    Results are written before the offsets that they rest on are committed, so a crash repeats
    work and loses none.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        publisher: Publisher,
        checkpoint_took: Callable[[float], None],
    ) -> None:
        config = plan.config
        settings = config.kafka.client_settings()
        client_id = f"streamgauge-{config.app}"
        self._plan = plan
        self._config = config
        self._clock = clock
        self._publisher = publisher
        self._checkpoint_took = checkpoint_took
        self._membership = Membership(settings, config.group_id, client_id, config.state_topic)
        self._reader = Reader(settings, config.group_id, client_id)
        self._writer = Writer(settings, client_id)
        self._storm = StormWatch(config.events.dead_letter_storm)
        self._batch = BATCH
        self._pipeline: Pipeline | None = None
        self._committed: dict[tuple[str, int], int] = {}
        self._behind: frozenset[int] = frozenset()
        """Partitions of which the stores lack what was counted in an earlier life."""
        self._checkpoints = 0
        self._last_checkpoint: float | None = None
        self._next_checkpoint = 0.0
        self._next_look = 0.0

    def run(self, stop: Event) -> None:
        """Work until `stop` is set; what was taken in by then is written and committed.

        Raises StreamgaugeError where going on would lose events or make no sense.
        """
        try:
            while not stop.is_set():
                if self._membership.poll(0.0):
                    self._work()
                else:
                    self._stand_by()
            if self._pipeline is not None:
                self._checkpoint()
                self._report(self._pipeline)
                self._publisher.publish(self._pipeline)
        finally:
            if self._pipeline is not None:
                self._pipeline.close()
            self._publisher.announce(Phase.STOPPED)
            self._reader.close()
            self._membership.close()

    def _stand_by(self) -> None:
        if self._pipeline is not None:
            log.warning("another replica took over; standing by")
            self._pipeline.close()
            self._pipeline = None
            self._behind = frozenset()
            self._reader.pause(frozenset())
            self._reader.stop()
        if self._membership.joined and self._publisher.status.phase is not Phase.STANDBY:
            self._publisher.announce(Phase.STANDBY)
        self._membership.poll(STANDBY_WAIT_S)

    def _work(self) -> None:
        """Do one turn: what one poll brings, all the way through."""
        pipeline = self._pipeline or self._begin()
        if self._behind:
            self._catch_up(pipeline)
            return
        poll = self._reader.poll(self._batch)
        now = self._clock.monotonic()
        outcome = pipeline.process(poll.messages, poll.drained, now)
        self._write_dead_letters(poll, outcome.rejected)
        self._write_alerts(outcome.alerts)
        self._batch = next_batch(self._batch, self._clock.monotonic() - now)
        self._storm.observe(len(poll.sources), outcome.rejected)
        self._reader.pause(pipeline.ahead())
        if now >= self._next_checkpoint:
            self._checkpoint()
        if now >= self._next_look:
            self._look_for_partitions(pipeline)
        if self._publisher.report_due():
            self._report(pipeline)
        if self._publisher.snapshot_due():
            self._publisher.publish(pipeline)

    def _begin(self) -> Pipeline:
        """Become active: read on from what the group has committed."""
        partitions, labelled = self._inputs()
        committed = self._membership.committed(partitions)
        now = self._clock.monotonic()
        plan = self._plan if labelled else without_labels(self._plan)
        folder = self._plan.join_folder
        pipeline = Pipeline(plan, MemoryStores() if folder is None else DiskStores(folder))
        self._pipeline = pipeline
        pipeline.assign(partitions, now)
        floors = {p: kept.floor for p, kept in committed.items()}
        self._committed = {p: kept.offset for p, kept in committed.items()}
        start = pipeline.resume(self._committed, floors)
        again = [p for p, offset in start.items() if offset < self._committed[p]]
        for partition, first in self._reader.first_offsets(again).items():
            start[partition] = max(start[partition], first)
        self._start_reading(partitions, start)
        numbers = range(len(partitions))
        self._behind = frozenset(i for i in numbers if self._is_behind(partitions[i]))
        if self._behind:
            self._reader.pause(frozenset(numbers) - self._behind)
        self._log_catching_up(start)
        self._next_checkpoint = now + self._config.checkpoint_interval / 1000
        self._next_look = now + LOOK_FOR_PARTITIONS_S
        self._publisher.announce(Phase.ACTIVE)
        topics = dict.fromkeys(topic for topic, _ in partitions)
        log.info("active: reading %d partitions of %s", len(partitions), ", ".join(topics))
        return pipeline

    def _start_reading(self, partitions: list[Partition], offsets: Offsets) -> None:
        beginning = self._config.start.value == "earliest"
        self._reader.start(partitions, offsets, from_beginning=beginning)

    def _is_behind(self, partition: Partition) -> bool:
        committed = self._committed.get(partition, 0)
        return self._reader.positions.get(partition, committed) < committed

    def _catch_up(self, pipeline: Pipeline) -> None:
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
        else:
            self._reader.pause(frozenset())
            self._start_reading(list(partitions), self._committed)
            pipeline.flush(self._committed)
            log.info("the join store is up to date")
        if self._publisher.report_due():
            self._report(pipeline)

    def _inputs(self) -> tuple[list[Partition], bool]:
        """Return all partitions to read, and whether any of them hold labels."""
        topics = self._config.topics
        predictions = self._reader.partitions_of(topics.predictions)
        labels = self._reader.partitions_of(topics.labels, required=False)
        return [*predictions, *labels], bool(labels)

    def _log_catching_up(self, start: Offsets) -> None:
        missing = sum(self._committed[p] - offset for p, offset in start.items())
        if missing:
            log.info(
                "the join store is behind: up to %d messages are read again, and not counted",
                missing,
            )

    def _checkpoint(self) -> None:
        """Make sure that all results have arrived, then commit the offsets they rest on.

        The one place where results and offsets meet: a transaction goes here. While stores catch
        up there is nothing to commit: what is read is counted already, or will be read again.
        """
        if self._behind:
            return
        began = self._clock.monotonic()
        self._writer.flush()
        pipeline = self._pipeline
        assert pipeline is not None
        positions = self._reader.positions
        changed = {p: o for p, o in positions.items() if self._committed.get(p, -1) < o}
        if changed:
            floors = pipeline.checkpoint(changed)
            self._membership.commit({p: Kept(o, floors[p]) for p, o in changed.items()})
            self._committed.update(changed)
            pipeline.flush(positions)
        self._checkpoints += 1
        self._checkpoint_took(self._clock.monotonic() - began)
        self._last_checkpoint = self._clock.wall()
        self._next_checkpoint = self._clock.monotonic() + self._config.checkpoint_interval / 1000

    def _look_for_partitions(self, pipeline: Pipeline) -> None:
        """Read partitions that were added to the topics since the start."""
        self._next_look = self._clock.monotonic() + LOOK_FOR_PARTITIONS_S
        known = set(self._reader.partitions)
        found, _ = self._inputs()
        added = [partition for partition in found if partition not in known]
        if added:
            self._reader.extend(added)
            pipeline.assign(self._reader.partitions, self._clock.monotonic())
            log.info("reading %d new partitions", len(added))

    def _write_dead_letters(self, poll: Poll, rejected: tuple[Rejected, ...]) -> None:
        payload = self._config.events.dead_letter_payload
        for item in rejected:
            letter = dead_letter(poll.sources[item.index], item, payload)
            self._writer.write(
                self._config.topics.dead_letters, letter.key, letter.value, letter.headers
            )

    def _write_alerts(self, alerts: tuple[AlertRecord, ...]) -> None:
        for record in alerts:
            message = encode(record, self._config.app, int(self._clock.wall() * 1000))
            self._writer.write(
                self._config.topics.alerts, message.key, message.value, [*message.headers]
            )
            log.info("alert %s: %s", record.status.value, record.summary)

    def _report(self, pipeline: Pipeline) -> None:
        counts, engines = pipeline.counts, pipeline.engines.values()
        last = [engine.last_event for engine in engines if engine.last_event is not None]
        self._publisher.report(
            Status(
                phase=Phase.ACTIVE,
                consumed=counts.consumed,
                accepted=counts.accepted,
                rejected=dict(counts.rejected),
                unknown_models=counts.unknown_models,
                unknown_fields=counts.unknown_fields,
                tombstones=counts.tombstones,
                lag=self._reader.lag(),
                watermark=pipeline.watermark.value,
                last_event=max(last, default=None),
                rebalances=self._membership.rebalances,
                checkpoints=self._checkpoints,
                last_checkpoint=self._last_checkpoint,
                paused=len(self._reader.paused),
            ),
        )
