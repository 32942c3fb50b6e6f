"""Reading ahead: what the client holds is given back once, and not while anybody may look at it."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from streamgauge.formats.messages import ARROW_BEGINS, ARROW_TYPE, RawMessages
from streamgauge.io.kafka.client import Client, Partition, Received, Source
from streamgauge.io.kafka.reader import Reader
from streamgauge.io.kafka.reading_ahead import MOST_AHEAD

TOPIC = ("t", 0)
MOST = 10


class Marked:
    """A message with the header of an Arrow batch; whether it is one its value says too."""

    def headers(self) -> list[tuple[str, bytes]]:
        return [("content-type", ARROW_TYPE)]


class Plenty:
    """A client with more messages than anybody takes, which keeps what was given back."""

    is_shared: ClassVar[bool] = True

    def __init__(self, _: Mapping[str, Any]) -> None:
        self.value = b"{}"
        self.batches = 0
        self.given_back: list[int] = []

    def assign(self, _: Mapping[Partition, int]) -> None:
        pass

    def take(self, most: int, _: float) -> tuple[int, int]:
        return most, most

    def received(self) -> Received:
        first = self.batches * MOST
        self.batches += 1
        offset = np.arange(first, first + MOST)
        let_go = partial(self.given_back.append, self.batches)
        place = np.zeros(MOST, np.int32)
        values, keys = [self.value] * MOST, [None] * MOST
        sources = cast("list[Source]", [Marked()] * MOST)
        return Received(values, keys, [TOPIC], place, offset, offset, sources, [], let_go)

    def close(self) -> None:
        pass


@pytest.fixture
def reader() -> Reader:
    found = Reader({}, "g", "c", lambda settings: cast("Client", Plenty(settings)))
    found.start([TOPIC], {TOPIC: 0}, from_beginning=True)
    return found


@pytest.mark.parametrize("quick", [True, False])
def test_each_poll_is_given_back_once_after_the_next(reader: Reader, *, quick: bool) -> None:
    client = cast("Plenty", reader._client)

    def prepare(messages: RawMessages) -> int:
        return int(messages.offset[0])

    polls = 40
    for number in range(1, polls + 1):
        poll = reader.poll(MOST, prepare)
        assert poll.messages.offset[0] == (number - 1) * MOST
        assert poll.prepared in (None, (number - 1) * MOST)
        assert reader.positions == {TOPIC: number * MOST}
        if quick:
            reader._ahead.wait()  # so that the other thread has time to give messages back
        assert set(client.given_back) <= set(range(1, number)), "others may still be looked at"
        assert len(client.given_back) >= number - (2 if quick else 2 + MOST_AHEAD)
    reader.close()
    assert len(client.given_back) == len(set(client.given_back))


def test_more_is_read_ahead_from_poll_to_poll_up_to_so_many_polls_and_bytes(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cast("Plenty", reader._client)
    ahead = []
    for number in range(1, 8):
        reader.poll(MOST, len)
        reader._ahead.wait()
        ahead.append(client.batches - number)
    assert ahead == [1, 2, 3, 4, 4, 4, 4]
    # A poll has 10 bytes here.
    monkeypatch.setattr("streamgauge.io.kafka.reading_ahead.MOST_AHEAD_BYTES", 25)
    for _ in range(4):
        reader.poll(MOST, len)
        reader._ahead.wait()
    assert client.batches == 11 + 2
    monkeypatch.setattr("streamgauge.io.kafka.reading_ahead.MOST_AHEAD_BYTES", 5)
    for _ in range(3):
        reader.poll(MOST, len)
        reader._ahead.wait()
    assert client.batches == 14 + 1, "one poll, however large"
    reader.close()


class Uneven(Plenty):
    """A client that gives from an offset on, often less than it is asked for."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.random = np.random.default_rng(1)
        self.at = self.waiting = 0
        self.paused = False

    def assign(self, at: Mapping[Partition, int]) -> None:
        self.at, self.waiting = at.get(TOPIC, 0), 0

    def pause(self, _: object) -> None:
        self.paused = True

    def resume(self, _: object) -> None:
        self.paused = False

    def take(self, most: int, _: float) -> tuple[int, int]:
        count = 0 if self.paused else int(self.random.choice([most, most // 2]))
        self.waiting += count
        return count, count

    def received(self) -> Received:
        count, first = self.waiting, self.at
        self.at, self.waiting = first + count, 0
        offset = np.arange(first, first + count)
        place = np.zeros(count, np.int32)
        values, keys = [self.value] * count, [None] * count
        sources = cast("list[Source]", [Marked()] * count)
        return Received(values, keys, [TOPIC][:count], place, offset, offset, sources, [])


@pytest.mark.parametrize("seed", range(20))
def test_every_message_comes_once_whatever_hinders_reading_ahead(seed: int) -> None:
    random = np.random.default_rng(seed)
    reader = Reader({}, "g", "c", lambda settings: cast("Client", Uneven(settings)))
    reader.start([TOPIC], {TOPIC: 0}, from_beginning=True)
    due = most_ahead = 0
    for _ in range(150):
        poll = reader.poll(MOST, len)
        assert poll.prepared in (None, len(poll.messages))
        assert poll.messages.offset.tolist() == [*range(due, due + len(poll.messages))]
        due += len(poll.messages)
        assert reader.positions == {TOPIC: due}
        most_ahead = max(most_ahead, len(reader._ahead._ahead))
        match random.integers(12):
            case 0:
                reader.pause(frozenset({0}))
            case 1:
                reader._renew()
            case 2:
                reader.start([TOPIC], {TOPIC: due}, from_beginning=True)
            case 3:
                reader._ahead.wait()
        if random.integers(2):
            reader.pause(frozenset())
    reader.close()
    assert due > 500
    assert most_ahead > 2


def test_nothing_is_read_ahead_of_arrow_batches(reader: Reader) -> None:
    client = cast("Plenty", reader._client)
    client.value = ARROW_BEGINS
    for number in range(1, 4):
        assert reader.poll(MOST, len).prepared is None
        assert client.batches == number
    client.value = b"{}"
    assert reader.poll(MOST, len).prepared is None
    assert reader.poll(MOST, len).prepared == MOST, "nothing but Arrow batches hinders it"
    reader.close()


class Large(Plenty):
    """A client whose messages have 10 MB."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.asked: list[int] = []

    def take(self, most: int, _: float) -> tuple[int, int]:
        self.asked.append(most)
        return most, most * 10_000_000


def test_of_large_messages_a_poll_has_fewer() -> None:
    reader = Reader({}, "g", "c", lambda settings: cast("Client", Large(settings)))
    reader.start([TOPIC], {TOPIC: 0}, from_beginning=True)
    for _ in range(3):
        reader.poll(MOST)
    reader.close()
    assert cast("Large", reader._client).asked == [MOST, 1, 1], (
        "one at least, and as many as usual before any is known"
    )
