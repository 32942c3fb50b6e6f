"""Self metrics: a projection of the run's status, read back by Prometheus's own parsers."""

from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import streamgauge
from streamgauge.io.metrics.catalogue import CATALOGUE
from streamgauge.io.metrics.exposition import Rendered
from streamgauge.io.metrics.metric import Scope
from streamgauge.io.metrics.payload import Payload
from streamgauge.io.metrics.self_metrics import SelfMetrics
from tests.support.sources import FakeStatus


def self_metrics(status: FakeStatus, rendered: Rendered | None = None) -> SelfMetrics:
    return SelfMetrics(
        lambda: status, lambda: rendered, config_read_at=1.76e9, reasons=("decode", "schema")
    )


def read(metrics: SelfMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families: list[Family] = [*parse_text(metrics.text().decode())]
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: SelfMetrics, name: str, **labels: str) -> float:
    return read(metrics)[f"streamgauge_{name}", frozenset(labels.items())]


def test_the_status_is_shown_as_it_is_at_the_scrape() -> None:
    status = FakeStatus()
    metrics = self_metrics(status)
    assert value(metrics, "messages_consumed_total") == 0
    status.consumed, status.unknown_models, status.unknown_fields = 12_345_678, 3, 5
    status.tombstones, status.paused, status.rebalances, status.checkpoints = 7, 2, 4, 9
    status.last_checkpoint, status.state_bytes = 1_764_000_000.5, 4_321
    status.spilled_bytes, status.spill_failures = 8_765, 2
    assert value(metrics, "messages_consumed_total") == 12_345_678
    assert value(metrics, "unknown_model_events_total") == 3
    assert value(metrics, "unknown_fields_total") == 5
    assert value(metrics, "tombstones_total") == 7
    assert value(metrics, "partitions_paused") == 2
    assert value(metrics, "rebalances_total") == 4
    assert value(metrics, "checkpoints_total") == 9
    assert value(metrics, "state_bytes") == 4_321
    assert value(metrics, "spilled_bytes") == 8_765
    assert value(metrics, "spill_failures_total") == 2
    assert value(metrics, "checkpoint_last_success_timestamp_seconds") == 1_764_000_000.5
    assert value(metrics, "config_last_reload_success_timestamp_seconds") == 1.76e9


def test_known_reasons_begin_at_zero_and_new_ones_appear() -> None:
    status = FakeStatus(rejected={"schema": 4, "key": 1})
    metrics = self_metrics(status)
    for name in ("events_invalid_total", "dead_letters_total"):
        assert value(metrics, name, reason="decode") == 0
        assert value(metrics, name, reason="schema") == 4
        assert value(metrics, name, reason="key") == 1


def test_lag_follows_the_assigned_partitions() -> None:
    status = FakeStatus(lag={("predictions", 0): 5, ("predictions", 1): 0})
    metrics = self_metrics(status)
    assert value(metrics, "consumer_lag_messages", topic="predictions", partition="0") == 5
    status.lag = {("predictions", 1): 6}
    lags = {key: v for (name, key), v in read(metrics).items() if "consumer_lag" in name}
    assert lags == {frozenset({("topic", "predictions"), ("partition", "1")}): 6}


def test_a_replica_that_stands_by_is_not_active() -> None:
    assert value(self_metrics(FakeStatus(phase="active")), "active") == 1
    assert value(self_metrics(FakeStatus(phase="standby")), "active") == 0


def test_the_size_of_the_exposition_and_what_it_lacks_are_shown() -> None:
    metrics = self_metrics(FakeStatus())
    assert value(metrics, "series_exported") == 0
    assert value(metrics, "series_dropped_total", reason="model_cap") == 0
    rendered = Rendered(Payload(b""), Payload(b""), 321, {"model_cap": 17})
    metrics = self_metrics(FakeStatus(), rendered)
    assert value(metrics, "series_exported") == 321
    assert value(metrics, "series_dropped_total", reason="model_cap") == 17
    assert value(metrics, "series_dropped_total", reason="process_cap") == 0


def test_checkpoint_durations_are_a_histogram() -> None:
    metrics = self_metrics(FakeStatus())
    for seconds in (0.004, 0.3, 0.3, 45.0):
        metrics.checkpoint_took(seconds)
    assert value(metrics, "checkpoint_duration_seconds_bucket", le="0.005") == 1
    assert value(metrics, "checkpoint_duration_seconds_bucket", le="0.5") == 3
    assert value(metrics, "checkpoint_duration_seconds_count") == 4
    assert value(metrics, "checkpoint_duration_seconds_sum") == 45.604


def test_the_build_is_named() -> None:
    found = read(self_metrics(FakeStatus()))
    (labels,) = [dict(key) for name, key in found if name == "streamgauge_build_info"]
    assert labels["version"] == streamgauge.__version__
    assert set(labels) == {"version", "python"}


def test_both_formats_hold_exactly_the_catalogue_and_the_process() -> None:
    metrics = self_metrics(FakeStatus(lag={("predictions", 0): 1}))
    wanted = {metric.name: metric for metric in CATALOGUE if metric.scope is Scope.SELF}
    text: list[Family] = [*parse_text(metrics.text().decode())]
    openmetrics: list[Family] = [
        *parse_openmetrics(metrics.openmetrics().decode())  # type: ignore[no-untyped-call]
    ]
    for families in (text, openmetrics):
        ours = [family for family in families if family.name.startswith("streamgauge_")]
        names = set()
        for family in ours:
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            metric = wanted[family.name + suffix]
            names.add(metric.name)
            assert family.documentation == metric.help
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(metric.labels)
        assert names == wanted.keys()
        others = {family.name for family in families} - {family.name for family in ours}
        assert all(name.startswith("process_") for name in others)
    assert metrics.openmetrics().endswith(b"# EOF\n")


def test_counts_that_are_not_known_yet_are_no_zeros() -> None:
    status = FakeStatus(counted=False)
    metrics = self_metrics(status)
    assert b"streamgauge_messages_consumed_total" not in metrics.text()
    assert b"streamgauge_dead_letters_total" not in metrics.text()
    status.counted, status.consumed = True, 5
    assert value(metrics, "messages_consumed_total") == 5
