"""Decodes prediction messages in either form: JSON, an event each, or Arrow batches of many."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.arrow_batches import decode_arrow
from streamgauge.formats.event_time import EventTime, TimestampUnit
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.sharing import Sharing

if TYPE_CHECKING:
    from streamgauge.formats.plain_events import PlainEvents


class PredictionDecoder:
    """Decodes prediction events in JSON and in Arrow batches, for several models on one topic.

    Of models that are not `identified` by name, prediction ids in Arrow batches are checked, but
    not made: they are for the join alone. With `threads` of more than one, part of many plain
    events of a single model is decoded in another thread, to the same results. Raises ValueError if
    two schemas are of one model or a schema names a feature twice.
    """

    def __init__(
        self,
        schemas: Sequence[ModelSchema],
        *,
        identified: Collection[str] = (),
        timestamp_unit: TimestampUnit = "ms",
        max_future_ms: int = 300_000,
        threads: int = 1,
    ) -> None:
        self._schemas = tuple(schemas)
        self._identified = frozenset(identified)
        self._times = EventTime(unit=timestamp_unit, max_future_ms=max_future_ms)
        self._json = NativeDecoder(
            self._schemas, timestamp_unit=timestamp_unit, max_future_ms=max_future_ms
        )
        self._sharing = Sharing()
        self._plain = self._plain_events() if threads > 1 else None

    def decode(self, messages: RawMessages) -> Decoded:
        """The events of messages of one form, any number in JSON or one Arrow batch.

        The index of what is refused is its message's place; `ids` of models that are not identified
        may be empty.
        """
        if messages.arrow is None:
            return self._decode_json(messages)
        assert len(messages) == 1, "Arrow batches are decoded one by one: see Part.runs"
        found = decode_arrow(
            messages.values[0] or b"",
            self._schemas,
            self._times,
            identified=self._identified,
            partition=int(messages.partition[0]),
            broker_timestamp=int(messages.broker_timestamp[0]),
        )
        whole = () if found.refused is None else (found.refused,)
        return Decoded(
            batches=found.batches,
            rows=found.rows_of,
            ids=found.ids,
            rejected=whole + tuple(replace(x, index=0, row=x.index) for x in found.rejected),
            tombstones=0,
            unknown_models=found.unknown_models,
            unknown_fields=found.unknown_fields,
        )

    def _plain_events(self) -> "PlainEvents | None":
        if len(self._schemas) != 1 or self._schemas[0].task is Task.MULTICLASS:
            return None
        try:
            from streamgauge.formats.plain_events import PlainEvents
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "pyarrow":
                raise
            return None
        return PlainEvents(self._schemas[0], self._times)

    def _decode_json(self, messages: RawMessages) -> Decoded:
        """Decode part of the messages in the other thread, if that is worth it, the rest in this.

        What is declined there is decoded here as well.
        """
        count, plain = len(messages), self._plain
        given = 0 if plain is None else self._sharing.given(count)
        tags = self._json.plain_tags(plain.model) if plain is not None and given else None
        if plain is None or tags is None:
            return self._json.decode(messages)
        own = messages.take(np.arange(count - given))
        others = messages.take(np.arange(count - given, count))
        begun = plain.begin(others, tags)
        began = time.perf_counter()
        first = self._json.decode(own)
        took = time.perf_counter() - began
        wanted = plain.model in self._identified
        found = None if begun is None else plain.finish(begun, with_ids=wanted)
        if found is None or begun is None:
            self._sharing.declined()
            return together(first, self._json.decode(others), len(own))
        self._sharing.done(len(own) / took, given / begun.seconds)
        batch, ids = found
        second = Decoded((batch,), (np.arange(given),), (ids,), (), 0, 0, 0)
        return together(first, second, len(own))


def together(first: Decoded, second: Decoded, begins: int) -> Decoded:
    """Return what two parts of a poll became, of which the second begins at a message."""
    return Decoded(
        batches=first.batches + second.batches,
        rows=first.rows + tuple(rows + begins for rows in second.rows),
        ids=first.ids + second.ids,
        rejected=first.rejected
        + tuple(replace(each, index=each.index + begins) for each in second.rejected),
        tombstones=first.tombstones + second.tombstones,
        unknown_models=first.unknown_models + second.unknown_models,
        unknown_fields=first.unknown_fields + second.unknown_fields,
    )
