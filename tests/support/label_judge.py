"""What predictions and labels should have led to, counted again with pandas, event by event.

Nothing of the package's joining, counting or summing is used; of its layouts only where each number
stands, and the edges of its bins.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from streamgauge.core.batch import FloatArray, IntArray, Task
from streamgauge.core.bins import Bins, NumericBins
from streamgauge.core.layout import LABEL
from streamgauge.core.outcomes.layout import (
    ABSOLUTE_ERROR,
    CALIBRATION,
    ERROR,
    LOG_LOSS,
    PREDICTION_ERROR,
    OutcomeLayout,
)
from streamgauge.core.slices import RowKey
from tests.support.label_streams import LABELS, MAX_DELAY_MS, MODELS, PREDICTIONS, Event

SLICED = ((), ("colour",), ("colour", "region"))
_MISSING = "(missing)"


@dataclass(frozen=True)
class Judged:
    """One model's predictions that can have an outcome, and its pairs, as tables.

    Both have a row for each prediction, with `time`, `version`, `x`, `colour`, `region`,
    `prediction` and `score`; pairs also have `label` and `since`, when they became known (ms).
    """

    predictions: pd.DataFrame
    pairs: pd.DataFrame
    events: Mapping[str, int]
    """How many there were of what kind: what `JoinCounts` must say whatever the order."""


def judge(events: Iterable[Event], model: str, max_delay_ms: int = MAX_DELAY_MS) -> Judged:
    """Join the events of one model that have come, in the order of each partition."""
    mine = [event for event in events if event.body["model"] == model]
    made: dict[str, dict[str, Any]] = {}
    told: dict[str, list[Mapping[str, Any]]] = {}
    seen = {"predictions": 0, "duplicates": 0, "labels": 0}
    for event in mine:
        body = event.body
        if event.topic == LABELS:
            seen["labels"] += 1
            told.setdefault(event.name, []).append(body)
            continue
        assert event.topic == PREDICTIONS
        if body["status"] != "ok":
            continue
        seen["predictions"] += 1
        if event.name in made:
            seen["duplicates"] += 1
        else:
            made[event.name] = _row(body)
    joined = []
    for name, row in made.items():
        labels = told.get(name, [])
        in_time = [body for body in labels if body["timestamp"] <= row["time"] + max_delay_ms]
        if not in_time:
            continue
        final = in_time[0]
        for body in in_time[1:]:
            if body.get("label_version", 0) > final.get("label_version", 0):
                final = body
        since = max(in_time[0]["timestamp"], row["time"])
        joined.append({**row, "label": final["label"], "since": since})
    frame = _frame(made.values())
    pairs = _frame(joined)
    if len(pairs) and MODELS.get(model, Task.BINARY) is not Task.REGRESSION:
        pairs["label"] = pairs["label"].astype(str)
    return Judged(frame, pairs, seen)


def _row(body: Mapping[str, Any]) -> dict[str, Any]:
    score = body.get("score")
    if isinstance(score, dict):
        score = score[body["prediction"]]
    prediction = body["prediction"]
    return {
        "id": body["prediction_id"],
        "time": body["timestamp"],
        "version": body.get("model_version", ""),
        **{name: value for name, value in body["features"].items() if value is not None},
        **body.get("tags", {}),
        "prediction": prediction if isinstance(prediction, float) else str(prediction),
        "score": np.nan if score is None else score,
    }


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    for name in ("x", "colour", "region", "since", "label", "version", "time", "score"):
        if name not in frame:
            frame[name] = pd.Series(np.nan, frame.index, dtype=object)
    return frame


def rows_of(
    frame: pd.DataFrame, sliced: Sequence[tuple[str, ...]] = SLICED
) -> Iterator[tuple[RowKey, pd.DataFrame]]:
    """Yield every row's key and its events."""
    filled = frame.copy()
    for name in {name for names in sliced for name in names}:
        filled[name] = filled[name].astype(object).fillna(_MISSING)
    for names in sliced:
        for values, part in filled.groupby(["version", *names], dropna=False):
            version, *rest = values
            yield (
                RowKey(str(version), tuple(zip(names, map(str, rest), strict=True))),
                frame.loc[part.index],
            )


def counted(
    layout: OutcomeLayout, pairs: pd.DataFrame, wrong_rates: FloatArray | None = None
) -> tuple[IntArray, FloatArray]:
    """Return the counts `(width,)` and sums `(sums, 2)` of pairs.

    `wrong_rates` are the rates from which the cell of expected errors is counted.
    """
    counts = np.zeros(layout.width, np.int64)
    sums = np.zeros((layout.sums, 2))
    wrong = is_wrong(layout, pairs)
    for position, item in enumerate(layout.watched.fields):
        cells = layout.watched.cells(position)
        if item.subject == ERROR:
            bins = wrong.astype(int)
        elif item.subject in CALIBRATION:
            bins = _third(layout, pairs, CALIBRATION.index(item.subject))
        elif item.subject == LABEL and layout.task is not Task.REGRESSION:
            named = _names(layout, pairs["label"])
            bins = bins_of(item.bins, pd.Series(named, dtype=object))
        else:
            numbers = _numbers(layout, item.subject, pairs)
            assert isinstance(item.bins, NumericBins)
            bins = bins_of(item.bins, numbers)
            moment = layout.watched.numeric.index(position)
            sums[moment] = _moments((numbers - item.bins.center).dropna())
        counts[cells] = np.bincount(bins, minlength=cells.stop - cells.start)
    if layout.task is Task.REGRESSION:
        _count_regression(layout, pairs, counts, sums)
    else:
        _count_classes(layout, pairs, wrong, counts, sums, wrong_rates)
    _count_features(layout, pairs, wrong, counts, sums)
    return counts, sums


def is_wrong(layout: OutcomeLayout, pairs: pd.DataFrame) -> Any:
    """Tell which predictions differ from their labels, as far as the classes are told apart."""
    if layout.task is Task.REGRESSION:
        return np.zeros(len(pairs), bool)
    names = _names(layout, pairs["label"]), _names(layout, pairs["prediction"])
    return np.array([a != b for a, b in zip(*names, strict=True)], bool)


def score_cells(score: "pd.Series[float]") -> Any:
    """Return the hundredths of scores in [0, 1], the last with 1 itself."""
    edges = np.arange(1, 100) / 100
    return np.digitize(score.to_numpy(float), edges)


def bins_of(bins: Bins, values: Any) -> IntArray:
    """Return the bin of every value."""
    if isinstance(bins, NumericBins):
        numbers = np.asarray(values, float)
        found: IntArray = np.digitize(numbers, bins.edges)
        found[np.isnan(numbers)] = bins.value_bins
        return found
    known = {value: i for i, value in enumerate(bins.categories)}
    named = [bins.value_bins if pd.isna(v) else known.get(v, bins.unseen) for v in values]
    return np.array(named, np.int64)


def _folded(bins: Bins, values: Any) -> IntArray:
    found = bins_of(bins, values)
    groups = np.digitize(found, bins.groups) - 1
    return np.where(found < bins.value_bins, groups, len(bins.groups) + found - bins.value_bins)


def _names(layout: OutcomeLayout, column: "pd.Series[str]") -> list[str]:
    if layout.task is Task.BINARY:
        return [layout.classes[int(value == layout.classes[1])] for value in column]
    return [value if value in layout.classes[:-1] else layout.classes[-1] for value in column]


def _third(layout: OutcomeLayout, pairs: pd.DataFrame, which: int) -> Any:
    score = pairs["score"].to_numpy(float)
    third = np.digitize(score * 3, [1.0, 2.0])
    if layout.task is Task.BINARY:
        true = (pairs["label"] == layout.classes[1]).to_numpy()
    else:
        true = ~is_wrong(layout, pairs)
    # Two classes, other and unseen come before what is missing.
    return np.where(~np.isnan(score) & (third == which), true.astype(int), 4)


def log_losses(layout: OutcomeLayout, pairs: pd.DataFrame) -> FloatArray:
    """Return −ln of the probability given to the truth, held within 2⁻⁵² of 0 and 1."""
    score = pairs["score"].to_numpy(float)
    tiny = 2.0**-52
    truth = (pairs["label"] == layout.classes[1]).to_numpy()
    held = np.clip(score, tiny, 1 - tiny)
    losses: FloatArray = np.where(truth, -np.log(held), -np.log1p(-held))
    return losses


def _numbers(layout: OutcomeLayout, subject: Any, pairs: pd.DataFrame) -> "pd.Series[float]":
    if subject == LOG_LOSS:
        return pd.Series(log_losses(layout, pairs))
    label, predicted = (pairs[n].astype(float) for n in ("label", "prediction"))
    if subject == LABEL:
        return label
    assert subject in (PREDICTION_ERROR, ABSOLUTE_ERROR)
    error = predicted - label
    return error if subject == PREDICTION_ERROR else error.abs()


def _moments(values: "pd.Series[float]") -> list[float]:
    return [float(values.sum()), float((values**2).sum())]


def _count_classes(
    layout: OutcomeLayout,
    pairs: pd.DataFrame,
    wrong: Any,
    counts: IntArray,
    sums: FloatArray,
    wrong_rates: FloatArray | None,
) -> None:
    names = list(layout.classes)
    label, predicted = (_names(layout, pairs[n]) for n in ("label", "prediction"))
    seen = Counter(zip(label, predicted, strict=True))
    counts[layout.confusion] = [seen[pair] for pair in product(names, names)]
    scored = pairs["score"].notna().to_numpy()
    binary = layout.task is Task.BINARY
    true = np.array([name == names[1] for name in label], bool) if binary else ~wrong
    cells = score_cells(pairs["score"].where(scored, 0.0).astype(float))
    histogram = np.zeros((2, 100), np.int64)
    np.add.at(histogram, (true[scored].astype(int), cells[scored]), 1)
    counts[layout.histogram] = histogram.ravel()
    if wrong_rates is not None:
        assert layout.expected is not None
        which = np.array([name == names[1] for name in predicted], int) if binary else 0 * cells
        chance = np.where(scored, wrong_rates[which, cells], wrong)
        counts[layout.expected] = np.rint(chance * 2**20).sum()
    if not binary:
        return
    score = pairs["score"].to_numpy(float)[scored]
    square = (true[scored] - score) ** 2
    tenths = [float(score[cells[scored] // 10 == k].sum()) for k in range(10)]
    sums[layout.task_sums] = np.reshape([*tenths, square.sum(), (square**2).sum()], (-1, 2))


def _count_regression(
    layout: OutcomeLayout, pairs: pd.DataFrame, counts: IntArray, sums: FloatArray
) -> None:
    label, predicted = (pairs[n].to_numpy(float) for n in ("label", "prediction"))
    e, d = predicted - label, label - layout.centre
    counts[layout.nonzero] = np.count_nonzero(label)
    relative = np.abs(e[label != 0] / label[label != 0])
    sums[layout.task_sums] = np.reshape(
        [
            *(e.sum(), np.abs(e).sum(), (e**2).sum(), (e**4).sum()),
            *((d**power).sum() for power in (1, 2, 3, 4)),
            *((e**2 * d).sum(), (e**2 * d**2).sum()),
            *(relative.sum(), (relative**2).sum()),
        ],
        (-1, 2),
    )


def _count_features(
    layout: OutcomeLayout, pairs: pd.DataFrame, wrong: Any, counts: IntArray, sums: FloatArray
) -> None:
    base = layout.base
    for i, position in enumerate(layout.features):
        item = base.fields[position]
        low, high = layout.feature_starts[i : i + 2]
        if item.subject.name not in pairs:
            values = pd.Series(np.nan, pairs.index)
        else:
            values = pairs[item.subject.name]
        bins = _folded(item.bins, values)
        here = slice(layout.feature_counts.start + low, layout.feature_counts.start + high)
        counts[here] = np.bincount(bins, minlength=high - low)
        if layout.task is not Task.REGRESSION:
            here = slice(layout.feature_errors.start + low, layout.feature_errors.start + high)
            counts[here] = np.bincount(bins[wrong], minlength=high - low)
            continue
        error = (pairs["prediction"].astype(float) - pairs["label"].astype(float)).abs().to_numpy()
        for moment in (0, 1):
            sums[layout.feature_sums, moment][low:high] = np.bincount(
                bins, error ** (moment + 1), high - low
            )
