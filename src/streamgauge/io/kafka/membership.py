"""Membership: of all replicas of an app, the one that holds the state topic's partition 0 works."""

import json
import logging
import re
import struct
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamgauge.config.librdkafka import Setting
from streamgauge.formats.state_manifest import Position, Positions
from streamgauge.io.kafka.attended import Still, attended
from streamgauge.io.kafka.bounded import aside
from streamgauge.io.kafka.client_log import client_logger
from streamgauge.io.kafka.errors import PASSING, BrokerError, NotMemberError, failure
from streamgauge.io.kafka.group_settings import (
    as_member,
    as_single,
    longest_pause_s,
    session_s,
)

log = logging.getLogger(__name__)

ACTIVE_PARTITION = 0
SETTLED_WITHIN_S: Final = 15.0
"""A member that has stood still for so long on its way into the group joins it anew."""
_ANSWER_S: Final = 5.0
"""How much later than it must a broker may answer one that asks to join."""
_AT_REST: Final = ("up", "steady")
_ASKING: Final = "wait-join"
PATIENCE_S: Final = 30.0
"""How long committed offsets are waited for: longer than brokers keep an abandoned transaction."""
_OFFSETS_AT_ONCE_S: Final = 5.0
"""The client lets one thread in at a time: for so long the group is not served meanwhile."""
_PAUSE_S: Final = 0.2
SETTLED_ONLY: Final = {"isolation.level": "read_committed"}
"""Committed offsets are told without those of open transactions, which are waited for instead.

What a former owner has in flight is counted once it is committed, and by nobody else: a member that
did not wait would begin before it, and count it again.
"""
_STATISTICS_MS: Final = 1_000
_LONGEST_GAP_S: Final = 1.0
_NOTES: Final = re.compile(r"floor=(\d+)(?: reached=(-?\d+))?(?: settled=(-?\d+))?")
"""What the metadata of a committed offset say besides the offset."""
_METADATA: Final = b"CGMDv2:"
"""What stands before the generation in the client's group metadata."""


Kept = Position
"""What is committed of a partition."""


class GroupMetadata(NamedTuple):
    """What tells the broker which member commits, as the client wants it, and its generation."""

    generation: int
    """-1 before the first join: the broker would let that commit to an empty group unfenced."""
    raw: object

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Read the generation out of the client's opaque bytes.

        Raises BrokerError where a client of another version makes them otherwise.
        """
        if not raw.startswith(_METADATA):
            raise BrokerError(
                f"kafka: the client's group metadata begins with {raw[:8]!r}, not {_METADATA!r};"
                " use a version of confluent-kafka that this release supports"
            )
        (generation,) = struct.unpack_from("=i", raw, len(_METADATA))
        return cls(generation, raw)


class Membership:
    """Joins the app's group on the state topic; commits offsets as its member.

    Every replica subscribes; whoever is given partition 0 is active and reads all inputs, the
    others stand by. `poll` must be called more often than `max.poll.interval.ms` (20 s, or twice
    the session's timeout); what takes longer is `attended`.
    """

    def __init__(
        self, settings: Mapping[str, Setting], group_id: str, client_id: str, topic: str
    ) -> None:
        self.tokens: frozenset[int] = frozenset()
        """The partitions of the topic that this member holds."""
        self.joined = False
        """Whether the group has said who is active."""
        self.rebalances = 0
        self.epoch = 0
        """Grows when tokens are given or taken: what was begun in an earlier one is void, even if
        the same tokens have come back since."""
        self._topic = topic
        self._settings: dict[str, Any] = {
            **as_member(settings),
            **SETTLED_ONLY,
            "group.id": group_id,
            "client.id": client_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest",
            # Sticky, so that a replica that joins takes nothing from the one that works.
            "partition.assignment.strategy": "cooperative-sticky",
            "statistics.interval.ms": _STATISTICS_MS,
            "stats_cb": self._told,
            "logger": client_logger(),
        }
        # Whoever leaves while the broker holds its answer back stays there, as a lost member: the
        # group must have had its time before to go on without those it waits for.
        self._answered_s = longest_pause_s(self._settings) + session_s(self._settings) + _ANSWER_S
        self._stands: tuple[str, str] | None = None
        """Where the client has said that it stands; None before it has said anything."""
        self._stood = 0.0
        self._polled = time.monotonic()
        self._consumer = self._join()

    def _join(self) -> Consumer:
        consumer = Consumer(self._settings)
        consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )
        return consumer

    @property
    def active(self) -> bool:
        """Whether this member works: it holds the one partition that counts."""
        return ACTIVE_PARTITION in self.tokens

    def poll(self, timeout: float) -> bool:
        """Serve the group; return whether this replica is active.

        Raises BrokerError where the broker refuses the group or the topic.
        """
        self._serve(timeout)
        self._look_after_itself()
        return self.active

    def attended(self, *, active: bool = True) -> AbstractContextManager[Still]:
        """Serve the group beside long work, which must not poll; other calls are fine.

        Yields what the work calls now and then: it raises NotMemberError where this member holds
        something else than at the beginning, or has lost it meanwhile, and BrokerError as `poll`.
        Work of one that stands by (not `active`) is for as long as it does.
        """
        epoch = self.epoch

        def still() -> None:
            if self.active is not active or self.epoch != epoch:
                raise NotMemberError("kafka: the group has shared out its work anew")

        return attended(self._serve, still)

    def _serve(self, timeout: float) -> None:
        message = self._consumer.poll(timeout)
        error = message.error() if message is not None else None
        if error is not None and not error.retriable() and error.code() not in PASSING:
            raise failure(f"joining the group on {self._topic}", error)

    def _told(self, statistics: str) -> None:
        """Take what the client tells of itself: see `_look_after_itself`."""
        group = json.loads(statistics).get("cgrp") or {}
        stands = group.get("state", ""), group.get("join_state", "")
        if stands != self._stands or stands == _AT_REST:
            self._stood = 0.0
        self._stands = stands

    def _look_after_itself(self) -> None:
        """Join anew, as another member, where the client stands still on its way into the group.

        Only time in which this member was polled counts.
        """
        now = time.monotonic()
        gap, self._polled = min(now - self._polled, _LONGEST_GAP_S), now
        if self._stands is None:
            return
        self._stood += gap
        asking = self._stands[1] == _ASKING
        if self._stood <= (self._answered_s if asking else SETTLED_WITHIN_S):
            return
        log.warning("kafka: not settled in the group on %s; joining it anew", self._topic)
        left, self._consumer = self._consumer, self._join()
        self.tokens, self.joined, self._stands, self._stood = frozenset(), False, None, 0.0
        self.epoch += 1
        # A client in such a state may never come back from this.
        aside(left.close)

    def committed(
        self, partitions: list[tuple[str, int]], patience: float = PATIENCE_S
    ) -> dict[tuple[str, int], Kept]:
        """Return the group's committed offsets of those partitions that have one.

        An offset in a transaction that is still open is waited for, `patience` seconds. Raises
        BrokerError where the broker does not tell.
        """
        return _committed(self._consumer, partitions, patience)

    def commit(self, offsets: Positions) -> None:
        """Commit the next offsets to read, with their floors, and wait for the broker's word.

        Raises BrokerError where it is refused, above all after another replica took over.
        """
        try:
            results = self._consumer.commit(offsets=with_floors(offsets), asynchronous=False)
        except KafkaException as error:
            raise failure("committing offsets", error) from error
        for result in results or ():
            if result.error is not None:
                raise failure(f"committing {result.topic} {result.partition}", result.error)

    def group_metadata(self) -> GroupMetadata:
        """Return what a transaction needs to commit offsets as the active member, read afresh.

        Poll first: the client joins a new generation in the background, and tells only then who is
        active in it. Raises NotMemberError where this replica is not.
        """
        metadata = GroupMetadata.of(self._consumer.consumer_group_metadata())
        if metadata.generation < 0 or not self.active:
            raise NotMemberError(
                "kafka: this replica is not the active member of its group, so it does not commit"
            )
        return metadata

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return  # one that was left
        self.rebalances += 1
        consumer.incremental_assign(partitions)
        # Nothing is read through this consumer: the partition is a token.
        consumer.pause(partitions)
        self.joined = True
        self._hold(self.tokens | _numbers(partitions))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return
        self.rebalances += 1
        # First: with the next step the group may give them to another member.
        self._hold(self.tokens - _numbers(partitions))
        consumer.incremental_unassign(partitions)

    def _hold(self, tokens: frozenset[int]) -> None:
        self.epoch += tokens != self.tokens
        self.tokens = tokens


class WorkerMembership(Membership):
    """Joins the group of an app's workers, which share the partitions of one topic.

    The numbers of the partitions that a member is given are tokens: who holds token n reads
    partition n of every input.
    """

    @property
    def active(self) -> bool:
        """Whether this member works: it holds any partition."""
        return bool(self.tokens)


def committed_by(
    settings: Mapping[str, Setting],
    group_id: str,
    client_id: str,
    partitions: list[tuple[str, int]],
) -> dict[tuple[str, int], Kept]:
    """Return the committed offsets of a group that this process is no member of.

    Raises BrokerError where the broker does not tell.
    """
    own = {**SETTLED_ONLY, "group.id": group_id, "client.id": client_id}
    consumer = Consumer(as_single(settings) | own | {"logger": client_logger()})
    try:
        return _committed(consumer, partitions, PATIENCE_S)
    finally:
        consumer.close()


def _committed(
    consumer: Consumer, partitions: list[tuple[str, int]], patience: float
) -> dict[tuple[str, int], Kept]:
    wanted = [TopicPartition(topic, number) for topic, number in partitions]
    deadline = time.monotonic() + patience
    while True:
        try:
            found = consumer.committed(wanted, timeout=min(patience, _OFFSETS_AT_ONCE_S))
            break
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() >= deadline:
                raise failure("reading committed offsets", error) from error
        time.sleep(_PAUSE_S)
    for p in found:
        # Not to be taken for a partition that nobody has read: that is read from its beginning.
        if p.error is not None:
            raise failure(f"reading the committed offset of {p.topic} {p.partition}", p.error)
    return {(p.topic, p.partition): _kept(p.offset, p.metadata) for p in found if p.offset >= 0}


def with_floors(offsets: Positions) -> list[TopicPartition]:
    """Return positions as the client commits them: all but the offset is its metadata."""
    return [
        TopicPartition(topic, p, kept.offset, _metadata(kept))
        for (topic, p), kept in offsets.items()
    ]


def _metadata(kept: Position) -> str:
    text = f"floor={kept.floor}"
    text += "" if kept.reached is None else f" reached={kept.reached}"
    return text + ("" if kept.settled is None else f" settled={kept.settled}")


def _kept(offset: int, metadata: str | None) -> Kept:
    """Return a committed offset with what its metadata say; without, it is its own floor."""
    found = _NOTES.fullmatch(metadata or "")
    if found is None:
        return Kept(offset, offset)
    floor, *times = found.groups()
    return Kept(
        offset,
        min(int(floor), offset),
        *(None if time is None else int(time) for time in times),
    )


def _numbers(partitions: list[TopicPartition]) -> frozenset[int]:
    return frozenset(p.partition for p in partitions)
