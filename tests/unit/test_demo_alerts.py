"""What becomes of alerts, and which of them is about the fault."""

from typing import Any

import pytest

from streamgauge.demo.alerts import (
    Story,
    fault_found,
    is_the_fault,
    milliseconds,
    slice_label,
    subject_label,
)
from streamgauge.demo.dataset import FAULT
from streamgauge.demo.observer import MOST_SLICES, telling_slices
from tests.support.alert_events import alert_event

OVER = {"revision": 3, "status": "resolved", "summary": "back", "ends_at": "2013-10-24T00:00:00Z"}


def test_a_story_keeps_its_first_words_and_the_last_ones_that_fired() -> None:
    first, second = alert_event(), alert_event(revision=2, summary="distance moved further.")
    story = Story.begin(first).go_on(second)
    assert not story.resolved
    story = story.go_on(alert_event(**OVER))
    assert story.resolved
    assert (story.first, story.told) == (first, second)
    assert story.latest["summary"] == "back"


def test_a_story_keeps_the_revision_with_the_strongest_evidence() -> None:
    story = Story.begin(alert_event(statistic=9.0))
    strong = alert_event(revision=2, statistic=30.0)
    weak = alert_event(revision=3, statistic=None)
    story = story.go_on(strong).go_on(weak)
    assert (story.strongest, story.told) == (strong, weak)
    assert story.go_on(alert_event(**OVER | {"revision": 4, "statistic": 99.0})).strongest == strong


def test_a_revision_that_was_read_before_changes_nothing() -> None:
    story = Story.begin(alert_event()).go_on(alert_event(**OVER))
    assert story.go_on(alert_event(revision=2)) is story


def test_the_alert_about_the_fault_is_known_by_feature_slice_version_and_time() -> None:
    assert is_the_fault(alert_event())


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"kind": "feature", "name": "dest"}},
        {"subject": {"kind": "data_quality", "name": "distance"}},
        {"slice": {}},
        {"slice": {"carrier": "DL"}},
        {"slice": {"origin": "EWR"}},
        {"model_version": "3"},
        {"window": {"start": "2013-10-01T00:00:00Z", "end": "2013-10-08T04:00:00Z"}},
        {"window": {"start": "2013-10-22T04:00:00Z", "end": "2013-10-23T00:00:00Z"}},
    ],
)
def test_an_alert_about_anything_else_is_not_the_fault(change: dict[str, Any]) -> None:
    event = alert_event(**change)
    assert not is_the_fault(event)
    assert not fault_found([Story.begin(event)])


def test_a_slice_within_the_carrier_is_the_fault_too() -> None:
    assert is_the_fault(alert_event(slice={"carrier": "UA", "origin": "EWR"}))


def test_the_fault_is_found_in_a_later_revision() -> None:
    story = Story.begin(alert_event(slice={"origin": "EWR"}))
    assert not fault_found([story])
    assert fault_found([story.go_on(alert_event(revision=2)).go_on(alert_event(**OVER))])


def test_labels_are_short() -> None:
    assert slice_label(alert_event(slice={"origin": "EWR", "carrier": "UA"})) == (
        "carrier=UA,origin=EWR"
    )
    assert slice_label(alert_event(slice={})) == ""
    assert subject_label(alert_event()) == "feature distance"
    assert subject_label(alert_event(subject={"kind": "score", "name": ""})) == "score"
    missing = {"kind": "data_quality", "name": "air_temp.missing"}
    assert subject_label(alert_event(subject=missing)) == "data quality air_temp.missing"


def test_moments_are_read_as_they_are_written() -> None:
    assert milliseconds("2013-10-08T04:00:00.000Z") == FAULT.start_ms


def test_the_slices_asked_for_are_those_of_standing_alerts_the_newest_first() -> None:
    carriers = [f"C{number}" for number in range(MOST_SLICES + 3)]
    stories = [Story.begin(alert_event(slice={"carrier": carrier})) for carrier in carriers]
    stories.append(Story.begin(alert_event(slice={"carrier": carriers[0]})))
    stories.append(Story.begin(alert_event(slice={"carrier": "XX"})).go_on(alert_event(**OVER)))
    stories.append(Story.begin(alert_event(slice={"carrier": "OLD"}, model_version="3")))
    stories.append(Story.begin(alert_event(slice={})))
    labels = telling_slices(stories, "4")
    assert labels == ["carrier=C0", *(f"carrier={c}" for c in carriers[:3:-1])]
    assert len(labels) == MOST_SLICES
