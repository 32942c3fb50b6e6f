"""The demo's data set: what the file promises, and the events made from it."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from streamgauge.demo import dataset

NEW_YORK = ZoneInfo("America/New_York")
DAY_MS = 86_400_000


def midnight_ms(year: int, month: int, day: int) -> int:
    return round(datetime(year, month, day, tzinfo=NEW_YORK).timestamp() * 1000)


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    return dataset.read()


@pytest.fixture(scope="module")
def storm() -> pa.Table:
    """Three days with missing pressure, diverted flights and departures after midnight."""
    return dataset.read(midnight_ms(2013, 3, 7), midnight_ms(2013, 3, 10))


def values(table: pa.Table, name: str) -> np.ndarray:
    """Return a column as a numpy array; missing numbers are NaN."""
    return np.asarray(table.column(name).to_numpy())


def faulty(table: pa.Table) -> np.ndarray:
    """Recount the rows of the fault from its description."""
    time = values(table, "timestamp")
    return np.asarray(
        (time >= midnight_ms(2013, 10, 8))
        & (time < midnight_ms(2013, 10, 22))
        & (values(table, "carrier") == "UA")
    )


def test_every_departed_flight_of_the_source_is_there(flights: pa.Table) -> None:
    cancelled = 8_255
    assert flights.num_rows == 336_776 - cancelled
    # The source has an arrival delay for all but 9,430 flights, the cancelled among them.
    assert flights.column("label").null_count == 9_430 - cancelled
    assert flights.column("label_timestamp").null_count == 9_430 - cancelled


def test_ids_are_unique(flights: pa.Table) -> None:
    ids = dataset.prediction_ids(flights)
    assert len(set(ids)) == len(ids)
    assert ids[0] == "UA1545-EWR-20130101"


def test_rows_are_in_event_time_order(flights: pa.Table) -> None:
    assert (np.diff(values(flights, "timestamp")) >= 0).all()


def test_a_departure_is_its_scheduled_new_york_time_plus_the_delay(flights: pa.Table) -> None:
    rows = np.random.default_rng(5).choice(flights.num_rows, 3000, replace=False)
    clock_changes = pc.is_in(
        flights.column("scheduled_date"),
        pa.array([datetime(2013, 3, 10).date(), datetime(2013, 11, 3).date()]),  # noqa: DTZ001
    )
    for table in (flights.take(rows), flights.filter(clock_changes)):
        for row in table.to_pylist():
            departure = datetime.fromtimestamp(row["timestamp"] / 1000, NEW_YORK)
            # Arithmetic between times of one zone is on the wall clock, as the source's delays are.
            scheduled = departure - timedelta(minutes=row["dep_delay"])
            assert scheduled.date() == row["scheduled_date"]
            assert scheduled.hour + scheduled.minute / 60 == pytest.approx(row["sched_hour"])
            assert row["is_weekend"] == (scheduled.weekday() >= 5)


def test_labels_come_after_predictions_and_within_a_day(flights: pa.Table) -> None:
    delay = values(flights, "label_timestamp") - values(flights, "timestamp")
    delay = delay[~np.isnan(delay)]
    assert delay.min() >= 20 * 60_000
    assert delay.max() < DAY_MS
    assert np.array_equal(
        pc.is_valid(flights.column("label")).to_numpy(),
        pc.is_valid(flights.column("label_timestamp")).to_numpy(),
    )


def test_versions_change_at_new_york_midnight_of_their_quarter(flights: pa.Table) -> None:
    starts = [midnight_ms(2013, month, 1) for month in (1, 4, 7, 10)]
    expected = np.searchsorted(starts, values(flights, "timestamp"), side="right")
    assert np.array_equal(values(flights, "model_version").astype(int), expected)
    assert [release.start_ms for release in dataset.RELEASES] == starts


def test_the_fault_says_what_the_documentation_says() -> None:
    assert (
        dataset.Fault(
            start_ms=midnight_ms(2013, 10, 8),
            end_ms=midnight_ms(2013, 10, 22),
            model_version="4",
            carrier="UA",
            feature="distance",
            factor=1.609344,
        )
        == dataset.FAULT
    )


def test_distance_is_in_kilometres_in_the_fault_and_in_miles_elsewhere(flights: pa.Table) -> None:
    distance, hit = values(flights, "distance"), faulty(flights)
    assert hit.sum() == 2_273
    assert set(values(flights, "model_version")[hit]) == {"4"}
    # The source's distances are whole miles, and a route's differ by a few miles at most.
    assert np.array_equal(distance[~hit], np.round(distance[~hit]))
    miles = distance / np.where(hit, 1.609344, 1.0)
    assert np.allclose(miles, np.round(miles), rtol=0, atol=1e-9)
    route = np.char.add(
        values(flights, "origin").astype("U3"), values(flights, "dest").astype("U3")
    )
    codes = np.unique(route, return_inverse=True)[1]
    low, high = np.full(codes.max() + 1, np.inf), np.zeros(codes.max() + 1)
    np.minimum.at(low, codes, miles)
    np.maximum.at(high, codes, miles)
    assert (high - low).max() < 30
    assert (distance[hit] > high[codes][hit] + 30).all()


def test_missing_weather_stays_missing(flights: pa.Table) -> None:
    missing = {name: flights.column(name).null_count for name in dataset.FEATURES}
    assert 0.10 < missing["pressure"] / flights.num_rows < 0.12
    assert missing["air_temp"] > 0
    for name in ("distance", "dep_delay", "sched_hour", "carrier", "origin", "dest", "is_weekend"):
        assert missing[name] == 0
    last_day = flights.filter(
        pc.equal(flights.column("scheduled_date"), datetime(2013, 12, 31).date())  # noqa: DTZ001
    )
    assert last_day.column("air_temp").null_count == last_day.num_rows


def test_predictions_are_the_scores_against_the_threshold(flights: pa.Table) -> None:
    score = values(flights, "score")
    assert ((score >= 0) & (score <= 1)).all()
    assert np.array_equal(score, np.round(score, 4))
    assert np.array_equal(values(flights, "prediction"), score >= dataset.THRESHOLD)


def test_the_model_is_useful_and_calibrated_on_its_held_out_weeks() -> None:
    training = dataset.training_table()
    training = training.filter(pc.is_valid(training.column("label")))
    label, score = values(training, "label"), values(training, "score")
    base_rate = label.mean()
    assert roc_auc_score(label, score) > 0.88
    assert brier_score_loss(label, score) < 0.5 * base_rate * (1 - base_rate)
    assert score.mean() == pytest.approx(base_rate, abs=0.01)


def test_training_data_are_the_departures_of_january_and_february(flights: pa.Table) -> None:
    expected = values(flights, "timestamp") < midnight_ms(2013, 3, 1)
    training = dataset.training_table()
    assert training.equals(flights.filter(pa.array(expected)))
    assert set(values(training, "model_version")) == {"1"}


def test_read_takes_a_half_open_period_and_columns(flights: pa.Table) -> None:
    time = values(flights, "timestamp")
    start, end = int(time[1000]), int(time[70_000])
    part = dataset.read(start, end, columns=["timestamp", "score"])
    expected = flights.select(["timestamp", "score"]).filter(
        pa.array((time >= start) & (time < end))
    )
    assert part.equals(expected)
    assert values(part, "timestamp")[0] == start
    assert dataset.read(start_ms=int(time[-1]) + 1).num_rows == 0


def test_prediction_events_are_the_rows_in_the_contract_s_json(storm: pa.Table) -> None:
    rows = storm.to_pylist()
    ids = dataset.prediction_ids(storm)
    events = list(dataset.prediction_events(storm))
    assert len(events) == len(rows)
    for prediction_id, row, (key, value) in zip(ids, rows, events, strict=True):
        assert key == prediction_id.encode()
        assert orjson.loads(value) == {
            "prediction_id": prediction_id,
            "timestamp": row["timestamp"],
            "model": "flight-delay",
            "model_version": row["model_version"],
            "features": {name: row[name] for name in dataset.FEATURES},
            "prediction": row["prediction"],
            "score": row["score"],
            "status": "ok",
        }
    assert b'"pressure":null' in b"".join(value for _, value in events)


def test_events_of_many_batches_are_those_of_each_part(flights: pa.Table) -> None:
    part = flights.slice(5000, 20_000)
    pieces = [part.slice(start, 3_000) for start in range(0, part.num_rows, 3_000)]
    assert list(dataset.prediction_events(part)) == [
        event for piece in pieces for event in dataset.prediction_events(piece)
    ]


def test_label_events_come_in_label_time_order_and_leave_diverted_flights_out(
    storm: pa.Table,
) -> None:
    expected = {
        prediction_id: row
        for prediction_id, row in zip(dataset.prediction_ids(storm), storm.to_pylist(), strict=True)
        if row["label"] is not None
    }
    assert 0 < len(expected) < storm.num_rows
    events = list(dataset.label_events(storm))
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(events))
    assert len(events) == len(expected)
    for time, key, value in events:
        row = expected.pop(key.decode())
        assert time == row["label_timestamp"]
        assert orjson.loads(value) == {
            "prediction_id": key.decode(),
            "timestamp": time,
            "model": "flight-delay",
            "label": row["label"],
        }
    assert not expected


def test_an_empty_table_has_no_events(flights: pa.Table) -> None:
    empty = flights.slice(0, 0)
    assert list(dataset.prediction_events(empty)) == []
    assert list(dataset.label_events(empty)) == []
