"""Decodes prediction messages that are Arrow IPC streams of many rows.

A row means what the JSON event with the same fields means: column `prediction_id` is the field
`prediction_id`, a struct column `features` the object, and so on; flat columns `features.NAME` may
take the place of the struct or add to it, and `tags` and `score` may be structs or maps. The same
rules decide, row by row, in the same order.

What Arrow adds to the rules:

- a null in a struct of `score` or `tags` is an absent entry, as the struct has no other way to say
  so; in a map it is a null;
- `timestamp` may be an Arrow timestamp of any unit, in UTC where it names no zone;
- NaN and infinity, which JSON cannot say, are `Fault.NAN` in a feature and refused in `score`,
  `latency_ms`, `tags` and the `prediction` of a regression;
- a column that no schema names is an unknown field of every row, null or not;
- a column is of one type for all rows, so a feature of a wrong type is one in all its rows.

**The key and the partition.** A row has a prediction id of its own, so the message's key is not
compared with it, and any key is right. But where several processes share the partitions, each joins
the labels of its own: *every row of a message must belong to the partition that its id would be
sent to by itself*, or its label may end as an orphan and the prediction expire unlabelled. Which
partition that is only the producer's partitioner knows, so it is not checked here;
`streamgauge.emit` keeps to it. Models whose labels do not come through Kafka may be batched in any
way.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.core.batch import CodeArray, EventBatch, IntArray, ModelSchema
from streamgauge.formats.checks import RejectedError
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import ARROW_TYPE, DeadLetterReason, Rejected

if TYPE_CHECKING:
    from streamgauge.formats.arrow_json import JsonRow

CONTENT_TYPE: Final = ARROW_TYPE
"""The Kafka header `content-type` of such a message."""
MAX_BYTES: Final = 64 << 20
"""Largest size of a message once decompressed."""
MAX_ROWS: Final = 100_000
"""Most rows of a message: a column of nulls takes no bytes, but the events made of it do."""


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """What the rows of messages became; every row is in exactly one of three places.

    `sizes (m,) int64` are the rows of each message, and rows are numbered through all of them.
    `rows == accepted + len(rejected) + unknown_models`, unless it is one message that is `refused`
    as a whole, of which no row is known. `batches`, `rows_of` and `ids` are parallel, one of each
    for each model that has events, in the order of the schemas: `rows_of[b] (n_b,) int64` are the
    ascending rows of batch b, and `ids[b]` is empty where ids were not asked for. The index of a
    `Rejected` is its row. `unknown_fields` is as in `Decoded`.
    """

    sizes: IntArray
    batches: tuple[EventBatch, ...]
    rows_of: tuple[IntArray, ...]
    ids: tuple[list[str], ...]
    rejected: tuple[Rejected, ...]
    refused: Rejected | None
    unknown_models: int
    unknown_fields: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.sizes.sum())

    @property
    def accepted(self) -> int:
        """How many rows became events."""
        return sum(map(len, self.batches))

    def located(self) -> Iterator[Rejected]:
        """Yield the refused rows with the places of their messages, and their rows there."""
        begins = np.cumsum(self.sizes) - self.sizes
        rows = np.array([item.index for item in self.rejected], np.int64)
        places = np.searchsorted(begins, rows, side="right") - 1
        own = rows - begins[places]
        for item, place, row in zip(self.rejected, places.tolist(), own.tolist(), strict=True):
            yield replace(item, index=place, row=row)


def decode_arrow(
    value: bytes,
    schemas: Sequence[ModelSchema],
    times: EventTime,
    *,
    identified: Collection[str] | None = None,
    partition: int = 0,
    broker_timestamp: int = -1,
    max_bytes: int = MAX_BYTES,
    max_rows: int = MAX_ROWS,
) -> DecodedRows:
    """The events of one message as one batch for each model, and what became of the other rows.

    `partition` is the message's in the caller's numbering, `broker_timestamp` in milliseconds since
    the epoch, -1 where there is none. All else is as in `decode_together`.
    """
    (found,) = decode_together(
        [value],
        schemas,
        times,
        identified=identified,
        partition=np.array([partition], np.int32),
        broker_timestamp=np.array([broker_timestamp], np.int64),
        max_bytes=max_bytes,
        max_rows=max_rows,
    )
    return found


def decode_together(
    values: Sequence[bytes | None],
    schemas: Sequence[ModelSchema],
    times: EventTime,
    *,
    identified: Collection[str] | None,
    partition: CodeArray,
    broker_timestamp: IntArray,
    max_bytes: int = MAX_BYTES,
    max_rows: int = MAX_ROWS,
) -> Iterator[DecodedRows]:
    """Yield what messages became, as many together as are alike and small, in their order.

    One batch costs some thousand calls whatever its size. `identified` names the models whose
    prediction ids are wanted, None for all; `partition (n,)` and `broker_timestamp (n,)` are as in
    `RawMessages`. Never raises for what is in the values: a message that cannot be read at all, or
    that would take more than `max_bytes` or `max_rows`, is `refused`. So is every message where
    pyarrow is not installed.
    """
    try:
        # The one import of what needs pyarrow, which is an optional extra.
        from streamgauge.formats.arrow_rows import Rules, decode_streams
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "pyarrow":
            raise
        detail = "Arrow batches need pyarrow: pip install 'streamgauge[arrow]'"
        nothing = refused(RejectedError(DeadLetterReason.DECODE, "", detail))
        yield from (nothing for _ in values)
        return
    rules = Rules(schemas, times, identified, max_bytes, max_rows)
    yield from decode_streams(values, partition, broker_timestamp, rules)


def refused_rows(value: bytes, rows: Sequence[int]) -> "list[JsonRow] | None":
    """Some rows of a message that was decoded, as JSON events; None where they cannot be read.

    NaN and infinity, which JSON cannot say, become the texts "nan" and "inf", so that what is
    refused for them stays so.
    """
    from streamgauge.formats.arrow_json import rows_in_json

    try:
        return rows_in_json(value, rows, str, max_bytes=MAX_BYTES, max_rows=MAX_ROWS)
    except RejectedError:
        return None


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Rows of models without a schema: `events`, `rows (n,) int64` and what is refused."""

    events: "list[JsonRow]"
    rows: IntArray
    rejected: tuple[Rejected, ...]


def sampled_rows(
    value: bytes, schemas: Sequence[ModelSchema], times: EventTime, *, broker_timestamp: int
) -> SampledRows:
    """The rows of some models as JSON events that nothing but a feature can speak against.

    The schemas need not name features. NaN and infinity in features become null.
    """
    found = decode_arrow(value, schemas, times, identified=(), broker_timestamp=broker_timestamp)
    if found.refused is not None:
        return SampledRows([], np.empty(0, np.int64), (found.refused,))
    rejected = tuple(replace(item, index=0, row=item.index) for item in found.rejected)
    rows = np.sort(np.concatenate([*found.rows_of, np.empty(0, np.int64)]))
    if not len(rows):
        return SampledRows([], rows, rejected)
    from streamgauge.formats.arrow_json import rows_in_json

    try:
        events = rows_in_json(
            value, rows.tolist(), lambda _: None, max_bytes=MAX_BYTES, max_rows=MAX_ROWS
        )
    except RejectedError as error:
        each = (Rejected(0, error.reason, error.field, error.detail, row) for row in rows.tolist())
        return SampledRows([], rows[:0], (*rejected, *each))
    return SampledRows(events, rows, rejected)


def refused(error: RejectedError) -> DecodedRows:
    """Return what becomes of a message that cannot be read at all."""
    whole = Rejected(0, error.reason, "", error.detail)
    return DecodedRows(np.zeros(1, np.int64), (), (), (), (), whole, 0, 0)
