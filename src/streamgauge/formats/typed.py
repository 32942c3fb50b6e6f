"""Decodes JSON prediction events by a typed parser, and by the rules where that is not sure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from streamgauge.core.batch import IntArray, ModelSchema
from streamgauge.formats import checks, doubts
from streamgauge.formats.block_decoder import BlockDecoder
from streamgauge.formats.block_reader import BlockReader
from streamgauge.formats.columns import BatchBuilder, Columns, transpose
from streamgauge.formats.event_time import MILLISECONDS, EventTime
from streamgauge.formats.event_types import KNOWN_FIELDS, event_types, feature_names, is_typed
from streamgauge.formats.learned_names import LearnedNames
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.plain_predictions import Learned

BLOCK: Final = 1024
"""Messages decoded at a time: their structs stay in the processor's cache."""
_ENVELOPE: Final = frozenset({*KNOWN_FIELDS, "model"})
_FEATURES: Final = KNOWN_FIELDS.index("features")
_TAGS: Final = KNOWN_FIELDS.index("tags")


class TypedDecoder(BlockDecoder["_Model"]):
    """Decodes polls of prediction events in JSON, for several models on one topic.

    A message is parsed straight into a struct that was generated from its model's schema; what
    that parser refuses, or what a check over the columns doubts, is read again by the rules in
    `checks`. Those rules alone decide, so the result of a message depends on nothing but the
    message. Raises ValueError if two schemas are of one model or a schema names a feature twice.
    """

    def __init__(self, schemas: Sequence[ModelSchema], times: EventTime = MILLISECONDS) -> None:
        super().__init__([_Model(schema) for schema in schemas], times, block=BLOCK)

    def decode(self, messages: RawMessages) -> Decoded:
        """The events of one poll as one batch for each model, and what became of the rest."""
        poll = _Poll(messages, self._models, self._times)
        self._read_blocks(poll, len(messages))
        return poll.finish()

    def learned(self, model: str) -> Learned:
        """The names that a model's events keep bringing besides those of its schema."""
        return self._models[model].learned


class _Model:
    """A schema, the structs made from it, and what else its events keep bringing."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self.features = feature_names(schema)
        self.known_features = frozenset(self.features)
        if len(self.known_features) != len(self.features):
            raise ValueError(f"model {schema.model!r}: a feature is named twice")
        self.unknown_fields = LearnedNames()
        self.unknown_features = LearnedNames()
        self.loose_features = LearnedNames()
        self.other_tags = LearnedNames()
        self.types = event_types(schema)
        self.is_parsed = is_typed(schema)

    @property
    def event(self) -> type[Struct]:
        """The struct of its events."""
        return self.types.event

    @property
    def learned(self) -> Learned:
        """The names that have a place now, but for features of a wrong type."""
        return Learned(
            self.unknown_fields.learned, self.unknown_features.learned, self.other_tags.learned
        )

    def learn(self) -> bool:
        """Make room for what was seen often; whether the structs are new."""
        names = (
            self.unknown_fields,
            self.unknown_features,
            self.loose_features,
            self.other_tags,
        )
        learned = [each.learn() for each in names]
        if not any(learned):
            return False
        self.types = event_types(self.schema, *(each.learned for each in names))
        return True


class _Poll(BlockReader[_Model, Columns]):
    """One call of `decode`: where its events, refusals and counts gather."""

    def __init__(
        self, messages: RawMessages, models: Mapping[str, _Model], times: EventTime
    ) -> None:
        super().__init__(messages, models, times)
        self._builders = {name: BatchBuilder(model.schema) for name, model in models.items()}
        self._wrong_types: dict[int, list[int]] = {}

    def finish(self) -> Decoded:
        """What the whole poll became."""
        builders = [builder for builder in self._builders.values() if len(builder)]
        built = [builder.build(self._messages) for builder in builders]
        return Decoded(
            batches=tuple(batch for batch, _, _ in built),
            rows=tuple(rows for _, rows, _ in built),
            ids=tuple(ids for _, _, ids in built),
            rejected=self.rejected,
            tombstones=self.tombstones,
            unknown_models=self.unknown_models,
            unknown_fields=self.unknown_fields + sum(b.unknown_fields for b in builders),
        )

    def _settle(self, events: list[Struct | None], start: int) -> None:
        """Note the values that only a loose field has let in, and leave None in their place.

        A whole number is a number; one that no float can hold is left to the rules.
        """
        beyond: set[int] = set()
        for kind, model in self._by_type.items():
            for name, place, accepted in model.types.loose:
                for row, event in enumerate(events, start):
                    features = getattr(event, "features", None) if type(event) is kind else None
                    value = getattr(features, name, None)
                    if value is None or type(value) is accepted:
                        continue
                    if accepted is float and type(value) is int:
                        try:
                            setattr(features, name, float(value))
                        except OverflowError:
                            beyond.add(row)
                        continue
                    setattr(features, name, None)
                    self._wrong_types.setdefault(row, []).append(place)
        for row in beyond:
            self._wrong_types.pop(row, None)
        self._read_again(events, beyond, start)

    def _transpose(self, rows: IntArray, events: Sequence[Any], model: _Model) -> Columns:
        return transpose(rows, events, model.types, self._times)

    def _doubtful_rows(self, model: _Model, columns: Columns) -> set[int]:
        return doubts.doubtful_rows(model.schema, columns, self._messages, self._times)

    def _add(self, model: _Model, columns: Columns) -> None:
        self._builders[model.schema.model].add(columns, self._wrong_types)

    def _read(self, row: int, document: Mapping[str, Any], model: _Model) -> Struct:
        """The struct that the parser would have made, with None for features of a wrong type."""
        schema = model.schema
        envelope = checks.read_envelope(
            document,
            self._messages.keys[row],
            int(self._messages.broker_timestamp[row]),
            self._times,
        )
        features = checks.read_features(document, envelope.ok)
        values, wrong = checks.read_values(features or {}, schema)
        checks.read_prediction(document, schema.task, envelope.ok)
        checks.read_score(document, schema.task, schema.classes)
        fields = list(map(document.get, KNOWN_FIELDS))
        if features is not None:
            fields[_FEATURES] = model.types.features(*values)
            self._count_unknown(features, model.known_features, model.unknown_features)
        if envelope.tags:
            names = model.types.tag_names
            fields[_TAGS] = model.types.tags(*map(envelope.tags.get, names))
            for name in envelope.tags.keys() - names:
                model.other_tags.see(name)
        else:
            fields[_TAGS] = None
        self._count_unknown(document, _ENVELOPE, model.unknown_fields)
        for place in wrong:
            model.loose_features.see(model.features[place])
        if wrong:
            self._wrong_types[row] = wrong
        return model.types.event(*fields)
