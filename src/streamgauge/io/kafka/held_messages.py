"""Messages of librdkafka that were received, to be looked at one by one."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError

from streamgauge.compiled import pointer
from streamgauge.core.batch import CodeArray
from streamgauge.io.kafka import librdkafka
from streamgauge.io.kafka.client import Headers, Partition, Source, Trouble
from streamgauge.io.kafka.librdkafka import Interface


@dataclass(frozen=True, slots=True)
class _Message:
    """A message, as its methods tell: see `Source`."""

    at: Partition
    place: int
    time: tuple[int, int]
    content: Callable[[], tuple[bytes | None, bytes | None]]
    """Copies key and value, which may be large where the headers alone are asked for."""
    heads: list[tuple[str, bytes | None]]

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        return self.time

    def key(self) -> bytes | None:
        return self.content()[0]

    def value(self) -> bytes | None:
        return self.content()[1]

    def headers(self) -> Headers:
        return self.heads


class HeldMessages(Sequence[Source]):
    """Messages of the client, which it keeps in memory until they are let go of."""

    def __init__(
        self,
        kafka: Interface,
        compiled: ctypes.CDLL,
        messages: npt.NDArray[np.uint64],
        source: CodeArray | None = None,
    ) -> None:
        self._kafka = kafka
        self._compiled = compiled
        self._messages = messages
        self._source = np.empty(0, np.int32) if source is None else source
        self._leaving = Lock()

    @property
    def is_there(self) -> bool:
        """Whether they can still be looked at, as far as there are any."""
        return len(self._messages) > 0

    def let_go(self) -> None:
        """Give them back, once, by whichever thread; nobody can look at them any more."""
        with self._leaving:
            messages, self._messages = self._messages, self._messages[:0]
        self._compiled.streamgauge_let_go(
            pointer(messages),
            ctypes.c_int64(len(messages)),
            ctypes.cast(self._kafka.message_destroy, ctypes.c_void_p),
        )

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        at = int(self._source[place])
        address, found = self._message(at)
        kind = ctypes.c_int()
        time = self._kafka.message_timestamp(address, ctypes.byref(kind))
        return _Message(
            (self._topic(found), found.partition),
            found.offset,
            (TIMESTAMP_NOT_AVAILABLE if time < 0 else kind.value, time),
            partial(self._content, at),
            list(self._headers(address)),
        )

    def trouble(self, at: int) -> Trouble:
        """What one of the messages tells of a partition."""
        _, found = self._message(at)
        text = _bytes(found.payload, found.len) or self._kafka.err2str(found.err)
        error = KafkaError(found.err, text_of(text))
        return Trouble(self._topic(found), found.partition, found.offset, error)

    def _content(self, at: int) -> tuple[bytes | None, bytes | None]:
        _, found = self._message(at)
        return _bytes(found.key, found.key_len), _bytes(found.payload, found.len)

    def _message(self, at: int) -> tuple[int, librdkafka.Message]:
        if not self.is_there:
            raise RuntimeError("the client has gone on, and the messages are gone")
        address = int(self._messages[at])
        return address, librdkafka.Message.from_address(address)

    def _topic(self, message: librdkafka.Message) -> str:
        return text_of(self._kafka.topic_name(message.rkt)) if message.rkt else ""

    def _headers(self, address: int) -> Iterator[tuple[str, bytes | None]]:
        headers = ctypes.c_void_p()
        if self._kafka.message_headers(address, ctypes.byref(headers)):
            return
        name, value, size = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
        into = (ctypes.byref(name), ctypes.byref(value), ctypes.byref(size))
        place = 0
        while not self._kafka.header_get_all(headers, place, *into):
            yield text_of(name.value), _bytes(value.value, size.value)
            place += 1


def _bytes(address: int | None, size: int) -> bytes | None:
    return None if address is None else ctypes.string_at(address, size)


def text_of(given: bytes | None) -> str:
    return (given or b"").decode("utf-8", "replace")
