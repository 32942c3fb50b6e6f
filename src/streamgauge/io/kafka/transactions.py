"""Transactions: alerts, dead letters, state and offsets become visible together, or not at all."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamgauge.config.librdkafka import Setting
from streamgauge.formats.state_manifest import Positions
from streamgauge.io.kafka.admin import silent_logger
from streamgauge.io.kafka.bounded import LeftError, bounded
from streamgauge.io.kafka.errors import (
    AbortableError,
    BrokerError,
    FencedError,
    NotMemberError,
    TransactionError,
    UnsettledError,
    failure,
)
from streamgauge.io.kafka.membership import GroupMetadata, with_floors
from streamgauge.io.kafka.verdicts import Step, Trouble, Verdict, verdict

Headers = list[tuple[str, str | bytes | None]]

TIMEOUT: Final = "transaction.timeout.ms"
TIMEOUT_MS: Final = 10_000
"""After this the broker gives up a transaction: for so long one left open holds up readers."""
FENCE_S: Final = 60.0
"""How long taking over may last: the broker may have to wait for an open transaction's end."""
OFFSETS_S: Final = 5.0
"""How long adding offsets may last: a call that a restart of the broker has hit never ends."""
CLOSE_S: Final = 3.0
"""How long a stop waits for an abort; after that the broker has to do it by itself."""
_SLICE_S: Final = 0.2
"""Longest single wait for deliveries, so that signals are served."""
_PAUSE_S: Final = 0.05
_RAISED: Final = {
    Verdict.ABORT: AbortableError,
    Verdict.UNSETTLED: UnsettledError,
    Verdict.FENCED: FencedError,
    Verdict.FATAL: TransactionError,
}


def transactional_id(app: str, worker: str | None = None) -> str:
    """Return the id that all replicas of an app share, of which only the newest may write.

    A `worker` has one of its own: it is the group that shuts out those that hold its partitions no
    more, by the generation in which they commit offsets.
    """
    return f"streamgauge.{app}" if worker is None else f"streamgauge.{app}.worker.{worker}"


class TransactionalWriter:
    """Writes messages and offsets in transactions, as the only one to do so for its app.

    `fence` first: it makes a producer, shuts out the previous owner and settles what that left
    open. Call it only while the group says that this replica is active, or it shuts out the right
    one. Then `begin`, `write`, ..., `commit` over and over. What each error asks for:

    - AbortableError: `abort`, go back to what is committed, begin again;
    - UnsettledError: if still active, `fence` again and restore the state, which tells the outcome;
    - FencedError: as UnsettledError if still active, else stand by;
    - TransactionError itself: end.
    """

    def __init__(
        self,
        settings: Mapping[str, Setting],
        client_id: str,
        app: str,
        worker: str | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            TIMEOUT: TIMEOUT_MS,
            **settings,
            "client.id": client_id,
            "transactional.id": transactional_id(app, worker),
            "enable.idempotence": True,
            # State is compressed, the rest is little.
            "compression.type": "none",
            "linger.ms": 5,
        }
        self._patience = float(self._settings[TIMEOUT]) / 1000
        self._producer: Producer | None = None
        self._open = False
        self._written = 0
        self._delivered = 0
        self._failed: KafkaError | None = None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._open

    def fence(self) -> None:
        """Take over: previous owners of the app can write no more, what they left open is aborted.

        Raises BrokerError where the broker does not answer, TransactionError where it refuses.
        """
        self._drop()
        try:
            producer = Producer(self._settings, logger=silent_logger())
        except KafkaException as error:
            raise failure(Step.FENCE, error) from error
        self._patiently(Step.FENCE, producer.init_transactions, FENCE_S)
        self._producer = producer

    def begin(self) -> None:
        """Begin a transaction. The broker hears of it with the first message."""
        assert not self._open, "a transaction is open already"
        producer = self._producer
        assert producer is not None, "fence comes first"
        self._written = self._delivered = 0
        self._failed = None
        try:
            producer.begin_transaction()
        except KafkaException as error:
            self._raise(Step.BEGIN, error)
        self._open = True

    def write(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Queue a message in the open transaction; waits where the queue is full."""
        producer = self._within()
        while True:
            try:
                producer.produce(
                    topic,
                    value=value,
                    key=key,
                    headers=headers if headers is not None else [],
                    on_delivery=self._told,
                )
            except BufferError:
                # Ends in any case: what cannot be delivered fails, which makes room.
                self._serve(producer, 0.1)
            except KafkaException as error:
                self._raise(Step.WRITE, error, topic)
            else:
                break
        self._written += 1
        self._serve(producer, 0.0)

    def commit(self, positions: Positions, group: GroupMetadata) -> None:
        """Commit all that was written together with the next offsets to read, and their floors.

        Raises NotMemberError (an AbortableError) for metadata of no member, and what the class
        says; nothing is committed but, perhaps, where it raises UnsettledError.
        """
        producer = self._within()
        if group.generation < 0:
            raise NotMemberError("kafka: offsets are committed by members of the group alone")
        if not positions:
            raise ValueError("every transaction carries offsets: give those of all partitions")
        self._flush(producer)
        offsets = with_floors(positions)
        self._patiently(
            Step.OFFSETS,
            lambda wait: producer.send_offsets_to_transaction(offsets, group.raw, wait),
            min(OFFSETS_S, self._patience),
        )
        # No endless wait, although the client recommends it: with all delivered and the broker
        # gone it never returns.
        self._patiently(Step.COMMIT, producer.commit_transaction, self._patience)
        self._open = False
        assert self._delivered == self._written, "a message is committed and was not delivered"

    def abort(self) -> None:
        """Undo the open transaction, if there is one.

        Raises UnsettledError where the broker does not answer: then `fence` undoes it.
        """
        self._undo(self._patience)

    def close(self) -> None:
        """Leave no transaction open, as far as the broker can be reached, and write no more."""
        try:
            self._undo(CLOSE_S)
        except TransactionError:
            # Fenced or out of reach: the broker ends the transaction by itself.
            pass
        finally:
            self._drop()

    def _undo(self, patience: float) -> None:
        if not self._open:
            return
        producer = self._within()
        # Aborting before the broker knows of the transaction can break the producer.
        deadline = time.monotonic() + patience
        while self._written and not self._delivered and time.monotonic() < deadline:
            self._serve(producer, _PAUSE_S)
        self._patiently(Step.ABORT, producer.abort_transaction, patience)
        self._open = False

    def _within(self) -> Producer:
        assert self._producer is not None, "fence comes first"
        assert self._open, "begin comes first"
        return self._producer

    def _told(self, error: KafkaError | None, _message: Message) -> None:
        self._delivered += 1
        if error is not None and self._failed is None:
            self._failed = error

    def _serve(self, producer: Producer, wait: float) -> None:
        """Take delivery reports; the client also raises fatal errors here."""
        try:
            producer.poll(wait)
        except KafkaException as error:
            self._raise(Step.DELIVERY, error)

    def _flush(self, producer: Producer) -> None:
        """Wait until every message has arrived or failed, which the client limits in time."""
        deadline = time.monotonic() + 2 * self._patience
        try:
            while producer.flush(_SLICE_S) and time.monotonic() < deadline:
                continue
        except KafkaException as error:
            self._raise(Step.DELIVERY, error)
        if self._failed is not None:
            self._raise(Step.DELIVERY, KafkaException(self._failed))
        if self._delivered < self._written:
            self._drop()
            raise UnsettledError(
                f"kafka: {Step.WRITE}: {self._written - self._delivered} messages are still on"
                " their way; is the broker running?"
            )

    def _patiently(self, step: Step, call: Callable[[float], None], patience: float) -> None:
        """Make a call until it ends, well or with what the error asks for."""
        deadline = time.monotonic() + patience
        while True:
            try:
                bounded(call, max(deadline - time.monotonic(), _PAUSE_S))
            except LeftError as error:
                self._drop()
                text = f"kafka: {step}: the client has not come back in {patience:.0f} s"
                if step is Step.FENCE:
                    raise BrokerError(f"{text}; is the broker running?") from error
                raise UnsettledError(text) from error
            except KafkaException as error:
                patient = time.monotonic() < deadline
                if _verdict(step, error, patient=patient) is not Verdict.RETRY:
                    self._raise(step, error)
                time.sleep(_PAUSE_S)
            else:
                return

    def _raise(self, step: Step, error: KafkaException, topic: str = "") -> NoReturn:
        """Raise what an error asks for; a producer that is of no more use goes."""
        where = f"{step} ({topic})" if topic else step
        cause = self._root(error) if step in (Step.WRITE, Step.DELIVERY) else error
        # The client never lets go of what it has raised out of a callback, and an error holds on to
        # everybody who was at work when it came, with all that they had.
        for each in (error, cause):
            each.__traceback__ = None
        if step is Step.FENCE and cause.args[0].retriable():
            raise failure(step, cause) from error
        then = _verdict(step, cause, patient=False)
        if then in (Verdict.UNSETTLED, Verdict.FENCED):
            self._drop()
        raise _RAISED[then](str(failure(where, cause))) from error

    def _root(self, error: KafkaException) -> KafkaException:
        """Return the fatal error behind one that only says that there is one."""
        assert self._producer is not None
        try:
            # Refused within a transaction in any case: by the fatal error, if there is one.
            self._producer.begin_transaction()
        except KafkaException as told:
            if told.args[0].fatal():
                return told
        return error

    def _drop(self) -> None:
        """Let go of the producer without waiting for anything."""
        self._open = False
        if self._producer is not None:
            self._producer.purge()
            self._producer = None


def _verdict(step: Step, error: KafkaException, *, patient: bool) -> Verdict:
    cause = error.args[0]
    assert isinstance(cause, KafkaError)
    return verdict(step, Trouble.of(cause), patient=patient)
