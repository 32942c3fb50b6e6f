"""Time zones against zoneinfo, moment by moment."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from streamgauge.config import zones
from streamgauge.config.zones import zone
from streamgauge.core.batch import IntArray
from streamgauge.core.timeline import HOUR_MS, hour_of_week
from streamgauge.core.zone import UTC_ZONE

NAMES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",  # half an hour
    "Asia/Kathmandu",  # three quarters, since 1986
    "Australia/Sydney",  # the southern hemisphere
    "Australia/Lord_Howe",  # clocks change by half an hour
    "Africa/Casablanca",  # summer time all year but in Ramadan
    "Pacific/Apia",  # a day left out
    "Africa/Monrovia",  # offset in seconds until 1972
    "Etc/UTC",
)


def recounted(name: str, times: IntArray) -> list[int]:
    rules = zoneinfo.ZoneInfo(name)
    moments = [datetime.fromtimestamp(time / 1_000, rules) for time in times.tolist()]
    return [moment.weekday() * 24 + moment.hour for moment in moments]


@pytest.mark.parametrize("name", NAMES)
def test_the_hour_of_the_week_is_the_one_on_local_clocks(name: str) -> None:
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1970, 2101))
    times = np.random.default_rng(1).integers(first, last, 5_000) * 1_000
    assert hour_of_week(times, zone(name)).tolist() == recounted(name, times)


@pytest.mark.parametrize("name", NAMES)
def test_every_change_holds_from_its_millisecond_on(name: str) -> None:
    changes = zone(name).changes
    times = (changes[:, None] + np.array([-HOUR_MS, -1, 0, HOUR_MS])).ravel()
    assert hour_of_week(times, zone(name)).tolist() == recounted(name, times)


@pytest.mark.parametrize(
    ("name", "year", "changes"),
    [
        ("America/New_York", 2025, ["03-09T07:00", "11-02T06:00"]),
        ("Europe/Berlin", 2025, ["03-30T01:00", "10-26T01:00"]),
        ("Australia/Sydney", 2025, ["04-05T16:00", "10-04T16:00"]),
        ("Australia/Lord_Howe", 2025, ["04-05T15:00", "10-04T15:30"]),
        ("Asia/Kolkata", 2025, []),
        ("Europe/Berlin", 2100, ["03-28T01:00", "10-31T01:00"]),
    ],
)
def test_both_changes_of_a_year_are_known(name: str, year: int, changes: list[str]) -> None:
    moments = [datetime.fromtimestamp(ms / 1_000, UTC) for ms in zone(name).changes.tolist()]
    assert [f"{m:%m-%dT%H:%M}" for m in moments if m.year == year] == changes


def test_before_and_after_the_known_years_the_nearest_offset_holds() -> None:
    berlin = zone("Europe/Berlin")
    assert berlin.local(np.array([-(10**13), 10**13])).tolist() == [
        -(10**13) + HOUR_MS,
        10**13 + HOUR_MS,
    ]


def test_utc_needs_no_database() -> None:
    assert zone("UTC") is UTC_ZONE
    times = np.arange(-500, 500) * 1_800_000
    assert hour_of_week(times, UTC_ZONE).tolist() == recounted("UTC", times)


@pytest.fixture
def bare_machine() -> Iterator[None]:
    """A machine without a zone database."""
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    zones.zone.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    zones.zone.cache_clear()


@pytest.mark.usefixtures("bare_machine")
def test_a_machine_without_a_zone_database_knows_zones_all_the_same() -> None:
    assert zoneinfo.TZPATH == ()
    assert len(zone("America/New_York").changes) > 200


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("america/new_york", "did you mean 'America/New_York'?"),
        ("localtime", "is not the name of a time zone"),
        ("", "write one such as Asia/Tokyo"),
        ("Europe", "is not the name of a time zone"),
        ("../../etc/passwd", "is not the name of a time zone"),
        ("/etc/localtime", "is not the name of a time zone"),
        ("+02:00", "write one such as Asia/Tokyo"),
    ],
)
def test_what_names_no_zone_is_refused_with_a_remedy(name: str, remedy: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a time zone; ") as caught:
        zone(name)
    assert remedy in str(caught.value)
    assert repr(name) in str(caught.value)
