"""What the catalogue says of a metric."""

from dataclasses import dataclass
from enum import StrEnum


class MetricType(StrEnum):
    """Prometheus types; an info is a gauge of 1 whose labels carry the news."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Scope(StrEnum):
    """What a metric is about: a model, slices of a model's traffic, or Streamgauge itself."""

    MODEL = "model"
    SLICE = "slice"
    SELF = "self"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` is the one to query, so it ends in `_total` for a counter.

    `unit` is the unit of the values in words of the field (`seconds`, `ratio`, `events`), "" where
    it is that of the watched quantity itself.
    """

    name: str
    type: MetricType
    unit: str
    help: str
    labels: tuple[str, ...]
    scope: Scope

    @property
    def family(self) -> str:
        """Return the name under which OpenMetrics declares the metric: without the suffix."""
        return self.name.removesuffix("_total").removesuffix("_info")

    @property
    def unit_suffix(self) -> str:
        """Return the unit where the family's name ends in it, as OpenMetrics wants it, or ""."""
        return self.unit if self.unit and self.family.endswith(f"_{self.unit}") else ""
