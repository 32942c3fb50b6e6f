"""Revisions: which labels of known predictions are taken, and what each of them replaces."""

from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray


class Revisions(NamedTuple):
    """The k labels that are taken, those of one prediction in a row and in the order they came.

    Shapes: `label (k,) int64` places among the labels given; `prediction (k,) int64` places among
    the predictions; `first (k,) bool` whether none of the prediction's labels comes before, among
    those taken here; `last (k,) bool` likewise.
    """

    label: IntArray
    prediction: IntArray
    first: BoolArray
    last: BoolArray


def revisions(
    prediction: IntArray, version: IntArray, labelled: BoolArray, known: IntArray
) -> Revisions:
    """Find the labels that are a prediction's first or have a higher version than all before.

    `prediction (n,) int64` and `version (n,) int64` are the labels in the order they came; of the
    predictions, `labelled (u,) bool` says which have a label, and `known (u,) int64` its version.
    The result is that of taking the labels one after the other, whatever number falls on one
    prediction.
    """
    label = np.arange(len(prediction))
    if not (np.diff(prediction) > 0).all():
        label = np.argsort(prediction, kind="stable")
        prediction, version = prediction[label], version[label]
    fresh = np.ones(len(label), np.bool_)
    fresh[1:] = prediction[1:] != prediction[:-1]
    if fresh.all():
        taken = ~labelled[prediction] | (version > known[prediction])
    else:
        taken = _above_all_before(prediction, version, labelled, known)
    label, prediction = label[taken], prediction[taken]
    first = np.ones(len(label), np.bool_)
    first[1:] = prediction[1:] != prediction[:-1]
    last = np.ones(len(label), np.bool_)
    last[:-1] = first[1:]
    return Revisions(label, prediction, first, last)


def _above_all_before(
    prediction: IntArray, version: IntArray, labelled: BoolArray, known: IntArray
) -> BoolArray:
    """Compare with a running maximum for each prediction, in one pass.

    Versions become ranks, and the ranks of each prediction lie above those of all predictions
    before it, so that the running maximum of all begins anew with each.
    """
    values, ranks = np.unique(np.concatenate((known, version)), return_inverse=True)
    steps = len(values) + 1
    base = np.where(labelled, 1 + ranks[: len(known)], 0)[prediction] + prediction * steps
    heights = 1 + ranks[len(known) :] + prediction * steps
    before = base.copy()
    before[1:] = np.maximum(base[1:], np.maximum.accumulate(heights)[:-1])
    above: BoolArray = heights > before
    return above
