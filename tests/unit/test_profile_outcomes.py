"""Tasks told from predictions and labels, and how predictions, labels and scores are counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from streamgauge.core.batch import Task
from streamgauge.core.bins import CategoricalBins, NumericBins, fold
from streamgauge.core.layout import LABEL, PREDICTION, SCORE, Subject
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.errors import DataError
from streamgauge.formats.profiling import Profile, ProfileRequest, profile
from streamgauge.formats.table import TableOptions

N = 600
RNG = np.random.default_rng(8)


def make(path: Path, columns: dict[str, Any], task: Task | None = None, **options: str) -> Profile:
    """A profile of one feature with these outcomes; written as JSON, which keeps every type."""
    rows = [
        dict(zip(["x", *columns], values, strict=True))
        for values in zip(RNG.random(N).tolist(), *columns.values(), strict=True)
    ]
    file = path / "t.ndjson"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    table = replace(TableOptions(), **options)  # type: ignore[arg-type]
    return profile(ProfileRequest((file,), "m", table, task=task))


def pick(*values: Any) -> list[Any]:
    """A column of these values at random, each at least once."""
    return [*values, *(values[i] for i in RNG.integers(0, len(values), N - len(values)))]


def counts(made: Profile, subject: Subject) -> list[int]:
    position = made.reference.layout.position(subject)
    assert position is not None
    cells = made.reference.layout.cells(position)
    found: list[int] = made.reference.block.counts[0, cells].tolist()
    return found


def classes(made: Profile, subject: Subject) -> dict[str, int]:
    position = made.reference.layout.position(subject)
    assert position is not None
    bins = made.reference.layout.fields[position].bins
    assert isinstance(bins, CategoricalBins)
    return dict(zip(bins.categories, counts(made, subject), strict=False))


FLOATS = RNG.normal(size=N).tolist()
TASKS: dict[str, tuple[dict[str, Any], Task, str]] = {
    "two whole numbers": ({"prediction": pick(0, 1)}, Task.BINARY, "2 classes: 0, 1"),
    "two words": ({"label": pick("no", "yes")}, Task.BINARY, "2 classes: no, yes"),
    "truth values": ({"label": pick(True, False)}, Task.BINARY, "2 classes: false, true"),
    "one class": ({"label": [1] * N}, Task.BINARY, "1 classes: 1"),
    "numbers with gaps": ({"label": pick(0.0, 1.0, None)}, Task.BINARY, "2 classes: 0, 1"),
    "other classes on each side": (
        {"prediction": pick("a", "b"), "label": pick("b", "c")},
        Task.MULTICLASS,
        "3 classes: a, b, c",
    ),
    "six words": (
        {"label": pick(*"abcdef")},
        Task.MULTICLASS,
        "6 classes: a, b, c, d, e, ...",
    ),
    "few whole numbers": ({"label": pick(*range(5))}, Task.MULTICLASS, "5 classes: 0, 1, 2, 3, 4"),
    "many whole numbers": (
        {"label": pick(*range(80))},
        Task.REGRESSION,
        "80 distinct whole numbers",
    ),
    "many whole numbers with scores": (
        {"label": pick(*range(80)), "score": RNG.random(N).tolist()},
        Task.MULTICLASS,
        "80 classes: 0, 1, 10, 11, 12, ...",
    ),
    "fractions": (
        {"prediction": FLOATS, "label": FLOATS},
        Task.REGRESSION,
        "numbers in prediction and label",
    ),
}


@pytest.mark.parametrize(("columns", "task", "reason"), TASKS.values(), ids=list(TASKS))
def test_the_task_is_told_from_the_outcomes(
    tmp_path: Path, columns: dict[str, Any], task: Task, reason: str
) -> None:
    made = make(tmp_path, columns)
    assert made.reference.layout.schema.task is task
    assert made.remarks == (f"task {task}: {reason} (--task says otherwise)",)


def test_a_task_that_is_said_is_not_guessed(tmp_path: Path) -> None:
    made = make(tmp_path, {"label": pick(*range(5))}, task=Task.REGRESSION)
    assert made.reference.layout.schema.task is Task.REGRESSION
    assert made.remarks == ()


def test_probabilities_for_predictions_are_pointed_out(tmp_path: Path) -> None:
    columns = {"prediction": RNG.random(N).tolist(), "label": pick(0, 1)}
    with pytest.raises(DataError, match="if they are probabilities, say --score-column prediction"):
        make(tmp_path, columns)
    made = make(tmp_path, columns, score="prediction")
    assert made.reference.layout.schema.task is Task.BINARY
    assert sum(counts(made, SCORE)[1:101]) == N
    assert sum(classes(made, PREDICTION).values()) == 0


def test_numbers_against_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'label' holds numbers, but 'prediction' classes;"):
        make(tmp_path, {"prediction": pick("a", "b"), "label": FLOATS})


def test_words_are_no_regression(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'label' holds text, but a regression predicts num"):
        make(tmp_path, {"label": pick("a", "b")}, task=Task.REGRESSION)


def test_predictions_and_labels_share_their_classes(tmp_path: Path) -> None:
    columns = {"prediction": pick("a", "b"), "label": pick("b", "c", None)}
    made = make(tmp_path, columns)
    for name, subject in (("prediction", PREDICTION), ("label", LABEL)):
        column = columns[name]
        assert classes(made, subject) == {value: column.count(value) for value in "abc"}
        assert counts(made, subject)[5] == column.count(None)
    assert sorted(made.reference.layout.schema.classes) == ["a", "b", "c"]


def test_whole_numbers_and_booleans_are_named_alike_whatever_their_type(tmp_path: Path) -> None:
    made = make(tmp_path, {"prediction": pick(0, 1), "label": pick(0.0, 1.0, None)})
    assert set(classes(made, PREDICTION)) == {"0", "1"}


def test_regressions_have_bins_for_predictions_and_for_labels(tmp_path: Path) -> None:
    labels = (np.array(FLOATS) * 2 + 1).tolist()
    made = make(tmp_path, {"prediction": FLOATS, "label": labels})
    assert made.reference.layout.position(SCORE) is None
    for subject, values in ((PREDICTION, FLOATS), (LABEL, labels)):
        position = made.reference.layout.position(subject)
        assert position is not None
        bins = made.reference.layout.fields[position].bins
        assert isinstance(bins, NumericBins)
        assert bins.edges[0] == min(values)
        assert sum(counts(made, subject)[: bins.value_bins]) == N


def test_labels_lend_their_bins_to_predictions_that_are_not_there(tmp_path: Path) -> None:
    layout = make(tmp_path, {"label": FLOATS}).reference.layout
    positions = [layout.position(subject) for subject in (PREDICTION, LABEL)]
    bins = [layout.fields[position or 0].bins for position in positions]
    assert bins[0] == bins[1]


def test_features_alone_are_enough_if_the_task_is_said(tmp_path: Path) -> None:
    for task in Task:
        layout = make(tmp_path, {}, task=task).reference.layout
        position = layout.position(PREDICTION)
        assert position is not None
        bins = layout.fields[position].bins
        if isinstance(bins, NumericBins):
            # Whatever the model will predict is in range, for nothing is known of it.
            found = bins.assign(np.array([-1e300, 0.0, 1e308]))
            assert set(found.tolist()).isdisjoint({0, bins.value_bins - 1})
        else:
            assert not bins.complete


def test_scores_are_grouped_by_their_quantiles(tmp_path: Path) -> None:
    score = RNG.beta(1.0, 6.0, N)
    made = make(tmp_path, {"label": pick(0, 1), "score": score.tolist()})
    position = made.reference.layout.position(SCORE)
    assert position is not None
    bins = made.reference.layout.fields[position].bins
    assert isinstance(bins, NumericBins)
    groups = fold(np.array(counts(made, SCORE)), bins)
    fine = np.histogram(score, np.linspace(0, 1, 101))[0].max()
    assert groups.sum() == N
    assert groups[:-1].min() >= N / 20
    assert groups.max() <= N / 20 + fine + N / 40
    assert bins.scale == pytest.approx(score.std(), rel=1e-9)


def probabilities(names: str) -> tuple[pd.DataFrame, list[str]]:
    """Probabilities of classes, and the most probable class."""
    raw = RNG.dirichlet(np.ones(len(names)), N)
    frame = pd.DataFrame(raw, columns=list(names))
    return frame, frame.idxmax(axis=1).tolist()


@pytest.mark.parametrize("form", ["objects", "columns"])
def test_of_a_multiclass_score_the_predicted_class_counts(tmp_path: Path, form: str) -> None:
    frame, prediction = probabilities("abc")
    columns: dict[str, Any] = {"prediction": prediction}
    if form == "objects":
        columns["score"] = frame.to_dict("records")
    else:
        columns |= {f"score_{name}": frame[name].tolist() for name in frame}
    made = make(tmp_path, columns)
    assert made.reference.layout.schema.numeric == ("x",)
    highest = frame.max(axis=1).to_numpy()
    expected = np.histogram(highest, [*(np.arange(100) / 100), np.nextafter(1, 2)])[0]
    assert counts(made, SCORE)[1:101] == expected.tolist()


def test_of_two_classes_scores_the_last_is_the_positive_one(tmp_path: Path) -> None:
    frame, prediction = probabilities("01")
    columns = {"prediction": prediction, **{f"score_{n}": frame[n].tolist() for n in frame}}
    made = make(tmp_path, columns)
    expected = np.histogram(frame["1"], [*(np.arange(100) / 100), np.nextafter(1, 2)])[0]
    assert counts(made, SCORE)[1:101] == expected.tolist()


def test_columns_that_only_look_like_class_scores_stay_features(tmp_path: Path) -> None:
    columns = {"label": pick("a", "b"), "score_home": FLOATS, "score_away": FLOATS}
    made = make(tmp_path, columns)
    assert made.reference.layout.schema.numeric == ("x", "score_home", "score_away")


def events(path: Path, *rows: dict[str, Any]) -> Path:
    file = path / "e.ndjson"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return file


def test_events_may_be_of_several_models_and_carry_tags(tmp_path: Path) -> None:
    base = {"prediction_id": "p", "timestamp": 1_764_000_000_000, "prediction": 1}
    rows = [
        {**base, "model": "a", "features": {"x": 1.5}, "tags": {"region": "eu"}},
        {**base, "model": "a", "features": {"x": 2.5}, "tags": {"region": "us"}},
        {**base, "model": "a", "status": "timeout", "tags": {}},
        {**base, "model": "b", "features": {"y": "text"}},
    ]
    request = ProfileRequest(
        (events(tmp_path, *rows),),
        "a",
        TableOptions(model="a"),
        slices=(SliceSpec((Dimension("region"),)),),
    )
    made = profile(request)
    assert made.reference.layout.schema.numeric == ("x",)
    assert made.reference.layout.schema.tags == ("region",)
    assert [dict(key) for key in made.reference.rows] == [
        {},
        {"region": "(missing)"},
        {"region": "eu"},
        {"region": "us"},
    ]
    assert made.reference.block.counts[0, :2].tolist() == [2, 1]
    assert made.remarks[-1] == "1 events of other models left out"
    with pytest.raises(DataError, match="holds no event of model 'c'"):
        profile(replace(request, options=TableOptions(model="c")))
