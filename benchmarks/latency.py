"""Latency of `streamgauge run`: from an event to the metrics, from a change to its alert.

Run with `python -m benchmarks.latency [--quick] [--json] [--rate N]`. The largest rate is measured
first, with a full topic, as `benchmarks.throughput` does; then a producer writes live predictions
at half of it (or at `--rate`), on the same machine, while `/metrics` is read four times a second
and the alerts topic is followed. Panes last 10 s, events may be 1 s late.

- `event_to_metric_s`: age of the oldest event that is not in `streamgauge_predictions_total` yet,
  at every scrape once the stream has begun: median and largest;
- `pane_to_metric_s`: age of the end of the shortest window: how long ago the newest events were of
  which window figures are shown, which is a pane and the disorder at least before the next;
- `change_to_alert_s`: from when feature f0 moves by three standard deviations to the time when a
  reader of committed messages has the alert.

`behind` is how many messages were not yet read in the end.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks.common import Row, parser, report
from benchmarks.throughput import broker, monitored
from benchmarks.throughput_stream import Filled, Stream, configure, fill, reference
from streamgauge.io.loopback import free_port
from tests.support.monitors import Monitor
from tests.support.topics import create_topics, unique_name

PANE_S: Final = 10.0
DISORDER_S: Final = 1.0
EVENTS: Final = 600_000
QUICK_EVENTS: Final = 200_000
SECONDS: Final = 120.0
QUICK_SECONDS: Final = 60.0
SHIFT_AFTER: Final = 0.55
"""Share of the time after which the change begins."""
SCRAPE_S: Final = 0.25
_TOTAL: Final = re.compile(r"^streamgauge_predictions_total\{[^}]*\} (\S+)$", re.MULTILINE)
_END: Final = re.compile(
    r'^streamgauge_window_end_timestamp_seconds\{[^}]*window="5m"[^}]*\} (\S+)$', re.MULTILINE
)
_LAG: Final = re.compile(r"^streamgauge_consumer_lag_messages\{[^}]*\} (\S+)$", re.MULTILINE)


class Written:
    """What the producer says that it has written, by when."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.times: list[float] = []
        self.counts: list[int] = []
        self._process = process
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            when, count = line.split()
            self.counts.append(int(count))
            self.times.append(float(when))

    def age(self, count: float, now: float) -> float:
        """Return how long ago the event after the first `count` was written (s)."""
        size = len(self.times)
        at = int(np.searchsorted(self.counts[:size], count, side="right"))
        return max(0.0, now - self.times[at]) if at < size else 0.0


def live(bootstrap: str, profile: Path, rate: float, seconds: float) -> dict[str, float]:
    """Follow a live stream; return the figures."""
    stem = unique_name("latency")
    create_topics(bootstrap, {f"{stem}.predictions": 4})
    filled = Filled(Stream(1), stem, (f"{stem}.predictions",), 0)
    port = free_port()
    config = configure(filled, bootstrap, profile, port=port)
    text = config.read_text()
    config.write_text(text.replace("disorder: 10s", f"disorder: {DISORDER_S:.0f}s"))
    alerts = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": unique_name("alerts"),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    alerts.assign([TopicPartition(f"{config.stem}.alerts", 0, 0)])
    events, ends, told = [], [], None
    with Monitor(config, port, name=config.stem) as monitor:
        while "active: reading" not in monitor.log.read_text():
            time.sleep(0.1)
        command = [sys.executable, "-m", "benchmarks.latency_live", bootstrap]
        shift_after = seconds * SHIFT_AFTER
        command += [f"{stem}.predictions", str(rate), str(seconds), str(shift_after)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as producer:
            written = Written(producer)
            while not written.times:
                time.sleep(0.05)
            began = written.times[0]
            settled = began + 2 * PANE_S + DISORDER_S
            while producer.poll() is None:
                page, now = monitor.get("/metrics").decode(), time.time()
                totals, shown = _TOTAL.findall(page), _END.findall(page)
                if now > settled and totals:
                    events.append(written.age(sum(map(float, totals)), now))
                if now > settled and shown:
                    ends.append(now - max(map(float, shown)))
                told = told or _moved(alerts)
                time.sleep(SCRAPE_S)
        lag = sum(map(float, _LAG.findall(monitor.get("/metrics").decode())))
    alerts.close()
    return {
        "rate": rate,
        "event_to_metric_s": float(np.median(events)),
        "event_to_metric_max_s": max(events),
        "pane_to_metric_s": float(np.median(ends)),
        "pane_to_metric_max_s": max(ends),
        "change_to_alert_s": float("nan") if told is None else told - (began + shift_after),
        "behind": lag,
    }


def _moved(alerts: Consumer) -> float | None:
    """Return when the alert of f0 as a whole was there, None while it is not."""
    while (message := alerts.poll(0.0)) is not None:
        value = message.value()
        if message.error() is not None or value is None:
            continue
        body = json.loads(value)
        # Small slices of a sample that is sent over and over differ from the reference anyway.
        whole = body["subject"]["name"] == "f0" and not body["slice"]
        if whole and body["status"] == "firing":
            return time.time()
    return None


def main() -> None:
    """Measure and print."""
    command = parser("Latency of streamgauge run beside a live stream")
    command.add_argument("--rate", type=float, help="predictions a second, half the largest else")
    options = command.parse_args()
    with broker() as (name, bootstrap), tempfile.TemporaryDirectory() as folder:
        stream = Stream(QUICK_EVENTS if options.quick else EVENTS)
        profile = reference(stream, Path(folder))
        most = 2 * options.rate if options.rate else 0.0
        if not most:
            filled, port = fill(bootstrap, stream), free_port()
            run = monitored(configure(filled, bootstrap, profile, port=port), port, stream.messages)
            most = stream.messages / run.seconds
        seconds = QUICK_SECONDS if options.quick else SECONDS
        figures = live(bootstrap, profile, most / 2, seconds)
    row: Row = dict(figures.items())
    if options.json:
        print(json.dumps({"benchmark": "latency", "broker": name, **figures}))
        return
    report(f"latency of streamgauge run beside {name}", [row], as_json=False)


if __name__ == "__main__":
    main()
