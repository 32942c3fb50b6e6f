"""Loop: poll, process, write, commit."""

import logging
import os
from collections.abc import Callable
from typing import Final

from streamgauge.clock import Clock
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.formats.alert_event import encode
from streamgauge.formats.messages import Rejected
from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka.errors import BrokerError, TransactionError
from streamgauge.io.kafka.reader import Poll
from streamgauge.runner.dead_letters import StormWatch, dead_letters
from streamgauge.runner.plan import Plan
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.replica import CAREFUL_BATCH, Replica
from streamgauge.runner.showing import Showing
from streamgauge.runner.status import Phase, Status
from streamgauge.runner.stores import Offsets, Partition
from streamgauge.runner.work import Work

BATCH: Final = 20_000
"""Messages taken in at once at most."""
SMALLEST_BATCH: Final = 500
LONGEST_TURN_S: Final = 0.5
"""A turn that took longer halves the next batch: signals and the group must be served in time."""
LOOK_FOR_PARTITIONS_S: Final = 30.0
LOOK_WAIT_S: Final = 3.0
"""How long each look may take: nothing else is done meanwhile, nor the group served."""
ALERT_WAIT_S: Final = 0.5
"""An alert waits no longer than this for the next checkpoint."""
HOLD_BACK: Final = 2.0
"""After a start figures are held back for this many checkpoints' time at most; see `Showing`."""

BACKLOG: Final = 100_000
"""With so many messages left to read there is more than this process can do at once."""

PROCESSORS: Final = (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)
"""How many this process may use."""

log = logging.getLogger(__name__)


def next_batch(batch: int, took_s: float) -> int:
    """Return how many messages to take in next, after a turn with `batch` took so long."""
    if took_s > LONGEST_TURN_S:
        return max(SMALLEST_BATCH, batch // 2)
    if took_s < LONGEST_TURN_S / 4:
        return min(BATCH, batch * 2)
    return batch


class Loop(Replica):
    """Runs one replica, which does all that there is to do while it is active.

    Results, state and offsets are committed in one transaction, so a crash loses nothing and
    counts nothing twice.
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
        super().__init__(plan, clock, publisher, discard_state=discard_state)
        self._checkpoint_took = checkpoint_took
        self._storm = StormWatch(self._config.events.dead_letter_storm)
        self._interval = self._longest_interval()
        self._showing = Showing(HOLD_BACK * self._interval)
        self._checkpoint_count = 0
        self._last_checkpoint: float | None = None
        self._next_checkpoint = 0.0
        self._next_look = 0.0

    @property
    def _reads_ahead(self) -> bool:
        """Whether the next messages are read and decoded while these are counted."""
        return PROCESSORS > 1

    @property
    def _has_backlog(self) -> bool:
        return sum(self._reader.lag().values()) >= BACKLOG

    @property
    def _snapshot_due(self) -> bool:
        due = self._publisher.snapshot_due
        return due(idle=True) and due(idle=not self._has_backlog)

    def _longest_interval(self) -> float:
        """Return how often checkpoints are made (s)."""
        return self._config.checkpoint_interval / 1000

    def _activate(self, pipeline: Work, *, restored: bool) -> None:
        now = self._clock.monotonic()
        self._showing.begin(now, restored=restored)
        self._next_checkpoint = now + self._interval
        self._next_look = now + LOOK_FOR_PARTITIONS_S
        self._publisher.announce(Phase.ACTIVE)
        if not restored:
            self._report(pipeline)

    def _catch_up(self, pipeline: Work) -> None:
        super()._catch_up(pipeline)
        if not self._behind:
            self._showing.begin(self._clock.monotonic(), restored=True)

    def _turn(self, pipeline: Work) -> None:
        # While some partitions are held back, a large batch would let the others run as far ahead.
        most = min(self._batch, CAREFUL_BATCH) if self._reader.paused else self._batch
        poll = self._reader.poll(most, pipeline.prepare if self._reads_ahead else None)
        now = self._clock.monotonic()
        behind = self._reader.behind()
        outcome = pipeline.process(poll.messages, poll.drained - behind, now, behind, poll.prepared)
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
        due = self._publisher.report_due(), self._snapshot_due
        if not any(due) or not self._showing.may(now, self._reader.positions, behind=bool(behind)):
            return
        if due[0]:
            self._report(pipeline)
        if due[1]:
            self._publisher.publish(pipeline)

    def _finish(self, pipeline: Work) -> None:
        try:
            self._checkpoint()
        except TransactionError as error:
            log.warning("%s; what came since the last checkpoint is read again at the start", error)
        behind = bool(self._reader.behind())
        if self._showing.may(self._clock.monotonic(), self._reader.positions, behind=behind):
            self._report(pipeline)
            self._publisher.publish(pipeline)

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
                spilled_bytes=self._spill.nbytes,
                spill_failures=self._spill.failures,
                last_checkpoint=self._last_checkpoint,
                paused=len(self._reader.paused),
            ),
        )
