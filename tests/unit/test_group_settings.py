"""What clients begin with where the configuration says nothing."""

import pytest
from confluent_kafka import Consumer, Producer

from streamgauge.config.librdkafka import Setting
from streamgauge.io.kafka.group_settings import RECONNECT_MS, as_member, as_single, lasting


@pytest.mark.parametrize(
    ("given", "longest"),
    [
        ({}, RECONNECT_MS),
        ({"reconnect.backoff.max.ms": 250}, 250),
        ({"reconnect.backoff.ms": 5_000}, None),
        ({"reconnect.backoff.ms": 0, "reconnect.backoff.max.ms": 0}, 0),
    ],
)
def test_a_broker_is_tried_again_soon_unless_configured_otherwise(
    given: dict[str, Setting], longest: int | None
) -> None:
    settings = lasting(given)
    assert settings.get("reconnect.backoff.max.ms") == longest
    assert given.items() <= settings.items()
    Producer(settings)
    Consumer({**as_member(settings), "group.id": "test"}).close()


def test_a_member_s_settings_are_not_those_of_a_single_consumer() -> None:
    member = as_member({"client.rack": "a"})
    assert set(member) - {"client.rack"} == {"session.timeout.ms", "max.poll.interval.ms"}
    assert as_single(member) == {"client.rack": "a"}
