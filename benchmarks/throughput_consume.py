"""A client that only consumes, in a process of its own that has nothing else to look after.

Beside a benchmark's modules and data, each search for garbage among the messages would take longer,
and the client would seem to be half as fast. Run by `benchmarks.throughput`: one JSON object comes
in (`bootstrap`, `partitions`, `messages`, `settings`, `longest_s`), one goes out.
"""

import json
import sys
import time
from typing import Final

from confluent_kafka import Consumer, TopicPartition

BATCH: Final = 10_000


def main() -> None:
    """Consume everything, and tell how long that took (s), and the processor time of it (s)."""
    order = json.load(sys.stdin)
    consumer = Consumer(
        {
            "bootstrap.servers": order["bootstrap"],
            "group.id": order["group"],
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            **order["settings"],
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in order["partitions"]])
    read, began, cpu = 0, time.perf_counter(), time.process_time()
    while read < order["messages"]:
        values = [message.value() for message in consumer.consume(BATCH, 0.1)]
        read += len(values)
        if time.perf_counter() > began + order["longest_s"]:
            sys.exit(f"only {read} of {order['messages']} messages were there to consume")
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
    consumer.close()


if __name__ == "__main__":
    main()
