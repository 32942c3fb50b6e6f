"""Which librdkafka settings may pass through from `kafka.librdkafka`, and why others may not."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from streamgauge.config.section import refusal

Setting = str | int | float | bool

_OWNED: Final = (
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.offset.reset",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "isolation.level",
    "partition.assignment.strategy",
    "transactional.id",
)
"""Settings that exactly-once delivery, fencing and restore depend on, or that come from `app`."""

_USE_INSTEAD: Final = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "metadata.broker.list": "kafka.bootstrap_servers",
    "sasl.password": "kafka.security.password or password_file",
    "ssl.certificate.pem": "kafka.security.certificate_file",
    "ssl.ca.pem": "kafka.security.ca_file",
    "ssl.key.password": "kafka.security.key_password",
    "ssl.key.pem": "kafka.security.key_file",
    "ssl.keystore.location": "kafka.security.certificate_file and key_file (PEM)",
    "ssl.keystore.password": "kafka.security.key_password",
    "sasl.oauthbearer.client.id": "kafka.security.username",
    "sasl.oauthbearer.client.secret": "kafka.security.password or password_file",
    "sasl.oauthbearer.token.endpoint.url": "kafka.security.token_url",
    "sasl.oauthbearer.scope": "kafka.security.token_scope",
}
"""Settings with a field of their own: the broker, and secrets, which must not be shown."""

_LOADS_CODE: Final = ("plugin.library.paths", "ssl.engine.", "ssl.providers")
"""Settings that name libraries to load into this process (prefixes)."""

_RUNS_COMMANDS: Final = ("sasl.kerberos.",)
"""The kinit command goes to a shell, with principal, keytab and service name put into it."""

_FETCHES: Final = ("sasl.oauthbearer.", "enable.sasl.oauthbearer.unsecure.jwt")
"""Settings that send files or secrets to an address, ask cloud metadata, or sign nothing."""

_UNVERIFIED: Final = {
    "enable.ssl.certificate.verification": "true",
    "ssl.endpoint.identification.algorithm": "https",
}
"""Settings that may only keep the verification of the broker's certificate and host name."""


def setting_problem(key: str, value: Setting) -> str | None:
    """Return why a librdkafka setting is refused, with the remedy, or None where it may pass."""
    if key in _USE_INSTEAD:
        return f"has a field of its own; use {_USE_INSTEAD[key]} instead"
    if key in _OWNED:
        return "is set by streamgauge, which relies on it; remove it"
    if key.startswith(_LOADS_CODE):
        return "loads code into this process; remove it"
    if key.startswith(_RUNS_COMMANDS):
        return (
            "ends up in a shell command; remove it and use SCRAM, OAUTHBEARER or client"
            " certificates in kafka.security"
        )
    if key.startswith(_FETCHES):
        return "could send secrets elsewhere; remove it and use token_url in kafka.security"
    if key.endswith("_cb") or key in {"on_commit", "logger", "opaque", "default.topic.config"}:
        return "takes a Python object, which a file cannot hold; remove it"
    if key.startswith("test.mock."):
        return "replaces the broker by a mock that loses transactions; remove it"
    if key in _UNVERIFIED and str(value).lower() != _UNVERIFIED[key]:
        return (
            "would accept any broker's certificate; remove it and name the broker's authority"
            " in kafka.security.ca_file"
        )
    return None


def setting_problems(settings: Mapping[str, Setting]) -> Iterable[tuple[str, str]]:
    """Yield each refused setting's key with the reason and remedy."""
    for key, value in settings.items():
        problem = setting_problem(key.strip().lower(), value)
        if problem is not None:
            yield key, problem


def _setting(value: object) -> Setting:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float):
        return value
    raise refusal("must be one text, number, true or false; write it as librdkafka documents it")


PassedSetting = Annotated[
    Setting,
    PlainValidator(_setting),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""The value of one passed-through setting."""
