"""The whole configuration: the file's top level, and what must fit across its sections.

Durations are text in the file and integer milliseconds in these models.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from streamgauge.config.alerts import AlertsConfig, SilenceConfig
from streamgauge.config.durations import MOST_STEPS, Duration, format_duration, window_step
from streamgauge.config.kafka import KafkaConfig
from streamgauge.config.model import Learn, ModelConfig, ModelId, slice_specs
from streamgauge.config.parts import (
    App,
    EventsConfig,
    HttpConfig,
    JoinStoreConfig,
    LogConfig,
    ProcessLimits,
    Start,
    TimeConfig,
    TopicsConfig,
)
from streamgauge.config.places import Place
from streamgauge.config.schema import SchemaGenerator, readable
from streamgauge.config.section import Section, default, refusal, refusals
from streamgauge.core.alerts.policy import Severity

_FEWEST_STEPS: Final = 8
"""A long window in fewer steps than this would stand still for most of its length."""


def _checkpoint(milliseconds: int) -> int:
    if not 100 <= milliseconds <= 300_000:
        raise refusal("must be between 100ms and 5m; write a duration such as 5s")
    return milliseconds


class Config(Section):
    """The configuration of Streamgauge, one YAML file."""

    app: App = "streamgauge"
    """Names the consumer group, the transactional ids and the internal topics."""
    kafka: KafkaConfig
    """The Kafka cluster."""
    topics: TopicsConfig = default({})
    """The topics that are read and written."""
    start: Start = Start.EARLIEST
    """Where a new group begins: earliest judges all that the topics still hold, latest only what
    comes from now on. A group that has run before goes on where it stopped."""
    events: EventsConfig = default({})
    """How events are read."""
    time: TimeConfig = default({})
    """Event time."""
    models: Annotated[Mapping[ModelId, ModelConfig], Field(min_length=1, max_length=1_000)] = Field(
        examples=[{"flight-delay": {"task": "binary", "reference": "flight-delay.reference.json"}}]
    )
    """The models to watch, by the id that events carry; events of others are counted together."""
    alerts: AlertsConfig = default({})
    """Alerts."""
    http: HttpConfig = default({})
    """The HTTP server."""
    checkpoint_interval: Annotated[Duration, AfterValidator(_checkpoint)] = default("5s")
    """How often results and offsets are committed, in one transaction."""
    limits: ProcessLimits = default({})
    """Caps of the whole process."""
    join_store: JoinStoreConfig = default({})
    """Where predictions wait for their labels."""
    log: LogConfig = default({})
    """Logging."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = (topic_problems, pane_problems, series_problems, alert_problems)
        if error := refusals(found for check in problems for found in check(self)):
            raise error
        return self

    @property
    def group_id(self) -> str:
        """The consumer group, and the prefix of transactional ids and internal topics."""
        return f"streamgauge.{self.app}"

    @property
    def workers_group_id(self) -> str:
        """The consumer group of processes that count for another one."""
        return f"{self.group_id}.workers"

    @property
    def state_topic(self) -> str:
        """The topic of the state."""
        return self.topics.state or f"{self.group_id}.state"

    @property
    def partials_topic(self) -> str:
        """The topic between split roles."""
        return self.topics.partials or f"{self.group_id}.partials"

    def pane_ms(self, model: str) -> int:
        """Return the pane of a model in milliseconds."""
        return self.models[model].pane or self.time.pane

    def severity(self, model: str) -> Severity:
        """Return the severity of a model's alerts."""
        return self.models[model].severity or self.alerts.severity

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of the file, for editors and for the docs."""
        schema = cls.model_json_schema(schema_generator=SchemaGenerator)
        return readable(schema | {"title": "Streamgauge configuration"})


def topic_problems(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield each topic that has two uses: a stream that feeds itself would never end."""
    topics = config.topics
    used: dict[str, str] = {}
    for name in ("predictions", "labels"):
        for index, topic in enumerate(getattr(topics, name)):
            place = f"topics.{name}[{index}]"
            if used.setdefault(topic, place) != place:
                yield ("topics", name, index), f"is the same as {used[topic]}; name each topic once"
    outputs = {
        "alerts": topics.alerts,
        "dead_letters": topics.dead_letters,
        "state": config.state_topic,
        "partials": config.partials_topic,
    }
    for name, topic in outputs.items():
        place = f"topics.{name}"
        if used.setdefault(topic, place) != place:
            yield ("topics", name), f"is the same as {used[topic]}; name a topic of its own"


def pane_problems(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield each window or learning period that the model's panes do not fit into."""
    for name, model in config.models.items():
        pane = config.pane_ms(name)
        for index, window in enumerate(model.windows):
            if text := _window_problem(window, pane):
                yield ("models", name, "windows", index), text
        if isinstance(model.reference, Learn) and model.reference.learn < pane:
            yield (
                ("models", name, "reference", "learn"),
                f"is shorter than one pane of {format_duration(pane)}; learn for hours or days",
            )


def series_problems(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield each model that may export more series than the whole process."""
    for name, model in config.models.items():
        if model.limits.series > config.limits.series:
            yield (
                ("models", name, "limits", "series"),
                f"is above limits.series ({config.limits.series}) of the process; lower it or"
                " raise that",
            )


def alert_problems(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield each silence that can cover nothing, and each model that contradicts the budgets."""
    for index, silence in enumerate(config.alerts.silences):
        place = ("alerts", "silences", index)
        if silence.model is not None and silence.model not in config.models:
            yield (*place, "model"), "is none of models; correct it, or remove it to cover all"
        elif silence.slice and not _has_slices(config, silence):
            yield (
                (*place, "slice"),
                "names dimensions that no model here is sliced by together; write those of one of"
                " its slices",
            )
    for name, model in config.models.items():
        if config.alerts.budgets and model.severity is not None:
            yield (
                ("models", name, "severity"),
                "has no effect where alerts.budgets grades by evidence; remove one of them",
            )


def _has_slices(config: Config, silence: SilenceConfig) -> bool:
    """Say whether a model that the silence covers has slices with all of its dimensions."""
    models = config.models.values() if silence.model is None else [config.models[silence.model]]
    return any(
        silence.slice.keys() <= {dimension.name for dimension in spec.dimensions}
        for model in models
        for spec in slice_specs(model)
    )


def _window_problem(window: int, pane: int) -> str | None:
    if window < pane:
        return f"is shorter than one pane of {format_duration(pane)}; write {format_duration(pane)}"
    if window % pane:
        longer = format_duration(window - window % pane + pane)
        return (
            f"is no multiple of the pane of {format_duration(pane)}; write for example {longer},"
            " or change the pane"
        )
    if _stands_still(window, pane):
        shorter = window - pane
        while _stands_still(shorter, pane):
            shorter -= pane
        return (
            f"can only move by {format_duration(window_step(window, pane))} at a time, because its"
            f" number of panes has no divisor up to {MOST_STEPS}; write for example"
            f" {format_duration(shorter)}"
        )
    return None


def _stands_still(window: int, pane: int) -> bool:
    return window // window_step(window, pane) < min(_FEWEST_STEPS, window // pane)
