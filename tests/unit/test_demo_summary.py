"""The summary and the lines of a replay without a terminal."""

from dataclasses import replace
from io import StringIO

import orjson
from rich.console import Console

from streamgauge.demo.alerts import Story
from streamgauge.demo.dataset import FAULT
from streamgauge.demo.drifts import Drift
from streamgauge.demo.frame import Frame
from streamgauge.demo.lines import EVERY_S, Lines, progress_line
from streamgauge.demo.performance import week_line
from streamgauge.demo.screen import draw
from streamgauge.demo.story import chapter_at
from streamgauge.demo.summary import Summary, closing_lines, summary_table
from tests.support.alert_events import alert_event
from tests.unit.test_demo_performance import WEEK

FIRST = alert_event()
OVER = alert_event(
    revision=2, status="resolved", summary="back to normal", ends_at="2013-10-24T00:00:00.000Z"
)
STORY = Story.begin(FIRST).go_on(OVER)
SUMMARY = Summary(
    stories=(STORY, Story.begin(alert_event(alert_id="a2", slice={}, model_version="2"))),
    start_ms=FAULT.start_ms - 1,
    end_ms=FAULT.end_ms + 1,
    events_sent=300,
    events_consumed=300,
    predictions_sent=160,
    predictions_counted=159,
    labels_sent=140,
    labels_joined=139,
    labels_pending=20,
    weeks=(WEEK,),
    replay_seconds=2.0,
)
DRIFT = Drift("distance", "carrier=UA", 0.42, 0.3, 0.0, 0.0, 900)
FRAME = Frame(
    event_time=FAULT.start_ms,
    rate=2_998.0,
    lag=1_204,
    done=250_000,
    total=328_521,
    version="4",
    chapter=chapter_at(FAULT.start_ms),
    drifts=(DRIFT,),
    window_end=FAULT.start_ms + 3_600_000,
    performance=WEEK,
    stories=SUMMARY.stories,
    url="http://127.0.0.1:9477",
)
NOTHING = Frame(
    event_time=None,
    rate=None,
    lag=None,
    done=0,
    total=328_521,
    version="1",
    chapter=None,
    drifts=(),
    window_end=None,
    performance=None,
    stories=(),
    url="http://127.0.0.1:9477",
)


def drawn(frame: Frame, width: int = 120, height: int = 40) -> str:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=False)
    console.print(draw(frame, height), height=height)
    output = console.file
    assert isinstance(output, StringIO)
    return output.getvalue()


def test_the_json_tells_the_strongest_revision_and_what_became_of_it() -> None:
    data = orjson.loads(orjson.dumps(SUMMARY.to_json()))
    assert (data["events_sent"], data["events_consumed"]) == (300, 300)
    assert (data["predictions_sent"], data["predictions_counted"]) == (160, 159)
    assert (data["labels_sent"], data["labels_joined"], data["labels_pending"]) == (140, 139, 20)
    assert data["performance"] == WEEK.to_json()
    assert data["worst_weeks"] == [WEEK.to_json()]
    assert (data["alerts_fired"], data["alerts_resolved"]) == (2, 1)
    assert data["fault_found"] is True
    alert = data["alerts"][0]
    told = {**FIRST, "status": OVER["status"], "ends_at": OVER["ends_at"]}
    assert {key: alert[key] for key in FIRST} == told
    assert alert["first_fired"] == FIRST["starts_at"]
    assert (alert["first"], alert["latest"]) == (FIRST, OVER)


def test_without_an_alert_about_it_the_fault_is_not_found() -> None:
    assert not replace(SUMMARY, stories=SUMMARY.stories[1:]).fault_found
    assert "is NOT among them" in closing_lines(replace(SUMMARY, stories=()))[-1]
    assert "is among them" in closing_lines(SUMMARY)[-1]


def test_a_replay_without_october_says_nothing_of_the_fault() -> None:
    spring = replace(SUMMARY, end_ms=FAULT.start_ms)
    assert not spring.fault_replayed
    assert not any("fault" in line for line in closing_lines(spring))


def test_alerts_about_performance_are_named() -> None:
    assert not SUMMARY.about_performance
    assert "0 of them are about performance" in closing_lines(SUMMARY)
    worse = alert_event(subject={"kind": "performance", "name": "error_rate"}, slice={})
    summary = replace(SUMMARY, stories=(STORY, Story.begin(worse)))
    lines = closing_lines(summary)
    place = lines.index("1 of them are about performance:")
    assert lines[place + 1] == ("  2013-10-09 00:00 performance error_rate, all traffic, version 4")
    assert summary.to_json()["alerts_about_performance"] == 1


def test_the_worst_weeks_are_told_with_the_reference() -> None:
    assert f"  {week_line(WEEK)}" in closing_lines(SUMMARY)
    assert not any("accuracy" in line for line in closing_lines(replace(SUMMARY, weeks=())))


def test_the_table_shows_what_was_said_while_the_alert_fired() -> None:
    console = Console(file=StringIO(), width=140)
    console.print(summary_table(SUMMARY))
    output = console.file
    assert isinstance(output, StringIO)
    text = output.getvalue()
    for wanted in (
        "2013-10-09 00:00",
        "2013-10-08 04:00",
        "warning, over",
        "version 4",
        "feature distance",
        "carrier=UA",
        "all traffic",
        "distance moved.",
    ):
        assert wanted in text
    assert "back to normal" not in text


def test_a_line_of_progress_says_how_far_the_replay_is() -> None:
    line = progress_line(FRAME)
    assert line.startswith("Tue 8 Oct 2013 04:00 UTC | 250,000 of 328,521 events | 2,998 events/s")
    assert line.endswith(
        "lag 1,204 | 1 alerts standing | accuracy of 1,234 labels 0.910 [0.900 to 0.920] (without"
        " labels: 0.930) | strongest (PSI): distance [carrier=UA] 0.42"
    )
    assert progress_line(NOTHING).startswith("no events yet | 0 of 328,521 events")


def test_lines_come_every_few_seconds_and_with_news() -> None:
    written: list[str] = []
    now = 100.0
    lines = Lines(written.append, lambda: now)
    lines.show(FRAME, [])
    caption, first = written
    assert "our own fault" in caption
    assert first == progress_line(FRAME)
    lines.show(FRAME, [FIRST, alert_event(revision=2), OVER])
    assert written[2:] == [
        "firing (warning): distance moved.",
        "resolved (warning): back to normal",
    ]
    now += EVERY_S
    lines.show(FRAME, [])
    assert written[4:] == [progress_line(FRAME)]


def test_the_screen_shows_clock_rate_lag_drifts_and_alerts() -> None:
    text = drawn(FRAME)
    for wanted in (
        "Tue 8 Oct 2013 04:00 UTC",
        "version 4",
        "2,998 events/s",
        "lag 1,204",
        "250,000 of 328,521 events",
        "our own fault",
        "Labels of the 7 days to 15 Oct: 1,234, 98.0 % of those due, 7 pending",
        "0.910 [0.900 to 0.920]",
        "0.930",
        "0.950",
        "the 7 days to Tue 8 Oct 2013 05:00 UTC",
        "carrier=UA",
        "0.420",
        "30.0 %",
        "distance moved.",
        "1 standing, 2 so far",
        "http://127.0.0.1:9477/metrics",
    ):
        assert wanted in text


def test_the_screen_fits_a_small_terminal() -> None:
    many = replace(FRAME, drifts=(DRIFT,) * 12)
    text = drawn(many, width=80, height=24)
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "Ctrl-C" in lines[-1]
    assert "distance moved." in text
    assert "Labels of the 7 days to 15 Oct: 1,234, 98.0 % of those due, 7 pending" in text
    assert "0.910 [0.900 to 0.920]" in text


def test_before_the_first_events_the_screen_waits() -> None:
    text = drawn(NOTHING)
    assert "waiting for the first events" in text
    assert "nothing to compare yet" in text
    assert "no labels yet" in text
    assert "none so far" in text
