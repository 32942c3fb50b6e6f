"""Kafka failures in words that say what to do."""

from confluent_kafka import KafkaError, KafkaException

from streamgauge.errors import StreamgaugeError


class BrokerError(StreamgaugeError):
    """The broker refused or could not be reached, and trying again has not helped."""


class OffsetsGoneError(StreamgaugeError):
    """The position to go on from no longer exists, so events were lost before they were read."""


class TransactionError(BrokerError):
    """A transaction failed so that trying again does not help; the producer is of no more use."""


class AbortableError(TransactionError):
    """The transaction has to be aborted; then go back to what is committed, and do it again."""


class UnsettledError(TransactionError):
    """Whether the transaction was committed is not known before the transactions are taken over."""


class FencedError(TransactionError):
    """Another owner has taken over, or the broker gave this one up; nothing more can be written."""


class NotMemberError(AbortableError):
    """This replica is no member of the group (any more), so it must not commit."""


class StateBlockedError(BrokerError):
    """The state topic cannot be read to its end: a transaction in it stays open."""


PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._PARTITION_EOF,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)
"""Errors that the client itself recovers from."""

REMEDIES = {
    KafkaError._ALL_BROKERS_DOWN: "is the broker running, and is kafka.bootstrap_servers right?",
    KafkaError._TRANSPORT: "is the broker running, and is kafka.bootstrap_servers right?",
    KafkaError._TIMED_OUT: "is the broker running, and is kafka.bootstrap_servers right?",
    KafkaError._RESOLVE: "the host name is not known; correct kafka.bootstrap_servers",
    KafkaError._AUTHENTICATION: "check kafka.security",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this user access to the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant this user Read on the consumer group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "grant this user Write and Describe on the transactional id streamgauge.<app>"
    ),
    KafkaError.INVALID_TRANSACTION_TIMEOUT: (
        "kafka.librdkafka: transaction.timeout.ms must not exceed the broker's"
        " transaction.max.timeout.ms"
    ),
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create the topic: streamgauge check --create -c FILE",
    KafkaError._UNKNOWN_TOPIC: "create the topic: streamgauge check --create -c FILE",
}


def failure(doing: str, error: KafkaError | KafkaException) -> BrokerError:
    """Return a one-line error: what was being done, what Kafka said, what to do about it."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    if not isinstance(cause, KafkaError):
        return BrokerError(f"kafka: {doing}: {cause}")
    remedy = REMEDIES.get(cause.code())
    text = f"kafka: {doing}: {cause.str()}"
    return BrokerError(f"{text}; {remedy}" if remedy else text)
