"""NannyML's synthetic car loans, as frames and as event batches.

Applications for loans and what a model says to them, evenly spaced in time: a reference part and
an analysis part, half-way through which some features change. README.md tells the source.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from streamgauge.core.batch import (
    Categories,
    EventBatch,
    FeatureKind,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.core.fitting import fit_categorical, fit_groups, fit_numeric
from streamgauge.core.layout import FeatureSpec, Layout, build_layout, score_bins

NUMERIC: Final = ("car_value", "debt_to_income_ratio", "loan_length", "driver_tenure")
CATEGORICAL: Final = ("salary_range", "size_of_downpayment")
BOOLEAN: Final = ("repaid_loan_on_prev_car",)
SCHEMA: Final = ModelSchema("car-loan", Task.BINARY, NUMERIC, CATEGORICAL, BOOLEAN)
CHANGED: Final = (
    "car_value",
    "repaid_loan_on_prev_car",
    "score",
    "salary_range",
    "loan_length",
)
"""What changes; everything else stays as it was."""
PART: Final = 50_000
"""Events in the reference part, and in the analysis part after it."""
CHANGE: Final = 25_000
"""Events of the analysis part before the change."""
STEP_MS: Final = 523_152
"""Time from one event to the next."""
PANE: Final = 50
"""Events in a pane."""
PANE_MS: Final = PANE * STEP_MS
# The source begins on 1 January 2018; here everything is up to 7 hours earlier, so that a pane
# begins with the first event and another one with the change.
START_MS: Final = int(datetime(2018, 1, 1, tzinfo=UTC).timestamp() * 1000) // PANE_MS * PANE_MS


def read() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the reference and the analysis part: features, `score`, `prediction` and `label`.

    Categories, booleans (`true`, `false`), predictions and labels are strings.
    """
    frame = pd.read_parquet(Path(__file__).parent / "car_loan.parquet")
    return frame[:PART].reset_index(drop=True), frame[PART:].reset_index(drop=True)


def layout(reference: pd.DataFrame) -> Layout:
    """Return the layout that the reference part is counted in."""
    features = []
    for name in NUMERIC:
        x = reference[name].to_numpy(float)
        bins = fit_numeric(x, minimum=x.min(), maximum=x.max(), mean=x.mean(), std=x.std())
        features.append(FeatureSpec(name, FeatureKind.NUMERIC, bins))
    for name in CATEGORICAL:
        counted = fit_categorical(reference[name].value_counts().to_dict())
        features.append(FeatureSpec(name, FeatureKind.CATEGORICAL, counted))
    two = fit_categorical({"true": 1, "false": 1})
    features += [FeatureSpec(name, FeatureKind.BOOLEAN, two) for name in BOOLEAN]
    fine = score_bins()
    found = fine.assign(reference["score"].to_numpy(float))
    groups = fit_groups(np.bincount(found, minlength=fine.value_bins))
    classes = fit_categorical({"0": 1, "1": 1})
    return build_layout(
        SCHEMA, tuple(features), prediction=classes, label=classes, score=score_bins(groups)
    )


def batch(frame: pd.DataFrame, first: int) -> EventBatch:
    """Return the events of a frame; `first` is the number of the first one, counted from START."""
    n = len(frame)
    return EventBatch(
        schema=SCHEMA,
        timestamp=START_MS + (first + np.arange(n, dtype=np.int64)) * STEP_MS,
        partition=np.zeros(n, np.int32),
        version=Categories(np.zeros(n, np.int32), ("1",)),
        numeric=np.ascontiguousarray(frame[list(NUMERIC)].to_numpy(float).T),
        faults=NumericFaults.none(),
        categorical=tuple(_categories(frame[name]) for name in (*CATEGORICAL, *BOOLEAN)),
        tags=(),
        prediction=_categories(frame["prediction"]),
        score=frame["score"].to_numpy(float),
        latency=np.full(n, np.nan),
        ok=np.ones(n, bool),
    )


def _categories(column: pd.Series) -> Categories:
    codes, values = pd.factorize(column)
    return Categories(codes.astype(np.int32), tuple(map(str, values)))
