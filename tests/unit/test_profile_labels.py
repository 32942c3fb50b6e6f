"""Profiles of labelled data: what is counted of the labels, and what people are told of it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn import metrics

from streamgauge.core.batch import Task
from streamgauge.core.outcomes.figures import performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.errors import DataError, UsageError
from streamgauge.formats.profile_report import outcome_report
from streamgauge.formats.profiling import ProfileRequest, profile
from streamgauge.formats.reference_file import read_reference
from streamgauge.formats.table import TableOptions
from tests.support import labelled_batches as drawn
from tests.support.commands import call_main
from tests.support.training import FEATURES, training, write

HOUR_MS = 3_600_000


def table(n: int = 600, seed: int = 1) -> pd.DataFrame:
    """Training data whose labels come up to a day late."""
    frame = training(n, seed)
    late = np.random.default_rng(seed).integers(0, 24 * HOUR_MS, n)
    return frame.assign(label_timestamp=frame["timestamp"] + late)


def make(path: Path, frame: pd.DataFrame, name: str = "t.parquet", **request: Any) -> Reference:
    file = write(frame, path / name)
    return profile(ProfileRequest((file,), "churn", **request)).reference


def outcomes_of(reference: Reference) -> Reference:
    assert reference.outcomes is not None
    return reference.outcomes


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.ndjson", "t.events.ndjson"])
def test_labels_are_counted_when_they_became_known(tmp_path: Path, name: str) -> None:
    frame = table()
    reference = make(tmp_path, frame, name)
    times = frame["label_timestamp"]
    outcomes = outcomes_of(reference)
    assert outcomes.span == (int(times.min()), int(times.max()))
    assert reference.span == (int(frame["timestamp"].min()), int(frame["timestamp"].max()))
    hours = pd.to_datetime(times, unit="ms")
    of_week = (hours.dt.day_of_week * 24 + hours.dt.hour).value_counts()
    assert outcomes.hour_of_week is not None
    counts = outcomes.hour_of_week[:, :2].sum(axis=1)
    assert {h: c for h, c in enumerate(counts.tolist()) if c} == of_week.to_dict()


def test_a_label_time_is_no_feature(tmp_path: Path) -> None:
    frame = table().rename(columns={"label_timestamp": "known_at"})
    named = make(tmp_path, frame, options=TableOptions(label_timestamp="known_at"))
    schema = named.layout.schema
    assert {*schema.numeric, *schema.categorical, *schema.boolean} == set(FEATURES)
    assert outcomes_of(named).span == (
        int(frame["known_at"].min()),
        int(frame["known_at"].max()),
    )


def test_without_label_times_hours_are_not_told_apart(tmp_path: Path) -> None:
    frame = table()
    for without in (
        frame.drop(columns="label_timestamp"),
        frame.assign(label_timestamp=pd.Series([None] * len(frame), dtype="Int64")),
    ):
        outcomes = outcomes_of(make(tmp_path, without))
        assert outcomes.hour_of_week is not None
        assert (outcomes.hour_of_week == outcomes.hour_of_week[0]).all()
        assert outcomes.span == (int(frame["timestamp"].min()), int(frame["timestamp"].max()))


def test_labels_without_a_time_of_their_own_are_counted_and_told(tmp_path: Path) -> None:
    frame = table()
    frame["label_timestamp"] = frame["label_timestamp"].astype("Int64")
    frame.loc[:99, "label_timestamp"] = None
    made = profile(ProfileRequest((write(frame, tmp_path / "t.parquet"),), "churn"))
    assert made.remarks[-1] == (
        "100 labels without a label_timestamp taken for known when the event happened"
    )
    outcomes = outcomes_of(made.reference)
    assert outcomes.events == len(frame)
    assert outcomes.panes is not None
    at = frame["label_timestamp"].fillna(frame["timestamp"])
    assert outcomes.span == (int(at.min()), int(at.max()))


def test_label_times_follow_the_rules_of_times(tmp_path: Path) -> None:
    frame = table()
    seconds = frame.assign(label_timestamp=frame["label_timestamp"] // 1000)
    with pytest.raises(DataError, match=r"label_timestamp in row 1 is before 2000 .* try --timest"):
        make(tmp_path, seconds)
    both = seconds.assign(timestamp=frame["timestamp"] // 1000)
    span = outcomes_of(make(tmp_path, both, options=TableOptions(timestamp_unit="s"))).span
    assert span is not None
    assert span[1] == int(seconds["label_timestamp"].max()) * 1000
    text = pd.to_datetime(frame["label_timestamp"], unit="ms", utc=True).dt.strftime("%FT%TZ")
    of_text = outcomes_of(make(tmp_path, frame.assign(label_timestamp=text), "t.csv")).span
    assert of_text == span
    assert outcomes_of(
        make(tmp_path, seconds, options=TableOptions(ignored=frozenset({"label_timestamp"})))
    )


@pytest.mark.parametrize("positive", ["", "1", "0"])
def test_the_positive_class_may_be_said(tmp_path: Path, positive: str) -> None:
    frame = table()
    of = positive or "1"
    if of == "0":
        frame["score"] = 1.0 - frame["score"]
    reference = make(tmp_path, frame, positive=positive)
    assert reference.positive == positive
    layout = OutcomeLayout(reference.layout, reference.positive)
    assert layout.classes[1] == of
    figures = performance(layout, outcomes_of(reference).block)
    truth = (frame["label"] == int(of)).to_numpy()
    predicted = (frame["prediction"] == int(of)).to_numpy()
    expected = metrics.precision_score(truth, predicted)
    assert figures["precision"].value[0] == pytest.approx(expected)
    expected = metrics.log_loss(truth, frame["score"])
    assert figures["log_loss"].value[0] == pytest.approx(expected)


def test_of_scores_by_class_that_of_the_positive_class_counts(tmp_path: Path) -> None:
    frame = table()
    by_class = frame.assign(score_0=1.0 - frame["score"], score_1=frame["score"])
    reference = make(tmp_path, by_class.drop(columns="score"), positive="0")
    figures = performance(OutcomeLayout(reference.layout, "0"), outcomes_of(reference).block)
    expected = metrics.log_loss(frame["label"] == 0, 1.0 - frame["score"])
    assert figures["log_loss"].value[0] == pytest.approx(expected)


def test_a_positive_class_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--positive: the data never hold the class '2'; there ar"):
        make(tmp_path, table(), positive="2")
    with pytest.raises(UsageError, match="--positive: the task is multiclass, but only binary"):
        make(tmp_path, table(), positive="1", task=Task.MULTICLASS)
    first = make(tmp_path, table())
    assert make(tmp_path, table(), positive="1", bins_of=first).positive == ""
    with pytest.raises(UsageError, match="the reference takes 1 for positive, not 0; leave out"):
        make(tmp_path, table(), positive="0", bins_of=first)


@pytest.mark.parametrize("task", list(Task))
def test_the_report_holds_the_figures_of_scikit_learn(task: Task) -> None:
    frame = drawn.draw(task, 2_000, 5, trouble=False)
    builder = ReferenceBuilder(drawn.layout(task), ())
    builder.add(drawn.batch(frame, task))
    report = outcome_report(builder.finish())
    truth, predicted = frame["label"], frame["prediction"]
    expected = {
        Task.BINARY: lambda: {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "auc": metrics.roc_auc_score(truth == "1", frame["score"]),
            "log_loss": metrics.log_loss(truth == "1", frame["score"]),
        },
        Task.MULTICLASS: lambda: {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        },
        Task.REGRESSION: lambda: {
            "mae": metrics.mean_absolute_error(truth, predicted),
            "rmse": metrics.root_mean_squared_error(truth, predicted),
        },
    }[task]()
    assert {name: value for name, (value, _, _) in report.figures.items()} == pytest.approx(
        expected
    )
    for value, lower, upper in report.figures.values():
        assert lower < value < upper
    assert report.labelled == 2_000
    assert report.lines()[0].startswith("2,000 labelled rows: ")
    assert (report.ece is None) == (task is Task.REGRESSION)


def test_scores_that_are_off_are_told_from_calibrated_ones() -> None:
    frame = drawn.draw(Task.BINARY, 20_000, 6, trouble=False)
    lines = []
    for score in (frame["score"], frame["score"] ** 3):
        builder = ReferenceBuilder(drawn.layout(Task.BINARY), ())
        builder.add(drawn.batch(frame.assign(score=score), Task.BINARY))
        report = outcome_report(builder.finish())
        assert report.ece is not None
        assert report.isotonic_ece is not None
        lines.append(report.lines()[1])
    assert re.search(r"by 0\.0\d+ \(ECE\); isotonic regression does no better \(0\.0", lines[0])
    assert re.search(r"by 0\.[1-9]\d+ \(ECE\); isotonic regression by 0\.0\d+, so it w", lines[1])


def test_what_keeps_outcomes_away_is_said(tmp_path: Path) -> None:
    frame = table()
    never = frame.assign(
        label=frame["label"].astype("Int64"), prediction=frame["prediction"].astype("Int64")
    )
    never.loc[:299, "label"] = None
    never.loc[300:, "prediction"] = None
    for data, reason in (
        (frame.drop(columns="label"), "no labels"),
        (frame.drop(columns="prediction"), "no predictions"),
        (never, "no row has both a prediction and a label"),
    ):
        report = outcome_report(make(tmp_path, data))
        assert report.absent == reason
        assert report.lines() == [
            f"{reason}: production's performance will have nothing to compare with"
        ]


def test_a_person_is_told_how_well_the_model_did(tmp_path: Path) -> None:
    data = write(table(), tmp_path / "t.csv")
    output = tmp_path / "r.json"
    called = call_main("profile", str(data), "-o", str(output), "--positive", "1")
    assert called.code == 0, called.errors
    assert re.search(
        r"600 labelled rows: accuracy 0\.\d+ \(0\.\d+ to 0\.\d+\), AUC 0\.\d+ .*, log-loss 0\.\d+",
        called.output,
    )
    assert read_reference(output).positive == "1"
    again = call_main("profile", str(data), "-o", str(output), "--force", "--json")
    summary = orjson.loads(again.output)["outcomes"]
    report = outcome_report(read_reference(output))
    assert summary["labelled"] == 600
    assert summary["figures"]["auc"] == list(report.figures["auc"])
    assert summary["ece"] == report.ece


def test_options_that_name_nothing_are_refused(tmp_path: Path) -> None:
    data = write(table(), tmp_path / "t.csv")
    output = str(tmp_path / "r.json")
    called = call_main("profile", str(data), "-o", output, "--positive", "yes")
    assert called.code == 2
    assert called.errors == [
        "error: --positive: the data never hold the class 'yes'; there are 0, 1"
    ]
    called = call_main("profile", str(data), "-o", output, "--label-timestamp-column", "label_time")
    assert called.code == 2
    assert called.errors == [
        "error: --label-timestamp-column: there is no column 'label_time'; did you mean"
        " 'label_timestamp'?"
    ]


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("positive", [None, "0"])
def test_merged_parts_equal_the_whole(tmp_path: Path, times: bool, positive: str | None) -> None:
    frame = table(900)
    if not times:
        frame = frame.drop(columns="label_timestamp")
    paths = {name: tmp_path / f"{name}.json" for name in ("one", "two", "both", "merged")}
    first = write(frame[:400], tmp_path / "one.parquet")
    second = write(frame[400:], tmp_path / "two.parquet")
    said = ("--slice", "plan", *(("--positive", positive) if positive else ()))
    calls = (
        (first, "-o", paths["one"], *said),
        (second, "-o", paths["two"], "--edges-from", paths["one"]),
        (first, second, "-o", paths["both"], "--edges-from", paths["one"]),
        ("--merge", paths["one"], paths["two"], "-o", paths["merged"]),
    )
    for arguments in calls:
        called = call_main("profile", *map(str, arguments))
        assert called.code == 0, called.errors
    merged, both = (read_reference(paths[name]) for name in ("merged", "both"))
    one, two = outcomes_of(merged), outcomes_of(both)
    assert one.rows == two.rows
    assert one.span == two.span
    assert merged.positive == both.positive == (positive or "")
    np.testing.assert_array_equal(one.block.counts, two.block.counts)
    np.testing.assert_allclose(one.block.sums, two.block.sums, rtol=1e-9, atol=1e-9)
    assert one.panes is not None
    assert two.panes is not None
    np.testing.assert_array_equal(one.panes.counts, two.panes.counts)
    np.testing.assert_array_equal(one.hour_of_week, two.hour_of_week)
    assert outcome_report(merged).labelled == 900
    assert replace(outcome_report(merged), figures={}) == replace(outcome_report(both), figures={})
