"""What the client's thread does with events: messages of one event, or batches of many."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
from confluent_kafka import KafkaException

from streamgauge.emit.events import Fields

_FULL_WAIT_S: Final = 0.05
_METADATA_S: Final = 1.0
"""How long the broker is waited for when it is asked how many partitions a topic has."""
_METADATA_AGE_S: Final = 300.0
_LARGEST_MESSAGE: Final = 900_000
"""Bytes of a batch: brokers take 1 MB by default."""
_HEADERS: Final = [("content-type", b"application/vnd.apache.arrow.stream")]


class Tally:
    """What has arrived and what has not; written by the thread, read by anyone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._delivered = self._failed = 0
        self._problem = ""
        self._frozen = False

    def read(self) -> tuple[int, int, str]:
        """Return the delivered, the failed and why the latest of these did."""
        with self._lock:
            return self._delivered, self._failed, self._problem

    @property
    def total(self) -> int:
        """How many events have arrived or failed, as good as now."""
        return self._delivered + self._failed

    def delivered(self, events: int) -> None:
        """Count events that have arrived."""
        with self._lock:
            self._delivered += 0 if self._frozen else events

    def failed(self, events: int, problem: str) -> None:
        """Count events that are lost."""
        with self._lock:
            if events and not self._frozen:
                self._failed += events
                self._problem = problem

    def trouble(self, problem: str) -> None:
        """Note why events have to wait."""
        with self._lock:
            self._problem = problem

    def abandon(self, events: int, problem: str) -> None:
        """Count as failed what is not settled of so many events, and nothing more after that."""
        with self._lock:
            left = events - self._delivered - self._failed
            if left > 0:
                self._failed += left
                self._problem = problem
            self._frozen = True


class JsonSender:
    """Hands messages to the Kafka client, waiting in the thread where its queue is full."""

    def __init__(self, producer: Any, tally: Tally, stop: threading.Event) -> None:
        self.producer = producer
        self.tally = tally
        self.stop = stop

    def send(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        events: int = 1,
        **more: Any,
    ) -> None:
        """Send a message of so many events."""
        on_delivery = partial(self._settle, events)
        while not self.stop.is_set():
            try:
                self.producer.produce(topic, value=value, key=key, on_delivery=on_delivery, **more)
            except BufferError:
                self.producer.poll(_FULL_WAIT_S)
            except (KafkaException, ValueError) as error:
                self.tally.failed(events, str(error))
                return
            else:
                return

    def _settle(self, events: int, error: Any, _message: Any) -> None:
        if error is None:
            self.tally.delivered(events)
        else:
            self.tally.failed(events, str(error))


class ArrowSender:
    """Gathers predictions and sends them in batches of one model and one partition."""

    def __init__(
        self,
        sender: JsonSender,
        topic: str,
        hash_of: Callable[[bytes], int],
        batch_rows: int,
        batch_seconds: float,
    ) -> None:
        self._sender = sender
        self._topic = topic
        self._hash_of = hash_of
        self._batch_rows = batch_rows
        self._batch_seconds = batch_seconds
        self._rows: dict[str, list[Fields]] = defaultdict(list)
        self._oldest = 0.0
        self._partitions = 0
        self._asked = 0.0

    def add(self, fields: Fields) -> None:
        """Take an event, and send what is a full batch by now."""
        if not self._rows:
            self._oldest = time.monotonic()
        rows = self._rows[fields["model"]]
        rows.append(fields)
        # Spread over the partitions, a batch of each gets so many rows.
        if len(rows) >= self._batch_rows * max(1, self._partitions):
            self._send(self._rows.pop(fields["model"]))

    def send_due(self, *, everything: bool) -> None:
        """Send what has waited long enough, or everything."""
        if self._rows and (everything or time.monotonic() - self._oldest >= self._batch_seconds):
            waiting, self._rows = self._rows, defaultdict(list)
            for rows in waiting.values():
                self._send(rows)

    def _send(self, rows: list[Fields]) -> None:
        """Send rows of one model, each with those of its own partition."""
        partitions = self._known_partitions()
        if not partitions:
            return  # told to stop before the broker answered
        by_partition: dict[int, list[Fields]] = defaultdict(list)
        for row in rows:
            by_partition[self._hash_of(row["prediction_id"].encode()) % partitions].append(row)
        for partition, mine in by_partition.items():
            for first in range(0, len(mine), self._batch_rows):
                self._send_batch(partition, mine[first : first + self._batch_rows])

    def _send_batch(self, partition: int, rows: list[Fields]) -> None:
        from streamgauge.emit.arrow import encode

        value = encode(rows)
        if value is None:
            for row in rows:
                self._send_json(row)
        elif len(value) > _LARGEST_MESSAGE and len(rows) > 1:
            middle = len(rows) // 2
            self._send_batch(partition, rows[:middle])
            self._send_batch(partition, rows[middle:])
        else:
            key = rows[0]["prediction_id"].encode()
            self._sender.send(
                self._topic, value, key, len(rows), partition=partition, headers=_HEADERS
            )

    def _send_json(self, row: Fields) -> None:
        try:
            value = orjson.dumps(row)
        except (TypeError, UnicodeEncodeError):
            self._sender.tally.failed(1, "a text or an integer that JSON has no room for")
        else:
            self._sender.send(self._topic, value, row["prediction_id"].encode())

    def _known_partitions(self) -> int:
        """How many partitions the topic has, asked anew now and then; 0 if told to stop."""
        while not self._sender.stop.is_set():
            now = time.monotonic()
            if self._partitions and now - self._asked < _METADATA_AGE_S:
                break
            self._asked = now
            try:
                found = self._sender.producer.list_topics(self._topic, timeout=_METADATA_S)
                self._partitions = len(found.topics[self._topic].partitions) or self._partitions
            except KafkaException as error:
                problem = str(error)
            else:
                problem = f"topic {self._topic} does not exist"
            if not self._partitions:
                self._sender.tally.trouble(problem)
                self._sender.stop.wait(_FULL_WAIT_S)
        return 0 if self._sender.stop.is_set() else self._partitions
