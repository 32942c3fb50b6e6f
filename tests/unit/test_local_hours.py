"""What follows local clocks: references, tolerance and season over changes of the clocks."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamgauge.config.zones import zone
from streamgauge.core.batch import Categories, IntArray
from streamgauge.core.detectors.series import Kind, series_table
from streamgauge.core.detectors.tolerance import Tolerance, measure_tolerance
from streamgauge.core.reference import Reference, ReferenceBuilder, merge_references
from streamgauge.core.seasonal import Season
from streamgauge.core.timeline import HOUR_MS, HOURS_OF_WEEK, hour_of_week
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import LearnedModel, Plan, model_spec
from tests.support import batches
from tests.support.flights import MODEL, NOW, configured, flights, polled, send

NEW_YORK = "America/New_York"
LAYOUT = batches.layout()
RULES = ZoneInfo(NEW_YORK)
DAY = 24 * HOUR_MS


def at(text: str) -> int:
    """Milliseconds of a moment on the clocks of New York."""
    return int(datetime.fromisoformat(text).replace(tzinfo=RULES).timestamp()) * 1_000


def local_hours(times: IntArray) -> IntArray:
    """Hours of the week by zoneinfo, event by event."""
    moments = [datetime.fromtimestamp(time / 1_000, RULES) for time in times.tolist()]
    return np.array([moment.weekday() * 24 + moment.hour for moment in moments])


def share_of_red(hours: IntArray) -> IntArray:
    """In per cent: few in the morning, many in the evening."""
    return np.where(hours % 24 < 12, 10, 60)


def reference_of(name: str, first: int, days: int, n: int = 60_000) -> Reference:
    """A reference whose events are red or green as local clocks tell."""
    rng = np.random.default_rng(1)
    batch = batches.events(rng, n, span_ms=days * DAY, errors=0.0)
    times = batch.timestamp - batches.START_MS + first
    red = rng.integers(0, 100, n) < share_of_red(local_hours(times))
    colours = Categories(np.where(red, 0, 1).astype(np.int32), batches.COLOURS)
    builder = ReferenceBuilder(LAYOUT, (), zone=zone(name))
    builder.add(replace(batch, timestamp=times, categorical=(colours, *batch.categorical[1:])))
    return builder.finish()


def tolerance_of(reference: Reference) -> tuple[Tolerance, int]:
    """What it tolerates, and the place of the series of red events."""
    table = series_table(LAYOUT, reference.block.counts[0].astype(np.int64), None)
    names = [(series.subject.name, series.kind) for series in table.series]
    return measure_tolerance(reference, table, 0.0), names.index(("colour", Kind.CATEGORY))


WINTER = at("2025-01-06T00:00")


@pytest.mark.parametrize(
    "moment",
    [
        "2025-01-15T11:30",
        "2025-01-15T12:30",
        "2025-03-09T01:30",  # the hour before clocks go forward
        "2025-03-09T03:30",
        "2025-07-16T11:30",
        "2025-07-16T12:30",
        "2025-11-02T01:30",  # stands twice
        "2025-11-02T12:30",
    ],
)
def test_expected_shares_follow_the_clocks_of_the_references_zone(moment: str) -> None:
    tolerance, red = tolerance_of(reference_of(NEW_YORK, WINTER, 50))
    expected = tolerance.bounds(np.array([0]), at(moment)).expected[0, red]
    known = int(share_of_red(local_hours(np.array([at(moment)])))[0]) / 100
    assert expected == pytest.approx(known, abs=0.06)


def test_in_utc_the_same_reference_expects_the_wrong_hour_in_summer() -> None:
    tolerance, red = tolerance_of(reference_of("UTC", WINTER, 50))
    noon = np.array([at("2025-07-16T12:30")])
    assert tolerance.bounds(np.array([0]), int(noon[0])).expected[0, red] < 0.2


@pytest.mark.parametrize(("days", "pane_hours"), [(14, 1), (40, 2), (100, 6)])
def test_a_change_of_the_clocks_is_no_overdispersion(days: int, pane_hours: int) -> None:
    first = at("2025-03-09T00:00") - days // 2 * DAY
    references = {name: reference_of(name, first, days) for name in (NEW_YORK, "UTC")}
    phi = {}
    for name, reference in references.items():
        assert reference.panes is not None
        assert reference.panes.length_ms == pane_hours * HOUR_MS
        tolerance, red = tolerance_of(reference)
        assert tolerance.dispersion is not None
        phi[name] = tolerance.dispersion[red]
    assert phi[NEW_YORK] < 2.0
    assert phi["UTC"] > 1.15 * phi[NEW_YORK]


def test_panes_are_the_same_in_every_zone() -> None:
    here, there = (reference_of(name, WINTER, 30, n=2_000) for name in (NEW_YORK, "UTC"))
    assert here.panes is not None
    assert there.panes is not None
    np.testing.assert_array_equal(here.panes.panes, there.panes.panes)
    np.testing.assert_array_equal(here.panes.counts, there.panes.counts)


@pytest.mark.parametrize("name", [NEW_YORK, "Asia/Kolkata", "Australia/Sydney", "UTC"])
def test_hours_of_the_week_are_counted_by_local_clocks(name: str) -> None:
    batch = batches.events(np.random.default_rng(2), 400, span_ms=300 * DAY, errors=0.0)
    builder = ReferenceBuilder(LAYOUT, (), zone=zone(name))
    builder.add(batch)
    reference = builder.finish()
    rules = ZoneInfo(name)
    expected = [0] * HOURS_OF_WEEK
    for time in batch.timestamp.tolist():
        moment = datetime.fromtimestamp(time / 1_000, rules)
        expected[moment.weekday() * 24 + moment.hour] += 1
    assert reference.hour_of_week is not None
    assert reference.hour_of_week[:, 0].tolist() == expected
    assert reference.zone == zone(name)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2025-03-08T00:00", "2025-03-10T00:00"),  # 47 hours
        ("2025-11-01T00:00", "2025-11-03T00:00"),  # 49 hours
        ("2025-07-16T06:00", "2025-07-16T12:00"),
        ("2025-11-02T01:00", "2025-11-02T02:00"),
    ],
)
def test_a_season_counts_the_hours_that_clocks_show_in_a_period(start: str, end: str) -> None:
    rng = np.random.default_rng(3)
    hours = rng.integers(100, 10_000, (HOURS_OF_WEEK, 3))
    season = Season.of(hours, zone(NEW_YORK), 1.0)
    held = sum(
        season.expected[hour]
        for hour in local_hours(np.arange(at(start), at(end), HOUR_MS)).tolist()
    )
    whole = season.expected.sum(axis=0)
    expected = (held / np.sum(held)) / (whole / whole.sum())
    np.testing.assert_allclose(season.factors(at(start), at(end)), expected, rtol=1e-12)


def test_references_of_one_zone_merge_and_others_do_not() -> None:
    one, other = (reference_of(name, WINTER, 10, n=500) for name in (NEW_YORK, "Europe/Berlin"))
    merged = merge_references(one, one)
    assert merged.zone.name == NEW_YORK
    assert one.hour_of_week is not None
    np.testing.assert_array_equal(merged.hour_of_week, 2 * one.hour_of_week)
    with pytest.raises(ValueError, match=r"New_York and Europe/Berlin\): .* same --timezone"):
        merge_references(one, other)


def test_without_times_there_is_no_zone_to_differ_in() -> None:
    batch = batches.events(np.random.default_rng(4), 100)
    builder = ReferenceBuilder(LAYOUT, (), zone=zone(NEW_YORK))
    builder.add(batch, timed=False)
    untimed = builder.finish()
    assert untimed.zone.name == "UTC"
    merged = merge_references(reference_of(NEW_YORK, WINTER, 10, n=500), untimed)
    assert (merged.span, merged.zone.name) == (None, "UTC")


def test_a_learned_reference_counts_by_the_clocks_of_the_configured_zone() -> None:
    model = MODEL | {"reference": {"learn": "2m", "timezone": "Asia/Kolkata"}}
    config = configured({"flight-delay": model})
    [settings] = config.models.values()
    learned = LearnedModel(model_spec(config, "flight-delay"), settings, 120_000)
    pipeline = Pipeline(Plan(config, (), (learned,)))
    pipeline.assign([("predictions", 0)], NOW)
    events = flights(np.random.default_rng(5), 1_500, 0, 200)
    pipeline.process(polled([(0, send(event)) for event in events]), frozenset(), NOW)
    pipeline.process(polled([(0, send(event)) for event in events[-1:]]), frozenset(), NOW)
    reference = pipeline.engines["flight-delay"].reference
    assert reference is not None
    assert reference.zone.name == "Asia/Kolkata"
    assert reference.hour_of_week is not None
    kolkata = ZoneInfo("Asia/Kolkata")
    moments = [datetime.fromtimestamp(event["timestamp"] / 1_000, kolkata) for event in events]
    hours = {moment.weekday() * 24 + moment.hour for moment in moments}
    assert set(np.flatnonzero(reference.hour_of_week.sum(axis=1))) <= hours


def test_hours_of_the_week_are_in_utc_unless_a_zone_is_named() -> None:
    times = np.arange(200) * HOUR_MS
    np.testing.assert_array_equal(hour_of_week(times), hour_of_week(times, zone("UTC")))
