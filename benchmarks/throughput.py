"""Throughput of `streamgauge run` from a broker, against a client that only consumes.

Run with `python -m benchmarks.throughput [--quick] [--json]`; `--events`, `--features`, `--slices`
and `--no-labels` measure one stream alone, `--arrow` that of Arrow batches. A broker on this
machine (Apache Kafka where it can be run, else the embedded one) is filled with JSON predictions of
about 400 bytes, 18 numeric and 2 categorical features, and a label for each. Then the same topics
are read

- by `consume(10_000)` of confluent-kafka, which does nothing but take the values, with our settings
  of how to fetch: with the client's own it is three times slower (`benchmarks.fetching`);
- by `streamgauge run`: metrics, detectors, alerts, the join with its store on disk, transactional
  checkpoints every 5 s; and once more with one every 300 s;
- by the loop's steps in this process, with counters of processor time by stage.

`events_per_second` are messages of the stream without labels (20 features, 100 slices), from the
start of reading to a lag of 0 as the monitor tells it, so they include the first snapshot, and of
the better of two runs unless `--quick`, as all rates; `ratio_to_consume`
is that rate to the consumer's in the same run. `labels_ratio` is the rate of predictions with
labels, where each comes with a label to read and to join, to that without, and
`labels_ratio_by_messages`, twice that, the rate of messages. `cpu_ratio_to_consume`
is the consumer's processor time to that of the monitor with all its threads. `checkpoint_ratio` is
the rate with checkpoints every 5 s to that with one every 300 s, and `checkpoint_share` the share
of time that the former spent in checkpoints, by its own histogram, which depends less on what else
the machine does. `slices_fall` and `features_fall` say how much the rate falls from 10 slices to
2,000, and from 20 features to 100, for `features_bytes` as many bytes; `slices_cpu` and
`features_cpu` how much the processor time grows. What many slices cost comes with each pane, so it
depends on how many events a pane has: `slices_fall_live` is of a stream of 200,000 events to a
second of event time, about as fast as it is read, not of 20,000, of which panes close ten times as
often as they do for whoever is not behind. `arrow_rows_per_second` are rows of a stream
without labels in Arrow batches of 5,000 (20 features, five slice dimensions of together 100
slices); `arrow_cpu_ns` is the monitor's processor time for each, with all its threads. Streams that
are compared with each other take turns.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.common import Row, cpu_seconds, parser, report
from benchmarks.throughput_stages import staged
from benchmarks.throughput_stream import (
    LIVE_EVENTS_PER_MS,
    Filled,
    Stream,
    configure,
    fill,
    reference,
)
from streamgauge.config.librdkafka import Setting
from streamgauge.io.embedded import EmbeddedBroker
from streamgauge.io.kafka.reader import FETCHING
from streamgauge.io.loopback import free_port
from tests.support.apache_kafka import ApacheKafka, why_unavailable
from tests.support.monitors import Monitor
from tests.support.topics import unique_name

EVENTS: Final = 6_000_000
QUICK_EVENTS: Final = 200_000
SIDE_EVENTS: Final = 6_000_000
FEATURES_EVENTS: Final = 3_000_000
FEW, USUAL, MANY = 10, 100, 2_000
"""Numbers of slices."""
LIVE_EVENTS: Final = 12_000_000
SIDES: Final = (
    {
        "few slices, live": Stream(LIVE_EVENTS, 20, FEW, events_per_ms=LIVE_EVENTS_PER_MS),
        "many slices, live": Stream(LIVE_EVENTS, 20, MANY, events_per_ms=LIVE_EVENTS_PER_MS),
    },
    {"few slices": Stream(SIDE_EVENTS, 20, FEW), "many slices": Stream(SIDE_EVENTS, 20, MANY)},
    {
        "few features": Stream(FEATURES_EVENTS, 5, USUAL),
        "features": Stream(FEATURES_EVENTS, 20, USUAL),
        "many features": Stream(FEATURES_EVENTS, 100, USUAL),
    },
)
"""The other streams, without labels; those of a group are compared with each other."""
ARROW_ROWS: Final = 5_000
ARROW_EVENTS: Final = 8_000_000
LONGEST_S: Final = 240.0
_LOOK_S: Final = 0.1
_SCRAPE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a monitor did: seconds from the start of reading to a lag of 0, and what it took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    checkpoints: int
    checkpoint_seconds: float
    state_bytes: int


@contextmanager
def broker() -> Iterator[tuple[str, str]]:
    """Run a broker; give its name and its address."""
    if why_unavailable() is None:
        with ApacheKafka() as apache:
            yield "Apache Kafka", apache.bootstrap_servers
    else:
        with EmbeddedBroker() as embedded:
            yield "the embedded broker", embedded.bootstrap_servers


class Consumed(NamedTuple):
    """How long a client took that only takes messages' values, and its processor time (s)."""

    seconds: float
    cpu_seconds: float


def consumed(
    bootstrap: str, filled: Filled, settings: Mapping[str, Setting] = FETCHING
) -> Consumed:
    """Let a client in a process of its own read everything, with these settings besides."""
    order = {
        "bootstrap": bootstrap,
        "group": unique_name("consume"),
        "partitions": filled.partitions,
        "messages": filled.messages,
        "settings": dict(settings),
        "longest_s": LONGEST_S,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput_consume"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Consumed(*json.loads(done.stdout))


def monitored(config: Path, port: int, messages: int) -> Run:
    """Let a monitor read everything; its metrics are scraped as often as a Prometheus may."""
    with Monitor(config, port, name=config.stem) as monitor:
        stat = Path(f"/proc/{monitor.process.pid}/status")
        began: float | None = None
        cpu = scraped = 0.0
        text = ""
        deadline = time.perf_counter() + LONGEST_S
        while True:
            if began is None and "active: reading" in monitor.log.read_text():
                began, cpu = time.perf_counter(), cpu_seconds(monitor.process.pid)
            now = time.perf_counter()
            status = monitor.json("/api/v1/status") or {}
            done = status.get("lag_messages") == 0
            if done or now >= scraped + _SCRAPE_S:
                text, scraped = monitor.get("/metrics").decode(), now
                all_read = total(text, "streamgauge_messages_consumed_total") == messages
                if began is not None and all_read:
                    break
            if now > deadline:
                raise RuntimeError(f"not done in {LONGEST_S:.0f} s: {monitor.log.read_text()}")
            time.sleep(_LOOK_S)
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(monitor.process.pid) - cpu
        peak = re.search(r"VmHWM:\s+(\d+) kB", stat.read_text())
        assert peak is not None
        return Run(
            seconds,
            cpu,
            int(peak.group(1)) * 1024,
            int(total(text, "streamgauge_checkpoint_duration_seconds_count")),
            total(text, "streamgauge_checkpoint_duration_seconds_sum"),
            int(total(text, "streamgauge_state_bytes")),
        )


def total(text: str, name: str) -> float:
    """Return the sum of a metric's samples; the whole text is not parsed, it is long."""
    pattern = rf"^{name}(?:\{{.*\}})? (\S+)"
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of one stream."""

    stream: Stream
    consume: Consumed
    run: Run
    seldom: Run | None
    """The run with a checkpoint every 300 s."""
    stages: list[Row]
    bytes: int
    """Size of all values, before compression."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.stream.messages / self.run.seconds

    @property
    def ratio(self) -> float:
        """Rate to that of the consumer."""
        return self.consume.seconds / self.run.seconds

    @property
    def cpu_ratio(self) -> float:
        """The consumer's processor time to ours."""
        return self.consume.cpu_seconds / self.run.cpu_seconds

    @property
    def checkpoint_ratio(self) -> float:
        """Throughput with usual checkpoints to that with next to none."""
        assert self.seldom is not None
        return self.seldom.seconds / self.run.seconds

    def row(self) -> Row:
        """Return the figures for the table."""
        run = self.run
        row: dict[str, str | int | float] = {
            "stream": self.stream.name,
            "messages": self.stream.messages,
            "consume/s": round(self.stream.messages / self.consume.seconds),
            "messages/s": round(self.rate),
            "ratio": self.ratio,
            "CPU ratio": self.cpu_ratio,
            "CPU µs": run.cpu_seconds / self.stream.messages * 1e6,
            "peak MB": round(run.peak_bytes / 1e6),
            "checkpoints": run.checkpoints,
            "share": run.checkpoint_seconds / run.seconds,
            "state kB": round(run.state_bytes / 1e3),
        }
        return row


@dataclass(frozen=True, slots=True)
class Ready:
    """A stream on its broker, with its reference."""

    bootstrap: str
    stream: Stream
    filled: Filled
    profile: Path

    @classmethod
    def made(cls, bootstrap: str, stream: Stream, folder: Path) -> "Ready":
        """Fill the broker and make a reference."""
        folder.mkdir(exist_ok=True)
        return cls(bootstrap, stream, fill(bootstrap, stream), reference(stream, folder))

    def consumed(self) -> Consumed:
        """Let a client read everything."""
        return consumed(self.bootstrap, self.filled)

    def monitored(self, interval: str) -> Run:
        """Let a monitor read everything, with a checkpoint at such an interval."""
        port = free_port()
        config = configure(self.filled, self.bootstrap, self.profile, port=port, interval=interval)
        return monitored(config, port, self.stream.messages)

    def read(self, *, thorough: bool) -> tuple[Consumed, Run, Run | None]:
        """Let a client and a monitor read everything, and one with checkpoints every 300 s."""
        seldom = self.monitored("300s") if thorough else None
        return self.consumed(), self.monitored("5s"), seldom

    def stages(self) -> list[Row]:
        """Let the loop's steps do it here; return what each takes."""
        found = staged(configure(self.filled, self.bootstrap, self.profile), self.filled)
        scale = 1e6 / self.stream.messages
        seconds = {**found.seconds, "other threads": found.client_seconds}
        whole = sum(seconds.values())
        stages: list[Row] = [
            {"stage": stage, "µs a message": value * scale, "share": value / whole}
            for stage, value in sorted(seconds.items(), key=lambda item: -item[1])
        ]
        stages += [
            {
                "stage": f"(checkpoint of {size / 1e3:,.0f} kB)",
                "µs a message": took * 1e6,
                "share": 0,
            }
            for took, size in found.checkpoints
        ]
        return stages


def measure(
    bootstrap: str, streams: Sequence[Stream], *, thorough: bool, rounds: int
) -> list[Measured]:
    """Measure streams that are compared with each other; stages too, where it is `thorough`.

    They take turns, as the machine's pace changes within minutes. The best of all rounds counts:
    what else the machine does makes one slower, never quicker.
    """
    with tempfile.TemporaryDirectory() as name:
        ready = [
            Ready.made(bootstrap, stream, Path(name, str(number)))
            for number, stream in enumerate(streams)
        ]
        done = [[each.read(thorough=thorough) for each in ready] for _ in range(rounds)]
        found = []
        for each, runs in zip(ready, zip(*done, strict=True), strict=True):
            consumes, usual, seldom = zip(*runs, strict=True)
            best = min((run for run in seldom if run is not None), key=_seconds, default=None)
            stages = each.stages() if thorough else []
            least = min(usual, key=_seconds)
            size = each.filled.bytes
            found.append(Measured(each.stream, min(consumes), least, best, stages, size))
        return found


def _seconds(run: Run) -> float:
    return run.seconds


def main() -> None:
    """Measure and print."""
    command = parser("Throughput of streamgauge run from a broker")
    command.add_argument("--events", type=int, help="how many predictions there are")
    command.add_argument("--features", type=int, default=20, help="5, 20 or 100, say")
    command.add_argument("--slices", type=int, default=100, help="10, 100 or 2000, say")
    command.add_argument("--no-labels", action="store_true", help="measure without labels alone")
    command.add_argument("--arrow", action="store_true", help="measure Arrow batches alone")
    options = command.parse_args()
    events = options.events or (QUICK_EVENTS if options.quick else EVENTS)
    plain = Stream(events, options.features, options.slices)
    alone = options.quick or (options.features, options.slices) != (20, 100)
    rows = options.events or (ARROW_EVENTS // 5 if options.quick else ARROW_EVENTS)
    # As large as batches of the usual stream are: brokers take messages of a megabyte.
    arrow_rows = ARROW_ROWS * min(20, options.features) // options.features
    batched = Stream(rows, options.features, options.slices, arrow_rows=arrow_rows)
    rounds = 1 if options.quick else 2
    with broker() as (name, bootstrap):

        def thoroughly(*streams: Stream) -> list[Measured]:
            return measure(bootstrap, streams, thorough=True, rounds=rounds)

        if options.arrow:
            measured = thoroughly(batched)
            tell(name, _arrow_figures(measured[0]), measured, as_json=options.json)
            return
        labelled = Stream(events // 2, options.features, options.slices, labels=True)
        measured = thoroughly(plain) if options.no_labels else thoroughly(plain, labelled)
        others: dict[str, Measured] = {}
        for group in () if alone or options.no_labels else SIDES:
            compared = measure(bootstrap, [*group.values()], thorough=False, rounds=2)
            others |= dict(zip(group, compared, strict=True))
        [arrow] = thoroughly(batched)
        measured += [*others.values(), arrow]
    first = measured[0]
    figures: dict[str, float] = {
        "events_per_second": first.rate,
        "ratio_to_consume": first.ratio,
        "cpu_ratio_to_consume": first.cpu_ratio,
        "checkpoint_ratio": first.checkpoint_ratio,
        "checkpoint_share": first.run.checkpoint_seconds / first.run.seconds,
        **_arrow_figures(arrow),
    }
    if not options.no_labels:
        second = measured[1]
        figures["labels_ratio"] = second.rate / 2 / first.rate
        figures["labels_ratio_by_messages"] = second.rate / first.rate
        figures["checkpoint_ratio_with_labels"] = second.checkpoint_ratio
        figures["ratio_to_consume_with_labels"] = second.ratio
    if others:
        for key, less, more in (
            ("slices{}_live", "few slices, live", "many slices, live"),
            ("slices{}", "few slices", "many slices"),
            ("features{}", "features", "many features"),
        ):
            few, many = others[less], others[more]
            figures[key.format("_fall")] = few.rate / many.rate
            figures[key.format("_cpu")] = many.run.cpu_seconds / few.run.cpu_seconds
        figures["features_bytes"] = others["many features"].bytes / others["features"].bytes
    tell(name, figures, measured, as_json=options.json)


def _arrow_figures(arrow: Measured) -> dict[str, float]:
    return {
        "arrow_rows_per_second": arrow.rate,
        "arrow_cpu_ns": arrow.run.cpu_seconds / arrow.stream.messages * 1e9,
    }


def tell(name: str, figures: dict[str, float], measured: list[Measured], *, as_json: bool) -> None:
    """Print all figures."""
    rows = [each.row() for each in measured]
    if as_json:
        stages = {each.stream.name: each.stages for each in measured if each.stages}
        print(json.dumps({"benchmark": "throughput", **figures, "results": rows, "stages": stages}))
        return
    report(f"streamgauge run from {name}", rows, as_json=False)
    for each in measured:
        if each.stages:
            report(f"processor time: {each.stream.name}", each.stages, as_json=False)
    print(" ".join(f"{key}={value:.3g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
