"""Decodes prediction messages in either form: JSON, an event each, or Arrow batches of many."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from streamgauge.core.batch import ModelSchema
from streamgauge.formats.arrow_batches import decode_arrow
from streamgauge.formats.event_time import MILLISECONDS, EventTime
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.native import NativeDecoder


class PredictionDecoder:
    """Decodes prediction events in JSON and in Arrow batches, for several models on one topic.

    Of models that are not `identified` by name, prediction ids are checked, but not made: they are
    for the join alone. Raises ValueError if two schemas are of one model or a schema names a
    feature twice.
    """

    def __init__(
        self,
        schemas: Sequence[ModelSchema],
        times: EventTime = MILLISECONDS,
        *,
        identified: Collection[str] = (),
    ) -> None:
        self._schemas = tuple(schemas)
        self._identified = frozenset(identified)
        self._times = times
        self._json = NativeDecoder(self._schemas, times, identified=self._identified)

    def decode(self, messages: RawMessages) -> Decoded:
        """The events of messages of one form, any number in JSON or one Arrow batch.

        The index of what is refused is its message's place; `ids` of models that are not identified
        are empty.
        """
        if messages.arrow is None:
            return self._json.decode(messages)
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
