"""The replay: predictions and labels of the flights, in the order of time, at a steady rate."""

import threading
import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamgauge.demo.clients import QUIET
from streamgauge.demo.timeline import TOPICS, Sent, Timeline
from streamgauge.errors import StreamgaugeError

TICK_S: Final = 0.02
"""Events that fall due within this time are sent together."""
_FLUSH_S: Final = 30.0


class Replay:
    """Sends a timeline's events in a thread of its own, `speed` a second.

    It never runs more than `lead` events ahead of what `allow` was last told, so that the monitor's
    event clock stays close to what has been sent.
    """

    def __init__(
        self, bootstrap_servers: str, timeline: Timeline, *, speed: float, lead: int
    ) -> None:
        self.timeline = timeline
        self.total = len(timeline.timestamps)
        self.delivered = 0
        self.finished = False
        """Whether everything has arrived at the broker."""
        self._failure: str | None = None
        self._speed = speed
        self._lead = lead
        self._limit = lead
        self._stop = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                **QUIET,
                "linger.ms": 10,
                "enable.idempotence": True,
            }
        )
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and forget what has not arrived yet."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._producer.purge()

    def allow(self, done: int) -> None:
        """Note that the monitor has taken in the first `done` events."""
        self._limit = done + self._lead

    def check(self) -> None:
        """Raise StreamgaugeError if an event could not be sent."""
        if self._failure is not None:
            raise StreamgaugeError(f"demo: sending events: {self._failure}")

    def _run(self) -> None:
        began = time.monotonic()
        due = 0
        for sent, event in enumerate(self.timeline.events()):
            while sent >= due:
                # What was held back is not made up for later: the pace begins anew.
                if self._stop.wait(TICK_S):
                    return
                self._producer.poll(0)
                wanted = int((time.monotonic() - began) * self._speed)
                due = min(wanted, self._limit)
                if wanted > self._limit:
                    began = time.monotonic() - due / self._speed
            if not self._send(event):
                return
        self._finish()

    def _send(self, event: Sent) -> bool:
        """Send one event; return whether to go on."""
        while not self._stop.is_set():
            try:
                self._producer.produce(
                    TOPICS[event.topic],
                    value=event.value,
                    key=event.key,
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                self._failure = str(error)
                return False
            else:
                return True
        return False

    def _finish(self) -> None:
        deadline = time.monotonic() + _FLUSH_S
        while self._producer.flush(0.2) and not self._stop.is_set():
            if time.monotonic() > deadline:
                self._failure = f"events have not arrived within {_FLUSH_S:.0f} s"
                return
        self.finished = self.delivered == self.total

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.delivered += 1
        elif not self._stop.is_set():
            self._failure = error.str()
