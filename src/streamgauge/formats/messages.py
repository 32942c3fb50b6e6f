"""What goes into a decoder and what comes out of it, whatever the format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, CodeArray, EventBatch, IntArray, LabelBatch
from streamgauge.formats.joined import JoinedBytes

ARROW_BEGINS: Final = b"\xff\xff\xff\xff"
"""What an Arrow IPC stream begins with, and no JSON document."""
ARROW_TYPE: Final = b"application/vnd.apache.arrow.stream"
"""The Kafka header `content-type` of a message that is to be read as one."""


class DeadLetterReason(StrEnum):
    """Why a message cannot be counted."""

    DECODE = "decode"
    """The bytes are no valid document of the format."""
    SCHEMA = "schema"
    """A field is missing, has the wrong type or a value outside its range."""
    TIMESTAMP = "timestamp"
    """The event time is not a point in time that can be true."""
    KEY = "key"
    """The message's key is not the event's prediction id."""


@dataclass(frozen=True, slots=True)
class RawMessages:
    """One poll's messages as parallel sequences of length n, in the order they were read.

    `partition (n,) int32` is the input partition in the caller's numbering, `offset (n,) int64`,
    `broker_timestamp (n,) int64` in milliseconds since the epoch, -1 where the broker gave none.
    `arrow (n,) bool` says which are marked as Arrow IPC streams of many events, None where none is;
    all others are one event each, in JSON. Values and keys may be `JoinedBytes`.
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    partition: CodeArray
    offset: IntArray
    broker_timestamp: IntArray
    arrow: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: IntArray) -> "RawMessages":
        """Return some of the messages."""
        arrow = None if self.arrow is None else self.arrow[places]
        return RawMessages(
            _pick(self.values, places),
            _pick(self.keys, places),
            self.partition[places],
            self.offset[places],
            self.broker_timestamp[places],
            arrow if arrow is not None and arrow.any() else None,
        )

    def compact(self) -> "RawMessages":
        """Return the same, to be kept: with nothing in memory that other messages hold."""
        return replace(self, values=_compact(self.values), keys=_compact(self.keys))


def _pick(values: Sequence[bytes | None], places: IntArray) -> Sequence[bytes | None]:
    """Return the values at these places; a poll's messages of one topic are often in a row."""
    if isinstance(values, JoinedBytes):
        return values.take(places)
    if len(places) and (np.diff(places) == 1).all():
        return values[places[0] : places[-1] + 1]
    return list(map(values.__getitem__, places.tolist()))


def _compact(values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    return values.compact() if isinstance(values, JoinedBytes) else values


@dataclass(frozen=True, slots=True)
class Rejected:
    """One event that becomes a dead letter, with the first problem found in it.

    `index` is its message's place in `RawMessages`, `row` its row where that is an Arrow batch, and
    None where the message is refused as a whole. `field` is the path of the field at fault
    (`features.carrier`), empty where the whole event is. Neither `field` nor `detail` ever holds
    text out of the message, which may be personal data.
    """

    index: int
    reason: DeadLetterReason
    field: str
    detail: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What messages became; every event is in exactly one of the four places.

    `events == accepted + len(rejected) + unknown_models + tombstones`: a message in JSON is one
    event, and one that is refused as a whole too. `batches` holds one batch for each model that has
    events, in the order of the decoder's schemas; `rows[b] (n_b,) int64` are the ascending indices
    of batch b's events in `RawMessages`, or their rows in Arrow messages, numbered through all of
    them; `ids[b]` their prediction ids. `sizes (m,) int64` are the events of each Arrow message,
    None of those in JSON: of each one. `unknown_fields` counts the fields of accepted events that
    no schema names, at the top level and among the features.
    """

    batches: tuple[EventBatch, ...]
    rows: tuple[IntArray, ...]
    ids: tuple[Sequence[str], ...]
    rejected: tuple[Rejected, ...]
    tombstones: int
    unknown_models: int
    unknown_fields: int
    sizes: IntArray | None = None

    @property
    def accepted(self) -> int:
        """How many events are in the batches."""
        return sum(map(len, self.batches))

    @property
    def events(self) -> int:
        """How many events there were, whatever became of them."""
        return self.accepted + len(self.rejected) + self.unknown_models + self.tombstones


@dataclass(frozen=True, slots=True)
class DecodedLabels:
    """What one poll's messages became; every message is in exactly one of the four places.

    `len(messages) == accepted + len(rejected) + unknown_models + tombstones`. `batches` holds one
    batch for each model that has labels, in the order of the decoder's schemas; `rows[b] (n_b,)
    int64` are the ascending indices of batch b's labels in the messages. `unknown_fields` counts
    the fields of accepted events that no label event has.
    """

    batches: tuple[LabelBatch, ...]
    rows: tuple[IntArray, ...]
    rejected: tuple[Rejected, ...]
    tombstones: int
    unknown_models: int
    unknown_fields: int

    @property
    def accepted(self) -> int:
        """How many messages became labels."""
        return sum(map(len, self.batches))
