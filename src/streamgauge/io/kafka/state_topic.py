"""State topic: reads what the last committed checkpoint left behind, all of it."""

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streamgauge.config.librdkafka import Setting
from streamgauge.formats.state_records import Records
from streamgauge.formats.state_restore import Restored, restore
from streamgauge.io.kafka.attended import Still, always
from streamgauge.io.kafka.client_log import client_logger
from streamgauge.io.kafka.errors import PASSING, BrokerError, StateBlockedError, failure
from streamgauge.io.kafka.group_settings import as_single

STATE_PARTITION: Final = 0
PATIENCE_S: Final = 60.0
"""How long nothing may come: more than twice as long as brokers keep an abandoned transaction."""
_WAIT_S: Final = 0.1
_AT_ONCE: Final = 1000


class StateReader:
    """Reads the state topic. The writer fences first: then its own state changes no more.

    A broker that shows aborted records to everyone, such as the embedded one, may give the state of
    a checkpoint that was not committed; its positions then differ from the group's offsets.
    `patience` is how many seconds may pass without anything new.
    """

    def __init__(
        self,
        settings: Mapping[str, Setting],
        group_id: str,
        client_id: str,
        topic: str,
        patience: float = PATIENCE_S,
    ) -> None:
        self._settings = {
            **as_single(settings),
            # Never joined: the client wants a name for every consumer.
            "group.id": f"{group_id}.state",
            "client.id": client_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # What is gone from the beginning shows when the rest is verified.
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            # The client tells the end after an empty answer, for which the broker waits so long.
            "fetch.wait.max.ms": 20,
        }
        self._topic = topic
        self._patience = patience

    def restore(self, app: str) -> Restored | None:
        """Return the app's state, None where there is none.

        Raises StateError where it is damaged, incomplete or another app's, StateBlockedError where
        a foreign transaction hides a part of it for too long, BrokerError where it cannot be read.
        """
        return restore(self.records(), app)

    def records(self, still: Still = always) -> Records:
        """Return the latest value of every key, as far as there is one, unverified.

        Raises StateBlockedError and BrokerError, and what `still` raises where it is of no use.
        """
        begin, end = self._range()
        latest: dict[bytes, tuple[int, bytes]] = {}
        with closing(self._consumer("read_committed")) as consumer:
            consumer.assign([TopicPartition(self._topic, STATE_PARTITION, begin)])
            reached, deadline = begin, time.monotonic() + self._patience
            while reached < end:
                still()
                if time.monotonic() > deadline:
                    raise self._late(reached, end)
                for message in consumer.consume(_AT_ONCE, _WAIT_S):
                    at = self._take(message, latest)
                    if at > reached:
                        reached, deadline = at, time.monotonic() + self._patience
        return latest

    def _range(self) -> tuple[int, int]:
        """Return the first offset and that after the last record, be it of an open transaction.

        A reader of committed records alone is told an earlier one, where the first open
        transaction begins, and would take the state before it for all there is.
        """
        with closing(self._consumer("read_uncommitted")) as consumer:
            at = TopicPartition(self._topic, STATE_PARTITION)
            try:
                begin, end = consumer.get_watermark_offsets(at, timeout=self._patience)
            except KafkaException as error:
                raise failure(f"looking up the end of {self._topic}", error) from error
        return begin, end

    def _take(self, message: Message, latest: dict[bytes, tuple[int, bytes]]) -> int:
        """Keep a message; return the offset up to which everything has been read, else 0."""
        offset = message.offset()
        assert offset is not None
        error = message.error()
        if error is None:
            # Compacted topics take no record without a key; elsewhere it counts as foreign.
            key, value = message.key() or b"", message.value()
            latest.pop(key, None)
            if value is not None:
                latest[key] = offset, value
            return offset + 1
        if error.code() == KafkaError._PARTITION_EOF:
            # Beyond the last committed record lie aborted ones and markers: they count as read.
            return offset
        if error.code() in PASSING or error.retriable():
            return 0
        raise failure(f"reading {self._topic}", error)

    def _consumer(self, isolation: str) -> Consumer:
        settings = {**self._settings, "isolation.level": isolation}
        return Consumer({**settings, "logger": client_logger()})

    def _late(self, reached: int, end: int) -> BrokerError:
        return StateBlockedError(
            f"kafka: {self._topic}: cannot be read from offset {reached} to its end at {end}, for"
            f" {self._patience:.0f} s: another program's transaction in it stays open, or the"
            " broker is gone; find it with kafka-transactions.sh find-hanging, and let nothing"
            " else write to this topic"
        )
