"""Figures of classifiers with several classes against scikit-learn and simulation."""

import numpy as np
import pytest
from sklearn import metrics

from streamgauge.core.performance.decisions import business_value
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.performance.multiclass import (
    MulticlassFigures,
    MulticlassSums,
    count_multiclass,
    multiclass_figures,
)
from tests.support.labelled import CLASSES, class_events, coverage

ROWS = 6
MANY = 2_000


def estimates(found: MulticlassFigures) -> dict[str, Estimate]:
    """All figures with one value a row, by name."""
    averaged = {
        f"{kind}_{name}": estimate
        for kind, averages in (("macro", found.macro), ("weighted", found.weighted))
        for name, estimate in averages._asdict().items()
    }
    return {"accuracy": found.accuracy} | averaged


# With 12 events a row, classes go missing as label, as prediction, and as both.
@pytest.mark.parametrize("n", [12, 500])
def test_figures_of_every_row_are_those_of_scikit_learn(n: int) -> None:
    events = class_events(n, ROWS, seed=1)
    found = multiclass_figures(events.sums(ROWS))
    for row in range(ROWS):
        mine = events.rows == row
        pair = events.truth[mine], events.predicted[mine]
        assert found.accuracy.value[row] == pytest.approx(metrics.accuracy_score(*pair), abs=1e-9)
        for kind, averages in (
            ("macro", found.macro),
            ("micro", found.micro),
            ("weighted", found.weighted),
        ):
            expected = metrics.precision_recall_fscore_support(
                *pair, average=kind, zero_division=0.0
            )[:3]
            values = [estimate.value[row] for estimate in averages]
            assert values == pytest.approx(expected, abs=1e-9), kind
        expected = metrics.precision_recall_fscore_support(
            *pair, labels=range(CLASSES), zero_division=np.nan
        )
        for figure, each in zip((found.precision, found.recall, found.f1), expected, strict=False):
            np.testing.assert_allclose(figure.value[row], each, atol=1e-9)


def test_confusion_counts_are_those_of_scikit_learn() -> None:
    events = class_events(200, ROWS, seed=2)
    for row, table in enumerate(events.sums(ROWS).confusion):
        mine = events.rows == row
        pair = events.truth[mine], events.predicted[mine]
        assert (table == metrics.confusion_matrix(*pair, labels=range(CLASSES))).all()


def test_weighted_recall_has_the_interval_of_the_accuracy_that_it_is() -> None:
    found = multiclass_figures(class_events(20_000, ROWS, seed=3).sums(ROWS))
    width = found.accuracy.upper - found.accuracy.lower
    difference = np.abs(np.array(found.weighted.recall) - np.array(found.accuracy))
    assert (difference < 0.002 * width).all()


@pytest.mark.parametrize("kind", ["macro", "weighted"])
def test_intervals_of_averages_are_as_wide_as_numeric_derivatives_say(kind: str) -> None:
    table = np.array([[[5_000, 400, 200], [900, 2_500, 300], [100, 500, 600]]])

    def averages(counts: np.ndarray) -> np.ndarray:
        hits, labels, predictions = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        each = [hits / predictions, hits / labels, 2 * hits / (labels + predictions)]
        weights = labels / counts.sum() if kind == "weighted" else np.full(3, 1 / 3)
        return np.array([(weights * figure).sum() for figure in each])

    variance = np.zeros(3)
    for cell in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[cell] = 0.5
        variance += table[0][cell] * (averages(table[0] + step) - averages(table[0] - step)) ** 2
    found = getattr(multiclass_figures(MulticlassSums(table)), kind)
    for figure, expected in zip(found, 2 * 1.96 * np.sqrt(variance), strict=True):
        assert figure.upper[0] - figure.lower[0] == pytest.approx(expected, rel=0.002)


@pytest.mark.parametrize(("n", "lowest"), [(30, 0.88), (60, 0.91), (400, 0.93)])
def test_intervals_cover_the_figures_of_the_population(n: int, lowest: float) -> None:
    population = estimates(multiclass_figures(class_events(2_000_000, 1, seed=4).sums(1)))
    found = estimates(multiclass_figures(class_events(n, MANY, seed=5).sums(MANY)))
    for name, estimate in found.items():
        share = coverage(estimate, population[name].value)
        assert lowest < share < (0.995 if n == 30 else 0.98), (name, share)


def test_figures_of_classes_cover_those_of_the_population() -> None:
    population = multiclass_figures(class_events(2_000_000, 1, seed=6).sums(1))
    found = multiclass_figures(class_events(400, MANY, seed=7).sums(MANY))
    for name in ("precision", "recall", "f1"):
        estimate, truth = getattr(found, name), getattr(population, name).value[0]
        for k in range(CLASSES):
            share = coverage(Estimate(*(limit[:, k] for limit in estimate)), truth[k])
            assert 0.93 < share < 0.97, (name, k, share)


def test_a_row_without_events_has_no_figures() -> None:
    found = multiclass_figures(MulticlassSums(np.zeros((1, 3, 3), np.int64)))
    for name, estimate in estimates(found).items():
        assert np.isnan([limit[0] for limit in estimate]).all(), name


# Shares of some numbers of classes add up to a little less than 1.
@pytest.mark.parametrize("classes", range(2, 12))
def test_a_few_events_that_are_all_right_leave_room_for_doubt(classes: int) -> None:
    confusion = np.diag(np.arange(3, 3 + classes))[None]
    found = multiclass_figures(MulticlassSums(confusion))
    n = confusion.sum()
    for name, estimate in estimates(found).items():
        assert estimate.value[0] == pytest.approx(1.0, abs=1e-12), name
        assert estimate.upper[0] == pytest.approx(1.0, abs=1e-12), name
        assert 1 - 4 / n < estimate.lower[0] < 1 - 2 / n, name


def test_the_value_of_decisions_weighs_each_confusion() -> None:
    events = class_events(250, ROWS, seed=8)
    worth = np.random.default_rng(9).normal(size=(CLASSES, CLASSES))
    found = business_value(events.sums(ROWS).confusion, worth)
    for row in range(ROWS):
        mine = events.rows == row
        each = worth[events.truth[mine], events.predicted[mine]]
        assert found.value[row] == pytest.approx(each.mean(), abs=1e-9)


@pytest.mark.parametrize("wrong", [(2, 0, 0), (0, 3, 0), (0, 0, -1)])
def test_a_row_or_class_out_of_range_is_refused(wrong: tuple[int, int, int]) -> None:
    row, truth, predicted = (np.array([code]) for code in wrong)
    with pytest.raises(ValueError, match="not all within"):
        count_multiclass(row, 2, 3, truth=truth, predicted=predicted)
