"""Outcomes of labelled events against scikit-learn, and against recounts with pandas."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from streamgauge.core.batch import FloatArray, IntArray, Task
from streamgauge.core.bins import CategoricalBins, NumericBins, Special, fold_table
from streamgauge.core.blocks import SUM, SUM_SQUARES
from streamgauge.core.layout import LABEL
from streamgauge.core.outcomes.figures import (
    Figures,
    auc_bound,
    confusion_counts_of,
    labelled,
    performance,
)
from streamgauge.core.outcomes.layout import (
    ABSOLUTE_ERROR,
    CALIBRATION,
    ERROR,
    LOG_LOSS,
    LOG_LOSS_BINS,
    PREDICTION_ERROR,
    OutcomeLayout,
)
from streamgauge.core.reference import Reference, ReferenceBuilder
from tests.support import labelled_batches as drawn

pytestmark = pytest.mark.usefixtures("either_way")

N = 4_000
TASKS = tuple(Task)


class Counted:
    """Drawn events, and what was counted of them."""

    def __init__(self, task: Task, frame: pd.DataFrame) -> None:
        self.task = task
        self.frame = frame
        self.events = drawn.counted(frame)
        builder = ReferenceBuilder(drawn.layout(task), drawn.SLICES)
        builder.add(drawn.batch(frame, task))
        self.whole = builder.finish()
        assert self.whole.outcomes is not None
        self.outcomes: Reference = self.whole.outcomes
        self.layout = OutcomeLayout(self.whole.layout)
        self.figures: Figures = performance(self.layout, self.outcomes.block)

    def slices(self) -> list[tuple[int, pd.DataFrame]]:
        """The rows, each with its labelled events."""
        keys = self.outcomes.rows
        return [(row, self.events[drawn.within(self.events, key)]) for row, key in enumerate(keys)]

    def cells(self, subject: Any) -> IntArray:
        """The counts of a watched field `(rows, width)`."""
        position = self.layout.watched.position(subject)
        assert position is not None
        cells = self.outcomes.block.counts[:, self.layout.watched.cells(position)]
        return cells.astype(np.int64)

    def sums(self, subject: Any) -> FloatArray:
        """The sums of a watched numeric field `(rows, 2)`."""
        position = self.layout.watched.position(subject)
        assert position is not None
        return self.outcomes.block.sums[:, self.layout.watched.numeric.index(position)]


@pytest.fixture(scope="module", params=TASKS, ids=str)
def counted(request: pytest.FixtureRequest) -> Counted:
    return Counted(request.param, drawn.draw(request.param, N, 1))


@pytest.fixture(scope="module")
def binary() -> Counted:
    return Counted(Task.BINARY, drawn.draw(Task.BINARY, N, 2))


@pytest.fixture(scope="module")
def multiclass() -> Counted:
    return Counted(Task.MULTICLASS, drawn.draw(Task.MULTICLASS, N, 3))


@pytest.fixture(scope="module")
def regression() -> Counted:
    return Counted(Task.REGRESSION, drawn.draw(Task.REGRESSION, N, 4))


def test_events_count_once_if_served_predicted_and_labelled(counted: Counted) -> None:
    events = labelled(counted.layout, counted.outcomes.block)
    assert events.tolist() == [len(mine) for _, mine in counted.slices()]
    assert 0 < events[0] < len(counted.frame)
    assert events[1:].sum() == events[0]


def test_a_slice_without_labelled_events_has_zeros() -> None:
    frame = drawn.draw(Task.BINARY, 500, 5)
    frame.loc[frame["colour"] == "red", "label"] = np.nan
    found = Counted(Task.BINARY, frame)
    row = found.whole.row((("colour", "red"),))
    assert row is not None
    assert found.outcomes.rows == found.whole.rows
    assert not found.outcomes.block.counts[row].any()
    assert not found.outcomes.block.sums[row].any()


def test_without_labels_or_predictions_there_are_no_outcomes() -> None:
    frame = drawn.draw(Task.BINARY, 50, 6)
    for name in ("label", "prediction"):
        without = drawn.batch(frame.assign(**{name: np.nan}), Task.BINARY)
        builder = ReferenceBuilder(drawn.layout(Task.BINARY), ())
        builder.add(without)
        assert builder.finish().outcomes is None
    builder = ReferenceBuilder(drawn.layout(Task.BINARY), ())
    builder.add(replace(drawn.batch(frame, Task.BINARY), label=None))
    assert builder.finish().outcomes is None


def test_decisions_are_those_of_scikit_learn(binary: Counted) -> None:
    confusion = confusion_counts_of(binary.layout, binary.outcomes.block)
    for row, mine in binary.slices():
        truth, predicted = mine["label"], mine["prediction"]
        expected = metrics.confusion_matrix(truth, predicted, labels=["0", "1"])
        np.testing.assert_array_equal(confusion[row], expected)
        for name, value in (
            ("accuracy", metrics.accuracy_score(truth, predicted)),
            ("precision", metrics.precision_score(truth, predicted, pos_label="1")),
            ("recall", metrics.recall_score(truth, predicted, pos_label="1")),
            ("f1", metrics.f1_score(truth, predicted, pos_label="1")),
            ("mcc", metrics.matthews_corrcoef(truth, predicted)),
            ("positive_rate", (truth == "1").mean()),
        ):
            assert binary.figures[name].value[row] == pytest.approx(value, rel=1e-12), name


def test_scores_are_judged_as_by_scikit_learn_where_there_are_any(binary: Counted) -> None:
    assert binary.events["score"].isna().any()
    for row, mine in binary.slices():
        scored = mine[mine["score"].notna()]
        truth, score = (scored["label"] == "1").to_numpy(), scored["score"].to_numpy()
        for name, value in (
            ("log_loss", metrics.log_loss(truth, score)),
            ("brier", metrics.brier_score_loss(truth, score)),
            ("average_precision", metrics.average_precision_score(truth, score)),
        ):
            assert binary.figures[name].value[row] == pytest.approx(value, rel=1e-9), name
        # Drawn scores of one bin are equal, so no order within bins is lost.
        auc = metrics.roc_auc_score(truth, score)
        assert binary.figures["auc"].value[row] == pytest.approx(auc, rel=1e-12)


def test_scores_within_a_bin_move_the_auc_by_no_more_than_its_bound() -> None:
    frame = drawn.draw(Task.BINARY, N, 7, trouble=False)
    score = frame["score"] + np.random.default_rng(7).uniform(-0.005, 0.005, N)
    found = Counted(Task.BINARY, frame.assign(score=score))
    bound = auc_bound(found.layout, found.outcomes.block)
    for row, mine in found.slices():
        auc = metrics.roc_auc_score(mine["label"] == "1", mine["score"])
        assert abs(found.figures["auc"].value[row] - auc) <= bound[row] + 1e-12


def test_what_is_no_probability_counts_as_a_decision_alone() -> None:
    frame = drawn.draw(Task.BINARY, 400, 8, trouble=False)
    frame.loc[:99, "score"] = [-0.1, 1.5, np.inf, np.nan] * 25
    found = Counted(Task.BINARY, frame)
    assert labelled(found.layout, found.outcomes.block)[0] == 400
    assert found.outcomes.block.counts[0, found.layout.histogram].sum() == 300
    assert found.cells(LOG_LOSS)[0, LOG_LOSS_BINS.value_bins + Special.MISSING] == 100


def test_without_any_score_only_decisions_have_figures() -> None:
    frame = drawn.draw(Task.BINARY, 300, 9).assign(score=np.nan)
    found = Counted(Task.BINARY, frame)
    assert np.isfinite(found.figures["accuracy"].value).all()
    for name in ("auc", "log_loss", "brier", "ece"):
        assert np.isnan(found.figures[name].value).all(), name


def test_another_positive_class_turns_the_figures_round() -> None:
    frame = drawn.draw(Task.BINARY, 1_000, 10, trouble=False)
    builder = ReferenceBuilder(drawn.layout(Task.BINARY), (), positive="0")
    builder.add(drawn.batch(frame.assign(score=1.0 - frame["score"]), Task.BINARY))
    reference = builder.finish()
    assert reference.outcomes is not None
    layout = OutcomeLayout(reference.layout, reference.positive)
    assert layout.classes == ("1", "0")
    figures = performance(layout, reference.outcomes.block)
    recall = metrics.recall_score(frame["label"], frame["prediction"], pos_label="0")
    assert figures["recall"].value[0] == pytest.approx(recall)
    auc = metrics.roc_auc_score(frame["label"] == "1", frame["score"])
    assert figures["auc"].value[0] == pytest.approx(auc)


def test_log_losses_are_summed_and_binned(binary: Counted) -> None:
    edges = np.asarray(LOG_LOSS_BINS.edges)
    for row, mine in binary.slices():
        scored = mine[mine["score"].notna()]
        right = np.where(scored["label"] == "1", scored["score"], 1.0 - scored["score"])
        loss = -np.log(right)
        expected = [loss.sum(), (loss**2).sum()]
        np.testing.assert_allclose(binary.sums(LOG_LOSS)[row], expected, rtol=1e-12)
        bins = np.bincount(np.searchsorted(edges, loss, side="right"), minlength=len(edges) + 1)
        cells = binary.cells(LOG_LOSS)[row]
        # A loss that lies at an edge may round to either side of it.
        assert np.abs(cells[: len(bins)] - bins).sum() <= 2
        assert cells.sum() == len(mine)


def test_a_score_that_is_certain_and_wrong_has_a_finite_loss() -> None:
    frame = drawn.draw(Task.BINARY, 40, 11, trouble=False).assign(score=[0.0, 1.0] * 20)
    found = Counted(Task.BINARY, frame)
    assert np.isfinite(found.sums(LOG_LOSS)).all()
    assert found.cells(LOG_LOSS)[0, LOG_LOSS_BINS.value_bins - 1] == 0, "none is out of range"


def test_thirds_of_scores_are_held_against_what_came_true(
    binary: Counted, multiclass: Counted
) -> None:
    for found in (binary, multiclass):
        for row, mine in found.slices():
            scored = mine[mine["score"].notna()]
            true = (
                scored["label"] == "1"
                if found is binary
                else _known(scored["label"]) == _known(scored["prediction"])
            )
            third = pd.cut(scored["score"], [0.0, 1 / 3, 2 / 3, 1.0], right=False, labels=False)
            table = pd.crosstab(third, true).reindex(
                index=range(3), columns=[False, True], fill_value=0
            )
            for i, subject in enumerate(CALIBRATION):
                cells = found.cells(subject)[row]
                assert cells[:2].tolist() == table.loc[i].tolist()
                missing = len(mine) - int(table.loc[i].sum())
                assert cells.sum() - cells[:2].sum() == missing


def _known(column: "pd.Series[str]") -> "pd.Series[str]":
    """Classes past those of the reference, taken together."""
    return column.where(column.isin(drawn.CLASSES[Task.MULTICLASS]), "(other)")


def test_unknown_classes_count_together(multiclass: Counted) -> None:
    assert multiclass.layout.classes == ("a", "b", "c", "(other)")
    confusion = confusion_counts_of(multiclass.layout, multiclass.outcomes.block)
    for row, mine in multiclass.slices():
        truth, predicted = _known(mine["label"]), _known(mine["prediction"])
        expected = metrics.confusion_matrix(truth, predicted, labels=multiclass.layout.classes)
        np.testing.assert_array_equal(confusion[row], expected)
        assert expected[3].sum() > 0
        for name, value in (
            ("accuracy", metrics.accuracy_score(truth, predicted)),
            ("macro_f1", metrics.f1_score(truth, predicted, average="macro")),
            ("weighted_recall", metrics.recall_score(truth, predicted, average="weighted")),
        ):
            assert multiclass.figures[name].value[row] == pytest.approx(value), name


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_labels_and_errors_are_counted_as_fields(task: Task) -> None:
    found = Counted(task, drawn.draw(task, N, 12))
    for row, mine in found.slices():
        wrong = int((mine["label"] != mine["prediction"]).sum())
        assert found.cells(ERROR)[row].tolist() == [len(mine) - wrong, wrong, 0, 0, 0, 0]
        names = mine["label"].value_counts()
        known = [int(names.get(name, 0)) for name in drawn.CLASSES[task]]
        others = len(mine) - sum(known)
        assert found.cells(LABEL)[row].tolist() == [*known, 0, others, 0, 0]


def test_errors_of_numbers_are_those_of_scikit_learn(regression: Counted) -> None:
    for row, mine in regression.slices():
        truth, predicted = mine["label"], mine["prediction"]
        error = (predicted - truth).astype(float)
        for name, value in (
            ("mean_error", error.mean()),
            ("mae", metrics.mean_absolute_error(truth, predicted)),
            ("mse", metrics.mean_squared_error(truth, predicted)),
            ("rmse", metrics.root_mean_squared_error(truth, predicted)),
            ("r2", metrics.r2_score(truth, predicted)),
            ("mape", metrics.mean_absolute_percentage_error(truth, predicted)),
        ):
            assert regression.figures[name].value[row] == pytest.approx(value, rel=1e-9), name
        for subject, numbers in ((PREDICTION_ERROR, error), (ABSOLUTE_ERROR, error.abs())):
            expected = [numbers.sum(), (numbers**2).sum()]
            np.testing.assert_allclose(regression.sums(subject)[row], expected, rtol=1e-9)
            assert regression.cells(subject)[row].sum() == len(mine)


def test_percentiles_of_errors_are_known_to_the_width_of_their_bins(regression: Counted) -> None:
    error = (regression.events["prediction"] - regression.events["label"]).abs()
    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        found = regression.figures[f"absolute_error_{name}"].value[0]
        assert found == pytest.approx(error.quantile(share), rel=0.16)


@pytest.mark.parametrize("absurd", [1e300, -1.7e308, 5e-324, 1e-200, 0.0])
@pytest.mark.parametrize("side", ["label", "prediction"])
def test_an_absurd_value_leaves_every_sum_finite(absurd: float, side: str) -> None:
    frame = drawn.draw(Task.REGRESSION, 200, 13, trouble=False)
    frame.loc[7, side] = absurd
    found = Counted(Task.REGRESSION, frame)
    assert labelled(found.layout, found.outcomes.block)[0] == 200
    assert np.isfinite(found.outcomes.block.sums).all()
    assert np.isfinite(found.figures["mae"].value[0])


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e70, 1.7e308])
def test_edges_of_errors_ascend_whatever_the_scale_of_labels(scale: float) -> None:
    base = drawn.layout(Task.REGRESSION)
    position = base.position(LABEL)
    assert position is not None
    fields = list(base.fields)
    fields[position] = replace(fields[position], bins=NumericBins((-1.0, 1.0), (0,), 0.0, scale))
    edges = OutcomeLayout(replace(base, fields=tuple(fields))).edges
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


def test_infinite_numbers_are_no_outcomes() -> None:
    frame = drawn.draw(Task.REGRESSION, 100, 15, trouble=False)
    frame.loc[:9, "label"] = np.inf
    frame.loc[10:19, "prediction"] = -np.inf
    found = Counted(Task.REGRESSION, frame)
    assert labelled(found.layout, found.outcomes.block)[0] == 80


def test_features_of_labelled_events_are_counted_by_bin(counted: Counted) -> None:
    layout, block = counted.layout, counted.outcomes.block
    for i, position in enumerate(layout.features):
        item = counted.whole.layout.fields[position]
        start, end = layout.feature_starts[i : i + 2]
        width = end - start
        at = slice(start, end)
        for row, mine in counted.slices():
            bins = fold_table(item.bins)[_bins(item.bins, mine[item.subject.name])]
            error = (
                (mine["prediction"] - mine["label"]).astype(float).abs()
                if counted.task is Task.REGRESSION
                else (_classes(counted, mine["prediction"]) != _classes(counted, mine["label"]))
            )
            groups = error.groupby(bins)
            counts = groups.size().reindex(range(width), fill_value=0)
            assert block.counts[row, layout.feature_counts][at].tolist() == counts.tolist()
            total = groups.sum().reindex(range(width), fill_value=0)
            if counted.task is not Task.REGRESSION:
                assert block.counts[row, layout.feature_errors][at].tolist() == total.tolist()
                continue
            squares = (error**2).groupby(bins).sum().reindex(range(width), fill_value=0)
            sums = block.sums[row, layout.feature_sums][at]
            np.testing.assert_allclose(sums[:, SUM], total, rtol=1e-12)
            np.testing.assert_allclose(sums[:, SUM_SQUARES], squares, rtol=1e-12)


def _classes(counted: Counted, column: "pd.Series[str]") -> "pd.Series[str]":
    return _known(column) if counted.task is Task.MULTICLASS else column


def _bins(bins: NumericBins | CategoricalBins, column: Any) -> Any:
    """The bin of every value, found without the code that counts."""
    if isinstance(bins, NumericBins):
        values = column.to_numpy(float)
        found = np.searchsorted(np.asarray(bins.edges), values, side="right")
        return np.where(np.isnan(values), bins.value_bins, found)
    index = {name: i for i, name in enumerate(bins.categories)}
    return np.array(
        [
            bins.value_bins if isinstance(value, float) else index.get(value, bins.value_bins - 1)
            for value in column
        ]
    )
