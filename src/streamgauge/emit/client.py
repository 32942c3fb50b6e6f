"""The client: takes events without waiting, and a thread of its own that writes them."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self

import orjson
from confluent_kafka import Producer

from streamgauge.emit.counts import Stats
from streamgauge.emit.events import Fields, Scalar, id_problem, label_event, prediction_event
from streamgauge.emit.partitions import DEFAULT, HASHES
from streamgauge.emit.sending import ArrowSender, JsonSender, Tally

Setting = str | int | float | bool
Format = Literal["json", "arrow"]

_IDLE_S: Final = 0.05
"""How long the thread sleeps where there is nothing to do: deliveries are heard of that late."""
_LARGEST_QUEUE: Final = 2_147_483_647


def _make_producer(settings: dict[str, Any]) -> Any:
    # Its log lines go where the service sends them, not straight to stderr.
    return Producer(settings, logger=logging.getLogger("streamgauge.emit"))


class Client:
    """Writes the events of a service to Kafka, keyed by prediction id.

    `prediction` and `label` put an event into a queue and return: True if it was taken, False if it
    was not, which `stats()` counts. At most `max_queue` events are under way until the broker has
    acknowledged them. They raise TypeError for arguments of a
    wrong type and nothing else, whatever the broker does. A thread of the client's own writes:
    `format="json"` a message an event, `format="arrow"` predictions in Arrow batches of one model
    and one partition, of up to `batch_rows` events each `batch_seconds` (labels stay JSON). NaN and
    infinity become null.

    Sent by an idempotent producer; `librdkafka` has more of its settings. The `partitioner` there
    must be the one that writes the labels, if something else does. Raises ValueError for settings
    that cannot be, KafkaException for those that the Kafka client refuses, ModuleNotFoundError if
    Arrow is wanted and pyarrow is not installed.

    Fork: threads do not live on in a forked process, and neither does the Kafka client. Make a
    client in each worker, after the fork (gunicorn: `post_fork`); one from before it takes nothing
    in the child and counts what it is given as dropped.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        topic: str = "predictions",
        labels_topic: str = "labels",
        format: Format = "json",  # noqa: A002, the word that services look for
        max_queue: int = 100_000,
        batch_rows: int = 5_000,
        batch_seconds: float = 1.0,
        librdkafka: Mapping[str, Setting] | None = None,
        make_producer: Callable[[dict[str, Any]], Any] = _make_producer,
    ) -> None:
        if format not in ("json", "arrow"):
            raise ValueError(f"format: expected 'json' or 'arrow', got {format!r}")
        if max_queue < 1 or batch_rows < 1 or batch_seconds < 0:
            raise ValueError("max_queue and batch_rows must be at least 1, batch_seconds 0")
        settings = _settings(bootstrap_servers, max_queue, librdkafka or {})
        partitioner = str(settings["partitioner"])
        if format == "arrow" and partitioner not in HASHES:
            known = ", ".join(HASHES)
            raise ValueError(f"partitioner {partitioner}: Arrow batches know {known} alone")
        if format == "arrow":
            from streamgauge.emit.arrow import encode

            # Once here: what pyarrow loads at its first column would hold up the service later.
            encode([{"prediction_id": "p1", "timestamp": 0, "model": "m", "score": 0.5}])
        self._labels_topic = labels_topic
        self._max_queue = max_queue
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: list[tuple[bool, Fields | tuple[bytes, bytes]]] = []
        self._arrow = format == "arrow"
        self._closed = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._dropped = self._invalid = self._taken = self._forked = 0
        self._problem = ""
        self._tally = Tally()
        producer = make_producer(settings)
        self._producer = producer
        self._json = JsonSender(producer, self._tally, self._stop)
        self._sender = ArrowSender(
            self._json, topic, HASHES.get(partitioner, HASHES[DEFAULT]), batch_rows, batch_seconds
        )
        self._topic = topic
        self._flushing = False
        self._thread = threading.Thread(target=self._run, name="streamgauge-emit", daemon=True)
        self._thread.start()

    def prediction(
        self,
        *,
        prediction_id: str,
        model: str,
        features: Mapping[str, Scalar] | None = None,
        prediction: str | float | None = None,
        score: float | Mapping[str, float] | None = None,
        model_version: str | int | None = None,
        tags: Mapping[str, Scalar] | None = None,
        latency_ms: float | None = None,
        status: str | None = None,
        timestamp: int | datetime | None = None,
    ) -> bool:
        """Take a prediction event; now, where no `timestamp` (ms since the epoch) is given.

        An error of the model is an event with an error word as `status`, which may lack features
        and prediction. Raises TypeError for arguments of a wrong type.
        """
        fields = prediction_event(
            prediction_id,
            model,
            features,
            prediction,
            score,
            model_version,
            tags,
            latency_ms,
            status,
            timestamp,
        )
        return self._take(fields, is_prediction=True)

    def label(
        self,
        *,
        prediction_id: str,
        model: str,
        label: str | float,
        label_version: int | None = None,
        timestamp: int | datetime | None = None,
    ) -> bool:
        """Take a label event; `timestamp` is when the truth became known, now if not given.

        Raises TypeError for arguments of a wrong type.
        """
        fields = label_event(prediction_id, model, label, label_version, timestamp)
        return self._take(fields, is_prediction=False)

    def stats(self) -> Stats:
        """Return what became of the events so far."""
        if os.getpid() != self._process:
            problem = "the client was made before the fork; make one in each process"
            return Stats(self._forked, 0, 0, 0, self._forked, 0, problem)
        with self._lock:
            delivered, failed, problem = self._tally.read()
            return Stats(
                events=self._taken + self._dropped + self._invalid,
                waiting=self._taken - delivered - failed,
                delivered=delivered,
                failed=failed,
                dropped=self._dropped,
                invalid=self._invalid,
                problem=problem or self._problem,
            )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until what was taken so far has arrived or failed; False if it has not in time."""
        if os.getpid() != self._process:
            return False
        until = time.monotonic() + timeout
        with self._lock:
            taken = self._taken
        while True:
            if self._tally.total >= taken:
                return True
            if time.monotonic() >= until or not self._thread.is_alive():
                return False
            self._flushing = True
            self._wake.set()
            time.sleep(min(0.01, max(0.0, until - time.monotonic())))

    def close(self, timeout: float = 10.0) -> bool:
        """Take nothing more, flush and stop; False if events are left behind, as failed ones."""
        if os.getpid() != self._process:
            return False
        with self._lock:
            self._closed = True
        complete = self.flush(timeout)
        self._stop.set()
        self._wake.set()
        self._thread.join(1.0)
        self._tally.abandon(self._taken, "closed before it had arrived; is the broker up?")
        if not complete:
            self._producer.purge()
        return complete

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, fields: Fields, *, is_prediction: bool) -> bool:
        """Queue an event. The lock is never held while anything is written."""
        if os.getpid() != self._process:
            # Another thread may have held the lock when the process was forked.
            self._forked += 1
            return False
        problem = id_problem(fields["prediction_id"])
        event: Fields | tuple[bytes, bytes] = fields
        if not problem and not (self._arrow and is_prediction):
            try:
                event = fields["prediction_id"].encode(), orjson.dumps(fields)
            except (TypeError, UnicodeEncodeError):  # an integer beyond 64 bits, half a surrogate
                problem = "a text or an integer that JSON has no room for"
        with self._lock:
            if problem:
                self._invalid += 1
                self._problem = problem
            elif self._closed:
                self._dropped += 1
                self._problem = "the client is closed"
            elif self._taken - self._tally.total >= self._max_queue:
                self._dropped += 1
                self._problem = "the queue is full; is the broker up?"
            else:
                self._taken += 1
                self._waiting.append((is_prediction, event))
                if len(self._waiting) == 1:
                    self._wake.set()
                return True
        return False

    def _run(self) -> None:
        """Write what is waiting, hear of what has arrived, until told to stop."""
        while not self._stop.is_set():
            self._wake.wait(_IDLE_S)
            self._wake.clear()
            with self._lock:
                events, self._waiting = self._waiting, []
            self._write(events)
            self._sender.send_due(everything=self._flushing or self._closed)
            self._flushing = False
            self._producer.poll(0)

    def _write(self, events: Sequence[tuple[bool, Any]]) -> None:
        for is_prediction, event in events:
            if self._arrow and is_prediction:
                self._sender.add(event)
            else:
                key, value = event
                self._json.send(self._topic if is_prediction else self._labels_topic, value, key)


def _settings(
    bootstrap_servers: str, max_queue: int, more: Mapping[str, Setting]
) -> dict[str, Setting]:
    own: dict[str, Setting] = {
        "bootstrap.servers": bootstrap_servers,
        "enable.idempotence": True,
    }
    for name in own.keys() & more.keys():
        raise ValueError(f"librdkafka: {name} is set by the client; remove it")
    return {
        "client.id": "streamgauge-emit",
        "linger.ms": 20,
        "compression.type": "lz4",
        "partitioner": DEFAULT,
        "queue.buffering.max.messages": min(max_queue, _LARGEST_QUEUE),
        **own,
        **more,
    }
