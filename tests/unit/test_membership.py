"""A member that does not settle in its group joins it anew, with stand-ins for the client."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from streamgauge.io.kafka import membership
from streamgauge.io.kafka.membership import SETTLED_WITHIN_S, Membership


class Client:
    """A consumer that tells of itself whatever `group` is."""

    made: list["Client"] = []  # noqa: RUF012, of one test
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


def test_time_in_which_nobody_polled_does_not_count(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Membership({}, "g", "c", "state")
    monkeypatch.setattr(Client, "group", {"state": "up", "join_state": "wait-join"})
    lives(member, time, 1.0)
    time.now += 10 * SETTLED_WITHIN_S
    lives(member, time, 1.0)
    assert len(Client.made) == 1


def test_a_client_that_tells_nothing_is_left_alone(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "group", None)
    lives(Membership({}, "g", "c", "state"), time, 10 * SETTLED_WITHIN_S)
    assert len(Client.made) == 1
