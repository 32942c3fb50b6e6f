"""The delay model: gradient-boosted trees over the features that the demo sends."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score

from streamgauge.demo.dataset import BOOLEAN_FEATURES, CATEGORICAL_FEATURES, NUMERIC_FEATURES

SEED = 20130101
FOLDS = 4
CALIBRATION_BINS = 15

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DelayModel:
    """A fitted classifier with the category codes it was trained on."""

    categories: dict[str, list[str]]
    classifier: HistGradientBoostingClassifier

    def scores(self, flights: pd.DataFrame) -> Floats:
        """Return the probability of arriving late per row, rounded to 4 decimals, as served."""
        probabilities = self.classifier.predict_proba(_matrix(flights, self.categories))[:, 1]
        return np.asarray(np.round(probabilities, 4), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Quality:
    """Agreement of scores with labels; `ece` has 15 bins of equal width over [0, 1]."""

    rows: int
    late: float
    mean_score: float
    auc: float
    brier: float
    ece: float

    def __str__(self) -> str:
        return (
            f"{self.rows:7d} flights  late {self.late:.3f}  mean score {self.mean_score:.3f}  "
            f"AUC {self.auc:.4f}  Brier {self.brier:.4f}  ECE {self.ece:.4f}"
        )


def fit(flights: pd.DataFrame) -> DelayModel:
    """Fit on the labelled rows of `flights`."""
    labelled = flights[flights["label"].notna()]
    categories = {name: sorted(labelled[name].unique()) for name in CATEGORICAL_FEATURES}
    plain = len(NUMERIC_FEATURES) + len(BOOLEAN_FEATURES)
    # Small trees, large leaves and half the features per split: the weather of one hour is shared
    # by dozens of flights, and a freer model learns those hours by heart.
    classifier = HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.06,
        max_leaf_nodes=8,
        min_samples_leaf=400,
        l2_regularization=10.0,
        max_features=0.5,
        categorical_features=[plain + i for i in range(len(CATEGORICAL_FEATURES))],
        early_stopping=False,
        random_state=SEED,
    )
    classifier.fit(_matrix(labelled, categories), labelled["label"].to_numpy(dtype=np.int64))
    return DelayModel(categories, classifier)


def out_of_fold_scores(flights: pd.DataFrame) -> Floats:
    """Return for each row the score of a model that saw no flight of its calendar week.

    Flights of one day share weather and congestion; folds of single rows would leak both.
    """
    fold = flights["scheduled_local"].dt.isocalendar().week.to_numpy(dtype=np.int64) % FOLDS
    scores = np.full(len(flights), np.nan)
    for held_out in range(FOLDS):
        inside = fold == held_out
        scores[inside] = fit(flights[~inside]).scores(flights[inside])
    return scores


def quality(labels: NDArray[np.int64], scores: Floats) -> Quality:
    """Return how well `scores` order (AUC) and match (Brier, ECE) the 0/1 `labels`."""
    bins = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    # |mean label - mean score| per bin, weighted by the bin's share, is |sum of differences| / n.
    gaps = np.abs(np.bincount(bins, weights=labels - scores, minlength=CALIBRATION_BINS))
    return Quality(
        rows=len(labels),
        late=float(labels.mean()),
        mean_score=float(scores.mean()),
        auc=float(roc_auc_score(labels, scores)),
        brier=float(brier_score_loss(labels, scores)),
        ece=float(gaps.sum() / len(labels)),
    )


def _matrix(flights: pd.DataFrame, categories: dict[str, list[str]]) -> Floats:
    """Return the input, `(rows, features) float64`; NaN is missing or an unseen category."""
    columns = [flights[name].to_numpy(dtype=np.float64) for name in NUMERIC_FEATURES]
    columns += [flights[name].to_numpy(dtype=np.float64) for name in BOOLEAN_FEATURES]
    for name in CATEGORICAL_FEATURES:
        codes = {value: code for code, value in enumerate(categories[name])}
        columns.append(flights[name].map(codes).to_numpy(dtype=np.float64))
    return np.column_stack(columns)
