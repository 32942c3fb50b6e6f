"""Catalogue: names that follow the rules of Prometheus, and the page written from them."""

import re
from pathlib import Path

from streamgauge.io.metrics.catalogue import CATALOGUE
from streamgauge.io.metrics.docs import metrics_page
from streamgauge.io.metrics.metric import Metric, MetricType, Scope

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_names_are_unique_and_prefixed() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"streamgauge_[a-z0-9_]*[a-z0-9]", name) for name in names)


def test_families_do_not_clash_with_the_samples_of_histograms() -> None:
    families = {metric.family for metric in CATALOGUE}
    assert len(families) == len(CATALOGUE)
    for metric in CATALOGUE:
        if metric.type is MetricType.HISTOGRAM:
            samples = {f"{metric.name}_{suffix}" for suffix in ("bucket", "sum", "count")}
            assert not samples & families


def test_counters_alone_end_in_total() -> None:
    for metric in CATALOGUE:
        assert metric.name.endswith("_total") == (metric.type is MetricType.COUNTER)
        assert metric.name.endswith("_info") == (metric.type is MetricType.INFO)


def test_labels_avoid_reserved_and_overloaded_names() -> None:
    avoided = {"quantile", "le", "type", "stage", "env", "service", "region", "customer", "job"}
    for metric in CATALOGUE:
        assert not avoided & set(metric.labels)
        assert len(set(metric.labels)) == len(metric.labels)


def test_times_and_sizes_are_in_base_units() -> None:
    foreign = re.compile("milli|micro|nano|minutes|hours|percent|kilo|mega|_ms$")
    for metric in CATALOGUE:
        assert not foreign.search(metric.name)
        assert (metric.unit == "seconds") == metric.name.endswith("_seconds")


def test_slices_have_families_of_their_own() -> None:
    def is_about_slices(metric: Metric) -> bool:
        return metric.scope is Scope.SLICE

    for metric in CATALOGUE:
        assert metric.name.startswith("streamgauge_slice_") == is_about_slices(metric)
        if is_about_slices(metric):
            assert metric.labels[:3] == ("model", "model_version", "slice")


def test_help_is_a_plain_sentence() -> None:
    for metric in CATALOGUE:
        assert metric.help.endswith(".")
        assert not set('\\\n"|') & set(metric.help)
        assert metric.help[0].isupper() or metric.help[0].isdigit()


def test_the_committed_page_is_the_one_written_from_the_catalogue() -> None:
    assert PAGE.read_text() == metrics_page()
