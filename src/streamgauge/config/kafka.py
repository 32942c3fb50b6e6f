"""The `kafka` section: the broker, how to authenticate, and librdkafka settings passed through."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from streamgauge.config.librdkafka import PassedSetting, Setting, setting_problems
from streamgauge.config.places import Place
from streamgauge.config.section import FilePath, Section, Text, default, refusal, refusals
from streamgauge.errors import ConfigError

_BROKER: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_LONGEST_PASSWORD: Final = 64 * 1024


class Protocol(StrEnum):
    """How the connection to the broker is secured, in Kafka's words."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def sasl(self) -> bool:
        """Whether a user or client authenticates by SASL."""
        return self in {Protocol.SASL_PLAINTEXT, Protocol.SASL_SSL}

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted and the broker's host name verified."""
        return self in {Protocol.SSL, Protocol.SASL_SSL}


class Mechanism(StrEnum):
    """The SASL mechanism, in Kafka's words."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


def _brokers(value: str) -> str:
    for broker in value.split(","):
        match = _BROKER.fullmatch(broker.strip())
        if match is None or not 0 < int(match[2]) <= 65_535:
            raise refusal(
                "must be host:port, or several with commas between; write it as in localhost:9092"
            )
    return value


def _token_url(value: str) -> str:
    if not re.fullmatch(r"https://[^/@\s]+(/\S*)?", value):
        raise refusal("is sent the client secret; write an https:// address without a user in it")
    return value


class SecurityConfig(Section):
    """How to authenticate at the broker. Without it the connection is plain and anonymous."""

    protocol: Protocol = Protocol.PLAINTEXT
    """How the connection is secured."""
    mechanism: Mechanism | None = None
    """The SASL mechanism; needed with a SASL protocol."""
    username: Text | None = None
    """The SASL user, or the client id with OAUTHBEARER."""
    password: Annotated[SecretStr, Field(min_length=1)] | None = None
    """The SASL password, or the client secret with OAUTHBEARER; write it as ${NAME}."""
    password_file: FilePath | None = None
    """A file that holds the password instead; line ends at its end are dropped."""
    token_url: Annotated[Text, AfterValidator(_token_url)] | None = None
    """Where OAUTHBEARER gets its tokens: the identity provider's token endpoint."""
    token_scope: Text | None = None
    """The scope that OAUTHBEARER asks for."""
    ca_file: FilePath | None = None
    """The authority (PEM) that signed the broker's certificate; the system's if left out."""
    certificate_file: FilePath | None = None
    """The client certificate (PEM) for mutual TLS."""
    key_file: FilePath | None = None
    """The client certificate's private key (PEM)."""
    key_password: Annotated[SecretStr, Field(min_length=1)] | None = None
    """The password of the private key; write it as ${NAME}."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if error := refusals(self._problems()):
            raise error
        return self

    def _problems(self) -> Iterator[tuple[Place, str]]:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        sasl = {"mechanism", "username", "password", "password_file", "token_url", "token_scope"}
        tls = {"ca_file", "certificate_file", "key_file", "key_password"}
        if not self.protocol.sasl:
            for name in sorted(sasl & given):
                yield (name,), "needs protocol SASL_SSL or SASL_PLAINTEXT; set protocol"
        if not self.protocol.tls:
            for name in sorted(tls & given):
                yield (name,), "needs protocol SSL or SASL_SSL; set protocol"
        if self.protocol.sasl:
            yield from self._sasl_problems(given)
        for one, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if one in given and other not in given:
                yield (one,), f"needs {other} beside it; add {other}"
        if "key_password" in given and "key_file" not in given:
            yield ("key_password",), "needs key_file beside it; add key_file"

    def _sasl_problems(self, given: set[str]) -> Iterator[tuple[Place, str]]:
        for name in ("mechanism", "username"):
            if name not in given:
                yield (), f"{name} is missing, which protocol {self.protocol} needs; add it"
        passwords = len({"password", "password_file"} & given)
        if passwords == 0:
            yield (), f"protocol {self.protocol} needs a password; add password or password_file"
        if passwords == 2:
            yield ("password_file",), "password is set too; keep one of the two"
        if self.mechanism is Mechanism.OAUTHBEARER and "token_url" not in given:
            yield (), "mechanism OAUTHBEARER needs token_url; add it"
        if self.mechanism is not Mechanism.OAUTHBEARER:
            for name in sorted({"token_url", "token_scope"} & given):
                yield (name,), "belongs to mechanism OAUTHBEARER; remove it or set mechanism"

    def read_password(self) -> SecretStr | None:
        """Return the password, read afresh where it stands in a file.

        Raises ConfigError where the file cannot be read, is empty or larger than 64 KiB.
        """
        if self.password_file is None:
            return self.password
        try:
            with self.password_file.open("rb") as file:
                content = file.read(_LONGEST_PASSWORD + 1)
            password = content.decode("utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError(
                f"kafka.security.password_file: cannot be read: {error.strerror}; mount the file"
                " or correct the path"
            ) from None
        except UnicodeDecodeError:
            password = ""
        if not password or "\0" in password or len(content) > _LONGEST_PASSWORD:
            raise ConfigError(
                "kafka.security.password_file: the file does not hold a password; write the"
                " password alone into it, as UTF-8 text"
            )
        return SecretStr(password)


class KafkaConfig(Section):
    """The Kafka cluster that events come from and alerts go to."""

    bootstrap_servers: Annotated[Text, AfterValidator(_brokers)] = Field(
        examples=["localhost:9092"]
    )
    """Brokers to ask for the cluster, host:port with commas between."""
    security: SecurityConfig = default({})
    """Encryption and authentication."""
    librdkafka: Mapping[str, PassedSetting] = default({}, examples=[{"fetch.max.bytes": 16777216}])
    """Further settings of the Kafka client, by librdkafka's names. Refused are those that load
    code, hold secrets, or that streamgauge sets itself. Unless they say otherwise, the readers of
    events read 16 MB ahead in answers of up to 16 MB and ask again after 10 ms, and members of a
    group have `max.poll.interval.ms` at 20 s, or at twice their session's timeout."""

    @model_validator(mode="after")
    def _settings_allowed(self) -> Self:
        if error := refusals(self._problems()):
            raise error
        return self

    def _problems(self) -> Iterator[tuple[Place, str]]:
        refused = dict(setting_problems(self.librdkafka))
        for key, text in refused.items():
            yield ("librdkafka", key), text
        for key in self.librdkafka:
            field = _FIELDS.get(key)
            if key not in refused and field in self.security.model_fields_set:
                yield (
                    ("librdkafka", key),
                    f"is set in kafka.security.{field} too; keep one of the two",
                )

    def client_settings(self) -> dict[str, Setting]:
        """Return what every client of this cluster is created with, by librdkafka's names.

        It holds secrets: it is for the client alone, never for a log. Raises ConfigError where
        the password's file cannot be read.
        """
        security = self.security
        settings: dict[str, Setting] = {"bootstrap.servers": self.bootstrap_servers}
        if "protocol" in security.model_fields_set:
            settings["security.protocol"] = security.protocol.value.lower()
        if security.mechanism is not None:
            settings["sasl.mechanism"] = security.mechanism.value
        password = security.read_password()
        secret = None if password is None else password.get_secret_value()
        key_password = security.key_password
        if security.mechanism is Mechanism.OAUTHBEARER:
            settings["sasl.oauthbearer.method"] = "oidc"
            optional = {
                "sasl.oauthbearer.client.id": security.username,
                "sasl.oauthbearer.client.secret": secret,
                "sasl.oauthbearer.token.endpoint.url": security.token_url,
                "sasl.oauthbearer.scope": security.token_scope,
            }
        else:
            optional = {"sasl.username": security.username, "sasl.password": secret}
        for key, path in (
            ("ssl.ca.location", security.ca_file),
            ("ssl.certificate.location", security.certificate_file),
            ("ssl.key.location", security.key_file),
        ):
            optional[key] = None if path is None else str(path)
        optional["ssl.key.password"] = (
            None if key_password is None else key_password.get_secret_value()
        )
        settings |= {key: value for key, value in optional.items() if value is not None}
        return settings | dict(self.librdkafka)

    def place_of(self, setting: str | None) -> Place:
        """Return where a setting of librdkafka's stands in the file; of None, where all stand."""
        if setting is None:
            return ("kafka", "librdkafka" if self.librdkafka else "security")
        if setting in self.librdkafka:
            return ("kafka", "librdkafka", setting)
        field = _FIELDS.get(setting)
        return ("kafka",) if field is None else ("kafka", "security", field)


_FIELDS: Final = {
    "security.protocol": "protocol",
    "sasl.mechanism": "mechanism",
    "sasl.mechanisms": "mechanism",
    "sasl.username": "username",
    "ssl.ca.location": "ca_file",
    "ssl.certificate.location": "certificate_file",
    "ssl.key.location": "key_file",
}
"""Settings that may stand in `librdkafka` or in `security`, but not in both."""
