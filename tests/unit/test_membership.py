"""A member that does not settle in its group joins it anew, with stand-ins for the client."""

import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, TopicPartition

from streamgauge.config.librdkafka import Setting
from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka import membership
from streamgauge.io.kafka.errors import BrokerError, NotMemberError
from streamgauge.io.kafka.membership import SETTLED_WITHIN_S, Membership, WorkerMembership


class Client:
    """A consumer that tells of itself whatever `group` is."""

    made: list["Client"] = []  # noqa: RUF012, of one test
    told: list[Any] = []  # noqa: RUF012
    """What it answers to who asks for committed offsets."""
    group: dict[str, str] | None = {"state": "up", "join_state": "steady"}  # noqa: RUF012

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.closed = False
        Client.made.append(self)

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self.callbacks = callbacks

    def poll(self, _timeout: float) -> None:
        if Client.group is not None:
            self.settings["stats_cb"](json.dumps({"cgrp": Client.group}))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[Any]:  # noqa: ARG002
        return Client.told

    def pause(self, partitions: list[TopicPartition]) -> None: ...

    def close(self) -> None:
        self.closed = True


class Time:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(membership, "Consumer", Client)
    monkeypatch.setattr(membership, "time", clock)
    monkeypatch.setattr(Client, "made", [])
    return clock


def lives(member: Membership, time: Time, seconds: float, step: float = 0.2) -> None:
    for _ in range(round(seconds / step)):
        time.now += step
        member.poll(0.0)


def works(member: Membership) -> bool:
    return member.active


def test_a_member_at_rest_stays(time: Time) -> None:
    member = Membership({}, "g", "c", "state")
    lives(member, time, 10 * SETTLED_WITHIN_S)
    assert len(Client.made) == 1


def test_a_member_that_does_not_settle_joins_anew(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Membership({}, "g", "c", "state")
    first = Client.made[0]
    first.callbacks["on_assign"](first, [TopicPartition("state", 0)])
    assert works(member)
    monkeypatch.setattr(Client, "group", {"state": "wait-coord", "join_state": "init"})
    lives(member, time, SETTLED_WITHIN_S - 1.0)
    assert len(Client.made) == 1
    lives(member, time, 2.0)
    assert len(Client.made) == 2
    assert not works(member)
    assert not member.joined
    first.callbacks["on_assign"](first, [TopicPartition("state", 0)])
    assert not works(member), "one that was left has no say"
    second = Client.made[1]
    second.callbacks["on_assign"](second, [TopicPartition("state", 0)])
    assert works(member)


def test_a_member_leaves_its_question_to_join_only_when_the_group_has_had_time_to_answer(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Membership({"session.timeout.ms": 3_000}, "g", "c", "state")
    monkeypatch.setattr(Client, "group", {"state": "up", "join_state": "wait-join"})
    lives(member, time, 27.0)
    assert len(Client.made) == 1
    lives(member, time, 2.0)
    assert len(Client.made) == 2


def test_time_in_which_nobody_polled_does_not_count(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Membership({}, "g", "c", "state")
    monkeypatch.setattr(Client, "group", {"state": "up", "join_state": "wait-join"})
    lives(member, time, 1.0)
    time.now += 10 * SETTLED_WITHIN_S
    lives(member, time, 1.0)
    assert len(Client.made) == 1


@pytest.mark.parametrize(
    ("settings", "pause"),
    [
        ({}, 20_000),
        ({"session.timeout.ms": 3_000}, 20_000),
        ({"session.timeout.ms": 45_000}, 90_000),
        ({"session.timeout.ms": 3_000, "max.poll.interval.ms": 4_000}, 4_000),
    ],
)
def test_a_group_waits_for_a_lost_member_as_long_as_settings_say_or_some_seconds(
    time: Time, settings: dict[str, Setting], pause: int
) -> None:
    Membership(settings, "g", "c", "state")
    [client] = Client.made
    assert client.settings["max.poll.interval.ms"] == pause
    assert client.settings["session.timeout.ms"] == settings.get("session.timeout.ms", 10_000)


class Served:
    """A member that is active, and what happens when it is served for the n-th time."""

    def __init__(self, happenings: dict[int, Callable[[Client], None]]) -> None:
        self.member = Membership({}, "g", "c", "state")
        client = Client.made[-1]
        client.callbacks["on_assign"](client, [TopicPartition("state", 0)])
        self.polls = 0
        self.enough = threading.Event()

        def poll(_timeout: float) -> None:
            self.polls += 1
            if self.polls in happenings:
                happenings[self.polls](client)
            if self.polls >= 5:
                self.enough.set()

        client.poll = poll  # type: ignore[method-assign]

    def waits(self) -> None:
        assert self.enough.wait(10.0)


def test_the_group_is_served_beside_long_work(time: Time) -> None:
    served = Served({})
    with served.member.attended() as still:
        served.waits()
        still()
    polls = served.polls
    assert threading.active_count() == 1
    assert polls >= 5
    assert served.polls == polls, "and not longer than that"


def _lose(client: Client) -> None:
    client.callbacks["on_revoke"](client, [TopicPartition("state", 0)])


def _regain(client: Client) -> None:
    client.callbacks["on_assign"](client, [TopicPartition("state", 0)])


def test_long_work_hears_that_another_replica_has_become_active(time: Time) -> None:
    served = Served({2: _lose})
    with pytest.raises(NotMemberError), served.member.attended() as still:  # noqa: PT012
        served.waits()
        still()
        pytest.fail("it goes on")


def test_work_during_which_another_was_active_for_a_moment_is_of_no_use(time: Time) -> None:
    served = Served({2: _lose, 3: _regain})
    with pytest.raises(NotMemberError), served.member.attended():
        served.waits()
    assert works(served.member)


def test_what_the_broker_refuses_meanwhile_ends_the_work(time: Time) -> None:
    def refuse(_client: Client) -> None:
        raise BrokerError("kafka: refused")

    served = Served({2: refuse})
    with pytest.raises(BrokerError, match="refused"), served.member.attended() as still:  # noqa: PT012
        for _ in range(100):
            served.enough.wait(0.1)
            still()


def test_an_error_of_the_work_itself_comes_through(time: Time) -> None:
    served = Served({2: _lose})
    with pytest.raises(ValueError, match="its own"), served.member.attended():  # noqa: PT012
        served.waits()
        raise ValueError("its own")


def test_a_client_that_tells_nothing_is_left_alone(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "group", None)
    lives(Membership({}, "g", "c", "state"), time, 10 * SETTLED_WITHIN_S)
    assert len(Client.made) == 1


def test_tokens_that_went_and_came_back_are_another_epoch(time: Time) -> None:
    member = WorkerMembership({}, "g", "c", "predictions")
    (client,) = Client.made
    epochs = [member.epoch]
    for call, numbers in (("on_assign", [0, 1]), ("on_revoke", [1]), ("on_assign", [1])):
        client.callbacks[call](client, [TopicPartition("predictions", n) for n in numbers])
        epochs.append(member.epoch)
    assert member.tokens == frozenset({0, 1})
    assert len(set(epochs)) == 4
    client.callbacks["on_assign"](client, [])
    assert member.epoch == epochs[-1], "a rebalance that moves nothing voids nothing"
    lives(member, time, 1.0)
    client.callbacks["on_lost"](client, [TopicPartition("predictions", n) for n in (0, 1)])
    assert member.epoch > epochs[-1]


class Told(NamedTuple):
    """The answer for one partition."""

    topic: str
    partition: int
    offset: int
    metadata: str | None = None
    error: KafkaError | None = None


@pytest.mark.usefixtures("time")
def test_an_offset_that_is_not_told_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    member = WorkerMembership({}, "g", "c", "predictions")
    unstable = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
    monkeypatch.setattr(
        Client,
        "told",
        [Told("predictions", 0, 7), Told("predictions", 1, OFFSET_INVALID, error=unstable)],
    )
    wanted = [("predictions", 0), ("predictions", 1)]
    with pytest.raises(BrokerError, match="the committed offset of predictions 1"):
        member.committed(wanted)
    monkeypatch.setattr(
        Client, "told", [Told("predictions", 0, 7), Told("predictions", 1, OFFSET_INVALID)]
    )
    assert member.committed(wanted) == {("predictions", 0): Position(7, 7)}


@pytest.mark.usefixtures("time")
def test_offsets_of_open_transactions_are_waited_for_whatever_is_configured() -> None:
    Membership({"isolation.level": "read_uncommitted"}, "g", "c", "state")
    assert Client.made[0].settings["isolation.level"] == "read_committed"
