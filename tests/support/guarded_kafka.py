"""Apache Kafka that lets users in by password and to what they were granted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined] # re-exported without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streamgauge.io.loopback import HOST, free_port
from tests.support.apache_kafka import ApacheKafka

USER, PASSWORD = "monitor", "right-password"


class GuardedKafka(ApacheKafka):
    """One broker with two doors: `bootstrap_servers` for who may do all, `guarded` for USER."""

    def __init__(self) -> None:
        super().__init__()
        self.guarded = f"{HOST}:{free_port()}"

    def security(self, password: str = PASSWORD) -> str:
        """Return the section `security` of a configuration for USER."""
        return (
            "{protocol: SASL_PLAINTEXT, mechanism: PLAIN, "
            f"username: {USER}, password: '{password}'}}"
        )

    def grant(self, resource: str, name: str, *operations: str) -> None:
        """Grant USER operations (`read`, `write`, ...) on a `topic` or `group`."""
        admin: Any = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        bindings = [
            AclBinding(
                ResourceType[resource.upper()],
                name,
                ResourcePatternType.LITERAL,
                f"User:{USER}",
                "*",
                AclOperation[operation.upper()],
                AclPermissionType.ALLOW,
            )
            for operation in operations
        ]
        for granted in admin.create_acls(bindings).values():
            granted.result(20)

    def _properties(self, data: Path) -> dict[str, str]:
        plain: Mapping[str, str] = super()._properties(data)
        door = f"SASL_PLAINTEXT://{self.guarded}"
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            **plain,
            "listeners": f"{plain['listeners']},{door}",
            "advertised.listeners": f"{plain['advertised.listeners']},{door}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
            "SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required"
            f' user_{USER}="{PASSWORD}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
