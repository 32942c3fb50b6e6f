"""A live stream for the benchmark of latency: predictions at a steady rate, their time is now.

Run as `python -m benchmarks.latency_live BOOTSTRAP TOPIC RATE SECONDS SHIFT_AFTER`. Ten times a
second a line on standard output says how many were written by when; from SHIFT_AFTER seconds on
feature f0 is three standard deviations higher.
"""

import json
import sys
import time
from itertools import cycle, islice
from typing import Final

from confluent_kafka import Producer

from benchmarks.throughput_stream import Stream, predictions, produce

TICK_S: Final = 0.01
EVENTS: Final = 5_000
"""Different events, sent over and over."""
SHIFT: Final = 90.0
_HEAD: Final = b'{"prediction_id":"p%08d","timestamp":%d'
_HEAD_BYTES: Final = len(_HEAD % (0, 1_764_000_000_000))


def rests(shift: float) -> list[bytes]:
    """Return what follows id and time in every event, with f0 moved."""
    found = []
    for _, value in islice(predictions(Stream(EVENTS)), EVENTS):
        event = json.loads(value)
        event["features"]["f0"] += shift
        text = json.dumps(event, separators=(",", ":")).encode()
        assert text.startswith(_HEAD % (int(event["prediction_id"][1:]), event["timestamp"]))
        found.append(text[_HEAD_BYTES:])
    return found


def main() -> None:
    """Write until the time is up."""
    bootstrap, topic, *numbers = sys.argv[1:]
    rate, seconds, shift_after = map(float, numbers)
    calm, shifted = cycle(rests(0.0)), cycle(rests(SHIFT))
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 10,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )
    began, sent, told = time.time(), 0, 0.0
    while (now := time.time()) < began + seconds:
        rest = calm if now < began + shift_after else shifted
        stamp = int(now * 1000)
        for number in range(sent, int((now - began) * rate)):
            produce(producer, topic, b"p%08d" % number, _HEAD % (number, stamp) + next(rest))
        sent = max(sent, int((now - began) * rate))
        producer.poll(0)
        if now >= told + 0.1:
            sys.stdout.write(f"{now:.3f} {sent}\n")
            sys.stdout.flush()
            told = now
        time.sleep(max(0.0, now + TICK_S - time.time()))
    producer.flush(30)


if __name__ == "__main__":
    main()
