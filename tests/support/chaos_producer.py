"""The producer of the chaos tests: a process of its own that sends and keeps a ledger.

`python -m tests.support.chaos_producer ORDER.json` sends the stream at a steady pace until it is
told to stop and has sent as many predictions as ordered. A line of the ledger is written when the
broker has said where the event is: what is not in the ledger was not sent.
"""

import json
import signal
import sys
import time
from pathlib import Path
from threading import Event as Flag
from types import FrameType
from typing import Any, BinaryIO

import orjson
from confluent_kafka import KafkaError, Message, Producer

from tests.support.chaos_stream import Event, stream

_TURN_S = 0.02


def main(order_path: str) -> None:
    """Send what is ordered."""
    order: dict[str, Any] = json.loads(Path(order_path).read_text())
    stop = Flag()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    producer = Producer(
        {
            "bootstrap.servers": order["bootstrap"],
            "enable.idempotence": True,
            "linger.ms": 10,
            # Outages are part of the test: nothing is given up.
            "message.timeout.ms": 900_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
    with Path(order["ledger"]).open("wb", buffering=1 << 16) as ledger:
        _send(producer, order, stop, ledger)
        assert producer.flush(300) == 0, "not everything has arrived"


def _send(producer: Producer, order: dict[str, Any], stop: Flag, ledger: BinaryIO) -> None:
    topics, rate, least = order["topics"], order["rate"], order["predictions"]
    began, sent = time.monotonic(), 0
    failures: list[str] = []

    def deliver(event: Event) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failures.append(error.str())
                return
            place: list[object] = [
                event.topic,
                event.partition,
                message.offset(),
                event.kind,
                event.time,
            ]
            place += [event.version, event.prediction, event.x, event.c, event.name]
            ledger.write(orjson.dumps(place) + b"\n")

        while True:
            try:
                producer.produce(
                    topics[event.topic],
                    event.value,
                    event.name.encode(),
                    partition=event.partition,
                    on_delivery=delivered,
                )
            except BufferError:
                producer.poll(0.1)
            else:
                return

    for event in stream(order["seed"], order["start_ms"]):
        deliver(event)
        sent += event.topic == 0
        if sent >= least and stop.is_set():
            break
        # In small bursts: a clock is not asked for every event.
        if sent % 20 == 0 and event.topic == 0:
            producer.poll(0)
            assert not failures, failures[0]
            ahead = sent / rate - (time.monotonic() - began)
            if ahead > _TURN_S:
                time.sleep(ahead)
            elif ahead < -1.0:
                # After an outage the pace is kept from now on, not made up for.
                began = time.monotonic() - sent / rate


if __name__ == "__main__":
    main(sys.argv[1])
