"""Metrics of labelled models: engines fed with labels against scikit-learn and plain recounts."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from streamgauge.core.batch import Task
from streamgauge.core.joining.keys import keys
from streamgauge.core.outcomes.figures import METRICS
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import DetectorStats, ModelSnapshot, OutcomeStats, Snapshot
from streamgauge.io.metrics.exposition import Renderer, render
from streamgauge.io.metrics.selection import SLICE_METRICS, RenderLimits
from tests.support import labelled_batches as drawn
from tests.support import outcome_engines as engines
from tests.support.exposed import NO_LIMITS, Labels, Samples, openmetrics_samples, samples

COLOUR = "colour=red"
PREFIX = "streamgauge_"


class Run(NamedTuple):
    """Drawn events, what an engine says of them, and its metrics."""

    frame: pd.DataFrame
    model: ModelSnapshot
    stats: OutcomeStats
    found: Samples

    def events(self, window: str) -> pd.DataFrame:
        """The events whose label came in a window."""
        (stats,) = [w for w in self.stats.realised if w.window == window]
        return engines.joined(self.frame, stats.start, stats.end)

    def row(self, slice_: str = "") -> int:
        """The place of a slice in the statistics."""
        return [key.label() for key in self.stats.rows].index(slice_)


@cache
def run(task: Task) -> Run:
    frame = engines.draw(task)
    model = engines.snapshot(engines.fed(frame, task, known=engines.reference(task)))
    return seen(frame, model)


def seen(frame: pd.DataFrame, model: ModelSnapshot) -> Run:
    assert model.outcomes is not None
    return Run(frame, model, model.outcomes, samples(render(alone(model), NO_LIMITS)))


def alone(model: ModelSnapshot) -> Snapshot:
    return Snapshot(0.0, (model,))


def labels(**more: str) -> Labels:
    return frozenset({"model": "m", "model_version": "", **more}.items())


def of_slice(frame: pd.DataFrame, slice_: str) -> pd.DataFrame:
    return frame[frame["colour"] == slice_.split("=")[1]] if slice_ else frame


def binary_figures(events: pd.DataFrame) -> dict[str, float]:
    truth, predicted = events["label"], events["prediction"]
    scored = events[events["score"].notna()]
    came, score = (scored["label"] == "1").to_numpy(), scored["score"].to_numpy()
    return {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "precision": metrics.precision_score(truth, predicted, pos_label="1"),
        "recall": metrics.recall_score(truth, predicted, pos_label="1"),
        "f1": metrics.f1_score(truth, predicted, pos_label="1"),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "mcc": metrics.matthews_corrcoef(truth, predicted),
        "positive_rate": float((truth == "1").mean()),
        "auc": metrics.roc_auc_score(came, score),
        "average_precision": metrics.average_precision_score(came, score),
        "log_loss": metrics.log_loss(came, score),
        "brier": metrics.brier_score_loss(came, score),
    }


def multiclass_figures(events: pd.DataFrame) -> dict[str, float]:
    # The unknown class stands among the others as one of its own.
    truth, predicted = events["label"], events["prediction"]
    return {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        "macro_recall": metrics.recall_score(truth, predicted, average="macro"),
        "weighted_precision": metrics.precision_score(truth, predicted, average="weighted"),
    }


def regression_figures(events: pd.DataFrame) -> dict[str, float]:
    truth = events["label"].to_numpy(np.float64)
    predicted = events["prediction"].to_numpy(np.float64)
    return {
        "mean_error": float((predicted - truth).mean()),
        "mae": metrics.mean_absolute_error(truth, predicted),
        "mse": metrics.mean_squared_error(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "r2": metrics.r2_score(truth, predicted),
        "mape": metrics.mean_absolute_percentage_error(truth, predicted),
    }


ORACLES: dict[Task, Callable[[pd.DataFrame], dict[str, float]]] = {
    Task.BINARY: binary_figures,
    Task.MULTICLASS: multiclass_figures,
    Task.REGRESSION: regression_figures,
}


@pytest.mark.parametrize("slice_", ["", COLOUR])
@pytest.mark.parametrize("window", ["4d", "16d"])
@pytest.mark.parametrize("task", Task)
def test_performance_in_the_metrics_is_that_of_scikit_learn(
    task: Task, window: str, slice_: str
) -> None:
    mine = run(task)
    events = of_slice(mine.events(window), slice_)
    assert 20 < len(events) < len(mine.frame)
    prefix, more = (f"{PREFIX}slice_", {"slice": slice_}) if slice_ else (PREFIX, {})
    here = labels(window=window, **more)
    assert mine.found[f"{prefix}performance_samples", here] == len(events)
    for name, value in ORACLES[task](events).items():
        at = labels(window=window, metric=name, **more)
        figure = mine.found[f"{prefix}performance", at]
        assert figure == pytest.approx(value, rel=1e-9, abs=1e-12), name
        assert mine.found[f"{prefix}performance_lower", at] <= figure
        assert mine.found[f"{prefix}performance_upper", at] >= figure


@pytest.mark.parametrize("task", Task)
def test_both_formats_carry_the_figures_and_no_nan(task: Task) -> None:
    mine = run(task)
    rendered = render(alone(mine.model), NO_LIMITS)
    assert openmetrics_samples(rendered) == mine.found
    assert len(mine.found) == rendered.series
    assert not any(math.isnan(value) for value in mine.found.values())


@pytest.mark.parametrize("slice_", ["", COLOUR])
def test_joined_labels_and_their_delays_are_a_recount(slice_: str) -> None:
    mine = run(Task.BINARY)
    events = of_slice(engines.joined(mine.frame, 0, engines.END), slice_)
    if slice_:
        joined = mine.found[f"{PREFIX}slice_labels_joined_total", labels(slice=slice_)]
        assert joined == len(events)
        return
    assert mine.found[f"{PREFIX}labels_joined_total", labels()] == len(events)
    delay = (events["label_time"] - events["timestamp"]).to_numpy() / 1000
    name = f"{PREFIX}label_delay_seconds"
    buckets = {
        dict(at)["le"]: value for (n, at), value in mine.found.items() if n == f"{name}_bucket"
    }
    assert 10 <= len(buckets) <= 16
    assert float([*buckets][-2]) == engines.MAX_DELAY / 1000
    for bound, value in buckets.items():
        assert value == (delay <= float(bound)).sum(), bound
    assert mine.found[f"{name}_count", labels()] == len(events)
    assert mine.found[f"{name}_sum", labels()] == pytest.approx(delay.sum(), rel=1e-12)


@pytest.mark.parametrize("max_delay_s", [0.002, 0.05, 1.0])
def test_buckets_of_short_delays_have_different_bounds(max_delay_s: float) -> None:
    mine = run(Task.BINARY)
    edges = mine.stats.delay_edges / mine.stats.delay_edges[-1] * max_delay_s
    short = seen(mine.frame, replace(mine.model, outcomes=replace(mine.stats, delay_edges=edges)))
    bounds = [
        float(dict(at)["le"])
        for name, at in short.found
        if name == f"{PREFIX}label_delay_seconds_bucket"
    ]
    assert len(set(bounds)) == len(bounds)
    assert bounds[-2:] == [max_delay_s, math.inf]


def test_the_fates_of_all_labels_and_predictions_add_up() -> None:
    mine = run(Task.BINARY)
    join = mine.stats.join
    model = frozenset({("model", "m")})
    fates = {
        dict(at)["fate"]: value
        for (name, at), value in mine.found.items()
        if name == f"{PREFIX}labels_total"
    }
    waiting = mine.found[f"{PREFIX}waiting_labels", model]
    assert fates.keys() == {"joined", "corrected", "duplicate", "orphan", "late"}
    assert sum(fates.values()) + waiting == join.labels
    sent = mine.frame[mine.frame["label"].notna() & (mine.frame["label_time"] < engines.END)]
    assert join.labels == len(sent)
    assert fates["joined"] == len(engines.joined(mine.frame, 0, engines.END))
    lost = mine.found[f"{PREFIX}predictions_unlabelled_total", model]
    pending = mine.found[f"{PREFIX}pending_labels", model]
    served = mine.frame[mine.frame["ok"] & mine.frame["prediction"].notna()]
    assert fates["joined"] + lost + pending == len(served)
    assert min(lost, pending, waiting, fates["orphan"]) > 0


def test_corrections_and_repeated_labels_let_no_counter_fall() -> None:
    task = Task.BINARY
    frame = engines.draw(task, 1_000)
    engine = engines.fed(frame, task)
    before = counters(engine.snapshot(engines.END))
    events = engines.joined(frame, engines.END - engines.DAY, engines.END)
    turned = events.assign(label=np.where(events["label"] == "1", "0", "1"))
    for version in (1, 1, 0):
        batch = engines.labels(turned.assign(label_time=turned["label_time"] + 1), task, version)
        engine.add_labels(batch, keys("m", batch.ids))
        after = counters(engine.snapshot(engines.END))
        assert all(after[at] >= value for at, value in before.items())
        before = after
    model = frozenset({("model", "m")})
    for fate, times in (("corrected", 1), ("duplicate", 2)):
        at = (f"{PREFIX}labels_total", model | {("fate", fate)})
        assert after[at] == times * len(events) > 0
    served = engines.joined(frame, 0, engines.END)
    assert after[f"{PREFIX}labels_joined_total", labels()] == len(served)


def counters(model: ModelSnapshot) -> Samples:
    ends = ("_total", "_bucket", "_count", "_sum")
    found = samples(render(alone(model), NO_LIMITS))
    return {at: value for at, value in found.items() if at[0].endswith(ends)}


@pytest.mark.parametrize("task", Task)
def test_estimates_and_gaps_are_those_of_the_snapshot(task: Task) -> None:
    mine = run(task)
    for window, now in zip(mine.stats.estimated, mine.stats.realised, strict=True):
        for name, estimate in window.figures.items():
            at = labels(window=window.window, metric=name)
            row = mine.row()
            family = f"{PREFIX}estimated_performance"
            assert mine.found[family, at] == estimate.value[row]
            assert mine.found[f"{family}_lower", at] == estimate.lower[row]
            assert mine.found[f"{family}_upper", at] == estimate.upper[row]
            gap = mine.found.get((f"{PREFIX}performance_estimate_gap", at))
            realised = now.figures[name].value[row]
            if math.isnan(realised):
                assert gap is None
            else:
                assert gap == realised - estimate.value[row]
            here = labels(window=window.window, metric=name, slice=COLOUR)
            of_slice = mine.found[f"{PREFIX}slice_estimated_performance", here]
            assert of_slice == estimate.value[mine.row(COLOUR)]


@pytest.mark.parametrize("task", Task)
def test_cohorts_have_coverage_dates_and_figures(task: Task) -> None:
    mine = run(task)
    row = mine.row()
    assert {cohort.window for cohort in mine.stats.cohorts} == {"4d", "16d"}
    for cohort in mine.stats.cohorts:
        here = labels(window=cohort.window)
        end = mine.found[f"{PREFIX}matured_performance_end_timestamp_seconds", here]
        assert end == cohort.matured_end[row] / 1000
        begin = end * 1000 - (cohort.end - cohort.start)
        made = mine.frame[
            (mine.frame["timestamp"] >= begin) & (mine.frame["timestamp"] < 1e3 * end)
        ]
        served = made[made["ok"] & made["prediction"].notna()]
        known = drawn.counted(made)
        known = known[known["label_time"] < engines.END]
        coverage = mine.found[f"{PREFIX}label_coverage_ratio", here]
        assert coverage == pytest.approx(len(known) / len(served), rel=1e-12)
        for name, value in ORACLES[task](known).items():
            figure = mine.found[
                f"{PREFIX}matured_performance", labels(window=cohort.window, metric=name)
            ]
            assert figure == pytest.approx(value, rel=1e-9, abs=1e-12), name
        for name, estimate in cohort.weighted.items():
            at = labels(window=cohort.window, metric=name)
            assert mine.found[f"{PREFIX}weighted_performance", at] == estimate.value[row]
            assert mine.found[f"{PREFIX}weighted_performance_lower", at] == estimate.lower[row]


def test_the_reference_has_the_performance_of_its_own_labels() -> None:
    mine = run(Task.BINARY)
    events = drawn.counted(drawn.draw(Task.BINARY, 4_000, 1))
    for name, value in binary_figures(events).items():
        at = frozenset({("model", "m"), ("metric", name)})
        figure = mine.found[f"{PREFIX}reference_performance", at]
        assert figure == pytest.approx(value, rel=1e-9), name


def test_slices_have_a_few_figures_unless_all_are_asked_for() -> None:
    for task in Task:
        mine = run(task)
        for limits in (NO_LIMITS, replace(NO_LIMITS, slice_metrics=SLICE_METRICS)):
            found = samples(render(alone(mine.model), limits))
            names = {
                dict(at)["metric"] for name, at in found if name == f"{PREFIX}slice_performance"
            }
            every = set(METRICS[task]) - {"value"}
            few = limits.slice_metrics
            assert names == (every if few is None else every & few)
            assert names


def test_what_does_not_fit_is_counted() -> None:
    mine = run(Task.BINARY)
    complete = render(alone(mine.model))
    everything = len(samples(complete))
    assert complete.series == everything
    assert not any(complete.dropped.values())
    for cap in (0, 20, 100, 300, 500):
        rendered = Renderer(RenderLimits(per_model=cap)).render(alone(mine.model))
        assert rendered.series == len(samples(rendered)) <= cap
        # Figures that are not defined count as left out where there was no room for them.
        assert rendered.dropped["model_cap"] >= everything - rendered.series > 0


def test_counts_and_performance_come_before_windows_and_slices() -> None:
    mine = run(Task.BINARY)
    found = samples(render(alone(mine.model), RenderLimits(per_model=180)))
    names = {name.removeprefix(PREFIX) for name, _ in found}
    assert {"labels_joined_total", "performance", "performance_samples"} <= names
    assert not [name for name in names if name.startswith("slice_")]


def test_detectors_of_outcomes_stand_in_the_families_of_all_detectors() -> None:
    mine = run(Task.BINARY)
    stats = mine.stats.detectors
    assert stats is not None
    names = {subject.name for subject in stats.subjects}
    assert {"error_rate", "estimate_gap", "log_loss", "label", "calibration_low"} <= names
    for i, subject in enumerate(stats.subjects):
        about = {"subject_kind": str(subject.kind), "subject": subject.name}
        at = (f"{PREFIX}detector_evidence", labels(**about))
        # Only what has been judged has evidence.
        if at in mine.found:
            assert mine.found[at] == stats.evidence[mine.row(), i]
            limit = mine.found[f"{PREFIX}detector_threshold", labels(**about)]
            assert limit == stats.threshold[mine.row(), i]
    judged = {dict(at)["subject"] for name, at in mine.found if name.endswith("detector_evidence")}
    assert {"error_rate", "log_loss", "score"} <= judged


def test_detectors_of_coverage_stand_there_too() -> None:
    mine = run(Task.BINARY)
    of_outcomes = mine.stats.detectors
    assert of_outcomes is not None
    (error_rate,) = [s for s in of_outcomes.subjects if s.name == "error_rate"]
    shape = (len(mine.stats.rows), 1)
    coverage = DetectorStats(
        mine.stats.rows,
        (replace(error_rate, name="label_coverage"),),
        np.full(shape, 3.5),
        np.full(shape, 9.0),
        np.ones(shape),
    )
    outcomes = replace(mine.stats, coverage_detectors=coverage)
    found = seen(mine.frame, replace(mine.model, outcomes=outcomes)).found
    about = {"subject_kind": "performance", "subject": "label_coverage"}
    assert found[f"{PREFIX}detector_evidence", labels(**about)] == 3.5
    assert found[f"{PREFIX}slice_detector_threshold", labels(slice=COLOUR, **about)] == 9.0


def test_without_labels_there_are_counts_and_estimates_alone() -> None:
    task = Task.BINARY
    frame = engines.draw(task, 1_500).assign(label_time=engines.END + 1)
    model = engines.snapshot(engines.fed(frame, task, known=engines.reference(task)))
    found = samples(render(alone(model), NO_LIMITS))
    assert found[f"{PREFIX}labels_joined_total", labels()] == 0
    assert found[f"{PREFIX}label_delay_seconds_count", labels()] == 0
    assert found[f"{PREFIX}label_coverage_ratio", labels(window="4d")] == 0
    names = {name for name, _ in found}
    assert f"{PREFIX}estimated_performance" in names
    assert f"{PREFIX}reference_performance" in names
    for absent in ("performance", "matured_performance", "performance_estimate_gap"):
        assert f"{PREFIX}{absent}" not in names


def test_a_model_without_labels_has_none_of_it() -> None:
    mine = run(Task.BINARY)
    found = samples(render(alone(replace(mine.model, outcomes=None)), NO_LIMITS))
    words = ("label", "performance", "duplicate_predictions", "unlabelled")
    assert not [name for name, _ in found if any(word in name for word in words)]


def test_labels_of_a_version_that_makes_no_predictions_any_more_are_exported() -> None:
    mine = run(Task.BINARY)
    old = RowKey("old")

    def longer(values: Any) -> Any:
        return np.concatenate([values, values[:1]])

    realised = tuple(
        replace(
            window,
            rows=(*window.rows, old),
            samples=longer(window.samples),
            figures={
                name: type(figure)(*map(longer, figure)) for name, figure in window.figures.items()
            },
        )
        for window in mine.stats.realised
    )
    outcomes = replace(
        mine.stats,
        rows=(*mine.stats.rows, old),
        realised=realised,
        estimated=(),
        cohorts=(),
        labelled=longer(mine.stats.labelled),
        delays=longer(mine.stats.delays),
        delay_sums=longer(mine.stats.delay_sums),
        detectors=None,
        reference={},
    )
    found = seen(mine.frame, replace(mine.model, outcomes=outcomes)).found
    at = frozenset({("model", "m"), ("model_version", "old")})
    assert found[f"{PREFIX}labels_joined_total", at] == mine.stats.labelled[0]
    assert (f"{PREFIX}predictions_total", at) not in found
    assert (f"{PREFIX}performance", at | {("metric", "f1"), ("window", "4d")}) in found
