"""`streamgauge.emit` against brokers: what arrives where, and in what form."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from streamgauge.emit import Client
from streamgauge.emit.partitions import HASHES
from streamgauge.io.loopback import free_port
from tests.support.brokers import Broker
from tests.support.emit_fakes import Sent, read
from tests.support.native_events import BINARY, T0
from tests.support.topics import new_topic, read_to_end
from tests.unit.test_emit import good

PARTITIONS = 3


def _sent(message: Message) -> Sent:
    value, key = message.value(), message.key()
    assert value is not None
    assert isinstance(key, bytes)
    headers: Any = list(message.headers() or [])
    return Sent(str(message.topic()), value, key, message.partition(), headers)


@pytest.mark.parametrize("form", ["json", "arrow"])
def test_what_is_emitted_arrives_in_its_partition_and_is_accepted(
    embedded_broker: Broker, form: Any
) -> None:
    bootstrap = embedded_broker.bootstrap_servers
    topic, labels = (new_topic(bootstrap, PARTITIONS, stem=stem) for stem in ("p", "l"))
    client = Client(
        bootstrap, topic=topic, labels_topic=labels, format=form, batch_rows=50, batch_seconds=0.1
    )
    with client:
        for row in range(500):
            assert client.prediction(**good(row))
            assert client.label(prediction_id=f"p{row}", model="flight-delay", label=row % 2)
    stats = client.stats()
    assert (stats.delivered, stats.events) == (1_000, 1_000), stats.problem
    messages = read_to_end(bootstrap, topic, partitions=range(PARTITIONS))
    home: dict[str, int | None] = {}
    for message in messages:
        sent = _sent(message)
        home |= dict.fromkeys(read(BINARY, [sent], T0 + 1000), message.partition())
    assert home.keys() == {f"p{row}" for row in range(500)}
    assert len(messages) == 500 if form == "json" else len(messages) < 100
    for message in read_to_end(bootstrap, labels, partitions=range(PARTITIONS)):
        # A label finds its prediction in the partition of the same number.
        assert home[_sent(message).key.decode()] == message.partition()


@pytest.mark.parametrize("partitioner", list(HASHES))
def test_partitions_are_those_of_the_kafka_client(
    embedded_broker: Broker, partitioner: str
) -> None:
    bootstrap = embedded_broker.bootstrap_servers
    topic = new_topic(bootstrap, PARTITIONS)
    with Client(bootstrap, labels_topic=topic, librdkafka={"partitioner": partitioner}) as client:
        for row in range(300):
            client.label(prediction_id="é" * (row % 7) + str(row), model="m", label=1)
    messages = read_to_end(bootstrap, topic, partitions=range(PARTITIONS))
    assert len(messages) == 300
    for message in messages:
        assert HASHES[partitioner](_sent(message).key) % PARTITIONS == message.partition()


def test_the_example_of_the_page_runs_as_it_is_written(
    embedded_broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "emit.md").read_text()
    [example] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    bootstrap = embedded_broker.bootstrap_servers
    for name in ("predictions", "labels"):
        example = example.replace(f'"{name}"', repr(new_topic(bootstrap, stem=name)))
    exec(example.replace("localhost:9092", bootstrap), {})
    assert "delivered=2" in capsys.readouterr().out


def test_a_broker_that_is_away_holds_nobody_up() -> None:
    client = Client(f"127.0.0.1:{free_port()}", max_queue=1_000)
    began = time.monotonic()
    taken = sum(client.prediction(**good(row)) for row in range(5_000))
    # Not a measurement: had calls waited for the broker, this would take minutes.
    assert time.monotonic() - began < 5
    assert taken == 1_000
    assert not client.close(timeout=0.1)
    assert client.stats().failed == 1_000
