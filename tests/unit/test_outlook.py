"""What a check says of the alert budget, and from which traffic."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamgauge.config import load
from streamgauge.core.detectors.plan import plan_detection
from streamgauge.core.engine import ModelEngine
from streamgauge.runner.checklist import Grade
from streamgauge.runner.outlook import Delay, Outlook, outlook_items, outlook_text, outlooks
from streamgauge.runner.plan import Plan, plan
from streamgauge.runner.projection import projection_items
from tests.support.batches import START_MS
from tests.support.made_up_model import made_up_events, made_up_reference, write_config

MODEL = "min_samples: 30\ntolerance: 0.02"


def planned(path: Path) -> Plan:
    return plan(load(path, {}), path)


def only(path: Path, messages: int | None = None) -> Outlook:
    [found] = outlooks(planned(path), messages)
    return found


def test_series_and_threshold_are_those_of_an_engine(tmp_path: Path) -> None:
    made = planned(write_config(tmp_path, model=MODEL))
    [found] = outlooks(made, None)
    [model] = made.known
    spec = replace(model.spec, min_samples=1)
    engine = ModelEngine(spec, model.reference.layout, model.reference, model.reference_id)
    # Everything within one pane: all rows have events, as the plan takes it.
    batch = made_up_events(span_ms=spec.pane_ms)
    engine.add(batch)
    engine.advance(START_MS + 2 * spec.pane_ms)
    stats = engine.snapshot(START_MS).detectors
    assert stats is not None
    assert found.lowest_threshold == found.highest_threshold
    judged = stats.threshold[stats.threshold < 700.0]
    assert judged == pytest.approx(found.lowest_threshold)
    table = plan_detection(
        model.reference,
        [0],
        spec.spending,
        spec.pane_ms,
        spec.tolerance,
        spec.latency,
        labels=spec.labels,
    )
    assert found.series == len(stats.rows) * table.series
    assert found.sides == len(stats.rows) * table.sides


def test_the_last_hour_counts_where_its_events_can_be_told_to_be_the_models(
    tmp_path: Path,
) -> None:
    path = write_config(tmp_path, model=MODEL)
    assert (only(path, 7_200).events_per_hour, only(path, 7_200).measured) == (7_200.0, True)
    for nothing in (0, None):
        found = only(path, nothing)
        assert not found.measured
        # 2,000 events in a minute.
        assert found.events_per_hour == pytest.approx(120_000, rel=0.01)
    path.write_text(f"{path.read_text()}  new: {{task: binary, reference: {{learn: 24h}}}}\n")
    assert not only(path, 7_200).measured


def test_twice_the_traffic_shows_changes_in_half_the_time(tmp_path: Path) -> None:
    path = write_config(tmp_path, model=MODEL)
    slow, fast = only(path, 3_600), only(path, 7_200)
    for one, other in zip(slow.delays, fast.delays, strict=True):
        assert one.events == other.events
        assert one.seconds is not None
        assert other.seconds is not None
        # Panes of 10 s round times up.
        assert one.seconds == pytest.approx(2.0 * other.seconds, abs=20.0)
    largest = slow.delays[-1]
    assert largest.events is not None
    assert largest.seconds == pytest.approx(largest.events, abs=60.0)


def test_the_share_of_a_model_is_that_of_its_weight(tmp_path: Path) -> None:
    path = write_config(tmp_path, more="alerts: {budget: 3 per day}")
    assert only(path).budget == "3 per day"
    path.write_text(f"{path.read_text()}  new: {{task: binary, reference: {{learn: 24h}}}}\n")
    assert only(path).budget == "1.5 per day"


def test_the_sentence_says_what_is_spent_on_what_and_how_soon_changes_show(
    tmp_path: Path,
) -> None:
    path = write_config(tmp_path, model=MODEL)
    made = planned(path)
    [item] = outlook_items(outlooks(made, 3_600))
    assert item.grade is Grade.OK
    assert item.place == ("models", "made-up")
    found = only(path, 3_600)
    start = (
        f"model made-up is allowed 1 false alarm per week over {found.series:,} series of a"
        f" version: threshold {found.lowest_threshold:.1f} nats; at 3,600 events an hour (as in"
        " the last hour) a change of 5 % / 10 % / 50 % of events shows after about "
    )
    assert item.sentence.startswith(start)
    assert item.sentence.endswith("(medians over series)")


def outlook(seconds: float | None, per_hour: float | None = 3_600.0) -> Outlook:
    delay = Delay(0.1, 1_234.0, seconds, None, None)
    return Outlook("m", "2 per day", 10, 18, 14.0, 14.0, per_hour, True, (delay,))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (8.3, "8.3 s"),
        (10.0, "10 s"),
        (89.0, "89 s"),
        (90.0, "1.5 min"),
        (5_399.0, "90 min"),
        (7_200.0, "2 h"),
        (172_800.0, "2 days"),
        (1e9, "32 years"),
        (float("inf"), "not at all"),
        (None, "-"),
    ],
)
def test_times_have_two_digits_that_count(seconds: float | None, words: str) -> None:
    text = outlook_text(outlook(seconds))
    assert text.endswith(
        f"a change of 10 % of events shows after about {words} (medians over series)"
    )


def test_without_times_in_the_reference_the_delay_is_in_events(tmp_path: Path) -> None:
    reference = made_up_reference(made_up_events(), timed=False)
    found = only(write_config(tmp_path, reference=reference))
    assert found.events_per_hour is None
    assert {delay.seconds for delay in found.delays} == {None}
    assert "events an hour" not in outlook_text(found)
    assert "shows after about 1,200 events (" in outlook_text(outlook(None, per_hour=None))


def test_weights_of_kinds_make_several_thresholds(tmp_path: Path) -> None:
    found = only(write_config(tmp_path, more="alerts: {weights: {data_quality: 0.1}}"))
    low, high = found.lowest_threshold, found.highest_threshold
    assert high - low == pytest.approx(2.302585)
    assert f"thresholds {low:.1f} to {high:.1f} nats" in outlook_text(found)


def test_the_plan_of_a_model_that_learns_is_known_later(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(f"{path.read_text()}  new: {{task: binary, reference: {{learn: 24h}}}}\n")
    made = planned(path)
    assert [found.model for found in outlooks(made, None)] == ["made-up"]
    learned = replace(made, known=())
    [item] = projection_items(learned, ())
    assert "the plan of its alert budget are not known" in item.text


def test_a_model_without_slices_has_no_delays_of_slices(tmp_path: Path) -> None:
    reference = made_up_reference(made_up_events(), ())
    found = only(write_config(tmp_path, slices="[]", reference=reference), 3_600)
    assert {delay.slice_events for delay in found.delays} == {None}
    assert "slice" not in outlook_text(found)
