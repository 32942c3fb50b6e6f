"""Settings that the Kafka client does not take, found without a broker."""

import pytest

from streamgauge.config.librdkafka import Setting
from streamgauge.io.kafka.admin import plain
from streamgauge.io.kafka.errors import BrokerError
from streamgauge.io.kafka.reader import Reader
from streamgauge.io.kafka.settings import unaccepted
from streamgauge.io.kafka.state_topic import StateReader

BROKER: dict[str, Setting] = {"bootstrap.servers": "localhost:9092"}
CANARY = "hunter2canary"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fetch.max.bytes": 16_777_216, "linger.ms": 5, "compression.type": "zstd"},
        {"client.rack": True, "socket.keepalive.enable": True},
        {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "u",
            "sasl.password": CANARY,
        },
        {
            # With these a client would fetch a token as soon as it is created.
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "u",
            "sasl.oauthbearer.client.secret": CANARY,
            "sasl.oauthbearer.token.endpoint.url": "https://localhost:1/token",
        },
    ],
)
def test_settings_that_the_client_takes_are_not_mentioned(settings: dict[str, Setting]) -> None:
    assert list(unaccepted(BROKER | settings)) == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("fetch.max.byte", 1, "is no setting of librdkafka; correct its name"),
        ("fetch.max.bytes", -1, "is not from 0 to 2147483135; write a value in that range"),
        ("fetch.max.bytes", CANARY, "has a value that librdkafka does not take; write one"),
        ("compression.codec", CANARY, "has a value that librdkafka does not take; write one"),
        ("acks", CANARY, "has a value that librdkafka does not take; write one"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(key: str, value: Setting, words: str) -> None:
    [problem] = unaccepted(BROKER | {"linger.ms": 5, key: value})
    assert problem.key == key
    assert problem.text.startswith(words)
    assert CANARY not in problem.text


def test_every_wrong_setting_is_named() -> None:
    wrong: dict[str, Setting] = {"a.b": 1, "linger.ms": -5, "c.d": 1}
    assert [problem.key for problem in unaccepted(BROKER | wrong)] == list(wrong)


def test_settings_that_contradict_what_streamgauge_relies_on_are_told_together() -> None:
    [problem] = unaccepted(BROKER | {"acks": 1})
    assert problem.key is None
    assert "`acks` must be set to `all` when `enable.idempotence` is true" in problem.text


def test_a_certificate_that_is_none_is_named() -> None:
    [problem] = unaccepted(BROKER | {"security.protocol": "ssl", "ssl.ca.location": __file__})
    assert problem.key == "ssl.ca.location"
    assert "no certificate" in problem.text


def test_no_client_connects(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(unaccepted({"bootstrap.servers": "127.0.0.1:1"})) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after"
            " 0ms in state CONNECT)",
            "localhost:1: Connect to 127.0.0.1:1 failed: Connection refused",
        ),
        (
            "sasl_ssl://b.example:9093/2: SASL authentication error: Authentication failed (after"
            " 301ms in state AUTH_REQ, 4 identical error(s) suppressed)",
            "sasl_ssl://b.example:9093: SASL authentication error: Authentication failed",
        ),
    ],
)
def test_what_the_client_says_of_a_connection_is_told_plainly(told: str, words: str) -> None:
    assert plain(told) == words


def test_a_session_that_outlasts_the_poll_interval_is_found_before_the_start() -> None:
    (problem,) = unaccepted({"session.timeout.ms": 9_000, "max.poll.interval.ms": 8_000})
    assert problem.key in {None, "session.timeout.ms"}
    assert "max.poll.interval.ms" in problem.text


@pytest.mark.parametrize(
    "settings",
    [
        {"session.timeout.ms": 400_000},
        {"session.timeout.ms": 3_000, "max.poll.interval.ms": 3_000},
        {"max.poll.interval.ms": 10_000},
    ],
)
def test_sessions_and_poll_intervals_of_any_length_are_taken_by_all_kinds_of_clients(
    settings: dict[str, Setting],
) -> None:
    assert list(unaccepted(BROKER | settings)) == []
    quiet = {**settings, "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    Reader(quiet, "g", "c").close()
    with pytest.raises(BrokerError):
        StateReader(quiet, "g", "c", "state", patience=0.1).records()
