"""Plan: from a validated configuration to what the engine is built from."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from streamgauge.config import (
    Config,
    ModelConfig,
    config_error,
    format_duration,
    slice_specs,
    window_step,
)
from streamgauge.core.batch import ModelSchema
from streamgauge.core.detectors.attached import AttachedDetectors
from streamgauge.core.detectors.specs import Exclusion, LatencyLimit, TrafficLimit
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.outcomes.stream import LabelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.slices import SliceSpec
from streamgauge.core.windows import WindowSpec
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.reference_file import read_reference, reference_id
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.budget import alert_policy, spending

MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model whose reference stands in a file."""

    spec: ModelSpec
    reference: Reference
    reference_id: str


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """A model whose reference is learned from the stream for `learn_ms` of event time."""

    spec: ModelSpec
    config: ModelConfig
    learn_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run is built from."""

    config: Config
    known: tuple[KnownModel, ...]
    learned: tuple[LearnedModel, ...]
    join_folder: Path | None = None
    """Where predictions wait for their labels; in memory where it is None."""

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The specifications of all models."""
        return (*(m.spec for m in self.known), *(m.spec for m in self.learned))


def plan(config: Config, path: Path) -> Plan:
    """Read the references and put every model's specification together.

    `path` is the configuration's file, for messages. Raises ConfigError where a reference cannot
    be read or does not fit its model, or where a detector is attached to what is not there.
    """
    known: list[KnownModel] = []
    learned: list[LearnedModel] = []
    for name, model in config.models.items():
        spec = model_spec(config, name)
        if not isinstance(model.reference, Path):
            learned.append(LearnedModel(spec, model, model.reference.learn))
            continue
        place = ("models", name, "reference")
        try:
            reference = read_reference(model.reference).compact()
        except StreamgaugeError as error:
            raise config_error(path, place, str(error)) from error
        try:
            fit_schema(name, model, reference)
        except ValueError as error:
            raise config_error(path, place, str(error)) from error
        if spec.traffic is not None and reference.span is None:
            text = (
                "needs a reference with timestamps; profile data with a timestamp column, or remove"
                " traffic"
            )
            raise config_error(path, ("models", name, "traffic"), text)
        for index, attached in enumerate(spec.attached):
            try:
                AttachedDetectors((attached,), reference.layout, reference, name)
            except ValueError as error:
                where = ("models", name, "detectors", index, "series")
                raise config_error(path, where, str(error)) from error
        known.append(KnownModel(spec, reference, reference_id(reference)))
    return Plan(config, tuple(known), tuple(learned), join_folder(config))


def without_labels(plan: Plan) -> Plan:
    """Return the plan where there are no labels to read."""
    return replace(
        plan,
        known=tuple(replace(m, spec=replace(m.spec, labels=None)) for m in plan.known),
        learned=tuple(replace(m, spec=replace(m.spec, labels=None)) for m in plan.learned),
    )


def model_spec(config: Config, name: str) -> ModelSpec:
    """Return the core's specification of one model."""
    model = config.models[name]
    pane = config.pane_ms(name)
    windows = tuple(
        WindowSpec(format_duration(length), length, window_step(length, pane))
        for length in model.windows
    )
    return ModelSpec(
        app=config.app,
        model=name,
        slices=slice_specs(model),
        windows=windows,
        pane_ms=pane,
        grace_ms=config.time.grace,
        tolerance=model.tolerance,
        min_samples=model.min_samples,
        spending=spending(config, name),
        policy=alert_policy(config, name, 3 * max(window.length_ms for window in windows)),
        latency=latency_limit(model),
        traffic=None if model.traffic is None else TrafficLimit(model.traffic.tolerance),
        attached=tuple(detector.spec for detector in model.detectors),
        exclusions=tuple(Exclusion(entry.start, entry.end) for entry in config.alerts.exclusions),
        labels=label_spec(config, model),
        max_slices=model.limits.slices_per_dimension,
        max_versions=model.limits.versions,
        exported_slices=model.limits.exported_slices,
    )


def latency_limit(model: ModelConfig) -> LatencyLimit | None:
    """Return how many requests of a model may be slow, None where the file does not say."""
    if model.latency is None:
        return None
    return LatencyLimit(model.latency.limit / 1000, model.latency.share)


def event_time(config: Config) -> EventTime:
    """Return how events write their times, and which of them can be true."""
    events = config.events
    return EventTime(unit=events.timestamp_unit.value, max_future_ms=events.max_future)


def label_spec(config: Config, model: ModelConfig) -> LabelSpec | None:
    """Return how a model's labels are used, None where there is no topic of labels."""
    if not config.topics.labels:
        return None
    labels = model.labels
    return LabelSpec(
        max_delay_ms=labels.max_delay,
        max_bytes=labels.max_megabytes * MEGABYTE,
        max_waiting_bytes=labels.waiting_megabytes * MEGABYTE,
        threshold=model.threshold,
        coverage=labels.coverage,
        values=tuple((entry.label, entry.prediction, entry.value) for entry in model.values),
    )


def join_folder(config: Config) -> Path:
    """Return the folder in which predictions wait for their labels."""
    if config.join_store.folder is not None:
        return Path(config.join_store.folder).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "streamgauge" / config.app


def render_limits(config: Config) -> RenderLimits:
    """Return how many series may be exported, of each model and in all."""
    return RenderLimits(
        total=config.limits.series,
        models={name: model.limits.series for name, model in config.models.items()},
    )


def fit_schema(name: str, model: ModelConfig, reference: Reference) -> ModelSchema:
    """Return what the decoder must know: the reference's features, and tags that slices use.

    Raises ValueError where the reference is of another task, or a slice cannot be taken.
    """
    schema = reference.layout.schema
    if schema.task is not model.task:
        raise ValueError(
            f"was made for a {schema.task} model, but task is {model.task}; correct the task, or"
            f" profile again with --task {model.task}"
        )
    return ModelSchema(
        model=name,
        task=schema.task,
        numeric=schema.numeric,
        categorical=schema.categorical,
        boolean=schema.boolean,
        tags=slice_tags(slice_specs(model), schema),
        classes=schema.classes,
    )


def slice_tags(slices: tuple[SliceSpec, ...], schema: ModelSchema) -> tuple[str, ...]:
    """Return the tags that slices are taken by: dimensions that are no features.

    Raises ValueError where a dimension is cut in a way that its feature cannot be.
    """
    tags: dict[str, None] = {}
    for dimension in dict.fromkeys(d for spec in slices for d in spec.dimensions):
        name = dimension.name
        if dimension.bounds and name not in schema.numeric:
            raise ValueError(
                f"has no numeric feature {name!r}, which slices cuts; remove that slice's bounds"
            )
        if not dimension.bounds and name in schema.numeric:
            raise ValueError(
                f"has a numeric feature {name!r}, which slices names without bounds; cut it, such"
                f" as {{{name}: [10, 20]}}"
            )
        if name not in (*schema.numeric, *schema.categorical, *schema.boolean):
            tags[name] = None
    return tuple(tags)
