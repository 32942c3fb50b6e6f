"""Counting and summing events by row."""

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray


def check_codes(codes: IntArray, limit: int) -> None:
    """Raise `ValueError` unless 0 ≤ code < limit: others would be counted elsewhere."""
    if len(codes) and (codes.min() < 0 or codes.max() >= limit):
        raise ValueError(f"codes {codes.min()}..{codes.max()} are not all within 0..{limit - 1}")


def counts_by_row(rows: IntArray, size: int, bins: IntArray, width: int) -> IntArray:
    """Count events `(n,)` by row and bin: `(size, width) int64`."""
    return np.bincount(rows * width + bins, minlength=size * width).reshape(size, width)


def sums_by_row(rows: IntArray, size: int, *columns: FloatArray) -> FloatArray:
    """Add columns `(n,)` up by row: `(size, columns) float64`."""
    return np.stack([np.bincount(rows, column, minlength=size) for column in columns], axis=1)


def confusion_counts(
    rows: IntArray, size: int, classes: int, truth: IntArray, predicted: IntArray
) -> IntArray:
    """Count events by row, label and prediction: `(size, classes, classes) int64`.

    `rows`, `truth` and `predicted` are `(n,)`; classes are numbered from 0. Raises `ValueError`
    for a row or class out of range.
    """
    check_codes(rows, size)
    check_codes(truth, classes)
    check_codes(predicted, classes)
    counts = counts_by_row(rows, size, truth * classes + predicted, classes**2)
    return counts.reshape(size, classes, classes)
