"""Decodes label events in JSON by typed structs, whatever they look like."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from streamgauge.core.batch import IntArray, ModelSchema
from streamgauge.formats import checks, doubts
from streamgauge.formats.block_decoder import BlockDecoder
from streamgauge.formats.block_reader import BlockReader
from streamgauge.formats.event_time import MILLISECONDS, EventTime
from streamgauge.formats.label_columns import (
    LABEL_FIELDS,
    LabelBatchBuilder,
    LabelColumns,
    label_type,
    transpose_labels,
)
from streamgauge.formats.learned_names import LearnedNames
from streamgauge.formats.messages import DecodedLabels, RawMessages

BLOCK: Final = 2048
"""Messages decoded at a time: their structs stay in the processor's cache."""
_KNOWN: Final = frozenset({*LABEL_FIELDS, "model"})


class TypedLabelDecoder(BlockDecoder["_Model"]):
    """Decodes polls of label events in JSON, for several models on one topic.

    A message is parsed straight into a typed struct; what that parser refuses, or what a check
    over the columns doubts, is read again by the rules in `checks`. Those rules alone decide, so
    the result of a message depends on nothing but the message. Raises ValueError if two schemas
    are of one model.
    """

    def __init__(self, schemas: Sequence[ModelSchema], times: EventTime = MILLISECONDS) -> None:
        super().__init__([_Model(schema) for schema in schemas], times, block=BLOCK)

    def decode(self, messages: RawMessages) -> DecodedLabels:
        """The labels of one poll as one batch for each model, and what became of the rest."""
        poll = _Poll(messages, self._models, self._times)
        self._read_blocks(poll, len(messages))
        return poll.finish()

    def learned(self, model: str) -> tuple[str, ...]:
        """The names of unknown fields that a model's labels keep bringing."""
        return self._models[model].unknown_fields.learned


class _Model:
    """A schema, the struct of its labels, and what unknown fields they keep bringing."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self.unknown_fields = LearnedNames()
        self.event = label_type(schema)
        self.is_parsed = True

    def learn(self) -> bool:
        """Make room for what was seen often; whether the struct is new."""
        if not self.unknown_fields.learn():
            return False
        self.event = label_type(self.schema, self.unknown_fields.learned)
        return True


class _Poll(BlockReader[_Model, LabelColumns]):
    """One call of `decode`: where its labels, refusals and counts gather."""

    def __init__(
        self, messages: RawMessages, models: Mapping[str, _Model], times: EventTime
    ) -> None:
        super().__init__(messages, models, times)
        self._builders = {name: LabelBatchBuilder(model.schema) for name, model in models.items()}

    def finish(self) -> DecodedLabels:
        """What the whole poll became."""
        builders = [builder for builder in self._builders.values() if len(builder)]
        return DecodedLabels(
            batches=tuple(builder.build(self._messages) for builder in builders),
            rows=tuple(builder.rows for builder in builders),
            rejected=self.rejected,
            tombstones=self.tombstones,
            unknown_models=self.unknown_models,
            unknown_fields=self.unknown_fields + sum(b.unknown_fields for b in builders),
        )

    def _transpose(self, rows: IntArray, events: Sequence[Any], model: _Model) -> LabelColumns:
        return transpose_labels(rows, events, len(model.unknown_fields.learned), self._times)

    def _doubtful_rows(self, _model: _Model, columns: LabelColumns) -> set[int]:
        rows, messages = columns.rows, self._messages
        doubtful = ~self._times.possible_many(columns.timestamp, messages.broker_timestamp[rows])
        doubtful |= doubts.mismatched_keys(columns.ids, rows, messages.keys)
        for column in columns.unknown_fields:
            doubtful |= doubts.unreadable(column)
        return set(rows[doubtful].tolist())

    def _add(self, model: _Model, columns: LabelColumns) -> None:
        self._builders[model.schema.model].add(columns)

    def _read(self, row: int, document: Mapping[str, Any], model: _Model) -> Struct:
        key, broker_timestamp = self._messages.keys[row], self._messages.broker_timestamp[row]
        checks.read_identity(document, key, int(broker_timestamp), self._times)
        checks.read_label(document, model.schema.task)
        checks.read_label_version(document)
        self._count_unknown(document, _KNOWN, model.unknown_fields)
        return model.event(*map(document.get, LABEL_FIELDS))
