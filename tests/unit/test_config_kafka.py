from pathlib import Path

import pytest

from streamgauge.config.kafka import KafkaConfig
from streamgauge.config.places import place_text
from streamgauge.errors import ConfigError
from tests.support.config_files import MODEL, loaded, problem, problems

SCRAM = "{protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: u, password: '${PW}'}"


def kafka(folder: Path, section: str) -> KafkaConfig:
    return loaded(folder, f"kafka: {{bootstrap_servers: 'a:1', {section}}}\n{MODEL}",
                  {"PW": "secret1"}).kafka  # fmt: skip


def refused(folder: Path, section: str) -> list[str]:
    text = f"kafka: {{bootstrap_servers: 'a:1', {section}}}\n{MODEL}"
    return problems(folder, text, {"PW": "secret1"})


def test_an_open_broker_needs_its_address_alone(tmp_path: Path) -> None:
    assert kafka(tmp_path, "").client_settings() == {"bootstrap.servers": "a:1"}


def test_security_is_written_in_librdkafkas_names(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    section = (
        f"security: {SCRAM[:-1]}, ca_file: ca.pem, certificate_file: cert.pem, key_file: key.pem,"
        " key_password: kp}, librdkafka: {fetch.max.bytes: 7, socket.keepalive.enable: true}"
    )
    assert kafka(tmp_path, section).client_settings() == {
        "bootstrap.servers": "a:1",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "secret1",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "ssl.certificate.location": str(tmp_path / "cert.pem"),
        "ssl.key.location": str(tmp_path / "key.pem"),
        "ssl.key.password": "kp",
        "fetch.max.bytes": 7,
        "socket.keepalive.enable": True,
    }


def test_oauth_tokens_come_from_the_named_provider(tmp_path: Path) -> None:
    section = (
        "security: {protocol: SASL_SSL, mechanism: OAUTHBEARER, username: id, password: s,"
        " token_url: 'https://login.example/token', token_scope: kafka}"
    )
    settings = kafka(tmp_path, section).client_settings()
    assert settings["sasl.oauthbearer.method"] == "oidc"
    assert settings["sasl.oauthbearer.client.id"] == "id"
    assert settings["sasl.oauthbearer.client.secret"] == "s"
    assert settings["sasl.oauthbearer.token.endpoint.url"] == "https://login.example/token"
    assert settings["sasl.oauthbearer.scope"] == "kafka"
    assert "sasl.password" not in settings


def test_a_password_file_is_read_afresh_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    section = f"security: {SCRAM.replace('password: ', 'password_file: password, x: ')}"
    section = section.replace(", x: '${PW}'", "")
    security = kafka(tmp_path, section).security
    first = security.read_password()
    file.write_text("second")
    second = security.read_password()
    assert first is not None
    assert second is not None
    assert (first.get_secret_value(), second.get_secret_value()) == ("first", "second")
    for content in (b"", b"\n", b"a\0b", b"\xff\xfe", b"x" * 70_000):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="does not hold a password; write"):
            security.read_password()
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        security.read_password()


def test_files_that_security_names_must_be_there(tmp_path: Path) -> None:
    [line] = refused(tmp_path, "security: {protocol: SSL, ca_file: absent.pem}")
    assert line.startswith("streamgauge.yaml:1: kafka.security.ca_file: ")
    assert "mount it or correct the path" in line


def test_secrets_are_hidden_wherever_the_configuration_is_shown(tmp_path: Path) -> None:
    config = kafka(tmp_path, f"security: {SCRAM}")
    for text in (repr(config), str(config), config.model_dump_json(), str(config.model_dump())):
        assert "secret1" not in text


@pytest.mark.parametrize(
    ("security", "place", "words"),
    [
        ("{username: u}", ".username", "needs protocol SASL_SSL or SASL_PLAINTEXT"),
        ("{protocol: PLAINTEXT, ca_file: x}", ".ca_file", "needs protocol SSL or SASL_SSL"),
        ("{protocol: sasl_ssl}", ".protocol", "did you mean 'SASL_SSL'?"),
        ("{protocol: SSL, key_file: k}", ".key_file", "needs certificate_file beside it"),
        ("{protocol: SSL, certificate_file: c}", ".certificate_file", "needs key_file beside it"),
        ("{protocol: SSL, key_password: c}", ".key_password", "needs key_file beside it"),
        ("{protocol: SASL_SSL, username: u, password: p}", "", "mechanism is missing"),
        ("{protocol: SASL_SSL, mechanism: PLAIN, password: p}", "", "username is missing"),
        ("{protocol: SASL_SSL, mechanism: PLAIN, username: u}", "", "needs a password"),
        (SCRAM[:-1] + ", password_file: f}", ".password_file", "password is set too; keep one"),
        (SCRAM[:-1] + ", token_scope: f}", ".token_scope", "belongs to mechanism OAUTHBEARER"),
        (SCRAM.replace("SCRAM-SHA-512", "OAUTHBEARER"), "", "OAUTHBEARER needs token_url"),
        (SCRAM[:-1] + ", token_url: 'http://x'}", ".token_url", "write an https:// address"),
        (SCRAM.replace("'${PW}'", "''"), ".password", "must not be empty"),
    ],
)
def test_security_that_does_not_fit_together_is_refused(
    tmp_path: Path, security: str, place: str, words: str
) -> None:
    lines = refused(tmp_path, f"security: {security}")
    assert len(lines) == 1
    assert lines[0].startswith(f"streamgauge.yaml:1: kafka.security{place}: ")
    assert words in lines[0]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("plugin.library.paths: x", "loads code"),
        ("Plugin.Library.Paths: x", "loads code"),
        ("ssl.engine.location: x", "loads code"),
        ("ssl.providers: legacy", "loads code"),
        ("sasl.kerberos.kinit.cmd: x", "shell command"),
        ("sasl.kerberos.principal: '; x'", "shell command"),
        ("sasl.oauthbearer.config: x", "could send secrets elsewhere"),
        ("sasl.oauthbearer.assertion.file: /x", "could send secrets elsewhere"),
        ("sasl.oauthbearer.metadata.authentication.type: azure_imds", "send secrets elsewhere"),
        ("enable.sasl.oauthbearer.unsecure.jwt: true", "send secrets elsewhere"),
        ("sasl.oauthbearer.token.endpoint.url: 'https://x'", "use kafka.security.token_url"),
        ("sasl.password: x", "use kafka.security.password"),
        ("ssl.key.password: x", "use kafka.security.key_password"),
        ("ssl.key.pem: x", "use kafka.security.key_file"),
        ("bootstrap.servers: 'b:1'", "use kafka.bootstrap_servers"),
        ("metadata.broker.list: 'b:1'", "use kafka.bootstrap_servers"),
        ("group.id: x", "set by streamgauge"),
        ("client.id: x", "set by streamgauge"),
        ("transactional.id: x", "set by streamgauge"),
        ("enable.auto.commit: true", "set by streamgauge"),
        ("enable.auto.offset.store: true", "set by streamgauge"),
        ("isolation.level: read_uncommitted", "set by streamgauge"),
        ("auto.offset.reset: latest", "set by streamgauge"),
        ("partition.assignment.strategy: range", "set by streamgauge"),
        ("group.protocol: consumer", "set by streamgauge"),
        ("enable.ssl.certificate.verification: false", "would accept any broker's certificate"),
        ("ssl.endpoint.identification.algorithm: none", "would accept any broker's certificate"),
        ("error_cb: x", "a Python object"),
        ("test.mock.num.brokers: 3", "a mock that loses transactions"),
        ("fetch.max.bytes: [1]", "must be one text, number, true or false"),
        ("fetch.max.bytes: null", "must be one text, number, true or false"),
    ],
)
def test_settings_that_are_unsafe_or_not_the_users_are_refused(
    tmp_path: Path, setting: str, words: str
) -> None:
    [line] = refused(tmp_path, f"librdkafka: {{{setting}}}")
    place = place_text(("kafka", "librdkafka", setting.partition(":")[0]))
    assert line.startswith(f"streamgauge.yaml:1: {place}: ")
    assert words in line


@pytest.mark.parametrize(
    "setting",
    [
        "enable.ssl.certificate.verification: true",
        "ssl.endpoint.identification.algorithm: https",
        "security.protocol: ssl",
        "session.timeout.ms: 10000",
        "compression.type: zstd",
        "debug: 'broker,topic'",
    ],
)
def test_other_settings_pass_through(tmp_path: Path, setting: str) -> None:
    key, _, value = setting.partition(": ")
    settings = kafka(tmp_path, f"librdkafka: {{{setting}}}").client_settings()
    assert str(settings[key]).lower() == value.strip("'")


@pytest.mark.parametrize(
    "setting", ["security.protocol: ssl", "sasl.mechanisms: PLAIN", "sasl.username: v"]
)
def test_a_setting_in_both_places_is_refused(tmp_path: Path, setting: str) -> None:
    [line] = refused(tmp_path, f"security: {SCRAM}, librdkafka: {{{setting}}}")
    assert "is set in kafka.security." in line
    assert "keep one of the two" in line


@pytest.mark.parametrize(
    "servers",
    ["localhost:9092", "a:1,b:2", "a:1, b:2", "10.0.0.1:9092", "'[::1]:9092'", "a-b.c_d:65535"],
)
def test_brokers_are_hosts_with_ports(tmp_path: Path, servers: str) -> None:
    text = f"kafka:\n  bootstrap_servers: {servers}\n{MODEL}"
    assert loaded(tmp_path, text).kafka.bootstrap_servers == servers.strip("'")


@pytest.mark.parametrize(
    "servers", ["localhost", "a:1,", "a:0", "a:65536", "a:x", "http://a:1", "a b:1", "::1:9092"]
)
def test_brokers_without_host_or_port_are_refused(tmp_path: Path, servers: str) -> None:
    text = f"kafka:\n  bootstrap_servers: '{servers}'\n{MODEL}"
    assert "must be host:port" in problem(tmp_path, text)
