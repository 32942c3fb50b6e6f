"""Transactions: records, state and offsets appear together, by one owner at a time."""

import gc
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka.errors import (
    AbortableError,
    FencedError,
    NotMemberError,
    TransactionError,
    UnsettledError,
)
from streamgauge.io.kafka.membership import GroupMetadata
from tests.support.apache_kafka import ApacheKafka, why_unavailable
from tests.support.brokers import Broker
from tests.support.chaos_stage import wait_for
from tests.support.topics import Isolation, read_to_end
from tests.support.transactions import Owner, Place


@pytest.fixture
def place(apache_kafka: Broker) -> Place:
    return Place(apache_kafka.bootstrap_servers)


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[ApacheKafka]:
    """A broker of this file's own, which ends abandoned transactions half a second late at most."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    soon = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}
    with ApacheKafka(soon) as kafka:
        yield kafka


@pytest.fixture
def owner(place: Place) -> Iterator[Owner]:
    with Owner(place) as owner:
        owner.take_over()
        yield owner


def test_a_checkpoint_carries_results_state_offsets_and_floors(broker: Broker) -> None:
    place = Place(broker.bootstrap_servers)
    with Owner(place) as owner:
        assert owner.take_over() is None
        owner.checkpoint({"a": 1, "b": [2]}, 10, b"first")
        owner.checkpoint({"a": 1, "c": None}, 20, b"second")

        assert results(place) == [b"first", b"second"]
        assert owner.committed() == [20, 21]
    found = place.restore()
    assert found is not None
    assert found.kept == {"a": 1, "c": None}
    assert found.manifest.positions == place.positions(20)


def test_apache_kafka_returns_floors_with_the_offsets(owner: Owner) -> None:
    owner.checkpoint({}, 10)
    found = owner.membership.committed([(owner.place.input, 1)])
    assert found == {(owner.place.input, 1): Position(11, 10)}


def test_the_previous_owner_is_shut_out_and_can_write_nothing(place: Place) -> None:
    with Owner(place) as old, Owner(place) as new:
        old.take_over()
        old.checkpoint({"a": 1}, 10, b"right")
        old.write({"a": 2}, 20, b"stale")
        new.writer.fence()
        metadata = old.membership.group_metadata()

        with pytest.raises(FencedError):
            old.writer.commit(place.positions(20), metadata)
        assert not old.writer.in_transaction
        old.leave()
        found = new.take_over()
        new.checkpoint({"a": 3}, 30, b"heir's")

        assert found is not None
        assert found.kept == {"a": 1}
        assert new.journal.epoch == 2
        assert results(place) == [b"right", b"heir's"]
        assert new.committed() == [30, 31]


@pytest.mark.parametrize("after", ["begin", "delivery"])
def test_a_shut_out_owner_learns_it_whatever_it_does_next(place: Place, after: str) -> None:
    with Owner(place) as old, Owner(place) as new:
        old.take_over()
        old.writer.begin()
        if after == "delivery":
            old.writer.write(place.results, b"key", b"stale")
            settle(old)
        new.writer.fence()

        with pytest.raises(FencedError):
            write_on_and_on(old)
        assert results(place) == []


def test_who_is_shut_out_lets_go_of_all_that_was_at_work(place: Place) -> None:
    class Work:
        """What a caller has at hand, and a writer must not keep."""

    def lose() -> weakref.ref[Work]:
        work = Work()
        with Owner(place) as old, Owner(place) as new:
            old.take_over()
            old.writer.begin()
            old.writer.write(place.results, b"key", b"stale")
            settle(old)
            new.writer.fence()
            with pytest.raises(FencedError):
                write_on_and_on(old)
        return weakref.ref(work)

    before = client_threads()
    kept = lose()
    gc.collect()
    assert kept() is None
    wait_for("its clients are gone", lambda: client_threads() == before)


def test_an_abort_by_a_shut_out_owner_is_refused(place: Place) -> None:
    with Owner(place) as old, Owner(place) as new:
        old.take_over()
        old.write({"a": 1}, 10)
        settle(old)
        new.writer.fence()
        with pytest.raises(FencedError):
            old.writer.abort()


def test_an_aborted_checkpoint_leaves_nothing_and_can_be_repeated(owner: Owner) -> None:
    place = owner.place
    owner.checkpoint({"a": 1}, 10, b"first")
    for result in (b"aborted", b"aborted again"):
        owner.write({"a": 2}, 20, result)
        owner.writer.abort()
    assert results(place) == [b"first"]
    assert owner.committed() == [10, 11]
    found = place.restore()
    assert found is not None
    assert found.kept == {"a": 1}

    owner.checkpoint({"a": 2}, 20, b"second")
    assert results(place) == [b"first", b"second"]
    found = place.restore()
    assert found is not None
    assert found.kept == {"a": 2}


def test_an_abort_right_after_the_first_message_does_not_break_the_writer(owner: Owner) -> None:
    for _ in range(20):
        owner.writer.begin()
        owner.writer.write(owner.place.results, b"key", b"aborted")
        owner.writer.abort()
    owner.writer.begin()
    owner.writer.abort()
    owner.checkpoint({}, 10, b"committed")
    assert results(owner.place) == [b"committed"]


def test_a_transaction_may_carry_offsets_alone_but_not_none(owner: Owner) -> None:
    owner.writer.begin()
    owner.membership.poll(0.0)
    metadata = owner.membership.group_metadata()
    with pytest.raises(ValueError, match="every transaction carries offsets"):
        owner.writer.commit({}, metadata)
    owner.writer.commit(owner.place.positions(5), metadata)
    assert owner.committed() == [5, 6]


def test_who_has_not_joined_the_group_does_not_commit(place: Place) -> None:
    with Owner(place) as owner:
        owner.writer.fence()
        owner.writer.begin()
        owner.writer.write(place.results, b"key", b"unfenced")
        with pytest.raises(NotMemberError, match="is not the active member"):
            owner.membership.group_metadata()
        with pytest.raises(NotMemberError, match="members of the group alone"):
            owner.writer.commit(place.positions(1), unjoined(place))
        owner.writer.abort()
        assert results(place) == []


def test_the_broker_itself_would_let_who_has_not_joined_commit(place: Place) -> None:
    # If this fails, the client or the broker has become stricter: good.
    with Owner(place) as owner:
        owner.writer.fence()
        owner.writer.begin()
        owner.writer.commit(place.positions(1), unjoined(place)._replace(generation=0))
        assert owner.committed() == [1, 2]


def test_metadata_from_before_a_rebalance_makes_the_transaction_abortable(owner: Owner) -> None:
    stale = owner.membership.group_metadata()
    owner.write({"a": 1}, 10, b"stale")
    with Owner(owner.place) as second:
        deadline = time.monotonic() + 30
        while owner.membership.group_metadata().generation == stale.generation:
            assert time.monotonic() < deadline
            owner.membership.poll(0.05)
            second.membership.poll(0.05)
        with pytest.raises(AbortableError, match="generation"):
            owner.writer.commit(owner.place.positions(10), stale)
        owner.writer.abort()
        owner.checkpoint({"a": 1}, 10, b"fresh")
    assert results(owner.place) == [b"fresh"]


def test_what_no_broker_takes_ends_the_writer_with_a_reason(owner: Owner) -> None:
    owner.writer.begin()
    with pytest.raises(TransactionError, match="too large") as raised:
        owner.writer.write(owner.place.results, b"key", bytes(2_000_000))
    assert type(raised.value) is TransactionError


def test_nothing_is_left_open_after_closing(place: Place) -> None:
    with Owner(place) as owner:
        owner.take_over()
        owner.write({"a": 1}, 10, b"never")
        settle(owner)
    assert read_to_end(place.bootstrap, place.results, timeout=2.0) == []
    assert stable_end(place.results, place) == stable_end(place.results, place, "read_uncommitted")


CHILD = """
import sys
from tests.support.transactions import Owner, Place
place = Place.__new__(Place)
place.__dict__.update(eval(sys.argv[1]))
owner = Owner(place)
owner.take_over()
print("ready", flush=True)
"""
ON_AND_ON = """
n = 0
while True:
    n += 1
    owner.checkpoint({"n": n, "large": bytes(300_000), "m": n}, n, b"%d" % n)
"""
UP_TO_THE_COMMIT = """
import time
owner.write({"n": 2}, 20, b"half")
def hang(_wait):
    print("all but committed", flush=True)
    time.sleep(60)
class Producer:
    def __init__(self, real): self.real = real
    def commit_transaction(self, wait): hang(wait)
    def __getattr__(self, name): return getattr(self.real, name)
owner.writer._producer = Producer(owner.writer._producer)
owner.commit(20)
"""


def test_an_owner_killed_before_the_commit_leaves_nothing(place: Place) -> None:
    with Owner(place) as owner:
        owner.take_over()
        owner.checkpoint({"n": 1}, 10, b"whole")
    with killed_child(place, UP_TO_THE_COMMIT) as child:
        assert child.stdout.readline() == b"all but committed\n"
    with Owner(place) as heir:
        assert results(place) == [b"whole"], "what is written is not yet visible"
        found = heir.take_over()
        assert found is not None
        assert found.kept == {"n": 1}
        assert heir.committed() == [10, 11]
        assert results(place) == [b"whole"]
        everything = read_to_end(place.bootstrap, place.results, isolation="read_uncommitted")
        assert [message.value() for message in everything] == [b"whole", b"half"]


def test_an_owner_killed_at_any_moment_leaves_whole_checkpoints(place: Place) -> None:
    last = 0
    for round_number in range(4):
        with killed_child(place, ON_AND_ON):
            time.sleep(0.15 + 0.07 * round_number)
        with Owner(place) as heir:
            found = heir.take_over()
            assert found is not None
            n = found.kept["n"]
            assert found.kept["m"] == n
            assert found.manifest.positions == place.positions(n)
            assert heir.committed() == [n, n + 1]
            assert results(place)[-1] == b"%d" % n
        last += n
    assert last > 4, "every owner got something done"


def test_an_owner_that_was_asleep_cannot_write_when_it_wakes(place: Place) -> None:
    with killed_child(place, ON_AND_ON) as child, Owner(place) as heir:
        time.sleep(0.5)
        child.send_signal(signal.SIGSTOP)
        heir.take_over()
        heir.checkpoint({"n": -1}, 1_000, b"heir's")
        before = results(place)
        child.send_signal(signal.SIGCONT)
        assert child.wait(30) == 1, "it ends with an error"

        assert results(place) == before
        assert before[-1] == b"heir's"
        assert heir.committed() == [1_000, 1_001]
        heir.checkpoint({"n": -2}, 1_001, b"heir's again")
        assert results(place) == [*before, b"heir's again"]


def test_a_broker_that_is_gone_does_not_hang_a_commit(own_kafka: ApacheKafka) -> None:
    kafka = own_kafka
    place = Place(kafka.bootstrap_servers)
    with Owner(place, **{"transaction.timeout.ms": 2000}) as owner:
        owner.take_over()
        owner.checkpoint({"a": 1}, 10, b"first")
        owner.write({"a": 2}, 20, b"second")
        settle(owner)
        kafka.kill()
        began = time.monotonic()
        with pytest.raises(UnsettledError, match="is the broker running"):
            owner.writer.commit(place.positions(20), owner.membership.group_metadata())
        assert time.monotonic() - began < 10
        kafka.restart()
        found = owner.take_over()
        assert found is not None
        assert found.kept == {"a": 1}
        assert owner.committed() == [10, 11]
        owner.checkpoint({"a": 2}, 20, b"second")
        assert results(place) == [b"first", b"second"]


def test_messages_that_a_lost_broker_did_not_take_abort_the_transaction(
    own_kafka: ApacheKafka,
) -> None:
    kafka = own_kafka
    place = Place(kafka.bootstrap_servers)
    with Owner(place, **{"transaction.timeout.ms": 2000}) as owner:
        owner.take_over()
        owner.write({"a": 1}, 10, b"first")
        settle(owner)
        kafka.kill()
        owner.writer.write(place.results, b"key", b"lost")
        with pytest.raises((AbortableError, UnsettledError)):
            owner.writer.commit(place.positions(10), owner.membership.group_metadata())
        with suppress(UnsettledError):
            owner.writer.abort()
        kafka.restart()
        owner.take_over()
        owner.checkpoint({"a": 2}, 20, b"second")
        assert results(place) == [b"second"]


def test_a_transaction_that_the_broker_gave_up_is_told(own_kafka: ApacheKafka) -> None:
    place = Place(own_kafka.bootstrap_servers)
    with Owner(place, **{"transaction.timeout.ms": 1000}) as owner:
        owner.take_over()
        owner.write({"a": 1}, 10, b"late")
        settle(owner)
        time.sleep(3)
        with pytest.raises(FencedError):
            owner.commit(10)
        assert owner.take_over() is None
        owner.checkpoint({"a": 1}, 10, b"in time")
        assert results(place) == [b"in time"]


@contextmanager
def killed_child(place: Place, does: str) -> Iterator[Any]:
    """Run another owner in a process that is killed at the end of the block."""
    command = [sys.executable, "-c", CHILD + does, repr(place.__dict__)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            yield child
        finally:
            child.send_signal(signal.SIGKILL)


def write_on_and_on(owner: Owner) -> None:
    for _ in range(200):
        owner.writer.write(owner.place.results, b"key", b"stale")
        time.sleep(0.02)


def client_threads() -> int:
    """How many clients there are in this process: each has one thread of this name."""
    names = [task / "comm" for task in Path("/proc/self/task").iterdir()]
    return sum(name.read_text().strip() == "rdk:main" for name in names)


def settle(owner: Owner) -> None:
    """Wait until everything written so far has arrived."""
    producer = owner.writer._producer
    assert producer is not None
    assert producer.flush(10) == 0


def unjoined(place: Place) -> GroupMetadata:
    """Return the metadata of a consumer that has never joined the app's group."""
    consumer = Consumer({"bootstrap.servers": place.bootstrap, "group.id": place.group})
    metadata = GroupMetadata.of(consumer.consumer_group_metadata())
    consumer.close()
    assert metadata.generation == -1
    return metadata


def results(place: Place) -> list[bytes | None]:
    return [message.value() for message in read_to_end(place.bootstrap, place.results)]


def stable_end(topic: str, place: Place, isolation: Isolation = "read_committed") -> int:
    consumer = Consumer(
        {"bootstrap.servers": place.bootstrap, "group.id": "x", "isolation.level": isolation}
    )
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.close()
    return int(end)
