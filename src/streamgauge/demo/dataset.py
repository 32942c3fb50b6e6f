"""The demo's data: every flight that left New York in 2013, scored by a delay model.

`examples/flights/build.py` makes the file from public data; `examples/flights/README.md` describes
its columns. Everything in it happened, but for the model, its releases and one fault (`FAULT`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MODEL: Final = "flight-delay"
NUMERIC_FEATURES: Final = (
    "distance",
    "dep_delay",
    "sched_hour",
    "air_temp",
    "wind_speed",
    "precip",
    "visibility",
    "pressure",
    "humidity",
)
CATEGORICAL_FEATURES: Final = ("carrier", "origin", "dest")
BOOLEAN_FEATURES: Final = ("is_weekend",)
FEATURES: Final = NUMERIC_FEATURES + CATEGORICAL_FEATURES + BOOLEAN_FEATURES

# `prediction` is 1 where the score reaches this.
THRESHOLD: Final = 0.5

# Rows per conversion from columns to Python values: large enough to amortise the conversion, small
# enough to stay in the cache.
_BATCH_ROWS: Final = 8192


def _milliseconds(moment: str) -> int:
    """Return the epoch milliseconds of an ISO 8601 instant that states its offset."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Release:
    """A deployment of the model: `model_version` serves from `start_ms` (inclusive, UTC) on."""

    model_version: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A serving fault: in [`start_ms`, `end_ms`) one carrier's `feature` is sent times `factor`."""

    start_ms: int
    end_ms: int
    model_version: str
    carrier: str
    feature: str
    factor: float


# Midnights of New York. The weights are the same in every release: a version here is a deployment
# of the serving code.
RELEASES: Final = (
    Release("1", _milliseconds("2013-01-01T00:00:00-05:00")),
    Release("2", _milliseconds("2013-04-01T00:00:00-04:00")),
    Release("3", _milliseconds("2013-07-01T00:00:00-04:00")),
    Release("4", _milliseconds("2013-10-01T00:00:00-04:00")),
)

# The one thing in the data that did not happen: for two weeks version 4 sends the distance of
# United's flights in kilometres. We put it there; the scores are what the model says to that input.
FAULT: Final = Fault(
    start_ms=_milliseconds("2013-10-08T00:00:00-04:00"),
    end_ms=_milliseconds("2013-10-22T00:00:00-04:00"),
    model_version="4",
    carrier="UA",
    feature="distance",
    factor=1.609344,
)

# The model was trained on the departures before this instant.
TRAINING_END_MS: Final = _milliseconds("2013-03-01T00:00:00-05:00")


def path() -> Path:
    """Return where the Parquet file lies in the installed package."""
    return Path(__file__).parent / "data" / "flights.parquet"


def read(
    start_ms: int | None = None,
    end_ms: int | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the flights with `start_ms <= timestamp < end_ms` in event-time order.

    A bound that is None is open; `columns` None means all of them. Row groups outside the period
    are not read.
    """
    period = []
    if start_ms is not None:
        period.append(("timestamp", ">=", start_ms))
    if end_ms is not None:
        period.append(("timestamp", "<", end_ms))
    selected = None if columns is None else list(columns)
    return pq.read_table(path(), columns=selected, filters=period or None)


def training_table() -> pa.Table:
    """Return the flights of January and February, all columns: what a reference is made from.

    Their scores are out of fold: each comes from a model that did not see that flight's week, so
    the performance measured on them is not flattered.
    """
    return read(end_ms=TRAINING_END_MS)


def prediction_ids(table: pa.Table) -> list[str]:
    """Return each row's id, `<carrier><flight>-<origin>-<scheduled date>`: unique in the data set.

    Needs the columns carrier, flight, origin and scheduled_date; raises KeyError where one lacks.
    """
    dates = pc.strftime(table.column("scheduled_date"), format="%Y%m%d")
    return [
        f"{carrier}{flight}-{origin}-{date}"
        for carrier, flight, origin, date in zip(
            table.column("carrier").to_pylist(),
            table.column("flight").to_pylist(),
            table.column("origin").to_pylist(),
            dates.to_pylist(),
            strict=True,
        )
    ]


def prediction_events(table: pa.Table) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of the prediction event of each row, in the table's order.

    The value is the JSON of the prediction topic; a missing feature is null. Needs every column but
    the label's; raises KeyError where one lacks.
    """
    dumps = orjson.dumps
    event_columns = ("timestamp", "model_version", "prediction", "score")
    for start in range(0, table.num_rows, _BATCH_ROWS):
        batch = table.slice(start, _BATCH_ROWS)
        ids = prediction_ids(batch)
        features = zip(*(batch.column(name).to_pylist() for name in FEATURES), strict=True)
        events = zip(*(batch.column(name).to_pylist() for name in event_columns), strict=True)
        for prediction_id, values, (timestamp, version, prediction, score) in zip(
            ids, features, events, strict=True
        ):
            event = {
                "prediction_id": prediction_id,
                "timestamp": timestamp,
                "model": MODEL,
                "model_version": version,
                "features": dict(zip(FEATURES, values, strict=True)),
                "prediction": prediction,
                "score": score,
                "status": "ok",
            }
            yield prediction_id.encode(), dumps(event)


def label_events(table: pa.Table) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (label time in ms UTC, key, value) of each labelled row, in label-time order.

    The value is the JSON of the label topic. Diverted flights have no label and are left out. Needs
    the columns of the id, label and label_timestamp; raises KeyError where one lacks.
    """
    labelled = table.filter(pc.is_valid(table.column("label")))
    order = np.argsort(labelled.column("label_timestamp").to_numpy(), kind="stable")
    labelled = labelled.take(order)
    for start in range(0, labelled.num_rows, _BATCH_ROWS):
        batch = labelled.slice(start, _BATCH_ROWS)
        for prediction_id, timestamp, label in zip(
            prediction_ids(batch),
            batch.column("label_timestamp").to_pylist(),
            batch.column("label").to_pylist(),
            strict=True,
        ):
            event = {
                "prediction_id": prediction_id,
                "timestamp": timestamp,
                "model": MODEL,
                "label": label,
            }
            yield timestamp, prediction_id.encode(), orjson.dumps(event)
