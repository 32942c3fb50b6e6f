"""Traffic: false alarms against what is spent, faults against how soon they should show."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.alerts.wording import effect_text, firing_summary
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.plan import plan_detection
from streamgauge.core.detectors.specs import TRAFFIC_PART, Exclusion, Spending, TrafficLimit
from streamgauge.core.detectors.traffic import KEPT, TRAFFIC, WHOLE, TrafficDetector
from streamgauge.core.detectors.traffic_dispersion import TrafficDispersion
from streamgauge.core.detectors.traffic_profile import TrafficProfile, measure_traffic
from streamgauge.core.engine import ModelEngine
from streamgauge.core.findings import Effect, Verdict
from streamgauge.core.layout import folded_widths
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.timeline import HOUR_MS
from streamgauge.core.zone import UTC_ZONE
from tests.support import batches
from tests.support.drawn import known_reference
from tests.support.engines import LAYOUT, MINUTE, PANE, SECOND, SPEC, T0, stream
from tests.support.made_up_model import made_up_events, made_up_reference
from tests.support.traffic import MONDAY, SEASON, WEEK, follow, reference_of, season, totals

PER_PANE: Final = TRAFFIC_PART / (7 * 86_400_000 / PANE)
"""Spending of a model that may raise one false alarm a week."""
HOURLY: Final = 3_600.0


def exact(mean: float, phi: float = 1.0) -> TrafficProfile:
    """The season known without error."""
    return TrafficProfile(mean * SEASON / HOUR_MS, np.zeros(WEEK), phi, UTC_ZONE)


def detector(
    profile: TrafficProfile, spending: float = PER_PANE, pane: int = PANE, tolerance: float = 0.5
) -> TrafficDetector:
    return TrafficDetector("made-up", profile, tolerance, spending, pane)


def panes(rng: np.random.Generator, hours: int, factor: FloatArray | float) -> IntArray:
    """Counts of panes of ten seconds from Monday on."""
    mean = season(hours, HOURLY).repeat(HOUR_MS // PANE) / (HOUR_MS // PANE)
    return rng.poisson(mean * factor)


def changed(hours: int, at: int, factor: float) -> FloatArray:
    """Factors of panes: 1, and another one from a pane on."""
    return np.where(np.arange(hours * HOUR_MS // PANE) < at, 1.0, factor)


# --- The profile


@pytest.mark.parametrize(("weeks", "phi", "mean"), [(2, 1.0, 500.0), (4, 10.0, 500.0), (3, 1, 8)])
def test_a_profile_is_as_far_off_as_its_standard_errors_say(
    weeks: int, phi: float, mean: float
) -> None:
    rng = np.random.default_rng(3)
    found = measure_traffic(reference_of(totals(rng, season(weeks * WEEK, mean), phi)))
    off = (found.rate * HOUR_MS - season(WEEK, mean)) / (found.error * HOUR_MS)
    # φ is taken at its upper limit, and shrinking helps: on average they are nearer.
    assert 0.7 < off.std() < 1.1
    assert 0.75 * phi < found.dispersion < 2.0 * phi


def test_one_week_does_not_tell_how_much_the_same_hours_differ() -> None:
    rng = np.random.default_rng(4)
    found = measure_traffic(reference_of(totals(rng, season(WEEK, 500.0), 10.0)))
    assert np.isnan(found.dispersion)


def test_hours_without_events_count_and_long_gaps_do_not() -> None:
    hours = np.full(3 * WEEK, 40)
    hours[::2] = 0
    rate = measure_traffic(reference_of(hours)).rate * HOUR_MS
    np.testing.assert_allclose(rate[1::2], 40.0, rtol=0.05)
    assert rate[2::2].max() < 2.0
    gap = np.concatenate([np.full(WEEK, 40), np.zeros(2 * WEEK, np.int64), np.full(WEEK, 40)])
    np.testing.assert_allclose(measure_traffic(reference_of(gap)).rate * HOUR_MS, 40.0, rtol=0.05)


def test_hours_of_the_week_that_the_reference_does_not_cover_are_not_judged() -> None:
    found = measure_traffic(reference_of(np.full(24, 3_600)))
    assert np.isfinite(found.rate[:24]).all()
    assert np.isnan(found.rate[24:]).all()
    model = detector(replace(found, dispersion=1.0))
    counts = [10] * (24 * 360) + [0] * (24 * 360)
    assert follow(model, counts) == []


def test_a_pane_across_two_hours_expects_a_part_of_each() -> None:
    profile = exact(1_000.0)
    start = MONDAY + 8 * HOUR_MS + HOUR_MS * 2 // 3
    expected = profile.expected(start, start + HOUR_MS // 2).events
    assert expected == pytest.approx(1_000.0 * (SEASON[8] / 3 + SEASON[9] / 6))


def test_a_reference_without_timestamps_is_refused() -> None:
    with pytest.raises(ValueError, match="without timestamps"):
        measure_traffic(known_reference())


# --- What is learned of dispersion


@pytest.mark.parametrize("phi", [1.0, 8.0])
def test_dispersion_is_learned_about_the_streams_own_mean(phi: float) -> None:
    rng = np.random.default_rng(5)
    learned = TrafficDispersion(float("nan"))
    mean = season(6 * WEEK, 800.0)
    for i, count in enumerate(totals(rng, 1.3 * mean, phi).tolist()):
        if i < 30:
            assert learned.factor() == np.inf
        learned.add(count, float(mean[i]), (i + 1) * HOUR_MS)
    assert phi <= learned.factor() < 1.5 * phi + 0.2
    assert TrafficDispersion(20.0).factor() == 20.0


# --- False alarms


class Counted(TrafficDetector):
    """Counts how often the threshold is reached."""

    reached = 0

    def _raise(self, side: int, value: float, end: int) -> None:
        self.reached += 1
        super()._raise(side, value, end)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("known", "phi"), [(1.0, 1.0), (10.0, 10.0), (1.0, 10.0)])
def test_alarms_at_the_edge_of_what_is_tolerated_stay_within_what_is_spent(
    side: float, known: float, phi: float
) -> None:
    """Where the reference takes dispersion for too small, the stream shows it in its first week."""
    rng = np.random.default_rng(6)
    spending, reached, spent = 0.02, 0, 0.0
    for _ in range(10):
        model = Counted("m", exact(500.0, known), 0.2, spending, HOUR_MS)
        follow(model, totals(rng, season(4 * WEEK, 500.0) * (1.0 + 0.2 * side), phi).tolist())
        reached += model.reached
        spent += spending * 4 * WEEK / 2
    # One side alone is near its threshold.
    assert reached <= stats.poisson.ppf(0.99, spent)
    assert reached > 0


@pytest.mark.parametrize(("weeks", "phi"), [(1, 1.0), (1, 10.0), (3, 1.0), (3, 10.0)])
def test_what_a_reference_cannot_know_raises_no_alarms(weeks: int, phi: float) -> None:
    rng = np.random.default_rng(7)
    for _ in range(4):
        profile = measure_traffic(reference_of(totals(rng, season(weeks * WEEK, 500.0), phi)))
        model = Counted("m", profile, 0.0, 0.002, HOUR_MS)
        follow(model, totals(rng, season(4 * WEEK, 500.0), phi).tolist())
        assert model.reached <= 1


@pytest.mark.parametrize("factor", [0.65, 1.4])
def test_what_is_tolerated_is_no_drift(factor: float) -> None:
    model = detector(exact(HOURLY))
    counts = panes(np.random.default_rng(8), 48, changed(48, 12 * 360, factor))
    assert follow(model, counts.tolist()) == []


# --- Faults


def needed(factor: float, mean: float) -> float:
    """Panes that a factor needs on average for the best alternative, with the allowance of one."""
    tilts = np.geomspace(0.03, 4.0, 8) * (1 if factor > 1 else -1)
    edge = 1.5 if factor > 1 else 0.5
    gain = mean * (tilts * factor - edge * np.expm1(tilts))
    weights = np.geomspace(1.0, 3.0, 8)
    needs = -np.log(PER_PANE / 2) - np.log(weights / weights.sum())
    return float(np.where(gain > 0, needs / np.maximum(gain, 1e-9), np.inf).min())


@pytest.mark.parametrize("factor", [0.0, 0.3, 2.0, 3.0])
def test_a_fault_is_found_after_as_many_panes_as_it_should_take(factor: float) -> None:
    at = 9 * 360
    took, onsets, covered = [], [], 0
    for seed in range(7):
        counts = panes(np.random.default_rng(seed), 10, changed(10, at, factor))
        found = follow(detector(exact(HOURLY)), counts.tolist())
        end, finding = found[0]
        assert finding.verdict is Verdict.DRIFT
        # When it is first seen it looks larger than it is.
        later = found[200][1].effect
        covered += later.lower <= factor - 1.0 <= later.upper
        took.append((end - MONDAY) // PANE - at)
        assert finding.onset is not None
        onsets.append((finding.onset - MONDAY) // PANE - at)
    expected = needed(factor, HOURLY / 360 * SEASON[9])
    assert expected * 0.6 < np.median(took) < expected * 1.2 + 2
    assert abs(np.median(onsets)) <= 2
    assert covered >= 5


def test_a_stop_is_told_in_words() -> None:
    counts = [10] * 3600 + [0] * 60
    flat = replace(exact(HOURLY), rate=np.full(WEEK, 10 / PANE))
    _, finding = follow(detector(flat), counts)[0]
    assert (finding.row, finding.subject) == (WHOLE, TRAFFIC)
    assert finding.samples == 0
    text = firing_summary(finding, finding.onset, [])
    assert text.startswith(
        "traffic of made-up: 3,600 events an hour expected, 0 came, 100 % fewer events ["
    )
    assert "since 1970-01-05 10:00 UTC" in text


def test_rises_and_falls_have_their_own_words() -> None:
    assert effect_text(Effect("traffic", -0.75, -0.78, -0.72)) == "75 % fewer events [72 % to 78 %]"
    assert effect_text(Effect("traffic", 1.0, 0.9, 1.1)) == "100 % more events [90 % to 110 %]"


def test_the_interval_is_poissons_widened_by_dispersion() -> None:
    rng = np.random.default_rng(9)
    _, finding = follow(detector(exact(HOURLY, 4.0)), panes(rng, 12, changed(12, 3_600, 3.0)))[-1]
    came = finding.samples
    due = came / (1.0 + finding.effect.value)
    low, high = stats.gamma.ppf(0.025, came / 4), stats.gamma.ppf(0.975, came / 4 + 1)
    assert finding.effect.lower == pytest.approx(low * 4 / due - 1)
    assert finding.effect.upper == pytest.approx(high * 4 / due - 1)


def test_an_onset_before_the_panes_that_are_kept_is_when_all_was_quiet_last() -> None:
    # A little less than half, where half is tolerated, takes far more panes than are kept.
    flat = replace(exact(HOURLY), rate=np.full(WEEK, 20 / PANE))
    end, finding = follow(detector(flat), [20] * 360 + [9, 10] * 1_500)[0]
    assert finding.onset is not None
    assert end - finding.onset > KEPT * PANE
    assert MONDAY + 360 * PANE <= finding.onset < MONDAY + 720 * PANE


def verdicts(model: TrafficDetector, counts: list[int]) -> list[Verdict]:
    found: list[Verdict] = []
    for i, count in enumerate(counts):
        end = MONDAY + (i + 1) * PANE
        model.close(end, count)
        found += [f.verdict for f in model.findings(end, frozenset({(WHOLE, TRAFFIC)}))]
    return found


def test_a_change_that_is_over_becomes_clear_and_one_that_lasts_does_not() -> None:
    flat = replace(exact(HOURLY), rate=np.full(WEEK, 10 / PANE))
    over = verdicts(detector(flat), [10] * 100 + [0] * 30 + [10] * 60)
    assert over[:99] == [Verdict.CLEAR] * 99
    assert Verdict.DRIFT in over[100:130]
    assert over[-1] is Verdict.CLEAR
    lasting = verdicts(detector(flat), [10] * 100 + [0] * 2_000)
    assert set(lasting[110:]) == {Verdict.DRIFT}


def test_a_spike_after_a_stop_is_a_change_of_its_own() -> None:
    flat = replace(exact(HOURLY), rate=np.full(WEEK, 10 / PANE))
    found = follow(detector(flat), [10] * 100 + [0] * 20 + [80] * 20)
    assert found[0][1].effect.value == -1.0
    assert found[-1][1].effect.value == pytest.approx(7.0)
    assert found[-1][1].onset == MONDAY + 120 * PANE


# --- Beginnings, gaps and exclusions


def test_a_model_that_begins_in_the_middle_of_a_pane_has_not_lost_events() -> None:
    model = Counted("m", exact(360_000.0), 0.5, PER_PANE, PANE)
    full = round(1_000 * SEASON[0])
    assert follow(model, [0, 0, 0, 5] + [full] * 50) == []
    assert model.reached == 0


def test_after_a_week_without_events_it_begins_anew() -> None:
    pane = 10 * MINUTE
    model = detector(replace(exact(HOURLY), rate=np.full(WEEK, 10 / pane)), pane=pane)
    week = 7 * 86_400_000 // pane
    found = follow(model, [10] * 50 + [0] * (week + 500) + [3] + [10] * 100)
    assert found[0][1].onset == MONDAY + 50 * pane
    assert found[-1][0] == MONDAY + (50 + week) * pane
    assert model.next_end == MONDAY + (50 + week + 500 + 102) * pane


def test_panes_that_are_excluded_are_no_evidence() -> None:
    flat = replace(exact(HOURLY), rate=np.full(WEEK, 10 / PANE))
    model = detector(flat)
    follow(model, [10] * 50)
    for i in range(50, 150):
        model.close(MONDAY + (i + 1) * PANE, None)
        assert model.findings(MONDAY + (i + 1) * PANE, frozenset()) == []
    assert follow(model, [10] * 50, MONDAY + 150 * PANE) == []


def test_late_events_are_made_up_for() -> None:
    flat = replace(exact(HOURLY), rate=np.full(WEEK, 10 / PANE))
    model = detector(flat)
    for i in range(500):
        model.close(MONDAY + (i + 1) * PANE, 4)
        model.feed_late(6)
        assert model.findings(MONDAY + (i + 1) * PANE, frozenset()) == []


# --- In the engine


@cache
def _timed() -> Reference:
    """The made-up reference, with 1,800 events in every hour of two weeks."""
    base = made_up_reference(made_up_events())
    drawn = reference_of(np.full(2 * WEEK, 1_800))
    width = sum(folded_widths(base.layout))
    assert drawn.panes is not None
    weekly = np.zeros((WEEK, width), np.int64)
    weekly[:, 0] = 2 * 1_800
    counts = np.zeros((len(drawn.panes.panes), width), np.int64)
    counts[:, 0] = 1_800
    panes = replace(drawn.panes, counts=counts)
    return replace(base, hour_of_week=weekly, panes=panes, span=drawn.span)


@pytest.fixture
def timed() -> Reference:
    return _timed()


WATCHED: Final = replace(
    SPEC, traffic=TrafficLimit(0.5), policy=AlertPolicy(resolve_after=MINUTE, expire_after=HOUR_MS)
)
STREAM: Final = [stream(1, 600, 5, 1200), stream(2, 300, 2400, 3000)]
"""Half an event a second, nothing for twenty minutes, and events again."""


def told(timed: Reference, cuts: list[int], spec: ModelSpec = WATCHED) -> list[AlertRecord]:
    """What is told of traffic when event time advances in these steps (seconds)."""
    model = ModelEngine(spec, LAYOUT, timed, "ref")
    records: list[AlertRecord] = []
    for low, high in pairwise([0, *cuts, 3_000]):
        for batch in STREAM:
            after = (batch.timestamp - T0) // SECOND
            model.add(batches.take(batch, np.flatnonzero((after >= low) & (after < high))))
        records += model.advance(T0 + high * SECOND)
    return [record for record in records if record.subject == TRAFFIC]


def test_a_stop_fires_while_nothing_comes_and_resolves_when_events_are_back(
    timed: Reference,
) -> None:
    fired, *more, resolved = told(timed, [])
    assert fired.onset is not None
    assert abs(fired.onset - T0 - 1_200 * SECOND) <= PANE
    assert T0 + 1_200 * SECOND < fired.starts_at < T0 + 1_500 * SECOND
    assert (fired.model_version, fired.slice, fired.detector) == ("", (), "e_detector")
    assert fired.effect.value == -1.0
    assert resolved.ends_at is not None
    assert T0 + 2_400 * SECOND < resolved.ends_at < T0 + 3_000 * SECOND
    assert {record.alert_id for record in more} <= {fired.alert_id}


@settings(max_examples=10)
@given(st.sets(st.integers(1, 2_999), max_size=60))
def test_alerts_do_not_depend_on_how_often_event_time_advances(cuts: set[int]) -> None:
    assert told(_timed(), sorted(cuts)) == told(_timed(), [])


def test_traffic_is_watched_only_where_it_is_asked_for(timed: Reference) -> None:
    assert told(timed, [], replace(WATCHED, traffic=None)) == []
    known = ModelEngine(WATCHED, LAYOUT, timed, "ref")
    assert ("e_detector", TRAFFIC) in known.watches()
    assert ("e_detector", TRAFFIC) not in ModelEngine(SPEC, LAYOUT, timed, "ref").watches()


def test_a_stop_within_an_exclusion_is_no_alert(timed: Reference) -> None:
    hidden = Exclusion(T0 + 1_150 * SECOND, T0 + 2_450 * SECOND)
    assert told(timed, [], replace(WATCHED, exclusions=(hidden,))) == []


def test_traffic_and_shares_together_spend_no_more_than_the_budget(timed: Reference) -> None:
    spending = Spending(2.0, 86_400_000)
    shares, traffic = spending.divided(TrafficLimit(0.5))
    assert shares.alarms + traffic.alarms == pytest.approx(2.0)
    assert traffic.alarms == pytest.approx(0.1)
    assert spending.divided(None)[0] == spending
    alone = plan_detection(timed, [0], spending, PANE, 0.01, None)
    both = plan_detection(timed, [0], spending, PANE, 0.01, None, TrafficLimit(0.5))
    finite = np.isfinite(alone.threshold)
    np.testing.assert_allclose(
        both.threshold[finite] - alone.threshold[finite], -np.log(1 - TRAFFIC_PART), rtol=1e-9
    )
