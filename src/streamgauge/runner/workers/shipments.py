"""Shipments: what a worker has counted and the offsets it came to, in one transaction."""

from collections.abc import Iterable, Mapping

from streamgauge.core.state import Part
from streamgauge.formats.state_manifest import Position, Positions
from streamgauge.io.kafka.attended import Still, always
from streamgauge.io.kafka.membership import GroupMetadata
from streamgauge.runner.checkpoints import Begun, Outbox, Writes
from streamgauge.runner.stores import Partition


class Shipments(Outbox):
    """Writes one worker's checkpoints: all it knows that lasts are the messages that wait."""

    def __init__(self, writes: Writes) -> None:
        super().__init__()
        self.state_bytes = 0
        """Bytes of the messages of the last checkpoint."""
        self._writes = writes

    def begin(
        self,
        committed: Mapping[Partition, Position],
        *,
        discard: bool = False,  # noqa: ARG002
        still: Still = always,  # noqa: ARG002
    ) -> Begun:
        """Return what to go on from: the group's offsets."""
        self.forget()
        return Begun(None, dict(committed))

    def look(self, still: Still = always) -> Begun:  # noqa: ARG002
        """Return nothing: there is no state to look at."""
        return Begun(None, {})

    def adopt(self, parts: Iterable[Part]) -> None:
        """Do nothing: there is no state whose tokens there could be."""

    def commit(
        self,
        parts: Iterable[Part],  # noqa: ARG002
        positions: Positions,
        group: GroupMetadata,
    ) -> bool:
        """Write what waits and the offsets; say if there was anything. Raises TransactionError."""
        if not self._waiting or not positions:
            return False
        self._writes.begin()
        self._send(self._writes)
        self._writes.commit(positions, group)
        self.state_bytes = self._waiting_bytes
        self.forget()
        return True
