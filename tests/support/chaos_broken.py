"""Bugs to seed into a replica: what the chaos tests have to catch, or they prove nothing."""

import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from streamgauge.io.kafka.membership import with_floors
from streamgauge.io.kafka.state_topic import STATE_PARTITION, StateReader
from streamgauge.io.kafka.transactions import TransactionalWriter
from streamgauge.runner import checkpoints
from streamgauge.runner.loop import Loop

_GAP_S: Final = 1.5
"""How long a broken replica stands between two steps that should be one."""


def break_by(name: str) -> None:
    """Seed a bug into this process."""
    BUGS[name]()


def _patch(owner: Any, name: str, replacement: object) -> None:
    setattr(owner, name, replacement)


def _commit_before_produce() -> None:
    """Offsets are committed first, results and state are written after that."""
    commit = checkpoints.Checkpoints.commit

    def broken(self: Any, parts: Any, positions: Any, group: Any) -> bool:
        _commit_alone(self, positions, group)
        return commit(self, parts, positions, group)

    _patch(checkpoints.Checkpoints, "commit", broken)
    _patch(checkpoints, "_compare", lambda *_: None)


def _commit_alone(self: Any, positions: Any, group: Any) -> None:
    writes = self._writes
    if dict(positions) == dict(self._committed):
        return
    writes.begin()
    producer = writes._within()
    producer.send_offsets_to_transaction(with_floors(positions), group.raw, 10.0)
    producer.commit_transaction(10.0)
    writes._open = False
    time.sleep(_GAP_S)


def _offsets_outside() -> None:
    """Results and state are committed in a transaction, the offsets after it by the consumer."""
    committed = Loop._checkpoint

    def without_offsets(self: Any, positions: Any, group: Any) -> None:
        producer = self._within()
        producer.flush(10.0)
        producer.commit_transaction(10.0)
        self._open = False
        time.sleep(_GAP_S)

    def broken(self: Any) -> None:
        committed(self)
        if self._reader.positions:
            self._membership.commit(dict(self._checkpoints._committed))

    _patch(TransactionalWriter, "commit", without_offsets)
    _patch(Loop, "_checkpoint", broken)
    _patch(checkpoints, "_compare", lambda *_: None)


def _restore_to_stable() -> None:
    """The state is read up to the last stable offset: what follows an open transaction is lost."""

    def stable(self: Any) -> tuple[int, int]:
        consumer: Consumer = self._consumer("read_committed")
        try:
            at = TopicPartition(self._topic, STATE_PARTITION)
            begin, end = consumer.get_watermark_offsets(at, timeout=10.0)
        finally:
            consumer.close()
        return begin, end

    _patch(StateReader, "_range", stable)
    # As the group's offsets would tell, they are taken from the state as well.
    _patch(checkpoints, "_compare", lambda *_: None)


BUGS: Final[dict[str, Callable[[], None]]] = {
    "commit before produce": _commit_before_produce,
    "offsets outside the transaction": _offsets_outside,
    "restore to the last stable offset": _restore_to_stable,
}
"""Every bug by its name."""
