"""Labels through the whole pipeline, against a recount with pandas and scikit-learn.

Whatever the sizes of the polls, the number of partitions, and the order in which predictions,
labels, corrections and duplicates come within the allowed disorder.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from streamgauge.core.batch import Task
from streamgauge.core.outcomes.figures import auc_bound, confusion_counts_of, performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.runner.pipeline import Pipeline
from tests.support.label_checks import assert_counted, assert_joined, stream_of
from tests.support.label_judge import judge, rows_of
from tests.support.label_streams import (
    MODELS,
    NOW,
    Event,
    arrived,
    begun,
    draw,
    polls,
    settle,
)

SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=3).filter(lambda sizes: sum(sizes) > 60)


def run(events: Sequence[Event], partitions: int, sizes: Sequence[int]) -> Pipeline:
    """A pipeline that has taken in all events, and may still wait for more."""
    pipeline = begun(partitions)
    for number, messages in enumerate(polls(events, partitions, sizes)):
        # Some are decoded ahead.
        prepared = pipeline.prepare(messages) if number % 3 else None
        outcome = pipeline.process(messages, frozenset(), NOW, prepared=prepared)
        assert not outcome.rejected
    return pipeline


@settings(max_examples=6)
@given(st.integers(0, 2**32), st.integers(1, 4), SIZES, st.floats(0.2, 1.0))
def test_all_counts_and_sums_are_those_of_a_recount(
    seed: int, partitions: int, sizes: list[int], share: float
) -> None:
    events = arrived(draw(seed, 40, 200), partitions, seed)
    events = events[: int(len(events) * share)]
    pipeline = run(events, partitions, sizes)
    # At some moment within the stream with panes still open, or at its end.
    if share == 1.0:
        settle(pipeline, partitions)
    assert len(pipeline.snapshot(NOW).models) == len(MODELS)
    for model in MODELS:
        judged = judge(events, model)
        assert_joined(pipeline.engines[model], judged)
        assert_counted(pipeline.engines[model], judged)


def held(pipeline: Pipeline) -> dict[str, Any]:
    """Everything that is counted of labels, without what depends on the order of messages."""
    found: dict[str, Any] = {}
    for model, engine in pipeline.engines.items():
        stream = stream_of(engine)
        parts = {
            "total": stream.track.counted(),
            "estimates": stream.estimates.counted(),
            "delays": stream.delays.block(),
            **{f"window {w.spec.name}": w.totals() for w in stream.track.windows},
            **{f"estimated {w.spec.name}": w.totals() for w in stream.estimates.windows},
            **{f"cohort {step}": kept.block() for step, kept in stream.cohorts._light.items()},
        }
        ends = [(w.spec.name, w.end) for w in stream.track.windows]
        found[model] = (
            ends,
            {
                (name, engine.registry.keys[row]): block.counts[place].tolist()
                for name, block in parts.items()
                for place, row in enumerate(block.rows.tolist())
                if block.counts[place].any()
            },
        )
    return found


@cache
def expected(partitions: int) -> dict[str, Any]:
    pipeline = run(arrived(draw(3, 80, 200), partitions, 0), partitions, [100_000])
    settle(pipeline, partitions)
    return held(pipeline)


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(1, 3), SIZES)
def test_any_arrival_of_the_same_messages_gives_the_same_counts(
    seed: int, partitions: int, sizes: list[int]
) -> None:
    # What is sent about one id is in one partition: it keeps its order.
    events = arrived(draw(3, 80, 200), partitions, seed)
    pipeline = run(events, partitions, sizes)
    settle(pipeline, partitions)
    assert held(pipeline) == expected(partitions)


BIG = arrived(draw(11, 900, 200), 2, 11)


@pytest.fixture(scope="module")
def big() -> Pipeline:
    """Enough of every model for figures of its larger slices."""
    pipeline = run(BIG, 2, [500])
    settle(pipeline, 2)
    return pipeline


def figures(pipeline: Pipeline, model: str) -> Any:
    """Yield the rows with 20 pairs or more: pairs, figures, layout and the row's block."""
    engine = pipeline.engines[model]
    stream = stream_of(engine)
    block = stream.track.counted()
    found = performance(stream.layout, block)
    places = {engine.registry.keys[row]: i for i, row in enumerate(block.rows.tolist())}
    for key, mine in rows_of(judge(BIG, model).pairs):
        if len(mine) >= 20:
            at = places[key]
            part = block.take(np.array([at]))
            yield mine, {name: e.value[at] for name, e in found.items()}, stream.layout, part


def close(found: Mapping[str, float], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


def test_figures_of_binary_models_are_those_of_scikit_learn(big: Pipeline) -> None:
    rows = 0
    for mine, found, layout, block in figures(big, "approve"):
        y, predicted = mine["label"].astype(int), mine["prediction"].astype(int)
        np.testing.assert_array_equal(
            confusion_counts_of(layout, block)[0], metrics.confusion_matrix(y, predicted)
        )
        scored = mine["score"].notna()
        score = mine["score"][scored].astype(float)
        tiny = 2.0**-52
        close(
            found,
            {
                "accuracy": metrics.accuracy_score(y, predicted),
                "precision": metrics.precision_score(y, predicted),
                "recall": metrics.recall_score(y, predicted),
                "f1": metrics.f1_score(y, predicted),
                "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
                "mcc": metrics.matthews_corrcoef(y, predicted),
                "brier": metrics.brier_score_loss(y[scored], score),
                "log_loss": metrics.log_loss(y[scored], score.clip(tiny, 1 - tiny)),
            },
        )
        auc = metrics.roc_auc_score(y[scored], score)
        assert abs(found["auc"] - auc) <= auc_bound(layout, block)[0] + 1e-12
        rows += 1
    assert rows > 10


def test_figures_of_several_classes_are_those_of_scikit_learn(big: Pipeline) -> None:
    rows = 0
    for mine, found, layout, block in figures(big, "sort"):
        y, predicted = (known(layout, mine[name]) for name in ("label", "prediction"))
        np.testing.assert_array_equal(
            confusion_counts_of(layout, block)[0],
            metrics.confusion_matrix(y, predicted, labels=list(layout.classes)),
        )
        wanted = {"accuracy": metrics.accuracy_score(y, predicted)}
        if set(y) == set(layout.classes) == set(predicted):
            for average in ("macro", "weighted"):
                options = {"average": average, "zero_division": 0.0}
                wanted |= {
                    f"{average}_precision": metrics.precision_score(y, predicted, **options),
                    f"{average}_recall": metrics.recall_score(y, predicted, **options),
                    f"{average}_f1": metrics.f1_score(y, predicted, **options),
                }
            rows += 1
        close(found, wanted)
    assert rows > 3


def known(layout: OutcomeLayout, column: "pd.Series[str]") -> "pd.Series[str]":
    return column.where(column.isin(layout.classes), "(other)")


def test_figures_of_regressions_are_those_of_scikit_learn(big: Pipeline) -> None:
    rows = 0
    for mine, found, _, _ in figures(big, "price"):
        y, predicted = mine["label"].astype(float), mine["prediction"].astype(float)
        close(
            found,
            {
                "mean_error": (predicted - y).mean(),
                "mae": metrics.mean_absolute_error(y, predicted),
                "mse": metrics.mean_squared_error(y, predicted),
                "rmse": metrics.root_mean_squared_error(y, predicted),
                "r2": metrics.r2_score(y, predicted),
            },
        )
        some = y != 0
        mape = metrics.mean_absolute_percentage_error(y[some], predicted[some])
        close(found, {"mape": mape})
        rows += 1
    assert rows > 10


def test_the_drawn_streams_hold_all_that_is_told_apart(big: Pipeline) -> None:
    for model, task in MODELS.items():
        judged = judge(BIG, model)
        outcomes = big.engines[model].outcomes
        assert outcomes is not None
        assert min(outcomes.counts()._replace(pending=1, waiting=1)) > 0
        assert (judged.pairs["since"] > judged.pairs["time"]).any()
        assert (judged.pairs["since"] == judged.pairs["time"]).any(), "labels come first too"
        assert judged.pairs["colour"].isna().any()
        assert task is Task.REGRESSION or judged.pairs["score"].isna().any()
