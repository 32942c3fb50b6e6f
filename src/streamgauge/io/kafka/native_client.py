"""A client of librdkafka's own interface, whose messages become columns without objects.

Reading takes a fifth of the processor time that it takes with an object for each (decision 017).
It needs the compiled library (messages.c) and librdkafka, as confluent-kafka brings it.
"""

import ctypes
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaError, KafkaException

from streamgauge.compiled import beside, pointer
from streamgauge.formats.joined import PAD, JoinedBytes
from streamgauge.io.kafka import librdkafka
from streamgauge.io.kafka.client import Partition, Received
from streamgauge.io.kafka.held_messages import HeldMessages, text_of
from streamgauge.io.kafka.librdkafka import Interface
from streamgauge.recycled import Recycled

LAYOUT: Final = 1
"""Of what is handed over; messages.c has the same number."""
_TEXT_BYTES: Final = 512
"""Of an error's text."""
_LONG: Final = (
    *("begins", "ends", "key_begins", "key_ends"),
    *("offset", "timestamp", "run_length"),
)
_SHORT: Final = ("source", "run_partition", "troubled")
_LEVELS: Final = (
    *(logging.CRITICAL,) * 3,
    logging.ERROR,
    logging.WARNING,
    *(logging.INFO,) * 2,
    logging.DEBUG,
)
"""Ours for each of syslog's."""


class _Gathered(ctypes.Structure):
    _fields_ = (
        ("padding", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("text", "begins", "ends")),
        *((name, ctypes.c_void_p) for name in ("keys", "key_begins", "key_ends")),
        *((name, ctypes.c_void_p) for name in ("offset", "timestamp", "source")),
        *((name, ctypes.c_void_p) for name in ("run_topic", "run_partition", "run_length")),
        ("runs", ctypes.c_int64),
        ("troubled", ctypes.c_void_p),
        ("troubles", ctypes.c_int64),
    )


def library() -> ctypes.CDLL | None:
    """What takes messages apart, None where it was not built or is of another version."""
    return beside(__file__, "messages", LAYOUT)


def available() -> bool:
    """Whether all that it needs is there."""
    return library() is not None and librdkafka.interface() is not None


class NativeClient:
    """See `Client`; `logger` among the settings is told what the client logs."""

    is_shared: ClassVar[bool] = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        found, compiled = librdkafka.interface(), library()
        assert found is not None
        assert compiled is not None
        self._kafka: Interface = found
        self._compiled = compiled
        compiled.streamgauge_gather.restype = ctypes.c_int64
        self._logger: logging.Logger = settings["logger"]
        self._handle = self._create({k: v for k, v in settings.items() if k != "logger"})
        _check(found.poll_set_consumer(self._handle), found)
        self._logs = found.queue_new(self._handle)
        found.set_log_queue(self._handle, self._logs)
        self._queue = found.queue_get_consumer(self._handle)
        self._taken: list[tuple[npt.NDArray[np.uint64], int, int]] = []
        """The addresses of messages that were taken and not yet received, and what they measure."""
        self._held: list[HeldMessages] = []
        """What was received, and may not be let go of yet."""
        self._recycled = Recycled()

    def _create(self, settings: Mapping[str, Any]) -> int:
        """Create the client. Raises KafkaException for settings that it does not take."""
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        conf = self._kafka.conf_new()
        for name, value in {**settings, "log.queue": True}.items():
            told = str(value).lower() if isinstance(value, bool) else str(value)
            if self._kafka.conf_set(conf, name.encode(), told.encode(), text, len(text)):
                self._kafka.conf_destroy(conf)
                raise _exception(KafkaError._INVALID_ARG, text.value)
        handle: int | None = self._kafka.new(librdkafka.CONSUMER, conf, text, len(text))
        if handle is None:
            self._kafka.conf_destroy(conf)
            raise _exception(KafkaError._FAIL, b"Failed to create consumer: " + text.value)
        return handle

    def partitions_of(self, topic: str, patience: float) -> list[int] | None:
        """Return the numbers of a topic's partitions, None if there is no such topic."""
        kafka, found = self._kafka, ctypes.POINTER(librdkafka.Metadata)()
        asked = kafka.topic_new(self._handle, topic.encode(), None)
        try:
            args = (self._handle, 0, asked, ctypes.byref(found), _ms(patience))
            _check(kafka.metadata(*args), kafka)
        finally:
            kafka.topic_destroy(asked)
            self._tell()
        try:
            (told,) = found.contents.topics[: found.contents.topic_cnt]
            if told.err == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            _check(told.err, kafka)
            return sorted(each.id for each in told.partitions[: told.partition_cnt])
        finally:
            kafka.metadata_destroy(found)

    def ends(self, partition: Partition, patience: float) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and that after the last."""
        low, high = ctypes.c_int64(), ctypes.c_int64()
        args = (*self._at(partition), ctypes.byref(low), ctypes.byref(high), _ms(patience))
        _check(self._kafka.query_watermark_offsets(*args), self._kafka)
        return low.value, high.value

    def known_end(self, partition: Partition) -> int:
        """Return the offset after the last as far as is known, below 0 where nothing is."""
        low, high = ctypes.c_int64(), ctypes.c_int64()
        args = (*self._at(partition), ctypes.byref(low), ctypes.byref(high))
        return -1 if self._kafka.get_watermark_offsets(*args) else high.value

    def _at(self, partition: Partition) -> tuple[int, bytes, int]:
        topic, number = partition
        return self._handle, topic.encode(), number

    def assign(self, at: Mapping[Partition, int]) -> None:
        """Read from these offsets, and nothing else."""
        with self._listed(at) as listed:
            _check(self._kafka.assign(self._handle, listed), self._kafka)

    def extend(self, at: Mapping[Partition, int]) -> None:
        """Read from these offsets as well."""
        with self._listed(at) as listed:
            error = self._kafka.incremental_assign(self._handle, listed)
        if error:
            code, text = self._kafka.error_code(error), self._kafka.error_string(error)
            self._kafka.error_destroy(error)
            raise _exception(code, text)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Hold partitions back."""
        with self._listed(dict.fromkeys(partitions, librdkafka.NO_OFFSET)) as listed:
            _check(self._kafka.pause_partitions(self._handle, listed), self._kafka)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Let partitions go on that were held back."""
        with self._listed(dict.fromkeys(partitions, librdkafka.NO_OFFSET)) as listed:
            _check(self._kafka.resume_partitions(self._handle, listed), self._kafka)

    @contextmanager
    def _listed(self, at: Mapping[Partition, int]) -> Iterator[Any]:
        kafka = self._kafka
        listed = kafka.topic_partition_list_new(len(at))
        try:
            for (topic, number), offset in at.items():
                added = kafka.topic_partition_list_add(listed, topic.encode(), number)
                added.contents.offset = offset
            yield listed
        finally:
            kafka.topic_partition_list_destroy(listed)

    def take(self, most: int, wait_s: float) -> tuple[int, int]:
        """Take up to so many messages; return how many there were, and their bytes."""
        found = np.empty(most, np.uint64)
        args = (self._queue, _ms(wait_s), found.ctypes.data, most)
        count = self._kafka.consume_batch_queue(*args)
        self._tell()
        if count < 0:
            raise KafkaException(KafkaError(KafkaError._STATE, "the client is closed"))
        values, keys = self._measured(found[:count])
        self._taken.append((found[:count], values, keys))
        return count, values

    def _measured(self, messages: npt.NDArray[np.uint64]) -> tuple[int, int]:
        """The bytes that values and keys take, with one more for each message."""
        values, keys = ctypes.c_int64(), ctypes.c_int64()
        self._compiled.streamgauge_measure(
            pointer(messages),
            ctypes.c_int64(len(messages)),
            ctypes.byref(values),
            ctypes.byref(keys),
        )
        return values.value, keys.value

    def received(self) -> Received:
        """Return what was taken since this was asked last."""
        messages, values, keys = self._pending()
        count = len(messages)
        arrays: dict[str, npt.NDArray[Any]] = {
            "text": self._recycled.empty((values + len(PAD),), np.uint8),
            "keys": np.empty(keys + len(PAD), np.uint8),
            **{name: np.empty(count, np.int64) for name in _LONG},
            **{name: np.empty(count, np.int32) for name in _SHORT},
            "run_topic": np.empty(count, np.uint64),
        }
        out = _Gathered(padding=len(PAD), **{k: each.ctypes.data for k, each in arrays.items()})
        n = self._compiled.streamgauge_gather(
            pointer(messages),
            ctypes.c_int64(count),
            ctypes.cast(self._kafka.message_timestamp, ctypes.c_void_p),
            ctypes.byref(out),
        )
        runs = [
            (self._kafka.topic_name(topic).decode(), number)
            for topic, number in zip(
                arrays["run_topic"][: out.runs].tolist(),
                arrays["run_partition"][: out.runs].tolist(),
                strict=True,
            )
        ]
        numbers = {partition: number for number, partition in enumerate(dict.fromkeys(runs))}
        place = np.array([numbers[partition] for partition in runs], np.int32)
        held = HeldMessages(self._kafka, self._compiled, messages, arrays["source"][:n])
        self._held = [*(each for each in self._held if each.is_there), held]
        return Received(
            values=JoinedBytes(arrays["text"], arrays["begins"][:n], arrays["ends"][:n]),
            keys=JoinedBytes(arrays["keys"], arrays["key_begins"][:n], arrays["key_ends"][:n]),
            partitions=list(numbers),
            place=np.repeat(place, arrays["run_length"][: out.runs]),
            offset=arrays["offset"][:n],
            timestamp=arrays["timestamp"][:n],
            sources=held,
            troubles=[held.trouble(at) for at in arrays["troubled"][: out.troubles].tolist()],
            let_go=held.let_go,
        )

    def _pending(self) -> tuple[npt.NDArray[np.uint64], int, int]:
        """Return what was taken, in one piece; it is no longer waiting then."""
        taken, self._taken = self._taken, []
        messages = np.concatenate([np.empty(0, np.uint64), *(each for each, _, _ in taken)])
        return messages, sum(values for _, values, _ in taken), sum(keys for _, _, keys in taken)

    def _tell(self) -> None:
        """Pass on what the client logs."""
        kafka = self._kafka
        while event := kafka.queue_poll(self._logs, 0):
            about, text, level = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.c_int()
            args = (ctypes.byref(about), ctypes.byref(text), ctypes.byref(level))
            is_log = kafka.event_type(event) == librdkafka.LOG_EVENT
            if is_log and not kafka.event_log(event, *args):
                name = text_of(kafka.name(self._handle))
                said = (text_of(about.value), name, text_of(text.value))
                self._logger.log(_LEVELS[level.value], "%s [%s] %s", *said)
            kafka.event_destroy(event)

    def close(self) -> None:
        """Let go of everything; may take long where the broker does not answer."""
        kafka = self._kafka
        pending, _, _ = self._pending()
        for each in (*self._held, HeldMessages(kafka, self._compiled, pending)):
            each.let_go()
        kafka.queue_destroy(self._queue)
        kafka.consumer_close(self._handle)
        self._tell()
        kafka.queue_destroy(self._logs)
        kafka.destroy(self._handle)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _exception(code: int, text: bytes | None) -> KafkaException:
    return KafkaException(KafkaError(code, text_of(text)))


def _check(code: int, kafka: Interface) -> None:
    """Raise KafkaException for what is no success."""
    if code:
        raise _exception(code, kafka.err2str(code))
