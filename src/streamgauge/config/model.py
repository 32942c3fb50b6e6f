"""The section of one monitored model."""

from bisect import bisect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from streamgauge.config.alerts import Weight
from streamgauge.config.attached import DetectorConfig
from streamgauge.config.durations import Duration, Pane, format_duration
from streamgauge.config.places import Place
from streamgauge.config.section import (
    FilePath,
    Name,
    Number,
    Section,
    Text,
    WholeNumber,
    default,
    refusal,
    refusals,
)
from streamgauge.config.slices import SliceEntry, core_specs, slice_problems
from streamgauge.config.zones import TimeZone
from streamgauge.core.alerts.policy import Severity
from streamgauge.core.batch import FeatureKind, Task
from streamgauge.core.layout import LATENCY_EDGES, SCORE
from streamgauge.core.slices import VERSION_DIMENSION, SliceSpec
from streamgauge.core.zone import UTC_ZONE

MOST_WINDOWS: Final = 8
LONGEST_WINDOW: Final = 366 * 86_400_000


class Learn(Section):
    """A reference that is learned from the first events instead of read from a file."""

    learn: Duration = Field(examples=["24h"])
    """How long to learn, in event time, before anything is compared."""
    timezone: TimeZone = Field(UTC_ZONE.name, examples=["Europe/Berlin"])
    """Whose hours of the week traffic follows, clock changes included."""


class LabelsConfig(Section):
    """How late labels may come, and how much may wait for them. Where the label topics do not
    exist, nothing waits."""

    max_delay: Duration = default("48h")
    """A label that comes later after its prediction than this is counted as late, not joined."""
    coverage: Annotated[Number, Field(gt=0.0, le=0.9999)] | None = Field(None, examples=[0.95])
    """The share of predictions that should have a label by then. Fewer raise an alert, within the
    budget; without it coverage is published, but not watched."""
    max_megabytes: Annotated[WholeNumber, Field(ge=1, le=1_000_000)] = 4_096
    """How much disk the predictions may take that wait for their labels; the oldest make room.
    For a while files are up to two and a half times that, with what labels replaced."""
    waiting_megabytes: Annotated[WholeNumber, Field(ge=1, le=1_000_000)] = 256
    """How much disk the labels may take that come before their predictions, or without any."""


class ValueConfig(Section):
    """What one kind of outcome is worth."""

    label: Text = Field(examples=["1"])
    """The true class."""
    prediction: Text = Field(examples=["0"])
    """The predicted class."""
    value: Annotated[Number, Field(ge=-1e12, le=1e12)] = Field(examples=[-100.0])
    """What such an event is worth; costs are negative."""


def _latency_bound(milliseconds: int) -> int:
    bounds = [round(1000 * edge) for edge in LATENCY_EDGES]
    if milliseconds in bounds:
        return milliseconds
    at = bisect(bounds, milliseconds)
    near = " or ".join(format_duration(bound) for bound in bounds[max(at - 1, 0) : at + 1])
    raise refusal(f"is none of the bounds that latencies are counted between; write {near}")


class LatencyConfig(Section):
    """How many requests may be slow, whatever the reference holds."""

    limit: Annotated[Duration, AfterValidator(_latency_bound)] = Field(examples=["500ms"])
    """Requests that take longer are slow; one of the bounds that latencies are counted between."""
    share: Annotated[Number, Field(gt=0.0, le=0.99)] = Field(examples=[0.01])
    """The share of requests that may be slow."""


class TrafficConfig(Section):
    """How far traffic may leave the reference's. It needs a reference that holds all requests, such
    as a learned one or a log of production, not a sample; hours of the week that the reference does
    not cover are not judged, so it should cover a week or more."""

    tolerance: Annotated[Number, Field(ge=0.0, le=0.95)] = Field(examples=[0.5])
    """How far the number of events in an hour may leave that of the reference's hour of the week,
    as a share."""


class ModelLimits(Section):
    """Caps that keep memory and exported series bounded whatever the events hold."""

    slices_per_dimension: Annotated[WholeNumber, Field(ge=1, le=1_000_000)] = 1_000
    """Slices counted for one entry of `slices` within one version; the rest share one."""
    versions: Annotated[WholeNumber, Field(ge=1, le=1_000)] = 32
    """Model versions counted apart; further ones share one."""
    exported_slices: Annotated[WholeNumber, Field(ge=0, le=100_000)] = 50
    """Slices whose statistics are exported as metrics: those with the most traffic."""
    series: Annotated[WholeNumber, Field(ge=1, le=1_000_000)] = 2_000
    """Metric series exported for this model."""


def _reference_kind(value: Any) -> str:
    return "(learn)" if isinstance(value, dict | Learn) else "(file)"


def _model_id(value: str) -> str:
    # Browsers resolve these two in an address even when they are percent-encoded.
    if value in {".", ".."}:
        raise refusal("cannot stand in an address; give the model another id")
    return value


ModelId = Annotated[Name, AfterValidator(_model_id)]
"""The id of a model, as the events carry it."""
Reference = Annotated[
    Annotated[FilePath, Tag("(file)")] | Annotated[Learn, Tag("(learn)")],
    Discriminator(_reference_kind),
]
"""A reference file, or how to learn one."""


class ModelConfig(Section):
    """One model: what it predicts, what it is compared with, and how it is watched."""

    task: Task = Field(examples=["binary"])
    """What the model predicts."""
    reference: Reference = Field(examples=["flight-delay.reference.json", {"learn": "24h"}])
    """What production is compared with: a file made by `streamgauge profile`, or {learn: 24h}."""
    slices: Annotated[tuple[SliceEntry, ...], Field(max_length=64)] = ()
    """Groups of events with statistics of their own: a categorical feature or tag, a numeric
    feature with bounds, or a list of these to cross them."""
    windows: Annotated[tuple[Duration, ...], Field(min_length=1, max_length=MOST_WINDOWS)] = (
        default(["5m", "1h", "1d"])
    )
    """Time spans that distances and performance are published over, from short to long."""
    pane: Pane | None = None
    """The smallest time step of this model, where it differs from `time.pane`."""
    labels: LabelsConfig = default({})
    """The labels of this model."""
    threshold: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None
    """The score from which on a prediction counts as positive in performance, for binary models;
    without it, or without a score, the event's own prediction does."""
    values: Annotated[tuple[ValueConfig, ...], Field(max_length=10_000)] = default(
        [], examples=[[{"label": "1", "prediction": "0", "value": -100.0}]]
    )
    """What outcomes of a classifier are worth, in any unit; others are worth nothing. With it the
    metric `value`, the mean worth of an event, is published."""
    min_samples: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)] = 30
    """Events that a slice gathers before its detectors look: slices with little traffic wait for
    several panes."""
    tolerance: Annotated[Number, Field(ge=0.0, le=0.5)] = 0.01
    """The share of probability mass that may move before it is called drift."""
    severity: Severity | None = None
    """The severity of this model's alerts, where it differs from `alerts.severity`."""
    weight: Weight = 1.0
    """The model's share of the alert budget, in proportion to the weights of the others."""
    latency: LatencyConfig | None = None
    """How many requests may be slow, whatever the reference holds."""
    traffic: TrafficConfig | None = None
    """How far traffic may leave the reference's; without it traffic is not watched. 5 % of the
    model's part of the alert budget goes to it."""
    detectors: Annotated[tuple[DetectorConfig, ...], Field(max_length=64)] = ()
    """Detectors of the River library to attach, outside the alert budget."""
    features: Mapping[Name, FeatureKind] = default({}, examples=[{"zip_code": "categorical"}])
    """Kinds of features, where learning a reference would guess wrong: a number that is a code."""
    limits: ModelLimits = default({})
    """Caps of this model."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if error := refusals(self._problems()):
            raise error
        return self

    def _problems(self) -> Iterator[tuple[Place, str]]:
        for place, text in slice_problems(self.slices):
            yield ("slices", *place), text
        yield from self._bounds_problems()
        yield from self._detector_problems()
        for index, window in enumerate(self.windows):
            if window > LONGEST_WINDOW:
                yield ("windows", index), "is longer than 366d; write a shorter window"
            if index and window == self.windows[index - 1]:
                yield ("windows", index), "stands twice; keep one of them"
            elif index and window < self.windows[index - 1]:
                before = format_duration(self.windows[index - 1])
                yield ("windows", index), f"is shorter than {before}; write short windows first"
        if self.features and isinstance(self.reference, Path):
            yield (
                ("features",),
                "the reference file says the kinds already; remove features, or use"
                " reference: {learn: 24h}",
            )

    def _detector_problems(self) -> Iterator[tuple[Place, str]]:
        seen: dict[tuple[str, str], int] = {}
        for index, entry in enumerate(self.detectors):
            first = seen.setdefault((entry.detector, entry.series), index)
            if first != index:
                text = f"follows the same series as detectors[{first}]; keep one of them"
                yield ("detectors", index), text
            if entry.series == SCORE.name and self.task is Task.REGRESSION:
                text = "is not there in a regression model; write another series"
                yield ("detectors", index, "series"), text

    def _bounds_problems(self) -> Iterator[tuple[Place, str]]:
        for index, spec in enumerate(self.slices):
            for dimension in spec.dimensions:
                kind = self.features.get(dimension.name)
                if dimension.bounds and dimension.name == VERSION_DIMENSION:
                    yield ("slices", index), f"{VERSION_DIMENSION} is text; remove the bounds"
                elif dimension.bounds and kind not in {None, FeatureKind.NUMERIC}:
                    yield (
                        ("slices", index),
                        f"features calls {dimension.name!r} {kind}; remove the bounds there",
                    )
                elif not dimension.bounds and kind is FeatureKind.NUMERIC:
                    yield (
                        ("slices", index),
                        f"features calls {dimension.name!r} numeric; cut it at bounds, such as"
                        " {" + dimension.name + ": [500, 1500]}",
                    )


def slice_specs(model: ModelConfig) -> tuple[SliceSpec, ...]:
    """Return the slices of a model to count, each once, without the version they all imply."""
    return core_specs(model.slices)
