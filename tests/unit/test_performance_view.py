"""The page's JSON of labelled models, from engines that were fed with labels."""

import json
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from streamgauge.core.batch import Task
from streamgauge.core.snapshot import ModelSnapshot, OutcomeStats, Snapshot
from streamgauge.web.app import build_app
from streamgauge.web.performance_view import delay_quantile
from streamgauge.web.times import time_text
from tests.support import outcome_engines as engines
from tests.support.asgi import ask
from tests.support.sources import FakeSource

TASK = Task.BINARY
COLOUR = "colour=red"


@cache
def fed() -> tuple[pd.DataFrame, ModelSnapshot]:
    frame = engines.draw(TASK)
    return frame, engines.snapshot(engines.fed(frame, TASK, known=engines.reference(TASK)))


def outcomes() -> OutcomeStats:
    found = fed()[1].outcomes
    assert found is not None
    return found


def view(model: ModelSnapshot, **choice: str) -> Any:
    source = FakeSource(Snapshot(0.0, (model,)))
    app = build_app(source, source.self_metrics())
    answer = ask(app, f"/api/v1/models/m?{urlencode(choice)}")
    assert answer.status == 200
    return json.loads(answer.body)["performance"]


@pytest.mark.parametrize("slice_", ["", COLOUR])
@pytest.mark.parametrize("window", ["4d", "16d"])
def test_the_figures_of_the_choice_are_those_of_scikit_learn(window: str, slice_: str) -> None:
    frame, model = fed()
    found = view(model, window=window, slice=slice_)
    (stats,) = [w for w in outcomes().realised if w.window == window]
    events = engines.joined(frame, stats.start, stats.end)
    if slice_:
        events = events[events["colour"] == "red"]
    span = {"start": time_text(stats.start), "end": time_text(stats.end), "samples": len(events)}
    assert found["realised"] == span
    lines = {line["metric"]: line for line in found["metrics"]}
    truth, predicted = events["label"], events["prediction"]
    scored = events[events["score"].notna()]
    for name, value in (
        ("accuracy", metrics.accuracy_score(truth, predicted)),
        ("f1", metrics.f1_score(truth, predicted, pos_label="1")),
        ("auc", metrics.roc_auc_score(scored["label"] == "1", scored["score"])),
        ("log_loss", metrics.log_loss(scored["label"] == "1", scored["score"])),
    ):
        now = lines[name]["realised"]
        assert now["value"] == pytest.approx(value, rel=1e-9), name
        assert now["lower"] < now["value"] < now["upper"]
        assert lines[name]["lower_is_better"] == (name == "log_loss")


def test_the_other_figures_stand_beside_them() -> None:
    _, model = fed()
    found, stats = view(model, window="4d", slice=COLOUR), outcomes()
    row = [key.label() for key in stats.rows].index(COLOUR)
    (cohort,) = [c for c in stats.cohorts if c.window == "4d"]
    (estimated,) = [w for w in stats.estimated if w.window == "4d"]
    lines = {line["metric"]: line for line in found["metrics"]}
    for name, figures in (
        ("reference", stats.reference),
        ("estimated", estimated.figures),
        ("weighted", cohort.weighted),
        ("matured", cohort.matured),
    ):
        shown = {metric for metric, line in lines.items() if line[name] is not None}
        known = {metric for metric, figure in figures.items() if np.isfinite(figure.value[row])}
        assert shown == known != set()
        for metric in known:
            assert lines[metric][name] == {
                part: values[row] if np.isfinite(values[row]) else None
                for part, values in figures[metric]._asdict().items()
            }
    recall = lines["recall"]
    assert recall["gap"] == recall["realised"]["value"] - recall["estimated"]["value"]
    assert lines["mcc"]["gap"] is None


def test_labels_are_counted_with_their_delay_and_coverage() -> None:
    frame, model = fed()
    found = view(model, window="16d")
    events = engines.joined(frame, 0, engines.END)
    assert found["labelled"] == len(events)
    assert found["join"] == outcomes().join._asdict()
    assert found["max_delay_seconds"] == engines.MAX_DELAY / 1000
    delay = (events["label_time"] - events["timestamp"]) / 1000
    for probability, value in found["delay_seconds"]:
        # A bin's edges are a fifth of its place apart.
        assert value == pytest.approx(float(delay.quantile(probability)), rel=0.1)
    cohort = found["cohort"]
    (stats,) = [c for c in outcomes().cohorts if c.window == "16d"]
    assert cohort["predicted"] == stats.predicted[0]
    assert cohort["labelled"] == stats.labelled[0] < stats.predicted[0]
    assert cohort["coverage"] == stats.coverage[0]
    assert cohort["matured_end"] == time_text(int(stats.matured_end[0]))
    length = stats.end - stats.start
    assert cohort["matured_start"] == time_text(int(stats.matured_end[0]) - length)


def test_without_labels_yet_it_says_what_is_waited_for() -> None:
    frame = engines.draw(TASK, 800).assign(label_time=engines.END + 1)
    model = engines.snapshot(engines.fed(frame, TASK))
    found = view(model)
    assert found["labelled"] == 0
    assert found["delay_seconds"] is None
    assert found["join"]["pending"] > 0
    assert found["realised"] is None
    assert found["metrics"] == []
    assert view(model, window="4d", slice=COLOUR)["labelled"] == 0


def test_a_model_without_labels_has_no_performance() -> None:
    _, model = fed()
    assert view(replace(model, outcomes=None)) is None


def test_a_row_that_labels_do_not_know_is_empty() -> None:
    _, model = fed()
    stats = outcomes()
    assert model.counters is not None
    keep = np.array([i for i, key in enumerate(stats.rows) if key.label() != COLOUR])
    few = replace(
        stats,
        rows=tuple(stats.rows[i] for i in keep),
        labelled=stats.labelled[keep],
        realised=(),
        estimated=(),
        cohorts=(),
    )
    found = view(replace(model, outcomes=few), slice=COLOUR)
    assert found["labelled"] == 0
    assert found["metrics"] == []
    assert found["cohort"] is None


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95, 1.0])
def test_quantiles_of_delays_are_within_their_bin(probability: float) -> None:
    rng = np.random.default_rng(3)
    edges = np.append(0.0, 100.0 * 10.0 ** np.linspace(-4, 0, 50))
    delays = np.minimum(rng.exponential(10.0, 2_000), 100.0)
    counts, _ = np.histogram(delays, edges)
    exact = float(np.quantile(delays, probability, method="inverted_cdf"))
    found = delay_quantile(edges, counts, probability)
    assert found is not None
    place = np.searchsorted(edges, exact, side="left")
    assert edges[place - 1] <= found <= edges[place]


def test_no_delays_have_no_quantile() -> None:
    assert delay_quantile(np.array([0.0, 1.0]), np.array([0]), 0.5) is None
