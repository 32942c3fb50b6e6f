"""Made-up training data with known trouble in it, and files of every format that hold it."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from tests.support.batches import START_MS

FEATURES = ("tenure", "fee", "visits", "plan", "active")


def training(n: int = 2_000, seed: int = 1) -> pd.DataFrame:
    """Customers that may leave: numbers with gaps, whole numbers, texts with gaps, booleans."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(["basic", "family", "pro"], n, p=[0.6, 0.3, 0.1]).astype(object)
    plan[rng.random(n) < 0.05] = None
    tenure = rng.exponential(24.0, n).round(1)
    tenure[rng.random(n) < 0.1] = np.nan
    score = rng.beta(2.0, 4.0, n)
    return pd.DataFrame(
        {
            "timestamp": START_MS + rng.integers(0, 30 * 86_400_000, n),
            "tenure": tenure,
            "fee": rng.normal(30.0, 5.0, n),
            "visits": rng.poisson(3.0, n),
            "plan": plan,
            "active": rng.random(n) < 0.7,
            "score": score,
            "prediction": (score > 0.4).astype(int),
            "label": (rng.random(n) < score).astype(int),
        }
    )


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table in the format that the path's suffix names; `.events.ndjson` as events."""
    name = path.name
    if name.endswith(".parquet"):
        frame.to_parquet(path, row_group_size=700)
    elif ".csv" in name or ".tsv" in name:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    else:
        as_events = ".events." in name
        lines = b"".join(orjson.dumps(_object(row, as_events)) + b"\n" for row in _rows(frame))
        path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    return path


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = frame.astype(object).to_dict("records")
    return [{k: None if v != v else v for k, v in row.items()} for row in records]


def _object(row: dict[str, Any], as_event: bool) -> dict[str, Any]:
    if not as_event:
        return row
    features = {name: value for name, value in row.items() if name in FEATURES}
    rest = {name: value for name, value in row.items() if name not in FEATURES}
    return {"prediction_id": "p", "model": "churn", "status": "ok", "features": features, **rest}
