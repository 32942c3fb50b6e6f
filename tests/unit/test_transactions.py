"""Verdicts on errors, group metadata, and the writer's order of calls, on a made-up producer."""

import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka import bounded, transactions
from streamgauge.io.kafka.errors import (
    AbortableError,
    BrokerError,
    FencedError,
    NotMemberError,
    TransactionError,
    UnsettledError,
)
from streamgauge.io.kafka.membership import GroupMetadata
from streamgauge.io.kafka.transactions import TransactionalWriter
from streamgauge.io.kafka.verdicts import Step, Trouble, Verdict, verdict

AT = {("predictions", 1): Position(41, 40)}
MEMBER = GroupMetadata(3, b"raw")

TABLE = [
    # who else has the id, whatever was being done, and whatever the client's flags say
    (Step.BEGIN, Trouble(KafkaError._FENCED, fatal=True), Verdict.FENCED),
    (Step.OFFSETS, Trouble(KafkaError._FENCED, fatal=True), Verdict.FENCED),
    (Step.COMMIT, Trouble(KafkaError.PRODUCER_FENCED, abortable=True), Verdict.FENCED),
    (Step.ABORT, Trouble(KafkaError.INVALID_PRODUCER_EPOCH), Verdict.FENCED),
    (Step.DELIVERY, Trouble(KafkaError.INVALID_PRODUCER_EPOCH), Verdict.FENCED),
    # nothing more can come of this producer
    (Step.WRITE, Trouble(KafkaError._FATAL), Verdict.FATAL),
    (Step.COMMIT, Trouble(KafkaError.INVALID_TXN_STATE, fatal=True), Verdict.FATAL),
    (Step.ABORT, Trouble(KafkaError.INVALID_TXN_STATE, fatal=True), Verdict.FATAL),
    # somebody has to change something first
    (Step.FENCE, Trouble(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED), Verdict.FATAL),
    (Step.FENCE, Trouble(KafkaError.INVALID_TRANSACTION_TIMEOUT), Verdict.FATAL),
    (Step.WRITE, Trouble(KafkaError.MSG_SIZE_TOO_LARGE), Verdict.FATAL),
    (Step.DELIVERY, Trouble(KafkaError.TOPIC_AUTHORIZATION_FAILED), Verdict.FATAL),
    (Step.OFFSETS, Trouble(KafkaError.GROUP_AUTHORIZATION_FAILED, abortable=True), Verdict.FATAL),
    # the transaction is lost, the producer is not
    (Step.OFFSETS, Trouble(KafkaError.ILLEGAL_GENERATION, abortable=True), Verdict.ABORT),
    (Step.OFFSETS, Trouble(KafkaError.UNKNOWN_MEMBER_ID), Verdict.ABORT),
    (Step.OFFSETS, Trouble(KafkaError.FENCED_INSTANCE_ID), Verdict.ABORT),
    (Step.OFFSETS, Trouble(KafkaError._STATE), Verdict.ABORT),
    (Step.COMMIT, Trouble(KafkaError._INCONSISTENT, abortable=True), Verdict.ABORT),
    (Step.DELIVERY, Trouble(KafkaError._MSG_TIMED_OUT), Verdict.ABORT),
    (Step.DELIVERY, Trouble(KafkaError.NOT_ENOUGH_REPLICAS, retriable=True), Verdict.ABORT),
    (Step.WRITE, Trouble(KafkaError._STATE), Verdict.ABORT),
    # an end that is under way cannot be called off
    (Step.ABORT, Trouble(KafkaError._CONFLICT, retriable=True), Verdict.UNSETTLED),
    (Step.ABORT, Trouble(KafkaError._TIMED_OUT, abortable=True), Verdict.UNSETTLED),
    # a state that nobody foresaw
    (Step.BEGIN, Trouble(KafkaError._STATE), Verdict.FATAL),
    (Step.COMMIT, Trouble(KafkaError._STATE), Verdict.FATAL),
    (Step.COMMIT, Trouble(KafkaError.UNKNOWN), Verdict.FATAL),
]


@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize(("step", "trouble", "expected"), TABLE)
def test_every_error_asks_for_one_thing(
    step: Step, trouble: Trouble, expected: Verdict, patient: bool
) -> None:
    assert verdict(step, trouble, patient=patient) is expected


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError.COORDINATOR_NOT_AVAILABLE])
@pytest.mark.parametrize(
    ("step", "late"),
    [
        (Step.FENCE, Verdict.FATAL),
        (Step.OFFSETS, Verdict.UNSETTLED),
        (Step.COMMIT, Verdict.UNSETTLED),
        (Step.ABORT, Verdict.UNSETTLED),
    ],
)
def test_what_may_pass_is_tried_again_for_a_while(step: Step, late: Verdict, code: int) -> None:
    trouble = Trouble(code, retriable=True)
    assert verdict(step, trouble, patient=True) is Verdict.RETRY
    assert verdict(step, trouble, patient=False) is late


def test_the_generation_is_read_out_of_the_clients_metadata() -> None:
    raw = b"CGMDv2:" + struct.pack("=i", 17) + b"group\0member\0\1"
    assert GroupMetadata.of(raw) == GroupMetadata(17, raw)


def test_metadata_of_another_form_is_refused() -> None:
    with pytest.raises(BrokerError, match="version of confluent-kafka"):
        GroupMetadata.of(b"CGMDv3:\0\0\0\0")


def test_a_transaction_is_flushed_then_gets_its_offsets_then_is_committed(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    writer.write("state", b"k", b"v")
    writer.write("state", b"gone", None)
    writer.commit(AT, MEMBER)

    assert made.calls == ["init", "begin", "produce", "produce", "flush", "offsets", "commit"]
    [(positions, raw)] = made.sent
    assert [(p.topic, p.partition, p.offset, p.metadata) for p in positions] == [
        ("predictions", 1, 41, "floor=40")
    ]
    assert raw == b"raw"
    assert not writer.in_transaction


def test_what_passes_is_tried_again(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.fail("offsets", KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE, retriable=True))
    made.fail("commit", KafkaError(KafkaError._TIMED_OUT, retriable=True))
    writer.commit(AT, MEMBER)
    assert made.calls[2:] == ["flush", "offsets", "offsets", "commit", "commit"]


def test_a_message_that_failed_is_never_committed(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.undelivered = KafkaError(KafkaError._MSG_TIMED_OUT)
    writer.write("state", b"k", b"v")
    with pytest.raises(AbortableError, match="delivering what a transaction wrote"):
        writer.commit(AT, MEMBER)
    assert "offsets" not in made.calls
    assert "commit" not in made.calls
    writer.abort()
    assert made.calls[-1] == "abort"
    assert not writer.in_transaction


def test_an_abort_waits_for_the_first_delivery(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.deliveries_after_polls = 3
    writer.write("state", b"k", b"v")
    writer.abort()
    assert made.delivered_at_abort == 1


def test_an_abort_without_a_transaction_does_nothing(made: "Made") -> None:
    writer = made.writer()
    writer.abort()
    assert made.calls == ["init"]


def test_an_end_without_an_answer_throws_the_producer_away(made: "Made") -> None:
    writer = made.writer(**{"transaction.timeout.ms": 100})
    writer.begin()
    made.always("commit", KafkaError(KafkaError._TIMED_OUT, retriable=True))
    with pytest.raises(UnsettledError):
        writer.commit(AT, MEMBER)
    assert not writer.in_transaction
    with pytest.raises(AssertionError, match="fence comes first"):
        writer.begin()
    writer.fence()
    assert made.producers == 2
    writer.begin()


def test_a_call_that_never_comes_back_is_left_and_settled_by_another_producer(
    made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "GRACE_S", 0.05)
    writer = made.writer(**{"transaction.timeout.ms": 100})
    writer.begin()
    made.stuck = threading.Event()
    try:
        with pytest.raises(UnsettledError, match=r"adding offsets.*has not come back"):
            writer.commit(AT, MEMBER)
        assert not writer.in_transaction
        writer.fence()
        assert made.producers == 2
    finally:
        made.stuck.set()


def test_a_fenced_writer_says_so(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.always("offsets", KafkaError(KafkaError._FENCED, fatal=True))
    with pytest.raises(FencedError):
        writer.commit(AT, MEMBER)
    assert not writer.in_transaction


def test_the_fatal_error_behind_a_refused_message_is_told(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.always("produce", KafkaError(KafkaError._FATAL))
    made.always("begin", KafkaError(KafkaError._FENCED, "taken over", fatal=True))
    with pytest.raises(FencedError, match="taken over"):
        writer.write("state", b"k", b"v")


@pytest.mark.parametrize("call", ["flush", "poll"])
def test_a_fatal_error_out_of_serving_the_client_is_told(made: "Made", call: str) -> None:
    writer = made.writer()
    writer.begin()
    writer.write("state", b"k", b"v")
    fenced = KafkaError(KafkaError._FENCED, "taken over", fatal=True)
    made.always(call, fenced)
    made.always("begin", fenced)
    with pytest.raises(FencedError, match="taken over"):
        writer.commit(AT, MEMBER) if call == "flush" else writer.write("state", b"k", b"v")


def test_an_error_without_hope_ends_the_transaction_at_closing(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.fail("produce", KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    with pytest.raises(TransactionError, match=r"writing in a transaction \(state\)"):
        writer.write("state", b"k", b"v")
    writer.close()
    assert made.calls[-1] == "abort"


def test_a_full_queue_is_waited_for(made: "Made") -> None:
    writer = made.writer()
    writer.begin()
    made.fail("produce", BufferError())
    writer.write("state", b"k", b"v")
    writer.commit(AT, MEMBER)
    assert made.calls.count("produce") == 2


@pytest.mark.parametrize(
    ("positions", "group", "error"),
    [(AT, GroupMetadata(-1, b""), NotMemberError), ({}, MEMBER, ValueError)],
)
def test_without_membership_or_offsets_nothing_is_committed(
    made: "Made", positions: Any, group: GroupMetadata, error: type[Exception]
) -> None:
    writer = made.writer()
    writer.begin()
    with pytest.raises(error):
        writer.commit(positions, group)
    assert made.calls == ["init", "begin"]


def test_taking_over_without_an_answer_is_a_brokers_failure(
    made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "FENCE_S", 0.1)
    made.always("init", KafkaError(KafkaError._TIMED_OUT, retriable=True))
    with pytest.raises(BrokerError, match="is the broker running") as raised:
        made.writer()
    assert not isinstance(raised.value, TransactionError)


def test_settings_of_the_operator_come_before_the_defaults(made: "Made") -> None:
    made.writer()
    assert made.settings["transaction.timeout.ms"] == 10_000
    made.writer(**{"transaction.timeout.ms": 20_000})
    assert made.settings["transaction.timeout.ms"] == 20_000
    assert made.settings["transactional.id"] == "streamgauge.flights"


class Made:
    """A producer that does as it is told and writes down what it was asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: list[Any] = []
        self.settings: dict[str, Any] = {}
        self.producers = 0
        self.undelivered: KafkaError | None = None
        self.deliveries_after_polls = 0
        self.delivered_at_abort = 0
        self.stuck: threading.Event | None = None
        self._once: dict[str, list[Any]] = {}
        self._always: dict[str, KafkaError] = {}
        self._waiting: list[Callable[[KafkaError | None, Any], None]] = []
        self._delivered = 0

    def writer(self, **settings: str | int) -> TransactionalWriter:
        writer = TransactionalWriter(settings, "test", "flights")
        writer.fence()
        return writer

    def fail(self, call: str, error: KafkaError | Exception) -> None:
        raised: object = KafkaException(error) if isinstance(error, KafkaError) else error
        self._once.setdefault(call, []).append(raised)

    def always(self, call: str, error: KafkaError) -> None:
        self._always[call] = error

    def __call__(self, settings: dict[str, Any], **_: object) -> "Made":
        self.settings = settings
        self.producers += 1
        return self

    def _does(self, call: str) -> None:
        self.calls.append(call)
        if self._once.get(call):
            raise self._once[call].pop(0)
        if call in self._always:
            raise KafkaException(self._always[call])

    def init_transactions(self, *_: object) -> None:
        self._does("init")

    def begin_transaction(self) -> None:
        self._does("begin")

    def produce(self, *_: object, on_delivery: Any, **__: object) -> None:
        self._does("produce")
        self._waiting.append(on_delivery)

    def poll(self, *_: object) -> None:
        if "poll" in self._always:
            raise KafkaException(self._always["poll"])
        self.deliveries_after_polls -= 1
        if self.deliveries_after_polls < 0:
            self._deliver()

    def flush(self, *_: object) -> int:
        self._does("flush")
        self._deliver()
        return 0

    def _deliver(self) -> None:
        for on_delivery in self._waiting:
            on_delivery(self.undelivered, None)
            self._delivered += 1
        self._waiting = []

    def send_offsets_to_transaction(self, positions: Any, raw: object, *_: object) -> None:
        self._does("offsets")
        if self.stuck is not None:
            self.stuck.wait()
        self.sent.append((positions, raw))

    def commit_transaction(self, *_: object) -> None:
        self._does("commit")

    def abort_transaction(self, *_: object) -> None:
        self.delivered_at_abort = self._delivered
        self._does("abort")

    def purge(self) -> None:
        self._waiting = []


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    monkeypatch.setattr(transactions, "Producer", made)
    return made
