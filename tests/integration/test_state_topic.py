"""The state topic: restored whole, or not at all."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from confluent_kafka import Producer

from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_records import StateError
from streamgauge.io.kafka.errors import BrokerError, StateBlockedError
from streamgauge.io.kafka.state_topic import StateReader
from tests.support.apache_kafka import ApacheKafka, why_unavailable
from tests.support.brokers import Broker
from tests.support.topics import new_topic, read_to_end, unique_name
from tests.support.transactions import Owner, Place


@pytest.fixture
def place(apache_kafka: Broker) -> Place:
    return Place(apache_kafka.bootstrap_servers)


@pytest.fixture
def owner(place: Place) -> Iterator[Owner]:
    with Owner(place) as owner:
        owner.take_over()
        yield owner


@pytest.fixture
def stranger(place: Place) -> Iterator[Producer]:
    """A program of somebody else's with a transaction open on the state topic."""
    producer = Producer(
        {
            "bootstrap.servers": place.bootstrap,
            "transactional.id": unique_name("stranger"),
            "transaction.timeout.ms": 60_000,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(place.state, b"stranger's", b"stranger's")
    assert producer.flush(10) == 0
    yield producer
    producer.abort_transaction(10)


def test_a_topic_without_records_holds_no_state(broker: Broker) -> None:
    assert Place(broker.bootstrap_servers).restore() is None


def test_a_topic_that_does_not_exist_is_told(place: Place) -> None:
    reader = StateReader(place.settings(), place.group, "test", "nonesuch", patience=5.0)
    with pytest.raises(BrokerError, match="nonesuch"):
        reader.restore(place.app)


def test_parts_of_several_megabytes_come_back(broker: Broker) -> None:
    place = Place(broker.bootstrap_servers)
    rng = np.random.default_rng(1)
    large = rng.integers(0, 2**63, 500_000), rng.normal(size=(1000, 300))
    with Owner(place) as owner:
        owner.take_over()
        owner.checkpoint({"a": {"counts": large[0]}, "b": large[1], "c": "small"}, 10)
        owner.checkpoint({"a": {"counts": large[0][:9]}, "b": large[1], "c": "small"}, 20)
        found = place.restore()
        assert found is not None
        np.testing.assert_array_equal(found.kept["a"]["counts"], large[0][:9])
        np.testing.assert_array_equal(found.kept["b"], large[1])
        assert found.kept["c"] == "small"


def test_a_foreign_open_transaction_is_waited_for(
    place: Place, owner: Owner, stranger: Producer
) -> None:
    # These records lie behind the stranger's: a reader of what is stable sees none of them.
    owner.checkpoint({"a": 1}, 10)
    owner.checkpoint({"a": 2, "b": 3}, 20)
    ended = []

    def end_soon() -> None:
        time.sleep(2)
        stranger.abort_transaction(10)
        ended.append(time.monotonic())
        stranger.begin_transaction()

    thread = threading.Thread(target=end_soon)
    thread.start()
    found = place.restore()
    restored = time.monotonic()
    thread.join()

    assert found is not None
    assert found.kept == {"a": 2, "b": 3}
    assert restored > ended[0] - 0.5


def test_a_foreign_transaction_that_stays_open_is_named(
    place: Place, owner: Owner, stranger: Producer
) -> None:
    owner.checkpoint({"a": 1}, 10)
    with pytest.raises(StateBlockedError, match="another program's transaction") as raised:
        place.reader(patience=2.0).restore(place.app)
    assert "cannot be read from offset 0 to its end at" in str(raised.value)


def test_an_open_transaction_of_the_previous_owner_holds_nothing_up(place: Place) -> None:
    with Owner(place) as old, Owner(place) as new:
        old.take_over()
        old.checkpoint({"a": 1}, 10)
        old.write({"a": 2}, 20)
        assert old.writer._producer is not None
        old.writer._producer.flush(10)
        old.leave()
        began = time.monotonic()
        found = new.take_over()
        assert found is not None
        assert found.kept == {"a": 1}
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("damage", ["bit", "cut", "missing", "swapped"])
def test_damage_to_a_committed_record_is_never_taken_for_state(
    place: Place, owner: Owner, damage: str
) -> None:
    large = np.random.default_rng(1).normal(size=300_000)
    owner.checkpoint({"a": 1, "b": [2], "c": large}, 10)
    right = place.reader().records()
    keys = sorted(right)
    assert len(keys) == 6, "two parts of one chunk, one of three, and the manifest"
    for key, other in zip(keys, keys[1:] + keys[:1], strict=True):
        value, another = right[key][1], right[other][1]
        kinds: dict[str, dict[bytes, bytes | None]] = {
            "bit": {key: value[:-1] + bytes([value[-1] ^ 1])},
            "cut": {key: value[:-1]},
            "missing": {key: None},
            "swapped": {key: another, other: value},
        }
        damaged = kinds[damage]
        put(place, damaged)
        with pytest.raises(StateError, match="--discard-state"):
            place.restore()
        put(place, {key: right[key][1] for key in damaged})
        assert place.restore() is not None


def test_damaged_state_can_be_discarded(place: Place, owner: Owner) -> None:
    owner.checkpoint({"a": 1, "b": 2}, 10)
    put(place, {b"p:a#0": b"damaged", b"foreign": b"x"})
    with pytest.raises(StateError):
        place.restore()
    owner.journal = StateJournal.discarding(place.app, place.reader().records())
    owner.checkpoint({"b": 5}, 20)
    found = place.restore()

    assert found is not None
    assert found.kept == {"b": 5}
    assert found.manifest.generation.epoch == 2


def test_compaction_changes_nothing() -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    quickly = {
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0",
        "max.compaction.lag.ms": "200",
    }
    with ApacheKafka({"log.cleaner.backoff.ms": "200"}) as kafka:
        place = Place(kafka.bootstrap_servers)
        place.state = new_topic(
            place.bootstrap, stem="state", config={"cleanup.policy": "compact", **quickly}
        )
        with Owner(place) as owner:
            owner.take_over()
            owner.checkpoint({"stays": [1], "goes": 2, "changes": 0}, 1)
            for n in range(2, 20):
                owner.checkpoint({"stays": [1], "changes": n, f"once {n}": n}, n)
            time.sleep(0.3)
            owner.checkpoint({"stays": [1], "changes": 20}, 20)
            deadline = time.monotonic() + 30
            while (there := len(read_to_end(place.bootstrap, place.state))) > 30:
                assert time.monotonic() < deadline, f"{there} records, and no compaction"
                time.sleep(0.5)
            found = place.restore()
    assert found is not None
    assert found.kept == {"stays": [1], "changes": 20}


def put(place: Place, values: dict[bytes, bytes | None]) -> None:
    """Write to the state topic past its owner."""
    producer = Producer({"bootstrap.servers": place.bootstrap})
    for key, value in values.items():
        producer.produce(place.state, value, key)
    assert producer.flush(10) == 0
