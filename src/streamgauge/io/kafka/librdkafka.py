"""librdkafka's C interface, of the library that confluent-kafka brings: what its messages cost
as objects of Python is most of what reading costs (decision 017).

https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_void_p
from functools import cache
from typing import Any, Final

from confluent_kafka import cimpl

CONSUMER: Final = 1
LOG_EVENT: Final = 4
NO_OFFSET: Final = -1001
_LEAST_VERSION: Final = 0x02_00_00_00


class Message(ctypes.Structure):
    """rd_kafka_message_t."""

    _fields_ = (
        ("err", c_int),
        ("rkt", c_void_p),
        ("partition", c_int32),
        ("payload", c_void_p),
        ("len", c_size_t),
        ("key", c_void_p),
        ("key_len", c_size_t),
        ("offset", c_int64),
        ("_private", c_void_p),
    )


class TopicPartition(ctypes.Structure):
    """rd_kafka_topic_partition_t."""

    _fields_ = (
        ("topic", c_char_p),
        ("partition", c_int32),
        ("offset", c_int64),
        ("metadata", c_void_p),
        ("metadata_size", c_size_t),
        ("opaque", c_void_p),
        ("err", c_int),
        ("_private", c_void_p),
    )


class TopicPartitions(ctypes.Structure):
    """rd_kafka_topic_partition_list_t."""

    _fields_ = (("cnt", c_int), ("size", c_int), ("elems", POINTER(TopicPartition)))


class PartitionMetadata(ctypes.Structure):
    """rd_kafka_metadata_partition_t."""

    _fields_ = (
        ("id", c_int32),
        ("err", c_int),
        ("leader", c_int32),
        ("replica_cnt", c_int),
        ("replicas", c_void_p),
        ("isr_cnt", c_int),
        ("isrs", c_void_p),
    )


class TopicMetadata(ctypes.Structure):
    """rd_kafka_metadata_topic_t."""

    _fields_ = (
        ("topic", c_char_p),
        ("partition_cnt", c_int),
        ("partitions", POINTER(PartitionMetadata)),
        ("err", c_int),
    )


class Metadata(ctypes.Structure):
    """rd_kafka_metadata_t."""

    _fields_ = (
        ("broker_cnt", c_int),
        ("brokers", c_void_p),
        ("topic_cnt", c_int),
        ("topics", POINTER(TopicMetadata)),
        ("orig_broker_id", c_int32),
        ("orig_broker_name", c_char_p),
    )


_INTERFACE: Final[dict[str, tuple[Any, ...]]] = {
    # name: result, arguments
    "version": (c_int,),
    "err2str": (c_char_p, c_int),
    "conf_new": (c_void_p,),
    "conf_destroy": (None, c_void_p),
    "conf_set": (c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
    "new": (c_void_p, c_int, c_void_p, c_char_p, c_size_t),
    "name": (c_char_p, c_void_p),
    "destroy": (None, c_void_p),
    "consumer_close": (c_int, c_void_p),
    "poll_set_consumer": (c_int, c_void_p),
    "queue_new": (c_void_p, c_void_p),
    "queue_get_consumer": (c_void_p, c_void_p),
    "queue_destroy": (None, c_void_p),
    "queue_poll": (c_void_p, c_void_p, c_int),
    "set_log_queue": (c_int, c_void_p, c_void_p),
    "event_type": (c_int, c_void_p),
    "event_log": (c_int, c_void_p, POINTER(c_char_p), POINTER(c_char_p), POINTER(c_int)),
    "event_destroy": (None, c_void_p),
    "topic_new": (c_void_p, c_void_p, c_char_p, c_void_p),
    "topic_name": (c_char_p, c_void_p),
    "topic_destroy": (None, c_void_p),
    "metadata": (c_int, c_void_p, c_int, c_void_p, POINTER(POINTER(Metadata)), c_int),
    "metadata_destroy": (None, POINTER(Metadata)),
    "query_watermark_offsets": (
        c_int,
        c_void_p,
        c_char_p,
        c_int32,
        POINTER(c_int64),
        POINTER(c_int64),
        c_int,
    ),
    "get_watermark_offsets": (
        c_int,
        c_void_p,
        c_char_p,
        c_int32,
        POINTER(c_int64),
        POINTER(c_int64),
    ),
    "topic_partition_list_new": (POINTER(TopicPartitions), c_int),
    "topic_partition_list_add": (
        POINTER(TopicPartition),
        POINTER(TopicPartitions),
        c_char_p,
        c_int32,
    ),
    "topic_partition_list_destroy": (None, POINTER(TopicPartitions)),
    "assign": (c_int, c_void_p, POINTER(TopicPartitions)),
    "incremental_assign": (c_void_p, c_void_p, POINTER(TopicPartitions)),
    "error_code": (c_int, c_void_p),
    "error_string": (c_char_p, c_void_p),
    "error_destroy": (None, c_void_p),
    "pause_partitions": (c_int, c_void_p, POINTER(TopicPartitions)),
    "resume_partitions": (c_int, c_void_p, POINTER(TopicPartitions)),
    "consume_batch_queue": (c_ssize_t, c_void_p, c_int, c_void_p, c_size_t),
    "message_timestamp": (c_int64, c_void_p, POINTER(c_int)),
    "message_headers": (c_int, c_void_p, POINTER(c_void_p)),
    "message_destroy": (None, c_void_p),
    "header_get_all": (
        c_int,
        c_void_p,
        c_size_t,
        POINTER(c_char_p),
        POINTER(c_void_p),
        POINTER(c_size_t),
    ),
}
"""What is used of it, each without the `rd_kafka_` that it begins with."""


class Interface:
    """The functions of the library, as `Interface.assign` for `rd_kafka_assign`."""

    def __init__(self, found: ctypes.CDLL) -> None:
        for name, (result, *arguments) in _INTERFACE.items():
            function = getattr(found, f"rd_kafka_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@cache
def interface() -> Interface | None:
    """The library that confluent-kafka uses itself, None where it does not let it be seen."""
    try:
        found = Interface(ctypes.CDLL(cimpl.__file__))
    except (OSError, AttributeError):
        return None
    return found if found.version() >= _LEAST_VERSION else None
