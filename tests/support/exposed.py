"""Rendered metrics, read back by Prometheus's own parsers."""

from collections.abc import Iterable

from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamgauge.io.metrics.exposition import Rendered
from streamgauge.io.metrics.selection import RenderLimits

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]
NO_LIMITS = RenderLimits(
    per_model=10**9,
    total=10**9,
    measures=None,
    slice_measures=None,
    quantiles=None,
    slice_metrics=None,
)


def families(rendered: Rendered) -> list[Family]:
    """Return the families of the text format."""
    return [*parse_text(rendered.text.data.decode())]


def samples(rendered: Rendered) -> Samples:
    """Return the samples of the text format by name and labels; none may appear twice."""
    return unique(families(rendered))


def openmetrics_samples(rendered: Rendered) -> Samples:
    """Return the samples of the OpenMetrics format, closed as the server closes it."""
    text = rendered.openmetrics.data.decode() + "# EOF\n"
    return unique(parse_openmetrics(text))  # type: ignore[no-untyped-call]


def unique(read: Iterable[Family]) -> Samples:
    """Return samples by name and labels; none may appear twice."""
    found: Samples = {}
    for family in read:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found
