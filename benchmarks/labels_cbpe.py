"""Figures without labels by us and by NannyML, against what labels show: car loans and flights."""

import os
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.common import Row
from benchmarks.data.car_loan import read
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.estimation.calibration import learn, middles, split
from streamgauge.core.estimation.cbpe import TINY, Metric, estimated_metrics
from streamgauge.core.estimation.dle import Loss, estimated_losses, learn_loss
from streamgauge.core.layout import score_bins
from streamgauge.core.performance.intervals import Estimate
from streamgauge.demo import dataset

THEIRS: Final = {
    Metric.ACCURACY: "accuracy",
    Metric.PRECISION: "precision",
    Metric.RECALL: "recall",
    Metric.SPECIFICITY: "specificity",
    Metric.F1: "f1",
    Metric.AUC: "roc_auc",
}
"""The metrics that NannyML estimates too, and what it calls them."""
ALL: Final = "the first six"
LEARNED: Final = "log_loss, learned"
"""Log-loss from the reference's losses by score bin, not from the score that a bin stands for."""
Figures = Mapping[str, FloatArray]


def loans() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two parts with `score`, and `prediction` and `label` as integers."""
    columns = {"score": float, "prediction": int, "label": int}
    reference, analysis = (part[list(columns)].astype(columns) for part in read())
    return reference, analysis


def flights() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the flights that a reference is made from, and all later ones that have a label."""
    columns = ["timestamp", "score", "prediction", "label"]
    parts = []
    for table in (
        dataset.training_table().select(columns),
        dataset.read(dataset.TRAINING_END_MS, columns=columns),
    ):
        frame = table.to_pandas().dropna(subset="label").reset_index(drop=True)
        frame["timestamp"] = pd.to_datetime(frame["timestamp"].astype("int64"), unit="ms")
        parts.append(frame.astype({"score": float, "prediction": int, "label": int}))
    return parts[0], parts[1]


def numbered(frame: pd.DataFrame, chunk: int | str) -> IntArray:
    """Return the chunk of every row `(n,)`: so many rows each, or a period of pandas, as W."""
    if isinstance(chunk, int):
        return np.arange(len(frame)) // chunk
    periods = frame["timestamp"].dt.to_period(chunk)
    codes: IntArray = np.asarray(pd.factorize(periods, sort=True)[0], np.int64)
    return codes


def realised(frame: pd.DataFrame, chunk: int | str) -> Figures:
    """Return what the labels show in every chunk `(chunks,)`, from rows, not bins."""
    chunks = [part for _, part in frame.groupby(numbered(frame, chunk))]
    shown = [_figures(part) for part in chunks]
    return {name: np.array([figures[name] for figures in shown]) for name in shown[0]}


def _figures(frame: pd.DataFrame) -> dict[str, float]:
    y, predicted, score = (frame[name].to_numpy() for name in ("label", "prediction", "score"))
    log_loss = float(_log_losses(frame).mean())
    tn, fn, fp, tp = np.bincount(predicted * 2 + y, minlength=4).tolist()
    return {
        Metric.ACCURACY: (tp + tn) / len(frame),
        Metric.PRECISION: tp / (tp + fp),
        Metric.RECALL: tp / (tp + fn),
        Metric.SPECIFICITY: tn / (tn + fp),
        Metric.F1: 2 * tp / (2 * tp + fp + fn),
        Metric.AUC: float(roc_auc_score(y, score)),
        Metric.BRIER: float(np.mean((y - score) ** 2)),
        Metric.LOG_LOSS: log_loss,
        LEARNED: log_loss,
    }


def _log_losses(frame: pd.DataFrame) -> FloatArray:
    score = np.clip(frame["score"].to_numpy(), TINY, 1 - TINY)
    losses: FloatArray = -np.log(np.where(frame["label"] == 1, score, 1 - score))
    return losses


def ours(
    reference: pd.DataFrame, analysis: pd.DataFrame, chunk: int | str
) -> Mapping[str, Estimate]:
    """Return our estimates of every chunk `(chunks,)`, from histograms alone."""
    bins = score_bins()
    of_reference, of_analysis = (
        bins.assign(part["score"].to_numpy()) for part in (reference, analysis)
    )

    def counts(rows: IntArray, of: IntArray) -> IntArray:
        n = (int(rows.max()) + 1) * bins.value_bins
        return np.bincount(rows * bins.value_bins + of, minlength=n).reshape(-1, bins.value_bins)

    labelled = counts(reference["label"].to_numpy(), of_reference)
    calibration = learn(split(labelled), middles(bins))
    rows = numbered(analysis, chunk) * 2 + analysis["prediction"].to_numpy()
    current = counts(rows, of_analysis).reshape(-1, 2, bins.value_bins)
    losses = _log_losses(reference)
    first, second = (
        np.bincount(of_reference, part, bins.value_bins).astype(float)
        for part in (losses, losses**2)
    )
    by_bin = learn_loss(labelled.sum(axis=0), first, second)
    log_loss = estimated_losses(current.sum(axis=1), by_bin)[Loss.MAE]
    return dict([*estimated_metrics(current, calibration).items(), (LEARNED, log_loss)])


def nannyml(reference: pd.DataFrame, analysis: pd.DataFrame, chunk: int | str) -> Figures:
    """Return NannyML's estimates. Raises ImportError where it is not installed."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    from nannyml import CBPE

    method = CBPE(
        y_pred_proba="score",
        y_pred="prediction",
        y_true="label",
        problem_type="classification_binary",
        metrics=list(THEIRS.values()),
        **(
            {"chunk_size": chunk}
            if isinstance(chunk, int)
            else {"chunk_period": chunk, "timestamp_column_name": "timestamp"}
        ),
    )
    method.fit(reference)
    unlabelled = analysis.drop(columns="label")
    found = method.estimate(unlabelled).filter(period="analysis").to_df()
    return {metric: found[name, "value"].to_numpy() for metric, name in THEIRS.items()}


def rows(
    chunk: int | str, parts: tuple[pd.DataFrame, pd.DataFrame] | None = None, data: str = "loans"
) -> list[Row]:
    """Return the mean absolute errors over chunks of one size, by metric and over six of them.

    `parts` are the reference and what is estimated, the car loans where not given.
    """
    reference, analysis = parts or loans()
    truth = realised(analysis, chunk)
    guess = realised(reference, len(reference))
    estimates = ours(reference, analysis, chunk)
    try:
        theirs: Figures | None = nannyml(reference, analysis, chunk)
    except ImportError:
        theirs = None
    table: list[Row] = []
    for name in (*truth, ALL):
        metrics: list[str] = list(THEIRS) if name == ALL else [name]
        mine = np.mean([np.abs(estimates[m].value - truth[m]).mean() for m in metrics])
        constant = np.mean([np.abs(guess[m] - truth[m]).mean() for m in metrics])
        held = [
            (estimates[m].lower <= truth[m]) & (truth[m] <= estimates[m].upper) for m in metrics
        ]
        row: dict[str, str | float] = {
            "data": data,
            "figure": name,
            "chunk": chunk,
            "mae": float(mine),
            "mae_nannyml": "-",
            "mae_constant": float(constant),
            "cbpe_mae_ratio_to_nannyml": "-",
            "ratio_to_constant": float(mine / constant),
            "in_interval": float(np.mean(held)),
        }
        if theirs is not None and metrics[0] in theirs:
            other = np.mean([np.abs(theirs[m] - truth[m]).mean() for m in metrics])
            row["mae_nannyml"] = float(other)
            row["cbpe_mae_ratio_to_nannyml"] = float(mine / other)
        table.append(row)
    return table
