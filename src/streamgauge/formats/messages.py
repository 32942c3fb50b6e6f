"""What goes into a decoder and what comes out of it, whatever the format."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamgauge.core.batch import CodeArray, EventBatch, IntArray


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
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    partition: CodeArray
    offset: IntArray
    broker_timestamp: IntArray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One message that becomes a dead letter, with the first problem found in it.

    `index` is its place in `RawMessages`. `field` is the path of the field at fault
    (`features.carrier`), empty where the whole message is. Neither `field` nor `detail` ever holds
    text out of the message, which may be personal data.
    """

    index: int
    reason: DeadLetterReason
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one poll's messages became; every message is in exactly one of the four places.

    `len(messages) == accepted + len(rejected) + unknown_models + tombstones`. `batches` holds one
    batch for each model that has events, in the order of the decoder's schemas; `rows[b] (n_b,)
    int64` are the ascending indices of batch b's events in `RawMessages`, `ids[b]` their
    prediction ids. `unknown_fields` counts the fields of accepted events that no schema names, at
    the top level and among the features.
    """

    batches: tuple[EventBatch, ...]
    rows: tuple[IntArray, ...]
    ids: tuple[list[str], ...]
    rejected: tuple[Rejected, ...]
    tombstones: int
    unknown_models: int
    unknown_fields: int

    @property
    def accepted(self) -> int:
        """How many messages became events."""
        return sum(map(len, self.batches))
