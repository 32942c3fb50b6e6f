"""Labelled events, drawn, and what their intervals are held against."""

from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.performance.binary import BinarySums, count_binary
from streamgauge.core.performance.intervals import Estimate
from streamgauge.core.performance.multiclass import MulticlassSums, count_multiclass
from streamgauge.core.performance.regression import (
    RegressionSums,
    count_regression,
    error_edges,
)

THRESHOLD = 0.4
CLASSES = 4
CENTRE = 50.0
EDGES = error_edges(12.0)


class BinaryEvents(NamedTuple):
    """Events of a binary classifier, `(n,)` each."""

    rows: IntArray
    truth: BoolArray
    score: FloatArray

    def sums(self, size: int) -> BinarySums:
        decided = self.score >= THRESHOLD
        return count_binary(self.rows, size, truth=self.truth, predicted=decided, score=self.score)


class ClassEvents(NamedTuple):
    """Events of a classifier with `CLASSES` classes, `(n,)` each."""

    rows: IntArray
    truth: IntArray
    predicted: IntArray

    def sums(self, size: int) -> MulticlassSums:
        return count_multiclass(
            self.rows, size, CLASSES, truth=self.truth, predicted=self.predicted
        )


class NumberEvents(NamedTuple):
    """Events of a regression, `(n,)` each."""

    rows: IntArray
    truth: FloatArray
    predicted: FloatArray

    def sums(self, size: int) -> RegressionSums:
        return count_regression(
            self.rows,
            size,
            truth=self.truth,
            predicted=self.predicted,
            centre=CENTRE,
            edges=EDGES,
        )


def binary_events(n: int, rows: int, seed: int) -> BinaryEvents:
    """Draw n events for each row, three in ten positive, scores somewhat too sure."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n * rows) < 0.3
    score = 1.0 / (1.0 + np.exp(1.5 - 1.5 * truth - rng.normal(size=n * rows)))
    return BinaryEvents(np.repeat(np.arange(rows), n), truth, score)


def class_events(n: int, rows: int, seed: int) -> ClassEvents:
    """Draw n events for each row; classes are of unlike size and the last two alike."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, n * rows, p=[0.5, 0.25, 0.15, 0.1])
    confused = np.where(truth >= 2, 5 - truth, rng.integers(0, CLASSES, n * rows))
    right = rng.random(n * rows) < 0.75
    return ClassEvents(np.repeat(np.arange(rows), n), truth, np.where(right, truth, confused))


def number_events(n: int, rows: int, seed: int) -> NumberEvents:
    """Draw n events for each row; errors grow with the truth and are 0.5 too high."""
    rng = np.random.default_rng(seed)
    truth = 40.0 + rng.gamma(4.0, 3.0, n * rows)
    error = 0.5 + 0.1 * (truth - 40.0) * rng.normal(size=n * rows)
    return NumberEvents(np.repeat(np.arange(rows), n), truth, truth + error)


def coverage(estimate: Estimate, truth: FloatArray) -> float:
    """Return how many of the rows' intervals hold the truth; one that is undefined does not."""
    return float(np.mean((estimate.lower <= truth) & (truth <= estimate.upper)))
