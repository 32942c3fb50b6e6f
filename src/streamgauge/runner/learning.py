"""Learning: a model's features, bins and reference from its own first events.

First messages are kept until there are enough to fit bins; then all events, those too, are counted
until the learning time is over. So that predictions show from the first one on, bins are fitted
early too and again each time that the sample has doubled; nothing is compared yet.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Final

import numpy as np

from streamgauge.config import Config, Learn
from streamgauge.config.zones import zone
from streamgauge.core.batch import Categories, EventBatch, FeatureKind, FloatArray, ModelSchema
from streamgauge.core.bins import Bins
from streamgauge.core.detectors.attached import AttachedDetectors
from streamgauge.core.fitting import fit_categorical, fit_groups, fit_numeric
from streamgauge.core.kept_layout import layout_data, layout_of
from streamgauge.core.layout import FeatureSpec, Layout, build_layout, score_bins
from streamgauge.core.profiling import CategorySummary
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.state import (
    Kept,
    Part,
    below,
    needed,
    placed,
    reading,
    restore_below,
    value_part,
    within,
)
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.learning import UntypedDecoder, UntypedEvent, infer_schema
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.runner.kept_sample import sample_of, sample_parts
from streamgauge.runner.plan import LearnedModel, event_time, slice_tags

SAMPLE_EVENTS: Final = 20_000
"""Events that bins are fitted to, if the sampling time does not end first."""
SAMPLE_SHARE: Final = 0.25
"""Share of the learning time after which bins are fitted to fewer events."""


class Stage(StrEnum):
    """How far learning has come."""

    SAMPLING = "sampling"
    COUNTING = "counting"


@dataclass(slots=True)
class Learner:
    """Learns one model's reference."""

    model: LearnedModel
    config: Config
    stage: Stage = Stage.SAMPLING
    first: int | None = None
    newest: int | None = None
    schema: ModelSchema | None = None
    layout: Layout | None = None
    _fitted: int = 0
    """Events that the present bins were fitted to."""
    _events: list[UntypedEvent] = field(default_factory=list)
    _kept: list[RawMessages] = field(default_factory=list)
    _builder: ReferenceBuilder | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.spec.model

    def sample(self, messages: RawMessages, events: list[UntypedEvent]) -> None:
        """Keep the messages of a poll that are events of this model."""
        for event in events:
            self._see(event.timestamp, event.timestamp)
        self._events += events
        chosen = np.array([event.index for event in events], np.int64)
        self._kept.append(messages.take(chosen).compact())

    def due(self) -> bool:
        """Tell whether bins should be fitted to the sample now."""
        return len(self._events) >= max(1, 2 * self._fitted) or self._complete()

    def _complete(self) -> bool:
        return len(self._events) >= SAMPLE_EVENTS or self._past(SAMPLE_SHARE)

    def fit(self) -> list[tuple[EventBatch, Sequence[str]]]:
        """Fit schema and layout to the sample; return all its events as batches, with their ids.

        Once the sample is complete, counting begins. Raises StreamgaugeError where a slice cannot
        be taken by what the events hold, or a detector is attached to what they do not.
        """
        inferred = infer_schema(
            self._events,
            self.name,
            self.model.config.task,
            overrides=self.model.config.features,
        )
        try:
            tags = slice_tags(self.model.spec.slices, inferred)
        except ValueError as error:
            raise StreamgaugeError(f"models.{self.name}: what was learned {error}") from error
        self.schema = replace(inferred, tags=tags)
        decoder = NativeDecoder((self.schema,), event_time(self.config))
        batches: list[tuple[EventBatch, Sequence[str]]] = []
        for messages in self._kept:
            decoded = decoder.decode(messages)
            assert not decoded.rejected, "both decoders go by the same rules"
            batches += zip(decoded.batches, decoded.ids, strict=True)
        self.layout = fit_layout(self.schema, [batch for batch, _ in batches])
        self._fitted = len(self._events)
        if self._complete():
            self._check_attached()
            self._builder = self._new_builder(self.layout)
            self._events, self._kept = [], []
            self.stage = Stage.COUNTING
        return batches

    def _new_builder(self, layout: Layout) -> ReferenceBuilder:
        learn = self.model.config.reference
        assert isinstance(learn, Learn)
        return ReferenceBuilder(layout, self.model.spec.slices, zone=zone(learn.timezone))

    def parts(self) -> Iterator[Part]:
        """Yield how far learning has come, and the sample or what was counted so far."""
        yield value_part(
            "place",
            {
                "stage": self.stage.value,
                "first": self.first,
                "newest": self.newest,
                "fitted": self._fitted,
            },
        )
        if self.layout is not None:
            yield Part("layout", self._fitted, partial(layout_data, self.layout))
        yield from below("sample", sample_parts(self._kept))
        if self._builder is not None:
            yield from below("counts", self._builder.parts())

    def restore(self, kept: Kept) -> None:
        """Take back the parts. Raises StateError where they do not fit."""
        place = needed(kept, "place")
        with reading("place"):
            self.stage = Stage(place["stage"])
            self.first, self.newest = place["first"], place["newest"]
            self._fitted = place["fitted"]
        if self._fitted:
            data = needed(kept, "layout")
            with reading("layout"):
                self.layout = layout_of(data)
            self.schema = self.layout.schema
        with placed("sample"):
            self._kept = sample_of(within("sample", kept))
        decoder = UntypedDecoder({self.name: self.model.config.task}, event_time(self.config))
        for messages in self._kept:
            self._events += decoder.decode(messages).events.get(self.name, ())
        if self.stage is Stage.COUNTING:
            assert self.layout is not None
            self._builder = self._new_builder(self.layout)
            restore_below("counts", self._builder, kept)

    def _check_attached(self) -> None:
        assert self.layout is not None
        for index, attached in enumerate(self.model.spec.attached):
            try:
                AttachedDetectors((attached,), self.layout, None, self.name)
            except ValueError as error:
                place = f"models.{self.name}.detectors[{index}].series"
                raise StreamgaugeError(f"{place}: {error}") from error

    def count(self, batch: EventBatch) -> None:
        """Count a batch into the reference."""
        assert self._builder is not None
        self._builder.add(batch)
        self._see(int(batch.timestamp.min()), int(batch.timestamp.max()))

    def learned(self) -> Reference | None:
        """Return the reference once the learning time is over."""
        if self.stage is not Stage.COUNTING or not self._past(1.0):
            return None
        assert self._builder is not None
        return self._builder.finish(meta={"learned_from": "the stream"})

    def _see(self, first: int, newest: int) -> None:
        self.first = first if self.first is None else min(self.first, first)
        self.newest = newest if self.newest is None else max(self.newest, newest)

    def _past(self, share: float) -> bool:
        if self.first is None or self.newest is None:
            return False
        return self.newest - self.first >= share * self.model.learn_ms


def fit_layout(schema: ModelSchema, batches: list[EventBatch]) -> Layout:
    """Fit bins to batches, the same way as a profile of a file does."""
    specs = [
        FeatureSpec(name, FeatureKind.NUMERIC, _numeric([b.numeric[i] for b in batches]))
        for i, name in enumerate(schema.numeric)
    ]
    for kind, names, offset in (
        (FeatureKind.CATEGORICAL, schema.categorical, 0),
        (FeatureKind.BOOLEAN, schema.boolean, len(schema.categorical)),
    ):
        specs += [
            FeatureSpec(name, kind, _categorical([b.categorical[offset + i] for b in batches]))
            for i, name in enumerate(names)
        ]
    predictions = [b.prediction for b in batches]
    texts = [p for p in predictions if isinstance(p, Categories)]
    numbers = [p for p in predictions if not isinstance(p, Categories)]
    outcome = _categorical(texts) if texts else _numeric(numbers)
    fine = score_bins()
    scores = np.concatenate([b.score for b in batches] or [np.empty(0)])
    held = np.bincount(fine.assign(scores[np.isfinite(scores)]), minlength=fine.value_bins)
    score = score_bins(fit_groups(held)) if held.any() else None
    return build_layout(schema, tuple(specs), prediction=outcome, label=outcome, score=score)


def _numeric(columns: list[FloatArray]) -> Bins:
    values = np.concatenate(columns or [np.empty(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return fit_numeric(values, minimum=0.0, maximum=0.0, mean=0.0, std=0.0)
    return fit_numeric(
        values,
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        std=float(values.std()),
    )


def _categorical(columns: list[Categories]) -> Bins:
    summary = CategorySummary(counts=Counter())
    for column in columns:
        summary.add(column)
    return fit_categorical(summary.counts, complete=summary.complete)
