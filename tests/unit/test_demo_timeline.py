"""Predictions and labels in the order in which they came."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from streamgauge.demo.dataset import label_events, prediction_events, read
from streamgauge.demo.timeline import DISORDER_MS, Timeline
from tests.unit.test_demo_story import at

FLIGHTS = read(end_ms=at(1, 6))


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return Timeline(FLIGHTS)


def test_every_prediction_and_every_label_is_sent_once(timeline: Timeline) -> None:
    sent = list(timeline.events())
    predictions = [(event.key, event.value) for event in sent if event.topic == 0]
    labels = [(event.time, event.key, event.value) for event in sent if event.topic == 1]
    assert predictions == list(prediction_events(FLIGHTS))
    assert labels == list(label_events(FLIGHTS))
    assert (len(predictions), len(labels)) == (len(timeline.predicted), len(timeline.labelled))


def test_time_never_goes_back(timeline: Timeline) -> None:
    times = [event.time for event in timeline.events()]
    assert times == timeline.timestamps.tolist()
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_a_label_comes_when_its_flight_has_landed(timeline: Timeline) -> None:
    departed: dict[bytes, int] = {}
    for event in timeline.events():
        if event.topic == 0:
            departed[event.key] = event.time
        else:
            assert event.time - departed[event.key] >= 30 * 60_000


def test_diverted_flights_get_no_label(timeline: Timeline) -> None:
    diverted = FLIGHTS.column("label").null_count
    assert diverted > 0
    assert len(timeline.predicted) - len(timeline.labelled) == diverted


@pytest.mark.parametrize("count", [1, 17, 5_000])
def test_a_watermark_tells_how_many_events_are_in(timeline: Timeline, count: int) -> None:
    newest = int(timeline.timestamps[count - 1])
    assert timeline.taken_in(newest - DISORDER_MS) == int((timeline.timestamps <= newest).sum())
    assert timeline.taken_in(None) == 0


def test_after_the_last_prediction_all_is_in(timeline: Timeline) -> None:
    last = int(timeline.predicted[-1])
    assert timeline.timestamps[-1] > last
    assert timeline.taken_in(last - DISORDER_MS) == len(timeline.timestamps)
    assert timeline.taken_in(last - DISORDER_MS - 1) < len(timeline.timestamps)


def test_flights_without_any_label_are_predictions_alone() -> None:
    diverted = FLIGHTS.filter(pa.compute.is_null(FLIGHTS.column("label")))
    timeline = Timeline(diverted)
    assert np.array_equal(timeline.timestamps, timeline.predicted)
    assert [event.topic for event in timeline.events()] == [0] * diverted.num_rows
