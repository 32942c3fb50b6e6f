"""Exposition: read back by Prometheus's own parsers and compared with the snapshot."""

import gzip
import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamgauge.core.batch import Task
from streamgauge.core.bins import CategoricalBins, NumericBins, fold
from streamgauge.core.layout import LATENCY, SCORE, STATUS, Subject, SubjectKind
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import Counters, ModelSnapshot, Snapshot
from streamgauge.io.metrics.catalogue import CATALOGUE
from streamgauge.io.metrics.exposition import Renderer, render
from streamgauge.io.metrics.metric import MetricType, Scope
from streamgauge.io.metrics.payload import Payload
from streamgauge.io.metrics.selection import RenderLimits, share
from streamgauge.io.metrics.text import MAX_LABEL_LENGTH, label_value, label_values, numbers
from tests.support import outcome_engines
from tests.support.exposed import NO_LIMITS, Labels, families, openmetrics_samples, samples
from tests.support.snapshots import SnapshotShape, synthetic_snapshot


def labels(**more: str) -> Labels:
    return frozenset({"model": "model-0", "model_version": "3", **more}.items())


def only_model(snapshot: Snapshot) -> ModelSnapshot:
    (model,) = snapshot.models
    return model


def with_rows(snapshot: Snapshot, rows: tuple[RowKey, ...]) -> Snapshot:
    """Return the snapshot with other names for its rows."""
    model = only_model(snapshot)
    assert model.counters is not None
    windows = tuple(replace(window, rows=rows) for window in model.windows)
    assert model.detectors is not None
    model = replace(
        model,
        counters=replace(model.counters, rows=rows),
        windows=windows,
        detectors=replace(model.detectors, rows=rows),
    )
    return replace(snapshot, models=(model,))


def test_counters_equal_the_counts_of_the_snapshot() -> None:
    snapshot = synthetic_snapshot()
    model, found = only_model(snapshot), samples(render(snapshot, NO_LIMITS))
    assert model.counters is not None
    assert model.layout is not None
    for row, key in enumerate(model.counters.rows):
        if key.slice:
            continue
        counts = model.counters.counts[row]
        whole = {"model": "model-0", "model_version": key.version}
        ok, errors = counts[:2]
        assert found["streamgauge_predictions_total", frozenset(whole.items())] == ok + errors
        assert found["streamgauge_prediction_errors_total", frozenset(whole.items())] == errors
        for start, field in model.layout:
            if field.subject.kind is not SubjectKind.FEATURE:
                continue
            mine = frozenset({**whole, "feature": field.subject.name}.items())
            special = start + field.bins.value_bins
            assert found["streamgauge_feature_values_total", mine] == ok
            assert found["streamgauge_feature_missing_total", mine] == counts[special]
            assert found["streamgauge_feature_wrong_type_total", mine] == counts[special + 1]
            if isinstance(field.bins, NumericBins):
                not_finite = counts[special + 2 : special + 5].sum()
                outer = counts[start] + counts[special - 1]
                assert found["streamgauge_feature_not_finite_total", mine] == not_finite
                assert found["streamgauge_feature_out_of_range_total", mine] == outer
            else:
                unseen = counts[start + field.bins.unseen]
                assert found["streamgauge_feature_unseen_total", mine] == unseen


def test_predicted_classes_add_up_to_the_served_predictions() -> None:
    found = samples(render(synthetic_snapshot(), NO_LIMITS))
    values = {
        dict(key)["value"]: value
        for (name, key), value in found.items()
        if name == "streamgauge_prediction_values_total" and ("model_version", "3") in key
    }
    served = found["streamgauge_predictions_total", labels()]
    served -= found["streamgauge_prediction_errors_total", labels()]
    assert values.keys() == {"0", "1", "(other)", "(unseen)", "(missing)", "(wrong type)"}
    assert sum(values.values()) == served


@pytest.mark.parametrize(
    ("name", "subject", "more"),
    [
        ("streamgauge_latency_seconds", LATENCY, {}),
        ("streamgauge_score_value", SCORE, {}),
        (
            "streamgauge_feature_value",
            Subject(SubjectKind.FEATURE, "distance"),
            {"feature": "distance"},
        ),
    ],
)
def test_histograms_are_cumulative_over_the_groups_of_finite_values(
    name: str, subject: Subject, more: dict[str, str]
) -> None:
    snapshot = synthetic_snapshot()
    model, found = only_model(snapshot), samples(render(snapshot, NO_LIMITS))
    assert model.layout is not None
    assert model.counters is not None
    position = model.layout.position(subject)
    assert position is not None
    bins = model.layout.fields[position].bins
    assert isinstance(bins, NumericBins)
    cells = model.counters.counts[0, model.layout.cells(position)]
    bounds = [*(repr(bins.edges[start - 1]) for start in bins.groups[1:]), "+Inf"]
    buckets = [found[f"{name}_bucket", labels(**more, le=bound)] for bound in bounds]
    assert buckets == np.cumsum(fold(cells, bins)).tolist()
    assert buckets == sorted(buckets)
    assert found[f"{name}_count", labels(**more)] == buckets[-1]
    assert buckets[-1] == cells[: bins.value_bins].sum()
    total = model.counters.sums[0, model.layout.numeric.index(position)]
    assert found[f"{name}_sum", labels(**more)] == total


def test_window_figures_equal_those_of_the_snapshot() -> None:
    snapshot = synthetic_snapshot()
    model, found = only_model(snapshot), samples(render(snapshot, NO_LIMITS))
    assert len(model.windows) == 2
    for window in model.windows:
        mine = {"window": window.window}
        for row, key in enumerate(window.rows):
            base = {"model": "model-0", "model_version": key.version, **mine}
            prefix = "streamgauge_"
            if key.slice:
                prefix, base = "streamgauge_slice_", {**base, "slice": key.label()}
            value = found[f"{prefix}window_samples", frozenset(base.items())]
            assert value == window.samples[row]
            for stats in window.fields:
                named = dict(base)
                if stats.subject.kind is SubjectKind.FEATURE:
                    named["feature"] = stats.subject.name
                elif stats.subject.kind not in (SubjectKind.SCORE, SubjectKind.PREDICTION):
                    continue
                kind = f"{prefix}{stats.subject.kind}"
                for measure in ("psi", "js"):
                    at = frozenset({**named, "measure": measure}.items())
                    assert found[f"{kind}_distance", at] == stats.raw[measure][row]
                    assert found[f"{kind}_distance_corrected", at] == stats.corrected[measure][row]
                    p_value = found.get((f"{kind}_distance_p_value", at))
                    assert p_value == (None if key.slice else stats.p_value[measure][row])
                if stats.mean is not None and not key.slice:
                    assert found[f"{kind}_mean", frozenset(named.items())] == stats.mean[row]


def test_detectors_equal_those_of_the_snapshot() -> None:
    snapshot = synthetic_snapshot()
    model, found = only_model(snapshot), samples(render(snapshot, NO_LIMITS))
    stats = model.detectors
    assert stats is not None
    kinds = {subject.kind for subject in stats.subjects}
    assert kinds == {"service", "prediction", "score", "feature", "data_quality"}
    for row, key in enumerate(stats.rows):
        base = {"model": "model-0", "model_version": key.version}
        prefix = "streamgauge_"
        if key.slice:
            prefix, base = "streamgauge_slice_", {**base, "slice": key.label()}
        for i, subject in enumerate(stats.subjects):
            if key.slice and subject.kind is SubjectKind.DATA_QUALITY:
                continue
            more = {"subject_kind": str(subject.kind), "subject": subject.name}
            at = frozenset({**base, **more}.items())
            assert found[f"{prefix}detector_evidence", at] == stats.evidence[row, i]
            assert found[f"{prefix}detector_threshold", at] == stats.threshold[row, i]
            phi = found.get((f"{prefix}detector_overdispersion", at))
            assert phi == (None if key.slice else stats.dispersion[row, i])


def test_slices_have_no_evidence_of_rates_of_bad_values() -> None:
    found = samples(render(synthetic_snapshot(), NO_LIMITS))
    for suffix in ("evidence", "threshold"):
        kinds = {
            dict(at)["subject_kind"]
            for name, at in found
            if name == f"streamgauge_slice_detector_{suffix}"
        }
        assert kinds == {"service", "prediction", "score", "feature"}


def test_what_detectors_have_not_judged_or_learned_has_no_sample() -> None:
    snapshot = synthetic_snapshot()
    stats = only_model(snapshot).detectors
    assert stats is not None
    stats.threshold[0, 0] = 703.2
    stats.dispersion[0, 1] = np.inf
    unjudged, unlearned = (
        labels(subject_kind=str(s.kind), subject=s.name) for s in stats.subjects[:2]
    )
    rendered = render(snapshot, NO_LIMITS)
    found = samples(rendered)
    assert rendered.series == len(found)
    for suffix, missing in (
        ("evidence", unjudged),
        ("threshold", unjudged),
        ("overdispersion", unlearned),
    ):
        name = f"streamgauge_detector_{suffix}"
        both = {at for at in (unjudged, unlearned) if (name, at) in found}
        assert both == {unjudged, unlearned} - {missing}


def test_subjects_of_different_kinds_may_share_a_name_and_those_of_one_may_not() -> None:
    long = "x" * 200
    features = ("prediction", long, long[:-1] + "\0", long[:-1] + "\x01")
    shape = SnapshotShape(numeric=features, categorical=(), slices=(), windows=())
    found = samples(render(synthetic_snapshot(shape), NO_LIMITS))
    subjects = [
        (dict(at)["subject_kind"], dict(at)["subject"])
        for name, at in found
        if name == "streamgauge_detector_evidence" and ("model_version", "3") in at
    ]
    assert len(set(subjects)) == 4 + 2 * len(features)
    assert {("feature", "prediction"), ("prediction", "prediction")} < set(subjects)


def test_detectors_count_under_the_cap_and_go_with_their_fields() -> None:
    shape = SnapshotShape(versions=("3",), slices=(), windows=("5m",))
    snapshot = synthetic_snapshot(shape)
    for cap in range(60, 130, 10):
        found = samples(render(snapshot, replace(NO_LIMITS, per_model=cap)))
        assert len(found) <= cap
        of_features = {
            dict(at)["feature"] for name, at in found if name == "streamgauge_feature_distance"
        }
        judged = {
            dict(at)["subject"].removesuffix(".missing")
            for name, at in found
            if name == "streamgauge_detector_evidence" and ("subject_kind", "data_quality") in at
        }
        assert of_features == judged


def test_moments_and_quantiles_of_features_are_exported() -> None:
    snapshot = synthetic_snapshot()
    found = samples(render(snapshot, NO_LIMITS))
    window = only_model(snapshot).windows[0]
    (stats,) = [f for f in window.fields if f.subject.name == "distance"]
    assert stats.std is not None
    assert stats.minimum is not None
    assert stats.maximum is not None
    mine = {"feature": "distance", "window": "5m"}
    assert found["streamgauge_feature_std", labels(**mine)] == stats.std[0]
    assert found["streamgauge_feature_minimum", labels(**mine)] == stats.minimum[0]
    assert found["streamgauge_feature_maximum", labels(**mine)] == stats.maximum[0]
    for q, values in stats.quantiles.items():
        assert found["streamgauge_feature_quantile", labels(**mine, q=str(q))] == values[0]
    reference = frozenset({("model", "model-0"), ("feature", "distance")})
    assert found["streamgauge_feature_reference_mean", reference] == 7.5
    assert found["streamgauge_feature_reference_std", reference] == 2.5


def test_clock_reference_and_alerts_are_exported() -> None:
    snapshot = synthetic_snapshot()
    model, found = only_model(snapshot), samples(render(snapshot))
    (alert,) = model.alerts
    mine = frozenset({("model", "model-0")})
    assert model.watermark is not None
    assert model.last_event is not None
    assert found["streamgauge_watermark_timestamp_seconds", mine] == model.watermark / 1000
    assert found["streamgauge_last_event_timestamp_seconds", mine] == model.last_event / 1000
    assert found["streamgauge_late_events_total", mine] == model.late_events
    assert found["streamgauge_model_info", mine | {("reference", "2025-11-01/abc")}] == 1
    firing = {s: found["streamgauge_alerts_firing", mine | {("severity", s)}] for s in SEVERITIES}
    assert firing == {"critical": 1, "warning": 0, "info": 0}
    about = labels(
        slice="carrier=UA",
        subject_kind="feature",
        subject="distance",
        detector="bank",
        severity="critical",
    )
    assert alert.onset is not None
    assert found["streamgauge_alert_active", about] == 1
    assert found["streamgauge_alert_onset_timestamp_seconds", about] == alert.onset / 1000
    fired = {("subject_kind", "service"), ("detector", "bank"), ("severity", "warning")}
    assert found["streamgauge_alerts_fired_total", mine | fired] == 0


SEVERITIES = ("critical", "warning", "info")


def test_both_formats_carry_the_same_samples() -> None:
    rendered = render(synthetic_snapshot(), NO_LIMITS)
    assert openmetrics_samples(rendered) == samples(rendered)
    assert len(samples(rendered)) == rendered.series


def test_every_family_has_the_type_labels_and_help_of_the_catalogue() -> None:
    known = {metric.name: metric for metric in CATALOGUE if metric.scope is not Scope.SELF}
    task = Task.BINARY
    engine = outcome_engines.fed(
        outcome_engines.draw(task), task, known=outcome_engines.reference(task)
    )
    labelled = outcome_engines.snapshot(engine)
    snapshot = synthetic_snapshot()
    snapshot = replace(snapshot, models=(*snapshot.models, labelled))
    seen = set()
    for family in families(render(snapshot, NO_LIMITS)):
        metric = known[family.name + ("_total" if family.type == "counter" else "")]
        seen.add(metric.name)
        wanted = MetricType.GAUGE if metric.type is MetricType.INFO else metric.type
        assert family.type == wanted
        assert family.documentation == metric.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
    regression_only = {"streamgauge_prediction_value", "streamgauge_prediction_mean"}
    assert seen == known.keys() - regression_only


def test_a_regression_exports_its_predictions_as_numbers() -> None:
    snapshot = synthetic_snapshot(SnapshotShape(regression=True))
    found = samples(render(snapshot, NO_LIMITS))
    stats = next(
        f for f in only_model(snapshot).windows[0].fields if f.subject.kind == "prediction"
    )
    assert stats.mean is not None
    assert found["streamgauge_prediction_mean", labels(window="5m")] == stats.mean[0]
    assert ("streamgauge_prediction_value_count", labels()) in found
    assert not [name for name, _ in found if name == "streamgauge_prediction_values_total"]
    assert not [name for name, _ in found if name.startswith("streamgauge_score")]


def test_undefined_figures_have_no_sample() -> None:
    snapshot = synthetic_snapshot()
    model = only_model(snapshot)
    for stats in model.windows[0].fields:
        for values in (*stats.raw.values(), *([stats.mean] if stats.mean is not None else [])):
            values[0] = np.nan
    rendered = render(snapshot, NO_LIMITS)
    found = samples(rendered)
    assert not any(math.isnan(value) for value in found.values())
    assert ("streamgauge_feature_mean", labels(feature="distance", window="5m")) not in found
    assert ("streamgauge_feature_mean", labels(feature="distance", window="1h")) in found
    distance = labels(feature="distance", window="5m", measure="psi")
    assert ("streamgauge_feature_distance", distance) not in found
    assert rendered.series == len(found)


def test_infinite_sums_are_spelt_as_prometheus_does() -> None:
    snapshot = synthetic_snapshot()
    counters = only_model(snapshot).counters
    assert counters is not None
    counters.sums[0, 0] = np.inf
    stats = only_model(snapshot).windows[0].fields[-2]
    assert stats.mean is not None
    stats.mean[0] = -np.inf
    rendered = render(snapshot, NO_LIMITS)
    assert openmetrics_samples(rendered)["streamgauge_latency_seconds_sum", labels()] == math.inf
    assert -math.inf in samples(rendered).values()


def test_a_histogram_whose_sum_can_fall_has_neither_sum_nor_count() -> None:
    snapshot = synthetic_snapshot(SnapshotShape(first_edge=-5))
    found = openmetrics_samples(render(snapshot, NO_LIMITS))
    mine = {"feature": "distance"}
    assert ("streamgauge_feature_value_bucket", labels(**mine, le="+Inf")) in found
    assert ("streamgauge_feature_value_bucket", labels(**mine, le="-4.0")) in found
    assert not {name for name, _ in found} & {
        "streamgauge_feature_value_sum",
        "streamgauge_feature_value_count",
    }


def test_a_sum_below_zero_is_left_out() -> None:
    snapshot = synthetic_snapshot()
    counters = only_model(snapshot).counters
    assert counters is not None
    counters.sums[0, -1] = -1.0
    found = openmetrics_samples(render(snapshot, NO_LIMITS))
    feature = {"feature": "sched_hour"}
    version_4 = frozenset({("model", "model-0"), ("model_version", "4"), *feature.items()})
    for suffix in ("sum", "count"):
        assert (f"streamgauge_feature_value_{suffix}", labels(**feature)) not in found
        assert (f"streamgauge_feature_value_{suffix}", version_4) in found
    assert ("streamgauge_feature_value_bucket", labels(**feature, le="+Inf")) in found


def test_a_version_without_events_in_a_window_has_zero_samples_and_no_figures() -> None:
    snapshot = synthetic_snapshot()
    model = only_model(snapshot)
    window = model.windows[0]
    keep = np.array([i for i, key in enumerate(window.rows) if key.version == "4"])
    rows = tuple(window.rows[i] for i in keep)
    window = replace(window, rows=rows, samples=window.samples[keep], fields=())
    snapshot = replace(snapshot, models=(replace(model, windows=(window,)),))
    found = samples(render(snapshot, NO_LIMITS))
    assert found["streamgauge_window_samples", labels(window="5m")] == 0
    version_4 = frozenset({("model", "model-0"), ("model_version", "4"), ("window", "5m")})
    assert found["streamgauge_window_samples", version_4] == window.samples[0]


def test_a_model_without_events_is_announced_with_zeros() -> None:
    empty = replace(
        only_model(synthetic_snapshot()),
        layout=None,
        reference_id=None,
        watermark=None,
        last_event=None,
        late_events=0,
        counters=None,
        windows=(),
        detectors=None,
        alerts=(),
        alerts_fired={},
    )
    rendered = render(Snapshot(0.0, (empty,)))
    found = samples(rendered)
    mine = frozenset({("model", "model-0")})
    assert found["streamgauge_late_events_total", mine] == 0
    assert found["streamgauge_alerts_firing", mine | {("severity", "critical")}] == 0
    assert rendered.series == len(found) == 5


def test_a_model_keeps_its_cap_and_says_what_is_left_out() -> None:
    snapshot = synthetic_snapshot()
    everything = render(snapshot, NO_LIMITS).series
    for cap in (0, 3, 50, 200, 400, everything - 1):
        rendered = render(snapshot, replace(NO_LIMITS, per_model=cap))
        assert len(samples(rendered)) == rendered.series <= cap
        left_out = everything - rendered.series
        assert rendered.dropped == {"slice_cap": 0, "model_cap": left_out, "process_cap": 0}


def test_counts_of_every_version_come_before_window_figures_and_histograms() -> None:
    snapshot = synthetic_snapshot()
    rendered = render(snapshot, replace(NO_LIMITS, per_model=100))
    names = {name for name, _ in samples(rendered)}
    for version in ("3", "4"):
        key = frozenset({("model", "model-0"), ("model_version", version)})
        assert ("streamgauge_predictions_total", key) in samples(rendered)
    assert not [name for name in names if name.endswith("_bucket") or "slice" in name]


def test_the_busiest_slices_and_those_allowed_are_kept() -> None:
    shape = SnapshotShape(versions=("3",), slices=tuple((("s", f"v{i}"),) for i in range(30)))
    snapshot = synthetic_snapshot(shape)
    model = only_model(snapshot)
    # An alert puts its slice first, which would hide what traffic does.
    model = replace(model, alerts=())
    snapshot = replace(snapshot, models=(model,))
    assert model.counters is not None
    assert model.layout is not None
    traffic = model.counters.counts[:, model.layout.cells(0)].sum(axis=1)
    by_traffic = [model.counters.rows[i].label() for i in np.argsort(-traffic)]
    by_traffic = [label for label in by_traffic if label]
    rarest = by_traffic[-1]
    limits = RenderLimits(per_model=500, allow={"model-0": frozenset({rarest})})
    found = samples(render(snapshot, limits))
    kept = {
        dict(key)["slice"] for name, key in found if name == "streamgauge_slice_predictions_total"
    }
    assert 3 < len(kept) < 30
    assert kept == {rarest, *by_traffic[: len(kept) - 1]}


def test_a_slice_with_an_alert_is_kept_whatever_its_traffic() -> None:
    shape = SnapshotShape(slices=tuple((("carrier", f"v{i}"),) for i in range(30)))
    for firing in ("v3", "v17", "v29"):
        snapshot = synthetic_snapshot(shape)
        model = only_model(snapshot)
        alert = replace(model.alerts[0], slice=(("carrier", firing),))
        snapshot = replace(snapshot, models=(replace(model, alerts=(alert,)),))
        found = samples(render(snapshot, RenderLimits(per_model=500)))
        mine = labels(slice=f"carrier={firing}")
        assert ("streamgauge_slice_predictions_total", mine) in found


def test_slices_that_the_snapshot_lacks_are_counted_as_series() -> None:
    snapshot = synthetic_snapshot()
    model = only_model(snapshot)
    assert model.counters is not None
    rows = [key for key in model.counters.rows if key.slice]
    snapshot = replace(snapshot, models=(replace(model, dropped_rows=11),))
    a_slice = sum("_slice_" in name for name, _ in samples(render(snapshot, NO_LIMITS))) / len(rows)
    assert a_slice > 0
    assert render(snapshot, NO_LIMITS).dropped["slice_cap"] == 11 * a_slice


def test_what_is_left_out_adds_up_from_one_rendering_to_the_next() -> None:
    snapshot = synthetic_snapshot()
    renderer = Renderer(RenderLimits(per_model=300))
    once = renderer.render(snapshot).dropped["model_cap"]
    assert once > 0
    assert [renderer.render(snapshot).dropped["model_cap"] for _ in range(2)] == [
        2 * once,
        3 * once,
    ]


def test_one_model_can_have_a_cap_of_its_own() -> None:
    snapshot = synthetic_snapshot(SnapshotShape(models=2))
    found = samples(render(snapshot, replace(NO_LIMITS, models={"model-1": 100})))
    count = sum(("model", "model-1") in key for _, key in found)
    assert 80 < count <= 100
    assert sum(("model", "model-0") in key for _, key in found) > 500


def test_the_process_cap_is_shared_out_fairly() -> None:
    small = SnapshotShape(slices=(), versions=("3",), windows=())
    large = SnapshotShape(models=3)
    tiny = replace(only_model(synthetic_snapshot(small)), model="tiny")
    snapshot = synthetic_snapshot(large)
    snapshot = replace(snapshot, models=(*snapshot.models, tiny))
    wanted = render(Snapshot(0.0, (tiny,)), NO_LIMITS).series
    limits = replace(NO_LIMITS, per_model=500, total=900)
    rendered = render(snapshot, limits)
    found = samples(rendered)
    by_model = {
        name: sum(("model", name) in key for _, key in found)
        for name in ("tiny", "model-0", "model-1", "model-2")
    }
    assert by_model["tiny"] == wanted
    assert rendered.series <= 900
    others = [count for name, count in by_model.items() if name != "tiny"]
    assert max(others) - min(others) < 50
    everything = render(snapshot, NO_LIMITS).series
    assert sum(rendered.dropped.values()) == everything - rendered.series
    assert rendered.dropped["process_cap"] > 0


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 200))
def test_shares_use_what_there_is_and_favour_nobody(wanted: list[int], total: int) -> None:
    shares = share(wanted, total)
    assert sum(shares) == min(total, sum(wanted))
    assert all(got <= want for got, want in zip(shares, wanted, strict=True))
    unmet = [got for got, want in zip(shares, wanted, strict=True) if got < want]
    if unmet:
        assert max(shares) - min(unmet) <= 1


def test_only_the_chosen_distances_and_quantiles_are_exported() -> None:
    limits = replace(
        NO_LIMITS,
        measures=frozenset({"js"}),
        slice_measures=frozenset({"psi"}),
        quantiles=frozenset({0.5}),
    )
    found = samples(render(synthetic_snapshot(), limits))
    of_versions = {dict(key).get("measure") for n, key in found if n.startswith("streamgauge_f")}
    of_slices = {dict(key).get("measure") for n, key in found if n.startswith("streamgauge_s")}
    assert {q for _, key in found if (q := dict(key).get("q"))} == {"0.5"}
    assert of_versions == {None, "js"}
    assert of_slices == {None, "js", "psi"}


HOSTILE = (
    'quo"te',
    "back\\slash",
    "new\nline",
    "carriage\rreturn",
    "nul\0",
    "\x1b[31mred\x1b[0m",
    "lone \ud800 surrogate",
    "lone \udfff surrogate",
    "{}=,",
    "",
    "naïve 🛫",
    "x" * 5_000,
    "x" * 5_000 + "y",
    "../../x",
)


def test_hostile_label_values_neither_break_a_scrape_nor_collide() -> None:
    slices: list[tuple[tuple[str, str], ...]] = [(("tag", text),) for text in HOSTILE]
    # One dimension and two that look the same once they are text.
    slices += [(("tag", "a,b=c"),), (("tag", "a"), ("b", "c"))]
    shape = SnapshotShape(
        versions=HOSTILE,
        slices=tuple(slices),
        numeric=[f"{text}n" for text in HOSTILE],
        categorical=(),
        windows=(),
        bins=2,
    )
    snapshot = synthetic_snapshot(shape)
    snapshot = replace(snapshot, models=(replace(only_model(snapshot), model=HOSTILE[6]),))
    rendered = render(snapshot, NO_LIMITS)
    found = samples(rendered)
    assert openmetrics_samples(rendered) == found
    assert len(found) == rendered.series
    versions = {dict(key)["model_version"] for name, key in found if name.endswith("errors_total")}
    assert len(versions) == len(HOSTILE)
    rows = {key for name, key in found if name == "streamgauge_slice_predictions_total"}
    assert len(rows) == len(HOSTILE) * len(slices)
    assert b"\r" not in rendered.text.data
    assert b"\0" not in rendered.text.data


def test_printable_label_values_come_back_as_they_were() -> None:
    shape = SnapshotShape(slices=((("tag", 'a "b" \\ c\nd é'),),))
    found = samples(render(synthetic_snapshot(shape), NO_LIMITS))
    slices = {dict(key)["slice"] for name, key in found if "slice_predictions" in name}
    assert slices == {'tag=a "b" \\ c\nd é'}


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_becomes_a_label_value_of_bounded_length(text: str) -> None:
    value = label_value(text)
    value.encode()
    line = f'x{{a="{value}"}} 1\n'
    (family,) = parse_text(line)
    assert len(family.samples[0].labels["a"]) <= MAX_LABEL_LENGTH
    assert not set(value) & set("\r\n\0")


@given(st.lists(st.text(st.characters(codec=None), max_size=200), unique=True, max_size=20))
@settings(max_examples=200)
def test_different_texts_become_different_label_values(texts: list[str]) -> None:
    values = label_values(texts)
    assert len(set(values)) == len(texts)


@given(st.lists(st.floats(), max_size=30))
def test_numbers_read_back_as_the_same_floats(values: list[float]) -> None:
    texts = numbers(np.array(values, np.float64))
    for text, value in zip(texts, values, strict=True):
        assert (text is None) == math.isnan(value)
        assert text is None or float(text) == value


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
def test_numbers_keep_every_digit_of_integers(values: list[int]) -> None:
    assert numbers(np.array(values, np.int64)) == [str(value) for value in values]


def test_a_renderer_that_remembers_labels_gives_what_a_fresh_one_gives() -> None:
    shape = SnapshotShape(slices=tuple((("s", f"v{i}"),) for i in range(12)))
    remembering = Renderer(RenderLimits(per_model=600))
    first = synthetic_snapshot(shape, seed=1)
    more = synthetic_snapshot(replace(shape, versions=("3", "4", "5")), seed=2)
    renamed = with_rows(first, tuple(RowKey("9" + k.version, k.slice) for k in rows_of(first)))
    for snapshot in (first, synthetic_snapshot(shape, seed=3), more, renamed, first):
        remembered = remembering.render(snapshot)
        fresh = render(snapshot, RenderLimits(per_model=600))
        assert remembered.text.data == fresh.text.data
        assert remembered.openmetrics.data == fresh.openmetrics.data


def rows_of(snapshot: Snapshot) -> tuple[RowKey, ...]:
    counters = only_model(snapshot).counters
    assert isinstance(counters, Counters)
    return counters.rows


@given(st.binary(max_size=2_000), st.binary(max_size=200))
def test_a_payload_and_its_tail_are_one_gzip_member(data: bytes, tail: bytes) -> None:
    payload = Payload(data)
    assert payload.followed_by(tail) == data + tail
    for end in (tail, b"", b"again" + tail):
        packed = payload.gzip_followed_by(end)
        assert gzip.decompress(packed) == data + end
        single = zlib.decompressobj(wbits=31)
        assert single.decompress(packed) == data + end
        assert single.eof
        assert not single.unused_data


def test_layout_of_the_synthetic_snapshot_covers_both_kinds_of_bins() -> None:
    layout = only_model(synthetic_snapshot()).layout
    assert layout is not None
    assert layout.position(STATUS) == 0
    kinds = {type(field.bins) for field in layout.fields}
    assert kinds == {NumericBins, CategoricalBins}
