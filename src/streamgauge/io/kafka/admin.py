"""Admin: what a cluster holds, what this user may do there, and topics made on request.

Nothing but `create` changes anything on the broker. Topics are looked up by listing all of them:
a broker that creates topics as soon as they are named must not get a name that it does not have.
"""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # re-exported without saying so
    AdminClient,
    ConfigResource,
    OffsetSpec,
)
from confluent_kafka.cimpl import NewTopic

from streamgauge.config.librdkafka import Setting
from streamgauge.errors import StreamgaugeError
from streamgauge.io.kafka.errors import BrokerError, failure

PATIENCE_S: Final = 10.0
"""How long an answer is waited for, connecting included."""
LISTED_S: Final = 5.0
"""How long a topic may be missing from the list of a broker that has just begun.

One that has been created just now may be as well: its broker hears of it after its creator.
"""
_ASK_S: Final = 1.0
_AGAIN_S: Final = 0.2
_DAY_MS: Final = 86_400_000

_Result = TypeVar("_Result")
Operations = frozenset[str] | None
"""What a user may do, such as `read` and `write`; None where the broker does not tell."""


class RefusedError(StreamgaugeError):
    """The broker is there and does not let this user in, or not do what was asked."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster says of itself: its number of brokers, and partitions by topic."""

    brokers: int
    topics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str] = field(default_factory=dict)


class Admin:
    """Asks a cluster about itself.

    Every question raises BrokerError where no answer has come within `patience` seconds, and
    RefusedError where the broker refuses.
    """

    def __init__(
        self, settings: Mapping[str, Setting], client_id: str, patience: float = PATIENCE_S
    ) -> None:
        self._patience = patience
        self._trouble: list[KafkaError] = []
        config: dict[str, Any] = {**settings, "client.id": client_id}
        self._client = AdminClient(
            config | {"error_cb": self._trouble.append}, logger=silent_logger()
        )

    def cluster_with(self, topics: Iterable[str], within: float = LISTED_S) -> Cluster:
        """Return as `cluster`, asked again for some seconds while one of the topics is missing."""
        wanted = set(topics)
        deadline = time.monotonic() + within
        while True:
            found = self.cluster()
            if wanted <= set(found.topics) or time.monotonic() >= deadline:
                return found
            time.sleep(_AGAIN_S)

    def cluster(self) -> Cluster:
        """Return the brokers and all topics that this user may see."""
        deadline = time.monotonic() + self._patience
        while True:
            left = min(_ASK_S, max(0.1, deadline - time.monotonic()))
            try:
                found = self._client.list_topics(timeout=left)
            except KafkaException as error:
                self._client.poll(0)
                self._judge(error, last=time.monotonic() >= deadline)
            else:
                break
        topics = {name: len(topic.partitions) for name, topic in found.topics.items()}
        return Cluster(len(found.brokers), topics)

    def _judge(self, error: KafkaException, *, last: bool) -> None:
        """Raise what stands in the way of a connection, where waiting does not help any more."""
        for trouble in self._trouble:
            if trouble.code() in REFUSED:
                raise RefusedError(f"{plain(trouble.str())}; {REFUSED[trouble.code()]}") from error
        if not last:
            return
        told = [t for t in self._trouble if t.code() != KafkaError._ALL_BROKERS_DOWN]
        why = f" ({plain(told[-1].str())})" if told else ""
        raise BrokerError(
            f"no broker has answered within {self._patience:.0f} s{why}; is the broker running,"
            " and is the address right?"
        ) from error

    def cleanup_policies(self, topics: Iterable[str]) -> dict[str, str | None]:
        """Return the `cleanup.policy` of topics that exist, None where it is not told."""
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in sorted(set(topics))]
        if not asked:
            return {}
        found: dict[str, str | None] = {}
        answers = self._client.describe_configs(asked, request_timeout=self._patience)
        for resource, answer in answers.items():
            try:
                entries = self._wait(answer, f"reading the settings of {resource.name}")
            except RefusedError:
                entries = {}
            entry = entries.get("cleanup.policy")
            found[resource.name] = None if entry is None else entry.value
        return found

    def topic_operations(self, topics: Iterable[str]) -> dict[str, Operations]:
        """Return what this user may do with topics that exist."""
        names = sorted(set(topics))
        if not names:
            return {}
        answers = self._client.describe_topics(
            TopicCollection(names),
            include_authorized_operations=True,
            request_timeout=self._patience,
        )
        return {
            name: _operations(self._wait(answer, f"looking up topic {name}"))
            for name, answer in answers.items()
        }

    def group_operations(self, group: str) -> Operations:
        """Return what this user may do with a consumer group, whether it exists or not."""
        deadline = time.monotonic() + self._patience
        while True:
            [answer] = self._client.describe_consumer_groups(
                [group], include_authorized_operations=True, request_timeout=self._patience
            ).values()
            try:
                return _operations(self._wait(answer, f"looking up group {group}"))
            except RefusedError:
                return frozenset()
            except BrokerError as error:
                # The first question about a group makes a broker begin to coordinate it.
                if not _coordinator_starts(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)

    def messages_since(self, topics: Mapping[str, int], since_ms: int, now_ms: int) -> int | None:
        """Return how many messages topics (with their partitions) got since a time in ms.

        None where the broker cannot tell: one that finds messages of tomorrow does not look.
        """
        at = [TopicPartition(topic, p) for topic, count in topics.items() for p in range(count)]
        if any(offset >= 0 for offset in self._offsets(at, now_ms + _DAY_MS)):
            return None
        ends, begins = self._offsets(at, None), self._offsets(at, since_ms)
        return sum(end - begin for begin, end in zip(begins, ends, strict=True) if begin >= 0)

    def _offsets(self, partitions: list[TopicPartition], time_ms: int | None) -> list[int]:
        """Return the first offset at or after a time, −1 for none; the next offset for None."""
        if not partitions:
            return []
        spec: Any = OffsetSpec._latest if time_ms is None else OffsetSpec.for_timestamp(time_ms)
        answers = self._client.list_offsets(
            dict.fromkeys(partitions, spec), request_timeout=self._patience
        )
        return [
            int(self._wait(answers[at], f"reading offsets of {at.topic}").offset)
            for at in partitions
        ]

    def create(self, topics: Iterable[TopicSpec]) -> None:
        """Create topics and wait until they are there; one that exists already stays as it is."""
        wanted = [
            NewTopic(t.name, t.partitions, t.replication, config=dict(t.settings)) for t in topics
        ]
        if not wanted:
            return
        answers = self._client.create_topics(
            wanted, operation_timeout=self._patience, request_timeout=self._patience
        )
        for name, answer in answers.items():
            self._wait(answer, f"creating topic {name}", fine=KafkaError.TOPIC_ALREADY_EXISTS)
        deadline = time.monotonic() + self._patience
        while not {topic.topic for topic in wanted} <= set(self.cluster().topics):
            if time.monotonic() >= deadline:
                raise BrokerError(
                    f"created topics are not there after {self._patience:.0f} s; check again"
                )
            time.sleep(0.05)

    def _wait(self, answer: "Future[_Result]", doing: str, fine: int | None = None) -> Any:
        """Return an answer; None where the broker says what is `fine`."""
        try:
            return answer.result(self._patience + 1.0)
        except TimeoutError as error:
            raise BrokerError(f"{doing}: no answer within {self._patience:.0f} s") from error
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() == fine:
                return None
            if cause.code() in REFUSED:
                raise RefusedError(f"{doing}: {cause.str()}; {REFUSED[cause.code()]}") from error
            raise failure(doing, error) from error


_GRANT: Final = "grant this user access, or have it done by who administers the cluster"
_OTHERWISE: Final = "create the topic by hand, as the cluster's rules want it"
REFUSED: Final = {
    KafkaError._AUTHENTICATION: "check kafka.security",
    KafkaError._SSL: "check kafka.security, above all protocol and ca_file",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check kafka.security",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.POLICY_VIOLATION: _OTHERWISE,
    KafkaError.INVALID_REPLICATION_FACTOR: _OTHERWISE,
}
"""Answers that no waiting changes, with the remedy."""


def _coordinator_starts(error: BrokerError) -> bool:
    cause = error.__cause__
    return isinstance(cause, KafkaException) and cause.args[0].code() in (
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    )


def _operations(described: Any) -> Operations:
    told = described.authorized_operations
    return None if told is None else frozenset(operation.name.lower() for operation in told)


def plain(text: str) -> str:
    """Return what the client says of a connection without its internal names and states."""
    text = re.sub(r"/(bootstrap|\d+)(?=:)", "", text)
    text = re.sub(r" \(after .*\)", "", text).replace("ipv4#", "").replace("ipv6#", "")
    return " ".join(text.split())


def silent_logger() -> logging.Logger:
    """Return a logger that keeps the client from writing to standard error by itself."""
    logger = logging.Logger("librdkafka")
    logger.addHandler(logging.NullHandler())
    return logger
