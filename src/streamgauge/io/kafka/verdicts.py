"""Verdicts: what an error of a transactional producer means for what comes next.

One pure function over one table, tried from the top: the client's flags alone do not tell a fenced
owner from a broken one, nor an end that may have happened from one that has not.
"""

from enum import StrEnum
from typing import Final, NamedTuple, Self

from confluent_kafka import KafkaError


class Step(StrEnum):
    """What was being done."""

    FENCE = "taking over the transactions"
    BEGIN = "beginning a transaction"
    WRITE = "writing in a transaction"
    DELIVERY = "delivering what a transaction wrote"
    OFFSETS = "adding offsets to a transaction"
    COMMIT = "committing a transaction"
    ABORT = "aborting a transaction"


class Verdict(StrEnum):
    """What to do about it."""

    RETRY = "retry"
    """The same call again."""
    ABORT = "abort"
    """Abort the transaction, go back to what is committed, and do it all again."""
    UNSETTLED = "unsettled"
    """It may or may not have happened: throw the producer away; a new one settles it."""
    FENCED = "fenced"
    """Another producer has the transactional id, or the broker gave this one up: leave."""
    FATAL = "fatal"
    """Trying again does not help: leave."""


class Trouble(NamedTuple):
    """An error of the client as plain data."""

    code: int
    retriable: bool = False
    abortable: bool = False
    fatal: bool = False

    @classmethod
    def of(cls, error: KafkaError) -> Self:
        """Return what an error says of itself."""
        return cls(error.code(), error.retriable(), error.txn_requires_abort(), error.fatal())


FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)
GROUP_MOVED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
"""The group has moved on since its metadata was read: this replica may still be the active one."""
HOPELESS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.POLICY_VIOLATION,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""Somebody has to change something first: another transaction would fail like this one."""
_ENDS: Final = (Step.OFFSETS, Step.COMMIT, Step.ABORT)


def verdict(step: Step, trouble: Trouble, *, patient: bool) -> Verdict:
    """Return what to do about an error; `patient` tells whether there is time to try again."""
    code, retriable, abortable, fatal = trouble
    table = (
        (code in FENCED, Verdict.FENCED),
        (fatal or code == KafkaError._FATAL or code in HOPELESS, Verdict.FATAL),
        # An earlier call is still under way, and cannot be called off.
        (code == KafkaError._CONFLICT, Verdict.UNSETTLED),
        # An abort does not get better by another.
        (abortable and step is Step.ABORT, Verdict.UNSETTLED),
        (abortable or code in GROUP_MOVED, Verdict.ABORT),
        # A message that was not delivered takes its transaction with it: this one, or an earlier.
        (step is Step.DELIVERY, Verdict.ABORT),
        (code == KafkaError._STATE and step in (Step.WRITE, Step.OFFSETS), Verdict.ABORT),
        (retriable and patient, Verdict.RETRY),
        (retriable and step in _ENDS, Verdict.UNSETTLED),
    )
    return next((then for holds, then in table if holds), Verdict.FATAL)
