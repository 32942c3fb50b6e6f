"""Decodes native JSON label events into columnar batches."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamgauge.core.batch import Categories, FloatArray, IntArray, LabelBatch, ModelSchema
from streamgauge.core.concatenation import one_column
from streamgauge.core.joining.ids import PackedIds
from streamgauge.formats.event_time import MILLISECONDS, EventTime
from streamgauge.formats.messages import DecodedLabels, RawMessages
from streamgauge.formats.plain_events import library
from streamgauge.formats.plain_labels import PlainLabels
from streamgauge.formats.plain_models import PlainModels, left
from streamgauge.formats.typed_labels import TypedLabelDecoder

_Part = tuple[LabelBatch, IntArray]


class LabelDecoder:
    """Decodes polls of label events in JSON, for several models on one topic.

    A label is a class (a string or an integer of 64 bits; 1 and "1" are the same) or, of a
    regression, a finite number; booleans are neither, as in predictions. The label's version is an
    integer >= 0; without one, or with null, it is 0. Id, key and time follow the rules of
    predictions.

    Plain events are read by compiled code, where it was built; all others by `TypedLabelDecoder`.
    The result is the same, and of a message depends on nothing but the message. Raises ValueError
    if two schemas are of one model.
    """

    def __init__(self, schemas: Sequence[ModelSchema], times: EventTime = MILLISECONDS) -> None:
        self._typed = TypedLabelDecoder(schemas, times)
        self._order = [schema.model for schema in schemas]
        reader = library()
        models = {} if reader is None else {s.model: PlainLabels(reader, s, times) for s in schemas}
        self._plain = PlainModels(models, times)

    def decode(self, messages: RawMessages) -> DecodedLabels:
        """The labels of one poll as one batch for each model, and what became of the rest."""
        for name, model in self._plain.models.items():
            model.learn(self._typed.learned(name))
        found = self._plain.read(messages)
        places, others = left(messages, found)
        rest = self._typed.decode(others)
        parts = [
            (self._plain.models[name].batch(columns, messages), columns.rows.astype(np.int64))
            for name, columns in found.items()
        ]
        parts += [(b, places[rows]) for b, rows in zip(rest.batches, rest.rows, strict=True)]
        of_models = [[part for part in parts if part[0].schema.model == m] for m in self._order]
        whole = [_merged(parts) for parts in of_models if parts]
        return DecodedLabels(
            batches=tuple(batch for batch, _ in whole),
            rows=tuple(rows for _, rows in whole),
            rejected=tuple(replace(each, index=int(places[each.index])) for each in rest.rejected),
            tombstones=rest.tombstones,
            unknown_models=rest.unknown_models,
            unknown_fields=rest.unknown_fields + sum(each.unknown for each in found.values()),
        )


def _merged(parts: Sequence[_Part]) -> _Part:
    """Parts of one model as one, in the order of the messages."""
    if len(parts) == 1:
        return parts[0]
    batches = [batch for batch, _ in parts]
    rows = np.concatenate([rows for _, rows in parts])
    order = np.argsort(rows, kind="stable")
    label: Categories | FloatArray
    classes = [b.label for b in batches if isinstance(b.label, Categories)]
    if classes:
        label = one_column(classes).take(order)
    else:
        label = np.concatenate([batch.label for batch in batches])[order]
    whole = LabelBatch(
        schema=batches[0].schema,
        ids=PackedIds.joined(batch.ids for batch in batches).take(order),
        timestamp=np.concatenate([batch.timestamp for batch in batches])[order],
        partition=np.concatenate([batch.partition for batch in batches])[order],
        label=label,
        version=np.concatenate([batch.version for batch in batches])[order],
    )
    return whole, rows[order]
