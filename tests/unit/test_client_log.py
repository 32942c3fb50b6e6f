"""What the Kafka client says is told once in a while, however often it comes."""

import logging

import pytest
from confluent_kafka import Consumer, TopicPartition

from streamgauge.io.kafka.client_log import AGAIN_S, MOST, Sparing, client_logger
from streamgauge.io.loopback import free_port

LINE = "FAIL [rdkafka#consumer-%d] 127.0.0.1:%d: Connection refused (after %dms in state CONNECT)"


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("client", logging.ERROR, "", 0, text, args, None)


def test_lines_that_differ_in_numbers_alone_are_told_once_and_again_after_a_while() -> None:
    now = [0.0]
    sparing = Sparing(lambda: now[0])
    assert sparing.filter(record(LINE, 1, 9092, 0))
    assert not any(sparing.filter(record(LINE, 2, 9093, i)) for i in range(20))
    assert sparing.filter(record("another thing"))
    now[0] = AGAIN_S
    again = record(LINE, 1, 9092, 7)
    assert sparing.filter(again)
    assert again.getMessage() == LINE % (1, 9092, 7) + " (and 20 times more before)"
    assert not sparing.filter(record(LINE, 1, 9092, 7))


def test_text_with_percent_signs_is_told_as_it_is() -> None:
    now = [0.0]
    sparing = Sparing(lambda: now[0])
    sparing.filter(record("%s", "100 %d"))
    sparing.filter(record("%s", "100 %d"))
    now[0] = AGAIN_S
    again = record("%s", "100 %d")
    assert sparing.filter(again)
    assert again.getMessage() == "100 %d (and 1 times more before)"


def test_no_more_than_so_many_things_are_remembered() -> None:
    sparing = Sparing(lambda: 0.0)
    words = ["".join(chr(97 + int(d)) for d in str(i)) for i in range(3 * MOST)]
    assert all(sparing.filter(record(word)) for word in words)
    assert len(sparing._told) <= MOST


def test_a_client_without_a_broker_writes_nothing_by_itself(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"bootstrap.servers": f"127.0.0.1:{free_port()}", "group.id": "g"}
    consumer = Consumer(settings, logger=client_logger())
    consumer.assign([TopicPartition("t", 0, 0)])
    for _ in range(10):
        consumer.consume(10, 0.1)
    consumer.close()
    refused = [each for each in caplog.records if "Connect to" in each.getMessage()]
    assert 1 <= len(refused) <= 2
    assert "Connect" not in capfd.readouterr().err
