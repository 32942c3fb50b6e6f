"""Figures: rows of outcome counts and sums as the performance figures that people know."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray, Task
from streamgauge.core.blocks import Block
from streamgauge.core.outcomes.layout import LOG_LOSS, PREDICTION_ERROR, OutcomeLayout
from streamgauge.core.performance.binary import SCORE_BINS, BinarySums, binary_figures
from streamgauge.core.performance.calibration import GROUPS
from streamgauge.core.performance.decisions import business_value
from streamgauge.core.performance.intervals import Estimate, wilson
from streamgauge.core.performance.multiclass import MulticlassSums, multiclass_figures
from streamgauge.core.performance.regression import RegressionSums, regression_figures

Figures = dict[str, Estimate]
"""Figures by metric, each `(rows,)`."""

DECISIONS: Final = (
    "accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "mcc",
)  # fmt: skip
PERCENTILES: Final = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99"}
METRICS: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.BINARY: (
        *DECISIONS, "auc", "average_precision", "ece", "log_loss", "brier", "positive_rate",
        "value",
    ),
    Task.MULTICLASS: (
        "accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_precision",
        "weighted_recall", "weighted_f1", "value",
    ),
    Task.REGRESSION: (
        "mean_error", "mae", "mse", "rmse", "r2", "mape",
        *(f"absolute_error_{name}" for name in PERCENTILES.values()),
    ),
}  # fmt: skip
"""The metrics of each task; `value` where a value of decisions is configured."""
LOWER_IS_BETTER: Final = frozenset(
    {"ece", "log_loss", "brier", "mae", "mse", "rmse", "mape"}
    | {f"absolute_error_{name}" for name in PERCENTILES.values()}
)


def binary_sums(layout: OutcomeLayout, block: Block) -> BinarySums:
    """Return a block's rows as the sums of a binary classifier."""
    rows = len(block.counts)
    counts = block.counts.astype(np.int64, copy=False)
    task = block.sums[:, layout.task_sums].reshape(rows, -1)
    position = layout.watched.position(LOG_LOSS)
    assert position is not None
    log = block.sums[:, layout.watched.numeric.index(position)]
    return BinarySums(
        confusion=counts[:, layout.confusion].reshape(rows, 2, 2),
        histogram=counts[:, layout.histogram].reshape(rows, 2, SCORE_BINS),
        score_sums=task[:, :GROUPS],
        losses=np.concatenate([log, task[:, GROUPS : GROUPS + 2]], axis=1),
    )


def regression_sums(layout: OutcomeLayout, block: Block) -> RegressionSums:
    """Return a block's rows as the sums of a regression."""
    rows = len(block.counts)
    counts = block.counts.astype(np.int64, copy=False)
    position = layout.watched.position(PREDICTION_ERROR)
    assert position is not None
    cells = layout.watched.cells(position)
    histogram = counts[:, cells][:, : layout.watched.fields[position].bins.value_bins]
    task = block.sums[:, layout.task_sums].reshape(rows, -1)
    return RegressionSums(
        events=histogram.sum(axis=1),
        nonzero=counts[:, layout.nonzero][:, 0],
        histogram=histogram,
        errors=task[:, 0:4],
        truths=task[:, 4:8],
        products=task[:, 8:10],
        relative=task[:, 10:12],
    )


def confusion_counts_of(layout: OutcomeLayout, block: Block) -> IntArray:
    """Return a block's confusion counts `(rows, classes, classes)`, [label, prediction]."""
    classes = len(layout.classes)
    counts = block.counts[:, layout.confusion].astype(np.int64, copy=False)
    return counts.reshape(len(counts), classes, classes)


def labelled(layout: OutcomeLayout, block: Block) -> IntArray:
    """Return how many labelled events each row of a block has `(rows,)`."""
    cells = layout.watched.cells(0)
    events: IntArray = block.counts[:, cells].sum(axis=1, dtype=np.int64)
    return events


def performance(layout: OutcomeLayout, block: Block, values: FloatArray | None = None) -> Figures:
    """Return the figures of a block's rows with their 95 % intervals, those of `METRICS`.

    `values (classes, classes)` is what an event of [label, prediction] is worth, for `value`.
    """
    found: Figures = {}
    if layout.task is Task.REGRESSION:
        numbers = regression_figures(regression_sums(layout, block), np.asarray(layout.edges))
        for name in ("mean_error", "mae", "mse", "rmse", "r2", "mape"):
            found[name] = getattr(numbers, name)
        for probability, name in PERCENTILES.items():
            found[f"absolute_error_{name}"] = numbers.quantiles[probability]
        return found
    confusion = confusion_counts_of(layout, block)
    if layout.task is Task.BINARY:
        binary = binary_figures(binary_sums(layout, block))
        found.update({name: getattr(binary.decisions, name) for name in DECISIONS})
        found["auc"] = binary.auc.estimate
        found["average_precision"] = binary.average_precision.estimate
        found.update({name: getattr(binary, name) for name in ("ece", "log_loss", "brier")})
        found["positive_rate"] = positive_rate(confusion)
    else:
        several = multiclass_figures(MulticlassSums(confusion))
        found["accuracy"] = several.accuracy
        for prefix, averages in (("macro", several.macro), ("weighted", several.weighted)):
            for name in ("precision", "recall", "f1"):
                found[f"{prefix}_{name}"] = getattr(averages, name)
    if values is not None:
        found["value"] = business_value(confusion, values)
    return found


def auc_bound(layout: OutcomeLayout, block: Block) -> FloatArray:
    """Return how far the binned AUC may lie from that of the scores themselves `(rows,)`."""
    return binary_figures(binary_sums(layout, block)).auc.bound


def positive_rate(confusion: IntArray) -> Estimate:
    """Return the proportion of positive labels `(rows,)` with Wilson's interval."""
    return wilson(confusion[:, 1].sum(axis=1), confusion.sum(axis=(1, 2)))
