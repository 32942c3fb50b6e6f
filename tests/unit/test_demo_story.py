"""The story of the year: every date has its caption, and the fault is called our own."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from streamgauge.demo.dataset import FAULT, RELEASES
from streamgauge.demo.observer import version_at
from streamgauge.demo.story import CHAPTERS, chapter_at, date_text

NEW_YORK = ZoneInfo("America/New_York")


def at(month: int, day: int, hour: int = 12) -> int:
    return round(datetime(2013, month, day, hour, tzinfo=NEW_YORK).timestamp() * 1000)


def title(event_time: int) -> str:
    chapter = chapter_at(event_time)
    assert chapter is not None
    return chapter.title


def test_every_hour_of_the_year_has_a_chapter() -> None:
    moment, end = datetime(2013, 1, 1, tzinfo=NEW_YORK), datetime(2014, 1, 1, tzinfo=NEW_YORK)
    while moment < end:
        assert chapter_at(round(moment.timestamp() * 1000)) is not None, moment
        moment += timedelta(hours=1)


def test_outside_the_year_there_is_no_chapter() -> None:
    assert chapter_at(at(1, 1, 0) - 1) is None
    assert chapter_at(at(12, 31) + 86_400_000) is None


def test_every_chapter_is_on_the_screen_at_some_time() -> None:
    hours = range(at(1, 1, 0), at(12, 31), 3_600_000)
    assert {chapter_at(hour) for hour in hours} == set(CHAPTERS)


def test_a_day_within_a_season_speaks_for_itself() -> None:
    assert title(at(2, 7)).startswith("January and February")
    assert title(at(2, 8)).startswith("8-9 February: blizzard")
    assert title(at(2, 11)).startswith("January and February")
    assert title(at(3, 8)).startswith("8 March: snow")


def test_the_fault_is_called_our_own_exactly_while_it_lasts() -> None:
    for moment, ours in (
        (FAULT.start_ms - 1, False),
        (FAULT.start_ms, True),
        (FAULT.end_ms - 1, True),
        (FAULT.end_ms, False),
    ):
        assert ("our own fault" in title(moment)) is ours
    caption = title(FAULT.start_ms)
    assert FAULT.feature in caption
    assert FAULT.carrier in caption
    assert f"version {FAULT.model_version}" in caption


def test_dates_are_written_for_people() -> None:
    assert date_text(1_381_204_800_000) == "Tue 8 Oct 2013 04:00 UTC"


def test_the_version_is_the_one_that_served_then() -> None:
    assert version_at(None) == "1"
    assert version_at(RELEASES[0].start_ms - 1) == "1"
    for release, following in pairwise(RELEASES):
        assert version_at(release.start_ms) == release.model_version
        assert version_at(following.start_ms - 1) == release.model_version
    assert version_at(at(12, 31)) == "4"
