"""Reading ahead: what the client holds is given back once, and not while anybody may look at it."""

from collections.abc import Mapping
from concurrent.futures import wait
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from streamgauge.formats.messages import ARROW_BEGINS, ARROW_TYPE, RawMessages
from streamgauge.io.kafka.client import Client, Partition, Received, Source
from streamgauge.io.kafka.reader import Reader

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

    for number in range(1, 8):
        poll = reader.poll(MOST, prepare)
        assert poll.messages.offset[0] == (number - 1) * MOST
        assert poll.prepared in (None, (number - 1) * MOST)
        assert reader.positions == {TOPIC: number * MOST}
        if quick and reader._ahead is not None:
            wait([reader._ahead])  # so that the other thread has time to give messages back
        assert set(client.given_back) <= set(range(1, number)), "others may still be looked at"
        assert len(client.given_back) >= number - 2
    reader.close()
    assert len(client.given_back) == len(set(client.given_back))


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
