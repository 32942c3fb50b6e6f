"""How the demo's data set is derived from its source: clocks, zones, the fault, the report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from examples.flights import build, model, source
from streamgauge.demo import dataset


def test_a_clock_reading_of_2400_is_the_midnight_that_ends_the_day() -> None:
    elapsed = source._clock(pd.Series([1, 517, 2359, 2400]))
    assert (elapsed.dt.total_seconds() / 60).tolist() == [1, 317, 1439, 1440]


@pytest.mark.parametrize(
    ("scheduled", "reading", "destination", "zone", "arrival"),
    [
        ("2013-01-01T10:15Z", 819, "IAH", "America/Chicago", "2013-01-01T14:19Z"),
        ("2013-01-02T04:59Z", 437, "BQN", "America/Puerto_Rico", "2013-01-02T08:37Z"),
        ("2013-07-01T23:30Z", 2230, "LAX", "America/Los_Angeles", "2013-07-02T05:30Z"),
        # Arizona keeps standard time; the East has just left it.
        ("2013-03-10T12:00Z", 1030, "PHX", "America/Phoenix", "2013-03-10T17:30Z"),
        # Leaves before the clocks go back in New York and arrives after.
        ("2013-11-03T03:59Z", 345, "PSE", "America/Puerto_Rico", "2013-11-03T07:45Z"),
        # Leaves on standard time, arrives on daylight saving time.
        ("2013-03-10T04:15Z", 430, "MIA", "America/New_York", "2013-03-10T08:30Z"),
    ],
)
def test_a_scheduled_arrival_is_the_next_such_reading_at_the_destination(
    scheduled: str, reading: int, destination: str, zone: str, arrival: str
) -> None:
    flight = pd.DataFrame(
        {
            "scheduled": [pd.Timestamp(scheduled)],
            "sched_arr_time": [reading],
            "dest": [destination],
        }
    )
    assert source._scheduled_arrival(flight, {destination: zone}).tolist() == [
        pd.Timestamp(arrival)
    ]


def test_a_departure_that_contradicts_the_source_is_an_error() -> None:
    flight = pd.DataFrame({"departure": [pd.Timestamp("2013-03-10T08:30Z")], "dep_time": [330.0]})
    with pytest.raises(source.SourceError, match="1 departures"):
        source._check_departures(flight)


def test_another_file_than_the_source_s_is_refused(tmp_path: Path) -> None:
    data = tmp_path / source.PACKAGE / "data"
    data.mkdir(parents=True)
    (data / "flights.csv.zip").write_bytes(b"")
    with pytest.raises(source.SourceError, match=r"flights\.csv\.zip"):
        source.load(tmp_path)


def test_the_fault_hits_one_carrier_from_its_start_until_before_its_end() -> None:
    fault = dataset.FAULT
    flights = pd.DataFrame(
        [
            (fault.start_ms - 1, "4", "UA", 1000),
            (fault.start_ms, "4", "UA", 1000),
            (fault.end_ms - 1, "4", "UA", 1000),
            (fault.end_ms, "4", "UA", 1000),
            (fault.start_ms, "4", "DL", 1000),
            (fault.start_ms, "3", "UA", 1000),
        ],
        columns=["timestamp", "model_version", "carrier", "distance"],
    )
    sent = build.with_fault(flights)["distance"]
    assert sent.tolist() == pytest.approx([1000, 1609.344, 1609.344, 1000, 1000, 1000])
    assert flights["distance"].tolist() == [1000] * 6


def test_calibration_error_is_the_mean_gap_of_the_bins_weighted_by_their_size() -> None:
    rng = np.random.default_rng(3)
    scores = np.append(rng.uniform(size=400), [0.0, 1.0])
    labels = rng.integers(0, 2, size=len(scores))
    expected = 0.0
    for k in range(15):
        upper = 1.1 if k == 14 else (k + 1) / 15
        inside = (scores >= k / 15) & (scores < upper)
        if inside.any():
            gap = abs(labels[inside].mean() - scores[inside].mean())
            expected += gap * inside.sum() / len(scores)
    assert model.quality(labels, scores).ece == pytest.approx(expected, rel=1e-12)
