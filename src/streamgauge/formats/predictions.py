"""Decodes prediction messages in either form: JSON, an event each, or Arrow batches of many."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from streamgauge.core.batch import ModelSchema
from streamgauge.formats.arrow_batches import decode_together
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
        """The events of messages in JSON; `ids` of models that are not identified are empty."""
        assert messages.arrow is None
        return self._json.decode(messages)

    def decode_arrow(self, messages: RawMessages) -> Iterator[Decoded]:
        """Yield the events of Arrow batches in their order, of as many as go together.

        The index of what is refused is its message's place among those.
        """
        for found in decode_together(
            messages.values,
            self._schemas,
            self._times,
            identified=self._identified,
            partition=messages.partition,
            broker_timestamp=messages.broker_timestamp,
        ):
            whole = () if found.refused is None else (found.refused,)
            yield Decoded(
                batches=found.batches,
                rows=found.rows_of,
                ids=found.ids,
                rejected=whole + tuple(found.located()),
                tombstones=0,
                unknown_models=found.unknown_models,
                unknown_fields=found.unknown_fields,
                sizes=found.sizes if found.refused is None else np.ones(1, np.int64),
            )
