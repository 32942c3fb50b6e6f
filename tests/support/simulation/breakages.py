"""Bugs for the product, put in from outside, to see that the simulation finds them.

Some rules of the product are kept twice over; then a bug has to break both to be one. Offsets of a
zombie are refused by the group and by its epoch; a journal that runs ahead is thrown away with
everything else when a transaction fails.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import pytest
from confluent_kafka import KafkaException, TopicPartition

from streamgauge.core.state import Part
from streamgauge.formats.state_manifest import Position, Positions
from streamgauge.io.kafka import transactions
from streamgauge.io.kafka.errors import AbortableError, BrokerError, failure
from streamgauge.io.kafka.membership import GroupMetadata, Membership
from streamgauge.io.kafka.state_topic import STATE_PARTITION, StateReader
from streamgauge.io.kafka.transactions import TransactionalWriter
from streamgauge.io.kafka.verdicts import Step
from streamgauge.runner.checkpoints import Checkpoints
from streamgauge.runner.loop import Loop
from streamgauge.runner.work import Work

Breakage = Callable[[pytest.MonkeyPatch], object]


def _positions(loop: Loop, pipeline: Work) -> Positions:
    offsets = loop._reader.positions
    floors = pipeline.checkpoint(offsets)
    return {p: Position(offset, floors[p]) for p, offset in offsets.items()}


def offsets_before_results(patch: pytest.MonkeyPatch) -> None:
    """The group's offsets are committed first, and what they stand for after that."""
    checkpoint = Loop._checkpoint

    def first(self: Loop) -> None:
        if not self._behind and self._pipeline is not None and self._membership.active:
            with suppress(BrokerError):
                self._membership.commit(_positions(self, self._pipeline))
        checkpoint(self)

    patch.setattr(Loop, "_checkpoint", first)


def offsets_outside_the_transaction(patch: pytest.MonkeyPatch) -> None:
    """Results and state are committed first, and the group's offsets after that."""
    checkpoint = Loop._checkpoint

    def then(self: Loop) -> None:
        checkpoint(self)
        if not self._behind and self._pipeline is not None and self._membership.active:
            with suppress(BrokerError):
                self._membership.commit(_positions(self, self._pipeline))

    def commit(self: TransactionalWriter, positions: Positions, group: GroupMetadata) -> None:
        producer = self._within()
        self._flush(producer)
        self._patiently(Step.COMMIT, producer.commit_transaction, self._patience)
        self._open = False

    patch.setattr(TransactionalWriter, "commit", commit)
    patch.setattr(Loop, "_checkpoint", then)


def state_up_to_the_stable_offset(patch: pytest.MonkeyPatch) -> None:
    """What an open transaction hides counts as not there."""

    def stable(self: StateReader) -> tuple[int, int]:
        at = TopicPartition(self._topic, STATE_PARTITION)
        consumer = self._consumer("read_committed")
        try:
            return consumer.get_watermark_offsets(at, timeout=self._patience)
        except KafkaException as error:
            raise failure("looking up the end", error) from error

    patch.setattr(StateReader, "_range", stable)


def journal_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The journal takes a checkpoint for written that may be aborted, and the loop goes on."""

    def commit(
        self: Checkpoints, parts: Iterable[Part], positions: Positions, group: GroupMetadata
    ) -> bool:
        if not positions:
            return False
        changes = self._journal.changes(parts, positions)
        self._journal.committed()
        self._writes.begin()
        for message in self._waiting:
            self._writes.write(message.topic, message.key, message.value, message.headers)
        for key, value in changes.messages():
            self._writes.write(self._topic, key, value)
        try:
            self._writes.commit(positions, group)
        except AbortableError:
            assert isinstance(self._writes, TransactionalWriter)
            self._writes.abort()
            return False
        self._committed = dict(positions)
        self.forget()
        return True

    patch.setattr(Checkpoints, "commit", commit)


def results_written_again(patch: pytest.MonkeyPatch) -> None:
    """What was written stays in the queue."""
    commit, forget = Checkpoints.commit, Checkpoints.forget

    def kept(self: Checkpoints, *args: Any) -> bool:
        patch.setattr(Checkpoints, "forget", lambda _: None)
        try:
            return commit(self, *args)
        finally:
            patch.setattr(Checkpoints, "forget", forget)

    patch.setattr(Checkpoints, "commit", kept)


def store_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The join store is written first, and knows what may never be counted."""
    checkpoint = Loop._checkpoint

    def first(self: Loop) -> None:
        if not self._behind and self._pipeline is not None:
            self._pipeline.flush(self._reader.positions)
        checkpoint(self)

    patch.setattr(Loop, "_checkpoint", first)


def zombie_not_shut_out(patch: pytest.MonkeyPatch) -> None:
    """Every owner has a transactional id of its own, and names no member of the group."""
    numbers = count()
    patch.setattr(
        transactions, "transactional_id", lambda app: f"streamgauge.{app}.{next(numbers)}"
    )
    nobody = GroupMetadata(0, b"CGMDv2:" + (-1).to_bytes(4, "little", signed=True))
    commit = TransactionalWriter.commit

    def unnamed(self: TransactionalWriter, positions: Positions, _: GroupMetadata) -> None:
        commit(self, positions, nobody)

    patch.setattr(TransactionalWriter, "commit", unnamed)
    patch.setattr(Membership, "group_metadata", lambda _: nobody)


BREAKAGES: Final[tuple[Breakage, ...]] = (
    offsets_before_results,
    offsets_outside_the_transaction,
    state_up_to_the_stable_offset,
    journal_before_commit,
    results_written_again,
    store_before_commit,
    zombie_not_shut_out,
)
