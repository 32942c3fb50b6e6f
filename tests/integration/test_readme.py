"""The README's five-minute path, run as it is written, on both brokers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from streamgauge.io.loopback import free_port
from tests.support.brokers import Broker
from tests.support.monitors import STREAMGAUGE, Monitor, wait_until
from tests.support.outside import require_program
from tests.support.topics import create_topics, read_to_end

ROOT = Path(__file__).parents[2]
MAKE_DATA = ROOT / "examples" / "quickstart" / "make_data.py"
EVENTS = 20_000


def blocks() -> list[tuple[str, str]]:
    """Return the path's code blocks: language and text."""
    path = (ROOT / "README.md").read_text().split("<!-- five-minute path")[1]
    path = path.split("\n## ")[0]
    found = re.findall(r"^ *```(sh|yaml)\n(.*?)^ *```$", path, re.MULTILINE | re.DOTALL)
    return [(language, re.sub(r"^   ", "", text, flags=re.MULTILINE)) for language, text in found]


def shell(command: str, folder: Path) -> str:
    """Run a README command in a folder, with our `streamgauge` on the path."""
    path = f"{STREAMGAUGE.parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, text=True,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def test_the_five_minute_path_finds_the_fault_as_it_is_written(
    broker: Broker, tmp_path: Path
) -> None:
    (_, profile), (_, yaml), (_, check), (_, run) = blocks()
    assert run.strip() == "streamgauge run -c streamgauge.yaml"
    port = free_port()
    yaml = yaml.replace("localhost:9092", broker.bootstrap_servers) + f"http: {{port: {port}}}\n"
    yaml += f"join_store: {{folder: {json.dumps(str(tmp_path / 'joins'))}}}\n"
    create_topics(broker.bootstrap_servers, {"predictions": 3, "labels": 3})

    shell(f"{sys.executable} {MAKE_DATA} --output training.csv", tmp_path)
    shell(profile, tmp_path)
    (tmp_path / "streamgauge.yaml").write_text(yaml)
    shell(check, tmp_path)
    with Monitor(tmp_path / "streamgauge.yaml", port) as monitor:
        shell(
            f"{sys.executable} {MAKE_DATA} --events {EVENTS} --fault"
            f" --bootstrap {broker.bootstrap_servers}",
            tmp_path,
        )
        wait_until(
            "all events are counted",
            lambda: monitor.value("streamgauge_predictions_total", model="churn") == EVENTS,
        )
        wait_until(
            "all labels are joined",
            lambda: monitor.value("streamgauge_labels_joined_total", model="churn") == EVENTS,
        )
        wait_until(
            "the page tells how good the model was",
            lambda: any(
                line["metric"] == "accuracy" and line["realised"]
                for line in monitor.json("/api/v1/models/churn?window=1h")["performance"]["metrics"]
            ),
        )
        wait_until(
            "the fault is among the alerts",
            lambda: any(
                "monthly_fee" in alert["subject"]["name"] and alert["slice"] == "plan=family"
                for alert in monitor.json("/api/v1/alerts")["alerts"]
            ),
        )
        promtool = require_program("promtool")
        metrics = monitor.get("/metrics")
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=metrics, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stderr.decode()
        assert monitor.stop() == 0, monitor.log.read_text()
    alerts = read_to_end(broker.bootstrap_servers, "streamgauge.alerts")
    assert any(b"monthly_fee" in (message.value() or b"") for message in alerts)
