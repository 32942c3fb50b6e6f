"""Reads events of models whose features are not known yet, and infers their schemas."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from streamgauge.core.batch import FeatureKind, ModelSchema, Task
from streamgauge.formats import checks
from streamgauge.formats.arrow_batches import sampled_rows
from streamgauge.formats.event_time import MILLISECONDS, EventTime
from streamgauge.formats.messages import RawMessages, Rejected

MOST_FEATURES: Final = 1_000
"""Features of a learned schema at most: a sender must not be able to make it grow for ever."""


@dataclass(frozen=True, slots=True)
class UntypedEvent:
    """One event as it was sent: its envelope checked, the types of its features not.

    `index` is its place in `RawMessages`, `timestamp` is in milliseconds since the epoch,
    `latency` in seconds or None. `features` is empty where an error event has none; their values
    are what JSON gave.
    """

    index: int
    prediction_id: str
    timestamp: int
    version: str
    ok: bool
    features: Mapping[str, Any]
    prediction: str | float | None
    score: float | Mapping[str, float] | None
    tags: Mapping[str, str]
    latency: float | None


@dataclass(frozen=True, slots=True)
class DecodedUntyped:
    """What messages became; every message in JSON is in exactly one of the four places.

    The indices of `events` are places in `messages`: those that were decoded, or the events of an
    Arrow batch as messages in JSON. Those of `rejected` are places in what was decoded.
    """

    messages: RawMessages
    events: Mapping[str, Sequence[UntypedEvent]]
    """By model, each in the order of the messages; models without events are absent."""
    rejected: tuple[Rejected, ...]
    tombstones: int
    unknown_models: int

    @property
    def accepted(self) -> int:
        """How many messages became events."""
        return sum(map(len, self.events.values()))


class UntypedDecoder:
    """Decodes polls of prediction events without schemas, by the same rules as `NativeDecoder`.

    It is for learning a reference from the stream: several times slower, a value each event.
    """

    def __init__(self, models: Mapping[str, Task], times: EventTime = MILLISECONDS) -> None:
        self._tasks = dict(models)
        self._times = times

    def decode(self, messages: RawMessages) -> DecodedUntyped:
        """The events by model, and what became of the rest: of many messages or an Arrow batch."""
        if messages.arrow is not None:
            return self._decode_batch(messages)
        events: dict[str, list[UntypedEvent]] = {}
        rejected: list[Rejected] = []
        tombstones = unknown_models = 0
        for row, (value, key, broker_timestamp) in enumerate(
            zip(messages.values, messages.keys, messages.broker_timestamp.tolist(), strict=True)
        ):
            if value is None:
                tombstones += 1
                continue
            try:
                document = checks.parse_document(value)
                model = checks.read_model(document)
                task = self._tasks.get(model)
                if task is None:
                    unknown_models += 1
                    continue
                event = self._read(row, document, key, broker_timestamp, task)
            except checks.RejectedError as error:
                rejected.append(Rejected(row, error.reason, error.field, error.detail))
            else:
                events.setdefault(model, []).append(event)
        return DecodedUntyped(
            messages=messages,
            events=events,
            rejected=tuple(rejected),
            tombstones=tombstones,
            unknown_models=unknown_models,
        )

    def _decode_batch(self, message: RawMessages) -> DecodedUntyped:
        """Decode the rows of the models as if each had come in JSON; others are not read."""
        assert len(message) == 1, "Arrow batches are decoded one by one: where models are learned"
        found = sampled_rows(
            message.values[0] or b"",
            [ModelSchema(name, task) for name, task in self._tasks.items()],
            self._times,
            broker_timestamp=int(message.broker_timestamp[0]),
        )
        n = len(found.events)
        decoded = self.decode(
            RawMessages(
                [event.value for event in found.events],
                [event.key for event in found.events],
                np.repeat(message.partition, n),
                np.repeat(message.offset, n),
                np.repeat(message.broker_timestamp, n),
            )
        )
        refused = (replace(x, index=0, row=int(found.rows[x.index])) for x in decoded.rejected)
        return replace(decoded, rejected=(*found.rejected, *refused))

    def _read(
        self,
        row: int,
        document: Mapping[str, Any],
        key: bytes | None,
        broker_timestamp: int,
        task: Task,
    ) -> UntypedEvent:
        envelope = checks.read_envelope(document, key, broker_timestamp, self._times)
        features = checks.read_features(document, envelope.ok) or {}
        prediction = checks.read_prediction(document, task, envelope.ok)
        score = checks.read_score(document, task, ())
        for name, value in features.items():
            if isinstance(value, str):
                # Without the name, which is the sender's text until a schema knows it.
                checks.check_text(value, "features")
            checks.check_text(name, "features")
        tags = {name: checks.tag_text(value) for name, value in envelope.tags.items()}
        return UntypedEvent(
            index=row,
            prediction_id=envelope.prediction_id,
            timestamp=envelope.timestamp,
            version=envelope.version,
            ok=envelope.ok,
            features=features,
            prediction=prediction,
            score=score,
            tags={name: text for name, text in tags.items() if text is not None},
            latency=envelope.latency,
        )


def infer_schema(
    events: Iterable[UntypedEvent],
    model: str,
    task: Task,
    *,
    overrides: Mapping[str, FeatureKind] | None = None,
    tags: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> ModelSchema:
    """The schema that most of a model's events fit.

    Numbers make a numeric feature, strings a categorical and booleans a boolean one; where types
    are mixed the most frequent wins, and of equally frequent ones the first in that order. A
    feature that never had such a value is left out. `overrides` settle the kind of the features
    they name. The features of each kind are in alphabetical order, so that the schema does not
    depend on the order of the events. Of more than 1,000 features the most frequent are taken.
    """
    sightings: dict[str, Counter[FeatureKind]] = {}
    for event in events:
        for name, value in event.features.items():
            kind = _kind(value)
            if kind is not None:
                sightings.setdefault(name, Counter())[kind] += 1
    frequent = sorted(sightings, key=lambda name: (-sightings[name].total(), name))
    kinds = {
        name: max(FeatureKind, key=lambda kind: sightings[name][kind])
        for name in frequent[:MOST_FEATURES]
    }
    kinds.update(overrides or {})
    by_kind = {
        kind: tuple(sorted(name for name, own in kinds.items() if own is kind))
        for kind in FeatureKind
    }
    return ModelSchema(
        model=model,
        task=task,
        numeric=by_kind[FeatureKind.NUMERIC],
        categorical=by_kind[FeatureKind.CATEGORICAL],
        boolean=by_kind[FeatureKind.BOOLEAN],
        tags=tuple(tags),
        classes=tuple(classes),
    )


def _kind(value: object) -> FeatureKind | None:
    """The kind of feature that a JSON value is of; None for null, arrays and objects."""
    match value:
        case bool():
            return FeatureKind.BOOLEAN
        case int() | float():
            return FeatureKind.NUMERIC
        case str():
            return FeatureKind.CATEGORICAL
        case _:
            return None
