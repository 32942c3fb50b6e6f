"""Decodes native JSON prediction events into columnar batches."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from streamgauge.core.batch import EventBatch, IntArray, ModelSchema
from streamgauge.core.concatenation import concatenated, reordered
from streamgauge.core.joining.ids import PackedIds
from streamgauge.formats.event_time import MILLISECONDS, EventTime
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.plain_events import PlainColumns, library
from streamgauge.formats.plain_models import PlainModels, left
from streamgauge.formats.plain_predictions import PlainPredictions
from streamgauge.formats.typed import TypedDecoder

_Part = tuple[EventBatch, IntArray, Sequence[str]]


class NativeDecoder:
    """Decodes polls of prediction events in JSON, for several models on one topic.

    Plain events are read by compiled code, where it was built; all others by `TypedDecoder`. The
    result is the same, and of a message depends on nothing but the message. Of models that are not
    `identified` by name, where that is given, ids are checked, but not made. Raises ValueError if
    two schemas are of one model or a schema names a feature twice.
    """

    def __init__(
        self,
        schemas: Sequence[ModelSchema],
        times: EventTime = MILLISECONDS,
        *,
        identified: Collection[str] | None = None,
    ) -> None:
        self._typed = TypedDecoder(schemas, times)
        self._schemas = {schema.model: schema for schema in schemas}
        self._identified = frozenset(self._schemas if identified is None else identified)
        reader = library()
        models = {
            name: PlainPredictions(reader, schema, times)
            for name, schema in self._schemas.items()
            if reader is not None and PlainPredictions.reads(schema)
        }
        self._plain = PlainModels(models, times)

    def decode(self, messages: RawMessages) -> Decoded:
        """The events of one poll as one batch for each model, and what became of the rest."""
        for name, model in self._plain.models.items():
            model.learn(self._typed.learned(name))
        found = self._plain.read(messages)
        places, others = left(messages, found)
        rest = self._typed.decode(others)
        parts = [self._part(name, columns, messages) for name, columns in found.items()]
        parts += [
            (batch, places[rows], ids if batch.schema.model in self._identified else [])
            for batch, rows, ids in zip(rest.batches, rest.rows, rest.ids, strict=True)
        ]
        of_models = [[part for part in parts if part[0].schema.model == m] for m in self._schemas]
        whole = [_merged(parts) for parts in of_models if parts]
        return Decoded(
            batches=tuple(batch for batch, _, _ in whole),
            rows=tuple(rows for _, rows, _ in whole),
            ids=tuple(ids for _, _, ids in whole),
            rejected=tuple(replace(each, index=int(places[each.index])) for each in rest.rejected),
            tombstones=rest.tombstones,
            unknown_models=rest.unknown_models,
            unknown_fields=rest.unknown_fields + sum(each.unknown for each in found.values()),
        )

    def _part(self, model: str, columns: PlainColumns, messages: RawMessages) -> _Part:
        ids = columns.ids if model in self._identified else []
        batch = self._plain.models[model].batch(columns, messages)
        return batch, columns.rows.astype(np.int64), ids


def _merged(parts: Sequence[_Part]) -> _Part:
    """Parts of one model as one, in the order of the messages."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([rows for _, rows, _ in parts])
    order = np.argsort(rows, kind="stable")
    identified = any(len(ids) for _, _, ids in parts)
    ids = PackedIds.joined(ids for _, _, ids in parts).take(order) if identified else []
    batch = reordered(concatenated([batch for batch, _, _ in parts]), order)
    return batch, rows[order], ids
