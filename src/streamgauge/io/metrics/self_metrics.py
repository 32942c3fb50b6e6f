"""Self metrics: what Streamgauge tells of its own work, projected from its state when scraped."""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector

import streamgauge
from streamgauge.io.metrics import catalogue
from streamgauge.io.metrics.exposition import DROP_REASONS, Rendered
from streamgauge.io.metrics.metric import Metric, MetricType

ACTIVE_PHASE: Final = "active"
_CHECKPOINT_SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class ProcessStatus(Protocol):
    """What must be known of a run; counts only grow, times are seconds since the epoch.

    `counted` says whether counts of messages are known: a replica that does not work, or has not
    caught up with the one before it, has none, and a 0 would look like a new beginning.
    `rejected` counts dead letters by reason, `lag` is messages not yet read by (topic, partition)
    of what is assigned now, `paused` the number of partitions held back.
    """

    @property
    def phase(self) -> str: ...
    @property
    def counted(self) -> bool: ...
    @property
    def consumed(self) -> int: ...
    @property
    def rejected(self) -> Mapping[str, int]: ...
    @property
    def unknown_models(self) -> int: ...
    @property
    def unknown_fields(self) -> int: ...
    @property
    def tombstones(self) -> int: ...
    @property
    def lag(self) -> Mapping[tuple[str, int], int]: ...
    @property
    def paused(self) -> int: ...
    @property
    def rebalances(self) -> int: ...
    @property
    def checkpoints(self) -> int: ...
    @property
    def last_checkpoint(self) -> float | None: ...
    @property
    def state_bytes(self) -> int: ...
    @property
    def spilled_bytes(self) -> int: ...
    @property
    def spill_failures(self) -> int: ...


class SelfMetrics:
    """The metrics of one process, in no registry but their own.

    `status` and `rendered` give the latest of each; they are called in the thread that serves a
    scrape. `reasons` are those for which an event can be refused: their series begin at 0.
    """

    def __init__(
        self,
        status: Callable[[], ProcessStatus],
        rendered: Callable[[], Rendered | None],
        *,
        config_read_at: float,
        reasons: Iterable[str] = (),
    ) -> None:
        self._status = status
        self._rendered = rendered
        self._config_read_at = config_read_at
        self._reasons = tuple(reasons)
        self._process = ProcessCollector(registry=None)
        self._checkpoint_seconds = Histogram(
            catalogue.CHECKPOINT_DURATION.name,
            catalogue.CHECKPOINT_DURATION.help,
            buckets=_CHECKPOINT_SECONDS,
            registry=None,
        )

    def checkpoint_took(self, seconds: float) -> None:
        """Note how long a committed checkpoint took; may be called from any thread."""
        self._checkpoint_seconds.observe(seconds)

    def text(self) -> bytes:
        """Render the metrics in the text format 0.0.4."""
        return generate_latest(self)

    def openmetrics(self) -> bytes:
        """Render the metrics in OpenMetrics 1.0, `# EOF` included."""
        rendered: bytes = generate_openmetrics(self)  # type: ignore[no-untyped-call]
        return rendered

    def collect(self) -> Iterator[Family]:
        """Yield the families, as a collector of the library does."""
        status, rendered = self._status(), self._rendered()
        build = {"version": streamgauge.__version__, "python": platform.python_version()}
        info = InfoMetricFamily(catalogue.BUILD_INFO.family, catalogue.BUILD_INFO.help)
        info.add_metric((), build)
        yield info
        yield _family(catalogue.CONFIG_RELOADED, {(): self._config_read_at})
        yield _family(catalogue.ACTIVE, {(): float(status.phase == ACTIVE_PHASE)})
        if status.counted:
            yield from self._counts(status)
        yield _family(catalogue.PARTITIONS_PAUSED, {(): status.paused})
        lag: _Values = {(topic, str(partition)): n for (topic, partition), n in status.lag.items()}
        yield _family(catalogue.CONSUMER_LAG, lag)
        yield _family(catalogue.REBALANCES, {(): status.rebalances})
        yield _family(catalogue.CHECKPOINTS, {(): status.checkpoints})
        yield from map(_without_created, self._checkpoint_seconds.collect())
        yield _family(catalogue.CHECKPOINT_LAST_SUCCESS, {(): status.last_checkpoint or 0})
        yield _family(catalogue.STATE_BYTES, {(): status.state_bytes})
        yield _family(catalogue.SPILLED_BYTES, {(): status.spilled_bytes})
        yield _family(catalogue.SPILL_FAILURES, {(): status.spill_failures})
        yield _family(catalogue.SERIES_EXPORTED, {(): rendered.series if rendered else 0})
        dropped = _by_reason(DROP_REASONS, rendered.dropped if rendered else {})
        yield _family(catalogue.SERIES_DROPPED, dropped)
        yield from self._process.collect()

    def _counts(self, status: ProcessStatus) -> Iterator[Family]:
        yield _family(catalogue.MESSAGES_CONSUMED, {(): status.consumed})
        rejected = _by_reason(self._reasons, status.rejected)
        yield _family(catalogue.EVENTS_INVALID, rejected)
        yield _family(catalogue.DEAD_LETTERS, rejected)
        yield _family(catalogue.UNKNOWN_MODEL_EVENTS, {(): status.unknown_models})
        yield _family(catalogue.UNKNOWN_FIELDS, {(): status.unknown_fields})
        yield _family(catalogue.TOMBSTONES, {(): status.tombstones})


_Values = Mapping[tuple[str, ...], float]


def _by_reason(known: Iterable[str], counts: Mapping[str, int]) -> _Values:
    """Return the counts by reason, 0 for known reasons without one."""
    return {(reason,): counts.get(reason, 0) for reason in dict.fromkeys([*known, *counts])}


def _family(metric: Metric, values: _Values) -> Family:
    """Return a family with a sample for each tuple of label values."""
    kind = CounterMetricFamily if metric.type is MetricType.COUNTER else GaugeMetricFamily
    family = kind(metric.family, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _without_created(family: Family) -> Family:
    """Take away the samples that the library adds to tell when a histogram was made."""
    family.samples = [s for s in family.samples if not s.name.endswith("_created")]
    return family
