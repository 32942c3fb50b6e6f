"""Scrapes of 50,000 series beside a loop at full speed: how long they take, what they cost it.

Run with `python -m benchmarks.scrapes [--quick] [--json]`. A broker on this machine is filled with
the stream of `benchmarks.throughput_stream` in 500 slices, all of which are exported. While
`streamgauge run` reads it as fast as it can, phases with a scrape every 5 s, as Prometheus makes
them (OpenMetrics, gzip, one connection), take turns with phases without; in the latter nobody has
scraped for longer than metrics are kept ready (7 s here, not 150 s), so nothing is written for
nobody.

- `scrape_ms_median` and `scrape_ms_p95`: from the request to the last byte of the answer;
  `first_scrape_ms` is the median of those that came when nothing was kept ready, not in the others;
- `rate_ratio_with_scrapes`: the loop's messages a second with scrapes to those without, in phases
  that follow on each other, now this one first and now that; the median over the rounds of all
  monitors, which read the same stream one after the other. Time in
  snapshots, which are made all the same, is left out: whether a phase has two or three of them
  would decide over its rate;
- `rate_ratio_by_waits`: the same by what scrapes can do to the loop's thread, which is to have it
  wait for the interpreter: 1 less the share of the time in which it neither ran nor waited for a
  processor, over that without scrapes (`wait_ms_a_scrape`). Other work on the machine hardly shows;
- `http_ms_a_scrape` and `metrics_ms_a_scrape`: processor time of the threads that serve and that
  write and pack metrics, less what they take in phases without scrapes; packing, half of it, holds
  up nobody;
- `rendering_ms`: median time to write the metrics, which is done in turns with the loop.
"""

import gzip
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from benchmarks.common import Row, parser, report
from benchmarks.scrapes_loop import KEPT_READY_S
from benchmarks.throughput import broker
from benchmarks.throughput_stream import Filled, Stream, configure, fill, reference
from streamgauge.core.batch import FloatArray
from streamgauge.io.loopback import free_port

EVENTS: Final = 44_000_000
"""A round takes half a minute, in which a million a second are read at the fastest pace."""
SLICES: Final = 500
LEAST_SERIES: Final = 50_000
EVERY_S: Final = 5.0
MONITORS: Final = 4
"""They read the same stream one after the other, as one pass of it has few rounds."""
ROUNDS: Final = 5
"""At most so many a monitor."""
SCRAPES: Final = 2
"""Scrapes in one phase, but for the first, which finds nothing ready."""
LONGEST_S: Final = 60.0
HEADERS: Final = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3",
    "Accept-Encoding": "gzip",
}
_LIMITS: Final = "limits: {slices_per_dimension: 10000"


class Loop:
    """A monitor under way, scraped on one connection."""

    def __init__(self, config: Path, port: int) -> None:
        self.notes = config.with_suffix(".npz")
        self.log = config.with_suffix(".log")
        self._file = self.log.open("wb")
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
        command = [sys.executable, "-m", "benchmarks.scrapes_loop", str(config), str(self.notes)]
        self._process = subprocess.Popen(command, stdout=self._file, stderr=self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM if kind is None else signal.SIGKILL)
        self._process.wait(LONGEST_S)
        self._connection.close()
        self._file.close()

    def get(self, path: str) -> bytes:
        """Return an answer's body as it comes. Raises RuntimeError where the monitor has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the monitor ended: {self.log.read_text()[-2000:]}")
        self._connection.request("GET", path, headers=HEADERS)
        return self._connection.getresponse().read()

    def scrape(self) -> tuple[float, bytes]:
        """Return how long a scrape took (ms), and its body."""
        began = time.monotonic()
        body = self.get("/metrics")
        return 1000 * (time.monotonic() - began), body

    def lag(self) -> int:
        """Return how many messages are left to read."""
        return int(json.loads(self.get("/api/v1/status"))["lag_messages"] or 0)

    def wait_for_series(self) -> bytes:
        """Wait until there are enough series; return the page."""
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            try:
                page = gzip.decompress(self.scrape()[1])
            except OSError:
                self._connection.close()
            else:
                if _samples(page) >= LEAST_SERIES:
                    return page
            time.sleep(0.5)
        raise RuntimeError(f"no {LEAST_SERIES:,} series within {LONGEST_S:.0f} s")


@dataclass(slots=True)
class Phases:
    """What was scraped, and when the phases were: pairs of begin and end by the monotonic clock."""

    scrapes: list[float] = field(default_factory=list)
    first_scrapes: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    quiet: list[tuple[float, float]] = field(default_factory=list)
    scraped: list[tuple[float, float]] = field(default_factory=list)

    def round(self, loop: Loop, scrapes: int, *, quiet_first: bool) -> None:
        """Make a phase without scrapes and one with, in either order."""
        if quiet_first:
            self._without(scrapes)
            self._with(loop, scrapes)
        else:
            self._with(loop, scrapes)
            self._without(scrapes)

    def _without(self, scrapes: int) -> None:
        time.sleep(KEPT_READY_S + 1.0)
        began = time.monotonic()
        time.sleep(EVERY_S * scrapes)
        self.quiet.append((began, time.monotonic()))

    def _with(self, loop: Loop, scrapes: int) -> None:
        self.first_scrapes.append(loop.scrape()[0])
        began = time.monotonic()
        for i in range(scrapes):
            time.sleep(max(0.0, began + (i + 1) * EVERY_S - time.monotonic()))
            took, body = loop.scrape()
            self.scrapes.append(took)
            self.sizes.append(len(body))
        self.scraped.append((began, time.monotonic()))


def _samples(page: bytes) -> int:
    lines = page.splitlines()
    return len(lines) - sum(line.startswith(b"#") for line in lines)


@dataclass(frozen=True, slots=True)
class Notes:
    """What the monitor noted."""

    turns: FloatArray
    snapshots: FloatArray
    renderings: FloatArray

    @classmethod
    def read(cls, path: Path) -> "Notes":
        """Read the file that the monitor wrote."""
        with np.load(path) as kept:
            return cls(kept["turns"], kept["snapshots"], kept["renderings"])

    def at(self, moment: float) -> FloatArray:
        """Return what turns have beside the time, at a moment, in proportion between two turns."""
        times = self.turns[:, 0]
        found = [np.interp(moment, times, column) for column in self.turns[:, 1:].T]
        return np.array(found)

    def rate(self, phase: tuple[float, float]) -> float:
        """Return messages a second outside of snapshots."""
        began, ended = phase
        messages = self.at(ended)[0] - self.at(began)[0]
        inside = np.clip(self.snapshots, began, ended)
        return float(messages / (ended - began - np.sum(inside[:, 1] - inside[:, 0])))

    def shares(self, phases: list[tuple[float, float]]) -> FloatArray:
        """Return the shares of some phases in which threads ran: http, metrics, and the loop's.

        The loop's includes its waits for a processor.
        """
        spent = sum((self.at(ended) - self.at(began) for began, ended in phases), np.zeros(4))
        shares: FloatArray = spent[1:] / sum(ended - began for began, ended in phases)
        return shares


@dataclass(frozen=True, slots=True)
class Watched:
    """What became of one monitor."""

    page: bytes
    phases: Phases
    notes: Notes

    def ratios(self) -> list[float]:
        """Return the loop's rate with scrapes to that without, of each round."""
        pairs = zip(self.phases.quiet, self.phases.scraped, strict=True)
        return [self.notes.rate(scraped) / self.notes.rate(quiet) for quiet, scraped in pairs]

    def more(self) -> FloatArray:
        """Return how much larger threads' shares are with scrapes than without."""
        return self.notes.shares(self.phases.scraped) - self.notes.shares(self.phases.quiet)


def watch(bootstrap: str, filled: Filled, profile: Path, rounds: int, scrapes: int) -> Watched:
    """Scrape a monitor of its own while it reads a stream, for as many rounds as the stream has."""
    port = free_port()
    config = configure(filled, bootstrap, profile, port=port)
    text = config.read_text()
    assert _LIMITS in text, "the stream's configuration has other limits"
    limits = f"{_LIMITS}, exported_slices: 1000, series: 1000000"
    config.write_text(text.replace(_LIMITS, limits) + "limits: {series: 1000000}\n")
    phases = Phases()
    with Loop(config, port) as loop:
        page = loop.wait_for_series()
        for number in range(rounds):
            before = loop.lag()
            phases.round(loop, scrapes, quiet_first=number % 2 == 0)
            if (lag := loop.lag()) < (before - lag):
                break  # another round would come to the end of the stream
        if lag == 0:
            raise RuntimeError("the stream ended within a round; it must have more events")
    return Watched(page, phases, Notes.read(loop.notes))


def figures(watched: Sequence[Watched]) -> Row:
    """Return the figures of all monitors."""
    ratios = [ratio for each in watched for ratio in each.ratios()]
    taken = [ms for each in watched for ms in each.phases.scrapes]
    firsts = [ms for each in watched for ms in each.phases.first_scrapes]
    sizes = [size for each in watched for size in each.phases.sizes]
    rates = [each.notes.rate(phase) for each in watched for phase in each.phases.quiet]
    written = np.concatenate([np.diff(each.notes.renderings, axis=1) for each in watched])
    rounds = [len(each.phases.quiet) for each in watched]
    more = np.average([each.more() for each in watched], axis=0, weights=rounds)
    http_ms, metrics_ms, loop_ms = 1000 * EVERY_S * more
    page = watched[0].page
    return {
        "scrape_ms_median": float(np.median(taken)),
        "scrape_ms_p95": float(np.quantile(taken, 0.95)),
        "scrapes": len(taken),
        "first_scrape_ms": float(np.median(firsts)),
        "series": _samples(page),
        "bytes": len(page),
        "bytes_gzip": int(np.median(sizes)),
        "rate_ratio_with_scrapes": float(np.median(ratios)),
        "rate_ratio_lowest": min(ratios),
        "rate_ratio_highest": max(ratios),
        "rate_ratio_by_waits": 1 + float(more[2]),
        "rounds": len(ratios),
        "messages_per_second": float(np.median(rates)),
        "wait_ms_a_scrape": -float(loop_ms),
        "http_ms_a_scrape": float(http_ms),
        "metrics_ms_a_scrape": float(metrics_ms),
        "rendering_ms": 1000 * float(np.median(written)),
    }


def main() -> None:
    """Measure and print."""
    command = parser("Scrapes beside a loop at full speed")
    command.add_argument("--events", type=int, help="how many predictions there are")
    options = command.parse_args()
    events = options.events or EVENTS
    stream = Stream(events, slices=SLICES)
    monitors, rounds = (1, 2) if options.quick else (MONITORS, ROUNDS)
    with broker() as (name, bootstrap), tempfile.TemporaryDirectory() as folder:
        filled, profile = fill(bootstrap, stream), reference(stream, Path(folder))
        found = figures(
            [watch(bootstrap, filled, profile, rounds, SCRAPES) for _ in range(monitors)]
        )
    if options.json:
        print(json.dumps({"benchmark": "scrapes", "broker": name, **found}))
        return
    rows: list[Row] = [{"figure": key, "value": value} for key, value in found.items()]
    report(f"scrapes of streamgauge run, from {name}", rows, as_json=False)


if __name__ == "__main__":
    main()
