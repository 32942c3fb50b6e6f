"""The simulated broker keeps Kafka's rules: what a client may not do, it refuses."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError

from tests.support.simulation.broker import Broker, Offset
from tests.support.simulation.group import SESSION_S, Refused

STATE, INPUT = ("state", 0), ("input", 0)
TIMEOUT = 10.0


@pytest.fixture
def broker() -> Broker:
    return Broker({"state": 1, "input": 1})


def write(broker: Broker, epoch: int, value: bytes, name: str = "app", key: bytes = b"k") -> None:
    broker.produce(name, epoch, TIMEOUT, STATE, [(key, value, [])])


def values(broker: Broker) -> list[bytes | None]:
    return [record.value for record in broker.logs[STATE].committed()]


def test_what_is_not_committed_is_not_seen(broker: Broker) -> None:
    epoch = broker.init("app")
    write(broker, epoch, b"1")
    assert values(broker) == []
    broker.end("app", epoch, None, commit=True)
    assert values(broker) == [b"1"]


def test_what_is_aborted_is_never_seen_and_takes_its_offsets(broker: Broker) -> None:
    epoch = broker.init("app")
    write(broker, epoch, b"1")
    broker.end("app", epoch, None, commit=False)
    write(broker, epoch, b"2")
    broker.end("app", epoch, None, commit=True)
    assert [(r.offset, r.value) for r in broker.logs[STATE].committed()] == [(2, b"2")]
    assert broker.logs[STATE].high == 4


def test_an_open_transaction_hides_what_was_committed_after_it_began(broker: Broker) -> None:
    foreign = broker.init("foreign")
    write(broker, foreign, b"x", "foreign")
    epoch = broker.init("app")
    write(broker, epoch, b"1")
    broker.end("app", epoch, None, commit=True)
    assert broker.logs[STATE].stable == 0
    assert broker.logs[STATE].high == 3
    assert values(broker) == []
    broker.end("foreign", foreign, None, commit=False)
    assert values(broker) == [b"1"]


def test_a_new_owner_aborts_and_shuts_out_the_one_before(broker: Broker) -> None:
    old = broker.init("app")
    write(broker, old, b"old")
    new = broker.init("app")
    calls: tuple[Callable[[], None], ...] = (
        lambda: write(broker, old, b"late"),
        lambda: broker.end("app", old, None, commit=True),
        lambda: broker.add_offsets("app", old, TIMEOUT, (-1, ""), {}),
    )
    for call in calls:
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code == KafkaError.INVALID_PRODUCER_EPOCH
    write(broker, new, b"new")
    broker.end("app", new, None, commit=True)
    assert values(broker) == [b"new"]


def test_an_abandoned_transaction_is_given_up_and_its_owner_shut_out(broker: Broker) -> None:
    epoch = broker.init("app")
    write(broker, epoch, b"1")
    broker.pass_time(TIMEOUT)
    assert broker.logs[STATE].stable == broker.logs[STATE].high
    with pytest.raises(Refused):
        broker.end("app", epoch, None, commit=True)


def test_offsets_become_the_groups_with_their_transaction_alone(broker: Broker) -> None:
    member = broker.group.join()
    epoch = broker.init("app")
    at = {INPUT: Offset(5, "floor=0")}
    broker.add_offsets("app", epoch, TIMEOUT, (member.generation, member.name), at)
    assert broker.pending() == {INPUT}
    assert broker.offsets == {}
    broker.end("app", epoch, None, commit=True)
    assert broker.pending() == frozenset()
    assert broker.offsets == at


def test_an_end_that_is_asked_for_twice_is_well_if_it_is_the_same(broker: Broker) -> None:
    epoch = broker.init("app")
    write(broker, epoch, b"1")
    broker.end("app", epoch, None, commit=True)
    broker.end("app", epoch, None, commit=True)
    with pytest.raises(Refused) as refused:
        broker.end("app", epoch, None, commit=False)
    assert refused.value.code == KafkaError.INVALID_TXN_STATE


@pytest.mark.parametrize(("taken_over", "seen"), [(False, [b"1"]), (True, [])])
def test_a_commit_that_is_long_on_its_way_arrives_unless_somebody_took_over(
    broker: Broker, taken_over: bool, seen: list[bytes]
) -> None:
    epoch = broker.init("app")
    write(broker, epoch, b"1")
    broker.send_later("app", epoch, None)
    if taken_over:
        broker.init("app")
    broker.arrive()
    assert values(broker) == seen


def test_compaction_keeps_the_last_of_each_key_and_all_offsets(broker: Broker) -> None:
    epoch = broker.init("app")
    for key, value in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3")):
        write(broker, epoch, value, key=key)
    broker.end("app", epoch, None, commit=True)
    write(broker, epoch, b"4", key=b"b")
    log = broker.logs[STATE]
    log.compact(tombstones=True)
    # What is not stable yet replaces nothing.
    assert [(r.offset, r.value) for r in log.records] == [(1, b"2"), (2, b"3"), (4, b"4")]
    assert log.high == 5


def test_the_token_stays_with_its_holder_until_that_is_gone(broker: Broker) -> None:
    group = broker.group
    first, second = group.join(), group.join()
    assert (group.holder, group.generation) == (first.name, 2)
    group.leave(first.name)
    assert group.holder == second.name


def test_a_member_that_falls_silent_is_given_up_after_its_session(broker: Broker) -> None:
    group = broker.group
    first, second = group.join(), group.join()
    group.silence(first.name, alive=False)
    broker.pass_time(SESSION_S - 1)
    assert group.holder == first.name
    broker.pass_time(1)
    assert group.holder == second.name


def test_a_generation_waits_for_all_members_that_are_not_given_up(broker: Broker) -> None:
    group = broker.group
    first = group.join()
    group.silence(first.name, alive=False)
    second = group.join()
    assert (group.moving, second.generation) == (True, -1)
    broker.pass_time(SESSION_S)
    assert (group.moving, group.holder) == (False, second.name)


def test_offsets_of_other_generations_and_of_strangers_are_refused(broker: Broker) -> None:
    group = broker.group
    member = group.join()
    group.check(group.generation, member.name)
    for generation, name, code in (
        (group.generation - 1, member.name, KafkaError.ILLEGAL_GENERATION),
        (group.generation, "stranger", KafkaError.UNKNOWN_MEMBER_ID),
        (-1, "stranger", KafkaError.UNKNOWN_MEMBER_ID),
    ):
        with pytest.raises(Refused) as refused:
            group.check(generation, name)
        assert refused.value.code == code
    # Kafka lets offsets of a transaction pass that names nobody.
    group.check(-1, "")
