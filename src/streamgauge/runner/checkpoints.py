"""Checkpoints: results, state and offsets in one transaction, and how a new owner takes over."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from streamgauge.core.state import Kept as KeptState
from streamgauge.core.state import Part
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_manifest import Position, Positions
from streamgauge.formats.state_records import Records
from streamgauge.formats.state_restore import restore
from streamgauge.io.kafka.attended import Still, always
from streamgauge.io.kafka.membership import GroupMetadata
from streamgauge.io.kafka.transactions import Headers

MOST_WAITING: Final = 10_000
"""Messages that wait for the next checkpoint at most before it is made early."""
MOST_WAITING_BYTES: Final = 16_000_000
_OVERHEAD: Final = 100

Partition = tuple[str, int]

log = logging.getLogger(__name__)


class Writes(Protocol):
    """What writes transactions; see `TransactionalWriter`."""

    def fence(self) -> None: ...
    def begin(self) -> None: ...
    def write(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None: ...
    def commit(self, positions: Positions, group: GroupMetadata) -> None: ...


class Reads(Protocol):
    """What reads the state topic; see `StateReader`."""

    def records(self, still: Still = always) -> Records: ...


class Begun(NamedTuple):
    """What a new owner goes on from: the state, None where there is none, and the positions."""

    kept: KeptState | None
    positions: dict[Partition, Position]


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Outbox:
    """Messages that wait in memory for the transaction that also has the offsets they rest on.

    So a transaction is open for as short as can be.
    """

    def __init__(self) -> None:
        self._waiting: list[_Message] = []
        self._waiting_bytes = 0

    def write(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Let a message wait for the next checkpoint."""
        self._waiting.append(_Message(topic, key, value, headers))
        self._waiting_bytes += len(key or b"") + len(value or b"") + _OVERHEAD

    @property
    def full(self) -> bool:
        """Whether so much waits that the next checkpoint should not."""
        return len(self._waiting) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    def forget(self) -> None:
        """Drop what waits: it has been written, or will come again."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def _send(self, writes: Writes) -> None:
        """Write what waits, within a transaction."""
        for message in self._waiting:
            writes.write(message.topic, message.key, message.value, message.headers)


class Commits(Protocol):
    """What makes checkpoints; see `Checkpoints`."""

    state_bytes: int

    @property
    def full(self) -> bool: ...
    def begin(
        self,
        committed: Mapping[Partition, Position],
        *,
        discard: bool = False,
        still: Still = always,
    ) -> Begun: ...
    def look(self, still: Still = always) -> Begun: ...
    def adopt(self, parts: Iterable[Part]) -> None: ...
    def write(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None: ...
    def commit(self, parts: Iterable[Part], positions: Positions, group: GroupMetadata) -> bool: ...
    def forget(self) -> None: ...


class Checkpoints(Outbox):
    """Writes one app's checkpoints.

    `fence` first, then `begin`, then `commit` again and again. After a TransactionError nothing is
    known but what the topic says: `forget`, and begin anew.
    """

    def __init__(self, app: str, topic: str, writes: Writes, reads: Reads) -> None:
        super().__init__()
        self.state_bytes = 0
        """Bytes that the last checkpoint wrote to the state topic."""
        self._app = app
        self._topic = topic
        self._writes = writes
        self._reads = reads
        self._journal = StateJournal(app)
        self._committed: Positions = {}

    def begin(
        self,
        committed: Mapping[Partition, Position],
        *,
        discard: bool = False,
        still: Still = always,
    ) -> Begun:
        """Take over and return what to go on from; `committed` are the group's offsets.

        Raises StateError where the state is damaged, StreamgaugeError where it does not belong to
        the group's offsets. With `discard` the state is cleared by the first checkpoint, and
        counting goes on from the group's offsets.
        """
        self.forget()
        records = self._reads.records(still)
        if discard:
            self._journal = StateJournal.discarding(self._app, records)
            log.warning("the state is discarded: counting begins anew")
            return Begun(None, dict(committed))
        begun = self._restore(records)
        if begun.kept is None:
            if committed:
                log.warning("there is no state: counting begins anew at the committed offsets")
            return Begun(None, dict(committed))
        _compare(begun.positions, committed)
        self._committed = begun.positions
        return begun

    def look(self, still: Still = always) -> Begun:
        """Return the state alone, which another replica goes on with meanwhile.

        Raises StateError where it is damaged.
        """
        self.forget()
        return self._restore(self._reads.records(still))

    def _restore(self, records: Records) -> Begun:
        restored = restore(records, self._app)
        self._journal = StateJournal(self._app, restored)
        if restored is None:
            return Begun(None, {})
        return Begun(restored.kept, dict(restored.manifest.positions))

    def adopt(self, parts: Iterable[Part]) -> None:
        """Take the tokens of parts that were just restored."""
        self._journal.adopt(parts)

    def commit(self, parts: Iterable[Part], positions: Positions, group: GroupMetadata) -> bool:
        """Write what waits, the state that changed and the offsets; say if there was anything.

        Raises TransactionError.
        """
        changes = self._journal.changes(parts, positions)
        moved = dict(positions) != dict(self._committed)
        if not (changes.parts or changes.tombstones or self._waiting or moved) or not positions:
            return False
        self._writes.begin()
        self._send(self._writes)
        for key, value in changes.messages():
            self._writes.write(self._topic, key, value)
        self._writes.commit(positions, group)
        self._journal.committed()
        self._committed = dict(positions)
        self.state_bytes = changes.nbytes
        self.forget()
        return True


def _compare(positions: Positions, committed: Mapping[Partition, Position]) -> None:
    """Raise StreamgaugeError where the group's offsets are not those of the state.

    An offset that the group lacks has expired; the state still has it.
    """
    for (topic, number), position in positions.items():
        found = committed.get((topic, number))
        if found is not None and found.offset != position.offset:
            raise StreamgaugeError(
                f"kafka: {topic} partition {number}: the group's offset is {found.offset}, but the"
                f" state was counted up to {position.offset}; set the offset back, or run once with"
                " --discard-state to count anew from the group's offsets"
            )
